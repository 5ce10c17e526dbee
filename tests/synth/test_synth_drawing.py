"""What is drawn is what is said: direction of writing, ink, wrapped lines, grids, numbers on axes, trimmed formulas."""

from __future__ import annotations

import ast
import random
from importlib import metadata
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sft.errors import UsageError
from sft.markup.chart import to_target
from sft.markup.latex import check
from sft.markup.text import controls, invisible, lookalikes, marks_missing
from sft.synth import charts, degrade, font_files, formulas, layout, table_plan, tables, text, words
from sft.synth.base import Setting, Unfit
from sft.synth.glyphs import BENGALI_FONT

DEJAVU = font_files.find(["DejaVuSans"])[0]
FONTS = (DEJAVU, BENGALI_FONT)
SETTING = Setting(FONTS)
seeds = st.integers(0, 10**6)


def order_of(text_: str, base: int | None = None) -> str:
    """The characters of a text from left to right, by where their glyphs stand; for fonts with one glyph a letter."""
    font = font_files.face(DEJAVU)
    names = {font.get_nominal_glyph(ord(char)): char for char in text_}
    line = layout.shape(text_, [DEJAVU], base=base)
    return "".join(names.get(glyph.number, "?") for glyph in sorted(line.glyphs, key=lambda glyph: glyph.x))


def test_hebrew_is_written_from_the_right_and_numbers_in_it_from_the_left() -> None:
    assert order_of("אבג") == "גבא"
    assert order_of("אב 123 גד") == "דג 123 בא"
    assert order_of("ab אב 12 cd") == "ab 12 בא cd"
    assert order_of("אב xyz 4", 1) == "xyz 4 בא"
    assert order_of("אב-12", 1) == "12-בא"


def test_arabic_letters_join_and_stand_from_the_right() -> None:
    joined, apart = layout.shape("عدد", [DEJAVU]), [layout.shape(char, [DEJAVU]) for char in "عد"]
    assert (
        joined.glyphs[-1].number != apart[0].glyphs[0].number
    )  # the first letter, now at the right end, has its joining form
    assert (
        joined.glyphs[0].number == apart[1].glyphs[0].number
    )  # the last one stands alone, as d joins nothing after it
    assert joined.glyphs[1].number != apart[1].glyphs[0].number
    assert layout.levels("عدد 12 x", 1) == [1, 1, 1, 1, 2, 2, 1, 2]
    assert layout.levels("ab", 0) == [0, 0]


def test_brackets_are_mirrored() -> None:
    left = font_files.face(DEJAVU).get_nominal_glyph(ord("("))
    assert layout.shape("(א", [DEJAVU]).glyphs[-1].number != left


def test_each_script_is_shaped_by_its_own_rules_in_one_line() -> None:
    alone, mixed = layout.shape("কি", FONTS), layout.shape("ab কি", FONTS)
    assert [glyph.number for glyph in mixed.glyphs[-2:]] == [glyph.number for glyph in alone.glyphs]
    assert {glyph.font for glyph in mixed.glyphs} == set(FONTS)


def painted(line: layout.ShapedLine, em: float = 64) -> np.typing.NDArray[np.float32]:
    canvas = np.zeros((120, 120), np.float32)
    layout.paint(canvas, line, x=20, baseline=80, em=em)
    return canvas


def test_islands_in_holes_are_filled() -> None:
    """The letter inside the ring of © is there, the ring's inside is not."""
    ink = painted(layout.shape("©", [DEJAVU])) > 0.5
    count, _ = cv2.connectedComponents(ink.astype(np.uint8))
    assert count - 1 == 2
    zero = painted(layout.shape("o", [DEJAVU])) > 0.5
    assert cv2.connectedComponents((~zero).astype(np.uint8))[0] - 1 == 2


def test_the_other_winding_fills_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """PostScript outlines wind the other way round."""
    line = layout.shape("®8", [DEJAVU])
    before = painted(line)
    signs = layout._signs
    monkeypatch.setattr(layout, "_signs", lambda font, number: tuple(-sign for sign in signs(font, number)))
    assert np.array_equal(before, painted(line))
    assert before.max() == 1


def test_what_a_font_cannot_draw_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"font DejaVuSans.ttf has no glyph for '字' \(U\+5B57\)"):
        layout.shape("a字", [DEJAVU])
    with pytest.raises(Unfit, match="without the letter that carries it"):
        layout.shape("ি", [BENGALI_FONT])
    for name, content in {
        "empty.ttf": b"",
        "noise.ttf": bytes(range(256)) * 40,
        "cut.ttf": BENGALI_FONT.read_bytes()[:1000],
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UsageError, match="not a font"):
            font_files.find([str(tmp_path / name)])


@settings(max_examples=60, deadline=None)
@given(seeds, st.integers(5, 30))
def test_wrapped_lines_hold_the_text_and_their_width(seed: int, width: int) -> None:
    sentence = words.make(random.Random(seed), FONTS).sentence(12)
    rows = text.wrap(sentence, FONTS, width)
    assert "".join(rows).replace(" ", "") == sentence.replace(" ", "")
    assert all(layout.shape(row, FONTS).advance <= width + 0.5 for row in rows)


def test_a_long_word_is_cut_between_letters_with_their_marks() -> None:
    rows = text.wrap("ক্ষি" * 30, FONTS, 8)
    assert len(rows) > 1 and all(row == "ক্ষি" * (len(row) // 4) for row in rows)
    assert text.wrap("ক্ষি" * 30, FONTS, 8, whole_words=True) == ["ক্ষি" * 30]


@settings(max_examples=40, deadline=None)
@given(seeds)
def test_made_up_words_are_sound(seed: int) -> None:
    for language in words.LANGUAGES.values():
        maker = words.Words(random.Random(seed), language, (), language.currency)
        made = [maker.sentence(8), maker.line(), maker.label(3)]
        for line in made:
            assert not font_files.missing(line, FONTS)
            layout.shape(line, FONTS)  # no mark without its letter
            assert not controls(line) and not invisible(line) and not lookalikes(line)
        assert not marks_missing(" ".join(made))


@settings(max_examples=60, deadline=None)
@given(seeds)
def test_planned_tables_are_covered_once_and_can_be_told_apart(seed: int) -> None:
    plan = tables.plan(random.Random(seed), SETTING)
    assert sum(box.rows * box.columns for box in plan.boxes) == plan.rows * plan.columns
    assert all(number >= 0 for row in plan.owners() for number in row)
    assert tables.visible(plan)
    target = plan.target()
    assert target.count("<nl>") == plan.rows
    assert target.count("<fcel>") == sum(bool(box.text) for box in plan.boxes)
    if plan.style in ("none", "three-line", "columns"):
        assert all(box.header for box in plan.boxes if box.rows * box.columns > 1)


def test_spans_and_borders_of_all_kinds_come() -> None:
    plans = [tables.plan(random.Random(seed), SETTING) for seed in range(300)]
    assert {plan.style for plan in plans} == set(tables.STYLES)
    targets = "".join(plan.target() for plan in plans)
    assert all(token in targets for token in ("<lcel>", "<ucel>", "<xcel>", "<ecel>", r"\( "))
    assert {plan.head for plan in plans} == {0, 1, 2}


def test_rules_stand_between_cells_and_not_inside_spans() -> None:
    """In a grid, the row of pixels through the middle of a cell meets one dark rule at each of its sides."""
    from sft.synth.table_drawing import picture

    box = table_plan.PlannedCell
    boxes = (box(0, 0, 1, 2, "", True, "left"), box(1, 0, 1, 1, "", False, "left"), box(1, 1, 1, 1, "", False, "left"))
    for seed in range(10):
        image, _ = picture(table_plan.TablePlan(2, 2, 1, "grid", boxes), random.Random(seed), FONTS)
        grey = np.abs(image.astype(float).mean(axis=2) - image[0, 0].mean())
        runs = [
            int((np.diff(np.concatenate([[0], (grey[row] > 90).astype(int)])) == 1).sum())
            for row in (round(image.shape[0] * 0.35), round(image.shape[0] * 0.65))
        ]
        assert runs == [2, 3]


@settings(max_examples=60, deadline=None)
@given(seeds)
def test_planned_charts_can_be_read(seed: int) -> None:
    plan = charts.plan(random.Random(seed), SETTING)
    assert len(set(plan.labels)) == len(plan.labels) and len(set(plan.series)) == len(plan.series)
    assert all(len(values) == len(plan.labels) for values in plan.values)
    for value in (value for values in plan.values for value in values):
        assert value > 0
        if not plan.printed:
            steps = value / plan.scale.step
            assert abs(steps - round(steps)) < 1e-6 and steps <= plan.scale.steps + 1e-6
    if plan.scale.suffix == "%" and plan.kind == "pie":
        assert sum(plan.values[0]) == pytest.approx(100)
    lines = to_target(plan.rows()).split("\n")
    assert len(lines) == len(plan.labels) + 1 and all(len(line.split(" | ")) == len(plan.series) + 1 for line in lines)


@pytest.mark.parametrize("kind", sorted(set(charts.KINDS)))
def test_every_kind_of_chart_is_drawn(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(charts, "KINDS", (kind,))
    for fonts in ((DEJAVU,), (BENGALI_FONT,)):
        drawn = charts.draw_chart(random.Random(5), Setting(fonts))
        assert drawn.image.std() > 5
        assert (max(drawn.target) >= "\u0995") == (fonts == (BENGALI_FONT,))


def test_labels_too_long_for_a_chart() -> None:
    with pytest.raises(UsageError, match="different short texts"):
        charts.draw_chart(random.Random(1), Setting((DEJAVU,), ("same",) * 5))


@settings(max_examples=80, deadline=None)
@given(seeds)
def test_formulas_of_the_grammar_are_sound_latex(seed: int) -> None:
    latex = formulas.Grammar(random.Random(seed), matrices=bool(seed % 2)).formula()
    check(latex)  # raises
    if "\\begin" not in latex:
        assert formulas.mathtext(latex, 30).max() > 0.5


def pipeline_function(name: str) -> Any:
    """One function of PaddleX's `paddleocr_vl/uilts.py`; importing the module would import the whole of PaddleX."""
    path = Path(str(metadata.distribution("paddlex").locate_file("paddlex/inference/pipelines/paddleocr_vl/uilts.py")))
    found: list[ast.stmt] = [
        node
        for node in ast.parse(path.read_text("utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name == name
    ]
    space: dict[str, Any] = {"np": np}
    exec(compile(ast.Module(found, []), str(path), "exec"), space)
    return space[name]


def test_trimming_is_what_the_pipeline_does() -> None:
    crop_margin = pipeline_function("crop_margin")
    rng = np.random.default_rng(1)
    for _ in range(40):
        image = np.full((120, 200, 3), rng.integers(120, 256), np.uint8)
        top, left = rng.integers(0, 60, 2)
        image[top : top + 40, left : left + 60] = rng.integers(0, 256, (40, 60, 3))
        image = degrade.noise(image, rng, 0.2)
        assert np.array_equal(formulas.trimmed(image), crop_margin(image))
    plain = np.full((50, 50, 3), 255, np.uint8)
    assert formulas.trimmed(plain).shape == (50, 50, 3)
    plain[25, 25] = 0
    assert formulas.trimmed(plain).shape == (28, 28, 3)


@pytest.mark.parametrize("name", list(degrade.EFFECTS))
def test_effects_are_pure_and_stronger_with_strength(name: str) -> None:
    image = text.draw_paragraph(random.Random(2), Setting((DEJAVU,))).image
    before = image.copy()
    first, again = (degrade.EFFECTS[name](image, np.random.default_rng(4), 0.8) for _ in range(2))
    assert np.array_equal(first, again) and np.array_equal(image, before)
    assert first.dtype == np.uint8 and first.ndim == 3
    weak, strong = (degrade.EFFECTS[name](image, np.random.default_rng(4), strength) for strength in (0.05, 1.0))
    if name == "skew":
        assert weak.shape[0] < strong.shape[0]
    else:
        assert weak.shape == strong.shape == image.shape
        assert np.abs(weak.astype(int) - image).mean() < np.abs(strong.astype(int) - image).mean()


def test_levels_grow() -> None:
    image = text.draw_paragraph(random.Random(2), Setting((DEJAVU,))).image
    assert np.array_equal(degrade.apply(image, np.random.default_rng(0), "none", 30), image)
    changes = []
    for level in ("light", "medium", "strong"):
        drawn = [degrade.apply(image, np.random.default_rng(seed), level, 30) for seed in range(40)]
        same = [picture for picture in drawn if picture.shape == image.shape]
        changes.append(float(np.mean([np.abs(picture.astype(int) - image).mean() for picture in same])))
    assert changes == sorted(changes) and changes[0] > 0.2
