"""gates.yaml: strict, in words, and what was not measured was not kept."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_compare import change, invoke, of, runs
from waiting import cpu_limit

from sft.errors import UsageError
from sft.evaluation.compare import Comparison, compare
from sft.evaluation.gates import judge, load_gates, parse_key
from sft.runtime.runner import Runner


def gates(folder: Path, text: str) -> Path:
    path = folder / "gates.yaml"
    path.write_text(text, "utf-8")
    return path


@pytest.fixture
def found(tmp_path: Path) -> Comparison:
    """Text got better, tables worse."""
    return of(runs(tmp_path, tables=0.8))


def verdicts(folder: Path, found: Comparison, text: str) -> list[tuple[str, bool]]:
    return [(outcome.gate, outcome.passed) for outcome in judge(load_gates(gates(folder, text)), found)]


def test_limits(tmp_path: Path, found: Comparison) -> None:
    text = """
cer: {max: 0.05}
ocr.exact: {min: 0.8, min_delta: 0}
table.teds: {min_delta: -0.01}
script=Bengali.cer: {max: 1}
source=photos.exact: {min: 1}
lost: {max: 0}
"""
    assert verdicts(tmp_path, found, text) == [
        ("cer", True),
        ("ocr.exact", True),
        ("ocr.exact delta", True),
        ("table.teds delta", False),
        ("script=Bengali.cer", True),
        ("source=photos.exact", False),
        ("lost", True),
        ("lost", True),
    ]


def test_confident_asks_for_the_whole_interval(tmp_path: Path, found: Comparison) -> None:
    line = found.line("task", "ocr", "cer")
    assert line
    limit = (line.scores[1].value + (line.scores[1].high or 1)) / 2
    assert verdicts(tmp_path, found, f"cer: {{max: {limit}}}") == [("cer", True)]
    assert verdicts(tmp_path, found, f"cer: {{max: {limit}, confident: true}}") == [("cer", False)]
    low = (line.deltas[0].value + line.deltas[0].low) / 2
    assert verdicts(tmp_path, found, f"cer: {{min_delta: {low}}}") == [("cer delta", True)]
    assert verdicts(tmp_path, found, f"cer: {{min_delta: {low}, confident: true}}") == [("cer delta", False)]


def test_too_few_samples_show_nothing(tmp_path: Path) -> None:
    """Below 50 samples an interval is no more than a hint, so that nothing can be held against it."""
    few = of(runs(tmp_path, count=60))
    assert verdicts(tmp_path, few, "ocr.cer: {max: 9, min_delta: -9}") == [("ocr.cer", True), ("ocr.cer delta", True)]
    outcomes = judge(
        load_gates(
            gates(
                tmp_path,
                "ocr.cer: {max: 9, min_delta: -9, confident: true}\nforgetting: {max_drop: 1, confident: true, tasks:"
                " [table]}",
            )
        ),
        few,
    )
    assert not any(outcome.passed for outcome in outcomes) and len(outcomes) == 3
    assert all(
        outcome.reason.endswith("for the whole interval, which 30 independent samples cannot show (50 are needed)")
        for outcome in outcomes
    )


def test_forgetting(tmp_path: Path, found: Comparison) -> None:
    assert verdicts(tmp_path, found, "forgetting: {max_drop: 0.02}") == [
        ("forgetting ocr.cer", True),
        ("forgetting table.teds", False),
        ("forgetting formula.similarity", False),
        ("forgetting chart.rms_f1", False),
    ]
    assert verdicts(tmp_path, found, "forgetting: {max_drop: 0.5, confident: true, tasks: [ocr, table]}") == [
        ("forgetting ocr.cer", True),
        ("forgetting table.teds", True),
    ]
    assert verdicts(tmp_path, found, "forgetting: {max_drop: 0.5, tasks: [seal]}") == [("forgetting seal", False)]


def test_what_is_not_there_fails(tmp_path: Path, found: Comparison) -> None:
    outcomes = judge(load_gates(gates(tmp_path, "formula.similarity: {min: 0}\ngroup=nobody.cer: {max: 9}\n")), found)
    reasons = ["no data: no sample has this score", "no data: no slice group=nobody; nothing is sliced by group here"]
    assert [(outcome.passed, outcome.value, outcome.reason) for outcome in outcomes] == [
        (False, None, reason) for reason in reasons
    ]
    outcomes = judge(load_gates(gates(tmp_path, "script=Bengal.cer: {min: 0}\nscript=Bengali.rnss: {min: 0}")), found)
    assert outcomes[0].reason == "no data: no slice script=Bengal; did you mean 'Bengali' ? there are: Latin, Bengali"
    assert outcomes[1].reason.startswith("no data: no sample has this score; script=Bengali have: cer, wer")
    alone = compare([("base", runs(tmp_path)[0])], runner=Runner(workers=1))
    assert verdicts(tmp_path, alone, "cer: {max: 0.9}\nocr.cer: {max_delta: 0}\nforgetting: {max_drop: 1}\n") == [
        ("cer", True),
        ("ocr.cer", False),
        ("forgetting", False),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cre: {max: 0.05}", r"cre: unknown metric 'cre', did you mean 'cer' \?"),
        ("forgeting: {max_drop: 0.05}", r"unknown metric 'forgeting', did you mean 'forgetting' \?"),
        ("tabel.teds: {max: 1}", r"unknown task 'tabel', did you mean 'table' \?"),
        ("scrpt=Latin.cer: {max: 1}", r"unknown slice 'scrpt', did you mean 'script' \?"),
        ("cer: {mx: 1}", r"cer: unknown limit 'mx', did you mean 'max' \?"),
        ("forgetting: {max_dorp: 1}", r"did you mean 'max_drop' \?"),
        ("forgetting: {confident: true}", "max_drop is missing"),
        ("forgetting: {max_drop: -1}", "max_drop must be 0.* or more, found -1"),
        ("forgetting: {max_drop: 1, tasks: [tabel]}", r"unknown task 'tabel', did you mean 'table' \?"),
        ("lost: {max: 0.5}", "max must be a whole number, found 0.5"),
        ("lost: {min: 0}", "unknown limit 'min'"),
        ("cer: {max: .nan}", "cer: max must be a finite number, found nan"),
        ("cer: {max: '0.05'}", "max must be a number, found '0.05'"),
        ("cer: {max: yes}", "max must be a number, found True"),
        ("cer: {max: 1, confident: 1.5}", "confident must be true or false, found 1.5"),
        ("forgetting: {max_drop: 0.1, tasks: table}", "tasks must be a list of tasks, found 'table'"),
        ("forgetting: {max_drop: 0.1, tasks: []}", "tasks must be at least one task"),
        ("forgetting: {max_drop: 2}", r"scores are fractions, did you mean 0.02 \?"),
        ("table.cer: {max: 0.1}", r"table has no cer, did you mean 'table.teds' \? It has: teds, teds_s"),
        ("ocr.teds: {min: 0.1}", r"ocr has no teds, did you mean 'ocr.cer' \?"),
        ("table.teds: {min: 80}", r"min 80: teds is between 0 and 1, did you mean 0.8 \?"),
        ("exact: {min_delta: -2}", r"cannot change by more than 1, did you mean -0.02 \?"),
        ("cer: {max: -0.1}", "max -0.1: cer is never below 0"),
        ("cer: {min: 0.5, max: 0.1}", "min 0.5 is above max 0.1"),
        ("cer: {confident: true}", "cer: no limit in it"),
        ("cer: 0.05", r"limits are expected, such as \{max: 0.05\}, found 0.05"),
        ("a: {}\nb: {}", "a: unknown metric 'a'.*; b: unknown metric 'b'"),
        ("[1]", "no gates in it"),
        ("", "no gates in it"),
        ("a: [", "not YAML"),
        ("a: !!python/object/apply:os.system [x]", "not YAML"),
        ("[" * 3000, "not YAML"),
    ],
)
def test_faults_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_gates(gates(tmp_path, text))


def test_a_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read"):
        load_gates(tmp_path / "no.yaml")
    with pytest.raises(UsageError, match="not YAML"):
        path = tmp_path / "bytes.yaml"
        path.write_bytes(b"\xff\xfe\x00")
        load_gates(path)


def test_keys() -> None:
    assert parse_key("cer") == ("all", "", "cer")
    assert parse_key("table.teds") == ("task", "table", "teds")
    assert parse_key("length=0 to 10, ocr.cer") == ("length", "0 to 10, ocr", "cer")
    assert parse_key("size=0.25 to 1 MP.cer") == ("size", "0.25 to 1 MP", "cer")


def test_the_exit_code(tmp_path: Path) -> None:
    base, tuned = runs(tmp_path)
    good, bad = gates(tmp_path, "cer: {max: 0.5}\nlost: {max: 0}\n"), tmp_path / "bad.yaml"
    bad.write_text("cer: {max: 0.5}\nchart.rms_f1: {min: 0.1}\n")
    done = invoke(f"base={base}", f"tuned={tuned}", "--gate", good)
    assert done.exit_code == 0 and "pass  cer (tuned): 0.0" in done.stdout and "at most 0.5" in done.stdout
    done = invoke(f"base={base}", f"tuned={tuned}", "--gate", bad)
    assert done.exit_code == 1 and "FAIL  chart.rms_f1 (tuned): no data" in done.stdout
    change(tuned, 1, error="503", pred="")
    done = invoke(f"base={base}", f"tuned={tuned}", "--gate", good)
    assert done.exit_code == 1 and "FAIL  lost (tuned): 1 lost, at most 0" in done.stdout


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "a0: &a0 [1]\n"
            + "".join(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9))
            + "cer: *a8\n",
            "an alias",
        ),
        (f"cer: {{max: {'9' * 400}}}", "no score can reach"),
        (f"cer: {{max: {'9' * 5000}}}", "not YAML"),
        ("cer: {max: 0.1}\nwer: {max: 1}\ncer: {max: 0.9}", "duplicate key 'cer'"),
        ("cer: {max: 0.1, max: 0.9}", "duplicate key 'max'"),
        ("cer: [[[[1]]]]", "found a list"),
        ("cer: {max: [1, 2]}", "found a list"),
    ],
)
@cpu_limit(20)
def test_gates_of_a_stranger(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "gates.yaml"
    path.write_text(text, "utf-8")
    with pytest.raises(UsageError, match=said):
        load_gates(path)
