"""The digits of a number under a section of Excel's number formats: places and literals, thousands, exponents,
fractions, and General.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal, localcontext
from fractions import Fraction

from sft.markup.number_dates import Token

MAX_DENOMINATOR = 99_999
_WIDTH = 11  # characters of a General number


def exact(value: float) -> Decimal:
    """The number as Excel holds it: 15 digits."""
    return Decimal(value) if isinstance(value, int) and abs(value) < 10**15 else Decimal(f"{value:.15g}")


def literal(kind: str, text: str) -> str:
    """What a token shows that is no digit."""
    if kind == "pad" or (kind == "fill" and text[1:] == " "):
        return " "
    return text if kind in ("lit", "sign") and text not in ("@", ",") else ""


def number_text(tokens: tuple[Token, ...], number: Decimal) -> tuple[str, bool, bool]:
    """(a number that is not negative under a section, are all its digits 0, is it a fraction that comes near)."""
    with localcontext() as context:
        context.prec = 400
        number *= Decimal(100) ** sum(token == ("sign", "%") for token in tokens)
        digits = [index for index, (kind, _) in enumerate(tokens) if kind == "digit"]
        if not digits:
            return "".join([literal(*token) for token in tokens]), False, False
        if any(kind == "exp" for kind, _ in tokens):
            return *_scientific(tokens, number), False
        slash = next(
            (index for index, token in enumerate(tokens) if token == ("sign", "/")),
            -1,
        )
        if digits[0] < slash:
            return _fraction(tokens, slash, number)
        return *_decimal(tokens, number), False


def _decimal(tokens: tuple[Token, ...], number: Decimal) -> tuple[str, bool]:
    point = next(
        (index for index, token in enumerate(tokens) if token == ("sign", ".")),
        len(tokens),
    )
    whole = [index for index in range(point) if tokens[index][0] == "digit"]
    places = sum(kind == "digit" for kind, _ in tokens[point:])
    last = whole[-1] if whole else point
    behind = [
        index
        for index in range(last + 1, len(tokens))
        if tokens[index] == ("sign", ",") and not any(kind == "digit" for kind, _ in tokens[last + 1 : index])
    ]
    end = max(
        (index for index, (kind, _) in enumerate(tokens) if kind == "digit"),
        default=0,
    )
    behind += [index for index in range(end + 1, len(tokens)) if tokens[index] == ("sign", ",") and index not in behind]
    grouped = any(tokens[index] == ("sign", ",") for index in range(whole[0], last)) if whole else False
    number = (number / Decimal(1000) ** len(behind)).quantize(
        Decimal(1).scaleb(-places),
        ROUND_HALF_UP,
    )
    text = f"{number:f}"
    before, _, after = text.partition(".")
    front = _whole(tokens[:point], before.lstrip("0"), grouped)
    return front + _behind(tokens[point:], after), not text.strip("0.")


def _whole(tokens: tuple[Token, ...], digits: str, grouped: bool) -> str:
    """The part in front of the point: its digits fill the places from the right, and the first place takes what is
    left.
    """
    places = [index for index, (kind, _) in enumerate(tokens) if kind == "digit"]
    out: list[str] = []
    count = 0  # digits so far
    for index in range(len(tokens) - 1, -1, -1):
        kind, text = tokens[index]
        if kind != "digit":
            out.append(literal(kind, text))
            continue
        taken = digits if index == places[0] else digits[-1:]
        digits = digits[: len(digits) - len(taken)]
        shown = taken or {"0": "0", "#": "", "?": " "}[text]
        for sign in reversed(shown):
            if grouped and count and count % 3 == 0 and sign != " ":
                out.append(",")
            out.append(sign)
            count += 1
    if not places and digits:
        out.insert(0, digits)
    return "".join(reversed(out))


def _behind(tokens: tuple[Token, ...], digits: str) -> str:
    """The point and what follows it."""
    shown = len(digits.rstrip("0"))
    out, place = [], 0
    for kind, text in tokens:
        if kind == "digit":
            digit = digits[place : place + 1]
            out.append(digit if place < shown or text == "0" else " " if text == "?" else "")
            place += 1
        else:
            out.append(literal(kind, text))
    return "".join(out)


def _scientific(tokens: tuple[Token, ...], number: Decimal) -> tuple[str, bool]:
    place = next(index for index, (kind, _) in enumerate(tokens) if kind == "exp")
    mantissa = tokens[:place]
    point = next(
        (index for index, token in enumerate(mantissa) if token == ("sign", ".")),
        len(mantissa),
    )
    size = max(
        1,
        sum(kind == "digit" for kind, _ in mantissa[:point]),
    )
    places = sum(kind == "digit" for kind, _ in mantissa[point:])
    exponent = (number.adjusted() // size) * size if number else 0
    step = Decimal(1).scaleb(-places)
    rounded = number.scaleb(-exponent).quantize(step, ROUND_HALF_UP)
    if rounded >= Decimal(10) ** size:
        exponent += size
        rounded = number.scaleb(-exponent).quantize(step, ROUND_HALF_UP)
    front, nothing = _decimal(mantissa, rounded)
    width = sum(kind == "digit" for kind, _ in tokens[place + 1 :])
    sign = "-" if exponent < 0 else "+" if tokens[place][1][1] == "+" else ""
    rest = "".join([literal(*token) for token in tokens[place + 1 :] if token[0] != "digit"])
    return f"{front}E{sign}{str(abs(exponent)).zfill(width)}{rest}", nothing


def _fraction(tokens: tuple[Token, ...], slash: int, number: Decimal) -> tuple[str, bool, bool]:
    """`# ??/??`, `?/8`: a whole number if there is a place for one, and the nearest fraction."""
    first = slash - 1
    while first > 0 and tokens[first - 1][0] == "digit":
        first -= 1
    end = slash + 1
    while end < len(tokens) and (tokens[end][0] == "digit" or (tokens[end][0] == "lit" and tokens[end][1].isdecimal())):
        end += 1
    below = "".join(text for _, text in tokens[slash + 1 : end])
    mixed = any(kind == "digit" for kind, _ in tokens[:first])
    whole = int(number) if mixed else 0
    if below.strip("0#?") and below.isdecimal():
        bottom = min(max(int(below), 1), MAX_DENOMINATOR)
        top = int(
            ((number - whole) * bottom).quantize(
                Decimal(1),
                ROUND_HALF_UP,
            )
        )
    else:
        nearest = Fraction(number - whole).limit_denominator(
            max(
                1,
                min(10 ** len(below) - 1, MAX_DENOMINATOR),
            )
        )
        top = nearest.numerator
        bottom = nearest.denominator
    inexact = Fraction(top, bottom) != Fraction(number - whole) and not below.isdecimal()
    if mixed and top == bottom:
        whole = whole + 1
        top = 0
    digits = str(whole) if whole or (not top) else ""
    front = (
        _whole(tokens[:first], digits, grouped=False)
        if mixed
        else "".join([literal(*token) for token in tokens[:first]])
    )
    rest = "".join([literal(*token) for token in tokens[end:]])
    middle = f"{top}/{bottom}" if top or not mixed else " "
    return front + middle + rest, not (whole or top), inexact


def general(value: float) -> str:
    """A number under General in a column that is wide enough: up to 11 characters.

    >>> general(0.1 + 0.2), general(1 / 3), general(123456789012), general(-0.0000123456)
    ('0.3', '0.333333333', '1.23457E+11', '-1.23456E-05')
    """
    number = exact(value)
    sign = "-" if number < 0 else ""
    number = abs(number)
    if not number:
        return "0"
    text = f"{number:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    if len(text) <= _WIDTH:
        return sign + text
    if Decimal("0.0001") <= number < Decimal(10) ** _WIDTH:
        places = _WIDTH - 1 - max(1, number.adjusted() + 1)
        fixed = f"{number.quantize(Decimal(1).scaleb(-max(places, 0)), ROUND_HALF_UP):f}"
        fixed = fixed.rstrip("0").rstrip(".") if "." in fixed else fixed
        if len(fixed) <= _WIDTH:
            return sign + fixed
    mantissa, exponent = f"{number:.5E}".split("E")
    return f"{sign}{mantissa.rstrip('0').rstrip('.')}E{exponent[0]}{exponent[1:].zfill(2)}"
