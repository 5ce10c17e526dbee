"""Which tables, formulas and charts are surely sound, decided for many of them at once; the others are for the checks to judge.

A table is reduced to the sequence of its tokens, and a sequence is judged once, by the reader of OTSL itself. A formula is
reduced from the inside: known commands become letters, innermost groups one sign, until a flat line of symbols is left. Both
accept only what the checks of `sft.checks_target` accept.
"""

from __future__ import annotations

import re
from functools import lru_cache

import numpy as np

from sft.markup.errors import MarkupError
from sft.markup.latex_check import MAX_LENGTH
from sft.markup.pipeline import MIN_LENGTH, MIN_LENGTH_TABLE, repetition_cut

# --- tables, as bytes of UTF-8
_PAD = "        "  # behind the last table, so that looking at the bytes after a token never ends outside
_CELL_MASK, _CELL_WORD, _END_MASK, _END_WORD = (np.uint64(int.from_bytes(word, "little")) for word in (b"\xff\0\xff\xff\xff\xff", b"<\0cel>", b"\xff\xff\xff\xff", b"<nl>"))
_CELL_KIND = np.isin(np.arange(256), list(b"felux"))
_VISIBLE = np.zeros(256, bool)  # by the first byte of a text: ASCII that is printed, and what leads no blank and no combining mark
_VISIBLE[[*range(0x21, 0x3C), *range(0x3D, 0x7F), *range(0xC3, 0xCC), *range(0xCE, 0xD8), *range(0xD9, 0xE1), *range(0xE4, 0xEE)]] = True
_KANA = (np.arange(256) > 0x80) & (np.arange(256) != 0x85)  # second bytes after E3: neither U+3000 nor U+3164
_TOKEN_OF = dict(zip(b"feluxn", ("<fcel>a", "<ecel>", "<lcel>", "<ucel>", "<xcel>", "<nl>"), strict=True))
_LONGEST_SEQUENCE = 4000  # tokens of a table that is remembered

# --- formulas
GROUP, TWO, ONE, LEFT, RIGHT, PAIR, SIGN = "\x01\x02\x03\x04\x05\x06\x07"


def _words(text: str) -> list[str]:
    return text.split()


_ATOMS = _words(
    "alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi pi varpi rho varrho sigma varsigma tau upsilon phi varphi chi psi omega "
    "Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega infty partial nabla ell hbar forall exists emptyset cdots ldots dots vdots ddots"
)
_SIGNS = _words(
    "cdot times div pm mp leq geq le ge neq ne approx equiv sim simeq cong propto in notin subset subseteq supset supseteq cup cap wedge vee oplus otimes circ bullet ast star "
    "to rightarrow leftarrow Rightarrow Leftarrow leftrightarrow Leftrightarrow mapsto longrightarrow perp parallel mid angle triangle prime "
    "sum prod int iint oint sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh log ln exp lim max min sup inf det dim ker gcd quad qquad ll gg"
)
_ONES = _words("sqrt hat bar tilde vec dot ddot overline underline widehat widetilde mathbf mathrm mathcal mathbb mathit mathsf mathfrak boldsymbol")
_SIGN_OF = (
    dict.fromkeys(_ATOMS, "a") | dict.fromkeys(_SIGNS, SIGN) | dict.fromkeys(_ONES, ONE) | dict.fromkeys(("frac", "dfrac", "tfrac", "binom"), TWO) | {"left": LEFT, "right": RIGHT}
    | {"langle": "(", "lfloor": "(", "lceil": "(", "rangle": ")", "rfloor": ")", "rceil": ")"}
)  # fmt: skip
_WRITTEN = (("\\ ", SIGN), (" ", ""), ("\\,", SIGN), ("\\;", SIGN), ("\\!", SIGN), ("\\:", SIGN), ("\\{", "("), ("\\}", ")"))
_COMMAND = re.compile(r"\\([A-Za-z]+)")
_SCRIPT = f"[A-Za-z0-9{GROUP}]"
_SCRIPTS = f"(?:_{_SCRIPT}(?:\\^{_SCRIPT})?|\\^{_SCRIPT}(?:_{_SCRIPT})?)"
_PLAIN = f"[A-Za-z0-9{GROUP}{PAIR}{SIGN}()\\[\\]|/=<>+*,.;:!?-]*"
_SEGMENT = f"(?=[{TWO}{ONE}{_PLAIN[1:-1]}){_PLAIN}(?:(?:{TWO}{GROUP}{GROUP}|{ONE}{GROUP}){_PLAIN})*"  # what is not a script, and something
_FLAT = f"{_SEGMENT}(?:{_SCRIPTS}{_SEGMENT})*{_SCRIPTS}?"  # at most one script of each kind behind a base; linear on any input
_INNER = re.compile(f"{{{_FLAT}}}")
_SIMPLE = re.compile(f"{{{_PLAIN[:-1]}+}}")
_FENCED = re.compile(f"{LEFT}[(\\[|.]{_FLAT}{RIGHT}[)\\]|.]")
_LINE = re.compile(_FLAT)
_EMPTY = f"\\[]{SIGN}"  # of a line with nothing but blanks in it
_PASSES = 12  # levels of groups; deeper formulas are judged one by one


def doubtful_tables(texts: list[str]) -> list[bool]:
    """For each text, False if it surely is a table in OTSL that nothing is wrong with."""
    content = "\n".join([*texts, _PAD]).encode("utf-8", "surrogatepass")
    codes = np.frombuffer(content, np.uint8)
    less = np.flatnonzero(codes[: -len(_PAD)] == ord("<"))
    after = np.append(less[1:], len(content) - len(_PAD) - 1)  # where the text behind a token ends
    words = np.ndarray((len(content) - 7,), "<u8", content, strides=(1,))[less]  # the eight bytes from each "<" on
    kinds = (words >> 8).astype(np.uint8)
    cells, row_ends = (words & _CELL_MASK) == _CELL_WORD, (words & _END_MASK) == _END_WORD
    first = (words >> 48).astype(np.uint8)
    visible = _VISIBLE[first] | ((first == 0xE3) & _KANA[(words >> 56).astype(np.uint8)])
    full = kinds == ord("f")
    sound = (cells & _CELL_KIND[kinds] & np.where(full, visible & (after > less + 6), after == less + 6)) | (row_ends & (after == less + 4))
    # where tables begin: their bytes are counted, since a cell may hold a line feed
    sizes = np.fromiter([len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass")) for text in texts], np.intp, len(texts))
    last = np.cumsum(sizes + 1) - 1  # the line feed behind each table
    stops = np.searchsorted(less, last)
    begins = np.append(0, stops[:-1])
    whole = (stops > begins) & (codes[last - sizes] == ord("<"))
    closing = stops[whole] - 1
    whole[whole] = less[closing] == last[whole] - 4
    closing = stops[whole] - 1
    sequence = np.where(sound, np.where(kinds == ord("e"), ord("f"), kinds), 0).astype(np.uint8)  # blank or not, a cell is a cell
    sequence[closing] = np.where(row_ends[closing], ord("n"), 0)  # behind the last token stands the line feed between two tables
    letters = sequence.tobytes()
    return [
        not sure or size >= MIN_LENGTH_TABLE or stop - begin > _LONGEST_SEQUENCE or not _is_grid(letters[begin:stop])
        for sure, size, begin, stop in zip(whole.tolist(), sizes.tolist(), begins.tolist(), stops.tolist(), strict=True)
    ]


@lru_cache(maxsize=1 << 14)
def _is_grid(sequence: bytes) -> bool:
    """Whether tokens in this order, given by their first letters, make a table."""
    from sft.markup.otsl import parse_otsl

    if 0 in sequence:
        return False
    try:
        parse_otsl("".join([_TOKEN_OF[letter] for letter in sequence]))
    except MarkupError:
        return False
    return True


def doubtful_formulas(texts: list[str]) -> list[bool]:
    """For each text, False if it surely is a formula that nothing is wrong with."""
    joined = "\n".join(texts)
    if joined.count("\n") != len(texts) - 1 or any(sign in joined for sign in "\x01\x02\x03\x04\x05\x06\x07"):
        return [True] * len(texts)
    pieces = _COMMAND.split(joined)
    pieces[1::2] = [_SIGN_OF.get(name, "\0") for name in pieces[1::2]]
    joined = "".join(pieces)
    for written, sign in _WRITTEN:
        joined = joined.replace(written, sign)
    joined = _SIMPLE.sub(GROUP, joined)
    for _ in range(_PASSES):
        shorter = _INNER.sub(GROUP, joined) if "{" in joined else joined
        shorter = _FENCED.sub(PAIR, shorter) if LEFT in shorter else shorter
        if len(shorter) == len(joined):
            break
        joined = shorter
    lines = joined.split("\n")
    return [
        repeated or not (line.startswith("\\[") and line.endswith("\\]") and line.strip(_EMPTY) and _LINE.fullmatch(line, 2, len(line) - 2) and len(text) < MAX_LENGTH)
        for text, line, repeated in zip(texts, lines, repeating(texts), strict=True)
    ]


def doubtful_chart(text: str) -> bool:
    """False if it surely is a chart that nothing is wrong with."""
    lines = text.split("\n")
    widths = {line.count("|") for line in lines}
    if len(widths) > 1 or 0 in widths or len(lines) < 2 or lines[1][:1] in "-: |":
        return True
    return repeats(text)


def repeats(text: str) -> bool:
    """False if the pipeline surely cuts no repetition out of a text that is no table."""
    return repeating([text])[0]


def repeating(texts: list[str]) -> list[bool]:
    """`repeats` of many texts: looks for what begins or ends a repetition, and then asks the rule itself."""
    return [
        (size := len(text)) >= MIN_LENGTH
        and ((lines := text.count("\n")) >= 9 or (not lines and (text.find(text[:10], 1, size // 10 + 10) >= 0 or (size > 100 and text.find(text[-8:], size - 8 - size // 5, size - 8) >= 0))))
        and repetition_cut(text) != text
        for text in texts
    ]
