"""Which layer wins, where a value came from, what is refused, and that a dump loads back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sft.errors import UsageError
from sft.training.config import REHEARSAL, RunConfig, dump, load_file, resolve

CHOSEN: tuple[str, dict[str, Any]] = ("chosen", {"engine": "erniekit"})


def faults(*layers: tuple[str, dict[str, Any]]) -> str:
    with pytest.raises(UsageError) as caught:
        resolve([CHOSEN, *layers])
    assert caught.value.exit_code == 2
    assert "learning_rate" in str(caught.value.hint)  # the settings there are
    return caught.value.message


def test_later_layers_win_and_are_named() -> None:
    config, origins = resolve(
        [
            CHOSEN,
            ("rehearsal", {"batch": 16, "epochs": 10.0, "workers": 0}),
            ("my.yaml", {"batch": 4, "epochs": 3}),
            ("flag", {"batch": 2, "workers": None}),
        ]
    )
    assert (config.batch, config.epochs, config.workers, config.accum) == (2, 3.0, 0, 8)
    assert {key: origins[key] for key in ("batch", "epochs", "workers", "accum", "engine")} == {
        "batch": "flag",
        "epochs": "my.yaml",
        "workers": "rehearsal",
        "accum": "default",
        "engine": "chosen",
    }
    assert set(origins) == set(RunConfig.model_fields)


def test_a_value_that_is_overridden_need_not_be_good() -> None:
    assert resolve([CHOSEN, ("my.yaml", {"batch": 0}), ("flag", {"batch": 3})])[0].batch == 3


def test_all_faults_at_once() -> None:
    text = faults(
        ("my.yaml", {"lerning_rate": 1e-5, "batch": 0, "colour": "red"}),
        ("flag", {"accum": "8", "engine": "tensorflow"}),
    )
    for part in (
        "my.yaml: unknown setting 'lerning_rate', did you mean 'learning_rate' ?",
        "my.yaml: unknown setting 'colour'",
        "my.yaml: batch is 0: ",
        "--accum is '8': ",
        "--engine is 'tensorflow': ",
    ):
        assert part in text
    assert text.count(";") == 4


def test_an_option_is_named_as_it_is_typed() -> None:
    text = faults(("flag", {"batch": 0, "learning_rate": -1.0, "max_seq_len": 0}))
    assert "--batch is 0: it should be at least 1" in text and "--lr is -1.0: " in text and "--max-seq-len is 0" in text


def test_engine_is_required() -> None:
    with pytest.raises(UsageError, match="engine"):
        resolve([])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("epochs", True),
        ("epochs", "many"),
        ("epochs", float("inf")),
        ("epochs", "inf"),
        ("epochs", 0),
        ("epochs", -1),
        ("epochs", 10**400),
        ("learning_rate", float("nan")),
        ("learning_rate", 1),
        ("learning_rate", "1e"),
        ("learning_rate", [1e-5]),
        ("batch", 2.0),
        ("batch", "2"),
        ("batch", True),
        ("gpus", 0),
        ("max_steps", 0),
        ("model", 5),
        ("model_version", "2.0"),
        ("device", "tpu"),
        ("min_pixels", 100),
        ("seed", -1),
        ("workers", -1),
        ("max_seq_len", 1),
    ],
)
def test_bad_values(key: str, value: Any) -> None:
    assert faults(("my.yaml", {key: value})).startswith(f"my.yaml: {key} is ")


def test_pixel_limits_must_be_in_order() -> None:
    assert "min_pixels is 5000, above max_pixels, which is 4000" in faults(
        ("my.yaml", {"min_pixels": 5000, "max_pixels": 4000})
    )


@pytest.mark.parametrize(
    ("text", "value"), [("5e-6", 5e-6), ("5.0e-6", 5e-6), ("1e-3", 1e-3), ("0.001", 1e-3), ("'1e-3'", 1e-3)]
)
def test_the_usual_way_to_write_a_rate(tmp_path: Path, text: str, value: float) -> None:
    """PyYAML reads 5e-6 as text; everybody writes it, so it is taken for the number that it is."""
    path = tmp_path / "my.yaml"
    path.write_text(f"learning_rate: {text}\nepochs: 1e1\n")
    config, origins = resolve([CHOSEN, (str(path), load_file(path))])
    assert (config.learning_rate, config.epochs, origins["learning_rate"]) == (value, 10.0, str(path))


def test_rehearsal_is_a_configuration() -> None:
    config, origins = resolve([("rehearsal", REHEARSAL)])
    assert (config.engine, config.model, config.device) == ("paddleformers", "tiny", "cpu")
    assert origins["seed"] == "default"


def test_config_is_frozen() -> None:
    config, _ = resolve([CHOSEN])
    with pytest.raises(ValueError, match="frozen"):
        config.batch = 3


optional = st.none() | st.integers(784, 10**7)
configs = st.fixed_dictionaries(
    {
        "engine": st.sampled_from(["erniekit", "paddleformers"]),
        "model": st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
        "model_version": st.sampled_from(["0.9B", "1.5", "1.6"]),
        "device": st.sampled_from(["gpu", "cpu"]),
        "epochs": st.floats(0, 1e6, exclude_min=True),
        "batch": st.integers(1, 10**9),
        "learning_rate": st.floats(0, 1, exclude_min=True, exclude_max=True),
        "max_steps": st.none() | st.integers(1, 10**9),
        "max_pixels": optional,
        "seed": st.integers(0, 2**63),
    }
)


@settings(
    max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None
)
@given(configs, st.text(st.characters(exclude_categories=["C"])))
def test_dump_loads_back(tmp_path: Path, values: dict[str, Any], origin: str) -> None:
    config, origins = resolve([(origin, values)])
    path = tmp_path / "config.yaml"
    path.write_text(dump(config, origins), "utf-8")
    again, _ = resolve([("again", load_file(path))])
    assert again == config


def test_dump_names_origins_and_meanings() -> None:
    config, origins = resolve([CHOSEN, ("a\n\tb", {"batch": 3})])
    lines = dump(config, origins).splitlines()
    assert len(lines) == len(RunConfig.model_fields) + 1
    assert "batch: 3  # a b; B: samples per micro-step (ERNIEKit: packing_size)" in lines
    assert "learning_rate: 5.0e-06  # default; peak; 5e-6 suits full tuning at 64 samples per update" in lines
    assert all(field.description for field in RunConfig.model_fields.values())


@pytest.mark.parametrize(
    ("text", "part"), [("- a\n", "found a list"), ("a: [", "not YAML"), ("5\n", "found a int"), ("a: \x00", "not YAML")]
)
def test_files_that_are_no_settings(tmp_path: Path, text: str, part: str) -> None:
    path = tmp_path / "my.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=part) as caught:
        load_file(path)
    assert caught.value.where == str(path)


def test_other_files(tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    path.write_bytes(b"model: caf\xe9")
    with pytest.raises(UsageError, match="not YAML"):
        load_file(path)
    with pytest.raises(UsageError, match="cannot read this configuration"):
        load_file(tmp_path / "none.yaml")
    with pytest.raises(UsageError, match="cannot read this configuration"):
        load_file(tmp_path)
    path.write_text("# only a comment\n")
    assert load_file(path) == {}
    path.write_text("5: x\n")
    assert load_file(path) == {"5": "x"}
