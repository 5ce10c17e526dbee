"""The card of a data set, `datasets/<name>/dataset.yaml`: what it is, where it is published, how its sample
is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from sft.errors import UsageError
from sft.files import open_input, plain_yaml
from sft.types import Task

MAX_CARD_BYTES = 1024**2

DataSetName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]  # becomes part of a file name


class _CardRecord(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FileRule(_CardRecord):
    """One published JSONL file. `rows` is what the publisher says, `sha256` what it must be, where known."""

    url: str
    rows: int | None = Field(None, ge=1)
    sha256: str | None = None


class SampleRule(_CardRecord):
    """How many rows the workbench draws itself where the published files are not wanted, and from which seed."""

    seed: int = Field(ge=0)
    train: int = Field(ge=1)
    test: int = Field(ge=1)


class Card(_CardRecord):
    """`datasets/<name>/dataset.yaml`."""

    name: DataSetName
    task: Task
    language: str
    licence: str
    files: dict[DataSetName, FileRule] = Field(min_length=1)
    sample: SampleRule | None = None
    note: str = ""


def load_card(card: Path | Mapping[str, Any]) -> Card:
    """A data set's card, checked; UsageError with every fault."""
    where, values = None, card
    if isinstance(card, Path):
        where = str(card)
        with open_input(card) as stream:
            text = stream.read(MAX_CARD_BYTES)
        try:
            values = plain_yaml.load(text)
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise UsageError(f"not YAML: {error}", where=where) from error
    try:
        return Card.model_validate(values)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc'])) or 'the card'}: {fault['msg'].lower()}" for fault in error.errors()
        )
        raise UsageError(faults, where=where, hint="datasets/bengali/dataset.yaml is a valid card") from error
