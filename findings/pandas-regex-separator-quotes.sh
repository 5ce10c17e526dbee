#!/bin/sh
# pandas 2.3.3: with a regular expression as separator (as in the loader of EasyOCR's trainer: file name, first comma, label)
# quotation marks around a label are kept, with a plain separator they are removed. A CSV that a spreadsheet saved is
# therefore trained with its quotation marks there, and without them by any other reader. Seen: '"a, b"' and 'a, b'.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'pandas==2.3.3'
"$work/venv/bin/python" - <<'PY'
import io

import pandas

text = 'filename,words\n1.png,"a, b"\n'
regex = pandas.read_csv(io.StringIO(text), sep="^([^,]+),", engine="python", usecols=["filename", "words"])
plain = pandas.read_csv(io.StringIO(text))
print(repr(regex["words"][0]), repr(plain["words"][0]))
assert regex["words"][0] == '"a, b"' and plain["words"][0] == "a, b"
PY
