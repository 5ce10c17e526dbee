"""The name of a run's folder: what the data is called, in any script."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from sft.training.config import REHEARSAL, resolve
from sft.training.run_folder import run_name

CONFIG, _ = resolve([("rehearsal", REHEARSAL), ("chosen", {"engine": "paddleformers"})])


def named(name: str) -> str:
    """The part in front of the engine."""
    return run_name(name, "print", CONFIG, "model").rpartition("-paddleformers-")[0]


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("bengali", "bengali"),
        ("বাংলা হিসাব", "বাংলা-হিসাব"),
        ("دفتر_٢", "دفتر_٢"),
        ("发票 2024", "发票-2024"),
        ("a/b\\c\0d\n", "a-b-c-d"),
        ("../..", "data"),
        ("\udcff.x", "x"),
        ("", "data"),
        (unicodedata.normalize("NFD", "été"), "été"),
    ],
)
def test_letters_of_all_scripts_stay(name: str, kept: str) -> None:
    assert named(name) == kept


def test_names_fit_into_a_file_system(tmp_path: Path) -> None:
    for letter in ("a", "ক", "\U00020000"):
        name = run_name(letter * 300, "print", CONFIG, "model")
        (tmp_path / name).mkdir()
        assert len(name.encode()) <= 160 and name.startswith(letter)


def test_other_names_that_look_the_same_are_other_runs() -> None:
    assert len({run_name("x", data, CONFIG, model) for data in "ab" for model in "cd"}) == 4
