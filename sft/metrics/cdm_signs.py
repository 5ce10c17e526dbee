r"""How each kind of command is written: the functions of `WRITERS` take a reader and the word that it has just taken, and give LaTeX."""

from __future__ import annotations

from collections.abc import Callable, Container

from sft.metrics import cdm_symbols as known
from sft.metrics.cdm_grid import Reader, Unreadable, substack


def _plain(reader: Reader, word: str) -> str:
    return reader.mark(word) + word + " "


def _escaped(reader: Reader, word: str) -> str:
    return f"{reader.mark(word)}{known.ESCAPED[word]} "


def _not(reader: Reader, word: str) -> str:
    after = reader.peek()
    if after in known.PLAIN or after in known.SYMBOLS:
        reader.words.pop()
        name = "\\ne" if after == "=" else word + after
        return f"{reader.mark(name)}\\mathrel{{\\not{after} }}"
    return f"{reader.mark(word)}\\not "


def _large(reader: Reader, word: str) -> str:
    return f"\\mathop{{{reader.mark(word)}{word}}}"


def _integral(reader: Reader, word: str) -> str:
    return f"\\mathop{{{reader.mark(word)}{known.INTEGRALS[word]}}}\\nolimits "


def _dots(reader: Reader, word: str) -> str:
    return "\\mathinner{" + "".join(f"{reader.mark('.')}{known.DOTS[word]} " for _ in range(3)) + "}"


def _letters(reader: Reader, word: str) -> str:
    letters = "".join(reader.mark(letter) + letter for letter in word[1:])
    return f"\\mathop{{\\mathrm{{{letters}}}}}" + ("" if word in known.LIMITS else "\\nolimits ")


def _modulo(reader: Reader, word: str) -> str:
    name = "" if word == "\\pod" else "\\mathrm{" + "".join(reader.mark(letter) + letter for letter in "mod") + "}\\ "
    if word in ("\\mod", "\\bmod"):
        return f"\\ {name}"
    return f"\\ {reader.mark('(')}({name}{{{reader.argument()}}}{reader.mark(')')})"


def _sized(reader: Reader, word: str) -> str:
    delimiter = reader.peek()
    if delimiter not in known.DELIMITERS:
        return ""
    reader.words.pop()
    return f"{reader.mark(delimiter)}{word}{known.DELIMITERS[delimiter]} "


def _accent(reader: Reader, word: str) -> str:
    return f"{reader.mark(word)}{known.ACCENTS[word]}{{{reader.argument()}}}"


def _stretched(reader: Reader, word: str) -> str:
    mark = reader.mark(word)  # said again at the end of what it covers: a line below is drawn after that
    command = known.STRETCHED[word]
    return f"{mark}{command}{{{reader.argument()}{mark}}}"


def _arrow(reader: Reader, word: str) -> str:
    mark = reader.mark(word)
    below = reader.optional()
    return f"{{\\mathop{{{mark}{known.LONG_ARROWS[word]}}}\\limits^{{{reader.argument()}}}" + (f"_{{{below}}}}}" if below else "}")


def _stacked(reader: Reader, word: str) -> str:
    script = reader.argument()
    return f"{{\\mathop{{{reader.argument()}}}\\limits{known.STACKED[word]}{{{script}}}}}"


def _fraction(reader: Reader, word: str) -> str:
    mark = reader.mark(word)
    above = reader.argument()
    below = reader.argument()
    bar = "\\over " if word == "\\frac" else "\\atopwithdelims()"
    return f"{mark}{{{{{above}}}{mark}{bar}{{{below}}}{mark}}}"


def _root(reader: Reader, word: str) -> str:
    mark = reader.mark(word)
    degree = reader.optional()
    return (f"{{}}^{{{degree}}}\\mkern-7mu" if degree else "") + f"{mark}\\sqrtsign{{{reader.argument()}}}"


def _font(reader: Reader, word: str) -> str:
    return f"{known.FONTS[word]}{{{reader.argument()}}}"


def _class(reader: Reader, word: str) -> str:
    return f"{word}{{{reader.argument()}}}"


def _left(reader: Reader, _: str) -> str:
    left = _delimiter(reader)
    parts = [f"{left and reader.mark(left)}\\left{known.DELIMITERS.get(left, '.')} ", reader.sequence(("\\middle",))]
    while reader.take("\\middle"):
        middle = _delimiter(reader)
        parts += [f"{middle and reader.mark(middle)}\\middle{known.DELIMITERS.get(middle, '.')} ", reader.sequence(("\\middle",))]
    if not reader.peek():  # the answer was cut off: LaTeX closes what is open, and so do the published scores
        return "".join(parts) + "\\right. "
    if not reader.take("\\right"):
        raise Unreadable("\\left without \\right")
    right = _delimiter(reader)
    return "".join(parts) + f"{right and reader.mark(right)}\\right{known.DELIMITERS.get(right, '.')} "


def _delimiter(reader: Reader) -> str:
    r"""The delimiter that comes next, "" for `\left.`."""
    if reader.take("."):
        return ""
    if reader.peek() not in known.DELIMITERS:
        raise Unreadable(f"{reader.peek() or 'the end'} is no delimiter")
    return reader.words.pop()


def _hidden(reader: Reader, word: str) -> str:
    reader.take("*")
    if known.HIDDEN[word] and reader.take("["):
        while reader.words and reader.words.pop() != "]":
            pass
    for _ in range(known.HIDDEN[word]):
        reader.skip_argument()
    return ""


def _named(reader: Reader, word: str) -> str:
    return f"\\mathop{{\\mathrm{{{reader.argument()}}}}}" + ("" if word.endswith("*") else "\\nolimits ")


def _itself(_: Reader, word: str) -> str:
    return word + " "


def _symbol(reader: Reader, word: str) -> str:
    return f"{reader.mark(word)}{word} "


def _bracket(reader: Reader, word: str) -> str:
    return f"{reader.mark(word)}{known.DELIMITERS[word]} "


def _lines(reader: Reader, _: str) -> str:
    return substack(reader)


WRITERS: tuple[tuple[Container[str], Callable[[Reader, str], str]], ...] = (
    (known.PLAIN, _plain), (known.SYMBOLS, _symbol), (known.ESCAPED, _escaped), (("\\frac", "\\binom"), _fraction), (("\\left",), _left),
    (("\\sqrt",), _root),
    (("\\operatorname", "\\operatorname*"), _named), (known.FONTS, _font), (known.LARGE, _large), (known.INTEGRALS, _integral), (known.DOTS, _dots), (known.NAMES | known.LIMITS, _letters),
    (known.ACCENTS, _accent),
    (known.STRETCHED, _stretched), (known.SPACES, _itself), (known.STYLES, _itself), (known.SIZES, _sized), (known.HIDDEN, _hidden),
    (("\\not",), _not), (known.LONG_ARROWS, _arrow), (known.STACKED, _stacked), (known.CLASSES, _class), (known.MODULO, _modulo), (("\\substack",), _lines),
    (known.DELIMITERS, _bracket),
)  # fmt: skip
