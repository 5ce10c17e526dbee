"""`sft compare`: paired, incomplete where answers are lost, every task of the base model named."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from sft.cli import sft as command
from sft.errors import ProblemsFound, UsageError
from sft.evaluation.compare import Comparison, compare, verdict_of
from sft.evaluation.estimates import Measured, corrected
from sft.evaluation.slices import FEWEST, facts, members, read_rows
from sft.files.atomic import sha256
from sft.inference.predict import write_predictions
from sft.models.versions import MODELS
from sft.runtime.runner import Runner
from sft.types import Prediction

ONE = Runner(workers=1)
OTSL = "<fcel>name<fcel>{0}<nl><fcel>total<fcel>{1}<nl>"
PROMPTS = {"ocr": "OCR:", "table": "Table Recognition:"}


def wrong(text: str, chance: random.Random) -> str:
    """One letter or digit of it changed."""
    place = chance.choice([index for index, character in enumerate(text) if character.isdigit()])
    return f"{text[:place]}x{text[place + 1 :]}"


def runs(
    folder: Path, *, base: float = 0.3, tuned: float = 0.1, tables: float = 0.3, count: int = 200
) -> tuple[Path, Path]:
    """Two files: text, with a share of wrong answers in both, and tables, wrong as often as `base` in the first run."""
    chance = random.Random(5)
    found: list[list[Prediction]] = [[], []]
    for number in range(1, count + 1):
        task = "ocr" if number % 2 else "table"
        ref = (
            OTSL.format(number, number * 7)
            if task == "table"
            else f"{'মোট' if number % 3 else 'Total'} {number} {number * 13}"
        )
        image = f"{'photos' if number % 5 < 2 else 'scans'}/{number}.png"
        for column, rate in enumerate((base, tuned if task == "ocr" else tables)):
            answer = wrong(ref, chance) if chance.random() < rate else ref
            found[column].append(Prediction(number, image, PROMPTS[task], ref, answer))
    paths = folder / "base.jsonl", folder / "tuned.jsonl"
    for path, preds in zip(paths, found, strict=True):
        write_predictions(path, preds)
    return paths


def change(path: Path, number: int, **fields: Any) -> None:
    """One prediction of a file with other fields."""
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    rows[number - 1] |= fields
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def of(paths: tuple[Path, Path], **more: Any) -> Comparison:
    return compare([("base", paths[0]), ("tuned", paths[1])], runner=ONE, **more)


def test_better_text_and_forgotten_tables(tmp_path: Path) -> None:
    found = of(runs(tmp_path, tables=0.8))
    assert (found.complete, found.samples, found.n) == (True, 200, 200)
    line = found.line("task", "ocr", "cer")
    assert line and line.n == 100 and not line.few
    delta = line.deltas[0]
    assert delta.verdict == "better" and delta.low <= delta.value <= delta.high < 0 and delta.p < 0.05
    assert delta.value == pytest.approx(line.scores[1].value - line.scores[0].value)
    assert delta.wins > delta.losses and delta.wins + delta.losses + delta.ties == 100
    verdicts = {row.task: row.verdict for row in found.forgetting}
    assert verdicts == {"ocr": "better", "table": "worse", "formula": "no data", "chart": "no data"}
    table = next(row for row in found.forgetting if row.task == "table")
    assert table.drop and table.drop_low and table.drop > table.drop_low > 0 and table.metric == "teds"
    assert found.tasks_without_data == ("formula", "chart")
    everything = found.line("all", "", "exact")
    assert everything and everything.n == 200
    assert found.line("all", "", "cer") is None  # what one task alone has stands there


def test_the_tasks_are_those_of_the_base_model(tmp_path: Path) -> None:
    found = of(runs(tmp_path, count=60), version=MODELS["1.6"])
    assert found.tasks_without_data == ("formula", "chart", "spotting", "seal")


def test_equal_runs_show_nothing(tmp_path: Path) -> None:
    path, _ = runs(tmp_path)
    found = of((path, path))
    for line in found.lines:
        assert line.deltas[0].value == 0 and line.deltas[0].p == 1 and line.deltas[0].low <= 0 <= line.deltas[0].high
        assert line.deltas[0].verdict in ("no evidence", "too few samples") and line.deltas[0].ties == line.n


def test_too_few_samples_are_said_to_be_too_few(tmp_path: Path) -> None:
    found = of(runs(tmp_path, base=0.2, tuned=0.15, count=36))
    line = found.line("task", "ocr", "cer")
    assert line and line.few and line.deltas[0].verdict == "too few samples"


def test_a_lost_answer_is_no_zero(tmp_path: Path) -> None:
    whole = of(runs(tmp_path))
    paths = runs(tmp_path)
    change(paths[1], 7, error="no answer within 120 s", pred="")
    found = of(paths)
    assert not found.complete and found.n == 199
    assert [(run.answered, run.lost) for run in found.runs] == [(200, 0), (199, 1)]
    before, after = whole.line("task", "ocr", "cer"), found.line("task", "ocr", "cer")
    assert before and after and after.n == before.n - 1
    assert abs(after.scores[1].value - before.scores[1].value) < 0.002
    shorter = paths[1].read_text("utf-8").splitlines(keepends=True)[:150]
    paths[1].write_text("".join(shorter), "utf-8")
    assert [run.lost for run in of(paths).runs] == [0, 51]


def test_the_order_of_rows_does_not_matter(tmp_path: Path) -> None:
    paths = runs(tmp_path)
    before = of(paths)
    rows = paths[1].read_text("utf-8").splitlines(keepends=True)
    paths[1].write_text("".join(reversed(rows)), "utf-8")
    after = of(paths)
    assert after.lines == before.lines
    assert after.runs[1].sha256 != before.runs[1].sha256


def test_other_data_is_an_error_in_words(tmp_path: Path) -> None:
    paths = runs(tmp_path)
    for field in ("ref", "image", "prompt"):
        changed = runs(tmp_path)
        change(changed[1], 3, **{field: "other"})
        with pytest.raises(
            UsageError,
            match=(
                rf"different data: sample 3: its {'reference' if field == 'ref' else field} is 'other' in tuned"
                r" and .* in base"
            ),
        ):
            of(changed)
    paths = runs(tmp_path)
    paths[1].write_text(paths[1].read_text("utf-8") * 2, "utf-8")
    with pytest.raises(ProblemsFound, match="sample 1 has two answers"):
        of(paths)
    paths[1].write_text('{"id": "x"}\n', "utf-8")
    with pytest.raises(ProblemsFound, match="not a prediction"):
        of(paths)
    with pytest.raises(UsageError, match="different names"):
        compare([("a", paths[0]), ("a", paths[0])], runner=ONE)
    paths[1].write_text("", "utf-8")
    with pytest.raises(ProblemsFound, match="no sample has an answer in every run"):
        of(paths)


def data_file(folder: Path, preds: Path, **meta: Any) -> Path:
    rows = []
    for line in preds.read_text("utf-8").splitlines():
        pred = json.loads(line)
        texts = [{"text": pred["prompt"], "tag": "mask"}, {"text": pred["ref"], "tag": "no_mask"}]
        said = {"group": f"book {pred['id'] // 20}", "source": "press" if pred["id"] <= 120 else "web"} | meta
        rows.append(
            json.dumps(
                {
                    "image_info": [{"image_url": pred["image"], "matched_text_index": 0}],
                    "text_info": texts,
                    "meta": said,
                }
            )
        )
    path = folder / "test.jsonl"
    path.write_text("".join(row + "\n" for row in rows), "utf-8")
    return path


def test_data_gives_sources_and_documents(tmp_path: Path) -> None:
    paths = runs(tmp_path)
    data = data_file(tmp_path, paths[0])
    found = of(paths, data=data)
    assert {line.name for line in found.lines if line.scope == "source"} == {"press", "web"}
    line = found.line("source", "press", "cer")
    assert line and line.n == 60 and line.independent == 6
    whole = found.line("all", "", "exact")
    assert whole and (whole.n, whole.independent, whole.few) == (200, 11, True)
    data.write_text("".join(data.read_text("utf-8").splitlines(keepends=True)[:150]), "utf-8")
    with pytest.raises(UsageError, match=r"base has an answer to sample 151, and .*test.jsonl has no such sample"):
        of(paths, data=data)
    data.write_text("{}\n", "utf-8")
    with pytest.raises(ProblemsFound, match=r"not a sample"):
        of(paths, data=data)


def test_a_source_is_what_rows_share(tmp_path: Path) -> None:
    """Converters say of each row where it stood: that is no slice."""
    path = tmp_path / "rows.jsonl"
    row = {
        "image_info": [{"image_url": "a.png", "matched_text_index": 0}],
        "text_info": [{"text": "OCR:", "tag": "mask"}, {"text": "x", "tag": "no_mask"}],
    }
    given = ["labels.txt:12#3", "synth:table:0:12", "mm10.xml#L1", "lines"]
    path.write_text(
        "".join(json.dumps(row | {"source": source}) + "\n" for source in given)
        + json.dumps(row | {"meta": {"source": "printed"}, "source": "x:1"})
        + "\n",
        "utf-8",
    )
    assert [row.source for row in read_rows(path).values()] == [
        "labels.txt",
        "synth:table:0",
        "mm10.xml",
        "lines",
        "printed",
    ]


def test_slices(tmp_path: Path) -> None:
    paths = runs(tmp_path)
    found = of(paths)
    scopes = {(line.scope, line.name) for line in found.lines}
    assert {("source", "photos"), ("source", "scans"), ("script", "Bengali"), ("script", "Latin")} <= scopes
    assert not any(scope == "group" for scope, _ in scopes)
    assert sum(line.n for line in found.lines if line.scope == "source" and line.metric == "exact") == 200
    clear = of(runs(tmp_path, base=0.95, tuned=0.05, tables=0.05, count=400))
    for scope in ("task", "script", "source"):  # each is a family of its own
        assert any(
            delta.p_holm < 0.001 and delta.verdict == "better"
            for line in clear.lines
            if line.scope == scope
            for delta in line.deltas
        )
    families = [delta for line in found.lines if line.scope == "source" for delta in line.deltas]
    assert all(delta.p_holm >= delta.p for delta in families)


def test_facts_of_a_sample(tmp_path: Path) -> None:
    import cv2
    import numpy as np

    (tmp_path / "photos").mkdir()
    cv2.imwrite(str(tmp_path / "photos" / "1.png"), np.zeros((200, 600), np.uint8))
    found = facts(prompt="Table Recognition:", ref="<fcel>মোট<nl>", image="photos/1.png", base=tmp_path)
    assert (found.task, found.slices) == (
        "table",
        {"source": "photos", "length": "0 to 200, table", "script": "Bengali", "size": "0.05 to 0.25 MP"},
    )
    assert "size" not in facts(prompt="OCR:", ref="1", image="gone.png", base=tmp_path).slices
    assert "script" not in facts(prompt="Formula Recognition:", ref="x", image="a.png").slices
    assert facts(prompt="OCR:", ref="x" * 400, image="a.png").slices["length"] == "from 301, ocr"
    few = [found] * (FEWEST - 1) + [replace(found, slices={"source": "scans"})] * FEWEST
    assert members(few) == {("source", "scans"): list(range(FEWEST - 1, 2 * FEWEST - 1))}
    assert members([found] * 50) == {}  # one value is no slicing
    path = data_file(tmp_path, runs(tmp_path, count=2)[0], source=["no", "name"], group=None)
    assert [(row.source, row.group) for row in read_rows(path).values()] == [("", "")] * 2


def test_what_else_differs_is_noted(tmp_path: Path) -> None:
    for name, tokens in (("a", 1024), ("b", 4096)):
        (tmp_path / name).mkdir()
        path, _ = runs(tmp_path, count=40)
        path.rename(tmp_path / name / "predictions.jsonl")
        (tmp_path / name / "results.json").write_text(
            json.dumps({"sampling": {"max_tokens": tokens}, "data": {"sha256": "1"}})
        )
    found = compare([("a", tmp_path / "a"), ("b", tmp_path / "b")], runner=ONE)
    assert found.notes == (
        "a and b have the same answers, to the byte",
        "sampling differs: max_tokens 1024 in a, 4096 in b",
    )


def told(folder: Path, name: str, **fields: Any) -> Path:
    """A run with a results.json beside its predictions."""
    (folder / name).mkdir()
    runs(folder, count=40)[name != "a"].rename(folder / name / "predictions.jsonl")
    (folder / name / "results.json").write_text(json.dumps(fields))
    return folder / name


def told_apart(folder: Path, first: dict[str, Any], second: dict[str, Any]) -> tuple[str, ...]:
    return compare([("a", told(folder, "a", **first)), ("b", told(folder, "b", **second))], runner=ONE).notes


MODEL = {"model": "m", "fingerprint": "f"}
CHANGES: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    (
        {"data": {"content": "1"}, "counts": {"in": 40}},
        {"data": {"content": "2"}, "counts": {"in": 40}},
        "the images differ: a and b were asked about other pictures under the same names",
    ),
    (
        {"pixels": {"min": 1, "max": 20, "origin": "server"}},
        {"pixels": {"min": 1, "max": 30, "origin": "request"}},
        "pixel limits differ: max 20 in a, 30 in b",
    ),
    (
        {"template": {"sha256": "a" * 64}},
        {"template": {"sha256": "b" * 64}},
        "chat template differs: sha256 aaaaaaaaaaaa in a, bbbbbbbbbbbb in b",
    ),
    (
        {"metrics": {"cer": {"version": "1"}}},
        {"metrics": {"cer": {"version": "2"}}},
        "versions of the scores differ: cer 1 in a, 2 in b",
    ),
    (
        {"sets": {"x": {"sampling": {"max_tokens": 5}}}},
        {"sets": {"x": {"sampling": {"max_tokens": 6}}}},
        "set x differs: max_tokens 5 in a, 6 in b",
    ),
    (
        {"endpoint": MODEL | {"known_by": "directory"}},
        {"endpoint": MODEL | {"known_by": "directory"}},
        "the same model answered in a and b (m, fingerprint f)",
    ),
    (
        {"endpoint": MODEL | {"known_by": "name"}},
        {"endpoint": MODEL | {"known_by": "name"}},
        "the same served name in a and b (m): perhaps the same model",
    ),
]


@pytest.mark.parametrize(("first", "second", "note"), CHANGES)
def test_everything_that_differs_is_said(
    tmp_path: Path, first: dict[str, Any], second: dict[str, Any], note: str
) -> None:
    found = told_apart(tmp_path, first, second)
    assert len(found) == 1 and found[0].startswith(note), found


def test_what_is_alike_is_not_said(tmp_path: Path) -> None:
    one = {
        "endpoint": {"model": "m", "fingerprint": "f", "known_by": "name"},
        "pixels": {"max": 20, "origin": "server"},
        "sampling": {"seed": 1},
        "sets": 3,
        "metrics": [1],
    }
    assert (
        told_apart(
            tmp_path,
            one,
            one
            | {
                "endpoint": {"model": "m", "fingerprint": "g", "known_by": "name"},
                "pixels": {"max": 20, "origin": "request"},
            },
        )
        == ()
    )


def test_the_data_that_the_runs_name_give_the_sets(tmp_path: Path) -> None:
    paths = runs(tmp_path)
    data = data_file(tmp_path, paths[0])
    (tmp_path / "results.json").write_text(json.dumps({"data": {"path": str(data), "sha256": sha256(data)}}))
    found = of(paths)
    assert (
        found.data
        and found.data["path"] == str(data)
        and {line.name for line in found.lines if line.scope == "source"} == {"press", "web"}
    )
    out = tmp_path / "out"
    done = invoke(f"base={paths[0]}", f"tuned={paths[1]}", "-o", out)
    assert (
        "by source" in done.stdout
        and "source=press" in done.stdout
        and "## By source" in (out / "report.md").read_text("utf-8")
        and ">By source<" in (out / "report.html").read_text("utf-8")
    )
    for path in paths:  # a run over a part has lost nothing of the rest
        path.write_text("".join(path.read_text("utf-8").splitlines(keepends=True)[:100]), "utf-8")
    assert of(paths).complete and of(paths).samples == 100
    data.write_text(data.read_text("utf-8") + "\n", "utf-8")
    changed = of(paths)
    assert changed.data is None and any("has changed since" in note for note in changed.notes)


def test_bare_answers_are_told_how_they_become_a_run(tmp_path: Path) -> None:
    paths = runs(tmp_path, count=4)
    paths[1].write_text('{"id": 1, "pred": "a"}\n', "utf-8")
    with pytest.raises(
        ProblemsFound, match=r"no reference beside them[\s\S]*python eval/evaluate.py --pred .*tuned.jsonl --data"
    ):
        of(paths)


def test_a_clear_difference_of_few_samples_is_a_hint(tmp_path: Path) -> None:
    found = of(runs(tmp_path, base=1, tuned=0, count=24))
    line = found.line("task", "ocr", "cer")
    assert line and line.n == 12 and line.deltas[0].verdict == "better, few samples" and line.deltas[0].p_holm < 0.05
    done = invoke(f"base={tmp_path / 'base.jsonl'}", f"tuned={tmp_path / 'tuned.jsonl'}", "-o", tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert "better, few samples" in done.stdout and '<li class="few"' in page and '<li class="better"' not in page


def test_the_verdict_is_that_of_all_lines_that_are_looked_at() -> None:
    assert verdict_of(-0.2, -0.1, 0.06, few=False, higher=False) == "no evidence"
    assert verdict_of(-0.2, -0.1, 0.04, few=False, higher=False) == "better"
    assert verdict_of(-0.2, 0.1, 0.001, few=False, higher=False) == "no evidence"
    assert verdict_of(0.1, 0.2, 0.001, few=True, higher=None) == "changed, few samples"


def test_scores_that_are_looked_at_in_passing_hide_no_headline() -> None:
    def item(metric: str, p: float) -> Measured:
        return Measured(metric, 9, (), (), (p,), ())

    assert corrected([item("cer", 0.02), *(item("exact", 0.5) for _ in range(20)), item("teds", 0.03)])[::21] == [
        [0.04],
        [0.04],
    ]


def test_digits_have_a_script_of_their_own() -> None:
    scripts = [
        facts(prompt="OCR:", ref=text, image="a.png").slices["script"]
        for text in ("২৩ ৪৫", "23", "٢٣", "২৩ Total", "୨୩", "２３", "+-")
    ]
    assert scripts == ["Bengali", "no letters", "Arabic", "Latin", "Odia", "no letters", "no letters"]


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(command, ["compare", "--workers", "1", *map(str, arguments)])


def test_the_command(tmp_path: Path) -> None:
    base, tuned = runs(tmp_path, tables=0.8)
    out = tmp_path / "deep" / "folder"
    done = invoke(f"base={base}", f"tuned={tuned}", "-o", out)
    assert done.exit_code == 0, done.output
    assert (
        "forgetting" in done.stdout
        and "no data" in done.stdout
        and "script=Bengali" not in done.stdout
        and "--slices" in done.stdout
    )
    written = json.loads((out / "compare.json").read_bytes())
    assert written["format"] == "sft.compare/1" and written["complete"] is True and len(written["lines"]) > 30
    assert "script=Bengali" in invoke(f"base={base}", f"tuned={tuned}", "--slices").stdout
    printed = json.loads(invoke(f"base={base}", f"tuned={tuned}", "--json").stdout)
    assert printed == written
    three = json.loads(invoke(f"base={base}", f"tuned={tuned}", f"again={tuned}", "--json").stdout)
    assert [run["name"] for run in three["runs"]] == ["base", "tuned", "again"] and len(three["forgetting"]) == 8
    alone = invoke(f"base={base}")
    assert alone.exit_code == 0 and "no data for: formula, chart" in alone.stdout


def test_the_command_says_what_is_wrong(tmp_path: Path) -> None:
    base, tuned = runs(tmp_path, count=40)
    change(tuned, 2, error="503", pred="")
    done = invoke(f"base={base}", f"tuned={tuned}")
    assert done.exit_code == 1 and "INCOMPLETE" in done.stdout and "39 answered + 1 lost" in done.stdout
    done = invoke(str(base))
    assert isinstance(done.exception, UsageError) and "is not a run" in str(done.exception)
    change(base, 2, ref="other")
    assert invoke(f"base={base}", f"tuned={tuned}").exception.exit_code == 2  # type: ignore[union-attr]
    done = invoke(f"base={tmp_path / 'no.jsonl'}")
    assert isinstance(done.exception, UsageError)


def test_scores_that_the_runs_were_asked_for_are_compared(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a", "b")]
    for path in paths:
        write_predictions(
            path / "predictions.jsonl",
            [Prediction(line, "x.png", "OCR:", "abc", "abd", "stop", 0.1, "") for line in range(1, 5)],
        )
    (paths[1] / "results.json").write_text(
        json.dumps({"tasks": {"ocr": {"scores": {"cer": 0.3, "cer_graphemes": 0.3, "evil": 1}}, "x": 5}}), "utf-8"
    )
    found = compare([(path.name, path) for path in paths])
    assert {"cer", "cer_graphemes"} <= {line.metric for line in found.lines} and "evil" not in {
        line.metric for line in found.lines
    }


def test_a_run_that_is_missing_names_those_that_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    none = invoke("base=runs/eval/base", "tuned=runs/eval/tuned")
    assert isinstance(none.exception, UsageError) and "make eval NAME=base" in str(none.exception.hint)
    (tmp_path / "runs" / "eval" / "first").mkdir(parents=True)
    (tmp_path / "runs" / "eval" / "first" / "predictions.jsonl").touch()
    one = invoke("base=runs/eval/base", "tuned=runs/eval/tuned")
    assert isinstance(one.exception, UsageError) and one.exception.hint == "there are: runs/eval/first"
