r"""Formulas from a grammar, drawn by matplotlib's mathtext or by a LaTeX installation; the answer is `\[ … \]`.

The grammar knows only what both renderers draw alike; matrices and cases, which mathtext lacks, come with LaTeX alone.
Letters that look like others (l and 1, ν and v, o and 0), and those that the two draw differently (ε, φ), are left out.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from functools import cache
from typing import Any

import cv2
import numpy as np

from sft.errors import UsageError
from sft.markup import MarkupError
from sft.markup import latex as latex_markup
from sft.synth import latex_drawing
from sft.synth.base import SMALLEST_SIDE, Coverage, Pixels, RenderedSample, Setting, Unfit, colours, print_on

EM = (30.0, 60.0)  # pixels
MAX_SIDE = 2400  # pixels
LEAST_EM = 16.0  # pixels
SCRIPTS = 0.6  # size of indices and of fractions in fractions, in em
LONG = 180  # characters of a formula from the grammar
MAX_LATEX = 2000  # characters of a given formula
FONT_SETS = ("cm", "cm", "stix", "dejavuserif", "dejavusans", "stixsans")
LETTERS = tuple("abcefghijkmnpqrstuwxyzABCDEFGHKLMNPQRSTUVWXYZ")
GREEK_NAMES = (
    "alpha beta gamma delta zeta eta theta lambda mu xi pi rho sigma tau psi omega Gamma Delta Theta Lambda Pi Sigma"
    " Phi Psi Omega"
)
GREEK = tuple(rf"\{name}" for name in GREEK_NAMES.split())
RELATIONS = ("=", "=", "=", "=", "<", ">", r"\leq", r"\geq", r"\neq", r"\approx", r"\equiv", r"\sim", r"\in")
SIGNS = ("+", "+", "-", "-", r"\cdot", r"\times", r"\pm")
FUNCTIONS = (r"\sin", r"\cos", r"\tan", r"\log", r"\ln", r"\exp", r"\arctan", r"\cosh")
ACCENTS = (r"\hat", r"\bar", r"\vec", r"\dot", r"\tilde")


@dataclass(frozen=True)
class Grammar:
    """Expressions of bounded depth. `matrices`: with what only LaTeX draws."""

    rng: random.Random
    matrices: bool = False

    def formula(self) -> str:
        """A relation, or a chain of two, between expressions; not too small to be worth reading."""
        rng = self.rng
        depth = rng.choice((1, 1, 2, 2, 2, 2, 3))
        if self.matrices and rng.random() < 0.2:
            return f"{self.letter()} = {self.matrix() if rng.random() < 0.6 else self.cases()}"
        parts = [
            self.sum(depth),
            rng.choice(RELATIONS),
            self.sum(depth),
        ]
        if rng.random() < 0.15:
            parts += [rng.choice(RELATIONS), self.sum(1)]
        return " ".join(parts)

    def sum(self, depth: int) -> str:
        """One to three terms with signs between them."""
        text = self.term(depth)
        for _ in range(self.rng.choice((0, 0, 1, 1, 2))):
            text += f" {self.rng.choice(SIGNS)} {self.term(depth)}"
        return text

    def term(self, depth: int) -> str:
        """Anything that stands between two signs."""
        if depth <= 0:
            return self.atom()
        small = (self.atom, self.scripted, self.scripted, self.derivative, self.accent, self.choose)
        large = (
            self.fraction,
            self.fraction,
            self.root,
            self.bracket,
            self.function,
            self.large,
            self.integral,
            self.limit,
        )
        return self.rng.choice(small + large)(depth - 1)

    def letter(self) -> str:
        """A Latin or Greek letter."""
        return self.rng.choice(GREEK if self.rng.random() < 0.3 else LETTERS)

    def atom(self, _: int = 0) -> str:
        """A letter, a number, or a number and a letter."""
        rng = self.rng
        kind = rng.random()
        if kind < 0.25:
            return str(rng.randint(0, 99)) if rng.random() < 0.8 else f"{rng.uniform(0, 10):.2f}"
        if kind < 0.35:
            return f"{rng.randint(2, 9)} {self.letter()}"
        if kind < 0.4:
            return rng.choice(
                (r"\infty", r"\mathbb{R}", r"\mathcal{L}", r"\mathbf{x}", r"\mathrm{e}", r"\hbar", r"\ell")
            )
        return self.letter()

    def scripted(self, depth: int) -> str:
        """A letter with an index, an exponent, both, or primes."""
        rng = self.rng
        letter = self.letter()
        index = rng.choice((str(rng.randint(0, 9)), rng.choice("ijknm"), "i j", "n + 1"))
        power = rng.choice(("2", "3", "n", "-1", self.sum(0) if depth else "k"))
        return rng.choice(
            (f"{letter}_{{{index}}}", f"{letter}^{{{power}}}", f"{letter}_{{{index}}}^{{{power}}}", f"{letter}'")
        )

    def fraction(self, depth: int) -> str:
        """One over the other."""
        return rf"\frac{{{self.sum(depth)}}}{{{self.sum(depth)}}}"

    def root(self, depth: int) -> str:
        """A square root or a higher one."""
        degree = f"[{self.rng.choice('3456n')}]" if self.rng.random() < 0.3 else ""
        return rf"\sqrt{degree}{{{self.sum(depth)}}}"

    def bracket(self, depth: int) -> str:
        """Brackets as high as what they hold, sometimes with an exponent."""
        left, right = self.rng.choice((("(", ")"), ("(", ")"), ("[", "]"), (r"\{", r"\}"), ("|", "|")))
        power = "^{2}" if self.rng.random() < 0.3 else ""
        return rf"\left{left} {self.sum(depth)} \right{right}{power}"

    def function(self, depth: int) -> str:
        """A named function, or a letter as one."""
        name = self.rng.choice(FUNCTIONS) if self.rng.random() < 0.7 else self.rng.choice("fgh")
        return rf"{name} \left( {self.sum(depth)} \right)"

    def large(self, depth: int) -> str:
        """A sum or product with its limits."""
        index = self.rng.choice("ijkn")
        return (
            rf"{self.rng.choice((chr(92) + 'sum', chr(92) + 'prod'))}_{{{index} ="
            rf" {self.rng.randint(0, 1)}}}^{{{self.rng.choice(('N', 'M', chr(92) + 'infty'))}}} {self.term(depth)}"
        )

    def integral(self, depth: int) -> str:
        """An integral with or without limits."""
        limits = f"_{{{self.atom()}}}^{{{self.atom()}}}" if self.rng.random() < 0.7 else ""
        return rf"\int{limits} {self.term(depth)} \, d {self.rng.choice('xyzt')}"

    def limit(self, depth: int) -> str:
        """The limit of a term."""
        return (
            rf"\lim_{{{self.rng.choice('xnh')} \to {self.rng.choice(('0', chr(92) + 'infty', 'a'))}}}"
            rf" {self.term(depth)}"
        )

    def derivative(self, _: int = 0) -> str:
        """A total or partial derivative."""
        sign = self.rng.choice(("d", r"\partial"))
        return rf"\frac{{{sign} {self.letter()}}}{{{sign} {self.rng.choice('xyzt')}}}"

    def accent(self, _: int = 0) -> str:
        """A letter with something on top, or a line over two."""
        if self.rng.random() < 0.25:
            return rf"\overline{{{self.rng.choice('ABCD')} {self.rng.choice('EFGH')}}}"
        return f"{self.rng.choice(ACCENTS)}{{{self.rng.choice('abcnpqruwxyz')}}}"

    def choose(self, _: int = 0) -> str:
        """A binomial coefficient."""
        return rf"\binom{{{self.rng.choice('nmN')}}}{{{self.rng.choice(('k', '2', 'k + 1'))}}}"

    def matrix(self) -> str:
        """A small matrix in brackets."""
        rows = self.rng.randint(2, 3)
        columns = self.rng.randint(2, 3)
        kind = self.rng.choice(("pmatrix", "bmatrix", "vmatrix"))
        body = r" \\ ".join(" & ".join(self.atom() for _ in range(columns)) for _ in range(rows))
        return rf"\begin{{{kind}}} {body} \end{{{kind}}}"

    def cases(self) -> str:
        """A function by cases."""
        body = r" \\ ".join(
            rf"{self.sum(1)}, & x {self.rng.choice(('<', '>', '='))} {self.rng.randint(0, 9)}"
            for _ in range(self.rng.randint(2, 3))
        )
        return rf"\begin{{cases}} {body} \end{{cases}}"


@cache
def _parser() -> Any:
    try:
        from matplotlib.mathtext import MathTextParser
    except ImportError as error:
        raise UsageError(
            "rendering formulas needs matplotlib, which is not installed", hint="pip install 'paddleocr-vl-sft[synth]'"
        ) from error
    return MathTextParser("agg")


def mathtext(latex: str, em: float, font_set: str = "cm") -> Coverage:
    """Ink of a formula (without delimiters), cut to its box; `em` in pixels. Raises `Unfit` where mathtext does not
    know a command.
    """
    from matplotlib.font_manager import FontProperties

    if "$" in latex or "\n" in latex:
        raise Unfit("target.latex", "a formula in one line and without dollar signs is needed")
    try:
        raster = _parser().parse(
            f"${latex}$",
            dpi=72,
            prop=FontProperties(size=em, math_fontfamily=font_set),
        )
    except (ValueError, RecursionError, KeyError, IndexError) as error:
        raise Unfit(
            "target.latex",
            f"mathtext cannot draw this: {' '.join(str(error).split())[-300:]}",
        ) from error
    ink = np.asarray(raster.image, dtype=np.float32) / np.float32(255)
    if not ink.size or not ink.any():
        raise Unfit("target.latex", "nothing can be generated for this formula")
    return ink


def bare(text: str) -> str:
    r"""A formula without its delimiters `\[ \]`, `\( \)`, `$$` or `$`.

    >>> bare(r"\[ a^{2} \]")
    'a^{2}'
    """
    text = text.strip()
    for left, right in ((r"\[", r"\]"), (r"\(", r"\)"), ("$$", "$$"), ("$", "$")):
        if text.startswith(left) and text.endswith(right) and len(text) >= len(left) + len(right):
            return text[len(left) : -len(right)].strip()
    return text


def draw_formula(rng: random.Random, setting: Setting) -> RenderedSample:
    """One formula: the user's own LaTeX, or one from the grammar; `trimmed` cuts its margins after degradation."""
    latex = bare(setting.texts[0]) if setting.texts else _made_up(rng, setting.latex)
    if len(latex) > MAX_LATEX:
        raise Unfit(
            "target.latex",
            f"a formula of {len(latex):,} characters; at most {MAX_LATEX:,} are drawn",
        )
    em = rng.uniform(*EM)
    font_set = rng.choice(FONT_SETS)
    for _ in range(3):  # smaller, where it is too large; sizes are not quite in proportion
        ink = latex_drawing.render(latex, em) if setting.latex else mathtext(latex, em, font_set)
        if max(ink.shape) <= MAX_SIDE:
            break
        em *= 0.97 * MAX_SIDE / max(ink.shape)
    if em < LEAST_EM:
        raise Unfit(
            "image.aspect",
            f"a formula that is {max(ink.shape) / em:.0f} letters long or high is too small in {MAX_SIDE} px",
        )
    try:
        target = latex_markup.to_target(latex)
    except MarkupError as error:
        raise Unfit(error.code, str(error)) from error
    colour, paper = colours(rng)
    if sum(paper) < sum(colour):  # the pipeline trims by darkness: print is dark on light
        colour, paper = paper, colour
    return RenderedSample(
        print_on(paper, colour, np.pad(ink, round(em * 0.4))),
        target,
        em * SCRIPTS,
    )


def _made_up(rng: random.Random, matrices: bool) -> str:
    while len(latex := Grammar(rng, matrices).formula()) > LONG:
        pass
    return latex


def trimmed(image: Pixels) -> Pixels:
    """The picture without its margins, by the rule of the PaddleOCR pipeline (`crop_margin` in paddlex 3.7.2): what is
    darker than 200 of 255, after stretching the contrast, is kept. Never smaller than a patch of the model."""
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    low = int(grey.min())
    high = int(grey.max())
    if low == high:
        return image
    table = (
        ((np.arange(256) - low).clip(0) / (high - low) * 255)
        .clip(
            0,
            255,
        )
        .astype(np.uint8)
    )
    points = cv2.findNonZero((cv2.LUT(grey, table) <= 200).astype(np.uint8))
    if points is None:
        return image
    x, y, width, height = cv2.boundingRect(points)
    return image[_widened(y, height, image.shape[0]), _widened(x, width, image.shape[1])]


def _widened(start: int, size: int, limit: int) -> slice:
    """A stretch of at least one patch around a smaller one, where the picture has that much."""
    short = max(0, SMALLEST_SIDE - size)
    begin = max(
        0,
        min(start - short // 2, limit - max(size, SMALLEST_SIDE)),
    )
    return slice(begin, begin + max(size, SMALLEST_SIDE))


def small_formula(rng: random.Random) -> str:
    """A short formula for a cell of a table, without delimiters."""
    grammar = Grammar(rng)
    kinds = (grammar.scripted, grammar.fraction, grammar.root, grammar.derivative, grammar.accent, grammar.bracket)
    text = rng.choice(kinds)(0)
    return re.sub(r"\s+", " ", text)
