"""What only some formats can suffer: entities of XML, outlines, quotes of CSV, lists of formulas; and bytes flipped in
the golden sources.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from places import TESTS

from hostile import damage, kits
from hostile.damage import NEEDED, Built, main_file, one_victim, with_rows
from hostile.kit import MARKS, VICTIM, Case, Kit, Row, put
from sft import formats

GOLDEN = TESTS / "golden" / "formats"
LISTENER = {"port": 9}  # of a server that must never be asked; a test that listens puts its own port here
ENTITY = "file:///etc/passwd"


def doctype(inside: str, root: str = "r") -> Callable[[bytes], bytes]:
    """The document with a DOCTYPE, and its label written as &x;."""

    def change(content: bytes) -> bytes:
        text = content.decode().replace("<!DOCTYPE html>", "")
        declared, rest = (text[: text.index("?>") + 2], text[text.index("?>") + 2 :]) if "?>" in text else ("", text)
        asked = inside.replace("PORT", str(LISTENER["port"]))
        return f"{declared}<!DOCTYPE {root} {asked}>{rest.replace(MARKS[VICTIM], '&x;')}".encode()

    return change


LAUGHS = (
    "[<!ENTITY l0 'ha'>"
    + "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
    + '<!ENTITY x "&l11;">]'
)
XML: dict[str, Callable[[bytes], bytes]] = {
    "an external entity": doctype(f'[<!ENTITY x SYSTEM "{ENTITY}">]'),
    "an external entity of parameters": doctype(f'[<!ENTITY % p SYSTEM "{ENTITY}"> %p; <!ENTITY x "y">]'),
    "a remote entity": doctype('[<!ENTITY x SYSTEM "http://127.0.0.1:PORT/x">]'),
    "a remote DTD": doctype('SYSTEM "http://127.0.0.1:PORT/x.dtd"'),
    "a public DTD": doctype('PUBLIC "-//x//y" "http://127.0.0.1:PORT/x.dtd" [<!ENTITY x "y">]'),
    "a DTD beside": doctype('SYSTEM "../../../../etc/passwd"'),
    "billion laughs": doctype(LAUGHS),
    "one long entity often": doctype(f'[<!ENTITY a "{"a" * 50_000}"><!ENTITY x "{"&a;" * 20_000}">]'),
    "an entity of itself": doctype('[<!ENTITY x "&x;">]'),
    "no such entity": lambda content: content.replace(MARKS[VICTIM].encode(), b"&nope;"),
    "XInclude": lambda content: content.replace(
        MARKS[VICTIM].encode(),
        f'<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="{ENTITY}" parse="text"/>'.encode(),
    ),
    "a style sheet": lambda content: content.replace(
        b"?>\n", f'?><?xml-stylesheet href="{ENTITY}" type="text/xsl"?>'.encode()
    ),
    "many attributes": lambda content: content.replace(
        b"id=", b" ".join(b"a%d='1'" % number for number in range(10_000)) + b" id="
    ),
    "many names of spaces": lambda content: content.replace(
        b"id=", b" ".join(b"xmlns:a%d='u%d'" % (number, number) for number in range(3000)) + b" id="
    ),
    "an open comment": lambda content: content.replace(MARKS[VICTIM].encode(), b"<!-- "),
    "an open section": lambda content: content.replace(MARKS[VICTIM].encode(), b"<![CDATA["),
    "says UTF-16": lambda content: content.replace(b"UTF-8", b"UTF-16").replace(b"utf-8", b"utf-16"),
    "says UTF-7": lambda content: content.replace(b"UTF-8", b"UTF-7").replace(b"utf-8", b"utf-7"),
    "says punycode": lambda content: content.replace(b"UTF-8", b"punycode").replace(b"utf-8", b"punycode"),
    "says nonsense": lambda content: content.replace(b"UTF-8", b"x" * 3000).replace(b"utf-8", b"x" * 3000),
    "two documents": lambda content: content + content,
    "character 0": lambda content: content.replace(MARKS[VICTIM].encode(), b"&#0;&#xD800;&#x110000;"),
    "many character references": lambda content: content.replace(MARKS[VICTIM].encode(), b"&#65;" * 50_000),
    "siblings": lambda content: content.replace(MARKS[VICTIM].encode(), b"<a/>" * 100_000),
}

NUMBERS = [
    "nan",
    "inf",
    "-inf",
    "1e308",
    "1e999",
    "-1e308",
    "9" * 400,
    "-9",
    "0",
    "0.0000001",
    "1e-320",
    "",
    " ",
    "x",
    "0x10",
    "1,5",
    "٣",
    "1_0",
    "--1",
    "1e",
    "+5",
    "100000",
    "-100000",
]
OUTLINES = [
    "1,1",
    "1,1 9,9",
    "1,1 9,1 9,9",
    "5,5 5,5 5,5 5,5",
    "1 1 9 1 9 9 1 9",
    "1;1 9;1 9;9",
    "1,1 9,1 9,9 1,9 " * 3000,
    ",,,,",
    "a,b c,d",
    "1,1,1 9,1,1 9,9,1",
    "-50,1 120,1 120,9 -50,9",
    "1,1 60,60 60,1 1,60",
    "60,1 1,1 1,60 60,60",
    " " * 50_000,
    "1," * 30_000,
]
CELLS = [
    f'<TableCell row="{row}" col="{col}" rowSpan="{span}" colSpan="{span}"/>'
    for row, col, span in [
        ("0", "0", "999999999"),
        ("999999999", "0", "1"),
        ("-1", "-1", "-1"),
        ("x", "", "1.5"),
        ("0", "0", "0"),
        ("9" * 400, "1", "1"),
    ]
]


def outlines(kit: Kit) -> list[Row]:
    """Lines whose outline is no outline."""
    line = kit.body(Row("victim"), VICTIM).decode()
    if kit.format == "page-xml":
        coords = [*OUTLINES, *(f"{number},1 9,1 9,9 {number},9" for number in NUMBERS)]
        found = [line.replace(kits.POINTS, points) for points in coords]
        found += [
            f'<TableRegion id="t"><Coords points="{kits.POINTS}"/>{cell}</TableRegion>'
            for cell in [*CELLS, CELLS[4] * 3000]
        ]
    elif kit.format == "alto":
        found = [
            line.replace(f'{name}="', f'{name}="{number}" x="')
            for name in ("HPOS", "WIDTH", "HEIGHT")
            for number in NUMBERS
        ]
        found += [line.replace("<String", f'<Shape><Polygon POINTS="{points}"/></Shape><String') for points in OUTLINES]
    else:
        found = [
            line.replace("bbox 2", f"bbox {number}")
            for number in [*NUMBERS, "2 " * 30_000, ";" * 30_000, "2; bbox" * 5000]
        ]
    return [Row("victim", body=one.encode()) for one in found]


def corners(kit: Kit) -> list[Row]:
    """Words of ICDAR whose corners are none."""
    lines = [f"{number},2,60,2,60,60,2,60,word" for number in NUMBERS] + [
        f'{number} 2 60 60 "word"' for number in NUMBERS
    ]
    lines += [
        "5,5,5,5,5,5,5,5,word",
        "2,2,2,60,60,60,60,2,word",
        "900,900,950,900,950,950,900,950,word",
        "1,1,9,1,9,9,word",
        "1," * 30_000,
        "1 " * 30_000,
        "2,2,60,2,60,60,2,60",
        "2,2,60,2,60,60,2,60,",
        '2 2 60 60 "',
        '2 2 60 60 "a\\',
        " " * 50_000 + "x",
    ]
    return [Row(f"victim{number:02}", body=line.encode()) for number, line in enumerate(lines)]


QUOTES = [
    b'img/alpha.png,"never closed',
    b'"img/alpha.png,never closed',
    b'img/alpha.png,a"b',
    b'img/alpha.png,"a"b',
    b'"img/alpha.png"x,y',
    b"a,b,c,d,e",
    b"alone",
    b'"',
    b'""',
    b'"""',
    b'img/alpha.png,"a\nb\nc',
    b"img/alpha.png,a\rb",
    b"\r",
    b'img/alpha.png,\\"',
    b'"' * 50_001,
    b'img/alpha.png,"' + b"x\n" * 300,
    b"img/alpha.png\tlabel",
    b"img/alpha.png;label",
    b"," * 50_000,
    b'img/alpha.png,"' + b'"' * 50_000,
    b"=1+1,@SUM(A1)",
]
HEADS = [
    b"",
    b"\n\n\n",
    b"file_name,file_name,text\n",
    b"file_name\n",
    b",\n",
    b'"file_name,text\n',
    b"file_name,text\nfile_name,text\n",
    b"\xff,\xfe\n",
    b"file_name;text\n",
    b"FILE_NAME , TEXT\n",
    b"file_name,text," + b"x," * 20_000 + b"\n",
    b'"\n' * 3000,
    b"\0,\0\n",
    b"text,file_name\n",
]


def head(kit: Kit, folder: Path, content: bytes) -> Built:
    return main_file(kit, folder, change=lambda whole: content + whole.removeprefix(kit.head), kept="none")


LISTED = [
    b"-1 alpha basic",
    b"6 alpha basic",
    b"9" * 400 + b" alpha basic",
    b"1e3 alpha basic",
    b"0x1 alpha basic",
    "٣ alpha basic".encode(),
    b"0",
    b"0 alpha",
    b"alpha.png 0",
    b"a b c d e",
    b"0\talpha\tbasic",
    b" " * 50_000,
    b"0 " * 30_000,
    b"0 \xff basic",
    b"0 a\0b basic",
    b"999999999999 alpha basic",
]
FORMULAS: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "cut": lambda content: content[:8],
    "zeros": lambda content: bytes(50_000),
    "noise": lambda content: damage.noise(50_000),
    "UTF-16": damage.utf16,
    "latin": lambda content: content.replace(b"gamma", b"\\text{caf\xe9}"),
    "one line": lambda content: content.replace(b"\n", b" "),
    "braces": lambda content: content.replace(b"gamma", b"{" * 100_000),
    "long": lambda content: content.replace(b"gamma", b"x+" * 700_000),
    "returns": lambda content: content.replace(b"gamma", b"a\rb\x0bc\x0cd\xe2\x80\xa8e"),
    "a pipe": lambda content: b"",
}


def formulas(kit: Kit, folder: Path, change: Callable[[bytes], bytes], name: str) -> Built:
    source = kit.write(folder, [Row(mark) for mark in MARKS])
    path = folder / "im2latex_formulas.lst"
    content = change(path.read_bytes())
    path.unlink()
    put(path, Path.mkdir if name == "a pipe" else content)
    return source, (
        [mark for mark in MARKS if mark != "gamma"] if b"\nbeta\n" in content and b"\ndelta\n" in content else ()
    )


def golden(kit: Kit, folder: Path, seed: int) -> Built:
    """Eight bytes of one file of a golden source are others, or the file is cut."""
    place = GOLDEN / kit.format
    source = next(path for path in sorted(place.glob("source*")) if path.stem == "source")
    for path in place.iterdir():
        if path.name.startswith("expected") or path.name == "options.json":
            continue
        (shutil.copytree if path.is_dir() else shutil.copy)(path, folder / path.name)
    draw = random.Random(f"{kit.format} {seed}")
    copied = folder / source.name
    inside = sorted(
        path
        for path in (copied.rglob("*") if copied.is_dir() else [copied])
        if path.is_file() and path.suffix != ".png"
    )
    victim = draw.choice(inside)
    content = bytearray(victim.read_bytes())
    for _ in range(8):
        content[draw.randrange(len(content))] = draw.randrange(256)
    victim.write_bytes(content[: draw.randrange(len(content))] if seed % 3 == 0 else content)
    return copied, ()


def golden_options(name: str) -> dict[str, object]:
    path = GOLDEN / name / "options.json"
    given: dict[str, object] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    return {key: value for key, value in given.items() if key in ("split", "columns", "markup")}


def cases() -> Iterator[Case]:
    known = {kit.name: kit for kit in kits.KITS}
    for name in ("page-xml", "alto", "hocr"):
        for what, change in XML.items():
            yield Case(known[name], f"XML: {what}", partial(main_file, change=change, kept="none"))
        yield Case(known[f"{name} lines"], "outlines", partial(with_rows, victims=outlines), at_least=NEEDED)
    yield Case(known["icdar"], "corners", partial(with_rows, victims=corners), at_least=NEEDED)
    for name in ("csv", "hf folder", "csv table"):
        for number, quote in enumerate(QUOTES):
            yield Case(
                known[name], f"quotes {number}", partial(one_victim, change=partial(lambda quote, body: quote, quote))
            )
        for number, content in enumerate(HEADS):
            yield Case(known[name], f"head {number}", partial(head, content=content))
    yield Case(
        known["im2latex"],
        "lines of the list",
        partial(with_rows, victims=lambda kit: [Row("victim", body=line) for line in LISTED]),
        at_least=NEEDED,
    )
    for what, change in FORMULAS.items():
        yield Case(known["im2latex"], f"formulas: {what}", partial(formulas, change=change, name=what))
    for name in formats.FORMATS:
        kit = next(kit for kit in kits.KITS if kit.format == name)
        for seed in range(6):
            yield Case(kit, f"golden {seed}", partial(golden, seed=seed), options=golden_options(name))
