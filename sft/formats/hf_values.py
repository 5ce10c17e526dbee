"""Values inside the columns of a row: through structs, lists and JSON strings, by a path with dots."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sft.errors import RowRejected
from sft.formats.shared import json_stream


def value_at(row: Mapping[str, Any], path: str) -> Any:
    """The value of a column, or of a place inside it ("ground_truth.gt_parse.text_sequence"), through structs and JSON
    strings.

    Raises RowRejected with source.shape where there is no such place.
    """
    if path in row:
        return row[path]
    value: Any = row
    for step in path.split("."):
        if isinstance(value, str):
            value = json_value(value)
        if isinstance(value, list):
            value = _entry(value, step)
            if step.isdecimal():
                continue
        if not isinstance(value, Mapping) or step not in value:
            raise RowRejected("source.shape", f"no {step!r} in this row")
        value = value[step]
    return value


def _entry(values: list[Any], step: str) -> Any:
    """The entry of a list that a step of a path means: by its number, or the only one."""
    if step.isdecimal() and len(step) < 9 and int(step) < len(values):
        return values[int(step)]
    if len(values) == 1 and not step.isdecimal():
        return values[0]
    raise RowRejected(
        "source.shape", f"{len(values)} entries in a list: which one is {step!r} of? A number (from 0) says so"
    )


def json_value(text: str) -> Any:
    """What a JSON string holds; RowRejected where it holds none."""
    value = json_stream.decode(text.encode("utf-8", "surrogatepass"))
    if isinstance(value, json_stream.JsonFault):
        raise RowRejected(value.code, value.message)
    return value
