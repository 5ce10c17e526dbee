"""CDM: formulas set by a real LaTeX, the matching step against the published one, and formulas that mean harm."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from latex import require_latex
from places import ROOT

from sft.cli.compare import compare
from sft.cli.evaluate import eval as eval_verb
from sft.errors import EngineError, UsageError
from sft.evaluation import results
from sft.evaluation.scores import EXTRAS, SCORES, pairs_of, require
from sft.files.jsonl import ocr_sample, write_samples
from sft.metrics import METRICS, function
from sft.metrics.cdm import cdm, cdm_many, missing, symbols, typeset
from sft.metrics.cdm.marked_latex import MAX_SIGNS, Marked, Unreadable, marked
from sft.metrics.cdm.matching import PIXEL, Signs, f1
from sft.metrics.cdm.typeset import Damaged, Metrics, read_metrics, read_pages
from sft.types import Prediction
from sft.workflows import suites

GOLDEN = json.loads((ROOT / "tests" / "golden" / "cdm.json").read_text("utf-8"))["pairs"]


@pytest.fixture(scope="module", autouse=True)
def _latex() -> None:
    require_latex()


def test_published_values() -> None:
    """As UniMERNet and OmniDocBench compute them."""
    pairs = [("a=b", "b=a"), (r"\mathbf{x}", "x"), (r"\frac{2}{30}", "2/30"), ("x^2+y^2=z^2", "x^2+y^2=z_2")]
    assert cdm_many(*zip(*pairs, strict=True)) == [1, 1, 0.5, 1]
    assert function("cdm")(ref=r"\frac{2}{30}", pred="2/30") == 0.5
    assert (
        "texlive" not in METRICS["cdm"].signature
        and METRICS["cdm"].signature == "cdm|boxes:dvi|near:25|seed:42|faults:published|corpus:mean|version:1.0"
    )


@pytest.mark.parametrize("pair", GOLDEN, ids=lambda pair: pair["pred"])
def test_matching_is_the_published_one(pair: dict[str, Any]) -> None:
    """The signs and boxes that the published code found in its own pictures give its own score; it rounds to three
    digits.
    """
    ref, pred = (
        Signs(tuple(side["names"]), tuple(tuple(round(place * PIXEL) for place in box) for box in side["boxes"]))
        for side in pair["signs"]
    )
    assert f1(ref, pred) == pytest.approx(pair["f1"], abs=0.00051)
    assert f1(ref, ref) == 1


def test_whole_scores_are_near_the_published_ones() -> None:
    """Of formulas that are whole: what is left over are thin signs that the published code does not find in its
    picture.
    """
    whole = [
        pair
        for pair in GOLDEN
        if not any(
            pair["pred"].count(left) > pair["pred"].count(right)
            for left, right in ((r"\begin", r"\end"), (r"\left", r"\right"))
        )
    ]
    assert len(whole) >= 7
    for pair, value in zip(
        whole, cdm_many([pair["ref"] for pair in whole], [pair["pred"] for pair in whole]), strict=True
    ):
        assert value == pytest.approx(pair["f1"], abs=0.006), pair["pred"]


SAME = [
    (r"\[\sum_{i=1}^n x_i\]", r"$\sum_{i=1}^{n}x_{i}$"),
    (r"\left(x\right)", "(x)"),
    (r"\big[a\big]", "[a]"),
    (r"\dfrac12", r"\frac{1}{2}"),
    ("{1 \\over 2}", r"\frac{1}{2}"),
    (r"\begin{pmatrix}a&b\\c&d\end{pmatrix}", r"\left(\begin{array}{cc}a&b\\c&d\end{array}\right)"),
    (r"\begin{align*}a&=b+c\\&=d\end{align*}", r"\begin{aligned}a&=b+c\\&=d\end{aligned}"),
    (r"\lim_{n\to\infty}\sup a_n", r"\lim_{n\rightarrow\infty}\operatorname{sup}a_n"),
    (r"f'^{2}\neq 0", r"f^{\prime2}\not=0"),
    ("α ≤ β…", r"\alpha\leq\beta\ldots"),
    (r"\text{if } x", r"\mathrm{if}\,x"),
    (r"a \tag{1} \label{eq}", "a"),
    (r"a % b" + "\n" + "c", "ac"),
    (r"\color{red}{a}\textcolor{blue}{b}", "ab"),
    (r"\hspace{-1.5em}a\kern 3pt b\\[2pt]", "ab"),
    (r"\text{ক 字}", r"\mathrm{ক字}"),
]
OTHER = [
    ("a", "b", 0),
    ("ab", "a", 2 / 3),
    (r"\hat{a}", "a", 2 / 3),
    (r"\overline{ab}", "ab", 0.8),
    (r"\sqrt[3]{x}", r"\sqrt{x}", 0.8),
    (r"\underbrace{a+b}_{n}", "a+b", 0.75),
    (r"\foo{a}", "a", 2 / 3),
    (r"\xrightarrow[a]{b}", r"\xrightarrow{b}", 0.8),
    (r"\binom{n}{k}", r"\frac{n}{k}", 2 / 3),
    (r"\overset{!}{=}", "=", 2 / 3),
    (r"\iint f", r"\int f", 0.5),
    ("a", r"\left(a", 2 / 3),
    (r"\substack{a\\b}c", "c", 0.5),
    ("a", r"\begin{cases}a", 2 / 3),
    (r"a\bmod b", "ab", 4 / 7),
    (r"10\%", "10", 0.8),
    (r"\cdots", "a", 0),
    (r"\left.a\middle|b\right]", "ab", 2 / 3),
]


def test_other_spellings_of_the_same_signs() -> None:
    for pair, value in zip(SAME, cdm_many([ref for ref, _ in SAME], [pred for _, pred in SAME]), strict=True):
        assert value == 1, pair


def test_other_signs() -> None:
    found = cdm_many([ref for ref, _, _ in OTHER], [pred for _, pred, _ in OTHER])
    for (ref, pred, expected), value in zip(OTHER, found, strict=True):
        assert value == pytest.approx(expected), (ref, pred)
    for (ref, pred, expected), value in zip(
        OTHER, cdm_many([pred for _, pred, _ in OTHER], [ref for ref, _, _ in OTHER]), strict=True
    ):
        assert value == pytest.approx(expected), (pred, ref)


@pytest.mark.parametrize(
    "broken",
    [
        r"\frac{a",
        "a}",
        r"\frac{a}",
        r"\frac",
        r"x^",
        r"\left(a}",
        r"\left a\right)",
        r"a\right)",
        r"\end{cases}",
        "{" * 3000,
        r"\hat" * 3000,
        "x" * (MAX_SIGNS + 1),
        "a" * 20_001,
        r"\sqrt[3",
        "{a{b}",
        r"\substack a",
    ],
)
def test_what_is_no_latex(broken: str) -> None:
    """A truth that cannot be set measures nothing; such an answer is wrong."""
    with pytest.raises(Unreadable):
        marked(broken)
    assert cdm_many([broken, "a"], ["a", broken]) == [None, 0]


def test_scores_do_not_depend_on_their_company(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither on order nor on how many are set at once."""
    refs = [f"\\frac{{{number}}}{{x_{number % 7}}}+y" for number in range(23)] + ["\\frac{", r"\foo"]
    preds = [f"{ref}{'ab' * (number % 9)}" for number, ref in enumerate(refs[::-1])]
    whole = cdm_many(refs, preds)
    monkeypatch.setattr("sft.metrics.cdm.PART", 4)
    monkeypatch.setattr(typeset, "BATCH", 3)
    assert cdm_many(refs, preds) == whole
    assert cdm_many(refs[::-1], preds[::-1]) == whole[::-1]
    assert len({value for value in whole if value is not None}) > 5 and None in whole


def test_nothing() -> None:
    assert cdm_many(["", "a", r"\,", "", r"\left.\right."], ["a", "", "", "", "a"]) == [None, 0, None, None, None]
    assert cdm_many([], []) == []
    assert f1(Signs((), ()), Signs((), ())) == 1
    with pytest.raises(ValueError, match="shorter|longer"):
        cdm_many(["a"], [])


ATTACKS = [
    r"\input{/etc/passwd}",
    r"\openout5=x \write5{x}",
    r"\immediate\write18{touch /tmp/x}",
    r"\def\x{\x}\x",
    r"\loop\iftrue\repeat",
    r"\csname input\endcsname{x}",
    r"\catcode`\a=0",
    r"\special{ps: x}",
    r"\end{document}",
    "^^5cinput{x}",
    r"\gdef\alpha{}\global\let\Z\relax",
    r"\makeatletter\@@input x",
    r"\pdffiledump offset 0 length 9{/etc/passwd}",
    r"\usepackage{x}",
    r"\shipout\hbox{}",
    r"\count0=5",
    "\x00\x01\ufeff",
    r"\begin{document}a\end{document}",
    "}}$$\\end",
    r"\Z{1}a\P{2}{b}\U",
    r"\halign{#\cr a\cr}",
    "#1",
    r"\vrule height 9999pt",
    r"\kern 99999pt a",
    r"\hspace{16000pt}a",
]


def test_formulas_that_mean_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """None of their commands reaches LaTeX, and their neighbours keep their scores."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    refs = [ref for attack in ATTACKS for ref in (attack, r"\alpha+\beta=2")]
    found = cdm_many(refs, refs)
    assert found[1::2] == [1] * len(ATTACKS)
    for attack in ATTACKS:
        try:
            latex = marked(attack).latex
        except Unreadable:
            continue
        for word in (
            "input",
            "write",
            "def",
            "csname",
            "catcode",
            "special",
            "document",
            "^^",
            "pdf",
            "shipout",
            "count",
            "let",
            "repeat",
            "package",
        ):
            assert f"\\{word}" not in latex, attack
    assert not list(tmp_path.iterdir())  # every folder is gone


def test_one_formula_never_costs_another_its_score() -> None:
    """What LaTeX stumbles over is found by halves; here it is given what our own writing never gives it."""
    sound = [marked(f"x_{number}+\\frac{{{number}}}{{b}}") for number in range(9)]
    evil = [
        Marked(text, ("x",))
        for text in (r"\Z{1}x}}}", r"\end{document}", r"\Z{1}{x", r"\undefined\batchmode\csname endinput\endcsname")
    ]
    found = typeset.boxes([*sound[:4], evil[0], *sound[4:6], evil[1], sound[6], evil[2], sound[7], evil[3], sound[8]])
    kept = [found[place] for place in (0, 1, 2, 3, 5, 6, 8, 10, 12)]
    assert kept == typeset.boxes(sound) and all(kept)


def test_a_formula_that_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(typeset, "SECONDS", 1.0)
    loop = Marked(r"\def\x{\x}\x", ("x",))
    found = typeset.boxes([marked("a"), loop])
    assert found[0] and found[1] is None


def test_latex_may_not_read_or_write_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second wall behind the first."""
    secret, target = tmp_path / "secret.tex", tmp_path / "written"
    secret.write_text("\\Z{1}x")
    attacks = [
        Marked(f"\\input {secret} ", ("x",)),
        Marked(f"\\immediate\\openout5={target} \\immediate\\write5{{x}}\\immediate\\closeout5 \\Z{{1}}x", ("x",)),
        Marked(f"\\immediate\\write18{{touch {target}}}\\Z{{1}}x", ("x",)),
    ]
    found = typeset.boxes(attacks)
    assert not found[0] and not target.exists()


def test_latex_that_does_not_work_gives_no_zeros(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is there and ends with an error, or there is no room: that is nobody's wrong answer."""
    broken = tmp_path / "bin"
    broken.mkdir()
    (broken / "latex").write_text("#!/bin/sh\nexit 1\n")
    (broken / "latex").chmod(0o755)
    with monkeypatch.context() as patch:
        patch.setenv("PATH", f"{broken}{os.pathsep}{os.environ['PATH']}")
        with pytest.raises(EngineError, match="does not work here"):
            cdm(ref="a", pred="b")
        with pytest.raises(EngineError, match="does not work here"):
            require(["cdm"])
    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
        with pytest.raises(EngineError, match="writing failed"):
            cdm(ref="a", pred="b")
    run = subprocess.run

    def no_fonts(words: list[str], **more: Any) -> Any:
        if words[0] == "kpsewhich":
            raise subprocess.TimeoutExpired(words, 30)
        return run(words, **more)

    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "run", no_fonts)
        typeset._metrics.cache_clear()
        with pytest.raises(EngineError, match="does not work here"):
            cdm(ref="a", pred="b")
    assert cdm(ref="a", pred="a") == 1


WORDS = [
    *symbols.SYMBOLS,
    *symbols.LARGE,
    *symbols.INTEGRALS,
    *symbols.DOTS,
    *symbols.NAMES,
    *symbols.LIMITS,
    *symbols.MODULO,
    *symbols.DELIMITERS,
    *symbols.SIZES,
    *symbols.ACCENTS,
    *symbols.STRETCHED,
    *symbols.LONG_ARROWS,
    *symbols.STACKED,
    *symbols.INFIX,
    *symbols.FONTS,
    *symbols.CLASSES,
    *symbols.STYLES,
    *symbols.SPACES,
    *symbols.HIDDEN,
    *symbols.PLAIN,
    *symbols.ESCAPED,
    "\\not",
    "\\substack",
    "\\sqrt",
    "\\frac",
    "\\binom",
    "\\foo",
    "ক",
    "\\limits",
    "_",
    "^",
    "'",
    "&",
    "\\\\",
    "[",
    "]",
    "{",
    "}",
]


def test_every_command_is_set_without_an_error() -> None:
    """Each alone, with arguments for those that want them: its page is there, and every sign on it has a box."""
    alone = [
        marked(f"{word}{{x}}{{y}} z" if word not in ("&", "{", "}", "]", "[") else "z")
        for word in sorted(set(WORDS) - set(symbols.SWITCHES))
    ]
    for formula, boxes in zip(alone, typeset.boxes(alone), strict=True):
        assert boxes is not None and boxes.keys() == set(range(1, len(formula.names) + 1)), formula


def nested(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        inner.map("{{{}}}".format),
        inner.map(r"\left({}\right]".format),
        inner.map(r"\sqrt[{}]{{x}}".format),
        st.tuples(inner, inner).map(lambda two: f"\\frac{{{two[0]}}}{{{two[1]}}}_{{{two[1]}}}"),
        st.tuples(inner, inner).map(lambda two: f"\\begin{{pmatrix}}{two[0]}&{two[1]}\\\\{two[1]}\\end{{pmatrix}}"),
        st.lists(inner, min_size=1, max_size=3).map(" ".join),
    )


@settings(max_examples=6)
@given(
    st.lists(
        st.recursive(
            st.lists(st.sampled_from([word for word in WORDS if word not in "{}"]), min_size=1, max_size=5).map(
                " ".join
            ),
            nested,
            max_leaves=6,
        ),
        min_size=60,
        max_size=60,
    )
)
def test_whatever_is_read_can_be_set(formulas: list[str]) -> None:
    """LaTeX finds no fault in what is written for it, so one run gives all pages; and a formula equals itself."""
    readable = []
    for formula in formulas:
        try:
            readable.append(marked(formula))
        except Unreadable:
            continue
    pages, clean = typeset._run(readable)
    assert clean and pages.keys() == set(range(1, len(readable) + 1))


PIECES = [
    *"ab{}[]^_&'\\$%#~ ",
    "\\frac",
    "\\left(",
    "\\right)",
    "\\begin{array}{c}",
    "\\end{array}",
    "\\over",
    "\\\\",
    "\\sqrt",
    "\\rm",
    "\\text",
    "\\tag",
    "\\limits",
]


@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = marked(text)
    except Unreadable:
        return
    assert found.latex.count("{") == found.latex.count("}") or "\\{" in found.latex or "\\}" in found.latex
    assert "\n\n" not in found.latex and found.latex.isascii()


def test_files_that_tex_did_not_write() -> None:
    for data in (b"", b"\xf7", bytes(range(256)) * 4, b"\x00\x0c" * 40, b"\xff" * 100):
        assert read_pages(data, lambda _: Metrics({})) == {}
        with pytest.raises(Damaged):
            read_metrics(data)


@given(st.binary(max_size=300), st.integers(0, 400))
def test_damaged_output_is_no_traceback(noise: bytes, cut: int) -> None:
    page = bytes([247, 2]) + bytes(12) + b"\x00" + bytes([139]) + bytes(44)
    read_pages((page + noise)[:cut], lambda _: Metrics({97: (10, 10, 10)}))


def preds() -> list[Prediction]:
    rows = [
        ("Formula Recognition:", r"\[\frac{2}{30}\]", "2/30"),
        ("Formula Recognition:", "x", "x"),
        ("Formula Recognition:", r"\frac{x", "x"),
        ("OCR:", "a", "b"),
        ("Formula Recognition:", "x", ""),
    ]
    return [
        Prediction(number, "a.png", prompt, ref, answer, "stop", 0.1, "lost" if number == 5 else "")
        for number, (prompt, ref, answer) in enumerate(rows, 1)
    ]


def test_only_where_it_is_asked_for() -> None:
    assert "cdm" in EXTRAS and SCORES["cdm"].kind == "bounded"
    assert not any(pair and "cdm" in pair for pair in pairs_of(preds()))
    found = pairs_of(preds(), extras=["cdm"])
    assert [pair.get("cdm") if pair else "lost" for pair in found] == [(0.5, 1), (1, 1), None, None, "lost"]
    known, unscored = results.scored(preds(), ["cdm"])
    assert known == found and not unscored
    row = {"data": "x.jsonl"}
    assert suites.Suite.model_validate(
        {"name": "a", "sets": {"b": row, "c": {**row, "metrics": ["similarity", "cdm"]}}}
    ).extras == {"cdm"}
    assert suites.Suite.model_validate({"name": "a", "sets": {"b": row}}).extras == set()


def test_without_latex(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Absent, never zero; and refused at once where it is asked for by name."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert cdm(ref="a", pred="a") is None and cdm_many(["a", "b"], ["a", "b"]) == [None, None] and "latex" in missing()
    assert all("cdm" not in (pair or {}) for pair in pairs_of(preds(), extras=["cdm"]))
    with pytest.raises(UsageError, match="there is no latex") as caught:
        require(["cdm"])
    assert "texlive-latex-base" in (caught.value.hint or "")
    require(())
    for verb, arguments in ((eval_verb, [str(tmp_path)]), (compare, ["a=b", "c=d"])):
        assert CliRunner().invoke(verb, [*arguments, "--metric", "nothing"]).exit_code == 2  # a name that nobody has
    (tmp_path / "a.jsonl").write_text("")
    done = CliRunner().invoke(compare, [f"a={tmp_path / 'a.jsonl'}", "--metric", "cdm"])
    assert isinstance(done.exception, UsageError)


def test_evaluate_and_compare(tmp_path: Path) -> None:
    """The score in every file that a person looks at."""
    rows = [ocr_sample("a.png", "Formula Recognition:", pred.ref) for pred in preds()[:3]]
    write_samples(tmp_path / "data.jsonl", rows)
    (tmp_path / "pred.jsonl").write_text(
        "".join(json.dumps({"id": pred.id, "pred": pred.pred}) + "\n" for pred in preds()[:3]), "utf-8"
    )
    command = [
        sys.executable,
        str(ROOT / "eval" / "evaluate.py"),
        "--pred",
        str(tmp_path / "pred.jsonl"),
        "--data",
        str(tmp_path / "data.jsonl"),
        "-o",
        str(tmp_path / "out"),
        "--metric",
        "cdm",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out" / "results.json").read_text("utf-8"))
    assert found["tasks"]["formula"]["scores"]["cdm"] == 0.75
    assert found["metrics"]["cdm"]["version"] == METRICS["cdm"].version
    assert "CDM" in (tmp_path / "out" / "report.md").read_text("utf-8")
    ran = CliRunner().invoke(compare, [f"a={tmp_path / 'out'}", f"b={tmp_path / 'out'}", "--metric", "cdm", "--json"])
    assert any(line["metric"] == "cdm" for line in json.loads(ran.stdout)["lines"]), ran.output
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=ROOT, env={**os.environ, "PATH": str(tmp_path)}
    )
    assert done.returncode == 2 and "there is no latex" in done.stderr and "hint" in done.stderr
