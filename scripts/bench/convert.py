"""Rows per second of the whole `sft convert`, from reading the source to the manifest, with one worker and with two.

    .venv/bin/python scripts/bench/convert.py [ROWS]

The rows share 16 small PNG files, so that headers are read but no disk is measured. There is no peer to compare with;
the figures, wall time on whatever else the machine does, say what a source of a million rows will take.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image

PICTURES = 16


def pictures(folder: Path) -> list[bytes]:
    """Draw the images; their bytes."""
    (folder / "train").mkdir(parents=True)
    for number in range(PICTURES):
        Image.new("RGB", (320, 48), (number, 255, 255)).save(folder / "train" / f"{number}.png")
        os.link(folder / "train" / f"{number}.png", folder / f"{number}.png")
    return [(folder / f"{number}.png").read_bytes() for number in range(PICTURES)]


def rec(folder: Path, rows: int) -> Path:
    """Lines of text."""
    pictures(folder)
    lines = (f"{number % PICTURES}.png\tsome line of text with the number {number}\n" for number in range(rows))
    return written(folder / "rec_gt_train.txt", lines)


def pubtabnet(folder: Path, rows: int) -> Path:
    """Tables of 10 rows and 5 columns with a spanning head, some 12 characters a cell."""
    pictures(folder)
    head = ["<tr>", "<td", ' colspan="2"', ">", "</td>", *["<td>", "</td>"] * 3, "</tr>"]
    body = ["<tr>", *["<td>", "</td>"] * 5, "</tr>"] * 9
    structure = ["<thead>", *head, "</thead>", "<tbody>", *body, "</tbody>"]

    def row(number: int) -> str:
        cells = [{"tokens": list(f"cell {number} {place}"), "bbox": [1, 2, 3, 4]} for place in range(49)]
        return (
            json.dumps(
                {
                    "filename": f"{number % PICTURES}.png",
                    "split": "train",
                    "imgid": number,
                    "html": {"cells": cells, "structure": {"tokens": structure}},
                }
            )
            + "\n"
        )

    return written(folder / "PubTabNet.jsonl", map(row, range(rows)))


def hf(folder: Path, rows: int) -> Path:
    """Parquet with the images inside, which are stored once each in the output."""
    import pyarrow
    import pyarrow.parquet

    images = pictures(folder)
    values = [
        {
            "image": {"bytes": images[number % PICTURES], "path": None},
            "text": f"some line of text with the number {number}",
        }
        for number in range(rows)
    ]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(values), folder / "train.parquet", row_group_size=1000)
    return folder / "train.parquet"


def messages(folder: Path, rows: int) -> Path:
    """Conversations of one turn."""
    pictures(folder)

    def row(number: int) -> str:
        turns = [
            {"role": "user", "content": "<image>OCR:"},
            {"role": "assistant", "content": f"some line of text with the number {number}"},
        ]
        return json.dumps({"messages": turns, "images": [f"{number % PICTURES}.png"]}) + "\n"

    return written(folder / "train.jsonl", map(row, range(rows)))


def written(path: Path, lines: object) -> Path:
    """`lines` as the file `path`."""
    with path.open("w", encoding="utf-8") as stream:
        stream.writelines(lines)  # type: ignore[arg-type]
    return path


SOURCES: dict[str, tuple[Callable[[Path, int], Path], int]] = {
    "paddleocr-rec": (rec, 1),
    "pubtabnet": (pubtabnet, 10),
    "hf": (hf, 1),
    "messages": (messages, 1),
}


def seconds(name: str, source: Path, out: Path, workers: int) -> float:
    """Wall time of the command, start of the interpreter included."""
    begin = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "sft", "convert", name, str(source), "-o", str(out), "--workers", str(workers)],
        check=True,
        capture_output=True,
    )
    return time.perf_counter() - begin


def main() -> None:
    """One line per format."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    sys.stdout.write(f"{'format':14} {'rows':>8} {'1 worker':>12} {'2 workers':>12}   rows/s, and the same bytes\n")
    with tempfile.TemporaryDirectory() as name:
        for format_name, (make, smaller) in SOURCES.items():
            folder = Path(name) / format_name
            folder.mkdir()
            source = make(folder, rows // smaller)
            took = [seconds(format_name, source, folder / f"out{workers}" / "out.jsonl", workers) for workers in (1, 2)]
            one, two = ((folder / f"out{workers}" / "out.jsonl").read_bytes() for workers in (1, 2))
            same = "yes" if one == two and one.count(b"\n") == rows // smaller else "NO"
            sys.stdout.write(
                f"{format_name:14} {rows // smaller:8} "
                + " ".join(f"{rows // smaller / each:12,.0f}" for each in took)
                + f"   {same}\n"
            )
            sys.stdout.flush()


if __name__ == "__main__":
    main()
