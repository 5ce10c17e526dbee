"""Why a row does not fit the published schema, and which other format it looks like."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any

from sft.reasons import make, shorten
from sft.types import Problem

FOREIGN = {"messages": "messages", "llava": "conversations"}  # formats of chats → the key that gives them away


@cache
def _schema_validator() -> Any:
    """The published schema, with one thing it cannot say: 1.0 is no integer here, a trainer could not use it as an
    index.
    """
    from jsonschema import Draft202012Validator, validators

    extend: Any = validators.extend  # without types
    integers = Draft202012Validator.TYPE_CHECKER.redefine(
        "integer",
        lambda _, value: type(value) is int,
    )
    schema = json.loads(resources.files("sft.schema").joinpath("sample.schema.json").read_text("utf-8"))
    return extend(Draft202012Validator, type_checker=integers)(schema)


def explain_structure(raw: object, line: int) -> list[Problem]:
    """Why the schema refuses a row, in its own words: jsonschema finds the place, x-code and x-hint name it."""
    other = _other_format(raw)
    if other:
        hint = f"`sft convert {other} FILE -o OUT.jsonl` makes samples of such rows"
        return [
            make(
                "structure.object",
                f"this is a row of the format {other}: it has {FOREIGN[other]!r}, but no 'text_info'",
                line,
                hint,
            )
        ]
    problems = []
    for error in _schema_validator().iter_errors(raw):
        place = (
            "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.absolute_path).lstrip(".")
            or "the row"
        )
        problems.append(
            make(error.schema["x-code"], f"{place}: {shorten(error.message)}", line, error.schema["x-hint"])
        )
    return problems


def _other_format(raw: object) -> str:
    """The format that a row is in, where it is not ours; "" otherwise."""
    if isinstance(raw, dict) and not {"text_info", "image_info"} & raw.keys():
        return next(
            (name for name, key in FOREIGN.items() if isinstance(raw.get(key), list)),
            "",
        )
    return ""
