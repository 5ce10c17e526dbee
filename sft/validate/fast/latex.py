"""Which formulas are surely sound, decided for all of a chunk at once by their tokens.

The language that is accepted is small: letters, digits, known commands, groups, `\\frac` and its like with two groups,
accents and alphabets with one, `\\left` … `\\right`, at most one script of each kind behind a base. All of it passes
`sft.markup.latex.check` (tests compare the two); everything else is only doubtful.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sft.arrays import AnyArray
from sft.markup import latex
from sft.validate.fast.markup import repeating

# Kinds of tokens. LETTER may be a script; OPEN, CLOSE and EITHER may stand behind \left or \right.
(
    BAD,
    LETTER,
    SIGN,
    BRACE,
    UNBRACE,
    UPPER,
    LOWER,
    TWO,
    ONE,
    LEFT,
    RIGHT,
    END,
    OPEN,
    CLOSE,
    EITHER,
    BLANK,
    START,
    STOP,
    FENCE,
    UNFENCE,
) = range(20)
_BASE = np.isin(np.arange(20), [LETTER, SIGN, UNBRACE, OPEN, CLOSE, EITHER, UNFENCE])  # what a script can stand behind
_AFTER_LEFT, _AFTER_RIGHT = np.isin(np.arange(20), [OPEN, EITHER]), np.isin(np.arange(20), [CLOSE, EITHER])
_DEEPEST = 12  # groups in groups; deeper formulas are judged one by one
_LONGEST_NAME = 16
_BYTES = 8


def _kinds(default: int, groups: dict[int, str]) -> AnyArray:
    table = np.full(256, default, np.uint8)
    for kind, letters in groups.items():
        table[list(letters.encode())] = kind
    return table


_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_SINGLE = {
    LETTER: f"{_LETTERS}0123456789",
    SIGN: "/=<>+*,;:!?-",
    BRACE: "{",
    UNBRACE: "}",
    UPPER: "^",
    LOWER: "_",
    END: "\0",
    OPEN: "([",
    CLOSE: ")]",
    EITHER: "|.",
    BLANK: " ",
}
_KIND = _kinds(BAD, _SINGLE).tobytes()
_ESCAPE = _kinds(
    BAD, {SIGN: ",;:! ", OPEN: "{", CLOSE: "}", START: "[", STOP: "]"}
)  # a backslash and what is no letter
_NAMES = {
    LETTER: (
        "alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi pi varpi rho"
        " varrho sigma varsigma tau upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi"
        " Psi Omega infty partial nabla ell hbar forall exists emptyset cdots ldots dots vdots ddots"
    ),
    SIGN: (
        "cdot times div pm mp leq geq le ge neq ne approx equiv sim simeq cong propto in notin subset subseteq supset"
        " supseteq cup cap wedge vee oplus otimes circ bullet ast star to rightarrow leftarrow Rightarrow Leftarrow"
        " leftrightarrow Leftrightarrow mapsto longrightarrow perp parallel mid angle triangle prime sum prod int iint"
        " oint sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh log ln exp lim max min sup inf det dim ker"
        " gcd quad qquad ll gg"
    ),
    ONE: (
        "sqrt hat bar tilde vec dot ddot overline underline widehat widetilde mathbf mathrm mathcal mathbb mathit"
        " mathsf mathfrak boldsymbol"
    ),
    TWO: "frac dfrac tfrac binom",
    LEFT: "left",
    RIGHT: "right",
    OPEN: "langle lfloor lceil",
    CLOSE: "rangle rfloor rceil",
}
_MIX = np.uint64(0x9E3779B97F4A7C15)


_SLOTS = np.uint64(64 - 13)  # shift that leaves the slot of a command in its key


def _known() -> tuple[AnyArray, AnyArray, AnyArray, np.uint64]:
    """(first eight letters, next eight, kind) of the known command in each slot, and the factor that gives every one a
    slot of its own.
    """
    names = [
        (name.encode().ljust(_LONGEST_NAME, b"\0"), kind) for kind, text in _NAMES.items() for name in text.split()
    ]
    first, second = (
        np.array([int.from_bytes(name[at : at + _BYTES], "little") for name, _ in names], np.uint64)
        for at in (0, _BYTES)
    )
    factor = next(odd for odd in _odd_numbers() if np.unique(_slots(first, second, odd)).size == len(names))
    slots = _slots(first, second, factor)
    tables = np.zeros(
        (2, 1 << 64 - int(_SLOTS)),
        np.uint64,
    )
    kinds = np.zeros(tables.shape[1], np.uint8)
    tables[0, slots], tables[1, slots], kinds[slots] = first, second, [kind for _, kind in names]
    return tables[0], tables[1], kinds, factor


def _odd_numbers() -> Iterator[np.uint64]:
    number = int(_MIX)
    while True:
        number = (number * 0x5851F42D4C957F2D + 0x14057B7EF767814F) & ((1 << 64) - 1)
        yield np.uint64(number | 1)


def _slots(first: AnyArray, second: AnyArray, factor: np.uint64) -> AnyArray:
    slots: AnyArray = ((first + second * _MIX) * factor >> _SLOTS).astype(np.intp)
    return slots


_FIRST, _SECOND, _KIND_OF, _FACTOR = _known()
_MASKS = np.array([(1 << 8 * size) - 1 for size in range(_BYTES + 1)], np.uint64)  # the first letters of eight


def doubtful_formulas(texts: list[str]) -> list[bool]:
    """For each text, False if it surely is a formula that nothing is wrong with."""
    content = "\0".join(["", *texts, ""]).encode("utf-8", "surrogatepass")
    codes = np.frombuffer(content, np.uint8)
    tokens = _tokens(content, codes)
    ends = np.flatnonzero(tokens == END)
    if ends.size != len(texts) + 1:
        return [True] * len(texts)  # a NUL in one of them
    wrong = _neighbours(tokens)
    match, unmatched = _brackets(tokens, ends)
    wrong |= _arguments(tokens, match)
    rows = np.zeros(len(texts), bool)
    rows[
        np.maximum(
            np.searchsorted(ends, np.flatnonzero(wrong)),
            1,
        )
        - 1
    ] = True
    rows |= unmatched | (
        np.add.reduceat(
            tokens == LETTER,
            ends[:-1],
            dtype=np.int32,
        )
        == 0
    )
    return [
        wrong or repeated or len(text) >= latex.MAX_LENGTH
        for text, wrong, repeated in zip(texts, rows.tolist(), repeating(texts), strict=True)
    ]


def _tokens(content: bytes, codes: AnyArray) -> AnyArray:
    """The kind of every token; blanks are left out, commands are one token."""
    kinds = np.frombuffer(
        bytearray(content.translate(_KIND)),
        np.uint8,
    )
    slashes = np.flatnonzero(codes == 0x5C)
    others = np.flatnonzero((codes | 0x20) - np.uint8(ord("a")) > 25)  # what is no letter of ASCII
    lengths = np.diff(others)[codes[others[:-1]] == 0x5C] - 1  # the last character is a NUL, and no slash
    words = np.ndarray(
        (len(content) + 1,),
        "<u8",
        content + bytes(2 * _BYTES),
        strides=(1,),
    )
    first = words[slashes + 1] & _MASKS[np.minimum(lengths, _BYTES)]
    second = (
        words[np.minimum(slashes + 1 + _BYTES, len(content))]
        & _MASKS[np.minimum(np.maximum(lengths - _BYTES, 0), _BYTES)]
    )
    at = _slots(first, second, _FACTOR)
    known = (_FIRST[at] == first) & (_SECOND[at] == second) & (lengths <= _LONGEST_NAME)
    kinds[slashes] = np.where(
        lengths == 0,
        _ESCAPE[codes[slashes + 1]],
        np.where(known, _KIND_OF[at], BAD),
    )
    alive = kinds != BLANK
    alive[slashes[lengths == 0] + 1] = False
    total = np.cumsum(lengths)
    if total.size:
        alive[
            np.arange(total[-1])
            + np.repeat(
                slashes + 1 - (total - lengths),
                lengths,
            )
        ] = False
    alive[slashes] = True
    alive[codes == 0] = True
    tokens: AnyArray = kinds[alive]
    return tokens


def _neighbours(tokens: AnyArray) -> AnyArray:
    """Where a token is not what may stand beside the one before it; the signs behind \\left and \\right become FENCE
    and UNFENCE.
    """
    wrong: AnyArray = tokens == BAD
    left = np.flatnonzero(tokens == LEFT)
    right = np.flatnonzero(tokens == RIGHT)
    wrong[left] = ~_AFTER_LEFT[tokens[left + 1]]
    wrong[right] = ~_AFTER_RIGHT[tokens[right + 1]]
    tokens[(left + 1)[~wrong[left]]] = FENCE
    tokens[(right + 1)[~wrong[right]]] = UNFENCE
    scripts = np.flatnonzero((tokens == UPPER) | (tokens == LOWER))
    after = tokens[scripts + 1]
    wrong[scripts] = ~_BASE[tokens[scripts - 1]] | ((after != LETTER) & (after != BRACE))
    commands = np.flatnonzero((tokens == TWO) | (tokens == ONE))
    wrong[commands] = tokens[commands + 1] != BRACE
    here = tokens[:-1]
    after = tokens[1:]
    wrong[:-1] |= (
        ((here == BRACE) & (after == UNBRACE))
        | ((here == FENCE) & (after == RIGHT))
        | ((here == START) & (after == STOP))
    )
    wrong[1:] |= (here == END) ^ (after == START)  # a formula begins and ends with its delimiters, and has no others
    wrong[:-1] |= (here == STOP) ^ (after == END)
    return wrong


def _brackets(tokens: AnyArray, ends: AnyArray) -> tuple[AnyArray, AnyArray]:
    """(for each opening token, the place of its closing one; which formulas have brackets that do not match)."""
    match = np.zeros(tokens.size, np.intp)
    opens = (tokens == BRACE) | (tokens == LEFT)
    places = np.flatnonzero(opens | (tokens == UNBRACE) | (tokens == RIGHT))
    steps = np.where(opens[places], 1, -1)
    depth = np.append(0, np.cumsum(steps))
    before = np.searchsorted(places, ends)  # brackets before each end
    rows = np.repeat(
        np.arange(ends.size - 1),
        np.diff(before),
    )
    level = depth[1:] - depth[before[:-1]][rows] + (steps < 0)  # that of a closing bracket is that of its opening one
    unmatched = depth[before[1:]] != depth[before[:-1]]
    unmatched[rows[(level < 1) | (level > _DEEPEST)]] = True
    kept = ~unmatched[rows]
    keys = rows[kept] * (_DEEPEST + 2) + level[kept]
    order = np.argsort(
        keys.astype(np.uint16) if ends.size * (_DEEPEST + 2) < 1 << 16 else keys, kind="stable"
    )  # of 16 bits, by radix
    pairs = places[kept][order]
    opening = pairs[0::2]
    closing = pairs[1::2]
    match[opening] = closing
    other = (tokens[opening] == BRACE) != (tokens[closing] == UNBRACE)
    unmatched[rows[kept][order][0::2][other]] = True
    return match, unmatched


def _arguments(tokens: AnyArray, match: AnyArray) -> AnyArray:
    """Where a command of two groups has one, and where a symbol has two scripts of a kind."""
    wrong = np.zeros(tokens.size, bool)
    last = tokens.size - 1
    two = np.flatnonzero(tokens == TWO)
    two = two[tokens[two + 1] == BRACE]
    wrong[two] = (
        tokens[
            np.minimum(
                match[two + 1] + 1,
                last,
            )
        ]
        != BRACE
    )
    scripts = np.flatnonzero((tokens == UPPER) | (tokens == LOWER))
    argument_end = np.where(
        tokens[scripts + 1] == BRACE,
        match[scripts + 1],
        scripts + 1,
    )
    after = np.minimum(argument_end + 1, last)
    followed = np.zeros(tokens.size, bool)
    followed[scripts] = (tokens[after] == UPPER) | (tokens[after] == LOWER)
    wrong[scripts] = followed[scripts] & ((tokens[after] == tokens[scripts]) | followed[after])
    return wrong
