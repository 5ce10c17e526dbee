#!/bin/sh
# openpyxl 3.1.5 names built-in number formats that Excel shows otherwise: 44 (accounting) has lost the semicolons between
# its sections, and the East Asian ones 27 to 36 and 50 to 58 are unknown and read as General, so that a date of a
# Japanese or Chinese workbook is a bare number. A table label made of such a cell is not what the picture shows.
# Seen: 44 without a semicolon, 27 -> General.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'openpyxl==3.1.5'
"$work/venv/bin/python" - <<'PY'
from openpyxl.styles.numbers import BUILTIN_FORMATS, builtin_format_code

print("44:", builtin_format_code(44), "| 27:", BUILTIN_FORMATS.get(27))
assert ";" not in builtin_format_code(44)
assert BUILTIN_FORMATS.get(27) in (None, "General")
PY
