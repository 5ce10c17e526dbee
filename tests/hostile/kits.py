"""One kit for every format and layout; the records are those of the golden folders, cut down to one label."""

from __future__ import annotations

import csv
import io
from html import escape
from typing import Any

from hostile.kit import MARKS, PNG, SIDE, Kit, template
from hostile.kits_binary import BINARY

QUAD = [[2, 2], [SIDE - 2, 2], [SIDE - 2, SIDE - 2], [2, SIDE - 2]]
FLAT = [value for point in QUAD for value in point]
POINTS = " ".join(f"{x},{y}" for x, y in QUAD)
ARRAY: dict[str, Any] = {"head": b"[\n", "between": b",\n", "tail": b"\n]\n"}


def separated(*cells: str, delimiter: str = ",") -> bytes:
    stream = io.StringIO()
    csv.writer(stream, delimiter=delimiter, lineterminator="\n").writerow(cells)
    return stream.getvalue().removesuffix("\n").encode()


def table(label: str) -> str:
    return f"<table><tr><td>{label}</td><td>1</td></tr></table>"


def erniekit(label: str, name: str, index: int) -> Any:
    return {
        "image_info": [{"image_url": name, "matched_text_index": 0}],
        "text_info": [{"text": "OCR:", "tag": "mask"}, {"text": label, "tag": "no_mask"}],
    }


def messages(label: str, name: str, index: int) -> Any:
    return {
        "messages": [{"role": "user", "content": "<image>OCR:"}, {"role": "assistant", "content": label}],
        "images": [name],
    }


def llava(label: str, name: str, index: int) -> Any:
    return {
        "id": "1",
        "image": name,
        "conversations": [{"from": "human", "value": "<image>\nOCR:"}, {"from": "gpt", "value": label}],
    }


def ppocrlabel(label: str, name: str, index: int) -> Any:
    return [{"transcription": label, "points": QUAD, "difficult": False}]


def pubtabnet(label: str, name: str, index: int) -> Any:
    structure = {
        "tokens": ["<tbody>", "<tr>", "<td>", "</td>", "<td", ' colspan="2"', ">", "</td>", "</tr>", "</tbody>"]
    }
    return {
        "filename": name,
        "split": "train",
        "imgid": index,
        "html": {"cells": [{"tokens": list(label), "bbox": [1, 1, 9, 9]}, {"tokens": ["1"]}], "structure": structure},
    }


def label_studio(label: str, name: str, index: int) -> Any:
    box = {
        "original_width": SIDE,
        "original_height": SIDE,
        "image_rotation": 0,
        "from_name": "bbox",
        "to_name": "image",
    }
    shape = {"x": 5, "y": 5, "width": 90, "height": 90, "rotation": 0}
    result = [
        {"id": "b", "type": "rectangle", **box, "value": shape},
        {"id": "b", "type": "textarea", **box, "value": {**shape, "text": [label]}},
    ]
    return {
        "id": index,
        "data": {"ocr": name},
        "annotations": [{"id": 1, "was_cancelled": False, "ground_truth": False, "result": result}],
        "predictions": [],
    }


def omnidocbench(label: str, name: str, index: int) -> Any:
    block = {"category_type": "text_block", "poly": FLAT, "ignore": False, "order": 0, "anno_id": 0, "text": label}
    grid = {"category_type": "table", "poly": FLAT, "order": 1, "anno_id": 1, "html": table("x")}
    formula = {"category_type": "equation_isolated", "poly": FLAT, "order": 2, "anno_id": 2, "latex": "$$x$$"}
    return {
        "layout_dets": [block, grid, formula],
        "page_info": {"image_path": name, "width": SIDE, "height": SIDE, "page_no": 0},
    }


def plotqa(label: str, name: str, index: int) -> Any:
    axes = {
        "x_axis": {"label": {"text": "Year"}, "major_labels": {"values": ["1", "2"]}},
        "y_axis": {"label": {"text": "Rate"}, "major_labels": {"values": ["0"]}},
    }
    return {
        "type": "vbar_categorical",
        "image_index": index,
        "models": [{"name": label, "x": ["1", "2"], "y": [9.6, 12.0]}],
        "general_figure_info": axes,
    }


def docling(label: str, name: str, index: int) -> Any:
    box = {"l": 2, "t": 2, "r": SIDE - 2, "b": SIDE - 2, "coord_origin": "TOPLEFT"}
    size = {"width": SIDE, "height": SIDE}
    text = {
        "self_ref": "#/texts/0",
        "label": "text",
        "orig": label,
        "text": label,
        "prov": [{"page_no": 1, "bbox": box, "charspan": [0, len(label)]}],
    }
    cell = {
        "row_span": 1,
        "col_span": 1,
        "start_row_offset_idx": 0,
        "start_col_offset_idx": 0,
        "text": "x",
        "column_header": True,
    }
    grid = {
        "self_ref": "#/tables/0",
        "label": "table",
        "prov": [{"page_no": 1, "bbox": box}],
        "data": {"num_rows": 1, "num_cols": 1, "table_cells": [cell]},
    }
    return {
        "schema_name": "DoclingDocument",
        "pages": {"1": {"page_no": 1, "size": size, "image": {"size": size, "uri": name}}},
        "texts": [text],
        "tables": [grid],
        "pictures": [],
    }


def questions(label: str, name: str, index: int) -> Any:
    return {"imgname": name, "query": "How many?", "label": label}


def page_xml(label: str, name: str, index: int) -> bytes:
    return page_head(name) + page_line(label, name, index) + PAGE_TAIL


def page_head(name: str) -> bytes:
    said = (
        '<PcGts xmlns="http://schema.primaresearch.org/PAGE/gts/pagecontent/2019-07-15"><Page'
        f' imageFilename="{escape(name)}" imageWidth="{SIDE}" imageHeight="{SIDE}"><TextRegion id="r">'
    )
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + said.encode()


PAGE_TAIL = b"</TextRegion></Page></PcGts>"


def page_line(label: str, name: str, index: int) -> bytes:
    return (
        f'<TextLine id="l{index}"><Coords'
        f' points="{POINTS}"/><TextEquiv><Unicode>{escape(label)}</Unicode></TextEquiv></TextLine>'.encode()
    )


def alto(label: str, name: str, index: int) -> bytes:
    return alto_head(name) + alto_line(label, name, index) + ALTO_TAIL


def alto_head(name: str) -> bytes:
    said = f"<MeasurementUnit>pixel</MeasurementUnit><sourceImageInformation><fileName>{escape(name)}</fileName></sourceImageInformation>"
    layout = f'<Layout><Page ID="p" WIDTH="{SIDE}" HEIGHT="{SIDE}"><PrintSpace><TextBlock ID="b">'
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<alto'
        f' xmlns="http://www.loc.gov/standards/alto/ns-v4#"><Description>{said}</Description>{layout}'.encode()
    )


ALTO_TAIL = b"</TextBlock></PrintSpace></Page></Layout></alto>"


def alto_line(label: str, name: str, index: int) -> bytes:
    return (
        f'<TextLine ID="l{index}" HPOS="2" VPOS="2" WIDTH="{SIDE - 4}" HEIGHT="{SIDE - 4}"><String'
        f' CONTENT="{escape(label)}"/></TextLine>'.encode()
    )


def hocr(label: str, name: str, index: int) -> bytes:
    return hocr_head(name) + hocr_line(label, name, index) + HOCR_TAIL


def hocr_head(name: str) -> bytes:
    return (
        "<!DOCTYPE html>\n<html><head><meta charset='utf-8'></head><body><div class='ocr_page' id='p' title='image"
        f' "{escape(name)}"; bbox 0 0 {SIDE} {SIDE}\'>'.encode()
    )


HOCR_TAIL = b"</div></body></html>"


def hocr_line(label: str, name: str, index: int) -> bytes:
    return (
        f"<span class='ocr_line' id='l{index}' title='bbox 2 2 {SIDE - 2} {SIDE - 2}'><span"
        f" class='ocrx_word'>{escape(label)}</span></span>".encode()
    )


def lists(label: str, name: str, index: int) -> bytes:
    return f"{MARKS.index(label) if label in MARKS else 0} {name} basic".encode()


CSV: dict[str, Any] = {
    "format": "csv",
    "main": "metadata.csv",
    "make": lambda label, name, index: separated(name, label),
    "head": b"file_name,text\n",
    "source": "",
}
MARKUPS = {
    "table": (table("{mark}"), "html", {"task": "table", "markup": "html"}),
    "otsl": ("<fcel>{mark}<ecel><nl>", "otsl", {"task": "table", "markup": "otsl"}),
    "markdown": ("| {mark} | b |\n| --- | --- |\n| 1 | 2 |", "markdown", {"task": "table", "markup": "markdown"}),
    "sheet": ("{mark},b\n1,2", "sheet", {"task": "table", "markup": "csv"}),
    "formula": ("\\{mark}", "latex", {"task": "formula"}),
    "deplot": ("Year | {mark} <0x0A> 2019 | 3", "chart", {"task": "chart", "markup": "deplot"}),
    "chart": ("Year | {mark}\n2019 | 3", "chart", {"task": "chart"}),
}
XML: dict[str, Any] = {"whole": "after", "image": "{mark}.png"}
HTML: dict[str, Any] = {"whole": "all", "image": "{mark}.png"}

KITS: list[Kit] = [
    Kit("erniekit", "erniekit", "train.jsonl", template(erniekit)),
    Kit("erniekit array", "erniekit", "train.json", template(erniekit), **ARRAY),
    Kit("messages", "messages", "train.jsonl", template(messages)),
    Kit("llava", "llava", "train.json", template(llava), **ARRAY),
    Kit("llava lines", "llava", "train.jsonl", template(llava)),
    Kit("paddleocr-rec", "paddleocr-rec", "rec_gt_train.txt", lambda label, name, index: f"{name}\t{label}".encode()),
    Kit(
        "ppocrlabel",
        "ppocrlabel",
        "Label.txt",
        lambda label, name, index: f"photos/{name}\t".encode() + template(ppocrlabel)(label, name, index),
        "{mark}.png",
    ),
    Kit("pubtabnet", "pubtabnet", "labels.jsonl", template(pubtabnet), kind="tokens"),
    Kit(
        "hf",
        "hf",
        "metadata.jsonl",
        template(lambda label, name, index: {"file_name": name, "text": label, "more": {"a": [1]}}),
    ),
    Kit(
        "hf folder",
        "hf",
        "metadata.csv",
        lambda label, name, index: separated(name, label),
        head=b"file_name,text\n",
        source=".",
    ),
    Kit("csv", **CSV),
    *(
        Kit(f"csv {name}", **CSV, label=label, kind=kind, options=options, brief=True)
        for name, (label, kind, options) in MARKUPS.items()
    ),
    Kit(
        "tsv",
        "tsv",
        "labels.tsv",
        lambda label, name, index: f"{name}\t{label}".encode(),
        head=b"pic\tcontent\n",
        options={"columns": {"image": "pic", "text": "content"}},
    ),
    Kit("gt-pairs", "gt-pairs", "{mark}.gt.txt", lambda label, name, index: label.encode(), "{mark}.png", source="."),
    Kit("label-studio", "label-studio", "export.json", template(label_studio), "{mark}.png", **ARRAY),
    Kit(
        "omnidocbench",
        "omnidocbench",
        "OmniDocBench.json",
        template(omnidocbench),
        "images/{mark}.png",
        "{mark}.png",
        source=".",
        **ARRAY,
    ),
    Kit(
        "im2latex",
        "im2latex",
        "im2latex_train.lst",
        lists,
        "formula_images/{mark}.png",
        "{mark}",
        beside={"im2latex_formulas.lst": "\n".join(MARKS).encode()},
        kind="fixed",
    ),
    Kit(
        "unimer",
        "unimer",
        "train.txt",
        lambda label, name, index: label.encode(),
        "images/{index:07}.png",
        label="\\{mark}",
        kind="latex",
    ),
    Kit(
        "hme100k",
        "hme100k",
        "train_labels.txt",
        lambda label, name, index: f"{name}\t{label}".encode(),
        "train_images/{mark}.png",
        "{mark}.png",
        label="\\{mark}",
        kind="latex",
    ),
    Kit(
        "chartqa",
        "chartqa",
        "train/tables/{mark}.csv",
        lambda label, name, index: separated("Year", label) + b"\n2019,3",
        "train/png/{mark}.png",
        source=".",
        kind="cell",
    ),
    Kit("chartqa questions", "chartqa", "val_human.json", template(questions), "png/{mark}.png", "{mark}.png", **ARRAY),
    Kit("plotqa", "plotqa", "annotations.json", template(plotqa), "png/{index}.png", source=".", kind="cell", **ARRAY),
    Kit("docling", "docling", "{mark}.json", template(docling), "{mark}.png", source="."),
    Kit("page-xml", "page-xml", "{mark}.xml", page_xml, source=".", **XML),
    Kit(
        "page-xml lines",
        "page-xml",
        "page.xml",
        page_line,
        head=page_head("page.png"),
        tail=PAGE_TAIL,
        beside={"page.png": PNG["alpha"]},
        **XML,
    ),
    Kit("alto", "alto", "{mark}.xml", alto, source=".", **XML),
    Kit(
        "alto lines",
        "alto",
        "page.xml",
        alto_line,
        head=alto_head("page.png"),
        tail=ALTO_TAIL,
        beside={"page.png": PNG["alpha"]},
        **XML,
    ),
    Kit("hocr", "hocr", "{mark}.hocr", hocr, source=".", **HTML),
    Kit(
        "hocr lines",
        "hocr",
        "page.hocr",
        hocr_line,
        head=hocr_head("page.png"),
        tail=HOCR_TAIL,
        beside={"page.png": PNG["alpha"]},
        **HTML,
    ),
    Kit(
        "icdar",
        "icdar",
        "gt/gt_{mark}.txt",
        lambda label, name, index: f"2,2,60,2,60,60,2,60,{label}".encode(),
        "img/{mark}.png",
        source=".",
    ),
    Kit("icdar words", "icdar", "gt.txt", lambda label, name, index: f'{name}, "{label}"'.encode(), "{mark}.png"),
    *BINARY,
]
