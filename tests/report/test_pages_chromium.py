"""The pages in a real browser: they open, draw thousands of samples, filter and sort them, and complain of nothing."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from browser import FLAGS
from PIL import Image
from places import ROOT
from waiting import PATIENCE

from sft.report.data import gather
from sft.report.html import write_report
from sft.types import Prediction

PATIENT = "--virtual-time-budget=60000"  # the page's clock runs ahead, so that its waits cost nothing
KEPT = ROOT / "build" / "screenshots"  # how the pages looked in the latest run of the tests
ATTACK = "</script><script>hacked()</script><img src=x onerror=hacked()>"
TABLE = "<fcel>a<fcel>b<nl><fcel>c<fcel>d<nl>"
SCOUT = """
const seen = {errors: []}, wait = () => new Promise(done => setTimeout(done, 300));
addEventListener("error", event => seen.errors.push(String(event.message)));
document.addEventListener("securitypolicyviolation", event => seen.errors.push("policy: " + event.violatedDirective));
window.hacked = () => seen.errors.push("hacked");
const pick = (id, value) => { const box = document.getElementById(id);
box.value = value;
box.dispatchEvent(new Event("change"));
};
const named = (id, text) => [...document.getElementById(id).options].find(option => option.text === text).value;
const type = text => {
  const box = document.getElementById("find");
  box.value = text;
  box.dispatchEvent(new Event("input"));
};
const press = (id, key) => {
  const event = new KeyboardEvent("keydown", {key, bubbles: true, cancelable: true});
  document.getElementById(id).dispatchEvent(event);
};
const count = () => parseInt(document.getElementById("count").textContent.replace(/,/g, ""));
const chosen = () => document.querySelector("#detail h3").firstChild.textContent.trim();
const rows = () => document.querySelectorAll("#list [role=option]").length;
addEventListener("load", async () => {
  try { await wait(); await act(seen); } catch (error) { seen.errors.push(String(error)); }
  const note = document.createElement("pre");
  note.id = "seen";
  note.textContent = JSON.stringify(seen);
  document.body.append(note);
});
"""


def browse(chromium: str, tmp_path: Path, url: str, *words: str) -> tuple[str, list[str]]:
    """(what came on stdout, what the page's console says)."""
    profile = tmp_path / "profile"
    try:
        done = subprocess.run(
            [chromium, *FLAGS, f"--user-data-dir={profile}", *words, url],
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
    finally:
        shutil.rmtree(profile, ignore_errors=True)
    errors = done.stderr.decode("utf-8", "replace")
    return done.stdout.decode("utf-8", "replace"), [line for line in errors.splitlines() if "CONSOLE" in line]


def scouted(page: Path, act: str) -> Path:
    """The page with a script of the test's own before all others, which the policy is told to let run."""
    script = f"(() => {{ {SCOUT}\nasync function act(seen) {{ {act} }} }})();"
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    text = (
        page.read_text("utf-8")
        .replace("script-src '", f"script-src 'sha256-{digest}' '", 1)
        .replace("<title>", f"<script>{script}</script><title>", 1)
    )
    copy = page.with_name("scouted.html")
    copy.write_text(text, "utf-8")
    return copy


def seen(chromium: str, page: Path, act: str) -> dict[str, Any]:
    """What the test's script saw; no errors and a silent console are asserted."""
    dom, console = browse(
        chromium, page.parent, scouted(page, act).as_uri(), PATIENT, "--dump-dom", "--window-size=1400,1000"
    )
    found = re.search(r'<pre id="seen">(.*?)</pre>', dom, re.DOTALL)
    assert found, (console, dom[-500:])
    result: dict[str, Any] = json.loads(found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
    assert result["errors"] == [] and console == [], (result, console)
    return result


def mixed(count: int) -> tuple[list[Prediction], list[Prediction]]:
    """Samples of all tasks and two runs; the second is mostly better."""
    before, after = [], []
    for number in range(1, count + 1):
        kind = number % 5
        prompt, ref, wrong = [
            ("OCR:", f"মার্চ {number} ক্ষমা", f"মর্চ {number} ক্ষমা"),
            ("OCR:", f"שלום {number} עולם", f"שלם {number} עולם"),
            ("Table Recognition:", TABLE.replace("a", str(number)), TABLE),
            ("Formula Recognition:", rf"\[\frac{{{number}}}{{x}}\]", rf"\[\frac{{{number}}}{{y}}\]"),
            ("Chart Recognition:", f"Year | Sales\n{number} | 7", f"Year | Sales\n{number} | 8"),
        ][kind]
        first = Prediction(number, f"{number % 7}.png", prompt, ref, wrong)
        last = replace(first, pred=ref if number % 3 else wrong)
        if number == 10:
            last = replace(last, pred="", error="503: overloaded " + ATTACK)
        elif number == 15:
            last = replace(last, pred=ref + " আবার" * 100, finish_reason="length")
        elif number == 20:
            last = replace(last, pred="")
        before.append(first)
        after.append(last)
    return before, after


@pytest.fixture
def page(tmp_path: Path) -> Callable[[int], Path]:
    def write(count: int) -> Path:
        for number in range(7):
            Image.new("RGB", (120 + 10 * number, 40), (200, 220 - 20 * number, 255)).save(tmp_path / f"{number}.png")
        before, after = mixed(count)
        write_report(
            tmp_path / "report.html",
            title="t " + ATTACK,
            data=gather([("base", before), (f"tuned {ATTACK}", after)], base=tmp_path),
            base=tmp_path,
            notes=[(ATTACK, ATTACK)],
        )
        return tmp_path / "report.html"

    return write


def test_five_thousand_samples(
    chromium: str, page: Callable[[int], Path], record_property: Callable[[str, object], None]
) -> None:
    act = """
      seen.all = count(); seen.rows = rows(); seen.first = chosen();
      const box = document.getElementById("list"); box.scrollTop = 2000 * 72; box.dispatchEvent(new Event("scroll"));
      await wait();  // a page without frames gets no event of its own
      seen.deep = rows();
      seen.middle = Number(document.querySelector("#list [role=option]").getAttribute("aria-posinset"));
      seen.size = document.querySelector("[aria-setsize]").getAttribute("aria-setsize");
      type("4999"); await wait(); seen.found = count(); seen.id = chosen();"""
    path = page(5000)
    dom, console = browse(chromium, path.parent, path.as_uri(), "--dump-dom")  # by a true clock
    opened = re.search(r'<html[^>]* data-ready="(\d+)"', dom)
    assert opened and console == [], (console, dom[:500])
    print(f"{path.stat().st_size / 1e6:.1f} MB opened in {opened[1]} ms")  # noqa: T201  (wanted, whatever the load)
    record_property("opened_ms", opened[1])
    found = seen(chromium, path, act)
    assert found["all"] == 5000 and found["size"] == "5000"
    assert 10 < found["rows"] < 60 and 10 < found["deep"] < 60 and found["middle"] > 1900
    assert found["found"] == 1 and found["id"] == "#4999"


def test_filters_and_orders(chromium: str, page: Callable[[int], Path]) -> None:
    act = """
      const after = async (id, text) => { pick(id, named(id, text));
      await wait();
      const n = count();
      document.getElementById("clear").click();
      await wait();
      return n;
      };
      seen.tables = await after("task", "Tables");
      seen.cut = await after("reason", "cut off");
      seen.loop = await after("reason", "repetition");
      seen.empty = await after("reason", "empty");
      seen.lost = await after("reason", "lost"); seen.better = await after("change", "better than base");
      seen.worse = await after("change", "worse than base"); seen.wrong = await after("change", "only wrong");
      seen.slice = await after("slice", "Hebrew"); seen.all = count();
      pick("sort", "number");
      await wait();
      seen.first = chosen();
      press("list", "End");
      seen.last = chosen();
      press("list", "ArrowUp");
      seen.up = chosen();
      press("list", "Home"); press("list", "ArrowDown"); seen.down = chosen();
      press("list", "Enter");
      seen.inside = document.activeElement.id;
      press("detail", "Escape");
      seen.outside = document.activeElement.id;
      seen.active = document.getElementById("list").getAttribute("aria-activedescendant");
      seen.selected = document.querySelector("[aria-selected=true]").id;
      pick("sort", "longest"); await wait(); pick("sort", "change"); await wait(); seen.change = chosen();
      pick("sort", "worst"); await wait(); seen.worst = chosen(); press("list", "End"); seen.end = chosen();
      seen.told = document.getElementById("detail").textContent.includes("lost: 503: overloaded <" + "/script>");
      type("no such text");
      await wait();
      seen.none = count();
      seen.nothing = document.getElementById("detail").textContent;
      document.getElementById("clear").click(); await wait();
      document.querySelector("button[data-words]").click();
      await wait();
      seen.edit = count();
      seen.chip = !document.getElementById("chip").hidden;
      document.getElementById("chip").click(); await wait(); seen.back = count();"""
    found = seen(chromium, page(60), act)
    assert (found["tables"], found["cut"], found["empty"], found["lost"], found["slice"], found["all"]) == (
        12,
        1,
        1,
        1,
        12,
        60,
    )
    assert found["loop"] == 1 and found["better"] > 20 and found["worse"] >= 1 and 10 < found["wrong"] < 40
    assert (found["first"], found["last"], found["up"], found["down"]) == ("#1", "#60", "#59", "#2")
    assert (found["inside"], found["outside"]) == ("detail", "list")
    assert found["active"] == found["selected"] and found["active"].startswith("row")
    assert found["worst"] == "#15" and found["end"] == "#10" and found["told"]
    assert found["none"] == 0 and "Loosen the filters" in found["nothing"]
    assert found["chip"] and 0 < found["edit"] < 60 and found["back"] == 60


def test_answers_are_drawn(chromium: str, page: Callable[[int], Path]) -> None:
    act = """
      const one = async number => { type("#" + number);
      pick("sort", "number");
      await wait();
      document.getElementById("clear").click();
      await wait();
      pick("sort", "number");
      await wait();
      press("list", "Home");
      for (let i = 1;
      i < number;
      i++) press("list", "ArrowDown");
      await wait();
      return document.getElementById("detail"); };
      let at = await one(2);
      seen.cells = at.querySelectorAll("table.grid td").length;
      seen.marked = at.querySelectorAll("td.m1").length;
      seen.picture = at.querySelector("img").naturalWidth;
      at = await one(3);
      seen.math = at.querySelectorAll("math mfrac").length;
      seen.space = at.querySelector("mfrac").namespaceURI;
      at = await one(5); seen.del = [...at.querySelectorAll("del")].map(node => node.textContent);
      seen.ins = [...at.querySelectorAll("ins")].map(node => node.textContent);
      at = await one(6); seen.direction = getComputedStyle(at.querySelector(".text")).direction;
      seen.loaded = performance.getEntriesByType("resource").map(entry => entry.name)
        .filter(name => !name.startsWith("data:"));
      seen.links = [...document.querySelectorAll("[href], [src]")]
        .map(node => node.getAttribute("href") || node.getAttribute("src"))
        .filter(text => !/^(#|data:image|\\.\\/)/.test(text));
      seen.markup = document.querySelectorAll("img[src=x], script:not([type]):not(:first-of-type)").length;
      seen.title = document.title;"""
    found = seen(chromium, page(8), act)
    assert (found["cells"], found["marked"]) == (
        12,
        1,
    )  # a cell of base's, and none of tuned's, which is right; the truth's marks are tuned's
    assert found["picture"] == 140
    assert found["math"] == 3 and found["space"] == "http://www.w3.org/1998/Math/MathML"
    assert found["del"] == ["মা"] and found["ins"] == ["ম"]
    assert found["direction"] == "rtl"
    assert found["loaded"] == found["links"] == [] and found["markup"] == 1  # the script of the page itself
    assert found["title"] == "t " + ATTACK


def test_what_nobody_can_see_is_shown(chromium: str, tmp_path: Path) -> None:
    """An override that turns what follows it around, and a space without width, which is a whole error."""
    preds = [
        Prediction(1, "none.png", "OCR:", "a\u202eb c", "a\u202eb\u200b c"),
        Prediction(2, "none.png", "Table Recognition:", "<fcel>a\u200bb<nl>", "<fcel>ab<nl>"),
    ]
    write_report(tmp_path / "report.html", title="t", data=gather([("x", preds)], base=tmp_path), base=tmp_path)
    act = """
      const shown = name => [...document.querySelectorAll("#detail " + name)].map(node => node.textContent);
      pick("sort", "number"); await wait(); seen.codes = shown(".code"); seen.ins = shown("ins");
      press("list", "ArrowDown"); await wait(); seen.cells = shown("td");"""
    found = seen(chromium, tmp_path / "report.html", act)
    assert found["codes"] == ["U+202E", "U+202E", "U+200B"] and found["ins"] == ["U+200B"]
    assert found["cells"] == ["aU+200Bb", "aU+200Bbab"]


@pytest.mark.parametrize(
    ("name", "size", "words"),
    [
        ("light", "1400,2600", ()),
        ("dark", "1400,2600", ("--blink-settings=preferredColorScheme=0",)),
        ("narrow", "420,3200", ()),
    ],
)
def test_pictures_of_the_page(
    chromium: str, page: Callable[[int], Path], tmp_path: Path, name: str, size: str, words: tuple[str, ...]
) -> None:
    KEPT.mkdir(parents=True, exist_ok=True)
    shot = KEPT / f"report-{name}.png"
    shot.unlink(missing_ok=True)
    _, console = browse(
        chromium, tmp_path, page(60).as_uri(), PATIENT, f"--screenshot={shot}", f"--window-size={size}", *words
    )
    assert console == []
    with Image.open(shot) as image:
        assert image.size == tuple(map(int, size.split(",")))
        colours = image.convert("RGB").getcolors(1 << 24) or []
        paper = max(colours)[1]
        assert isinstance(paper, tuple) and (sum(paper) < 200 if name == "dark" else sum(paper) > 700)
        assert len(colours) > 200  # something is drawn on it
