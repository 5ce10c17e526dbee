"""Serve a model directory, ask it for the held-out rows, score the raw answers; and the same through Transformers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from sft import __version__, serve
from sft.data import fingerprint as data_fingerprint
from sft.errors import ProblemsFound, SftError, UsageError
from sft.evaluation import conditions as told
from sft.evaluation import outputs, predict, report, results, suites
from sft.evaluation.cache import AnswerCache, Prepared, content_hash, prepare
from sft.evaluation.client import Kind
from sft.evaluation.extras import require
from sft.evaluation.servers import Served, survey
from sft.jsonl import read_samples, sha256, write_json
from sft.launch import run_json
from sft.metrics import METRICS
from sft.models import ModelVersion
from sft.types import Prediction

PARITY_WORKER = Path(__file__).parent / "workers" / "transformers_answers.py"
PARITY_SAMPLES = 8
ANSWERS = "answers.jsonl"
TIE = 0.5  # logits; float32 kernels of the two differ by up to 0.4 on images that a model cannot read


@dataclass(frozen=True)
class Order:
    """What `sft eval` is told. urls: servers that share the work; concurrency: most requests in flight per server; None: as many as it bears.

    sampling: fields of `predict.Sampling` that are settled; they go before a suite's. Greedy, with answers of up to half of the server's
    context, where nobody says otherwise. suite: DATA is its file then. cache: where answers are kept, by default answers.jsonl in `out`; fresh: forget them first.
    guarded: results of another model or of other data that stand in `out` are not overwritten, unless `fresh` says so.
    """

    data: Path
    urls: tuple[str, ...]
    out: Path
    model: str | None = None
    name: str = ""
    kind: Kind = "chat"
    api_key: str | None = None
    concurrency: int | None = None
    timeout: float = predict.TIMEOUT
    patience: float = predict.PATIENCE
    suite: suites.Ready | None = None
    reports: bool = False  # whether report.html and its kin are written too
    cache: Path | None = None
    fresh: bool = False
    guarded: bool = False
    model_dir: Path | None = None  # what is served, where the caller has started the server
    model_hash: str = ""
    sampling: Mapping[str, Any] = field(default_factory=dict)
    conditions: Mapping[str, Any] = field(default_factory=dict)
    metrics: tuple[str, ...] = ()  # scores beyond the usual ones: of `sample_scores.EXTRAS`


def evaluate(order: Order, *, on_done: Callable[[Prediction], None] = lambda _: None, say: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Ask running servers for every row; writes predictions.jsonl, results.json and, if ordered, the reports into `order.out`.

    Gives what results.json holds. Scores of a model that was exported from a run stand beside its training curves then.
    What earlier runs were told is not asked again. EngineError: no server answers, or not one answer came. UsageError, ProblemsFound:
    as `predict.predict`.
    """
    extras = {*order.metrics, *(order.suite.suite.extras if order.suite else ())}
    require(extras)
    samples = list(read_samples(order.data))
    predict.require_answers(samples)
    if not samples:
        raise ProblemsFound("no rows", where=str(order.data), hint="give a file with samples")
    options = predict.options(order.concurrency, order.timeout, order.patience)
    served = survey([predict.Endpoint(url, order.model, order.api_key, order.kind) for url in order.urls], model_hash=order.model_hash)
    for url, why in served.silent.items():
        say(f"{url} takes no part: {why}")
    if order.guarded and not order.fresh:
        _refuse_others(order, served)
    default = _default(order, served)
    rules = {name: replace(order.suite.suite.sampling_of(name, default), **order.sampling) for name in order.suite.suite.sets} if order.suite else {}
    set_of = order.suite.set_of if order.suite else {}
    prepared = prepare(samples, order.data.parent, lambda line: rules[set_of[line]] if rules else default)
    path = order.cache or order.out / ANSWERS
    if order.fresh:
        path.unlink(missing_ok=True)
    with AnswerCache(path) as cache:
        if cache.damaged:
            say(f"{path}: {cache.damaged} damaged lines are asked again")
        done = predict.ask(prepared, served, options, cache=cache, on_done=on_done)
    if done.cached:
        say(f"{done.cached} answers are known from before" + ("" if served.known_by == "directory" else f", by the served name {served.endpoint.model}; --fresh asks again"))
    pairs = results.scored(done.preds, extras)
    found = _described(order, default, rules, served, prepared, done, pairs)
    predict.write_predictions(order.out / "predictions.jsonl", done.preds)
    write_json(order.out / "results.json", found)
    if order.reports:
        _report(order, found, done.preds, pairs, outputs.run_of(order.model_dir or served.directory), say)
    return found


def _refuse_others(order: Order, served: Served) -> None:
    """UsageError where `out` holds results of another model or other data: a name that is given twice would lose them without a word."""
    path = order.out / "results.json"
    differ: list[str] = []
    with suppress(SftError, KeyError, TypeError, OSError, ValueError):
        earlier = told.beside(path)
        now, then = results.asked(served), earlier["endpoint"]
        if Path(earlier["data"]["path"]).resolve() != order.data.resolve():
            differ.append(f"other data ({earlier['data']['path']}, not {order.data})")
        if (then["model"], then["known_by"]) != (now.model, now.known_by) or (now.known_by == "directory" and then["fingerprint"] != now.fingerprint):
            differ.append(f"another model ({then['model']} {then['fingerprint']}, not {now.model} {now.fingerprint})")
    if differ:
        raise UsageError(f"it holds the results of {' and of '.join(differ)}", where=str(path), hint="give another --name or -o; --fresh overwrites them")


def _report(order: Order, found: Mapping[str, Any], preds: list[Prediction], pairs: results.Pairs, run: tuple[Path, int] | None, say: Callable[[str], None]) -> None:
    """The reports of one run, and its points beside the training curves."""
    suite = order.suite.suite if order.suite else None
    title = (suite.title or suite.name) if suite else order.data.name
    steps = {found["name"]: run[1]} if run else None
    data = outputs.side_by_side([(found["name"], preds)], order.data, pairs=[pairs], steps=steps)
    notes = [("server", found["server"] or found["endpoint"]["url"]), ("model", found["endpoint"]["model"]), ("data", str(order.data))]
    report.write_all(order.out, data, title=title, base=order.data.parent, notes=notes)
    if run:
        outputs.write_curves(run[0] / outputs.TENSORBOARD / (suite.name if suite else order.data.stem) / f"step-{run[1]}", data, say)


def _default(order: Order, served: Served) -> predict.Sampling:
    """What holds where a suite says nothing. UsageError for numbers that make no sense."""
    context = served.servers[0].max_model_len
    longest = serve.ANSWER_TOKENS if context is None else max(1, min(serve.ANSWER_TOKENS, context // 2))  # the other half is for image and prompt
    sampling = replace(predict.Sampling(longest), **order.sampling)
    if sampling.max_tokens < 1 or sampling.temperature < 0:
        raise UsageError(f"max_tokens {sampling.max_tokens} must be above 0, temperature {sampling.temperature:g} not below")
    if sampling.min_pixels and sampling.max_pixels and sampling.min_pixels > sampling.max_pixels:
        raise UsageError(f"min_pixels {sampling.min_pixels} is above max_pixels {sampling.max_pixels}")
    return sampling


def _described(order: Order, sampling: predict.Sampling, rules: Mapping[str, predict.Sampling], served: Served, prepared: list[Prepared], done: predict.Pass, pairs: results.Pairs) -> dict[str, Any]:
    ready = order.suite
    directory = order.model_dir or served.directory
    sets = {
        name: results.SetPart(
            results.Counts(0, 0, 0), {}, path=str(ready.sources[name]), sha256=sha256(ready.sources[name]), rule=rule.model_dump(exclude_none=True), sampling=asdict(rules[name]),
        ) for name, rule in ready.suite.sets.items()
    } if ready else {}  # fmt: skip
    seeds = {name: rule.seed for name, rule in ready.suite.sets.items()} if ready else {}
    return results.as_json(results.build(
        done.preds, data=results.Data(str(order.data), sha256(order.data), content_hash(prepared)), endpoint=results.asked(served), sampling=sampling,
        pixels=results.pixels_of(sampling, directory), template=results.template_of(directory, served.servers[0]), server=results.versions(served),
        name=order.name, suite=ready.suite.name if ready else "", sets=sets, set_of=ready.set_of if ready else None, stopped=done.stopped,
        timing=results.timing_of(done.preds, asked=done.asked, kept=done.cached, retries=done.retries),
        turns_not_scored=sum(item.sample.turns - 1 for item in prepared), seeds=seeds | ({"sampling": sampling.seed} if sampling.seed is not None else {}), conditions=order.conditions, pairs=pairs,
    ))  # fmt: skip


def conditions_of(data: Path, max_tokens: int | None, suite: suites.Ready | None = None) -> dict[str, Any]:
    """What decides the scores of a model, its fingerprint apart; max_tokens None: as the server's context allows."""
    found: dict[str, Any] = {"data": data_fingerprint(data), "max_tokens": max_tokens, "workbench": __version__, "metrics": {name: metric.version for name, metric in METRICS.items()}}
    return found | ({"suite": suite.suite.model_dump(exclude_none=True)} if suite else {})


def scored_before(out: Path, conditions: Mapping[str, Any]) -> dict[str, Any] | None:
    """What results.json in `out` holds, if no answer is lost there and its conditions are the same as far as `conditions` says; else None."""
    earlier = told.beside(out / "predictions.jsonl")
    then, counts = earlier.get("conditions"), earlier.get("counts")
    same = isinstance(then, dict) and all(key in then and then[key] == value for key, value in conditions.items()) and ("suite" in then) == ("suite" in conditions)
    whole = isinstance(counts, dict) and counts.get("lost") == 0
    return earlier if same and whole and (out / "predictions.jsonl").is_file() else None


def evaluate_model(model_dir: Path, version: ModelVersion, data: Path, out: Path, options: serve.ServerOptions, *, sampling: Mapping[str, Any], fingerprint: str,
                   conditions: Mapping[str, Any] | None = None, suite: suites.Ready | None = None, on_done: Callable[[Prediction], None], say: Callable[[str], None]) -> dict[str, Any]:  # fmt: skip
    """Serve, evaluate, stop. Reuses what is there when model, data and sampling are the same.

    sampling: as in `Order`. conditions: of `conditions_of`, if the caller has them.
    """
    conditions = {"fingerprint": fingerprint, **(conditions or conditions_of(data, sampling.get("max_tokens"), suite))}
    if earlier := scored_before(out, conditions):
        say("already scored, nothing has changed")
        return earlier
    with serve.serving(model_dir, version, options, log=out / "server.log", say=say) as url:
        order = Order(data, (url,), out, model=version.served_name, name=out.name, model_dir=model_dir, model_hash=fingerprint, conditions=conditions, sampling=sampling, suite=suite)
        return evaluate(order, on_done=on_done, say=say)


@dataclass(frozen=True)
class Parity:
    """How many of the `asked` answers Transformers gave in the same words as vLLM. `undecided`: other words, but at some
    token the two best were closer than TIE, so that rounding decides; a model that has learned little does that."""

    asked: int
    equal: int
    undecided: int

    @property
    def ok(self) -> bool:
        """Whether nothing but rounding differs."""
        return self.equal + self.undecided == self.asked

    def __str__(self) -> str:
        more = f" ({self.undecided} undecided: rounding decides between tokens closer than {TIE:g})" if self.undecided else ""
        return f"{self.equal} of {self.asked}{more}"


def parity(model_dir: Path, data: Path, preds: list[Prediction], *, server_python: str, max_tokens: int, log: Path) -> Parity:
    """Read the first held-out images through Transformers and compare with what vLLM answered.

    The directory's own chat template, processor and generation_config.json are used, so a file that only one of the
    two loaders minds shows here.
    """
    samples = [(line, sample) for line, sample in read_samples(data) if len(sample.prompt_images) == 1][:PARITY_SAMPLES]
    order = [{"image": str((data.parent / sample.prompt_images[0].image_url).resolve()), "prompt": sample.prompt} for _, sample in samples]
    lines = run_json(
        [server_python, str(PARITY_WORKER), str(model_dir.resolve()), str(max_tokens)], stdin=json.dumps(order).encode(), log=log,
        env={"HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONUTF8": "1"}, what="reading through Transformers",
    )  # fmt: skip
    answers = [json.loads(line) for line in lines if line.startswith('{"text"')]
    if len(answers) != len(order):
        raise ProblemsFound(f"Transformers gave {len(answers)} answers to {len(order)} images", where=str(log))
    return compare(answers, [next((pred.pred for pred in preds if pred.id == line), "") for line, _ in samples])


def compare(answers: list[dict[str, Any]], preds: list[str]) -> Parity:
    """Count equal answers, and different ones that rounding explains."""
    pairs = list(zip(answers, preds, strict=True))
    equal = sum(answer["text"] == pred for answer, pred in pairs)
    undecided = sum(answer["text"] != pred and answer["margin"] < TIE for answer, pred in pairs)
    return Parity(len(pairs), equal, undecided)
