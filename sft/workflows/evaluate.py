"""Serve a model directory, ask it for the held-out rows, score the raw answers; and the same through Transformers."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from sft import __version__, report, serving
from sft.datasets import fingerprint as data_fingerprint
from sft.errors import ProblemsFound, SftError, UsageError
from sft.evaluation import Pairs, facts, read_rows, require, results
from sft.evaluation import conditions as run_conditions
from sft.files import new_folder_beside, read_samples, read_table, sha256, write_json
from sft.inference import (
    AnswerCache,
    EndpointKind,
    PreparedSample,
    Served,
    client,
    content_hash,
    predict,
    prepare,
    probe_servers,
    scheduler,
)
from sft.metrics import METRICS
from sft.models import MANIFEST, ModelVersion
from sft.report import ReportData, gather
from sft.training import RUNS
from sft.types import Prediction
from sft.workflows import suites

TRAINED_ON = "trained_on_these_rows"  # of the conditions in results.json, where it is so
TENSORBOARD = Path("tensorboard/eval")  # within a run, beside the curves of training
PARTS = ("train", "val", "test")
HASH_SHOWN = 6  # digits


def side_by_side(
    runs: Sequence[tuple[str, Sequence[Prediction]]],
    data: Path,
    *,
    pairs: Sequence[Pairs] | None = None,
    steps: Mapping[str, int] | None = None,
) -> ReportData:
    """Runs over one data file for the reports, sliced by what its rows say; those of a suite have their set as
    `source`.

    runs: (name, predictions), the base first; pairs: of each, as `results.scored` gives them, if the caller has them;
    steps: name → training step, 0 for what training starts from. Errors as of `gather`.
    """
    rows = read_rows(data)
    labels: dict[int, dict[str, str]] = {}
    for pred in (pred for _, preds in runs for pred in preds):
        if pred.id not in labels:
            labels[pred.id] = facts(
                prompt=pred.prompt, ref=pred.ref, image=pred.image, row=rows.get(pred.id), base=data.parent
            ).slices
    known = (
        None if pairs is None or any(unscored for _, unscored in pairs) else [pairs_of_run for pairs_of_run, _ in pairs]
    )  # charts without their library are scored as text there, and said so
    return gather(runs, pairs=known, labels=labels, steps=steps)


def images_of(paths: Sequence[Path]) -> Path:
    """The folder that the images of predictions count from, by the results.json beside one of them; the current one
    where none tells.
    """
    for path in paths:
        data = run_conditions.beside(path).get("data")
        if isinstance(data, dict) and Path(str(data.get("path"))).is_file():
            return Path(str(data["path"])).parent
    return Path()


def trained_on(model_dir: Path | None, data: Path) -> bool:
    """Whether the rows are the very file that a model was trained on, as its export says."""
    with suppress(SftError, AttributeError):
        rows = read_table(model_dir / MANIFEST).get("data") if model_dir else None
        return rows is not None and rows.get("sha256") == sha256(data)
    return False


def run_of(model_dir: Path | None) -> tuple[Path, int] | None:
    """The run that a model directory was exported from, and its training step; None where it is of no run that is
    still there.
    """
    try:
        account = read_table(model_dir / MANIFEST) if model_dir else {}
    except SftError:
        return None
    name = account.get("run")
    step = account.get("checkpoint", account.get("max_steps"))
    if model_dir is None or not isinstance(name, str) or type(step) is not int:
        return None
    near = (model_dir.resolve().parent, RUNS / name)
    return next(
        ((folder, step) for folder in near if folder.name == name and (folder / "config.yaml").is_file()),
        None,
    )


def write_curves(folder: Path, data: ReportData, say: Callable[[str], None]) -> None:
    """The scores as points of TensorBoard, where that is installed; without it the other results are not lost."""
    try:
        report.write_tensorboard(folder, data)
    except UsageError as error:
        say(f"no TensorBoard scalars: {error.message}" + (f" ({error.hint})" if error.hint else ""))
    else:
        say(f"TensorBoard scalars in {folder}")


ANSWERS = "answers.jsonl"


@dataclass(frozen=True)
class EvalRequest:
    """What `sft eval` is told. urls: servers that share the work; concurrency: most requests in flight per server;
    None: as many as it bears.

    sampling: fields of `predict.Sampling` that are settled; they go before a suite's. Greedy, with answers of up to
    half of the server's context, where nobody says otherwise. suite: DATA is its file then. cache: where answers are
    kept, by default answers.jsonl in `out`; fresh: forget them first.
    guarded: results of another model or of other data that stand in `out` are not overwritten, unless `fresh` says so.
    """

    data: Path
    urls: tuple[str, ...]
    out: Path
    model: str | None = None
    name: str = ""
    kind: EndpointKind = "chat"
    api_key: str | None = None
    concurrency: int | None = None
    timeout: float = client.TIMEOUT
    patience: float = scheduler.PATIENCE
    suite: suites.ReadySuite | None = None
    reports: bool = False  # whether report.html and its kin are written too
    cache: Path | None = None
    fresh: bool = False
    guarded: bool = False
    model_dir: Path | None = None  # what is served, where the caller has started the server
    model_hash: str = ""
    sampling: Mapping[str, Any] = field(default_factory=dict)
    conditions: Mapping[str, Any] = field(default_factory=dict)
    metrics: tuple[str, ...] = ()  # scores beyond the usual ones: of `sample_scores.EXTRAS`


def run_evaluation(
    order: EvalRequest,
    *,
    on_done: Callable[[Prediction], None] = lambda _: None,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Ask running servers for every row; writes predictions.jsonl, results.json and, if ordered, the reports into
    `order.out`.

    Gives what results.json holds. Scores of a model that was exported from a run stand beside its training curves then.
    What earlier runs were told is not asked again. EngineError: no server answers, or not one answer came. UsageError,
    ProblemsFound: as `predict.predict`.
    """
    extras = {
        *order.metrics,
        *(order.suite.suite.extras if order.suite else ()),
    }
    require(extras)
    samples = list(read_samples(order.data))
    predict.require_answers(samples)
    if not samples:
        raise ProblemsFound("no rows", where=str(order.data), hint="give a file with samples")
    options = predict.options(order.concurrency, predict.Waits(order.timeout, patience=order.patience))
    served = probe_servers(
        [client.Endpoint(url, order.model, order.api_key, order.kind) for url in order.urls],
        model_hash=order.model_hash,
    )
    for url, why in served.silent.items():
        say(f"{url} is not used: {why}")
    if order.guarded and not order.fresh:
        _refuse_others(order, served)
    default = _default(order, served)
    rules = (
        {
            name: replace(order.suite.suite.sampling_of(name, default), **order.sampling)
            for name in order.suite.suite.sets
        }
        if order.suite
        else {}
    )
    set_of = order.suite.set_of if order.suite else {}
    prepared = prepare(
        samples,
        order.data.parent,
        lambda line: rules[set_of[line]] if rules else default,
    )
    path = order.cache or order.out / ANSWERS
    if order.fresh:
        path.unlink(missing_ok=True)
    with AnswerCache(path) as cache:
        if cache.damaged:
            say(f"{path}: damaged lines that are asked again: {cache.damaged}")
        done = predict.ask(prepared, served, options, cache=cache, on_done=on_done)
    if done.cached:
        say(
            f"{done.cached} answer{'s are' if done.cached > 1 else ' is'} reused from before"
            + (
                ""
                if served.known_by == "directory"
                else f", by the served name {served.endpoint.model}; --fresh asks again"
            )
        )
    pairs = results.scored(done.preds, extras)
    described = _described(order, default, rules, served, prepared, done, pairs)
    predict.write_predictions(order.out / "predictions.jsonl", done.preds)
    write_json(order.out / "results.json", described)
    if described["conditions"].get(TRAINED_ON):
        say("caution: the model was trained on these very rows; the scores say nothing about others")
    if order.reports:
        _report(
            order,
            described,
            done.preds,
            pairs,
            run_of(order.model_dir or served.directory),
            say,
        )
    return described


def _refuse_others(order: EvalRequest, served: Served) -> None:
    """UsageError where `out` holds results of another model or other data: a name that is given twice would lose them
    without a word.
    """
    path = order.out / "results.json"
    differ: list[str] = []
    with suppress(SftError, KeyError, TypeError, OSError, ValueError):
        earlier = run_conditions.beside(path)
        now = results.asked(served)
        then = earlier["endpoint"]
        if Path(earlier["data"]["path"]).resolve() != order.data.resolve():
            differ.append(f"other data ({earlier['data']['path']}, not {order.data})")
        if (then["model"], then["known_by"]) != (now.model, now.known_by) or (
            now.known_by == "directory" and then["fingerprint"] != now.fingerprint
        ):
            differ.append(f"another model ({then['model']} {then['fingerprint']}, not {now.model} {now.fingerprint})")
    if differ:
        raise UsageError(
            f"it holds the results of {' and of '.join(differ)}",
            where=str(path),
            hint="give another --name or -o; --fresh overwrites them",
        )


def _report(
    order: EvalRequest,
    described: Mapping[str, Any],
    preds: list[Prediction],
    pairs: results.Pairs,
    run: tuple[Path, int] | None,
    say: Callable[[str], None],
) -> None:
    """The reports of one run, and its points beside the training curves."""
    suite = order.suite.suite if order.suite else None
    title = (suite.title or suite.name) if suite else order.data.name
    steps = {described["name"]: run[1]} if run else None
    data = side_by_side(
        [(described["name"], preds)],
        order.data,
        pairs=[pairs],
        steps=steps,
    )
    notes = [
        ("server", described["server"] or described["endpoint"]["url"]),
        ("model", described["endpoint"]["model"]),
        ("data", str(order.data)),
    ]
    report.write_all(
        order.out,
        data,
        title=title,
        base=order.data.parent,
        notes=notes,
    )
    if run:
        write_curves(
            run[0] / TENSORBOARD / _curve_name(order, described["data"]["sha256"]) / f"step-{run[1]}",
            data,
            say,
        )


def _default(order: EvalRequest, served: Served) -> client.Sampling:
    """What holds where a suite says nothing. UsageError for numbers that make no sense."""
    context = served.servers[0].max_model_len
    longest = (
        serving.ANSWER_TOKENS if context is None else max(1, min(serving.ANSWER_TOKENS, context // 2))
    )  # the other half is for image and prompt
    sampling = served.heard(replace(client.Sampling(longest), **order.sampling))
    if sampling.max_tokens < 1 or sampling.temperature < 0:
        raise UsageError(
            f"max_tokens {sampling.max_tokens} must be above 0, temperature {sampling.temperature:g} not below"
        )
    if sampling.min_pixels and sampling.max_pixels and sampling.min_pixels > sampling.max_pixels:
        raise UsageError(f"min_pixels {sampling.min_pixels} is above max_pixels {sampling.max_pixels}")
    return sampling


def _described(
    order: EvalRequest,
    sampling: client.Sampling,
    rules: Mapping[str, client.Sampling],
    served: Served,
    prepared: list[PreparedSample],
    done: predict.Pass,
    pairs: results.Pairs,
) -> dict[str, Any]:
    ready = order.suite
    directory = order.model_dir or served.directory
    sets = (
        {
            name: results.SetPart(
                results.Counts(0, 0, 0),
                {},
                path=str(ready.sources[name]),
                sha256=sha256(ready.sources[name]),
                rule=rule.model_dump(exclude_none=True),
                sampling=asdict(rules[name]),
            )
            for name, rule in ready.suite.sets.items()
        }
        if ready
        else {}
    )
    seeds = {name: rule.seed for name, rule in ready.suite.sets.items()} if ready else {}
    return results.as_json(
        results.build(
            done.preds,
            data=results.Data(str(order.data), sha256(order.data), content_hash(prepared)),
            asking=results.Asking(
                results.asked(served),
                sampling,
                results.pixels_of(sampling, directory),
                results.template_of(directory, served.servers[0]),
                results.versions(served),
            ),
            suite=results.SuiteSets(ready.suite.name, sets, ready.set_of) if ready else None,
            course=results.RunRecord(
                order.name,
                done.stopped,
                results.timing_of(done.preds, asked=done.asked, kept=done.cached, retries=done.retries),
                sum(item.sample.turns - 1 for item in prepared),
                seeds | ({"sampling": sampling.seed} if sampling.seed is not None else {}),
            ),
            conditions={**order.conditions, **({TRAINED_ON: True} if trained_on(directory, order.data) else {})},
            pairs=pairs,
        )
    )


def conditions_of(data: Path, max_tokens: int | None, suite: suites.ReadySuite | None = None) -> dict[str, Any]:
    """What decides the scores of a model, its fingerprint apart; max_tokens None: as the server's context allows."""
    conditions: dict[str, Any] = {
        "data": data_fingerprint(data),
        "max_tokens": max_tokens,
        "skip_special_tokens": client.Sampling(1).skip_special_tokens,
        "workbench": __version__,
        "metrics": {name: metric.version for name, metric in METRICS.items()},
    }
    return conditions | ({"suite": suite.suite.model_dump(exclude_none=True)} if suite else {})


def scored_before(out: Path, conditions: Mapping[str, Any]) -> dict[str, Any] | None:
    """What results.json in `out` holds, if no answer is lost there and its conditions are the same as far as
    `conditions` says; else None.
    """
    earlier = run_conditions.beside(out / "predictions.jsonl")
    then = earlier.get("conditions")
    counts = earlier.get("counts")
    same = (
        isinstance(then, dict)
        and all(key in then and then[key] == value for key, value in conditions.items())
        and ("suite" in then) == ("suite" in conditions)
    )
    whole = isinstance(counts, dict) and counts.get("lost") == 0
    return earlier if same and whole and (out / "predictions.jsonl").is_file() else None


def _take_over(other: Path, out: Path) -> None:
    """A copy of an evaluation in the place of `out`, there as a whole or not at all."""
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = new_folder_beside(out)
    try:
        shutil.copytree(other, temporary, dirs_exist_ok=True)
        shutil.rmtree(out, ignore_errors=True)  # what a stopped evaluation left
        os.replace(temporary, out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _curve_name(order: EvalRequest, data_hash: str) -> str:
    """Of the points in TensorBoard: two sets whose files have one name are two curves, as are a set and its next
    version.
    """
    path = order.data
    name = path.parent.name if path.stem in PARTS else path.stem  # a folder says more than "test"
    return order.suite.suite.name if order.suite else f"{name}-{data_hash[:HASH_SHOWN]}"


@dataclass(frozen=True)
class ModelToScore:
    """A model directory that is served for its score. fingerprint: of its files (`sft.models.fingerprint`); options:
    asked for when a server is started.
    """

    directory: Path
    version: ModelVersion
    fingerprint: str
    options: Callable[[], serving.ServerOptions]


@dataclass(frozen=True)
class Listeners:
    """Who hears of an evaluation: of each prediction, of what is said, and of the server's address before it stops."""

    on_done: Callable[[Prediction], None]
    say: Callable[[str], None]
    while_served: Callable[[str], None] = lambda _: None


def evaluate_model(
    model: ModelToScore,
    data: Path,
    out: Path,
    listeners: Listeners,
    *,
    sampling: Mapping[str, Any],
    conditions: Mapping[str, Any] | None = None,
    suite: suites.ReadySuite | None = None,
    elsewhere: Iterable[Path] | None = (),
) -> dict[str, Any]:
    """Serve, evaluate, stop. Reuses what is there when model, data and sampling are the same.

    sampling: as in `EvalRequest`. conditions: of `conditions_of`, if the caller has them. elsewhere: folders of other
    evaluations, of which one of the same kind is taken over; None: nothing is reused, here neither.
    """
    say = listeners.say
    conditions = {
        "fingerprint": model.fingerprint,
        **(conditions or conditions_of(data, sampling.get("max_tokens"), suite)),
    }
    if elsewhere is not None and (earlier := scored_before(out, conditions)):
        say("already scored, nothing has changed")
        return earlier
    for other in elsewhere or ():
        if earlier := scored_before(other, conditions):
            say(f"the same model has answered the same rows in {other}: its answers are taken over")
            _take_over(other, out)
            return earlier
    with serving.serving(model.directory, model.version, model.options(), log=out / "server.log", say=say) as url:
        order = EvalRequest(
            data,
            (url,),
            out,
            model=model.version.served_name,
            name=out.name,
            model_dir=model.directory,
            model_hash=model.fingerprint,
            conditions=conditions,
            sampling=sampling,
            suite=suite,
            fresh=elsewhere is None,
        )
        results = run_evaluation(order, on_done=listeners.on_done, say=say)
        listeners.while_served(url)
        return results
