"""MathML → LaTeX, for formulas in tables that have no TeX beside them: fractions, scripts, roots, accents, fences and
matrices of presentation MathML.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lxml.etree import _Element

LONGEST = 20_000  # characters of one formula
DEEPEST = 50  # elements in each other
_ENTITY = re.compile(r"&(?!(?:lt|gt|amp|quot|apos|#[0-9]+|#[xX][0-9a-fA-F]+);)([A-Za-z][A-Za-z0-9]*);")
_DISPLAY_STYLE = re.compile(r"\{\\(?:display|text)style\s*(.*)\}\s*", re.DOTALL)
_ENSURED = re.compile(r"\\ensuremath\{(.*)\}", re.DOTALL)
# function application, invisible times and their like
_INVISIBLE = dict.fromkeys(map(ord, "\u2061\u2062\u2063\u2064\u200b"))
_FUNCTION_NAMES = """
    arccos arcsin arctan arg cos cosh cot coth csc deg det dim exp gcd hom inf ker lg lim liminf limsup ln log max min
    Pr sec sin sinh sup tan tanh
"""
_FUNCTIONS = frozenset(_FUNCTION_NAMES.split())
_ACCENTS = {
    "¯": "bar",
    "ˉ": "bar",
    "‾": "overline",
    "^": "hat",
    "ˆ": "hat",
    "~": "tilde",
    "˜": "tilde",
    "→": "vec",
    "⃗": "vec",
    "˙": "dot",
    ".": "dot",
    "¨": "ddot",
    "⏞": "overbrace",
    "ˇ": "check",
}
_LIMIT_NAMES = "sum prod int oint lim max min sup inf bigcup bigcap coprod limsup liminf"
_LIMITS = tuple(f"\\{name}" for name in _LIMIT_NAMES.split())
_SPECIAL = {
    "%": "\\%",
    "&": "\\&",
    "#": "\\#",
    "$": "\\$",
    "_": "\\_",
    "{": "\\{",
    "}": "\\}",
    "\\": "\\backslash ",
    "−": "-",
    "′": "'",
    "∗": "*",
    "\u00a0": " ",
    "×": "\\times",
    "÷": "\\div",
    "·": "\\cdot",
    "→": "\\to",
}


class UnreadableMath(ValueError):
    """A formula with something in it that has no form in LaTeX here."""


def bare_tex(text: str) -> str:
    """The TeX that stands beside a formula, without dollar signs and without the style that MediaWiki puts
    around it.
    """
    tex = text.strip().strip("$").strip()
    styled = _DISPLAY_STYLE.fullmatch(tex)
    return styled[1].strip() if styled else tex


def mathml_to_latex(fragment: str) -> str:
    """The LaTeX of a `<math>` element. Raises: UnreadableMath for one that is not whole, too large, or holds elements
    that are not known.

    >>> mathml_to_latex("<math><msup><mn>1</mn><mn>2</mn></msup><mo>&le;</mo><msqrt><mi>x</mi></msqrt></math>")
    '1^{2} \\\\leq \\\\sqrt{x}'
    """
    from lxml import etree

    if len(fragment) > LONGEST:
        raise UnreadableMath("too long")
    whole = _ENTITY.sub(
        lambda match: html.unescape(match[0]),
        fragment,
    )
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, recover=True)
    try:
        root = etree.fromstring(whole.encode("utf-8", "replace"), parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise UnreadableMath(str(error)) from None
    if root is None:
        raise UnreadableMath("no element")
    return re.sub(r" {2,}", " ", _written(root, 0)).strip()


def _written(element: _Element, depth: int) -> str:
    name = element.tag.rpartition("}")[2].lower() if isinstance(element.tag, str) else ""
    if depth > DEEPEST:
        raise UnreadableMath("too deep")
    if not name or name in (
        "annotation",
        "annotation-xml",
        "none",
        "mprescripts",
        "mphantom",
        "maligngroup",
        "malignmark",
    ):
        return ""
    if name in _LEAVES:
        return _LEAVES[name](" ".join("".join(element.itertext()).split()))
    parts = [_written(child, depth + 1) for child in element if isinstance(child.tag, str)]
    if name in ("math", "mrow", "mstyle", "mpadded", "merror", "semantics", "msqrt", "mtd", "menclose"):
        inner = parts[0] if name == "semantics" and parts else _joined(parts)
        return f"\\sqrt{{{inner}}}" if name == "msqrt" else inner
    if name == "mfenced":
        marks = (
            (element.get("separators") or ",").replace(" ", "")[:1] if element.get("separators", ",").strip() else ""
        )
        return f"{_symbol(element.get('open', '('))}{f'{marks} '.join(parts)}{_symbol(element.get('close', ')'))}"
    if name == "mtr":
        return " & ".join(parts)
    if name == "mtable":
        return "\\begin{matrix}" + " \\\\ ".join(parts) + "\\end{matrix}"
    if name in _SHAPES and len(parts) == _SHAPES[name][0]:
        return _SHAPES[name][1](*parts)
    raise UnreadableMath(f"<{name}> of {len(parts)} parts")


def _joined(parts: list[str]) -> str:
    """Parts in a row, with a blank where a command would run into a letter."""
    out = ""
    for part in parts:
        out += (" " if re.search(r"\\[A-Za-z]+\Z", out) and part[:1].isalpha() else "") + part
    return out


def _identifier(text: str) -> str:
    if text in _FUNCTIONS:
        return f"\\{text} "
    return _symbols(text) if len(text) < 2 or not text.isascii() else f"\\mathrm{{{text}}}"


def _operator(text: str) -> str:
    if text.translate(_INVISIBLE) in _FUNCTIONS:
        return f"\\{text.translate(_INVISIBLE)} "
    shown = _symbols(text)
    return f" {shown} " if shown.startswith("\\") and shown[1:].isalpha() and shown not in _LIMITS else shown


def _symbols(text: str) -> str:
    return "".join([_symbol(sign) for sign in text.translate(_INVISIBLE)])


def _symbol(text: str) -> str:
    """One character in math."""
    if text in _SPECIAL or text.isascii():
        return _SPECIAL.get(text, text)
    return "".join([_table()(sign) for sign in text])


@lru_cache(maxsize=1)
def _table() -> Callable[[str], str]:
    """Unicode → LaTeX by pylatexenc; a character that it does not know stays."""
    from pylatexenc.latexencode import UnicodeToLatexEncoder

    encoder = UnicodeToLatexEncoder(
        replacement_latex_protection="none", unknown_char_policy="keep", unknown_char_warning=False
    )

    def command(sign: str) -> str:
        match = _ENSURED.fullmatch(encoder.unicode_to_latex(sign))
        return match[1] if match else sign

    return command


def _accent(base: str, mark: str, *, under: bool) -> str:
    if base.strip() in _LIMITS:
        return f"{base.strip()}_{{{mark.strip()}}}" if under else f"{base.strip()}^{{{mark.strip()}}}"
    sign = mark.strip()
    if under:
        return f"\\underline{{{base}}}" if sign in ("_", "\\_", "¯", "‾") else f"\\underset{{{sign}}}{{{base}}}"
    name = _ACCENTS.get(sign) or {"\\to": "vec", "\\rightarrow": "vec"}.get(sign)
    return f"\\{name}{{{base}}}" if name else f"\\overset{{{sign}}}{{{base}}}"


def _base(text: str) -> str:
    """What a script stands at: in braces where it is more than one thing."""
    text = text.strip()
    return (
        text
        if len(text) < 2
        or text.isdecimal()
        or re.fullmatch(r"\\[A-Za-z]+(?:\{[^{}]*\})?", text)
        or re.fullmatch(r"\([^()]*\)", text)
        else f"{{{text}}}"
    )


_LEAVES: dict[str, Callable[[str], str]] = {
    "mi": _identifier,
    "mn": _symbols,
    "mo": _operator,
    "mtext": lambda text: f"\\text{{{text}}}" if text else " ",
    "ms": lambda text: f"\\text{{{text}}}",
    "mspace": lambda text: " ",
}
_SHAPES: dict[str, tuple[int, Callable[..., str]]] = {  # how many parts an element must have, and what becomes of them
    "msup": (2, lambda base, up: f"{_base(base)}'" if up == "'" else f"{_base(base)}^{{{up.strip()}}}"),
    "msub": (2, lambda base, down: f"{_base(base)}_{{{down.strip()}}}"),
    "msubsup": (3, lambda base, down, up: f"{_base(base)}_{{{down.strip()}}}^{{{up.strip()}}}"),
    "mfrac": (2, lambda above, below: f"\\frac{{{above.strip()}}}{{{below.strip()}}}"),
    "mroot": (2, lambda base, index: f"\\sqrt[{index.strip()}]{{{base.strip()}}}"),
    "munder": (2, lambda base, mark: _accent(base, mark, under=True)),
    "mover": (2, lambda base, mark: _accent(base, mark, under=False)),
    "munderover": (3, lambda base, down, up: f"{_base(base)}_{{{down.strip()}}}^{{{up.strip()}}}"),
}
