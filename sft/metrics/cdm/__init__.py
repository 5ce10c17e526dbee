"""CDM, character detection matching: F1 of the signs of two formulas as they stand on the page.

    cdm(ref=r"\\\\frac{2}{30}", pred="2/30")  →  0.5

Wang et al., arXiv 2409.03643; UniMERNet's cdm/ and OmniDocBench's cdm_metric.py. Both formulas are set by LaTeX, every
visible sign gets the box that it covers, boxes are paired by name, place and order, and pairs that do not go together
are dropped. Needs a LaTeX installation (`cdm_render`) and scipy (extra `metrics`); None without.

| ref                          | pred                          | cdm  |
|------------------------------|-------------------------------|------|
| empty, or LaTeX cannot set it| anything                      | None |
| formula                      | empty, or LaTeX cannot set it | 0    |

Known faults of the definition, kept because published figures have them: up to three pairs are never doubted (`a=b`
against `b=a` is 1); fonts do not count (`\\\\mathbb{R}` is `R`), and `\\\\cdot` is a full stop; the scale of RANSAC is
taken about the middle of all pairs.

What differs from the published code, which starts LaTeX and ImageMagick for each formula and looks for colours in a
picture:

- boxes come from LaTeX's own DVI output and the fonts' metrics: no drawing, no colours that run into each other, no
  sign lost beyond the edge of the paper;
- what KaTeX would normalise is read by our own reader; a command that is not known is a box of that name (there: an
  error, or nothing),
  and so is a letter of another script (there: Chinese only);
- all names of functions go letter by letter (there `\\\\lim` and `\\\\sup` are one sign); `\\\\neq` and `\\\\not=` are
  one sign;
- the brackets of `pmatrix` and `cases` count as those of `\\\\left( … \\\\right)` do; `\\\\top` is no T;
- nothing is rounded, and RANSAC is seeded in any version of any library.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from sft.errors import UsageError
from sft.metrics.cdm import typeset
from sft.metrics.cdm.marked_latex import Marked, Unreadable, marked
from sft.metrics.cdm.typeset import InkBox

PART = 256  # pairs whose boxes are in memory at once: runaway answers have thousands
HINT = "LaTeX: apt-get install texlive-latex-base; scipy: pip install 'paddleocr-vl-sft[metrics]'"


def missing() -> str:
    """What CDM needs and is not installed, as part of a sentence; "" where all is there."""
    return ", ".join(filter(None, (typeset.missing(), "" if find_spec("scipy") else "scipy")))


def require() -> None:
    """Raises: UsageError where something is missing; EngineError where LaTeX is there but sets nothing."""
    if lacking := missing():
        raise UsageError(f"cdm needs LaTeX and scipy, and there is no {lacking}", hint=HINT)
    typeset.require()


def cdm(*, ref: str, pred: str) -> float | None:
    """F1 of the signs, 0 to 1; None where `ref` cannot be set, or where LaTeX or scipy is not there. Many pairs:
    `cdm_many`, which is much faster.
    """
    return cdm_many([ref], [pred])[0]


def cdm_many(refs: Sequence[str], preds: Sequence[str]) -> list[float | None]:
    """`cdm` of each pair; LaTeX is started once for some hundred formulas.

    ValueError: not as many of both. EngineError: LaTeX is there but sets nothing.
    """
    pairs = list(zip(refs, preds, strict=True))
    if missing():
        return [None] * len(pairs)
    return [value for start in range(0, len(pairs), PART) for value in _part(pairs[start : start + PART])]


def _part(pairs: Sequence[tuple[str, str]]) -> list[float | None]:
    read = {formula: _read(formula) for formula in dict.fromkeys(formula for pair in pairs for formula in pair)}
    sound = [signs for signs in dict.fromkeys(read.values()) if signs is not None and signs.names]
    set_ = dict(zip(sound, typeset.boxes(sound), strict=True))
    return [_scored(read[ref], read[pred], set_) for ref, pred in pairs]


def _read(formula: str) -> Marked | None:
    try:
        return marked(formula)
    except (Unreadable, RecursionError):
        return None


def _scored(ref: Marked | None, pred: Marked | None, boxes: dict[Marked, dict[int, InkBox] | None]) -> float | None:
    from sft.metrics.cdm.matching import Signs, f1

    def signs(formula: Marked | None) -> Signs | None:
        ink = boxes.get(formula) if formula else None
        if not formula or not ink:
            return None
        inked = sorted(ink)
        return Signs(
            tuple(formula.names[sign - 1] for sign in inked),
            tuple(ink[sign] for sign in inked),
        )

    wanted = signs(ref)
    if wanted is None:
        return None
    answer = signs(pred)
    return 0.0 if answer is None else f1(wanted, answer)
