#!/bin/sh
# table-recognition-metric 0.0.4: TEDS over HTML compares the text of td cells only. With th in the header any text of
# a header cell gives the full score, as long as the structure is the same; the same words in td are counted. Seen:
# header wrong in th 1.0, in td below 1.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'table-recognition-metric==0.0.4'
"$work/venv/bin/python" - <<'PY'
from table_recognition_metric import TEDS

teds = TEDS()


def score(tag, ref, pred):
    page = "<html><body><table><tr><{0}>{1}</{0}></tr><tr><td>7</td></tr></table></body></html>"
    return teds(page.format(tag, ref), page.format(tag, pred))


print("th", score("th", "Year", "Total"), "td", score("td", "Year", "Total"))
assert score("th", "Year", "Total") == 1.0
assert score("td", "Year", "Total") < 0.9
PY
