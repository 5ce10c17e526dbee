"""The LaTeX commands that CDM draws, by what they do.

What stands in no table here never reaches LaTeX: a box is drawn for it.
"""

from __future__ import annotations


def _commands(names: str) -> frozenset[str]:
    return frozenset(f"\\{name}" for name in names.split())


# One sign each, of LaTeX's kernel and amssymb, drawn as they are
SYMBOLS = _commands(
    "aleph alpha amalg angle approx approxeq ast asymp backepsilon backprime backsim backsimeq barwedge because beta"
    " beth between bigcirc bigstar bigtriangledown bigtriangleup blacklozenge blacksquare blacktriangle"
    " blacktriangledown blacktriangleleft blacktriangleright bot bowtie boxdot boxminus boxplus boxtimes bullet Bumpeq"
    " bumpeq Cap cap cdot cdotp centerdot chi circ circeq circlearrowleft circlearrowright circledast circledcirc"
    " circleddash circledS clubsuit colon complement cong Cup cup curlyeqprec curlyeqsucc curlyvee curlywedge"
    " curvearrowleft curvearrowright dagger daleth dashv ddagger ddots Delta delta diagdown diagup diamond diamondsuit"
    " digamma div divideontimes doteq doteqdot dotplus doublebarwedge Downarrow downarrow downdownarrows"
    " downharpoonleft downharpoonright ell emptyset epsilon eqcirc eqsim eqslantgtr eqslantless equiv eta eth exists"
    " fallingdotseq Finv flat forall frown Game Gamma gamma ge geq geqq geqslant gets gg ggg gimel gnapprox gneq gneqq"
    " gnsim gtrapprox gtrdot gtreqless gtreqqless gtrless gtrsim gvertneqq hbar heartsuit hookleftarrow hookrightarrow"
    " hslash iff Im imath in infty intercal iota jmath kappa Lambda lambda land ldotp le Leftarrow leftarrow"
    " leftarrowtail leftharpoondown leftharpoonup leftleftarrows Leftrightarrow leftrightarrow leftrightarrows"
    " leftrightharpoons leftrightsquigarrow leftthreetimes leq leqq leqslant lessapprox lessdot lesseqgtr lesseqqgtr"
    " lessgtr lesssim lhd ll Lleftarrow lll lnapprox lneq lneqq lnot lnsim Longleftarrow longleftarrow"
    " Longleftrightarrow longleftrightarrow longmapsto Longrightarrow longrightarrow looparrowleft looparrowright lor"
    " lozenge Lsh ltimes lvertneqq mapsto measuredangle mho mid models mp mu multimap nabla natural ncong ne nearrow"
    " neg neq nexists ngeq ngeqq ngeqslant ngtr ni nLeftarrow nleftarrow nLeftrightarrow nleftrightarrow nleq nleqq"
    " nleqslant nless nmid notin nparallel nprec npreceq nRightarrow nrightarrow nshortmid nshortparallel nsim"
    " nsubseteq nsubseteqq nsucc nsucceq nsupseteq nsupseteqq ntriangleleft ntrianglelefteq ntriangleright"
    " ntrianglerighteq nu nVDash nVdash nvDash nvdash nwarrow odot Omega omega ominus oplus oslash otimes owns parallel"
    " partial perp Phi phi Pi pi pitchfork pm prec precapprox preccurlyeq preceq precnapprox precneqq precnsim precsim"
    " propto Psi psi Re rhd rho Rightarrow rightarrow rightarrowtail rightharpoondown rightharpoonup rightleftarrows"
    " rightleftharpoons rightrightarrows rightsquigarrow rightthreetimes risingdotseq Rrightarrow Rsh rtimes searrow"
    " setminus sharp shortmid shortparallel Sigma sigma sim simeq smallfrown smallsetminus smallsmile smile spadesuit"
    " sphericalangle sqcap sqcup sqsubset sqsubseteq sqsupset sqsupseteq square star Subset subset subseteq subseteqq"
    " subsetneq subsetneqq succ succapprox succcurlyeq succeq succnapprox succneqq succnsim succsim Supset supset"
    " supseteq supseteqq supsetneq supsetneqq surd swarrow tau therefore Theta theta thickapprox thicksim times to top"
    " triangle triangledown triangleleft trianglelefteq triangleq triangleright trianglerighteq twoheadleftarrow"
    " twoheadrightarrow unlhd unrhd Uparrow uparrow Updownarrow updownarrow upharpoonleft upharpoonright uplus Upsilon"
    " upsilon upuparrows varbigtriangledown varbigtriangleup varepsilon varkappa varnothing varphi varpi varpropto"
    " varrho varsigma varsubsetneq varsubsetneqq varsupsetneq varsupsetneqq vartheta vartriangle vartriangleleft"
    " vartriangleright Vdash vDash vdash vdots vee veebar Vvdash wedge wp wr Xi xi zeta"
)
LARGE = _commands(
    "sum prod coprod bigvee bigwedge biguplus bigcap bigcup bigotimes bigoplus bigodot bigsqcup"
)  # their limits stand above and below
INTEGRALS = {  # theirs beside
    "\\int": r"\intop",
    "\\oint": r"\ointop",
    "\\iint": r"\intop\mkern-9mu\intop",
    "\\iiint": r"\intop\mkern-9mu\intop\mkern-9mu\intop",
    "\\oiint": r"\ointop\mkern-9mu\ointop",
    "\\smallint": r"\intop",
    "\\idotsint": r"\intop\cdots\intop",
}
DOTS = {
    "\\ldots": r"\ldotp",
    "\\cdots": r"\cdotp",
    "\\hdots": r"\ldotp",
    "\\dotsi": r"\cdotp",
    "\\mathellipsis": r"\ldotp",
    "\\textellipsis": r"\ldotp",
}  # three points each
NAMES = _commands(
    "sin cos tan cot sec csc sinh cosh tanh coth arcsin arccos arctan arg deg dim exp hom ker lg ln log sgn tr"
)  # letter by letter
LIMITS = _commands("lim limsup liminf max min sup inf det gcd Pr argmax argmin injlim projlim")  # and limits below
MODULO = _commands("mod bmod pmod pod")

DELIMITERS = {
    mark: mark
    for mark in (
        "(",
        ")",
        "[",
        "]",
        "|",
        "/",
        "\\{",
        "\\}",
        "\\|",
        *_commands(
            "langle rangle lfloor rfloor lceil rceil backslash lgroup rgroup lmoustache rmoustache "
            "uparrow downarrow updownarrow Uparrow Downarrow Updownarrow ulcorner urcorner llcorner lrcorner"
        ),
    )
} | {"<": r"\langle", ">": r"\rangle"}
SIZES = _commands("big Big bigg Bigg bigl Bigl biggl Biggl bigr Bigr biggr Biggr bigm Bigm biggm Biggm")

ACCENTS = {
    "\\hat": r"\hat",
    "\\check": r"\check",
    "\\breve": r"\breve",
    "\\acute": r"\acute",
    "\\grave": r"\grave",
    "\\tilde": r"\tilde",
    "\\bar": r"\bar",
    "\\vec": r"\vec",
    "\\dot": r"\dot",
    "\\ddot": r"\ddot",
    "\\dddot": r"\ddot",
    "\\ddddot": r"\ddot",
    "\\mathring": r"\mathring",
    "\\widehat": r"\widehat",
    "\\widetilde": r"\widetilde",
    "\\'": r"\acute",
    "\\`": r"\grave",
    '\\"': r"\ddot",
    "\\~": r"\tilde",
    "\\^": r"\hat",
    "\\=": r"\bar",
    "\\.": r"\dot",
    "\\Hat": r"\hat",
    "\\Tilde": r"\tilde",
    "\\Bar": r"\bar",
    "\\Vec": r"\vec",
    "\\Dot": r"\dot",
    "\\Ddot": r"\ddot",
}
STRETCHED = {
    "\\overline": r"\overline",
    "\\underline": r"\underline",
    "\\overbrace": r"\overbrace",
    "\\underbrace": r"\underbrace",
    "\\overrightarrow": r"\overrightarrow",
    "\\overleftarrow": r"\overleftarrow",
    "\\overleftrightarrow": r"\overrightarrow",
    "\\underrightarrow": r"\underline",
    "\\underleftarrow": r"\underline",
    "\\uline": r"\underline",
}
LONG_ARROWS = {
    "\\xrightarrow": r"\longrightarrow",
    "\\xleftarrow": r"\longleftarrow",
    "\\xleftrightarrow": r"\longleftrightarrow",
    "\\xRightarrow": r"\Longrightarrow",
    "\\xLeftarrow": r"\Longleftarrow",
    "\\xmapsto": r"\longmapsto",
}
STACKED = {"\\overset": "^", "\\stackrel": "^", "\\underset": "_"}  # the first argument above or below the second
INFIX = {
    "\\over": r"\over",
    "\\atop": r"\atop",
    "\\choose": r"\atopwithdelims()",
    "\\brack": r"\atopwithdelims[]",
    "\\brace": r"\atopwithdelims\{\}",
}
INFIX_NAMES = {"\\over": "\\frac"}  # \atop draws nothing of its own

FONTS = dict.fromkeys(
    _commands("mathrm text textrm textup textnormal textmd mbox hbox rm operatorname operatorname* mathup fbox"),
    r"\mathrm",
)
FONTS |= dict.fromkeys(_commands("mathbf textbf bf bm boldsymbol pmb"), r"\mathbf") | dict.fromkeys(
    _commands("mathsf textsf sf"), r"\mathsf"
)
FONTS |= dict.fromkeys(_commands("mathtt texttt tt"), r"\mathtt") | dict.fromkeys(
    _commands("mathit textit it emph"), r"\mathit"
)
FONTS |= dict.fromkeys(
    _commands(
        "mathbb mathcal mathfrak mathscr mathnormal cal Bbb frak scr textsc boxed smash lefteqn ensuremath mathpunct"
        " mathstrut textcircled"
    ),
    "",
)
SWITCHES = _commands("rm bf sf tt it cal")  # to the end of their group
CLASSES = _commands("mathop mathrel mathbin mathord mathopen mathclose mathinner")
STYLES = _commands("displaystyle textstyle scriptstyle scriptscriptstyle")
SPACES = _commands("quad qquad , ; : ! >") | {"~": "\\ "}.keys() | {"\\ "}
WIDE = {
    "~": "\\ ",
    "\\>": "\\:",
    "\\thinspace": "\\,",
    "\\medspace": "\\:",
    "\\thickspace": "\\;",
    "\\enspace": "\\;",
    "\\enskip": "\\;",
    "\\negthinspace": "\\!",
    "\\space": "\\ ",
}
HIDDEN = {  # nothing to be seen: how many arguments go with each
    **dict.fromkeys(
        _commands(
            "nonumber notag hfill relax null limits nolimits displaylimits hline toprule midrule bottomrule hdashline"
            " strut boldmath unboldmath centering allowbreak nobreak noindent par newline tiny scriptsize footnotesize"
            " small normalsize large Large LARGE huge Huge protect raggedright arraybackslash break begingroup endgroup"
            " bgroup egroup"
        ),
        0,
    ),
    **dict.fromkeys(
        _commands(
            "tag label ref eqref cite hspace vspace phantom hphantom vphantom color cline cmidrule textcolor colorbox"
            " raisebox parbox fontsize mathcolor cellcolor rowcolor"
        ),
        1,
    ),
    "\\rule": 2,
    "\\fcolorbox": 2,
    "\\multicolumn": 2,
    "\\multirow": 2,
}
PLAIN = frozenset('abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-*/=<>()[]|,.;:!?@`"')
ESCAPED = {
    "\\#": r"\#",
    "\\%": r"\%",
    "\\$": r"\$",
    "\\&": r"\&",
    "\\_": r"\_",
    "\\{": r"\{",
    "\\}": r"\}",
    "\\|": r"\|",
    "#": r"\#",
    "\\imath": r"\imath",
    "\\jmath": r"\jmath",
    "\\prime": r"\prime",
    "\\slash": "/",
}

# environment → (left and right delimiter, how its columns stand, in display style?)
ENVIRONMENTS = {
    **dict.fromkeys(
        ("matrix", "smallmatrix", "array", "tabular", "subarray", "tabularx", "tabular*"), ("", "", "c", False)
    ),
    "pmatrix": ("(", ")", "c", False),
    "bmatrix": ("[", "]", "c", False),
    "Bmatrix": (r"\{", r"\}", "c", False),
    "vmatrix": ("|", "|", "c", False),
    "Vmatrix": (r"\|", r"\|", "c", False),
    "psmallmatrix": ("(", ")", "c", False),
    "bsmallmatrix": ("[", "]", "c", False),
    "cases": (r"\{", "", "l", False),
    "dcases": (r"\{", "", "l", True),
    "rcases": ("", r"\}", "l", False),
    **dict.fromkeys(
        ("gathered", "gather", "multline", "equation", "displaymath", "math", "eqnarray", "subequations", "center"),
        ("", "", "c", True),
    ),
}
ALIGNED = ("", "", "rl", True)  # and every other
WITH_ARGUMENT = frozenset(
    ("array", "tabular", "subarray", "alignat", "alignedat", "xalignat")
)  # its columns, or how many

# The same sign under another name: beside `latex_scoring.SYNONYMS`, what the published normalisation takes for equal
EQUAL = {
    "\\cdot": ".",
    "\\cdotp": ".",
    "\\ldotp": ".",
    "\\lnot": "\\neg",
    "\\dag": "\\dagger",
    "\\ddag": "\\ddagger",
    "\\prime": "'",
    "\\slash": "/",
    "\\langle": "<",
    "\\rangle": ">",
    "\\vert": "|",
    "\\#": "#",
    "\\Hat": "\\hat",
    "\\Tilde": "\\tilde",
    "\\Bar": "\\bar",
    "\\Vec": "\\vec",
    "\\Dot": "\\dot",
    "\\Ddot": "\\ddot",
    "\\widehat": "\\hat",
    "\\widetilde": "\\tilde",
}
_GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho varsigma sigma tau upsilon"
    " phi chi psi omega"
)
UNICODE = {chr(0x3B1 + place): f"\\{name}" for place, name in enumerate(_GREEK.split()) if name != "omicron"} | {
    "\u2212": "-",
    "\u00d7": "\\times",
    "\u00f7": "\\div",
    "\u2264": "\\le",
    "\u2265": "\\ge",
    "\u2260": "\\ne",
    "\u00b7": "\\cdot",
    "\u00b1": "\\pm",
    "\u221e": "\\infty",
    "\u2192": "\\to",
    "\u2208": "\\in",
    "\u2032": "'",
    "\u2019": "'",
    "\u2026": "\\ldots",
    "\u22ef": "\\cdots",
    "\u2211": "\\sum",
    "\u220f": "\\prod",
    "\u222b": "\\int",
    "\u2202": "\\partial",
    "\u2207": "\\nabla",
    "\u00b0": "\\circ",
    "\u0393": "\\Gamma",
    "\u0394": "\\Delta",
    "\u0398": "\\Theta",
    "\u039b": "\\Lambda",
    "\u03a0": "\\Pi",
    "\u03a3": "\\Sigma",
    "\u03a6": "\\Phi",
    "\u03a8": "\\Psi",
    "\u03a9": "\\Omega",
    "\u2225": "\\|",
    "\uff0c": ",",
    "\uff08": "(",
    "\uff09": ")",
    "\uff1a": ":",
    "\uff1b": ";",
    "\uff1d": "=",
    "\uff0b": "+",
}
