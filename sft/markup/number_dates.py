"""Dates and times of Excel's number formats: a serial number counts days from 1900 (or 1904), and shows what the
tokens ask for.
"""

from __future__ import annotations

import calendar
import datetime
from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal

DATE_KINDS = frozenset(["date", "elapsed", "ampm"])
DAYS_1904 = 1462  # between the two ways of counting
LAST_DAY = 2_958_465  # 31 December 9999
_MONTHS, _DAYS = list(calendar.month_name), list(calendar.day_name)
_BEGIN = datetime.date(1899, 12, 30)
Token = tuple[str, str]


def date_text(tokens: Sequence[Token], serial: Decimal, *, epoch1904: bool = False) -> str | None:
    """How a serial number is shown under a section with tokens of dates; None where Excel shows #### (before 1900,
    after 9999).
    """
    if epoch1904 and any(kind == "date" and text[0] in "ymdbe" for kind, text in tokens):
        serial += DAYS_1904
    elapsed = any(kind == "elapsed" for kind, _ in tokens)
    if (serial < 0 and not (elapsed and epoch1904)) or serial >= LAST_DAY + 1:
        return None
    pieces = _settled(tokens)
    places = max(
        (text.count("0") for kind, text in pieces if kind == "fraction"),
        default=0,
    )
    seconds = (serial * 86400).quantize(
        Decimal(1).scaleb(-places),
        ROUND_HALF_UP,
    )
    days, within = divmod(seconds, 86400)
    year, month, day, weekday = _date(int(days))
    hour = int(within) // 3600
    minute = int(within) // 60 % 60
    second = within % 60
    twelve = any(kind == "ampm" for kind, _ in pieces)
    out = []
    for kind, text in pieces:
        if kind == "date":
            out.append(
                _part(text, year, month, day, weekday, (hour - 1) % 12 + 1 if twelve else hour, minute, int(second))
            )
        elif kind == "fraction":
            out.append(str(second % 1)[1 : 2 + places] if places else "")
        elif kind == "elapsed":
            whole = {
                "h": seconds // 3600,
                "m": seconds // 60,
                "s": seconds // 1,
            }[text[0]]
            out.append(str(int(whole)).zfill(len(text)))
        elif kind == "ampm":
            out.append(text.split("/")[hour >= 12])
        else:
            out.append(text)
    return "".join(out)


def _settled(tokens: Sequence[Token]) -> list[Token]:
    """The tokens with minutes told from months (`n`), and the digits behind a second as its fraction; all in small
    letters.
    """
    out: list[Token] = []
    time = False  # an hour or a second was the last of its kind
    for kind, text in tokens:
        text = text.lower() if kind in ("date", "elapsed") else text
        if kind == "date" and text in ("m", "mm") and time:
            text = "n" * len(text)
        if kind == "date" and text[0] == "s":
            for index in range(len(out) - 1, -1, -1):  # the months in front of seconds are minutes
                if out[index][0] == "date":
                    if out[index][1] in ("m", "mm"):
                        out[index] = ("date", "n" * len(out[index][1]))
                    break
        if kind in ("date", "elapsed"):
            time = text[0] in "hs" or kind == "elapsed"
        if (kind, text) == ("sign", ".") and out and out[-1][0] in ("date", "elapsed") and out[-1][1][0] == "s":
            out.append(("fraction", ""))
        elif kind == "digit" and out and out[-1][0] == "fraction":
            out[-1] = ("fraction", out[-1][1] + "0")
        else:
            out.append((kind, text))
    return [("lit", ".") if piece == ("fraction", "") else piece for piece in out]


def _date(days: int) -> tuple[int, int, int, int]:
    """(year, month, day, day of the week from Monday) of a whole serial number, with the 29 February 1900 that never
    was, and 0 January.
    """
    if days == 60:
        return 1900, 2, 29, 2
    if days == 0:
        return 1900, 1, 0, 5
    moment = _BEGIN + datetime.timedelta(days + (days < 60))
    return moment.year, moment.month, moment.day, (moment.weekday() - (days < 60)) % 7


def _part(text: str, year: int, month: int, day: int, weekday: int, hour: int, minute: int, second: int) -> str:
    """One token of a date."""
    size = len(text)
    sign = text[0]
    if sign == "y":
        return f"{year % 100:02}" if size <= 2 else f"{year:04}"
    if sign == "b":
        return f"{(year + 543) % 100:02}" if size <= 2 else str(year + 543)
    if sign == "e":
        return str(year)
    if sign in "md" and size >= 3:
        name = _MONTHS[month] if sign == "m" else _DAYS[weekday]
        return name[0] if size == 5 and sign == "m" else name[:3] if size == 3 else name
    number = {"m": month, "d": day, "h": hour, "n": minute, "s": second}[sign]
    return f"{number:02}" if size > 1 else str(number)
