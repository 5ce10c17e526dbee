"""First labels for pictures that have none: a served model reads them, people correct them.

    sft prelabel photos/ --url URL -o first     →  first/rows.jsonl     samples with the model's answers as labels
                                                   first/images/        the pictures, under names of their own
                                                   first/review.csv, label-studio.json, ppocrlabel/: to correct in
                                                   first/rejects.jsonl  pictures without an answer, with the reason

The files to correct in are those of `sft review`, and the way back is its `--apply`. Pictures in = rows + rejects.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sft.errors import EngineError, ProblemsFound, UsageError
from sft.evaluation import task_of
from sft.files import RejectedRow, atomic, encode, new_folder_beside, ocr_sample, reject_line, write_json
from sft.formats import IMAGE_SUFFIXES
from sft.images import ImageProblem, probe
from sft.inference import AnswerCache, PreparedSample, Served, client, predict, prepare, probe_servers, scheduler
from sft.models import TASK_OF
from sft.serving import ANSWER_TOKENS
from sft.types import Prediction, Sample
from sft.validate import repair
from sft.workflows import corrections
from sft.workflows.review import Reviewed, Suspect, row_hash

ROWS, IMAGES, ACCOUNT, REJECTS = "rows.jsonl", "images", "manifest.json", "rejects.jsonl"
SAFE = frozenset("-_.")  # in the name of a stored picture, beside letters and digits
NAME_CHARACTERS = 60  # of the picture's own name that its stored name keeps


@dataclass(frozen=True)
class PrelabelRequest:
    """What `sft prelabel` is told. images: files and folders; urls: servers that share the work; kinds: which files to
    correct in, of `corrections.KINDS`.
    """

    images: tuple[Path, ...]
    out: Path
    urls: tuple[str, ...]
    prompt: str
    kinds: tuple[str, ...] = ("csv",)
    model: str | None = None
    api_key: str | None = None
    concurrency: int | None = None
    patience: float = scheduler.PATIENCE
    max_tokens: int | None = None
    limit: int | None = None


def pictures(given: Sequence[Path], limit: int | None = None) -> list[Path]:
    """The files themselves, and all pictures below the folders, in the order of their names; each once.

    UsageError: a path that is not there, or no picture at all.
    """
    paths: dict[Path, None] = {}
    for path in given:
        if path.is_dir():
            paths.update(dict.fromkeys(_below(path)))
        elif path.is_file():
            paths[path] = None
        else:
            raise UsageError("there is no such picture or folder", where=str(path))
    if not paths:
        raise UsageError(
            "no pictures here",
            where=str(given[0]),
            hint=f"files that end in {', '.join(IMAGE_SUFFIXES)} are looked for",
        )
    return list(paths)[:limit]


def _below(folder: Path) -> list[Path]:
    return sorted(
        Path(place) / name
        for place, _, names in os.walk(folder)
        for name in names
        if name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith(".")
    )


def prelabel(
    request: PrelabelRequest,
    paths: Sequence[Path],
    *,
    on_done: Callable[[Prediction], None] = lambda _: None,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Ask for every picture, and write the folder `request.out`, whole or not at all; gives its account.

    Answers are kept beside the folder until it is written: the same call goes on. UsageError: the folder is there, or
    a bad number. EngineError: no server, or all servers went away. ProblemsFound: not one answer came.
    """
    if request.out.exists():
        raise UsageError(
            "this path already exists",
            where=str(request.out),
            hint="corrections in it would be overwritten: give another -o, or remove it",
        )
    options = predict.options(request.concurrency, predict.Waits(patience=request.patience))
    served = probe_servers([client.Endpoint(url, request.model, request.api_key) for url in request.urls])
    for url, why in served.silent.items():
        say(f"{url} is not used: {why}")
    cached = request.out.with_name(f"{request.out.name}.answers.jsonl")
    request.out.absolute().parent.mkdir(parents=True, exist_ok=True)
    prepared = _prepared(request, paths, served)
    with AnswerCache(cached) as cache:
        done = predict.ask(prepared, served, options, cache=cache, on_done=on_done)
    if done.cached:
        say(f"{done.cached} answer{'s are' if done.cached > 1 else ' is'} reused from before")
    if done.stopped:
        missing = sum(bool(pred.error) for pred in done.preds)
        raise EngineError(
            f"{missing} of {len(paths)} answers are missing: {done.stopped}",
            hint="nothing is lost: start the server and run the same command to resume",
        )
    account = _write(request, done.preds, served)
    cached.unlink(missing_ok=True)
    return account


def _prepared(request: PrelabelRequest, paths: Sequence[Path], served: Served) -> list[PreparedSample]:
    samples: list[tuple[int, Sample]] = [
        (number, ocr_sample(str(path.absolute()), request.prompt, "")) for number, path in enumerate(paths, 1)
    ]
    context = served.servers[0].max_model_len
    longest = request.max_tokens or min(ANSWER_TOKENS, context // 2 if context else ANSWER_TOKENS)
    return prepare(samples, Path("/"), served.heard(client.Sampling(longest)))


def _write(request: PrelabelRequest, preds: Sequence[Prediction], served: Served) -> dict[str, Any]:
    folder = new_folder_beside(request.out)
    try:
        (folder / IMAGES).mkdir()
        rows, rejects = _rows(folder, preds)
        if not rows:
            raise ProblemsFound(
                f"not one of {len(preds)} pictures has an answer", where=rejects[0].where, hint=rejects[0].message
            )
        atomic.write(folder / ROWS, b"".join(line for _, line in rows))
        if rejects:
            atomic.write(folder / REJECTS, b"".join(reject_line(*reject) for reject in rejects))
        reviewed = Reviewed(folder / ROWS, len(rows), tuple(_as_read(pred, line) for pred, line in rows))
        files = corrections.write_all(folder, reviewed, request.kinds, confirmed=False)
        account = {
            "counts": {"in": len(preds), "out": len(rows), "rejected": len(rejects)},
            "reasons": dict(sorted(Counter(reject.code for reject in rejects).items())),
            "cut_off": sum(pred.finish_reason == "length" for pred, _ in rows),
            "rows": ROWS,
            "prompt": request.prompt,
            "model": served.endpoint.model,
            "fingerprint": served.fingerprint,
            "files": list(files),
        }
        write_json(folder / ACCOUNT, account)
        os.replace(folder, request.out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return account


def _rows(folder: Path, preds: Sequence[Prediction]) -> tuple[list[tuple[Prediction, bytes]], list[RejectedRow]]:
    """Predictions with their lines, the pictures stored beside; and what has no answer."""
    rows: list[tuple[Prediction, bytes]] = []
    rejects = []
    for pred in preds:
        source = Path(pred.image)
        if problem := _fault(pred, source):
            rejects.append(problem)
            continue
        name = f"{IMAGES}/{_stored_name(len(rows) + 1, source)}"
        shutil.copyfile(source, folder / name)
        label, _ = repair(pred.pred, TASK_OF[pred.prompt])
        line = encode(ocr_sample(name, pred.prompt, label)) + b"\n"
        rows.append((Prediction(len(rows) + 1, name, pred.prompt, label, label, pred.finish_reason), line))
    return rows, rejects


def _fault(pred: Prediction, source: Path) -> RejectedRow | None:
    """Why a picture gets no row."""
    try:
        probe(source)
    except ImageProblem as problem:
        return RejectedRow(pred.image, problem.code, str(problem), "")
    if pred.error:
        return RejectedRow(pred.image, pred.reason, pred.error, "")
    if not pred.pred.strip():
        return RejectedRow(pred.image, "target.empty", "the model reads nothing", "")
    return None


def _stored_name(number: int, source: Path) -> str:
    """Unlike all others, and of characters that every tool takes."""
    own = "".join(char if char.isalnum() or char in SAFE else "-" for char in source.stem)[:NAME_CHARACTERS]
    return f"{number:06d}-{own}{source.suffix.lower()}"


def _as_read(pred: Prediction, line: bytes) -> Suspect:
    return Suspect(pred, task_of(pred.prompt), 0.0, 0.0, 0.0, 0, row_hash(line))
