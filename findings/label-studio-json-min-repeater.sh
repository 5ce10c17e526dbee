#!/bin/sh
# label-studio-sdk 2.1.2: the converter's JSON_MIN keeps no item_index, so that the regions of a task with several pages
# (a Repeater over images) can no longer be told apart by page; the full JSON has it. Seen: item_index in JSON, none in
# JSON_MIN.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'label-studio-sdk==2.1.2'
"$work/venv/bin/python" - <<'PY'
import json
import tempfile
from pathlib import Path

from label_studio_sdk.converter import Converter

CONFIG = """<View><Repeater on="$pages" indexFlag="{{idx}}"><Image name="page_{{idx}}" value="$pages[{{idx}}].url"/>
<RectangleLabels name="label_{{idx}}" toName="page_{{idx}}"><Label value="line"/></RectangleLabels></Repeater></View>"""
region = {
    "id": "r", "type": "rectanglelabels", "from_name": "label_1", "to_name": "page_1", "item_index": 1,
    "original_width": 100, "original_height": 50, "image_rotation": 0,
    "value": {"x": 1, "y": 1, "width": 10, "height": 10, "rotation": 0, "rectanglelabels": ["line"]},
}
task = {
    "id": 1, "data": {"pages": [{"url": "a.png"}, {"url": "b.png"}]},
    "annotations": [{"id": 1, "completed_by": 1, "was_cancelled": False, "result": [region]}],
}
with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    (folder / "in.json").write_text(json.dumps([task]))
    made = Converter(CONFIG, project_dir=None, download_resources=False)
    made.convert_to_json_min(str(folder / "in.json"), str(folder / "min"), is_dir=False)
    text = "".join(path.read_text() for path in (folder / "min").rglob("*.json"))
print(text[:300])
assert text and "item_index" not in text
PY
