"""`--as-served`: what is particular to a source, and sources that are damaged at random."""

from __future__ import annotations

import json
import random
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from places import TESTS

from sft import formats
from sft.formats.base import Item, Note, ReadItem, Reject, SourceOptions

FOLDER = TESTS / "golden" / "served"
PAGE = '<PcGts><Page imageFilename="roses.png" imageWidth="640" imageHeight="720">{}</Page></PcGts>'
ROUNDS = 150
ODD: list[Any] = [None, [], {}, "", "x", -1, 1e6, True, [[1]], {"$ref": "#/texts/0"}, 10**30, "\u0301", {"l": 1}]


def read(name: str, source: Path, **options: Any) -> list[ReadItem]:
    found, given = formats.get(name), SourceOptions(as_served=True, **options)
    return [one for unit in found.units(source, given) for one in found.read(unit, given)]


def copied(name: str, folder: Path) -> Path:
    shutil.copytree(FOLDER / name / "source", folder / "source")
    return folder / "source"


def targets(reads: list[ReadItem]) -> list[str]:
    return [one.target for one in reads if isinstance(one, Item)]


def codes(reads: list[ReadItem]) -> list[str]:
    """The codes of rejects and warnings."""
    found = []
    for one in reads:
        if isinstance(one, Reject):
            found.append(one.code)
        elif isinstance(one, Item):
            found += [warning.code for warning in one.warnings]
    return found


# ---- PAGE XML


def page(folder: Path, content: str) -> list[ReadItem]:
    source = copied("page-xml", folder)
    (source / "roses.xml").write_text(PAGE.format(content), "utf-8")
    return read("page-xml", source)


def region(name: str, box: str, *lines: str, more: str = "") -> str:
    inner = "".join(
        f'<TextLine id="{name}{number}"><Coords points="{box}"/>'
        f"<TextEquiv><Unicode>{line}</Unicode></TextEquiv></TextLine>"
        for number, line in enumerate(lines)
    )
    return f'<TextRegion id="{name}" {more}><Coords points="{box}"/>{inner}</TextRegion>'


LEFT, RIGHT = "10,10 200,10 200,90 10,90", "220,10 400,10 400,90 220,90"


def test_regions_of_a_page_are_read_in_its_reading_order(tmp_path: Path) -> None:
    order = (
        '<ReadingOrder><OrderedGroup id="g"><OrderedGroupIndexed id="h" index="1" regionRef="x">'
        '<RegionRefIndexed index="1" regionRef="b"/><RegionRefIndexed index="0" regionRef="a"/></OrderedGroupIndexed>'
        '<UnorderedGroupIndexed id="u" index="0"><RegionRef regionRef="c"/></UnorderedGroupIndexed>'
        "</OrderedGroup></ReadingOrder>"
    )
    content = order + region("b", RIGHT, "right") + region("c", "10,300 90,300 90,340 10,340", "first")
    reads = page(tmp_path, content + region("a", LEFT, "left", "column"))
    assert targets(reads) == ["left\ncolumn\nright", "first"]
    assert [one.text for one in reads if isinstance(one, Note)].count(
        "TextRegions without a type are taken as paragraphs"
    ) == 3


def test_a_region_with_an_unread_line_is_no_sample(tmp_path: Path) -> None:
    reads = page(tmp_path, region("a", LEFT, "left", "") + region("b", RIGHT, "right"))
    assert targets(reads) == ["right"] and codes(reads) == ["target.empty", "served.apart"]


def test_the_text_of_a_region_stands_for_lines_that_have_none(tmp_path: Path) -> None:
    own = "<TextEquiv><Unicode>whole</Unicode></TextEquiv></TextRegion>"
    reads = page(tmp_path, region("a", LEFT, "", "").replace("</TextRegion>", own))
    assert targets(reads) == ["whole"] and not codes(reads)


def test_regions_in_regions_and_in_tables(tmp_path: Path) -> None:
    inner = region("i", RIGHT, "inner")
    outer = region("a", "0,0 410,0 410,100 0,100").replace("</TextRegion>", inner + "</TextRegion>")
    table = (
        f'<TableRegion id="t"><Coords points="0,300 600,300 600,500 0,500"/>{region("c", LEFT, "cell")}</TableRegion>'
    )
    reads = page(tmp_path, outer + table)
    assert targets(reads) == ["inner"] and codes(reads) == ["source.inexpressible"]


def test_a_page_that_breaks_off_keeps_its_whole_regions(tmp_path: Path) -> None:
    source = copied("page-xml", tmp_path)
    text = (source / "roses.xml").read_text("utf-8")
    (source / "roses.xml").write_text(text[: text.index('<TextRegion id="t2"') + 60], "utf-8")
    reads = read("page-xml", source)
    assert targets(reads) == ["Roses", "of the garden.", "Roses beside\na picture"]
    assert codes(reads) == ["source.syntax"]


# ---- DoclingDocument


def document(folder: Path) -> tuple[Path, dict[str, Any]]:
    source = copied("docling", folder)
    return source, json.loads((source / "roses.json").read_text("utf-8"))


def written(source: Path, content: dict[str, Any]) -> list[ReadItem]:
    (source / "roses.json").write_text(json.dumps(content), "utf-8")
    return read("docling", source)


def test_a_cell_that_refers_to_a_picture_has_its_mark(tmp_path: Path) -> None:
    source, content = document(tmp_path)
    cells = content["tables"][0]["data"]["table_cells"]
    for cell in cells:
        del cell["bbox"]
    without = written(source, content)
    assert "served.picture" in codes(without) and not any("[F" in target for target in targets(without))
    cells[3] |= {"text": "", "ref": {"$ref": "#/pictures/1"}}
    assert "<fcel>name<fcel>colour<nl><fcel>rose<fcel>[F3]<nl>" in targets(written(source, content))


def test_what_stands_below_a_picture_is_no_block(tmp_path: Path) -> None:
    source, content = document(tmp_path)
    content["body"]["children"].remove({"$ref": "#/texts/2"})
    content["pictures"][0]["children"] = [{"$ref": "#/texts/2"}]
    reads = written(source, content)
    assert "and below of it." in targets(reads) and codes(reads).count("served.place") == 1


def test_pages_of_a_document_are_not_mixed(tmp_path: Path) -> None:
    source, content = document(tmp_path)
    content["pages"]["2"] = {**content["pages"]["1"], "page_no": 2}
    content["texts"][2]["prov"][0]["page_no"] = 2
    reads = written(source, content)
    assert {"Roses beside a picture", "and below of it."} <= set(targets(reads))
    assert [one.where for one in reads if isinstance(one, Item)][-1] == "roses.json#/texts/2"


def test_the_tree_of_a_document_may_run_in_a_circle(tmp_path: Path) -> None:
    source, content = document(tmp_path)
    content["texts"][0]["children"] = [{"$ref": "#/texts/1"}, {"$ref": "#/texts/0"}, {"$ref": "#/body"}]
    content["texts"][1]["children"] = [{"$ref": "#/texts/0"}, 5, {"$ref": 7}]
    assert "Roses beside a picture\nand below of it." in targets(written(source, content))


# ---- damage


def damaged(value: Any, rng: random.Random) -> Any:
    """A JSON value with something odd in one place of it."""
    if isinstance(value, (list, dict)) and value and rng.random() < 0.93:
        keys = list(value) if isinstance(value, dict) else range(len(value))
        key = rng.choice(list(keys))
        inner = damaged(value[key], rng)
        return {**value, key: inner} if isinstance(value, dict) else [*value[:key], inner, *value[key + 1 :]]
    return rng.choice(ODD)


def mutated(name: str, text: str, rng: random.Random) -> str:
    if name == "page-xml":
        spots = list(re.finditer(r'="([^"]*)"|>([^<>]+)<|<(\w+)', text))
        spot = rng.choice(spots)
        return (
            text[: spot.start()]
            + rng.choice(['="-5"', '="1,1 1e9,3"', '=""', "<TextRegion>", ">", "<a"])
            + text[spot.end() :]
        )
    head, tab, content = text.rpartition("\t")
    whole = json.loads(content)
    key = rng.choice(list(whole)) if isinstance(whole, dict) else rng.randrange(len(whole))
    whole[key] = damaged(whole[key], rng)
    return head + tab + json.dumps(whole)


@pytest.mark.parametrize("name", ["omnidocbench", "docling", "page-xml", "ppocrlabel"])
def test_damage_costs_what_is_damaged_and_breaks_nothing(name: str, tmp_path: Path) -> None:
    source = copied(name, tmp_path)
    path = next(one for one in sorted(source.iterdir()) if one.suffix in (".json", ".xml", ".txt"))
    text = path.read_text("utf-8")
    rng = random.Random(name)
    whole = 0
    for _ in range(ROUNDS):
        path.write_text(mutated(name, text, rng), "utf-8")
        reads = read(name, source)  # an exception would cost the rest of the file
        whole += len(targets(reads)) > 1
    assert whole > ROUNDS // 2
