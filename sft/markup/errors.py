"""What is wrong with a piece of markup, as a value that converters and checks can count."""

from __future__ import annotations

from typing import NamedTuple

from sft.errors import RowRejected

NAMED = 100  # warnings of one table that are kept


class MarkupError(RowRejected, ValueError):
    """Text that is not the markup it should be; `code` is a reason code such as `target.otsl`."""


class MarkupWarning(NamedTuple):
    """What a reader fixed or dropped, and read on.

    `code` is a reason code of `sft.reasons` (such as `table.ragged`).
    """

    code: str
    message: str
