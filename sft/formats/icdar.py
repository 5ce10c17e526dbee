"""ICDAR robust reading: words with their corners in one file per image, or cropped words in one list.

    gt_img_1.txt (2015; SROIE, where the file has the name of its image)   377,117,463,117,465,130,378,130,Genaxis
    Theatre
                                                                           374,155,409,155,409,170,374,170,###
    gt_100.txt (2013, training and test)                                   158 128 411 181 "Footpath"
                                                                           38, 43, 920, 215, "Tiredness"
    gt_img_1.txt (MLT)                                                     x1,y1,x2,y2,x3,y3,x4,y4,Latin,text
    image_1.txt (RCTW-17)                                                  x1,y1,x2,y2,x3,y3,x4,y4,0,"text"
    gt.txt (cropped words; MLT writes the script between)                  word_1.png, "Genaxis Theatre"

Corners run clockwise from the top left; words are cut out along them. The text may hold commas; in quotes, \\" and \\\\
stand for " and \\. `###` and `*` are words that nobody could read: source.ignored; words that are only called difficult
have a text and are kept. Which fields stand before or behind the text is decided by the file
(`sft.formats.icdar_page`). The group of a word is its page. The image of `gt_img_1.txt` is `img_1` with any suffix:
under `--images`, beside the file, or in a folder beside the file's. With --task spotting a file is one sample: its
whole picture, and all words with their places; a list of cropped words has no places.
"""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sft.errors import RowRejected, UsageError
from sft.files import MAX_LINE_BYTES, UNIT_FILES, Span, Unit, line_units, open_text, unit_lines
from sft.formats.base import Format, Note, Picture, ReadItem, Reject, SourceOptions
from sft.formats.icdar_page import SCRIPTS, Layout, fits, layout, split
from sft.formats.shared import BOM, IMAGE_SUFFIXES, RAW, begin, decode_line, item, picture, spotting
from sft.types import Task

IGNORED = ("###", "*")
MAX_FILE_BYTES = 16 << 20  # of one image's words
_SEPARATOR = r"(?:\s*,\s*|\s+)"
_BOX = re.compile(_SEPARATOR.join([r"(-?\d{1,9})"] * 4) + rf'{_SEPARATOR}(?:[01]{_SEPARATOR})?"(.*)"', re.DOTALL)
_SCRIPT = re.compile(rf"({'|'.join(SCRIPTS)}),")


def units(source: Path, options: SourceOptions) -> Iterator[Unit]:
    """Lines of a list of cropped words; files of words, with a tuple of (its name, the image or "") as payload."""
    if not source.is_dir():
        with open_text(source):  # says so where there is none
            pass
        if _is_list(source):
            yield from line_units(source)
        else:
            yield Unit(
                source.parent,
                source.parent.name,
                ((source.name, _image(_Labels(source.parent, options.images), source, {})),),
            )
        return
    batch: list[tuple[str, str]] = []
    listed: dict[Path, dict[str, list[str]]] = {}
    labels = _Labels(source, options.images, _twice_named(source) if options.images else frozenset())
    any_file = False
    for folder, names, files in os.walk(source):
        names.sort()
        for name in sorted(files):
            path = Path(folder) / name
            if not name.lower().endswith(".txt"):
                continue
            relative = path.relative_to(source).as_posix()
            if _is_list(path):
                if batch:
                    yield Unit(source, source.name, tuple(batch))
                    batch = []
                yield from line_units(path, relative)
                any_file = True
            elif (image := _image(labels, path, listed)) or name.lower().startswith("gt_"):
                batch.append((relative, image))
                any_file = True
            if len(batch) == UNIT_FILES:
                yield Unit(source, source.name, tuple(batch))
                batch = []
    if batch:
        yield Unit(source, source.name, tuple(batch))
    if not any_file:
        raise UsageError(
            "no ground truth here",
            where=str(source),
            hint=("expected files such as gt_img_1.txt, files named as their images, or a gt.txt of cropped words"),
        )


def _is_list(path: Path) -> bool:
    """Whether the first line names an image."""
    try:
        with open_text(path) as stream:
            return _named(stream.readline(4096).removeprefix(BOM).decode("utf-8", "replace")) is not None
    except (UsageError, OSError):
        return False


def _named(line: str) -> tuple[str, str] | None:
    """(image, the rest) of a line in a list of cropped words."""
    name, comma, rest = line.partition(",")
    name = name.strip()
    return (name, rest.strip()) if comma and name.lower().endswith(IMAGE_SUFFIXES) else None


@dataclass(frozen=True)
class _Labels:
    """Where files of words lie, where --images says that their images do, and which names stand in several folders."""

    source: Path
    images: Path | None
    twice_named: frozenset[str] = frozenset()


def _image(labels: _Labels, path: Path, listed: dict[Path, dict[str, list[str]]]) -> str:
    """The image of a file of words; "" where there is none, or more than one.

    Below --images it lies in the folder that the file of words has in the source, or in --images itself, unless files
    of several folders are called so: it would be a picture of another book.
    """
    stems = dict.fromkeys((path.stem.removeprefix("gt_"), path.stem))
    if labels.images:
        mirrored = _one(labels.images / path.parent.relative_to(labels.source), stems, listed)
        return mirrored or ("" if path.name in labels.twice_named else _one(labels.images, stems, listed))
    if own := _one(path.parent, stems, listed):
        return own
    try:
        beside = sorted(entry for entry in path.parent.parent.iterdir() if entry.is_dir() and entry != path.parent)
    except OSError:
        return ""
    images = [image for image in (_one(folder, stems, listed) for folder in beside) if image]
    return images[0] if len(images) == 1 else ""


def _twice_named(source: Path) -> frozenset[str]:
    """Names of files of words that stand in more than one folder of the source."""
    counts = Counter(name for _, _, names in os.walk(source) for name in names if name.lower().endswith(".txt"))
    return frozenset(name for name, count in counts.items() if count > 1)


def _one(folder: Path, stems: dict[str, None], listed: dict[Path, dict[str, list[str]]]) -> str:
    """The only image of that name in a folder."""
    if folder not in listed:
        try:
            names = sorted(entry.name for entry in os.scandir(folder) if entry.name.lower().endswith(IMAGE_SUFFIXES))
        except OSError:
            names = []
        listed[folder] = {}
        for name in names:
            listed[folder].setdefault(
                name.rsplit(".", 1)[0],
                [],
            ).append(name)
    for stem in stems:
        if len(names := listed[folder].get(stem, [])) == 1:
            return str(folder / names[0])
    return ""


def read(unit: Unit, options: SourceOptions) -> Iterator[ReadItem]:
    """An Item or a Reject for every line."""
    if isinstance(unit.payload, Span):
        for where, line in _list_lines(unit):
            if isinstance(line, str) and options.task is Task.SPOTTING:
                yield Reject(where, "source.geometry", "a cropped word has no place in a picture", line[:RAW])
                continue
            yield (
                line if isinstance(line, Reject) else _cropped(where, line, options.images or unit.path.parent, options)
            )
        return
    neighbours = cache(lambda: _usual_layout(unit))
    for name, image in unit.payload:
        page = _page(
            unit.path / name,
            name,
            image,
            options,
            neighbours,
        )
        yield from spotting.pages(page, name) if options.task is Task.SPOTTING else page


def _usual_layout(unit: Unit) -> Layout | None:
    """The layout that most files of a unit have, of those with several lines."""
    layouts: Counter[Layout] = Counter()
    for name, _ in unit.payload:
        rows = _lines(unit.path / name, name)
        lines = [row for _, row in rows if isinstance(row, str)] if isinstance(rows, list) else []
        if len(lines) > 1:
            layouts[layout(lines)] += 1
    return layouts.most_common(1)[0][0] if layouts else None


def _layout(lines: list[str], neighbours: Callable[[], Layout | None]) -> Layout:
    """The layout of a file; one line is not enough to tell, so that the files beside it are asked."""
    own = layout(lines)
    if len(lines) != 1 or own != Layout():
        return own
    usual = neighbours()
    return usual if usual is not None and fits(lines, usual) else own


def _list_lines(unit: Unit) -> Iterator[tuple[str, str | Reject]]:
    for number, line, too_long in unit_lines(unit):
        where = f"{unit.name}:{number}"
        if too_long:
            yield (
                where,
                Reject(where, "source.too_large", f"more than {MAX_LINE_BYTES:,} bytes in one line", begin(line)),
            )
        elif line.removeprefix(BOM).strip():
            yield where, decode_line(where, line.removeprefix(BOM))


def _cropped(where: str, line: str, root: Path, options: SourceOptions) -> ReadItem:
    named = _named(line)
    if named is None:
        return Reject(where, "source.shape", 'expected `word_1.png, "text"`', line[:RAW])
    name, text = named
    if script := _SCRIPT.match(text):
        text = text[script.end() :]
    text = _unquoted(text)
    if text in IGNORED:
        return Reject(where, "source.ignored", f"{text!r}: a word marked as unreadable", line[:RAW])
    try:
        image = picture(name, root, below=True, turn=options.turn)
    except RowRejected as error:
        return Reject(
            where,
            error.code,
            str(error),
            line[:RAW],
        )
    return item(
        where,
        line,
        text,
        image,
        options,
        task=options.task or Task.OCR,
    )


def _unquoted(text: str) -> str:
    """What stands in quotes, with \\" and \\\\ resolved; the text itself where it is not in quotes."""
    quoted = len(text) > 1 and text[0] == text[-1] == '"'
    return re.sub(r'\\(["\\])', r"\1", text[1:-1]) if quoted else text


def _lines(path: Path, name: str) -> list[tuple[str, str | Reject]] | Reject:
    """(where, line) of the lines of a file that are not blank; a Reject where it cannot be read."""
    try:
        with open_text(path) as stream:
            content = stream.read(MAX_FILE_BYTES + 1)
    except (UsageError, OSError) as error:
        return Reject(name, "source.shape", f"cannot be read: {error}")
    if len(content) > MAX_FILE_BYTES:
        said = f"more than {MAX_FILE_BYTES:,} bytes of words for one image"
        return Reject(name, "source.too_large", said, begin(content))
    lines = enumerate(content.removeprefix(BOM).split(b"\n"), 1)
    return [(f"{name}:{number}", decode_line(f"{name}:{number}", line)) for number, line in lines if line.strip()]


def _page(
    path: Path, name: str, image: str, options: SourceOptions, neighbours: Callable[[], Layout | None]
) -> Iterator[ReadItem]:
    rows = _lines(path, name)
    if isinstance(rows, Reject):
        yield rows
        return
    page_layout = _layout(
        [row for _, row in rows if isinstance(row, str)],
        neighbours,
    )
    if said := page_layout.said():
        yield Note(said, name)
    group = Path(image).name if image else ""
    folder = Path(name).parent.as_posix()
    for where, row in rows:
        if isinstance(row, Reject):
            yield row
        elif not image:
            said = "no image of that name, or several; --images FOLDER says where"
            yield Reject(where, "image.missing", said, row[:RAW])
        else:
            yield _word(
                where,
                row,
                Path(image),
                group if folder == "." else f"{folder}/{group}",
                page_layout,
                options,
            )


def _word(where: str, line: str, image: Path, group: str, line_layout: Layout, options: SourceOptions) -> ReadItem:
    if parts := split(line, line_layout.numbers):
        corners = tuple(
            zip(
                parts[0][::2],
                parts[0][1::2],
                strict=True,
            )
        )
        text = line_layout.text(parts[1])
        text = _unquoted(text.strip()) if line_layout.quoted else text
    elif box := _BOX.fullmatch(line.strip()):
        left, top, right, bottom = (float(number) for number in box.groups()[:4])
        if left >= right or top >= bottom:
            return Reject(where, "source.geometry", "a box without width or height", line[:RAW])
        corners = ((left, top), (right, top), (right, bottom), (left, bottom))
        text = _unquoted(f'"{box[5]}"')
    else:
        said = 'expected `x1,y1,…,x4,y4,text` or `left, top, right, bottom, "text"`'
        return Reject(where, "source.shape", said, line[:RAW])
    if text.strip() in IGNORED:
        said = f"{text.strip()!r}: a word marked as unreadable"
        return Reject(where, "source.ignored", said, line[:RAW])
    if (area := _area(corners)) <= 0:
        said = (
            "no area" if math.isclose(area, 0) else "corners that run counter-clockwise, and would be cut out mirrored"
        )
        return Reject(where, "source.geometry", said, line[:RAW])
    crop = Picture(path=image, quad=corners, turn=options.turn)
    return item(
        where,
        line,
        text,
        crop,
        options,
        task=options.task or Task.OCR,
        group=group,
    )


def _area(corners: tuple[tuple[float, float], ...]) -> float:
    """Twice the signed area; positive where the corners run clockwise on the screen, whose y points down."""
    return sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in zip(corners, corners[1:] + corners[:1], strict=True))


FORMATS = {
    "icdar": Format(
        name="icdar",
        title="ICDAR robust reading: words with corners (2013, 2015, MLT, SROIE) and cropped words",
        origin="https://rrc.cvc.uab.es/?ch=4&com=tasks",
        example="377,117,463,117,465,130,378,130,Genaxis Theatre",
        tasks=(Task.OCR, Task.SPOTTING),
        units=units,
        read=read,
    )
}
