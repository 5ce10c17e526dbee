"""Charts as tables of text: the style that PaddleOCR-VL is trained in, and the styles that others write.

Training style (ERNIE docs/paddleocr_vl_sft_zh.md): rows by line, cells by ` | `, no outer pipes, no ruler, a blank
first cell as two blanks: `  | 22Q3 | 22Q3yoy`. The trainers strip a target, so what is learnt for such a corner is `|
22Q3 | …`; `parse_rows` reads both. A `|` inside a label has no escape: the PaddleOCR pipeline cuts there.

Other styles: Markdown tables; CSV and TSV (ChartQA); DePlot, `TITLE | t <0x0A> Year | A <0x0A> 2010 | 5`; UniChart,
rows by ` & `; StructChart, with `\\t` and `\\n` as two characters each.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable

from sft.markup.errors import MarkupError
from sft.markup.text import clean_characters, plain_blanks

ChartRows = list[list[str]]
MAX_LENGTH = 1 << 20  # characters of one chart; answers end at some 20 000

_RULER = re.compile(r"\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?")
_NEWLINE = "<0x0A>"  # DePlot's token for a line end
_DEPLOT_END = re.compile(r"<0x0A>|\n")
_TITLE = re.compile(r"\s*TITLE \|")
_ESCAPED_PIPE = "\\|"
_HIDDEN = "\ue000"  # private use: stands for an escaped pipe while a row is cut


def parse_rows(text: str, style: str = "auto") -> ChartRows:
    """The rows of a chart written in `style` (a key of STYLES) or, with "auto", in the one that `style_of` finds.

    Rows come as they are, ragged ones too: `to_target` and `check` complain. Raises MarkupError: `target.empty` for
    nothing, `source.syntax` for CSV that is none, `source.too_large`.
    """
    if len(text) > MAX_LENGTH:
        raise MarkupError("source.too_large", f"a chart of {len(text)} characters; {MAX_LENGTH} are read")
    if not text.strip():
        raise MarkupError("target.empty", "a chart without rows")
    return STYLES[style_of(text) if style == "auto" else style](text)


def style_of(text: str) -> str:
    """The style that `text` looks like: a key of STYLES. A table of commas and pipes is taken for the one
    with pipes.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    if _NEWLINE in text or _TITLE.match(text):
        return "deplot"
    if len(lines) == 1 and "\\n" in text and "\\t" in text:
        return "structchart"
    if len(lines) == 1 and " & " in text and " | " in text:
        return "unichart"
    if "|" in text:
        return "markdown" if is_markdown(text) else "training"
    return "tsv" if "\t" in text else "csv"


def is_markdown(text: str) -> bool:
    """Has it what the model does not write, a ruler or pipes on both sides of every row?"""
    lines = [line for line in text.split("\n") if line.strip()]
    if len(lines) > 1 and "|" in lines[1] and "-" in lines[1] and _RULER.fullmatch(lines[1].strip()):
        return True
    return bool(lines) and all(
        line.startswith("|") and line.rstrip().endswith("|") and len(line.rstrip()) > 1 for line in lines
    )


def from_training(text: str) -> ChartRows:
    """Rows of the training style, with or without the blanks of a blank corner."""
    return [[_cell(part) for part in line.split("|")] for line in text.split("\n") if line.strip()]


def from_markdown(text: str) -> ChartRows:
    """Rows of a Markdown table: outer pipes and the ruler are dropped, `\\|` is a pipe."""
    rows: ChartRows = []
    for number, line in enumerate(line.strip() for line in text.split("\n") if line.strip()):
        if number == 1 and "-" in line and _RULER.fullmatch(line):
            continue
        inner = line.replace(_ESCAPED_PIPE, _HIDDEN)
        inner = inner[1:] if inner.startswith("|") else inner
        inner = inner[:-1] if inner.endswith("|") else inner
        rows.append([_cell(part.replace(_HIDDEN, "|")) for part in inner.split("|")])
    return rows


def from_csv(text: str, *, delimiter: str = ",") -> ChartRows:
    """Rows of CSV with the quoting of RFC 4180; blank rows and columns that are blank to the right are dropped."""
    try:
        rows = [
            [_cell(cell) for cell in row]
            for row in csv.reader(io.StringIO(text.lstrip("\ufeff"), newline=""), delimiter=delimiter)
        ]
    except csv.Error as error:
        raise MarkupError("source.syntax", f"not CSV: {error}") from None
    rows = [row for row in rows if any(row)]
    while rows and len(rows[0]) > 1 and all(len(row) == len(rows[0]) and not row[-1] for row in rows):
        rows = [row[:-1] for row in rows]
    return rows


def from_tsv(text: str) -> ChartRows:
    """Rows by line, cells by tab, no quoting."""
    return [[_cell(cell) for cell in line.split("\t")] for line in text.splitlines() if line.strip()]


def from_deplot(text: str) -> ChartRows:
    """Rows of DePlot's output; its `TITLE` row is dropped, for the training style has no title."""
    rows = [[_cell(part) for part in line.split("|")] for line in _DEPLOT_END.split(text) if line.strip()]
    return rows[1:] if rows and rows[0][0].upper() == "TITLE" else rows


def from_unichart(text: str) -> ChartRows:
    """Rows of UniChart's output. A piece between two ` & ` without a ` | ` begins the label after it ("R & D | 5")."""
    pieces: list[str] = []
    waiting: list[str] = []
    for piece in text.split(" & "):
        waiting.append(piece)
        if "|" in piece:
            pieces.append(" & ".join(waiting))
            waiting = []
    if waiting and pieces:
        pieces[-1] = " & ".join([pieces[-1], *waiting])
    elif waiting:
        pieces = [" & ".join(waiting)]
    return [[_cell(part) for part in piece.split("|")] for piece in pieces if piece.strip()]


def from_structchart(text: str) -> ChartRows:
    """Rows by a literal `\\n`, cells by a literal `\\t`: a backslash and a letter."""
    return [[_cell(cell) for cell in line.split("\\t")] for line in text.split("\\n") if line.strip()]


STYLES: dict[str, Callable[[str], ChartRows]] = {
    "training": from_training,
    "markdown": from_markdown,
    "csv": from_csv,
    "tsv": from_tsv,
    "deplot": from_deplot,
    "unichart": from_unichart,
    "structchart": from_structchart,
}


def _cell(text: str) -> str:
    """One line, one plain blank between words, no invisible characters."""
    text = clean_characters(text).replace("\n", " ")
    return plain_blanks(text).strip()


def _checked(rows: ChartRows, *, forbidden: tuple[str, ...] = ("|",)) -> ChartRows:
    """Cleaned rows of one width, without blank ones; MarkupError `target.empty`, `target.chart` or
    `source.inexpressible` otherwise.
    """
    rows = [row for row in ([_cell(cell) for cell in row] for row in rows) if any(row)]
    if not rows:
        raise MarkupError("target.empty", "a chart without rows")
    width = len(rows[0])
    if width < 2:
        raise MarkupError("target.chart", "a single column; labels and numbers need at least two", place="row 1")
    for number, row in enumerate(rows, 1):
        if len(row) != width:
            raise MarkupError(
                "target.chart",
                f"{len(row)} cells, but row 1 has {width}",
                place=f"row {number}",
            )
        for column, cell in enumerate(row, 1):
            if sign := next((sign for sign in forbidden if sign in cell), ""):
                raise MarkupError(
                    "source.inexpressible",
                    f"{sign!r} inside a label, where it would separate cells",
                    place=f"row {number}, column {column}",
                )
    return rows


def to_target(rows: ChartRows) -> str:
    """Rows in the training style, numbers as they are written. Wholly blank rows are dropped.

    Raises MarkupError: `target.empty` without a row, `target.chart` for one column or rows of different length,
    `source.inexpressible` for a `|` inside a cell.
    """
    return "\n".join([" | ".join([row[0] or " ", *row[1:]]) for row in _checked(rows)])


def check(text: str) -> None:
    """Raise MarkupError `target.chart` unless `text` is rows of one width and at least two columns in the training
    style; `target.empty` if it is blank.
    """
    if not text.strip():
        raise MarkupError("target.empty", "a chart without rows")
    lines = [line for line in text.split("\n") if line.strip()]
    width = lines[0].count("|") + 1
    if width < 2:
        raise MarkupError(
            "target.chart", "no ' | ' in it", place="row 1", hint="a chart is rows of cells: a label, then its numbers"
        )
    for number, line in enumerate(lines, 1):
        if line.count("|") + 1 != width:
            raise MarkupError(
                "target.chart", f"{line.count('|') + 1} cells, but row 1 has {width}", place=f"row {number}"
            )
