"""ERNIEKit's own rows, the hub: JSON lines, or one JSON array in a .json file; every key and value is kept, nothing is
fixed.

A row as in `docs/paddleocr_vl_sft.md` of PaddlePaddle/ERNIE (release/v1.4):

    {"image_info": [{"matched_text_index": 0, "image_url": "./assets/table_example.jps"}],
     "text_info": [{"text": "OCR:", "tag": "mask"}, {"text": "দডর মথ বধ বকসট একনজর দখই চনত পরল তর অনমন\\nঠক পনতই লকয
     রখছ", "tag": "no_mask"}]}

ERNIEKit's loader also takes `{"query", "response", "images", "history"}` with `<image>` marks and turns it into the
rows above; so does this one. A row whose structure the published schema (`sft/schema/sample.schema.json`) refuses is
rejected with the schema's reason; what else is wrong with a row, `sft validate` says. Relative paths count from the
file's folder, as the trainer has it; absolute paths are taken as they are. In a .json array a duplicate key
keeps its last value, as in the trainer; in JSON lines it is rejected.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from sft.errors import RowRejected
from sft.files import Unit
from sft.formats.base import Format, HubRow, ReadItem, Reject, SourceOptions
from sft.formats.messages import hub_row
from sft.formats.shared import Json, json_rows, json_stream, json_units, picture
from sft.schema import explain_structure
from sft.types import Sample, Task


def units(source: Path, options: SourceOptions) -> Iterator[Unit]:
    """Lines, or objects of an array."""
    yield from json_units(source)


def read(unit: Unit, options: SourceOptions) -> Iterator[ReadItem]:
    """A HubRow or a Reject for every row."""
    root = options.images or unit.path.parent
    for record in json_rows(unit, unique_keys=True):
        if isinstance(record, Reject):
            yield record
        elif "text_info" not in record[1] and "response" in record[1]:
            yield hub_row(*record, root)
        else:
            yield _row(*record, root)


def _row(where: str, row: Json, root: Path) -> HubRow | Reject:
    try:
        msgspec.convert(row, Sample)
        return HubRow(
            where,
            row,
            tuple(picture(image["image_url"], root) for image in row["image_info"]),
        )
    except msgspec.ValidationError as error:
        problems = explain_structure(row, 0)
        code, message = (problems[0].code, problems[0].message) if problems else ("structure.object", str(error))
        return Reject(where, code, message, json_stream.raw(row))
    except RowRejected as error:
        return Reject(
            where,
            error.code,
            str(error),
            json_stream.raw(row),
        )


FORMATS = {
    "erniekit": Format(
        name="erniekit",
        title="ERNIEKit text_info/image_info, the hub's own rows",
        origin="https://github.com/PaddlePaddle/ERNIE/blob/release/v1.4/docs/paddleocr_vl_sft.md",
        example=(
            '{"image_info": [{"image_url": "0.png", "matched_text_index": 0}], "text_info": [{"text": "OCR:", "tag":'
            ' "mask"}, {"text": "৪৫টি", "tag": "no_mask"}]}'
        ),
        tasks=tuple(Task),
        units=units,
        read=read,
    )
}
