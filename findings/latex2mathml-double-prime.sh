#!/bin/sh
# latex2mathml 3.81 raises on formulas that TeX sets without complaint: a double prime with a raised exponent, a
# generalised fraction without a rule, and the position argument of an array. A page that shows labels as MathML
# has to expect it for right labels. Seen:
#     x''^{2}                              DoubleSuperscriptsError
#     \genfrac{}{}{0pt}{}{a}{b}            an exception
#     \begin{array}[t]{c}a\end{array}     an exception
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'latex2mathml==3.81.0'
"$work/venv/bin/python" - <<'PY'
from latex2mathml.converter import convert

assert "<math" in convert(r"x^{2}")
for formula in (r"x''^{2}", r"\genfrac{}{}{0pt}{}{a}{b}", r"\begin{array}[t]{c}a\end{array}"):
    try:
        convert(formula)
    except Exception as error:
        print(f"{formula:40} {type(error).__name__}")
    else:
        raise SystemExit(f"{formula} is converted now")
PY
