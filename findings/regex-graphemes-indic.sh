#!/bin/sh
# regex 2025.11.3: \X parts the Tamil conjunct KSSA and Sinhala conjuncts with ZWJ between their halves: rule GB9c of
# Unicode 15.1 keeps conjuncts of Devanagari, Bengali and others together, and Tamil and Sinhala are not in it. An error
# rate over graphemes counts two where a reader sees one letter. Seen: Bengali 1, Tamil 2.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'regex==2025.11.3'
"$work/venv/bin/python" - <<'PY'
import regex

for name, text, expected in (("Tamil kssa", "\u0b95\u0bcd\u0bb7", 2), ("Bengali kssa", "\u0995\u09cd\u09b7", None)):
    parts = regex.findall(r"\X", text)
    print(name, len(parts))
    assert expected is None or len(parts) == expected
PY
