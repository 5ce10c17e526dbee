"""What a line of hOCR says: its words, their characters, and which of several readings counts.

Inside a word (`ocrx_word`, `ocr_word`) white space is layout. Text between the words of a line belongs to it, too: a
soft hyphen stands there, by the specification. What else is in a line:

- characters (`ocrx_cinfo`, `ocr_cinfo`, `ocr_glyph`, `ocr_glyphs`): each is a piece of its word. Where the line has no
  words, white space between single characters is a blank, unless all of them have it;
- choices, as Tesseract writes them with `lstm_choice_mode` (`ocr_symbol`, and elements of characters around elements
  of characters without `x_bboxes`; `ocr_glyph` in version 4): other readings of what stands before them, so no text.
  An element with `x_bboxes` that holds nothing but choices is the first of them, and so is one in a word of nothing
  else;
- `<span class="alternatives">` with `<ins>` and `<del>`: the first `<ins>`. A `<del>` beside an `<ins>`, or of class
  `alt`, is no text, nor is what `hidden` or `display:none` hides in a line;
- a picture (`<img>`) is its `alt`; one without is a glyph that nobody read, and the line has no label.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from sft.errors import RowRejected
from sft.formats.shared import xml_safe
from sft.markup import clusters, join_words

if TYPE_CHECKING:
    from lxml.etree import _Element

LINES = {"ocr_line", "ocrx_line", "ocr_header", "ocr_footer", "ocr_caption", "ocr_textfloat", "ocr_pageno"}
WORDS = {"ocrx_word", "ocr_word"}
GLYPHS = {"ocr_glyph", "ocr_glyphs"}
CHARACTERS = {"ocrx_cinfo", "ocr_cinfo", "ocr_symbol"} | GLYPHS
_BOX = re.compile(r"(?:^|;)\s*bbox\s+(-?\d{1,7})\s+(-?\d{1,7})\s+(-?\d{1,7})\s+(-?\d{1,7})")
_SPAN = re.compile(r"bbox (-?\d{1,7}) -?\d{1,7} (-?\d{1,7}) ")
_SIZE = re.compile(r"(?:^|;)\s*x_size\s+(\d{1,6}(?:\.\d{1,6})?)")
_PLACED = re.compile(r"(?:^|;)\s*(?:x_bboxes|cuts)\b")
_HIDDEN = re.compile(r"display\s*:\s*none", re.IGNORECASE)
_MAY_BE_HIDDEN = "boolean(.//@hidden | .//@style)"


@dataclass(frozen=True)
class HocrPiece:
    """A part of a line or word. `kind`: text, character, choice (a character without a place, which counts only where
    there is no text), choices (the first of a list, which counts only where there is nothing else), or word.
    """

    kind: str
    text: str = ""
    element: _Element | None = None


def box_of(element: _Element) -> tuple[float, float, float, float] | None:
    """(left, top, right, bottom) of the bbox in the title of an element."""
    match = _BOX.search(element.get("title", ""))
    return (float(match[1]), float(match[2]), float(match[3]), float(match[4])) if match else None


def has_class(element: _Element, names: set[str]) -> bool:
    """Whether an element has one of these classes."""
    return not names.isdisjoint(element.get("class", "").split())


def of_class(element: _Element, names: set[str]) -> Iterator[_Element]:
    """Elements of a tree with one of these classes, in order."""
    for child in element.iter():
        if (classes := child.get("class")) and not names.isdisjoint(classes.split()):
            yield child


def plain(element: _Element) -> str:
    """All text of an element, for a Reject."""
    return " ".join(xml_safe.text_of(element).split())


class HocrPage:
    """The lines of an `ocr_page`, which `program` cut into words (`sft.markup.words`)."""

    def __init__(self, page: _Element, program: str) -> None:
        self.page, self.program = page, program
        self._may_be_struck = next(page.iter("del"), None) is not None or bool(page.xpath(_MAY_BE_HIDDEN))
        self._with_ins: dict[_Element, bool] = {}  # parents of <del>

    def lines(self) -> Iterator[_Element]:
        """The lines; of lines within each other, the innermost that have a place."""
        frames_of = {line: self._frames(line) for line in of_class(self.page, LINES)}
        frames: set[_Element] = set()
        for line, around in frames_of.items():
            if around and box_of(line):
                frames.update(around)
        for line, around in frames_of.items():
            if line not in frames and (not around or box_of(line)):
                yield line

    def _frames(self, line: _Element) -> list[_Element]:
        """The lines around a line."""
        frames: list[_Element] = []
        parent = line.getparent()
        while parent is not None and parent is not self.page:
            if has_class(parent, LINES):
                frames.append(parent)
            parent = parent.getparent()
        return frames

    def text(self, line: _Element) -> str:
        """The text of a line.

        RowRejected: source.ignored where it is another reading, source.inexpressible where a glyph in it is only a
        picture. A line that is hidden as a whole is read: hOCR lies hidden over images, too.
        """
        if self._may_be_struck and any(map(self._deleted, (line, *line.iterancestors()))):
            raise RowRejected("source.ignored", "another reading of a line")
        return self._of_plain_words(line) or self._of_pieces(line)

    def _of_plain_words(self, line: _Element) -> str:
        """The text of a line that is nothing but words without anything in them, as nearly all are; else ""."""
        if (line.text and not line.text.isspace()) or self._may_be_struck:
            return ""
        texts: list[str] = []
        words: list[_Element | None] = []
        for child in line:
            if len(child) or child.get("class") not in WORDS or (child.tail and not child.tail.isspace()):
                return ""
            if text := " ".join((child.text or "").split()):
                texts.append(text)
                words.append(child)
        return join_words(texts, self.program, partial(_gaps, line, words))

    def _of_pieces(self, line: _Element) -> str:
        pieces = list(self._pieces(line, words=True))
        if not any(piece.kind == "word" for piece in pieces):
            return _of_characters(pieces, inside_word=False)
        texts: list[str] = []
        words: list[_Element | None] = []
        loose = ""
        for piece in (*pieces, HocrPiece("word")):
            if piece.kind != "word":
                loose += piece.text if piece.kind in ("text", "character") else ""
                continue
            text = self._word(piece.element) if piece.element is not None else ""
            goes_on = False  # with what stands between the two words
            if ink := " ".join(loose.split()):
                if texts and not loose[0].isspace():
                    texts[-1] += ink
                else:
                    texts.append(ink)
                    words.append(None)
                goes_on = not loose[-1].isspace()
            loose = "" if text else " "
            if text and goes_on:
                texts[-1] += text
                words[-1] = piece.element
            elif text:
                texts.append(text)
                words.append(piece.element)
        return join_words(texts, self.program, partial(_gaps, line, words))

    def _struck(self, element: _Element) -> bool:
        """Whether an element in a line is a reading that does not count, or hidden."""
        if element.get("hidden") is not None or _HIDDEN.search(element.get("style", "")):
            return True
        return self._deleted(element)

    def _deleted(self, element: _Element) -> bool:
        if element.tag != "del":
            return False
        parent = element.getparent()
        if parent is not None and parent not in self._with_ins:
            self._with_ins[parent] = parent.find("ins") is not None or has_class(parent, {"alternatives"})
        return has_class(element, {"alt"}) or (parent is not None and self._with_ins[parent])

    def _word(self, word: _Element) -> str:
        if len(word) == 0:
            return " ".join((word.text or "").split())
        return _of_characters(list(self._pieces(word, words=False)), inside_word=True)

    def _pieces(self, element: _Element, *, words: bool) -> Iterator[HocrPiece]:
        """The parts of an element in order; with `words`, words are parts of their own."""
        if element.text:
            yield HocrPiece("text", element.text)
        for child in element:
            if not (self._may_be_struck and self._struck(child)):
                yield from self._inner(child, words=words)
            if child.tail:
                yield HocrPiece("text", child.tail)

    def _inner(self, child: _Element, *, words: bool) -> Iterator[HocrPiece]:
        classes = set(child.get("class", "").split())
        if words and not classes.isdisjoint(WORDS):
            yield HocrPiece("word", element=child)
        elif child.tag == "img":
            if not child.get("alt", "").strip():
                raise RowRejected("source.inexpressible", "a glyph that is only a picture, without its character")
            yield HocrPiece("character", child.get("alt", ""))
        elif "alternatives" in classes:
            chosen = child.find("ins")
            if chosen is None:
                chosen = next(iter(child), child)
            if not chosen.get("id", "").startswith("choice_"):
                yield from self._pieces(chosen, words=words)
        elif not classes.isdisjoint(CHARACTERS):
            yield from self._character(child)
        elif child.tag == "br":
            yield HocrPiece("text", " ")
        else:
            yield from self._pieces(child, words=words)

    def _character(self, element: _Element) -> Iterator[HocrPiece]:
        """A character, a choice, or a list of choices."""
        placed = _PLACED.search(element.get("title", "")) is not None
        inner = list(self._pieces(element, words=False))
        kinds = {piece.kind for piece in inner}
        if kinds & {"choice", "choices"} and not any(piece.kind == "text" and piece.text.strip() for piece in inner):
            first = next(piece.text for piece in inner if piece.kind in ("choice", "choices"))
            yield HocrPiece("character" if placed else "choices", first)
            return
        text = _of_characters(inner, inside_word=True)
        if text or not len(element):
            certain = placed or "character" in kinds or (has_class(element, GLYPHS) and not _is_choice(element))
            yield HocrPiece("character" if certain else "choice", text or " ")


def _is_choice(element: _Element) -> bool:
    """Whether Tesseract wrote this as one reading of several."""
    return element.get("id", "").startswith("choice_") or "x_confs" in element.get("title", "")


def _gaps(line: _Element, words: list[_Element | None]) -> list[float | None]:
    """The space before each word, in heights of the letters of the line; None where it is not known."""
    size, spans = _size(line), [None if word is None else _span(word) for word in words]
    gaps: list[float | None] = [None]
    for left, right in zip(spans, spans[1:], strict=False):
        gaps.append((right[0] - left[1]) / size if left and right else None)
    return gaps


def _span(word: _Element) -> tuple[float, float] | None:
    """Where a word begins and ends."""
    match = _SPAN.match(word.get("title", ""))  # as Tesseract writes it, and nearly everybody
    if match:
        return int(match[1]), int(match[2])
    box = box_of(word)
    return (box[0], box[2]) if box else None


def _size(line: _Element) -> float:
    """How tall the letters of a line are, in pixels."""
    match = _SIZE.search(line.get("title", ""))
    box = box_of(line)
    return max(
        1.0,
        float(match[1]) if match else box[3] - box[1] if box else 1.0,
    )


def _of_characters(pieces: list[HocrPiece], *, inside_word: bool) -> str:
    """The text of pieces without words."""
    if any(piece.kind == "text" and piece.text.strip() for piece in pieces):
        pieces = [piece for piece in pieces if piece.kind in ("text", "character")]
    elif any(piece.kind in ("character", "choice") for piece in pieces):
        pieces = [piece for piece in pieces if piece.kind != "choices"]
    characters = [piece for piece in pieces if piece.kind != "text"]
    if not characters:
        return " ".join("".join([piece.text for piece in pieces]).split())
    if inside_word or _laid_out(pieces, characters):
        pieces = [piece for piece in pieces if piece.kind != "text" or piece.text.strip()]
    texts = [piece.text.strip() if inside_word and piece.kind == "text" else piece.text for piece in pieces]
    return " ".join("".join(texts).split())


def _laid_out(pieces: list[HocrPiece], characters: list[HocrPiece]) -> bool:
    """Whether the white space between the characters of a line is layout: all of them are single, and all have it."""
    if any(len(clusters(piece.text.strip())) > 1 for piece in characters):
        return False
    return "cc" not in "".join(["t" if piece.kind == "text" else "c" for piece in pieces])
