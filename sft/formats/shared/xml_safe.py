"""Untrusted XML and HTML: no entities, no DTD, no network; bounded in bytes and elements, and by libxml2 in depth
(256) and text (10 MB); what is whole before an error is kept.
"""

from __future__ import annotations

import re
from codecs import lookup
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sft.errors import UsageError
from sft.files import open_input

if TYPE_CHECKING:
    from lxml.etree import _Element

MAX_BYTES = 64 << 20  # of one page; the densest newspaper pages in ALTO have some 5 MiB
MAX_TAGS = 2_000_000  # start and end tags; a tree takes some 200 bytes for each
CHUNK = 1 << 16

_TOO_LARGE = re.compile("huge|depth|limit|too (?:long|big|deep|large)|amplification", re.IGNORECASE)
_ENCODING = re.compile("encoding|utf-8|utf8|input conversion|invalid bytes", re.IGNORECASE)
_CHARSET = re.compile(rb"""(?:charset|encoding)\s*=\s*["']?\s*([A-Za-z0-9_.:-]{1,40})""", re.IGNORECASE)
_NOT_PAGES = {"idna", "punycode", "unicode_escape", "raw_unicode_escape", "utf-7"}  # slow, or a way to hide something
_HTML_END = re.compile(rb"</html\s*>\s*\Z", re.IGNORECASE)


@dataclass(frozen=True)
class XmlFault:
    """Why a document, or what follows in it, is not read; `code` is one of `sft.reasons`."""

    code: str
    message: str


@dataclass(frozen=True)
class Document:
    """A tree, and the fault that ended it early. `open`: elements that the fault cut in two, from the root inwards."""

    root: _Element
    fault: XmlFault | None = None
    open: tuple[_Element, ...] = ()

    def iter(self, *names: str) -> Iterator[_Element]:
        """Whole elements with one of these local names, whatever their namespace, in the order of the document."""
        for element in self.root.iter("{*}" + name for name in names):
            if element not in self.open:
                yield element


def read_xml(path: Path) -> Document | XmlFault:
    """An XML file; a Fault where not even its root can be read, or where it declares entities."""
    content = _content(path)
    return content if isinstance(content, XmlFault) else parse_xml(content)


def read_html(path: Path) -> Document | XmlFault:
    """An HTML or XHTML file, read as HTML: what is not closed is closed. A Fault where there is nothing to read."""
    content = _content(path)
    return content if isinstance(content, XmlFault) else parse_html(content)


def parse_xml(content: bytes) -> Document | XmlFault:
    """As `read_xml`, of bytes."""
    from lxml import etree

    try:
        root = etree.fromstring(content, etree.XMLParser(**_options()))
        return _entities(root) or Document(root)
    except (etree.LxmlError, ValueError) as error:
        fault = _fault(error)
    parser = etree.XMLPullParser(("start", "end"), **_options())
    stack: list[_Element] = []
    root_or_none: _Element | None = None
    for start in range(0, len(content), CHUNK):
        try:
            parser.feed(content[start : start + CHUNK])
            broken = False
        except (etree.LxmlError, ValueError):
            broken = True  # what came before it in this chunk still waits as events
        try:
            for event, element in parser.read_events():
                if event == "start":
                    root_or_none = element if root_or_none is None else root_or_none
                    stack.append(element)
                else:
                    stack.pop()
        except (etree.LxmlError, ValueError):
            broken = True
        if broken:
            break
    if root_or_none is None:
        return fault
    return _entities(root_or_none) or Document(root_or_none, fault, tuple(stack))


def parse_html(content: bytes) -> Document | XmlFault:
    """As `read_html`, of bytes."""
    from lxml import etree

    declared = _CHARSET.search(content, 0, 1024)
    try:
        encoding = lookup(declared[1].decode()).name if declared else "utf-8"
        if encoding in _NOT_PAGES:
            raise LookupError(f"no page is written in {encoding}")
        text = content.decode(encoding)
    except (LookupError, ValueError) as error:
        return XmlFault("source.encoding", str(error))
    if "\0" in text:
        return XmlFault("source.syntax", "a NUL byte in the text")
    options: dict[str, Any] = {
        "no_network": True,
        "huge_tree": False,
        "remove_comments": True,
        "remove_pis": True,
        "encoding": "utf-8",
    }
    parser = etree.HTMLParser(**options)
    try:
        root = etree.fromstring(text.encode("utf-8", "replace"), parser)
    except (etree.LxmlError, ValueError) as error:
        return _fault(error)
    if root is None:
        return XmlFault("source.syntax", "nothing in it")
    for entry in parser.error_log:
        if _TOO_LARGE.search(entry.message):
            return XmlFault("source.too_large", entry.message)
    if b"<html" in content[:4096].lower() and not _HTML_END.search(
        content,
        max(0, len(content) - 4096),
    ):
        chain = [root]
        while len(chain[-1]):
            chain.append(chain[-1][-1])
        return Document(root, XmlFault("source.syntax", "the file ends before </html>"), tuple(chain))
    return Document(root)


def text_of(element: _Element) -> str:
    """All text inside an element, in order; without recursion."""
    return "".join(str(piece) for piece in element.itertext())


def local(element: _Element) -> str:
    """The name of an element without its namespace."""
    return str(element.tag).rpartition("}")[2]


def _content(path: Path) -> bytes | XmlFault:
    try:
        with open_input(path) as stream:
            content = stream.read(MAX_BYTES + 1)
    except UsageError as error:
        return XmlFault("source.shape", error.message)
    except OSError as error:
        return XmlFault("source.shape", f"cannot be read ({error.strerror})")
    if len(content) > MAX_BYTES:
        return XmlFault("source.too_large", f"more than {MAX_BYTES:,} bytes in one document")
    if content.count(b"<") > MAX_TAGS:
        return XmlFault("source.too_large", f"more than {MAX_TAGS:,} tags in one document")
    return content


def _options() -> dict[str, Any]:
    return {
        "resolve_entities": False,
        "no_network": True,
        "load_dtd": False,
        "dtd_validation": False,
        "attribute_defaults": False,
        "huge_tree": False,
        "remove_comments": True,
        "remove_pis": True,
    }


def _entities(root: _Element) -> XmlFault | None:
    """A document that declares entities is refused as a whole: no layout of pages needs any."""
    from lxml import etree

    dtd = root.getroottree().docinfo.internalDTD
    if dtd is not None and any(True for _ in dtd.iterentities()):
        return XmlFault("source.refused", "it declares entities (<!ENTITY …>), which are not read")
    if next(root.iter(etree.Entity), None) is not None:
        return XmlFault("source.refused", "it refers to an entity that is not one of XML's own")
    return None


def _fault(error: Exception) -> XmlFault:
    message = str(getattr(error, "msg", "") or error)
    code = (
        "source.too_large"
        if _TOO_LARGE.search(message)
        else "source.encoding"
        if _ENCODING.search(message)
        else "source.syntax"
    )
    return XmlFault(code, message.replace("\n", " "))
