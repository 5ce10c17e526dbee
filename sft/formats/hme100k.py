"""HME100K and CROHME captions: the name of an image, a tab, LaTeX tokens.

`train_labels.txt` of HME100K, and CROHME's `caption.txt` (names without suffix, images in `img/`):

    train_0.jpg\\t( 2 ) 2 N a O H + C u S O _ { 4 } = N a _ { 2 } S O _ { 4 } + C u ( O H ) _ { 2 } \\downarrow
    18_em_0\\ty ^ { 4 } + y + 1 = 0

Images are looked for in `train_images/` (for `train_labels.txt`), `img/`, `images/` and beside the labels, or under
`--images`. A name without suffix is tried with .bmp, .png and .jpg. InkML contains strokes and no image; draw it first.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sft.errors import RowRejected, UsageError
from sft.files import Unit, line_units
from sft.formats.base import Format, ReadItem, Reject, SourceOptions
from sft.formats.shared import RAW, item, picture, source_file, text_lines, with_suffix
from sft.types import Task

SUFFIXES = (".bmp", ".png", ".jpg", ".jpeg")


def units(source: Path, options: SourceOptions) -> Iterator[Unit]:
    """Lines of the label file; in a folder `SPLIT_labels.txt` or `caption.txt`."""
    if source.suffix.lower() == ".inkml" or (
        source.is_dir() and not next(source.glob("*.txt"), None) and next(source.glob("*.inkml"), None)
    ):
        raise UsageError(
            "InkML contains strokes and no image",
            where=str(source),
            hint="render the strokes first, and give the list of names and LaTeX",
        )
    yield from line_units(
        source_file(
            source,
            (f"{options.split or 'train'}_labels.txt", "caption.txt"),
            "hme100k",
        )
    )


def read(unit: Unit, options: SourceOptions) -> Iterator[ReadItem]:
    """An Item or a Reject for every line."""
    folder = options.images or _images(unit.path)
    for entry in text_lines(unit):
        if isinstance(entry, Reject):
            yield entry
            continue
        where, line = entry
        name, tab, label = line.partition("\t")
        if not tab or "\t" in label:
            yield Reject(where, "source.shape", "expected a name, one tab and LaTeX", line[:RAW])
            continue
        try:
            picture(name, folder, below=True)  # before its suffix is looked for on the disk
            image = picture(
                with_suffix(folder, name, SUFFIXES),
                folder,
                below=True,
                turn=options.turn,
            )
        except RowRejected as error:
            yield Reject(
                where,
                error.code,
                str(error),
                line[:RAW],
            )
            continue
        yield item(where, line, label, image, options, task=Task.FORMULA)


def _images(path: Path) -> Path:
    """The folder of the images that a label file names."""
    names = [path.stem.removesuffix("_labels") + "_images"] if path.stem.endswith("_labels") else []
    return next(
        (path.parent / name for name in (*names, "img", "images") if (path.parent / name).is_dir()), path.parent
    )


FORMATS = {
    "hme100k": Format(
        name="hme100k",
        title="HME100K and CROHME captions (name, tab, LaTeX tokens)",
        origin="https://github.com/Phymond/HME100K",
        example=(
            "train_0.jpg\t( 2 ) 2 N a O H + C u S O _ { 4 } = N a _ { 2 } S O _ { 4 } + C u ( O H ) _ { 2 } \\downarrow"
        ),
        tasks=(Task.FORMULA,),
        units=units,
        read=read,
        splits="NAME of NAME_labels.txt, such as train or test",
    )
}
