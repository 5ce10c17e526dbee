"""What all answers of a set have in common, and answers to different pictures cannot: seen before a score is believed.

A model whose picture never arrives says the same to every prompt; a tokenizer that lacks the bytes of a script writes
U+FFFD into every answer; a wrong template or a chat model begins every answer alike; a model that never learned a
script writes none of it. Each gives a score, and the score says nothing of the reason.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from sft.evaluation.scores import task_of
from sft.markup import scripts
from sft.metrics import text as texts
from sft.types import Prediction, Task

FEWEST_ANSWERS = 5  # fewer may have anything in common
NEARLY_ALL = 0.9  # of the answers
AS_USUAL = 0.5  # where as many references have it too, it is what the task looks like
BEGINNING = 8  # code points
SHOWN_TEXT = 40  # characters of an answer in a sentence

AlarmKind = Literal["replaced", "empty", "same", "begin_alike", "no_script"]


class Alarm(NamedTuple):
    """`hits` of `n` answers; `text` is the whole sentence."""

    kind: AlarmKind
    hits: int
    n: int
    text: str


def alarms_of(preds: Sequence[Prediction]) -> list[Alarm]:
    """What is wrong with the set as a whole, the gravest first; nothing of fewer than FEWEST_ANSWERS answers.

    Lost answers are left out.
    """
    answered = [pred for pred in preds if not pred.error]
    if len(answered) < FEWEST_ANSWERS:
        return []
    same = list(_same(answered))
    return [
        *_replaced(answered),
        *same,
        *(() if same else _begin_alike(answered)),
        *(() if same else _no_script(answered)),
    ]


def _sentence(kind: AlarmKind, count: int, n: int, rest: str) -> Alarm:
    return Alarm(kind, count, n, f"{count:,} of {n:,} answers {rest}")


def _replaced(preds: Sequence[Prediction]) -> Iterator[Alarm]:
    """Answers with U+FFFD, where the references have none."""
    count = sum(texts.REPLACEMENT in pred.pred for pred in preds)
    usual = sum(texts.REPLACEMENT in pred.ref for pred in preds)
    if _stands_out(count, usual, len(preds)):
        yield _sentence(
            "replaced",
            count,
            len(preds),
            "hold U+FFFD, bytes that are no text: the tokenizer or the server's way of decoding is not the model's",
        )


def _same(preds: Sequence[Prediction]) -> Iterator[Alarm]:
    """Answers that are one text for each prompt, where the references are not."""
    by_prompt: dict[str, list[Prediction]] = defaultdict(list)
    for pred in preds:
        by_prompt[pred.prompt].append(pred)
    groups = [group for group in by_prompt.values() if len(group) >= FEWEST_ANSWERS]
    n = sum(len(group) for group in groups)
    if not n:
        return
    most = [Counter(pred.pred.strip() for pred in group).most_common(1)[0] for group in groups]
    usual = sum(Counter(pred.ref.strip() for pred in group).most_common(1)[0][1] for group in groups)
    count = sum(number for _, number in most)
    if not _stands_out(count, usual, n):
        return
    text = max(most, key=lambda item: item[1])[0]
    if not text:
        yield _sentence("empty", count, n, "are empty: look at the server's log and at its chat template")
        return
    each = "" if len(groups) == 1 else " for each prompt"
    yield _sentence(
        "same",
        count,
        n,
        f"are the same text{each} ({_quoted(text)}), whatever the picture shows: the picture does not reach the model",
    )


def _begin_alike(preds: Sequence[Prediction]) -> Iterator[Alarm]:
    """Answers that begin with one phrase, where the references do not."""
    beginnings = Counter(pred.pred.lstrip()[:BEGINNING] for pred in preds)
    phrase, count = beginnings.most_common(1)[0]
    usual = sum(pred.ref.lstrip().startswith(phrase) for pred in preds)
    if len(phrase) == BEGINNING and _stands_out(count, usual, len(preds)):
        yield _sentence(
            "begin_alike",
            count,
            len(preds),
            f"begin alike ({_quoted(phrase)}), which {usual:,} of the references do: another model, or another template"
            " than the one it was trained with",
        )


def _no_script(preds: Sequence[Prediction]) -> Iterator[Alarm]:
    """Scripts of the references that no answer has a letter of. Letters of formulas are names of commands."""
    of_script: dict[str, list[Prediction]] = defaultdict(list)
    for pred in preds:
        script = None if task_of(pred.prompt) == Task.FORMULA.value else texts.main_script(pred.ref)
        if script:
            of_script[script].append(pred)
    for script, group in of_script.items():
        written = any(script in scripts(pred.pred) for pred in group)
        if len(group) >= FEWEST_ANSWERS and not written:
            yield Alarm(
                "no_script",
                len(group),
                len(group),
                f"none of the {len(group):,} answers to {script} texts holds a letter of that script",
            )


def _stands_out(count: int, usual: int, n: int) -> bool:
    return count >= NEARLY_ALL * n and usual < AS_USUAL * n


def _quoted(text: str) -> str:
    line = " ".join(text.split())
    return f"“{line[:SHOWN_TEXT]}{'…' if len(line) > SHOWN_TEXT else ''}”"
