"""`sft synth`: fit to train, the same bytes again, in parts and on several processes; what cannot be drawn is said."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import pytest
from click.testing import CliRunner
from waiting import PATIENCE

from sft.cli import sft
from sft.errors import EngineError, SftError, UsageError
from sft.models import versions
from sft.synth import generate
from sft.synth.base import Pixels, Setting
from sft.synth.generate import SynthRequest, manifest_path, synth
from sft.validate.context import Context
from sft.validate.file import validate


def fingerprint(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


@pytest.mark.parametrize("task", list(generate.TASKS))
def test_fit_to_train_and_the_same_again(task: str, tmp_path: Path) -> None:
    out = tmp_path / "a" / "drawn.jsonl"
    account = synth(SynthRequest(task, 6, seed=3, degrade="strong"), out)
    report = validate(out, Context(out.parent, versions.get("0.9B"), True, None))
    assert (report.rows, report.errors) == (6, 0)
    assert account["counts"] == {"in": 6, "out": 6, "rejected": 0, "reasons": {}}
    for index, row in enumerate(rows(out)):
        assert row["source"] == f"synth:{task}:3:{index}"
        assert row["image_info"][0]["image_url"] == f"drawn_images/00/{index:06d}.png"
        image = cv2.imread(str(out.parent / row["image_info"][0]["image_url"]))
        assert image is not None and min(image.shape[:2]) >= 28
    synth(SynthRequest(task, 6, seed=3, degrade="strong"), tmp_path / "b" / "drawn.jsonl")
    assert fingerprint(tmp_path / "a") == fingerprint(tmp_path / "b")
    synth(SynthRequest(task, 3, seed=3, degrade="strong"), tmp_path / "c" / "drawn.jsonl")
    assert rows(tmp_path / "c" / "drawn.jsonl") == rows(out)[:3]
    assert all(
        (tmp_path / "c" / "drawn_images" / "00" / f"00000{n}.png").read_bytes()
        == (tmp_path / "a" / "drawn_images" / "00" / f"00000{n}.png").read_bytes()
        for n in range(3)
    )
    synth(SynthRequest(task, 3, seed=4, degrade="strong"), tmp_path / "d" / "drawn.jsonl")
    assert [row["text_info"][1] for row in rows(tmp_path / "d" / "drawn.jsonl")] != [
        row["text_info"][1] for row in rows(tmp_path / "c" / "drawn.jsonl")
    ]


def test_processes_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synth(SynthRequest("text", 130, fonts=("bengali",), workers=1), tmp_path / "a" / "x.jsonl")
    monkeypatch.setattr(generate, "ALONE", 10)
    synth(SynthRequest("text", 130, fonts=("bengali",), workers=2), tmp_path / "b" / "x.jsonl")
    assert fingerprint(tmp_path / "a") == fingerprint(tmp_path / "b")


KILLED = """
import os, signal, sys
from pathlib import Path
from sft.synth.generate import SynthRequest, synth
def stop(done):
    if done >= int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
synth(SynthRequest("text", 120, seed=1, workers=1), Path(sys.argv[1]), on_progress=stop)
"""


@pytest.mark.parametrize("done", [50, 100, 120])
def test_a_killed_run_goes_on(done: int, tmp_path: Path) -> None:
    out = tmp_path / "killed" / "x.jsonl"
    stopped = subprocess.run([sys.executable, "-c", KILLED, str(out), str(done)], check=False, timeout=PATIENCE)
    assert stopped.returncode == -9
    assert not out.exists()
    first = tmp_path / "killed" / "x_images" / "00" / "000000.png"
    before = first.stat().st_mtime_ns
    synth(SynthRequest("text", 120, seed=1), out)
    assert first.stat().st_mtime_ns == before  # it was not drawn again
    synth(SynthRequest("text", 120, seed=1), tmp_path / "whole" / "x.jsonl")
    assert fingerprint(tmp_path / "killed") == fingerprint(tmp_path / "whole")
    assert sorted(path.name for path in out.parent.iterdir()) == ["x.jsonl", "x.manifest.json", "x_images"]


def test_a_run_stopped_in_its_first_part_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "x.jsonl"
    real = generate.picture

    def stopped(task: str, index: int, seed: int, level: str, setting: Setting) -> tuple[Pixels, str]:
        if index == 3:
            raise KeyboardInterrupt
        return real(task, index, seed, level, setting)

    with monkeypatch.context() as patch:
        patch.setattr(generate, "picture", stopped)
        with pytest.raises(KeyboardInterrupt):
            synth(SynthRequest("text", 6, workers=1), out)
    assert (tmp_path / "x_images" / "00" / "000002.png").is_file() and not out.exists()
    assert synth(SynthRequest("text", 6, workers=1), out)["counts"]["out"] == 6
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.jsonl", "x.manifest.json", "x_images"]


def test_what_is_there_is_not_drawn_again_and_other_options_replace_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "x.jsonl"
    account = synth(SynthRequest("text", 4), out)
    with monkeypatch.context() as patch:
        patch.setattr(generate, "_draw_part", None)
        assert synth(SynthRequest("text", 4), out) == account
    synth(SynthRequest("text", 2, seed=9), out)
    assert len(rows(out)) == 2
    assert len(list((tmp_path / "x_images").rglob("*.png"))) == 2
    (tmp_path / "x_images" / "00" / "000001.png").unlink()
    synth(SynthRequest("text", 2, seed=9), out)
    assert (tmp_path / "x_images" / "00" / "000001.png").is_file()


def test_somebody_elses_images_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "x_images").mkdir()
    (tmp_path / "x_images" / "holiday.png").write_bytes(b"mine")
    with pytest.raises(UsageError, match="nothing says that `sft synth` made it"):
        synth(SynthRequest("text", 2), tmp_path / "x.jsonl")
    assert (tmp_path / "x_images" / "holiday.png").read_bytes() == b"mine"


def test_given_texts_are_used_once_before_twice(tmp_path: Path) -> None:
    texts = tmp_path / "texts.txt"
    lines = ["العدد 123 من ABC", "שלום 12", "  Straße   Nr. 5 ", "", "naïve — “quoted”", "bad\x07bell", "lost \ufffd"]
    texts.write_text("\r\n".join(lines), "utf-8")
    account = synth(SynthRequest("text", 8, fonts=("DejaVuSans",), texts=texts), tmp_path / "x.jsonl")
    drawn = [row["text_info"][1]["text"] for row in rows(tmp_path / "x.jsonl")]
    good = {"العدد 123 من ABC", "שלום 12", "Straße Nr. 5", "naïve — “quoted”"}
    assert set(drawn[:4]) == set(drawn[4:]) == good
    assert account["texts"] == {"lines": 7, "used": 4, "skipped": {"target.control": 1, "target.replacement": 1}}


def test_jsonl_texts_for_paragraphs_and_tables(tmp_path: Path) -> None:
    texts = tmp_path / "texts.jsonl"
    texts.write_text(
        '{"text": "one\\n\\ntwo"}\n"three"\n{"text_info": [{"text": "OCR:", "tag": "mask"}, {"text": "four", "tag":'
        ' "no_mask"}]}\n{"text": "a<fcel>"}\n',
        "utf-8",
    )
    synth(SynthRequest("paragraph", 4, texts=texts), tmp_path / "p.jsonl")
    assert {row["text_info"][1]["text"] for row in rows(tmp_path / "p.jsonl")} == {
        "one\ntwo",
        "three",
        "four",
        "a<fcel>",
    }
    account = synth(SynthRequest("table", 4, texts=texts), tmp_path / "t.jsonl")
    assert account["texts"]["skipped"] == {"target.otsl": 1}
    assert any("<fcel>one two" in row["text_info"][1]["text"] for row in rows(tmp_path / "t.jsonl"))


@pytest.mark.parametrize("line", ["{", "[1]", '{"text": 5}', '{"text_info": [{}]}', "[" * 100_000])
def test_rows_without_a_text_are_named(line: str, tmp_path: Path) -> None:
    texts = tmp_path / "texts.jsonl"
    texts.write_text('"fine"\n' + line, "utf-8")
    with pytest.raises(UsageError) as caught:
        synth(SynthRequest("text", 1, texts=texts), tmp_path / "x.jsonl")
    assert caught.value.where == f"{texts}:2"


def test_texts_that_cannot_be_drawn_are_rejected_and_counted(tmp_path: Path) -> None:
    formulas = tmp_path / "formulas.txt"
    formulas.write_text("\\[ \\frac{a}{b} \\]\n\\frac{a\n\\nonsense{x}\n$c^2$\n", "utf-8")
    account = synth(SynthRequest("formula", 4, texts=formulas), tmp_path / "x.jsonl")
    assert account["counts"] == {"in": 4, "out": 2, "rejected": 2, "reasons": {"target.latex": 2}}
    assert {row["text_info"][1]["text"] for row in rows(tmp_path / "x.jsonl")} == {r"\[\frac{a}{b}\]", r"\[c^2\]"}
    rejects = rows(tmp_path / "x.rejects.jsonl")
    assert {reject["raw"] for reject in rejects} == {r"\frac{a", r"\nonsense{x}"}
    assert set(account["outputs"]) == {"x.jsonl", "x.rejects.jsonl"}
    assert json.loads(manifest_path(tmp_path / "x.jsonl").read_bytes()) == account


def test_a_line_too_long_and_a_mark_alone_are_rejected(tmp_path: Path) -> None:
    texts = tmp_path / "texts.txt"
    texts.write_text("fine\n" + "w" * 3000 + "\n", "utf-8")
    account = synth(SynthRequest("text", 2, texts=texts), tmp_path / "x.jsonl")
    assert account["counts"]["reasons"] == {"image.aspect": 1}
    texts.write_text("ি\nকি\n", "utf-8")
    account = synth(SynthRequest("text", 2, fonts=("bengali",), texts=texts), tmp_path / "y.jsonl")
    assert account["counts"]["reasons"] == {"source.shape": 1}


def call(*arguments: str) -> tuple[int, str]:
    """(exit code, error) of a command line."""
    done = CliRunner().invoke(sft, ["synth", *arguments])
    code = done.exception.exit_code if isinstance(done.exception, SftError) else done.exit_code
    return code, str(done.exception or "") + done.output


def test_command_line(tmp_path: Path) -> None:
    out = tmp_path / "x.jsonl"
    done = CliRunner().invoke(
        sft,
        ["synth", "formulas", "-n", "2", "-o", str(out), "--json", "--degrade", "none", "--model", "1.5"],
        catch_exceptions=False,
    )
    assert json.loads(done.stdout)["options"]["model"] == "1.5"
    assert rows(out)[0]["text_info"][0]["text"] == "Formula Recognition:"
    texts = tmp_path / "texts.txt"
    texts.write_text("fine\nকলম 字\n", "utf-8")
    code, error = call(
        "text", "-n", "1", "-o", str(out), "--font", "DejaVuSerif", "--font", "bengali", "--texts", str(texts)
    )
    assert code == 2
    assert (
        f"{texts}:2" in error
        and "'字' (U+5B57)" in error
        and "DejaVuSerif.ttf and NotoSansBengali-Regular.ttf" in error
    )
    assert call("text", "-n", "1", "-o", str(out), "--font", "nothing.ttf")[0] == 2
    assert call("text", "-n", "1", "-o", str(tmp_path / "x.txt"))[0] == 2
    assert call("text", "-n", "1", "-o", str(out), "--font", str(texts))[0] == 2
    assert call("text", "-n", "1", "-o", str(out), "--latex")[0] == 2
    assert call("text", "-n", "1", "-o", str(out), "--texts", str(tmp_path / "none.txt"))[0] == 2
    code, error = call("text", "-n", "1", "-o", str(out), "--font", "DejaVuSansDisplay")
    assert code == 2 and "--texts FILE" in error


def test_latex_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    code, error = call("formula", "-n", "1", "-o", str(tmp_path / "x.jsonl"), "--latex")
    assert code == 3 and "latex and dvipng" in error and "hint" in error


def test_latex_that_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two programs that do what latex and dvipng do: read f.tex, write f.dvi, write a picture of the size asked for."""
    programs = {
        "latex": (
            "import pathlib, sys\nt = pathlib.Path('f.tex').read_text()\nassert '-no-shell-escape' in"
            " sys.argv\npathlib.Path('f.log').write_text('! Undefined control sequence.')\n'wrong' in t and"
            " sys.exit(1)\npathlib.Path('f.dvi').write_text(t)\n"
        ),
        "dvipng": (
            "import sys, cv2, numpy\np = numpy.full((50, 40), 255, numpy.uint8)\np[10:40, 5:30] = 0\nassert"
            " int(sys.argv[sys.argv.index('-D') + 1]) > 100\ncv2.imwrite('f.png', p)\n"
        ),
    }
    for name, text in programs.items():
        (tmp_path / name).write_text(f"#!{sys.executable}\n{text}")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))  # a LaTeX of the machine must not stand in for one that cannot be started
    formulas = tmp_path / "f.txt"
    formulas.write_text("a^2\n\\wrong\n\\input{/etc/passwd}\n")
    account = synth(SynthRequest("formula", 3, texts=formulas, latex=True, degrade="none"), tmp_path / "x.jsonl")
    assert account["counts"]["reasons"] == {"target.latex": 2}
    image = cv2.imread(str(tmp_path / rows(tmp_path / "x.jsonl")[0]["image_info"][0]["image_url"]))
    assert image is not None and image.shape == (30, 28, 3)  # trimmed, and not below a patch
    assert any("Undefined control sequence" in reject["message"] for reject in rows(tmp_path / "x.rejects.jsonl"))
    (tmp_path / "latex").write_text("#!/nowhere\n")
    formulas.write_text("a^2\n")
    with pytest.raises(EngineError, match="cannot be started"):
        synth(SynthRequest("formula", 1, texts=formulas, latex=True), tmp_path / "z.jsonl")
