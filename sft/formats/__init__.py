"""Source formats, one per file: each lists its units of work and reads one unit at a time (`sft.formats.base`)."""

from __future__ import annotations

import importlib
from difflib import get_close_matches
from typing import TYPE_CHECKING

from sft.errors import UsageError
from sft.formats.base import Format
from sft.lazy import names_of

if TYPE_CHECKING:
    from sft.formats.base import Format, HubRow, Item, Note, Picture, ReadItem, Reject, SourceOptions, split_name
    from sft.formats.recognise import holds_rows, labels_in, require_rows, unlabelled
    from sft.formats.shared import IMAGE_SUFFIXES, MARKUPS, MEANING, to_messages
else:
    __getattr__ = names_of(__name__)

__all__ = [
    "IMAGE_SUFFIXES",
    "MARKUPS",
    "MEANING",
    "Format",
    "HubRow",
    "Item",
    "Note",
    "Picture",
    "ReadItem",
    "Reject",
    "SourceOptions",
    "holds_rows",
    "labels_in",
    "require_rows",
    "split_name",
    "to_messages",
    "unlabelled",
]

# name as users type it → module under sft/formats that holds its FORMAT; imported when it is used
FORMATS: dict[str, str] = {
    "erniekit": "erniekit",
    "messages": "messages",
    "llava": "llava",
    "paddleocr-rec": "paddleocr_rec",
    "ppocrlabel": "ppocrlabel",
    "pubtabnet": "pubtabnet",
    "hf": "hf",
    "csv": "delimited",
    "tsv": "delimited",
    "xlsx": "xlsx",
    "gt-pairs": "gt_pairs",
    "label-studio": "label_studio",
    "omnidocbench": "omnidocbench",
    "im2latex": "im2latex",
    "unimer": "unimer",
    "hme100k": "hme100k",
    "chartqa": "chartqa",
    "plotqa": "plotqa",
    "otsl-parquet": "otsl_parquet",
    "docling": "docling",
    "page-xml": "page_xml",
    "alto": "alto",
    "hocr": "hocr",
    "icdar": "icdar",
    "lmdb": "lmdb_rec",
}


# what people call a format that has another name here; only suggested
ALIASES = {
    "parquet": "hf",
    "huggingface": "hf",
    "hugging-face": "hf",
    "datasets": "hf",
    "arrow": "hf",
    "webdataset": "hf",
    "imagefolder": "hf",
    "paddleocr": "paddleocr-rec",
    "ppocr": "paddleocr-rec",
    "rec": "paddleocr-rec",
    "rec-gt": "paddleocr-rec",
    "txt": "paddleocr-rec",
    "label.txt": "ppocrlabel",
    "ernie": "erniekit",
    "jsonl": "erniekit",
    "hub": "erniekit",
    "sharegpt": "llava",
    "paddleformers": "messages",
    "swift": "messages",
    "ms-swift": "messages",
    "llamafactory": "messages",
    "llama-factory": "messages",
    "alpaca": "messages",
    "openai": "messages",
    "chat": "messages",
    "page": "page-xml",
    "pagexml": "page-xml",
    "transkribus": "page-xml",
    "tesseract": "gt-pairs",
    "ocropus": "gt-pairs",
    "otsl": "otsl-parquet",
    "fintabnet": "pubtabnet",
    "easyocr": "csv",
    "trdg": "csv",
    "crohme": "hme100k",
    "excel": "xlsx",
    "xls": "xlsx",
    "xlsm": "xlsx",
}


def get(name: str) -> Format:
    """The format called `name`; an unknown name is an error with a suggestion."""
    if name not in FORMATS:
        typed = name.lower().replace("_", "-").replace(" ", "-")
        close = [ALIASES[typed]] if typed in ALIASES else get_close_matches(typed, FORMATS, n=1, cutoff=0.65)
        hint = f"did you mean {close[0]} ? " if close else ""
        raise UsageError(
            f"no source format called {name!r}",
            hint=f"{hint}known: {', '.join(FORMATS)}; `sft convert --list` describes them",
        )
    module = importlib.import_module(f"sft.formats.{FORMATS[name]}")
    by_name: dict[str, Format] = module.FORMATS
    return by_name[name]
