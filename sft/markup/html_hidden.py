"""What a browser does not show of an HTML document, taken out of its text before the cells are read.

Gone, with everything inside: `hidden`, `display:none` (in a `style` attribute, or by a `<style>` rule with simple
selectors), `<rp>`, `<datalist>`, a `<dialog>` that is not open, a closed `<details>` but for its summary, letters of
size 0. `visibility:hidden` and `opacity:0` keep their place, so that a cell stays and is blank, and a text leaves a
gap. Comments, scripts, templates and the like go, too. A formula that KaTeX wrote twice, for the eye and for machines,
stays once.
"""

from __future__ import annotations

import html
from collections import defaultdict
from dataclasses import dataclass

from sft.markup.cell_text import visible
from sft.markup.html_styles import Declared, Element, Styles, declared
from sft.markup.html_tokens import (
    ATTRIBUTE,
    BARE_WORDS,
    ENDS,
    ENDS_P,
    GROUPS,
    SIBLINGS,
    STRUCTURE,
    TOKEN,
    VOID,
    attributes_of,
    may_hide_something,
)

NEVER_SHOWN = frozenset(["rp", "datalist"])
NEAREST = 64  # ancestors that a selector of a style rule may ask about
IMPLIED = {
    "tr": (("tbody", ("table",)),),
    "td": (("tbody", ("table",)), ("tr", GROUPS)),
    "th": (("tbody", ("table",)), ("tr", GROUPS)),
}  # elements that are there without a tag
WALLS = frozenset(["td", "th", "caption", "table"])  # elements that an end tag inside cannot end what is outside of


def without_hidden(text: str) -> str:
    """`text` without what a browser does not show; the very text where nothing in it can be hidden."""
    return _Eye().read(text) if may_hide_something(text) else text


@dataclass(slots=True)
class _Open:
    """An open element: is it gone, is what it holds gone, is it there but not to be seen (by itself, for good, for its
    size)?
    """

    element: Element
    gone: bool = False
    inside_gone: bool = False
    unseen: bool = False
    faded: bool = False
    tiny: bool = False
    summary: bool = False  # a <details> has had its summary

    @property
    def blank(self) -> bool:
        """Whether texts in it leave no ink."""
        return self.unseen or self.faded or self.tiny


_ROOT = _Open(Element("", {}))


class _Eye:
    """One pass over the tokens of a document; `out` collects what can be seen."""

    def __init__(self) -> None:
        self.out: list[str] = []
        self.stack: list[_Open] = [_ROOT]
        self.places: defaultdict[str, list[int]] = defaultdict(list)  # of each name on the stack, the innermost last
        self.walls: list[int] = []
        self.styles = Styles()
        self.katex = False

    def read(self, text: str) -> str:
        for match in TOKEN.finditer(text):
            chunk, raw, raw_attributes, slash, name, attributes, _, literal = match.groups()
            if raw and raw.lower() == "style":
                self.styles.read(
                    match[0],
                    attributes_of(raw_attributes).get("media", ""),
                )
            elif name and slash:
                self.end(name.lower(), match[0])
            elif name:
                self.start(name.lower(), attributes, match[0])
            elif (chunk or literal) and not self.stack[-1].inside_gone:
                self.text(match[0])
        return "".join(self.out)

    def text(self, piece: str) -> None:
        """A text in an element that is there."""
        if not self.stack[-1].blank:
            self.out.append(piece)
        elif not self.stack[-1].tiny:
            self.out.append(" " if visible(html.unescape(piece)) else piece)

    def start(self, name: str, attributes: str, tag: str) -> None:
        """A start tag, which stays unless its element is gone."""
        self.make_room(name)
        element = Element(name, _values(attributes))
        entry = self.look(element)
        if not entry.gone and (not entry.blank or name in STRUCTURE):
            self.out.append(tag)
        if name not in VOID:
            self.push(entry)

    def push(self, entry: _Open) -> None:
        """An element is open from now on."""
        name = entry.element.name
        self.places[name].append(len(self.stack))
        if name in WALLS:
            self.walls.append(len(self.stack))
        self.stack.append(entry)

    def look(self, element: Element) -> _Open:
        """How an element that begins here is shown."""
        parent = self.stack[-1]
        said = (
            self.styles.of(element, [entry.element for entry in self.stack[:-NEAREST:-1]]) if self.styles.rules else {}
        )
        own: Declared = declared(element.attributes.get("style", ""))
        won = {name: one for name, one in own.items() if one[1] or not said.get(name, one)[1]}
        look = {name: value for name, (value, _) in (said | won).items()}
        gone, inside_gone = self.is_gone(element, look.get("display", ""))
        entry = _Open(
            element,
            gone,
            gone or inside_gone,
            parent.unseen,
            parent.faded,
            parent.tiny,
        )
        if "visibility" in look:
            entry.unseen = look["visibility"] != "visible"
            if look["visibility"] == "collapse" and element.name in ("tr", *GROUPS):
                entry.gone = entry.inside_gone = True
        entry.faded = (
            parent.faded
            or look.get("opacity") == "0"
            or (element.name in ENDS_P and element.attributes.get("hidden", "").lower() == "until-found")
        )
        entry.tiny = look.get("font-size", "0" if parent.tiny else "1") == "0"
        return entry

    def is_gone(self, element: Element, display: str) -> tuple[bool, bool]:
        """(is it gone with all that is in it, is all gone that is in it but its summary)."""
        parent = self.stack[-1]
        name = element.name
        gone = parent.inside_gone
        if name == "summary" and parent.element.name == "details" and not parent.summary:
            parent.summary, gone = True, parent.gone
        closed = "open" not in element.attributes
        self.katex = self.katex or "katex-mathml" in element.classes
        if not gone and display:
            gone = display == "none"
        elif not gone:
            hidden = element.attributes.get("hidden", "until-found").lower() != "until-found"
            gone = (
                hidden
                or "popover" in element.attributes
                or name in NEVER_SHOWN
                or (name == "dialog" and closed)
                or (self.katex and "katex-html" in element.classes)
            )
        return gone, name == "details" and closed

    def make_room(self, name: str) -> None:
        """Ends the elements that the start of this one ends, where their end tags were left out."""
        if name in ENDS:
            table = (self.places["table"] or [0])[-1]
            while (last := max((self.places[one] or [0])[-1] for one in ENDS[name])) > table:
                self.pop(last)
            for implied, inside in IMPLIED.get(name, ()):
                if self.stack[-1].element.name in inside:
                    self.push(self.look(Element(implied, {})))
        elif len(self.stack) > 1:
            top = self.stack[-1].element.name
            if top in SIBLINGS.get(name, ()) or (top == "p" and name in ENDS_P):
                self.pop(len(self.stack) - 1)

    def end(self, name: str, tag: str) -> None:
        """An end tag; one that ends nothing stays, and the reader of cells judges it."""
        barrier = (
            0
            if name == "table"
            else (self.places["table"] or [0])[-1]
            if name in STRUCTURE
            else (self.walls or [0])[-1]
        )
        index = (self.places[name] or [0])[-1]
        if index > barrier:
            entry = self.stack[index]
            self.pop(index)
            if not entry.gone and (not entry.blank or name in STRUCTURE):
                self.out.append(tag)
        elif not self.stack[-1].inside_gone:
            self.out.append(tag)

    def pop(self, index: int) -> None:
        """Ends the open elements from the one at `index` on."""
        for entry in self.stack[index:]:
            self.places[entry.element.name].pop()
        del self.stack[index:]
        while self.walls and self.walls[-1] >= index:
            self.walls.pop()


def _values(attributes: str) -> dict[str, str]:
    """Attributes with their values; those without one only where they decide something."""
    values = attributes_of(attributes)
    if BARE_WORDS.search(attributes):
        bare = (
            ATTRIBUTE.sub(" ", attributes)
            .lower()
            .replace("/", " ")
            .replace(
                "=",
                " = ",
            )
            .split()
        )
        values |= {word: "" for word in ("hidden", "open", "popover") if word not in values and word in bare}
    return values
