"""TEDS against the code it replaces, and what holds for any tree."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import table_recognition_metric
from apted import APTED, Config
from hypothesis import given, settings
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein
from table_recognition_metric.utils import CustomConfig

from sft.metrics.table import MAX_TEXT, first_table, teds, teds_s
from sft.metrics.tree_distance import Tree, distance


class Node:
    """A tree as apted wants it."""

    def __init__(self, label: str, text: str, children: list[Node]) -> None:
        self.label, self.text, self.children = label, text, children


class Costs(Config):  # type: ignore[misc]
    def rename(self, left: Node, right: Node) -> float:
        return 1.0 if left.label != right.label else Levenshtein.normalized_distance(left.text, right.text)


def flat(node: Node) -> Tree:
    labels: list[object] = []
    texts: list[str] = []
    first: list[int] = []

    def add(item: Node) -> int:
        begins = [add(child) for child in item.children]
        begin = begins[0] if begins else len(labels)
        labels.append(item.label)
        texts.append(item.text)
        first.append(begin)
        return begin

    add(node)
    return Tree(labels, texts, first)


def some_tree(pick: random.Random, depth: int) -> Node:
    def grow(left: int) -> Node:
        children = [grow(left - 1) for _ in range(pick.randint(0, 3))] if left else []
        return Node(
            pick.choice("ab"),
            "" if children else "".join(pick.choice("xyz") for _ in range(pick.randint(0, 3))),
            children,
        )

    node = grow(depth)
    node.label, node.text = "root", ""
    return node


def test_distance_equals_apted_on_any_tree() -> None:
    pick = random.Random(1)
    for _ in range(1500):
        left, right = some_tree(pick, pick.randint(0, 4)), some_tree(pick, pick.randint(0, 4))
        assert distance(flat(left), flat(right)) == pytest.approx(
            APTED(left, right, Costs()).compute_edit_distance(), abs=1e-9
        )


def test_roots_must_be_alike() -> None:
    with pytest.raises(ValueError, match="roots differ"):
        distance(Tree(["a"], [""], [0]), Tree(["b"], [""], [0]))


def cell(pick: random.Random) -> str:
    text = "".join(pick.choice("abc é中&") for _ in range(pick.randint(0, 6))).replace("&", "&amp;")
    text += pick.choice(["<b>x</b>y", "<sup>2</sup>", "<br>", "<i>a<b>q</b></i>t"]) if pick.random() < 0.2 else ""
    spans = "".join(f' {name}="{pick.randint(2, 3)}"' for name in ("rowspan", "colspan") if pick.random() < 0.1)
    tag = "th" if pick.random() < 0.1 else "td"
    return f"<{tag}{spans}>{text}</{tag}>"


def rows(pick: random.Random, count: int) -> str:
    return "".join(f"<tr>{''.join(cell(pick) for _ in range(pick.randint(0, 4)))}</tr>" for _ in range(count))


def table(pick: random.Random) -> str:
    kind = pick.random()
    if kind < 0.4:
        body = rows(pick, pick.randint(0, 5))
    elif kind < 0.7:
        body = f"<thead>{rows(pick, 1)}</thead><tbody>{rows(pick, pick.randint(0, 4))}</tbody>"
    else:
        body = (
            f"<thead>{rows(pick, 1)}</thead>{rows(pick, 2)}<tbody>{rows(pick, 2)}</tbody><tfoot>{rows(pick, 1)}</tfoot>"
        )
    return f"<html><body><table>{body}</table></body></html>"


def published(reference: Any, ref: str, pred: str) -> float | None:
    """IBM's score: apted over the reference's trees, divided by the elements below <table>; None where IBM divides by
    zero.
    """
    left, right = first_table(ref), first_table(pred)
    nodes = max(len(left.xpath(".//*")), len(right.xpath(".//*")))
    return (
        1
        - APTED(reference.load_html_tree(right), reference.load_html_tree(left), CustomConfig()).compute_edit_distance()
        / nodes
        if nodes
        else None
    )


@pytest.mark.parametrize("structure_only", [False, True])
def test_both_variants_equal_their_references(structure_only: bool) -> None:
    pick = random.Random(7)
    reference, score = table_recognition_metric.TEDS(structure_only=structure_only), teds_s if structure_only else teds
    for _ in range(500):
        ref = table(pick)
        pred = (
            table(pick)
            if pick.random() < 0.5
            else ref.replace("中", "zz", 2).replace("</td><td>", "</td></tr><tr><td>", 1)
        )
        assert score(ref=ref, pred=pred, variant="trm") == pytest.approx(reference(pred, ref), abs=1e-9), (ref, pred)
        wanted = published(reference, ref, pred)
        assert wanted is None or score(ref=ref, pred=pred) == pytest.approx(wanted, abs=1e-9), (ref, pred)


def grid(texts: list[list[str]]) -> str:
    return (
        "<table>"
        + "".join("<tr>" + "".join(f"<td>{text}</td>" for text in line) + "</tr>" for line in texts)
        + "</table>"
    )


texts = st.lists(
    st.lists(
        st.text("ab<>&é", max_size=4).map(lambda text: text.replace("&", "&amp;").replace("<", "&lt;")),
        min_size=1,
        max_size=4,
    ),
    min_size=1,
    max_size=5,
)


@given(texts, texts)
@settings(max_examples=200, deadline=None)
def test_properties(left: list[list[str]], right: list[list[str]]) -> None:
    a, b = grid(left), grid(right)
    assert teds(ref=a, pred=a) == 1.0
    score, structure = teds(ref=a, pred=b), teds_s(ref=a, pred=b)
    assert -1 < score <= 1 and score == pytest.approx(teds(ref=b, pred=a), abs=1e-12) and score <= structure + 1e-12
    assert -1 < teds(ref=a, pred=b, variant="trm") <= 1


def test_corruption_only_lowers_the_score() -> None:
    pick = random.Random(3)
    cells = [["".join(pick.choices("abcdef", k=6)) for _ in range(5)] for _ in range(8)]
    ref, last = grid(cells), 1.0
    for _ in range(30):
        line, column = pick.randrange(8), pick.randrange(5)
        cells[line][column] = "#" * 6  # nothing like what was there
        score = teds(ref=ref, pred=grid(cells))
        assert score <= last + 1e-12
        last = score
    assert last < 0.8


@pytest.mark.parametrize(
    ("ref", "pred", "score"),
    [
        ("", "", 1.0),
        ("no table", "", 1.0),
        ("<table></table>", "<table></table>", 1.0),
        ("<table><tr><td>a</td></tr></table>", "", 0.0),
        ("", "<table></table>", 0.0),
        (
            "<table><tr><td>a</td></tr></table>",
            "<table><tr><td>a</td></tr></table><table><tr><td>b</td></tr></table>",
            1.0,
        ),
        ("<table><tr><td colspan=x>a</td></tr></table>", "<table><tr><td>a</td></tr></table>", 1.0),
        ("<table><tr><td>a\x00</td></tr></table>", "<table><tr><td>a</td></tr></table>", 1.0),
        ("<TABLE><TR><TD>a</TABLE>", "<table><tr><td>a</td></tr></table>", 1.0),
    ],
)
def test_edges(ref: str, pred: str, score: float) -> None:
    assert teds(ref=ref, pred=pred) == score


@pytest.mark.parametrize(
    "pred",
    [
        "<" * 100_000,
        "<table>" + "<div>" * 20_000,
        "<table>" + "<tr><td>" * 3000,
        "<table><tr><td>" + "<b>" * 20_000,
        "<table><tr>" + "<td>x</td>" * 2000,
        "<table" + " a" * 100_000,
        "x" * (MAX_TEXT + 9),
    ],
)
def test_hostile_answers_have_a_score(pred: str) -> None:
    assert -1 <= teds(ref=grid([["a", "b"], ["c", "d"]]), pred=pred) < 1


def test_large_tables_stay_small_in_memory() -> None:
    tree = Tree(
        [*(["td"] * 20 + ["tr"]) * 200, "table"], [*([*(str(number) for number in range(20)), ""] * 200), ""], []
    )
    first = [row * 21 + (column if column < 20 else 0) for row in range(200) for column in range(21)]
    left = Tree(tree.labels, tree.texts, [*first, 0])
    right = Tree(tree.labels, [text[::-1] for text in tree.texts], left.first)
    assert distance(left, left) == 0
    assert distance(left, right) == pytest.approx(
        200 * sum(Levenshtein.normalized_distance(str(n), str(n)[::-1]) for n in range(20)), rel=1e-9
    )
    assert np.isfinite(distance(right, left))
