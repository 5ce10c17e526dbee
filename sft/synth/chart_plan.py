"""A chart before it is drawn: its numbers, how they are written, and the table that they make."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """Numbers that lie on grid lines: 0, `step`, 2 `step` … `steps` of them, every `major`-th with its number at the
    axis.
    """

    step: float
    steps: int
    major: int
    decimals: int
    suffix: str
    comma: bool

    def show(self, value: float) -> str:
        """A number as the axis and the answer write it."""
        return f"{value:{',' if self.comma else ''}.{self.decimals}f}{self.suffix}"


@dataclass(frozen=True)
class Chart:
    """A chart before it is drawn: `values[series][label]` in units of the scale's step; `printed`: beside each bar or
    point.
    """

    kind: str
    title: str
    labels: tuple[str, ...]
    series: tuple[str, ...]
    values: tuple[tuple[float, ...], ...]
    scale: Scale
    printed: bool
    named_by: str  # where the name of a single series stands: legend, axis, title

    def rows(self) -> list[list[str]]:
        """The table: names of the series above, a row for each label."""
        return [
            ["", *self.series],
            *(
                [label, *(self.scale.show(values[index]) for values in self.values)]
                for index, label in enumerate(self.labels)
            ),
        ]
