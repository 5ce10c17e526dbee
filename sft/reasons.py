"""Every reason code of the workbench: why a row is refused or doubted, by converters, checks and set-making verbs
alike.

Findings are what makes ERNIEKit crash, hang or skip a row, what the PaddleOCR pipeline would change, and what is likely
a mistake. `sft validate --codes` prints this table; a test finds codes that nothing can produce.

The behaviour behind each trainer.* code was reproduced against ERNIEKit's `OCR-VL-SFT` stage: `vl_sft_dataset_json.py`
@88463b9, `dist_data_loader.py` @4bb9d60, `image_preprocessor_siglip.py` @697ee0a of PaddlePaddle/ERNIE.
"""

from __future__ import annotations

from typing import Literal

from sft.types import Problem

Severity = Literal["error", "warning"]

# code → severity and meaning; the group before the dot says what kind of thing is wrong
REASONS: dict[str, tuple[Severity, str]] = {
    "file.extension": ("error", "the trainer reads .jsonl only"),
    "file.empty": ("error", "no rows"),
    "file.bom": ("error", "byte order mark; the trainer crashes at start-up"),
    "file.encoding": ("error", "not UTF-8"),
    "file.blank_line": ("error", "empty line; the trainer crashes at start-up"),
    "file.crlf": ("warning", "Windows line ends"),
    "file.key_order": ("warning", "keys are not in the usual order (only with --fix)"),
    "structure.json": ("error", "the line is not JSON; the trainer crashes at start-up"),
    "structure.object": ("error", "not an object with text_info and image_info; the trainer crashes at start-up"),
    "structure.text_info": ("error", "text_info is not a list of texts"),
    "structure.image_info": ("error", "an image is not an object with image_url; the trainer crashes at start-up"),
    "structure.image_url": ("error", "image_url is not a path"),
    "structure.matched_text_index": ("error", "matched_text_index is not an index"),
    "structure.unknown_key": ("warning", "a key that no trainer reads"),
    "structure.duplicate_key": ("error", "a key twice in one object; only the last one counts"),
    "structure.misspelt_key": ("error", "a key that is probably misspelt; its default would be used silently"),
    "trainer.no_image": ("error", "no image; the whole run dies on this row"),
    "trainer.text": ("error", "a text is not a string; the row is skipped"),
    "trainer.tag": ("error", "a tag other than mask and no_mask; the row is skipped"),
    "trainer.no_target": ("error", "nothing to train on (no no_mask text); the whole run dies on this row"),
    "trainer.first_is_answer": ("error", "the first text is an answer; the row is skipped"),
    "trainer.merged_turns": ("error", "two texts in a row with the same tag; they are glued together without a space"),
    "trainer.open_question": ("error", "the last text is a prompt without an answer; PaddleFormers skips the row"),
    "trainer.image_index": ("error", "an image belongs to a text that is not there; it is dropped or the run dies"),
    "trainer.image_in_answer": ("error", "an image belongs to a later answer; the row is skipped"),
    "trainer.reserved_token": ("error", "a control token of the model in a text; the row is skipped or ends early"),
    "trainer.video": ("error", "video is not supported"),
    "trainer.system": ("error", "a system text is not supported by the workbench"),
    "trainer.image_size_fields": ("error", "image_width and image_height are wrong; the trainer believes them"),
    "trainer.too_long": ("error", "longer than max_seq_len; the row is skipped or cut"),
    "trainer.augmented": (
        "error",
        "rows that the trainer leaves out whenever it makes their images too large or too thin",
    ),
    "trainer.path": ("error", "a path the trainer cannot use"),
    "image.remote": ("error", "an address instead of a file; fetched in training without a time-out"),
    "image.inline": ("error", "an image inside the row; works for some formats and paths only"),
    "image.missing": ("error", "no such file; the row is skipped"),
    "image.unreadable": ("error", "not an image; the row is skipped"),
    "image.truncated": ("error", "cannot be decoded; the row is skipped"),
    "image.too_large": ("error", "too many pixels or bytes to be read safely"),
    "image.aspect": ("error", "longer than 200 times its width; the row is skipped"),
    "image.sliver": ("error", "a side of 4 px or less; servers take it for colour channels"),
    "image.small": ("warning", "a side under 28 px; it is enlarged before the model sees it"),
    "image.exif": ("warning", "rotated by an EXIF tag that the trainer ignores"),
    "target.empty": ("error", "an empty answer; PaddleFormers skips the row, ERNIEKit trains the model to say nothing"),
    "target.outer_space": ("warning", "white space around a text; the trainer strips it"),
    "target.markdown_table": (
        "warning",
        "a Markdown table; ERNIEKit re-spaces its cells and rewrites its ruler before training",
    ),
    "target.replacement": ("warning", "U+FFFD: the label was decoded with the wrong encoding somewhere"),
    "prompt.unknown": ("warning", "a prompt that the PaddleOCR pipeline never sends"),
    "prompt.near_miss": ("error", "a prompt that is almost one of the model's own"),
    # markup of answers
    "target.control": ("error", "a control character in a text"),
    "target.html": ("error", "HTML as the answer, or as a table that cannot be read; tables are trained as OTSL"),
    "target.otsl": ("error", "OTSL that is no table: the grid does not close, or a cell is empty without <ecel>"),
    "target.latex": ("error", "LaTeX that does not parse"),
    "target.latex_delimiters": ("warning", "a formula without its delimiters \\[ … \\]"),
    "target.row_skip": (
        "error",
        "\\\\[2pt] in a formula: the PaddleOCR pipeline takes it for a delimiter and destroys the formula",
    ),
    "target.unseen": (
        "warning",
        "LaTeX that leaves no ink (\\label, a comment, \\\\ without a row): no model can read it from an image",
    ),
    "target.chart": ("error", "chart rows of different length, or none at all"),
    "target.chart_style": ("warning", "a chart with outer pipes or a ruler; the model writes neither"),
    "target.dollar": (
        "warning",
        "a dollar sign beside \\( \\) or \\[ \\]: the PaddleOCR pipeline deletes every dollar sign then",
    ),
    "target.repetition": ("warning", "a repetition that the PaddleOCR pipeline cuts"),
    "target.placeholder": ("error", "### or 待识别: what is written where nobody has read, or could read, the text"),
    "target.reference": ("warning", "a character reference of HTML (&amp;); the model writes the character itself"),
    "target.white_space": (
        "warning",
        "a no-break space, a tab, several blanks in a row or the like; no image tells them from one blank",
    ),
    # places of Spotting
    "spotting.places": ("error", "a text without places under the prompt for Spotting"),
    "spotting.count": ("error", "a text with another number of places than eight"),
    "spotting.range": ("error", "a place above 1000: places are thousandths of the picture's sides"),
    "spotting.corners": ("error", "corners that run counter-clockwise, cross or enclose nothing"),
    "spotting.text": ("error", "a place without a text"),
    "spotting.frame": ("error", "two notations of Spotting mixed, or one without its end"),
    "spotting.prompt": ("error", "places of Spotting under the prompt of another task"),
    # the language of answers
    "language.marks": (
        "warning",
        "a script that needs combining marks, and (almost) none: a primer, or a label that was cleaned with \\w",
    ),
    "language.lookalikes": ("warning", "letters of look-alike scripts in one word"),
    "language.invisible": ("warning", "invisible characters"),
    "language.unicode_form": ("warning", "not in Unicode form NFC: the same text has two spellings"),
    "language.presentation_forms": ("warning", "shapes of Arabic letters (U+FE91) in place of the letters (U+0628)"),
    "language.yeh_kaf": ("warning", "yeh or kaf of Arabic (ي, ك) in a word with letters of Persian"),
    "language.spelling": ("warning", "a sequence that looks like another one (ํา and ำ, เเ and แ, अा and आ)"),
    "language.stray_mark": ("warning", "a combining mark behind a blank or at the beginning: it stands on no letter"),
    # the set as a whole
    "set.duplicate": ("warning", "the same image with the same answer again"),
    "set.contradiction": ("error", "the same image with two different answers to one prompt"),
    "set.leak": ("error", "an image of the test set is in the training set"),
    "set.near_leak": ("warning", "an image of the test set looks the same as one of the training set"),
    "set.near_duplicate": ("warning", "two images that look the same"),
    "set.marks": (
        "error",
        "most texts of a script are (almost) without its combining marks: the labels were cleaned with \\w or the like",
    ),
    "image.page": ("warning", "looks like a whole page, but the prompt is for a crop"),
    # tables that converters fixed, or dropped something of
    "table.ragged": ("warning", "rows of different length; the short ones are filled with blank cells"),
    "table.widened": ("warning", "a row longer than its heading; the table is widened"),
    "table.second": ("warning", "more than one table in a label; only the first is read"),
    "table.outside": ("warning", "text in front of, between or behind the cells; it is dropped"),
    "table.caption": ("warning", "a caption inside the table; it is dropped, as layout detection cuts it off"),
    "table.overlap": ("warning", "cells that overlap; the first one has the slot"),
    "table.span": ("warning", "a cell that reaches past the table; it is cut"),
    "table.nested": ("warning", "a table inside a cell; its texts are joined"),
    "table.math": (
        "warning",
        "a formula in MathML that has no TeX beside it and cannot be turned into any; its characters are joined",
    ),
    "table.blank": ("warning", "<fcel> without text; it is written <ecel>"),
    "table.reference": ("warning", "character references (&amp;) in a notation that has none; they are read"),
    "table.delimiter": ("warning", "CSV that two delimiters divide evenly; say --delimiter"),
    "table.formula": (
        "warning",
        "a formula in a workbook whose value is not stored there; the cell is blank, or has a 0",
    ),
    "table.number_format": ("warning", "a number format of Excel that is not known; the stored value is written"),
    "table.narrow": ("warning", "a number that does not fit its column; Excel shows ### or fewer digits"),
    # blocks of pages that are cut as the PaddleOCR pipeline cuts them (--as-served)
    "served.place": ("warning", "a block whose kind or place the source does not tell; it is cut as labelled"),
    "served.unasked": ("warning", "a block that the PaddleOCR pipeline leaves out; it is cut alone"),
    "served.apart": (
        "warning",
        "a block that the PaddleOCR pipeline would join with one whose text is not known; it is cut alone",
    ),
    "served.picture": (
        "warning",
        "a table with pictures in it whose cells are not known; its crop shows them, not their marks",
    ),
    # sources that are converted
    "review.changed": ("error", "a correction of a row that has changed since it was reviewed"),
    "review.conflict": ("error", "several corrections of one row that contradict each other"),
    "review.unknown": ("error", "a correction of a line that is not there"),
    "source.encoding": ("error", "not UTF-8"),
    "source.syntax": ("error", "not JSON, XML, CSV or whatever the format says"),
    "source.shape": ("error", "something is missing or of the wrong type"),
    "source.too_large": ("error", "too large to be read safely"),
    "source.refused": ("error", "a pickle, an archive or an external entity; it is not opened"),
    "source.ignored": ("error", "marked by its author as not to be used"),
    "source.outside": ("error", "a path that leads out of the source"),
    "source.geometry": ("error", "a box or polygon that cuts nothing out of its image"),
    "source.inexpressible": ("error", "something that the output format has no place for"),
    "source.remote": ("error", "an image could not be fetched"),
    "source.address": ("error", "an address that is not fetched: not http(s), or not public"),
}


def make(code: str, message: str, line: int, hint: str = "") -> Problem:
    """A `Problem` with the severity that REASONS gives its code."""
    return Problem(
        code,
        REASONS[code][0],
        message,
        line,
        hint,
    )


def shorten(text: str, limit: int = 160) -> str:
    """What fits into a message."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
