"""What a drawn table is before it is drawn: its boxes and their texts."""

from __future__ import annotations

from dataclasses import dataclass

from sft.markup import Cell, Grid, MarkupError, latex
from sft.synth.base import Unfit


@dataclass(frozen=True)
class PlannedCell:
    """One cell of the plan: place, spans, what it says, and how it stands. `math`: the text is LaTeX without
    delimiters.
    """

    row: int
    column: int
    rows: int
    columns: int
    text: str
    header: bool
    align: str  # left, centre, right
    math: bool = False


@dataclass(frozen=True)
class TablePlan:
    """A table before it is drawn."""

    rows: int
    columns: int
    head: int  # header rows
    style: str  # one of STYLES
    boxes: tuple[PlannedCell, ...]

    def owners(self) -> list[list[int]]:
        """The number of the box that covers each place."""
        owner = [[-1] * self.columns for _ in range(self.rows)]
        for number, box in enumerate(self.boxes):
            for row in range(box.row, box.row + box.rows):
                for column in range(box.column, box.column + box.columns):
                    owner[row][column] = number
        return owner

    def target(self) -> str:
        """The OTSL that the model is to write."""
        cells = [
            (
                box.row,
                box.column,
                Cell(
                    latex.to_target(box.text, delimiters=r"\( \)") if box.math else box.text,
                    box.rows,
                    box.columns,
                    box.header,
                ),
            )
            for box in self.boxes
        ]
        try:
            return Grid.from_cells(self.rows, self.columns, cells).to_otsl()
        except MarkupError as error:
            raise Unfit(error.code, str(error)) from error
