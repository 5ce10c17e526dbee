"""Letters that a machine may have no font for: a subset of the Bengali font that ships, inside the page.

Without one, a browser draws boxes, and a report of Bengali answers tells nothing on a server or in CI. The font of `sft/synth/fonts` is
under the SIL Open Font License. Cut down to the letters of one page, with all their conjuncts, it has some 40 to 110 kB.
"""

from __future__ import annotations

import base64
import re
import unicodedata
from functools import lru_cache
from pathlib import Path

FONT = Path(__file__).parent.parent / "synth" / "fonts" / "NotoSansBengali-Regular.ttf"
FAMILY = "Bengali of this page"
LETTERS = re.compile("[\u0980-\u09ff]")
WITH = "\u0020\u0964\u0965\u200c\u200d\u25cc"  # dandas, joiners, and the circle that a mark without its letter stands on
RANGE = "U+0980-09FF, U+0964-0965, U+200C-200D, U+25CC"


def face(text: str) -> str:
    """The @font-face rule for the Bengali letters of a page; "" where it has none."""
    letters = "".join(sorted(set(LETTERS.findall(text))))
    return _face(letters) if letters else ""


@lru_cache(maxsize=8)
def _face(letters: str) -> str:
    encoded = base64.b64encode(subset(letters)).decode()
    return f'@font-face {{ font-family: "{FAMILY}"; src: url(data:font/ttf;base64,{encoded}); unicode-range: {RANGE}; }}'


def subset(letters: str) -> bytes:
    """The font with these letters alone, and whatever they become beside each other; without hints, which small print on old screens had."""
    import uharfbuzz as hb

    wanted = hb.SubsetInput()
    wanted.sets(hb.SubsetInputSets.UNICODE).set({ord(letter) for letter in letters + WITH + unicodedata.normalize("NFD", letters)})  # shaping takes ো apart
    wanted.flags = hb.SubsetFlags.NO_HINTING
    found = hb.subset(hb.Face(hb.Blob.from_file_path(str(FONT))), wanted)
    return bytes(found.blob.data)
