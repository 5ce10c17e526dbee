"""The published schema and the `Sample` in memory accept and refuse the same rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import resources
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from sft.files.jsonl import decode
from sft.reasons import REASONS
from sft.schema.explain import explain_structure
from sft.types import Sample

SCHEMA = json.loads(resources.files("sft.schema").joinpath("sample.schema.json").read_text("utf-8"))
STOCK = Draft202012Validator(SCHEMA)
EXAMPLES, ROWS_PER_EXAMPLE = 540, 20

numbers = [0, 1, -1, 7, 0.0, 1.0, 0.5, -0.0, 1e300, 2**63 - 1, 2**63, 2**64, 10**40, -(10**40)]
leaf: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, False, *numbers, "", "mask", "no_mask", "a.png", "0", [], {}]
) | st.text(max_size=3)
key = st.sampled_from(["text_info", "image_info", "text", "tag", "image_url", "matched_text_index", "meta"])
value: st.SearchStrategy[Any] = st.recursive(
    leaf, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(key, inner, max_size=3), max_leaves=6
)


def good() -> dict[str, Any]:
    return {
        "image_info": [{"image_url": "a.png", "matched_text_index": 0}, {"image_url": "b.png"}],
        "text_info": [{"text": "OCR:", "tag": "mask"}, {"text": "x", "tag": "no_mask"}],
        "meta": {"page": 3},
    }


def places(node: Any) -> Iterator[tuple[Any, Any]]:
    """(container, key) of every value in a row."""
    for name in list(node) if isinstance(node, dict) else range(len(node)):
        yield node, name
        if isinstance(node[name], (dict, list)):
            yield from places(node[name])


def mutate(data: st.DataObject, row: dict[str, Any]) -> None:
    container, name = data.draw(st.sampled_from(list(places(row))))
    action = data.draw(st.sampled_from(["replace", "remove", "add"]))
    if action == "replace":
        container[name] = data.draw(value)
    elif action == "remove":
        del container[name]
    elif isinstance(container, dict):
        container[data.draw(key)] = data.draw(value)
    else:
        container.append(data.draw(value))


def structure_accepts(row: object) -> bool:
    try:
        msgspec.convert(row, Sample)
    except msgspec.ValidationError:
        return False
    return True


def has_whole_float(row: Any) -> bool:
    images = row.get("image_info") if isinstance(row, dict) else None
    indices = (
        [image.get("matched_text_index") for image in images if isinstance(image, dict)]
        if isinstance(images, list)
        else []
    )
    return any(isinstance(index, float) and index.is_integer() for index in indices)


def test_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert STOCK.is_valid(good())


COMPARED = {"rows": 0, "accepted": 0}


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
    derandomize=True,
)
@given(st.data())
def compare(data: st.DataObject) -> None:
    row: Any = good()
    for _ in range(ROWS_PER_EXAMPLE):
        row = (
            row if row and data.draw(st.integers(0, 3)) else good()
        )  # now and then afresh, so that not all rows are ruins
        mutate(data, row)
        if not row:
            continue
        accepted = structure_accepts(row)
        assert bool(explain_structure(row, 1)) is not accepted, row  # a refusal is always explained, by the schema
        if not has_whole_float(row):  # 1.0 is an integer for JSON Schema, and nothing in its language says otherwise
            assert STOCK.is_valid(row) is accepted, row
        text = msgspec.json.encode(row)
        assert structure_accepts(json.loads(text)) is accepted
        if accepted:
            decode(text)
        else:
            with pytest.raises(msgspec.ValidationError):
                decode(text)
        COMPARED["rows"] += 1
        COMPARED["accepted"] += accepted


def test_both_sides_say_the_same() -> None:
    compare()
    assert COMPARED["rows"] >= 10_000
    assert 0.05 < COMPARED["accepted"] / COMPARED["rows"] < 0.95  # both verdicts are met often


def test_every_code_of_the_schema_is_a_reason() -> None:
    def nodes(node: Any) -> Iterator[dict[str, Any]]:
        if isinstance(node, dict):
            if "type" in node and isinstance(node["type"], str):
                yield node
            for inner in node.values():
                yield from nodes(inner)

    found = list(nodes(SCHEMA))
    assert len(found) == 9
    for node in found:
        assert node["x-code"] in REASONS
        assert REASONS[node["x-code"]][0] == "error"
        assert node["x-hint"]
