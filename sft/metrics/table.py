"""TEDS and TEDS-S, tree-edit-distance-based similarity of tables (Zhong et al., ECCV 2020, arXiv 1911.10683).

Tables are HTML. Two named variants, which differ in what the distance is divided by:

- `pubtabnet`: the elements below <table>, inline elements inside cells included (IBM's code; OmniDocBench uses it);
- `trm`: the nodes of the compared tree, <table> included, inline elements not (the package table-recognition-metric).

Differences from both references, none of which a well-formed pair can see: a table without <html> and <body> around it
is read; a colspan or rowspan that is no number counts as 1, where they raise; two answers without any table are equal.
"""

from __future__ import annotations

import re
from typing import Any, Literal

from sft.metrics.tree_distance import Tree, distance

Variant = Literal["pubtabnet", "trm"]
MAX_DEPTH = 200  # of elements inside each other; what is deeper counts as one node
MAX_TEXT = 16_000_000  # characters of one answer
_FIRST_TAG = 0xD800  # inline tags are written as half surrogates: no text that came through a parser holds one
_tags: dict[str, str] = {}
_UNREADABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def teds(*, ref: str, pred: str, variant: Variant = "pubtabnet") -> float:
    """Similarity of two HTML tables, at most 1 (tables of very different shape can fall below 0); cells by their
    normalised edit distance.

    Both without a table: 1.0; one without: 0.0.

    >>> teds(ref="<table><tr><td>a</td><td>b</td></tr></table>", pred="<table><tr><td>a</td></tr></table>")
    0.6666666666666667
    """
    return _score(ref, pred, variant, structure_only=False)


def teds_s(*, ref: str, pred: str, variant: Variant = "pubtabnet") -> float:
    """As `teds`, but the text of cells does not count: structure only."""
    return _score(ref, pred, variant, structure_only=True)


def _score(ref: str, pred: str, variant: Variant, *, structure_only: bool) -> float:
    left = first_table(ref)
    right = first_table(pred)
    if left is None or right is None:
        return float(left is None and right is None)
    a = tree(left, structure_only=structure_only)
    b = tree(right, structure_only=structure_only)
    nodes = (
        max(len(a), len(b))
        if variant == "trm"
        else max(sum(1 for _ in item.iterdescendants()) for item in (left, right))
    )
    return 1.0 if a == b or not nodes else 1.0 - distance(a, b) / nodes


def first_table(text: str) -> Any:
    """The first <table> of an HTML text that stands in its body, as an lxml element; None where there is none."""
    from lxml import etree

    parser = etree.HTMLParser(remove_comments=True, remove_pis=True, no_network=True, huge_tree=False)
    clean = _UNREADABLE.sub("", text[:MAX_TEXT])
    if "<table" not in clean and "<TABLE" not in clean.upper():
        return None
    try:
        root = etree.fromstring(
            f"<html><body>{clean}</body></html>" if "<body" not in clean else clean,
            parser,
        )
    except (etree.LxmlError, ValueError):
        return None
    return None if root is None else next(iter(root.xpath("body/table")), None)


def tree(table: Any, *, structure_only: bool) -> Tree:
    """An lxml <table> as a tree: a cell is a leaf with its spans in the label and its tokens as text."""
    labels: list[object] = []
    texts: list[str] = []
    first: list[int] = []

    def add(node: Any, depth: int) -> int:
        begin = len(labels)
        if node.tag == "td":
            labels.append(("td", _span(node.get("colspan")), _span(node.get("rowspan"))))
            texts.append("" if structure_only else _content(node))
            first.append(begin)
            return begin
        if depth < MAX_DEPTH:
            for child in node:
                add(child, depth + 1)
        labels.append(node.tag)
        texts.append("")
        first.append(begin)
        return begin

    add(table, 0)
    return Tree(labels, texts, first)


def _span(value: str | None) -> int:
    if value is None or value == "1":
        return 1
    try:
        return int(value)
    except ValueError:
        return 1


def _content(cell: Any) -> str:
    """The tokens of a cell as one string: its characters, and one character for each opening and each closing inline
    tag.
    """
    if not len(cell):
        return cell.text or ""
    tokens = [cell.text or ""]
    stack = [iter(cell)]
    open_tags: list[tuple[str, str]] = []
    while stack:
        child = next(stack[-1], None)
        if child is None:
            stack.pop()
            if open_tags:
                tokens.extend(open_tags.pop())
            continue
        tokens += [
            _tag(f"<{child.tag}>"),
            child.text or "",
        ]
        # a <td> inside a cell has no tail in the reference
        closing = "" if child.tag == "unk" else _tag(f"</{child.tag}>")
        open_tags.append((closing, "" if child.tag == "td" else child.tail or ""))
        stack.append(iter(child))
    return "".join(tokens)


def _tag(name: str) -> str:
    if name not in _tags:
        _tags[name] = chr(_FIRST_TAG + len(_tags) % 0x800)
    return _tags[name]
