"""How HTML is cut into tags and texts, by the HTML standard, and which elements end which: what both passes over a
document share.
"""

from __future__ import annotations

import html
import re

# Inside a tag, quotes count only behind "=". Each branch can end at the end of the text, so that nothing is tried
# twice.
_ATTRIBUTES = r"""([^>=]*(?:=\s*(?:"[^"]*(?:"|\Z)|'[^']*(?:'|\Z)|(?![\s"']))[^>=]*)*)"""
# elements whose content is no text of the page; a browser that runs scripts takes <noscript> for one, too
_RAW = (
    "script|style|title|template|noscript|iframe|noembed|noframes|xmp|svg|textarea|select|progress|meter|object|video"
    "|audio|canvas"
)
# Groups: text; raw element, its attributes; slash, name, attributes and end of a tag; a lone "<".
TOKEN = re.compile(
    rf"""([^<]+)|<(?:({_RAW})(?=[\s/>]){_ATTRIBUTES}(?:(?<=/)>|>.*?(?:</\2(?=[\s/>])[^>]*(?:>|\Z)|\Z)|\Z)"""
    rf"""|(/?)([a-z][^\s/>]*){_ATTRIBUTES}(>|\Z)|!--(?:-?>|.*?(?:--!?>|\Z))|[!?/][^>]*(?:>|\Z))|(<)""",
    re.DOTALL | re.IGNORECASE,
)
ATTRIBUTE = re.compile(r"""(?<![^\s"'>/=])([^\s"'>/=]+)[ \t\n\r\f]*=[ \t\n\r\f]*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""")
BARE_WORDS = re.compile("hidden|open|popover", re.IGNORECASE)  # attributes that need no value
_HIDING_TAGS = (
    "<!--",
    "<script",
    "<style",
    "<template",
    "<noscript",
    "<title",
    "<rp",
    "<datalist",
    "<dialog",
    "<details",
    "katex-html",
)
_SPELT_STYLE = re.compile(r"""style\s*=\s*["']?[^"'<>]*&""")  # with character references
_WORDS = "hidden|popover|display|visibility|opacity|font-size"  # in attributes and in rules of styles
_HIDING_ATTRIBUTE = re.compile(f"{_WORDS}|&", re.IGNORECASE)
HIDING_SCRIPT = re.compile(rf"<su[bp]\s[^<>]*(?:{_WORDS}|&)", re.IGNORECASE)

VOID = frozenset(
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"]
)
STRUCTURE = frozenset(["table", "caption", "colgroup", "col", "thead", "tbody", "tfoot", "tr", "td", "th"])
GROUPS = ("thead", "tbody", "tfoot")
# an element that begins ends these, as far as they are open in the same table
ENDS: dict[str, frozenset[str]] = {
    **dict.fromkeys(("td", "th"), frozenset(["td", "th", "caption", "colgroup"])),
    "tr": frozenset(["td", "th", "tr", "caption", "colgroup"]),
    **dict.fromkeys((*GROUPS, "colgroup", "caption"), frozenset(["td", "th", "tr", "caption", "colgroup", *GROUPS])),
}
# an element that begins ends these, if they are the innermost that is open
SIBLINGS: dict[str, frozenset[str]] = {
    **dict.fromkeys(("rt", "rp"), frozenset(["rt", "rp"])),
    **dict.fromkeys(("dt", "dd"), frozenset(["dt", "dd"])),
    "li": frozenset(["li"]),
    "option": frozenset(["option"]),
}
ENDS_P = frozenset(
    [
        "address",
        "article",
        "aside",
        "blockquote",
        "center",
        "details",
        "dialog",
        "div",
        "dl",
        "fieldset",
        "figure",
        "footer",
        "form",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "header",
        "hr",
        "li",
        "main",
        "nav",
        "ol",
        "p",
        "pre",
        "section",
        "table",
        "ul",
    ]
)


def attributes_of(text: str) -> dict[str, str]:
    """Name (in lower case) → value of the attributes that have one, the first of a name, references read."""
    values: dict[str, str] = {}
    for name, double, single, bare in ATTRIBUTE.findall(text):
        values.setdefault(
            name.lower(),
            html.unescape(double or single or bare),
        )
    return values


def may_hide_something(text: str) -> bool:
    """Whether anything in a document could be hidden, by a quick look."""
    lower = text.lower()
    if any(
        map(
            lower.__contains__,
            (*_WORDS.split("|"), *_HIDING_TAGS),
        )
    ):
        return True
    return "&" in lower and "style" in lower and _SPELT_STYLE.search(lower) is not None


def may_hide(attributes: str) -> bool:
    """Whether the attributes of a tag could hide what is in it."""
    return _HIDING_ATTRIBUTE.search(attributes) is not None
