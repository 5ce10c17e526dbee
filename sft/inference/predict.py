"""Ask served models for every sample: predictions in, whatever falls over on the way.

A request without an answer becomes a `Prediction` with `error` and `reason`, a code of `client.LOST`: lost, never
empty. Every answer is kept in a file as it comes (`sft.inference.answer_cache`), so that the same command goes on where
it stopped, and ends with the same predictions: what takes time or chance (seconds, which server) stands in that file
and not in predictions.jsonl.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import msgspec

from sft.errors import ProblemsFound, UsageError
from sft.files import atomic_write, open_input
from sft.inference.answer_cache import AnswerCache, PreparedSample, prepare
from sft.inference.client import TIMEOUT, Answer, Endpoint, Sampling
from sft.inference.concurrency import MOST, START
from sft.inference.endpoints import Served, probe_servers
from sft.inference.protocols import data_uri
from sft.inference.scheduler import BACKOFF, PATIENCE, Lost, RequestScheduler, SchedulerOptions
from sft.types import Prediction, Sample

__all__ = [
    "BACKOFF",
    "CONCURRENCY",
    "PATIENCE",
    "TIMEOUT",
    "Endpoint",
    "Pass",
    "Sampling",
    "ask",
    "data_uri",
    "options",
    "predict",
    "read_predictions",
    "require_answers",
    "resolve",
    "write_predictions",
]

CONCURRENCY = START  # requests in flight at first; a server batches what arrives together


@dataclass(frozen=True)
class Pass:
    """What one pass brought.

    asked: requests that gave an answer; cached: answers that were there; stopped: why the rest was not asked.
    """

    preds: list[Prediction]
    asked: int
    cached: int
    retries: int
    stopped: str = ""


def resolve(endpoint: Endpoint, *, transport: httpx.AsyncBaseTransport | None = None) -> Endpoint:
    """The same endpoint with the name of a model that the server lists, after it has answered once.

    EngineError: no server there, or it lists nothing and no name was given. UsageError: it does not serve that name.
    """
    return probe_servers([endpoint], transport=transport).endpoint


@dataclass(frozen=True)
class Waits:
    """Seconds: for one answer, before the second try, and without any server before giving up."""

    timeout: float = TIMEOUT
    backoff: float = BACKOFF
    patience: float = PATIENCE


def predict(
    samples: Sequence[tuple[int, Sample]],
    base: Path,
    endpoint: Endpoint | Sequence[Endpoint],
    sampling: Sampling,
    concurrency: int | None = None,
    on_done: Callable[[Prediction], None] | None = None,
    *,
    waits: Waits | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> list[Prediction]:
    """One prediction per (line, sample), in input order; `on_done` hears of each as it comes, in any order.

    base: folder that the images' paths count from. concurrency: most requests in flight per server. waits: how long is
    waited for what.
    transport: `httpx.MockTransport` in tests.
    EngineError: no server there; ProblemsFound: a sample without an answer to compare with; UsageError: a bad number or
    name.
    """
    require_answers(samples)
    chosen = options(concurrency, waits or Waits())
    if sampling.max_tokens < 1:
        raise UsageError(f"max_tokens {sampling.max_tokens} must be above 0")
    served = probe_servers(
        [endpoint] if isinstance(endpoint, Endpoint) else endpoint,
        transport=transport,
    )
    return ask(
        prepare(samples, base, served.heard(sampling)),
        served,
        chosen,
        on_done=on_done,
        transport=transport,
    ).preds


def options(concurrency: int | None, waits: Waits) -> SchedulerOptions:
    """How the scheduler works, checked. concurrency None: as many as a server bears."""
    if (
        (concurrency is not None and concurrency < 1)
        or not 0 < waits.timeout < float("inf")
        or not 0 <= waits.patience < float("inf")
    ):
        raise UsageError(
            f"concurrency {concurrency} and timeout {waits.timeout:g} must be above 0,"
            f" patience {waits.patience:g} not below"
        )
    return SchedulerOptions(
        START,
        MOST if concurrency is None else concurrency,
        waits.timeout,
        waits.backoff,
        waits.patience,
    )


def require_answers(samples: Sequence[tuple[int, Sample]]) -> None:
    """ProblemsFound with the line of a sample that has no reference to compare with."""
    for line, sample in samples:
        if all(text.tag != "no_mask" for text in sample.text_info):
            raise ProblemsFound(
                "a sample without an answer cannot be evaluated",
                where=f"line {line}",
                hint="`sft validate` shows all of them",
            )


def ask(
    prepared: Sequence[PreparedSample],
    served: Served,
    chosen: SchedulerOptions,
    *,
    cache: AnswerCache | None = None,
    on_done: Callable[[Prediction], None] | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> Pass:
    """One prediction per prepared sample, in order.

    Equal questions are asked once; those that `cache` knows are not asked.
    """
    results: list[Prediction | None] = [None] * len(prepared)
    places: dict[str, list[int]] = {}

    def settle(index: int, what: Answer | Lost) -> None:
        results[index] = pred = _prediction(prepared[index], what)
        if on_done:
            on_done(pred)

    for index, item in enumerate(prepared):
        if item.fault:
            settle(index, Lost("answer.image", item.fault))
        else:
            places.setdefault(item.key(served.fingerprint), []).append(index)
    keys = list(places)
    known = {key: answer for key in keys if cache is not None and (answer := cache.get(key))}
    for key, answer in known.items():
        for index in places[key]:
            settle(index, answer)
    asked = 0

    def tell(number: int, what: Answer | Lost, where: str) -> None:
        nonlocal asked
        if isinstance(what, Answer):
            asked += 1
            if cache is not None:
                cache.put(keys[number], what, where)
        for index in places[keys[number]]:
            settle(index, what)

    pool = RequestScheduler(served.servers, chosen, tell, transport)
    questions = [(number, prepared[places[key][0]].question) for number, key in enumerate(keys) if key not in known]
    if questions:
        asyncio.run(pool.run(questions))
    return Pass(
        [pred for pred in results if pred is not None],
        asked,
        len(known),
        pool.retries,
        pool.stopped,
    )


def _prediction(item: PreparedSample, what: Answer | Lost) -> Prediction:
    sample = item.sample
    pred = Prediction(
        id=item.line,
        image=sample.image_info[0].image_url,
        prompt=item.question.prompt,
        ref=sample.ref,
        pred="",
        finish_reason="",
    )
    if isinstance(what, Lost):
        return replace(pred, error=what.message, reason=what.code)
    return replace(
        pred,
        pred=what.text,
        finish_reason=what.finish_reason,
        seconds=what.seconds,
    )


def write_predictions(path: Path, preds: Iterable[Prediction]) -> None:
    """One JSON object per line, written whole or not at all. Without `seconds`: the same answers are the same bytes."""
    with atomic_write(path) as stream:
        for pred in preds:
            row = {
                name: value
                for name, value in msgspec.to_builtins(pred).items()
                if name != "seconds" and (name != "reason" or value)
            }
            stream.write(msgspec.json.encode(row) + b"\n")


def read_predictions(path: Path) -> list[Prediction]:
    """What `write_predictions` wrote. ProblemsFound with the line where a row is something else."""
    decoder = msgspec.json.Decoder(Prediction)
    preds = []
    with open_input(path) as stream:
        for number, line in enumerate(stream, 1):
            try:
                preds.append(decoder.decode(line))
            except msgspec.MsgspecError as error:
                raise ProblemsFound(
                    f"not a prediction: {error}", where=f"{path}:{number}", hint="`sft eval` writes this file"
                ) from error
    return preds
