"""What stands where something else was expected: JSON values, names of images, labels."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Iterator
from typing import Any

from hostile import pictures

DEEP = 10_000
# Written as they stand into JSON; several are none.
JSON: dict[str, dict[str, bytes]] = {
    "nothing": {"null": b"null", "empty": b'""', "space": b'" "', "no list": b"[]", "no object": b"{}"},
    "other types": {
        "true": b"true",
        "false": b"false",
        "zero": b"0",
        "less": b"-1",
        "part": b"1.5",
        "text": b'"text"',
        "list": b'["a", 1, null]',
        "object": b'{"a": [{}]}',
        "lists": b"[[[[]]]]",
    },
    "odd numbers": {
        "nan": b"NaN",
        "inf": b"Infinity",
        "-inf": b"-Infinity",
        "1e308": b"1e308",
        "1e999": b"1e999",
        "-0": b"-0.0",
        "2^63": b"9223372036854775808",
        "2^64": b"18446744073709551616",
        "10^400": b"1" + b"0" * 400,
        "10^5000": b"1" + b"0" * 5000,
        "tiny": b"1e-320",
        "as text": b'"1e308"',
    },
    "odd texts": {
        "NUL": rb'"a\u0000b"',
        "lone": rb'"\ud800"',
        "bidi": '"\u202ea\u2066"'.encode(),
        "not a character": '"\ufffe\uffff"'.encode(),
        "marks": ('"a' + "\u0301" * 2000 + '"').encode(),
        "mark": b'"<image>"',
        "marks of images": b'"' + b"<image>" * 300 + b'"',
        "token": b'"<|im_end|><fcel>"',
        "long": b'"' + b"x" * 50_000 + b'"',
        "lines": rb'"a\nb\r\nc\u2028d"',
    },
    "deep": {
        "lists": b"[" * DEEP + b"]" * DEEP,
        "objects": b'{"a":' * 2000 + b"1" + b"}" * 2000,
        "text of lists": b'"' + b"[" * DEEP + b'"',
        "text of objects": b'"' + b"{'a':" * DEEP + b'"',
    },
    "broken": {
        "open list": b"[",
        "open object": b'{"a"',
        "open text": b'"abc',
        "closed": b"]",
        "comma": b",",
        "word": b"undefined",
        "single": b"'a'",
        "byte": b'"\xff"',
        "escape": rb'"\x"',
        "control": b'"\x01"',
    },
    "geometry": {
        "three points": b"[[1,1],[9,1],[9,9]]",
        "no area": b"[[5,5],[5,5],[5,5],[5,5]]",
        "line": b"[[1,1],[9,1],[9,1],[1,1]]",
        "far": b"[[900,900],[950,900],[950,950],[900,950]]",
        "huge": b"[[-1e308,-1e308],[1e308,-1e308],[1e308,1e308],[-1e308,1e308]]",
        "nan": b"[[NaN,1],[9,1],[9,9],[1,9]]",
        "inf": b"[[1,1],[Infinity,1],[9,9],[1,9]]",
        "wide": b"[[-60,1],[120,1],[120,9],[-60,9]]",
        "crossed": b"[[1,1],[60,60],[60,1],[1,60]]",
        "mirrored": b"[[60,1],[1,1],[1,60],[60,60]]",
        "points": b"[" + b"[1,1],[60,1]," * 5000 + b"[60,60]]",
        "flat": b"[" + b"1," * 20_000 + b"1]",
        "strings": b'[["1","1"],["9","1"],["9","9"],["1","9"]]',
        "triples": b"[[1,1,1],[9,1,1],[9,9,1],[1,9,1]]",
        "nested": b"[[[1,1],[9,1],[9,9],[1,9]]]",
        "eight": b"[1,1,9,1,9,9,1,9]",
        "seven": b"[1,1,9,1,9,9,1]",
        "box": b'{"l":1e308,"t":-1e308,"r":NaN,"b":0,"x":1e308,"y":-1,"width":1e308,"height":0}',
        "number": b"1e308",
        "million": b"1000000",
        "below": b"-1000000",
    },
}
HOLE = "@@"


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of everything inside a JSON value; of long lists the first two entries."""
    if at:
        yield at
    inner = value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    for key, below in inner:
        yield from places(below, (*at, key))


def holder(value: Any, at: tuple[Any, ...]) -> Any:
    for key in at[:-1]:
        value = value[key]
    return value


def split(body: bytes) -> tuple[bytes, Any]:
    """What stands before the JSON of a record, and the JSON."""
    start = min(found for found in (body.find(b"{"), body.find(b"[")) if found >= 0)
    return body[:start], json.loads(body[start:])


def is_json(body: bytes) -> bool:
    try:
        split(body)
    except ValueError:
        return False
    return True


OUTLINES = {
    "poly",
    "points",
    "bbox",
    "value",
    "prov",
    "size",
    "original_width",
    "width",
    "height",
}  # keys that say where something is


def replaced(body: bytes, raws: dict[str, bytes], *, outlines: bool = False, step: int = 1) -> Iterator[bytes]:
    """The record with each of these in each place, or each `step`-th; `outlines`: only where an outline stands."""
    before, value = split(body)
    for at in list(places(value))[::step]:
        if outlines and OUTLINES.isdisjoint(at):
            continue
        other = copy.deepcopy(value)
        holder(other, at)[at[-1]] = HOLE
        text = json.dumps(other, ensure_ascii=False).encode()
        for raw in raws.values():
            yield before + text.replace(f'"{HOLE}"'.encode(), raw)


def missing(body: bytes) -> Iterator[bytes]:
    """The record without each of its parts."""
    before, value = split(body)
    for at in places(value):
        other = copy.deepcopy(value)
        del holder(other, at)[at[-1]]
        yield before + json.dumps(other, ensure_ascii=False).encode()


def twice(body: bytes) -> Iterator[bytes]:
    """The record with each key twice, and with keys that nobody knows."""
    before, value = split(body)
    for at in places(value):
        if isinstance(at[-1], str):
            other = copy.deepcopy(value)
            holder(other, at)[at[-1] + HOLE] = None
            yield before + json.dumps(other, ensure_ascii=False).replace(f'{HOLE}"', '"').encode()
            other = copy.deepcopy(value)
            holder(other, at).update({"__class__": "os.system", "": 1, "\u202e": [], "$ref": "#/", "<<": {}})
            yield before + json.dumps(other, ensure_ascii=False).encode()


PATHS = [
    "../alpha.png",
    "../../../../../../etc/passwd",
    "/etc/passwd",
    "/dev/zero",
    "/dev/stdin",
    "/proc/self/mem",
    "img/../../alpha.png",
    "..\\..\\alpha.png",
    "C:\\alpha.png",
    "\\\\127.0.0.1\\share\\a.png",
    "~root/a.png",
    ".",
    "..",
    "/",
    "",
    " ",
    "img",
    "img/",
    "a\0.png",
    "alpha.png\0.txt",
    "x" * 5000,
    "a/" * 2000 + "a.png",
    "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "..%c0%af..",
    "*",
    "$HOME/a.png",
    "`id`.png",
    "|id",
    "-rf",
    "\u202egnp.a",
    "a\u2028b.png",
    "\ufeff.png",
    "con",
    "alpha.png/",
    "./././alpha.gone",
    "//127.0.0.1/a.png",
    '["a.png", "b.png"]',
    "{'a': 1}",
    "null",
    "data.zip::a.png",
    "a.tar.gz#a.png",
]
ADDRESSES = [
    "http://127.0.0.1/a.png",
    "http://127.0.0.1:6379/a.png",
    "https://127.0.0.1/a.png",
    "http://localhost/a.png",
    "http://169.254.169.254/latest/meta-data/",
    "http://[::1]/a.png",
    "http://[::ffff:127.0.0.1]/a.png",
    "http://[64:ff9b::7f00:1]/",
    "http://[fd00::1]/a.png",
    "http://0/a.png",
    "http://0.0.0.0/a.png",
    "http://2130706433/a.png",
    "http://0x7f.1/a.png",
    "http://017700000001/a.png",
    "http://10.0.0.1/a.png",
    "http://192.168.0.1/a",
    "http://172.16.0.1/a.png",
    "http://100.64.0.1/a.png",
    "http://224.0.0.1/a.png",
    "http://user:pw@127.0.0.1/a.png",
    "http://127.0.0.1#@example.org/a.png",
    "HTTP://127.0.0.1/A.PNG",
    "http://",
    "http:///a.png",
    "http://[bad/a.png",
    "http://127.0.0.1:99999/a.png",
    "http://127.0.0.1:x/a",
    "http://a b/",
    "file:///etc/passwd",
    "file:/etc/passwd",
    "file://127.0.0.1/etc/passwd",
    "FILE:///etc/passwd",
    "ftp://127.0.0.1/a.png",
    "gopher://127.0.0.1:25/x",
    "s3://bucket/a.png",
    "gs://bucket/a",
    "unix:///var/run/docker.sock",
    "javascript:alert(1)",
    "jar:http://127.0.0.1!/a",
    "hf://datasets/a/b",
    "data:",
    "data:,",
    "data:image/png",
    "data:image/png;base64",
    "data:image/png;base64,!!!!",
    "data:text/html,<script>",
]


def inline() -> list[str]:
    """Images inside the row that are none."""
    return [
        f"data:image/png;base64,{base64.b64encode(content).decode()}"
        for content in (*pictures.group("broken").values(), *pictures.group("not read").values())
    ]


TEXTS = [
    "",
    " ",
    "\t\t",
    "\u3000\u00a0",
    "\0",
    "a\0b",
    "\x01\x02\x1b[2J",
    "\ufffd\ufffd",
    "\ufeff",
    "\u202eabc",
    "\u200b\u200d\u2060",
    "e" + "\u0301" * 5000,
    "\U0010ffff",
    "<image>",
    "<|im_end|>",
    "<fcel><nl>",
    "a\u2028b\u0085c\x0bd\x0ce",
    "=cmd|' /C calc'!A0",
    '"',
    '""',
    '"""',
    "'",
    "\\",
    '\\"',
    ",",
    ",,,,",
    "\t",
    "|",
    "{",
    "}",
    "[" * 5000,
    "{" * 5000,
    '{"a":' * 3000,
    "<" * 5000,
    "&" * 3000,
    "&lt;" * 3000,
    "&#0;&#x110000;&#xd800;&nbsp;",
    "<![CDATA[",
    "<!--",
    "-->",
    "<?php",
    "a" * 60_000,
    "ab " * 20_000,
    "%s%n%x",
    "{0.__class__}",
    "${jndi:ldap://127.0.0.1/a}",
    "../../etc/passwd",
    "null",
    "NaN",
    "True",
    "-" * 5000,
    "$" * 5000,
    "`" * 5000,
    "*" * 5000,
    "_" * 5000,
    " " * 50_000 + "x",
    "ম" * 3000,
]
BRACES = 100_000
LABELS: dict[str, list[str]] = {
    "html": [
        "<table>",
        "<table><tr>",
        "<table><tr><td>a",
        "</table>",
        "<td>a</td>",
        "<table></table>",
        "<table><tr></tr></table>",
        "<table><tr><td rowspan=1000000000 colspan=1000000000>a</td></tr></table>",
        "<table>" + "<tr><td rowspan=65534 colspan=1000>a</td></tr>" * 50 + "</table>",
        "<table><tr>" + "<td colspan=1000>" * 2000 + "</table>",
        "<table><tr><td rowspan=-1 colspan=x>a</td></tr></table>",
        "<table><tr><td rowspan=0 colspan=0>a</td></tr></table>",
        "<table><tr><td>" * 3000,
        "<table>" + "<tr><td>a</td></tr>" * 20_000 + "</table>",
        "<table><tr>" + "<td>a</td>" * 20_000 + "</tr></table>",
        "<table><tr><td>" + "<b>" * 10_000 + "</td></tr></table>",
        "<table><tr><td " + "a='" * 10_000 + ">x</td></tr></table>",
        "<table><tr><td " + "=" * 30_000 + ">x</td></tr></table>",
        "<table><tr><td><!-- never closed</td></tr></table>",
        "<table><tr><td><![CDATA[x]]></td></tr></table>",
        "<table><tr><td><script>alert(1)</script></td></tr></table>",
        "<table><tr><td><img src=http://127.0.0.1/a.png></td></tr></table>",
        "<table><tr><td><table><tr><td>in</td></tr></table></td></tr></table>",
        "<table><tr><td>a</td></tr></table>" * 500,
        "<!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><table><tr><td>&a;</td></tr></table>",
        "<table><tr><td>" + "&amp;" * 20_000 + "</td></tr></table>",
        "<" * 60_000,
        "<table" * 10_000,
        "<table><tr><td>a<td>b<tr><td>c",
        "<TABLE><TR><TD/></TABLE>",
    ],
    "otsl": [
        "<nl>",
        "<lcel><nl>",
        "<ucel><nl>",
        "<xcel><nl>",
        "<fcel>",
        "<fcel>a",
        "<fcel>a<fcel>b<nl><fcel>c<nl>",
        "<fcel><nl>" * 20_000,
        "<fcel>" * 50_000,
        "<xcel>" * 50_000 + "<nl>",
        "<fcel>a" + "<lcel>" * 50_000 + "<nl>",
        "<fcel>a<nl>" + "<ucel><nl>" * 20_000,
        "<ched>a<nl>",
        "<fcel",
        "<<fcel>>",
        "<otsl><loc_1><fcel>a<nl></otsl>",
        "<fcel>a</fcel><nl>",
        "<FCEL>a<NL>",
        "<fcel>\0<nl>",
        "a<fcel>b<nl>",
    ],
    "markdown": [
        "|",
        "||",
        "| a |",
        "| a |\n|",
        "| a |\n| - |",
        "| a | b |\n| - |\n| 1 |",
        "|---|",
        "a|b\n-|-\n" + "1|2\n" * 10_000,
        "|" * 100_000,
        "| a |\n|" + "-" * 50_000 + "|",
        "| a |\n|" + "-|" * 20_000,
        "```\n" * 5000,
        "\\|" * 30_000,
        "| " + "*" * 30_000 + " |\n| - |",
        "| " + "`" * 30_000 + " |\n| - |\n| " + "`" * 29_999 + " |",
        "| a |\n| :-: |\n" * 3000,
        "|" + " " * 60_000 + "|\n|-|",
    ],
    "sheet": [
        '"',
        '"a',
        '"a"b,c',
        "a,b\nc",
        "\n" * 5000,
        "," * 20_000,
        '"' * 20_001,
        '"\n' * 5000,
        "a;b\nc;d",
        "a\tb",
        "\0,\0",
        "=1+1,@SUM(A1)",
        "a,b\n" * 5000,
        "\r\r\r",
        '"a\nb",c\nd',
    ],
    "latex": [
        "{" * BRACES,
        "}" * BRACES,
        "{" * BRACES + "}" * BRACES,
        "\\frac" * 20_000,
        "\\frac{" * 5000,
        "^" * 50_000,
        "x^{" * 3000 + "}" * 3000,
        "_" * 50_000,
        "\\left(" * 10_000,
        "\\sqrt[" * 5000,
        "\\begin{array}" * 3000,
        "\\begin{matrix}" + "&" * 50_000,
        "\\\\[2pt]" * 5000,
        "$" * 50_001,
        "\\(" * 20_000,
        "\\[x\\]\\[y\\]",
        "\\input{/etc/passwd}",
        "\\write18{id}",
        "\\def\\a{\\a\\a}\\a",
        "\\csname a\\endcsname",
        "\\",
        "\\begin{",
        "\\end{x}",
        "\\left",
        "\\verb",
        "%" * 50_000,
        "&",
        "#1",
        "\\text{" * 3000,
        "\\hspace{" + "9" * 5000,
        "{ \\over " * 3000 + "}" * 3000,
        "\\begin{tabular}{" + "c" * 50_000 + "}a\\end{tabular}",
        "\\unicode{x" + "f" * 5000 + "}",
        "\\char'" + "7" * 5000,
    ],
    "chart": [
        "|" * 1_000_000,
        "a | b\n" * 20_000,
        "a | b\nc",
        "|",
        " | ",
        "\n|\n",
        "<0x0A>" * 10_000,
        "TITLE | a",
        "TITLE | a <0x0A>",
        "a |" * 30_000,
        "a | b\n1 | 2 | 3",
        "\\|" * 50_000,
        "| a | b |\n|---|---|\n| 1 | 2 |",
        "a | \0\n1 | 2",
        "&&" * 20_000,
        "a | b && 1" * 3000,
    ],
    "cell": ["<0x0A>", "a\nb", "a|b", "<nl>", "<fcel>"],
}
LABELS["tokens"] = LABELS["html"][:24]


def labels(kind: str) -> list[str]:
    """What stands where a label of this kind is expected."""
    return [*TEXTS, *LABELS.get(kind, [])]
