"""`sft synth formula --latex` with a real LaTeX."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest
from latex import require_latex

from sft.errors import EngineError
from sft.synth import latex_drawing
from sft.synth.base import Unfit
from sft.synth.generate import SynthRequest, synth


@pytest.fixture(scope="module", autouse=True)
def _latex() -> None:
    require_latex()


def test_formulas_are_drawn(tmp_path: Path) -> None:
    account = synth(SynthRequest("formula", 4, seed=2, latex=True, degrade="none", workers=1), tmp_path / "x.jsonl")
    assert account["counts"] == {"in": 4, "out": 4, "rejected": 0, "reasons": {}}
    for line in (tmp_path / "x.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        image = cv2.imread(str(tmp_path / row["image_info"][0]["image_url"]))
        assert image is not None and min(image.shape[:2]) >= 28 and int(image.max()) - int(image.min()) > 100, row


def test_ink_is_cut_to_nothing_but_its_box() -> None:
    """All of it: an integral and an f lean out of the boxes that LaTeX reckons with."""
    for latex in (r"\int_0^1 f", r"\begin{cases}a & b \\ c & d\end{cases}", r"\text{if } x \in \mathbb{R}", "f"):
        ink = latex_drawing.render(latex, 40)
        assert all(edge.max() > 0 for edge in (ink[0], ink[-1], ink[:, 0])) and ink.max() == 1, latex
    small, large = latex_drawing.render("x", 20), latex_drawing.render("x", 40)
    assert large.shape[0] == pytest.approx(2 * small.shape[0], abs=2)
    assert 14 <= large.shape[0] <= 22  # an x is some 0.43 em high


@pytest.mark.parametrize(
    "latex",
    [
        r"\wrong",
        "a}b",
        "{",
        "_^",
        " ",
        r"\input{x}",
        r"\InputIfFileExists{/etc/passwd}{}{}",
        r"\pdffiledump offset 0 length 9{/etc/passwd}",
        r"\def\x{\x}\x",
        r"\let\x=a",
        "$",
        r"\begin{nothing}a\end{nothing}",
    ],
)
def test_what_is_not_drawn(latex: str) -> None:
    with pytest.raises(Unfit):
        latex_drawing.render(latex, 30)


def test_a_formula_that_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latex_drawing, "REFUSED", ())
    monkeypatch.setattr(latex_drawing, "SECONDS", 1)
    with pytest.raises(Unfit, match="latex did not finish this formula in 1 s"):
        latex_drawing.render(r"\def\x{\x}\x", 30)


def test_a_file_elsewhere_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind the words that are refused stands LaTeX's own guard."""
    (tmp_path / "secret.tex").write_text("x")
    monkeypatch.setattr(latex_drawing, "REFUSED", ())
    with pytest.raises(Unfit, match="LaTeX cannot draw this"):
        latex_drawing.render(f"\\input{{{tmp_path / 'secret.tex'}}}", 30)


def test_a_latex_without_its_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every formula would fail: that is no fault of the first one."""
    monkeypatch.setattr(latex_drawing, "PAGE", latex_drawing.PAGE.replace("amssymb", "nosuchpackage"))
    with pytest.raises(EngineError, match="nosuchpackage"):
        latex_drawing.render("x", 30)
