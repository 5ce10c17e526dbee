"""What a metric may take for the same formula. Training targets never go through here: see `normalise_training`."""

from __future__ import annotations

from typing import TypeAlias

from sft.markup.latex_tokens import strip_delimiters, tokens, without_row_skips

Item: TypeAlias = "str | list[Item]"  # a token, or a group in braces
MAX_DEPTH = 100  # groups within each other; beyond, a formula is compared token by token

# Commands that draw the same sign
SYNONYMS = {
    "\\leq": "\\le",
    "\\geq": "\\ge",
    "\\neq": "\\ne",
    "\\rightarrow": "\\to",
    "\\leftarrow": "\\gets",
    "\\lbrace": "\\{",
    "\\rbrace": "\\}",
    "\\lbrack": "[",
    "\\rbrack": "]",
    "\\vert": "|",
    "\\lvert": "|",
    "\\rvert": "|",
    "\\mid": "|",
    "\\Vert": "\\|",
    "\\lVert": "\\|",
    "\\rVert": "\\|",
    "\\parallel": "\\|",
    "\\land": "\\wedge",
    "\\lor": "\\vee",
    "\\lnot": "\\neg",
    "\\owns": "\\ni",
    "\\ast": "*",
    "\\colon": ":",
    "\\dots": "\\ldots",
    "\\dotsc": "\\ldots",
    "\\dotso": "\\ldots",
    "\\dotsb": "\\cdots",
    "\\dotsm": "\\cdots",
    "\\iff": "\\Longleftrightarrow",
    "\\implies": "\\Longrightarrow",
    "\\dfrac": "\\frac",
    "\\tfrac": "\\frac",
    "\\cfrac": "\\frac",
    "\\dbinom": "\\binom",
    "\\tbinom": "\\binom",
    "\\sp": "^",
    "\\sb": "_",
    "\\cr": "\\\\",
}


def _commands(names: str) -> frozenset[str]:
    return frozenset(f"\\{name}" for name in names.split())


_LOOKS = _commands(  # fonts, sizes and spaces: dropped; letters in braces after them stay
    "quad qquad enspace enskip thinspace medspace thickspace negthinspace displaystyle textstyle scriptstyle"
    " scriptscriptstyle limits nolimits nonumber notag null hfill relax left right middle big Big bigg Bigg bigl bigr"
    " Bigl Bigr biggl biggr Biggl Biggr bigm Bigm bf rm it cal sf tt mathrm mathbf mathit mathsf mathtt mathnormal"
    " boldsymbol bm pmb text textrm textbf textit textsf texttt textnormal mbox hbox emph operatorname operatorname*"
    " mathop mathbin mathrel mathord mathopen mathclose mathpunct mathinner , ; : ! > begin{equation} end{equation}"
    " begin{equation*} end{equation*} begin{displaymath} end{displaymath} begin{math} end{math}"
) | {"~", "\\ ", "$", "\\(", "\\)", "\\[", "\\]"}
_DROPPED = _commands("tag label hspace vspace phantom hphantom vphantom color")  # with the group after them
_COLUMNS = _commands("begin{array} begin{tabular}")  # the group after them, not they
SCRIPTS = ("_", "^", "'")
_ONE = _commands("sqrt hat bar tilde vec dot ddot overline underline widehat widetilde mathbb mathcal mathfrak mathscr")
_TWO = _commands("frac binom")
_KEPT_APART = "\\\\{}"  # a row end and brackets behind it that are no skip, as `without_row_skips` writes them


def normalise_scoring(formula: str) -> str:
    """`formula` as tokens parted by blanks, blind to delimiters, fonts, sizes, spaces, tags, synonyms and spare braces.
    Idempotent.

    `\\mathbf{x}_{1}\\,\\leq\\dfrac12` and `x_1 \\le \\frac{1}{2}` give the same. Scripts come in one order (`_` before
    `^`), and `'` is `^ \\prime`. Fonts that make another letter of it (`\\mathbb`, `\\mathcal`, `\\mathfrak`,
    `\\mathscr`) stay, and so do columns and rows.
    """
    form = _form(formula)
    while _KEPT_APART in form:  # what stood in its place is gone only now, and an empty group is spare
        form = _form(form)
    return form


def _form(formula: str) -> str:
    words = [SYNONYMS.get(word, word) for word in tokens(without_row_skips(strip_delimiters(formula)))]
    tree = _tree(words)
    try:
        written = words if tree is None else _written(tree)
    except RecursionError:  # arguments without braces, thousands within each other
        written = words
    return " ".join(without_row_skips(" ".join(written)).split())


def _tree(words: list[str]) -> list[Item] | None:
    """Groups as lists; braces without a partner are left out. None if it is nested too deeply."""
    stack: list[list[Item]] = [[]]
    for word in words:
        if word == "{":
            stack.append([])
            if len(stack) > MAX_DEPTH:
                return None
        elif word != "}":
            stack[-1].append(word)
        elif len(stack) > 1:
            group = stack.pop()
            stack[-1].append(group)
    while len(stack) > 1:
        group = stack.pop()
        stack[-1].extend(group)
    return stack[0]


class _GroupReader:
    """The items of one group, with looks taken out and groups that mean nothing opened."""

    def __init__(self, items: list[Item]) -> None:
        self.items = items[::-1]

    def peek(self) -> Item | None:
        """The next item that is more than looks."""
        while (
            self.items and isinstance(self.items[-1], str) and (self.items[-1] in _LOOKS or self.items[-1] in _DROPPED)
        ):
            dropped = self.items.pop()
            if dropped in _DROPPED:
                if self.items and self.items[-1] == "*":
                    self.items.pop()
                if self.items and isinstance(self.items[-1], list):
                    self.items.pop()
        return self.items[-1] if self.items else None

    def base(self) -> Item | None:
        """As `peek`, where no argument is due: a group stands for what it holds."""
        while isinstance(item := self.peek(), list):
            self.items.pop()
            self.items.extend(item[::-1])
        return item

    def take(self) -> list[str]:
        """The next item with its arguments, written; [] at the end."""
        item = self.peek()
        if item is None:
            return []
        self.items.pop()
        if isinstance(item, list):
            return _written(item)
        if item in SCRIPTS:
            return [item]
        items = [item]
        if item == "\\sqrt" and self.peek() == "[" and "]" in self.items:
            while (part := self.peek()) is not None:
                items += self.take()
                if part == "]":
                    break
        if item in _COLUMNS and self.items and isinstance(self.items[-1], list):
            self.items.pop()
        known = 1 if item in _ONE else 2 * (item in _TWO)
        for _ in range(known):
            items += [
                "{",
                *([] if self.peek() in SCRIPTS else self.take()),
                "}",
            ]
        if not known and item[0] == "\\" and item[-1].isalpha():
            while self.items and isinstance(self.items[-1], list):  # arguments of a command that is not known here
                items += ["{", *self.take(), "}"]
        return items


def _written(items: list[Item]) -> list[str]:
    """The tokens of a group: scripts gathered behind what they belong to, `_` first, braces around more than one token
    only.
    """
    reader = _GroupReader(items)
    words: list[str] = []
    while reader.base() is not None:
        lower: list[str] = []
        upper: list[str] = []
        while (item := reader.base()) in SCRIPTS:
            reader.take()
            if item == "'":
                upper.append("\\prime")
            elif reader.peek() not in SCRIPTS:
                (lower if item == "_" else upper).extend(reader.take())
        for sign, script in (("_", lower), ("^", upper)):
            if script:
                words += [sign, *script] if len(script) == 1 else [sign, "{", *script, "}"]
        if reader.base() is not None:
            words += reader.take()
    return words
