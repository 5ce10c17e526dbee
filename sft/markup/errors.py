"""What is wrong with a piece of markup, as a value that converters and checks can count."""

from __future__ import annotations

from typing import NamedTuple

NAMED = 100  # warnings of one table that are kept


class MarkupError(ValueError):
    """Text that is not the markup it should be.

    `code` is a reason code of `sft.reasons` (such as `target.otsl`), `place` says where ("row 2, column 3", "offset
    17").
    """

    def __init__(self, code: str, message: str, *, place: str = "", hint: str = "") -> None:
        super().__init__(f"{place}: {message}" if place else message)
        self.code = code
        self.message = message
        self.place = place
        self.hint = hint


class MarkupWarning(NamedTuple):
    """What a reader fixed or dropped, and read on.

    `code` is a reason code of `sft.reasons` (such as `table.ragged`).
    """

    code: str
    message: str
