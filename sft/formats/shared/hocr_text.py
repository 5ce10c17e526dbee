"""What a line of hOCR says: its words, their characters, and which of several readings counts.

Inside a word (`ocrx_word`, `ocr_word`) white space is layout. Text between the words of a line belongs to it, too: a
soft hyphen stands there, by the specification. What else is in a line:

- characters (`ocrx_cinfo`, `ocr_cinfo`, `ocr_glyph`, `ocr_glyphs`): each is a piece of its word. Where the line has no
  words, white space between single characters is a blank, unless all of them have it;
- choices, as Tesseract writes them with `lstm_choice_mode` (`ocr_symbol`, and elements of characters around elements
  of characters without `x_bboxes`): other readings of what stands before them, so no text. An element with `x_bboxes`
  that holds nothing but choices is the first of them;
- `<span class="alternatives">` with `<ins>` and `<del>`: the first `<ins>`. A `<del>` beside an `<ins>`, or of class
  `alt`, is no text, nor is what `hidden` or `display:none` hides;
- a picture (`<img>`) is its `alt`; one without is a glyph that nobody read, and the line has no label.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sft.formats.shared import xml_safe
from sft.markup import MarkupError, clusters, join_words

if TYPE_CHECKING:
    from lxml.etree import _Element

WORDS = {"ocrx_word", "ocr_word"}
CHARACTERS = {"ocrx_cinfo", "ocr_cinfo", "ocr_glyph", "ocr_glyphs", "ocr_symbol"}
_BOX = re.compile(r"(?:^|;)\s*bbox\s+(-?\d{1,7})\s+(-?\d{1,7})\s+(-?\d{1,7})\s+(-?\d{1,7})")
_SIZE = re.compile(r"(?:^|;)\s*x_size\s+(\d{1,6}(?:\.\d{1,6})?)")
_PLACED = re.compile(r"(?:^|;)\s*(?:x_bboxes|cuts)\b")
_HIDDEN = re.compile(r"display\s*:\s*none", re.IGNORECASE)


@dataclass(frozen=True)
class Piece:
    """A part of a line or word: `kind` is text, character, choice (a character without a place), or word."""

    kind: str
    text: str = ""
    element: _Element | None = None


@dataclass
class _Words:
    """The words of a line as they come, and where their boxes begin and end."""

    texts: list[str] = field(default_factory=list)
    boxes: list[tuple[float, float, float, float] | None] = field(default_factory=list)

    def add(self, text: str, box: tuple[float, float, float, float] | None, *, glued: bool) -> None:
        """One more word; `glued`: it goes on with the one before."""
        if glued and self.texts:
            self.texts[-1] += text
            self.boxes[-1] = box or self.boxes[-1]
        else:
            self.texts.append(text)
            self.boxes.append(box)

    def add_loose(self, text: str) -> bool:
        """What stands between two words; True where the next word goes on with it."""
        if ink := " ".join(text.split()):
            self.add(ink, None, glued=not text[0].isspace())
            return not text[-1].isspace()
        return False

    def gaps(self, size: float) -> list[float | None]:
        """The space before each word, in units of `size`."""
        found: list[float | None] = [None]
        for left, right in zip(self.boxes, self.boxes[1:], strict=False):
            found.append((right[0] - left[2]) / size if left and right else None)
        return found


def box_of(element: _Element) -> tuple[float, float, float, float] | None:
    """(left, top, right, bottom) of the bbox in the title of an element."""
    found = _BOX.search(element.get("title", ""))
    if not found:
        return None
    left, top, right, bottom = (float(value) for value in found.groups())
    return left, top, right, bottom


def has_class(element: _Element, names: set[str]) -> bool:
    """Whether an element has one of these classes."""
    return not names.isdisjoint((element.get("class") or "").split())


def line_text(line: _Element, *, tesseract: bool) -> str:
    """The text of a line; MarkupError (source.inexpressible) where a glyph in it is only a picture.

    `tesseract`: the boxes are Tesseract's, and tell where it saw blanks.
    """
    pieces = list(_pieces(line, words=True))
    if not any(piece.kind == "word" for piece in pieces):
        return _of_characters(pieces, inside_word=False)
    words, loose = _Words(), ""
    for piece in pieces:
        if piece.element is None:
            loose += piece.text if piece.kind != "choice" else ""
        elif text := _word(piece.element):
            words.add(text, box_of(piece.element), glued=words.add_loose(loose))
            loose = ""
        else:
            loose += " "
    words.add_loose(loose)
    return join_words(words.texts, words.gaps(_size(line)) if tesseract else ())


def struck(element: _Element) -> bool:
    """Whether an element is a reading that does not count: a `<del>` beside an `<ins>` or of class alt, or hidden."""
    if element.get("hidden") is not None or (_HIDDEN.search(element.get("style", "")) is not None):
        return True
    if element.tag != "del":
        return False
    parent = element.getparent()
    return has_class(element, {"alt"}) or (
        parent is not None and (parent.find("ins") is not None or has_class(parent, {"alternatives"}))
    )


def _size(line: _Element) -> float:
    """How tall the letters of a line are, in pixels."""
    found, box = _SIZE.search(line.get("title", "")), box_of(line)
    return max(1.0, float(found[1]) if found else box[3] - box[1] if box else 1.0)


def _word(word: _Element) -> str:
    if len(word) == 0:
        return " ".join((word.text or "").split())
    return _of_characters(list(_pieces(word, words=False)), inside_word=True)


def _pieces(element: _Element, *, words: bool) -> Iterator[Piece]:
    """The parts of an element in order; with `words`, words are parts of their own."""
    if element.text:
        yield Piece("text", element.text)
    for child in element:
        yield from _inner(child, words=words)
        if child.tail:
            yield Piece("text", child.tail)


def _inner(child: _Element, *, words: bool) -> Iterator[Piece]:
    classes = set((child.get("class") or "").split())
    if words and not classes.isdisjoint(WORDS):
        if not struck(child):
            yield Piece("word", element=child)
    elif struck(child):
        return
    elif child.tag == "img":
        if not (child.get("alt") or "").strip():
            raise MarkupError("source.inexpressible", "a glyph that is only a picture; nobody has read it")
        yield Piece("character", child.get("alt", ""))
    elif "alternatives" in classes:
        chosen = child.find("ins")
        if chosen is None:
            chosen = next(iter(child), None)
        yield from _pieces(chosen if chosen is not None else child, words=words)
    elif not classes.isdisjoint(CHARACTERS):
        yield from _character(child)
    elif child.tag == "br":
        yield Piece("text", " ")
    else:
        yield from _pieces(child, words=words)


def _character(element: _Element) -> Iterator[Piece]:
    """A character, or a choice."""
    placed = _PLACED.search(element.get("title", "")) is not None
    inner = list(_pieces(element, words=False))
    if any(piece.kind == "choice" for piece in inner) and not any(
        piece.kind == "text" and piece.text.strip() for piece in inner
    ):
        if placed:  # choices for this place
            yield Piece("character", next(piece.text for piece in inner if piece.kind == "choice"))
        return
    text = _of_characters(inner, inside_word=True)
    if not text and len(element):
        return
    named = has_class(element, {"ocr_glyph", "ocr_glyphs"}) or any(piece.kind == "character" for piece in inner)
    yield Piece("character" if placed or named else "choice", text or " ")


def _of_characters(pieces: list[Piece], *, inside_word: bool) -> str:
    """The text of pieces without words."""
    if any(piece.kind == "text" and piece.text.strip() for piece in pieces):
        pieces = [piece for piece in pieces if piece.kind != "choice"]
    characters = [piece for piece in pieces if piece.kind != "text"]
    if not characters:
        return " ".join("".join([piece.text for piece in pieces]).split())
    if inside_word or _laid_out(pieces, characters):
        pieces = [piece for piece in pieces if piece.kind != "text" or piece.text.strip()]
    return " ".join(
        "".join(
            [piece.text.strip() if inside_word and piece.kind == "text" else piece.text for piece in pieces]
        ).split()
    )


def _laid_out(pieces: list[Piece], characters: list[Piece]) -> bool:
    """Whether the white space between the characters of a line is layout: all of them are single, and all have it."""
    if any(len(clusters(piece.text.strip())) > 1 for piece in characters):
        return False
    return "cc" not in "".join(["t" if piece.kind == "text" else "c" for piece in pieces])


def of_class(element: _Element, names: set[str]) -> Iterator[_Element]:
    """Elements of a tree with one of these classes, in order."""
    for found in element.iter():
        if not names.isdisjoint((found.get("class") or "").split()):
            yield found


def plain(element: _Element) -> str:
    """All text of an element, for a Reject."""
    return " ".join(xml_safe.text_of(element).split())
