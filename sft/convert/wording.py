"""What a conversion says beside its counts: warnings, notes, and why not one row could be used, as far as the first
rejects tell.
"""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Any

from sft import formats
from sft.convert.tally import Tally
from sft.convert.worker import ConvertRequest
from sft.formats import IMAGE_SUFFIXES

SHOWN, SHOWN_CHARACTERS = 3, 200  # rejects that are shown, and of the message of each
LOOKED_AT = 20  # rejects that tell why
NAMES_SHOWN = 8  # names that a warning holds
ALIKE = {
    "HTML tables": "table",
    "OTSL tables": "table",
    "formulas": "formula",
}  # of `convert_unit.looks_like` → the task that reads it
IMAGE_PATHS = "image paths count from the folder of the labels, --images DIR names another one"


def not_read(names: list[str]) -> str:
    """Those names as a sentence; "" for none."""
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return (
        f"also here, not read: {', '.join(names[:NAMES_SHOWN])}{more}; name such a file itself to convert it"
        if names
        else ""
    )


def warnings(inputs: list[dict[str, Any]], tally: Tally) -> list[str]:
    """What was done, but is likely not what was meant."""
    sentences = [not_read(inputs[0].get("not_read", []))]
    for looks, count in sorted(tally.alike.items()):
        sentences.append(
            f"{count} labels look like {looks}, and are taken as plain text; did you mean --task {ALIKE[looks]}?"
        )
    if len(tally.splits) > 1:
        rows = ", ".join(f"{split} {count}" for split, count in sorted(tally.splits.items(), key=lambda pair: -pair[1]))
        sentences.append(
            f"rows of several published splits are in one file ({rows}); each names its own as meta.split, and `sft"
            " split` keeps those of validation and test out of train; --split NAME takes one"
        )
    return [sentence for sentence in sentences if sentence]


def notes(tally: Tally) -> list[str]:
    """How the format understood what could be meant otherwise, with how many times."""
    return [f"{text} ({count} times)" if count > 1 else text for text, count in sorted(tally.notes.items())]


def first_rejects(rejects: Path) -> str:
    """Some rejects, each on a line of its own that begins with a line end."""
    return "".join(f"\n  {one['where']}: {one['message'][:SHOWN_CHARACTERS]}" for one in _read(rejects)[:SHOWN])


def advice(rejects: Path, order: ConvertRequest, *, missing: bool) -> str:
    """What to do about it; "" where nobody can know. `missing`: images were not found."""
    if swapped := _swapped(_read(rejects), order):
        return swapped
    return IMAGE_PATHS if missing and order.options.images is None else ""


def _read(rejects: Path) -> list[dict[str, str]]:
    with rejects.open("rb") as stream:
        return [json.loads(line) for line in islice(stream, LOOKED_AT)]


def _swapped(rejects: list[dict[str, str]], order: ConvertRequest) -> str:
    """What to do where names of images stand in the place of texts in every one of the rejects; "" elsewhere."""
    try:
        pieces = [json.loads(reject["raw"]) for reject in rejects]
    except ValueError:
        return ""
    if not all(isinstance(piece, dict) and _is_swapped(piece) for piece in pieces):
        return ""
    ending = "." + str(pieces[0]["text"]).strip().rpartition(".")[2]
    mapped = {"image", "text"} <= set(formats.get(order.format).columns)
    how = "name them with --map image=COLUMN --map text=COLUMN" if mapped else "swap them in the file"
    return f"the texts end in {ending} and the names of the images do not: the two columns are swapped; {how}"


def _is_swapped(piece: dict[str, Any]) -> bool:
    image = str(piece.get("image", "")).strip().lower()
    text = str(piece.get("text", "")).strip().lower()
    return text.endswith(IMAGE_SUFFIXES) and not image.endswith(IMAGE_SUFFIXES)
