"""YAML without aliases and without keys that stand twice; otherwise that of PyYAML."""

from __future__ import annotations

import pytest
import yaml
from places import ROOT

from sft.files import plain_yaml


def test_what_ships_reads_as_before() -> None:
    files = [*ROOT.glob("configs/**/*.y*ml"), *ROOT.glob("eval/**/*.y*ml"), *ROOT.glob("datasets/*/dataset.yaml")]
    assert len(files) > 5
    for path in files:
        text = path.read_text("utf-8")
        assert plain_yaml.load(text) == yaml.safe_load(text), path


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: &x 1\nb: *x", "alias"),
        ("a: 1\na: 2", "duplicate key 'a'"),
        ("a: {b: 1, c: 2, b: 3}", "duplicate key 'b'"),
        ("&a [*a]", "alias"),
    ],
)
def test_what_is_refused(text: str, said: str) -> None:
    with pytest.raises(yaml.YAMLError, match=said):
        plain_yaml.load(text)


def test_nothing_is_made_of_tags() -> None:
    with pytest.raises(yaml.YAMLError):
        plain_yaml.load("!!python/object/apply:os.system ['true']")
