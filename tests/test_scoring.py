"""Two loaders, one answer: what counts as equal, as rounding, and as a fault."""

from __future__ import annotations

from sft.scoring import TIE, Parity, compare


def test_equal_undecided_and_different() -> None:
    answers = [{"text": "১", "margin": 9.0}, {"text": "২", "margin": TIE / 2}, {"text": "৩", "margin": 7.0}]
    assert compare(answers, ["১", "২", "৩"]) == Parity(3, 3, 0)
    found = compare(answers, ["১", "২২", "৩"])
    assert found == Parity(3, 2, 1) and found.ok and "1 undecided" in str(found)
    found = compare(answers, ["১", "২", "৩৩"])
    assert found == Parity(3, 2, 0) and not found.ok and str(found) == "2 of 3"
