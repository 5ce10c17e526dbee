"""Writers of the notations that charts come in, to read them back in tests."""

from __future__ import annotations

import csv
import io

from sft.markup.chart import ChartRows

_PIPE, _ESCAPED_PIPE = "|", "\\|"
_NEWLINE = "<0x0A>"  # DePlot's token for a line end


def to_markdown(rows: ChartRows) -> str:
    """A Markdown table with outer pipes and a ruler; a `|` in a cell is written `\\|`."""
    lines = [f"| {' | '.join(cell.replace(_PIPE, _ESCAPED_PIPE) for cell in row)} |" for row in rows]
    return "\n".join([lines[0], f"|{' --- |' * len(rows[0])}", *lines[1:]])


def to_csv(rows: ChartRows) -> str:
    """CSV with quotes where they are needed and \\n as line end."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()


def to_deplot(rows: ChartRows, title: str = "") -> str:
    """DePlot's linearisation: `TITLE | title <0x0A> Year | A <0x0A> 2010 | 5`."""
    lines = [" | ".join(row) for row in rows]
    return f" {_NEWLINE} ".join([f"TITLE | {title}".rstrip(), *lines])


def to_unichart(rows: ChartRows) -> str:
    """UniChart's linearisation: cells by ` | `, rows by ` & `."""
    return " & ".join(" | ".join(row) for row in rows)
