"""The few properties of CSS that decide whether a text can be seen, in a `style` attribute or in the rules of a
`<style>` element.

Selectors of tags, classes and ids are known, alone, together and below each other (`table.wikitable .sortkey`, `tr >
td#a`). Rules with anything else are passed over, as are those for other media than the screen.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property

PROPERTIES = ("display", "visibility", "opacity", "font-size")
MAX_CSS = 1 << 20  # characters of all rules together that are read
MAX_RULES = 1000
Declared = dict[str, tuple[str, bool]]  # property → value, and whether it is important

_COMMENT = re.compile(r"/\*.*?(?:\*/|\Z)|<!--|-->", re.DOTALL)
_SCREEN = re.compile(r"(?:only\s+)?(?:screen|all)", re.IGNORECASE)
_COMPOUND = re.compile(r"(\*|[a-z][\w-]*)?((?:[.#][\w-]+)*)", re.IGNORECASE)
_DISPLAYS = re.compile(
    r"none|block|inline|flex|grid|table|contents|flow|list-item|ruby|initial|inherit|unset|math|-webkit-"
)
_VISIBILITIES = {
    "visible": "visible",
    "initial": "visible",
    "hidden": "hidden",
    "collapse": "collapse",
}  # others are inherited
_SIZE = re.compile(r"([+-]?[0-9.]+)(%|[a-z]+)?|(?:xx?-|xxx-)?(?:small|large)|medium|initial")
_RELATIVE = ("%", "em", "ex", "ch")  # units of the letters around: of nothing they are nothing


@dataclass(frozen=True)
class Element:
    """A start tag: its name and attributes, names in lower case, values as they are."""

    name: str
    attributes: dict[str, str]

    @cached_property
    def classes(self) -> frozenset[str]:
        """The words of its `class`."""
        return frozenset(self.attributes.get("class", "").split())


def declared(style: str) -> Declared:
    """The properties among the declarations of `style` that matter here; of several values the last one that is valid.

    >>> declared("color:red; DISPLAY : none !important")
    {'display': ('none', True)}
    """
    properties: Declared = {}
    if ":" not in style:
        return properties
    for declaration in _COMMENT.sub("", style).lower().split(";"):
        name, _, text = declaration.partition(":")
        value, mark, last = text.rpartition("!")
        important = mark != "" and last.strip() == "important"
        usual = _usual(
            name.strip(),
            " ".join((value if important else text).split()),
        )
        if usual and not (properties.get(name.strip(), ("", False))[1] and not important):
            properties[name.strip()] = (usual, important)
    return properties


def _usual(name: str, value: str) -> str:
    """A value as far as it matters: "0" and "1" for numbers; "" for one that is not valid, or is the parent's."""
    if name == "display":
        return value if _DISPLAYS.match(value) else ""
    if name == "visibility":
        return _VISIBILITIES.get(value, "")
    if name == "opacity":
        return "" if (number := _number(value.removesuffix("%"))) is None else "0" if number <= 0 else "1"
    if name == "font-size" and (match := _SIZE.fullmatch(value)):
        number = _number(match[1]) if match[1] else 1
        return "" if number is None or (number and match[2] in _RELATIVE) else "1" if number else "0"
    return ""


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


@dataclass(frozen=True)
class _Compound:
    """One compound of a selector; `child`: the one before it must be its parent, and not just any ancestor."""

    name: str
    classes: frozenset[str]
    ids: frozenset[str]
    child: bool

    def fits(self, element: Element) -> bool:
        return (
            self.name in ("", "*", element.name)
            and self.classes <= element.classes
            and self.ids <= {element.attributes.get("id", "")}
        )


@dataclass(frozen=True)
class _Rule:
    parts: tuple[_Compound, ...]  # the last one is the element itself
    order: tuple[bool, int, int, int, int]  # important; ids, classes and tags of the selector; place among the rules
    name: str
    value: str

    def fits(self, element: Element, above: list[Element]) -> bool:
        """`above`: its ancestors, the nearest first."""
        if not self.parts[-1].fits(element):
            return False
        waiting = list(self.parts)
        child = waiting.pop().child
        for ancestor in above:
            if not waiting:
                break
            if waiting[-1].fits(ancestor):
                child = waiting.pop().child
            elif child:
                return False
        return not waiting


@dataclass
class Styles:
    """The rules of all `<style>` elements so far, by what their last compound must have."""

    rules: dict[str, list[_Rule]] = field(default_factory=dict)
    count: int = 0
    size: int = 0

    def read(self, element: str, media: str = "") -> None:
        """Takes in the rules of a `<style>` element, tags included; `media` is that attribute of it."""
        css = element[element.find(">") + 1 :].rpartition("</")[0]
        self.size += len(css)
        if self.size > MAX_CSS or (media.strip() and not _SCREEN.fullmatch(media.strip())):
            return
        counts = [True]  # of each block that is open: do the rules in it count?
        selector = before = ""
        for piece in re.split(r"([{}])", _COMMENT.sub("", css)):
            if piece == "{":
                selector = before.rpartition(";")[2].strip()
                counts.append(counts[-1] and (not selector.startswith("@") or _is_screen(selector)))
            elif piece == "}" and len(counts) > 1:
                if counts.pop() and selector and not selector.startswith("@"):
                    self.add(selector, before)
                selector = ""
            before = piece

    def add(self, selectors: str, text: str) -> None:
        """The rule `selectors { text }`."""
        for name, (value, important) in declared(text).items():
            for selector in selectors.split(","):
                parts = _parts(selector)
                if not parts or self.count >= MAX_RULES:
                    continue
                self.count += 1
                ids, classes = (sum(len(getattr(part, kind)) for part in parts) for kind in ("ids", "classes"))
                tags = sum(part.name not in ("", "*") for part in parts)
                last = parts[-1]
                key = (
                    next((f".{one}" for one in sorted(last.classes)), "")
                    or next((f"#{one}" for one in last.ids), "")
                    or last.name
                    or "*"
                )
                self.rules.setdefault(key, []).append(
                    _Rule(parts, (important, ids, classes, tags, self.count), name, value)
                )

    def of(self, element: Element, above: list[Element]) -> Declared:
        """The properties that the rules give an element; `above`: its ancestors, the nearest first."""
        keys = [
            "*",
            element.name,
            f"#{element.attributes.get('id', '')}",
            *(f".{one}" for one in element.classes),
        ]
        fitting = [rule for key in keys for rule in self.rules.get(key, ()) if rule.fits(element, above)]
        return {rule.name: (rule.value, rule.order[0]) for rule in sorted(fitting, key=lambda rule: rule.order)}


def _is_screen(selector: str) -> bool:
    return selector.lower().startswith("@media") and _SCREEN.fullmatch(selector[6:].strip()) is not None


def _parts(selector: str) -> tuple[_Compound, ...]:
    """The compounds of a selector; () for one with anything else in it."""
    parts: list[_Compound] = []
    child = False
    for word in selector.replace(">", " > ").split():
        if word == ">":
            child = True
            continue
        match = _COMPOUND.fullmatch(word)
        if not match:
            return ()
        signs = re.findall(r"[.#][\w-]+", match[2])
        classes, ids = (frozenset(one[1:] for one in signs if one[0] == sign) for sign in ".#")
        parts.append(
            _Compound(
                (match[1] or "").lower(),
                classes,
                ids,
                child,
            )
        )
        child = False
    return tuple(parts)
