"""`sft synth`: draw samples, write images and JSONL; resumable, on any number of cores, always the same bytes.

    {"image_info": [{"image_url": "drawn_images/00/000012.png", "matched_text_index": 0}],
     "text_info": [{"text": "Table Recognition:", "tag": "mask"}, {"text": "<fcel>Rate<ecel><nl>", "tag": "no_mask"}],
     "source": "synth:table:0:12"}

Every sample has random numbers of its own, made of task, seed and index, so that the first ten of twenty are the same
as ten. Parts of PART samples wait in the work folder (`sft.files.staging`) until all are there; after a kill those that
are whole are kept.
"""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from sft import models
from sft.errors import UsageError
from sft.files import StagingFolder, disk_error, folder_of, manifest, piece, sha256, write, write_json
from sft.models import MAX_ASPECT
from sft.runtime import Runner, run
from sft.synth import charts, degrade, font_files, formulas, latex_drawing, tables, text, words
from sft.synth.base import Drawer, Pixels, Setting, Unfit, pad_to
from sft.synth.user_texts import Given, read_texts
from sft.types import Task

DRAWING = 1  # raised when the same seed draws something else than before
PART = 50  # samples
FOLDER = 10_000  # images in one folder
ALONE = 200  # samples below which further processes cost more time than they save
LEAST_SIDE = 5  # pixels; servers take a side of 4 or less for colour channels
PNG = [cv2.IMWRITE_PNG_COMPRESSION, 3, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_DEFAULT]

# what the user types → (drawer, task of the model)
TASKS: dict[str, tuple[Drawer, Task]] = {
    "text": (text.draw_line, Task.OCR),
    "paragraph": (text.draw_paragraph, Task.OCR),
    "table": (tables.draw_table, Task.TABLE),
    "formula": (formulas.draw_formula, Task.FORMULA),
    "chart": (charts.draw_chart, Task.CHART),
}


@dataclass(frozen=True)
class SynthRequest:
    """What is to be drawn. `fonts`: names or paths, see `typefaces.find`; `workers` 0: one per core."""

    task: str
    count: int
    fonts: tuple[str, ...] = ()
    texts: Path | None = None
    seed: int = 0
    degrade: str = "light"
    model: str = models.DEFAULT_MODEL
    latex: bool = False
    workers: int = 0


@dataclass(frozen=True)
class _Part:
    """Samples `start` to `stop`, with the texts for each; small and picklable."""

    path: Path  # where its rows go
    images: Path
    start: int
    stop: int
    task: str
    seed: int
    level: str
    prompt: str
    setting: Setting
    texts: tuple[tuple[str, ...], ...]


def synth(
    order: SynthRequest, out: Path, *, on_progress: Callable[[int], object] = lambda done: None
) -> dict[str, Any]:
    """Draw `order.count` samples into `out` and its images beside it; returns the manifest, which is also written.

    Raises UsageError for fonts that lack a character, texts that cannot be read, and a folder of images that is
    somebody else's; EngineError where LaTeX is asked for and is not there. Texts that cannot be drawn are rejected with
    a reason.
    """
    _check(order, out)
    fonts = font_files.find(order.fonts)
    given = read_texts(order.texts, order.task, fonts) if order.texts else None
    if not given and order.task != "formula":
        words.languages(fonts)
    inputs = _inputs(fonts, given)
    options = _options(order)
    mark = manifest.fingerprint("synth", inputs, options)
    images = images_of(out)
    known = manifest.finished(manifest_path(out), mark)
    if known and known["images"] == _images(images):
        on_progress(order.count)
        return known
    _refuse_foreign(out, images)
    with StagingFolder(
        out, manifest.fingerprint("synth", inputs, {**options, "n": None})
    ) as work:  # parts of fewer samples are good for more
        if not work.resumed:
            shutil.rmtree(images, ignore_errors=True)
        write(_begun(images), b"")
        done = 0
        runner = Runner(workers=order.workers if order.count > ALONE else 1)
        for drawn in run(
            _draw_part,
            _parts(order, fonts, given, images, work.folder),
            runner,
        ):
            done += drawn
            on_progress(done)
        counts = _assemble(order, out, work)
        outputs = {path.name: manifest.output(path) for path in (out, rejects_of(out)) if path.is_file()}
        account = manifest.make(
            "synth",
            mark,
            inputs,
            options,
            counts,
            outputs,
            images=_images(images),
            **({"texts": given.counts} if given else {}),
        )
        write_json(work.path("manifest"), account)
        work.move("manifest", manifest_path(out))
        _begun(images).unlink(missing_ok=True)
        work.clear()
    return account


def _assemble(order: SynthRequest, out: Path, work: StagingFolder) -> dict[str, Any]:
    """Join the parts to `out` and, where there are any, the rejects beside it; returns the counts."""
    counts: Counter[str] = Counter()
    with piece(work.path("joined")) as rows, piece(work.path("rejects")) as rejects:
        for start in range(0, order.count, PART):
            with _part_path(work.folder, start, min(start + PART, order.count)).open("rb") as part:
                for line in part:
                    kind, _, row = line.partition(b"\t")
                    counts[kind.decode()] += 1
                    (rows if kind == b"row" else rejects).write(row)
    reasons = {code: number for code, number in sorted(counts.items()) if code != "row"}
    if reasons:
        work.move("rejects", rejects_of(out))
    else:
        rejects_of(out).unlink(missing_ok=True)
    work.move("joined", out)
    return {
        "in": order.count,
        "out": counts["row"],
        "rejected": sum(reasons.values()),
        "reasons": reasons,
    }


def manifest_path(out: Path) -> Path:
    """Where the account of a run stands."""
    return out.with_name(f"{out.stem}.manifest.json")


def images_of(out: Path) -> Path:
    """The folder of the images."""
    return out.with_name(f"{out.stem}_images")


def rejects_of(out: Path) -> Path:
    """Where the texts stand that could not be drawn."""
    return out.with_name(f"{out.stem}.rejects.jsonl")


def _images(folder: Path) -> dict[str, Any]:
    return {
        "folder": folder.name,
        "files": sum(1 for _ in folder.glob("*/*.png")),
    }


def _check(order: SynthRequest, out: Path) -> None:
    if order.task not in TASKS:
        raise UsageError(
            f"nothing can be generated for {order.task!r}",
            hint=f"one of {', '.join(TASKS)}",
        )
    if order.count < 1:
        raise UsageError(f"{order.count} samples", hint="-n takes a number of at least 1")
    if order.degrade not in degrade.LEVELS:
        raise UsageError(
            f"no level of degradation called {order.degrade!r}", hint=f"one of {', '.join(degrade.LEVELS)}"
        )
    if out.suffix != ".jsonl":
        raise UsageError(
            "the output is a .jsonl file",
            where=str(out),
            hint=f"-o {out.with_suffix('.jsonl')}",
        )
    if order.latex and order.task != "formula":
        raise UsageError("--latex goes with formula only")
    if order.latex:
        latex_drawing.require()


def _inputs(fonts: tuple[Path, ...], given: Given | None) -> list[dict[str, Any]]:
    """Fonts and texts by name and hash, without where they lie on this machine."""
    return [{"font": font.name, "sha256": sha256(font)} for font in fonts] + (
        [{"texts": given.name, "sha256": given.sha256}] if given else []
    )


def _options(order: SynthRequest) -> dict[str, Any]:
    """All else that decides the bytes; other versions of these libraries draw other pixels."""
    from importlib.metadata import PackageNotFoundError, version

    libraries = {}
    for name in ("matplotlib", "numpy", "opencv-python-headless", "uharfbuzz", "python-bidi"):
        try:
            libraries[name] = version(name)
        except PackageNotFoundError:
            libraries[name] = ""
    return {
        "task": order.task,
        "n": order.count,
        "seed": order.seed,
        "degrade": order.degrade,
        "model": models.get(order.model).name,
        "latex": order.latex,
        "drawing": DRAWING,
        "libraries": libraries,
    }


def _begun(images: Path) -> Path:
    """A mark beside the images while they are drawn: a run that was stopped before its first part was whole is known
    by it.
    """
    return images.with_name(f".{images.name}.begun")


def _refuse_foreign(out: Path, images: Path) -> None:
    """Images are replaced where an earlier run drew them, and nothing else is."""
    ours = (folder_of(out) / "fingerprint").is_file() or _begun(images).is_file()
    with suppress(OSError, ValueError):
        account = json.loads(manifest_path(out).read_bytes())
        ours = ours or (isinstance(account, dict) and account.get("verb") == "synth")
    if not ours and images.exists() and not (images.is_dir() and not any(images.iterdir())):
        raise UsageError(
            "this already exists, and nothing says that `sft synth` made it",
            where=str(images),
            hint="give another -o, or remove it",
        )


def _parts(
    order: SynthRequest, fonts: tuple[Path, ...], given: Given | None, images: Path, folder: Path
) -> Iterator[_Part]:
    task = TASKS[order.task][1]
    prompt = models.get(order.model).prompts[task]
    for start in range(0, order.count, PART):
        stop = min(start + PART, order.count)
        texts = tuple(given.for_sample(index, order.seed) for index in range(start, stop)) if given else ()
        yield _Part(
            _part_path(folder, start, stop),
            images,
            start,
            stop,
            order.task,
            order.seed,
            order.degrade,
            prompt,
            Setting(fonts, latex=order.latex),
            texts,
        )


def _part_path(folder: Path, start: int, stop: int) -> Path:
    return folder / f"{start:09d}-{stop:09d}.rows"


def _draw_part(part: _Part) -> int:
    """Draw the samples of one part, images first; its own file comes last and means complete. Returns how many."""
    if part.path.is_file():
        return part.stop - part.start
    cv2.setNumThreads(1)  # the processes are the threads
    lines = [_draw_one(part, index) for index in range(part.start, part.stop)]
    with piece(part.path) as stream:
        stream.writelines(lines)
    return part.stop - part.start


def _draw_one(part: _Part, index: int) -> bytes:
    """One row, with its kind in front: "row" or the code of its rejection, and a tab."""
    setting = Setting(
        part.setting.fonts,
        part.texts[index - part.start] if part.texts else (),
        part.setting.latex,
    )
    source = f"synth:{part.task}:{part.seed}:{index}"
    try:
        image, target = picture(
            part.task,
            index,
            part.seed,
            part.level,
            setting,
        )
    except Unfit as error:
        reject = {
            "where": source,
            "code": error.code,
            "message": error.message,
            "raw": setting.texts[0] if setting.texts else "",
        }
        return f"{error.code}\t{json.dumps(reject, ensure_ascii=False)}\n".encode()
    path = part.images / f"{index // FOLDER:02d}" / f"{index:06d}.png"
    ok, png = cv2.imencode(".png", image, PNG)
    if not ok:  # pragma: no cover - OpenCV has no other way to say it
        raise RuntimeError(f"cv2 could not encode {path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png.tobytes())
    except OSError as error:
        raise disk_error(error, path) from error
    row = {
        "image_info": [{"image_url": path.relative_to(part.images.parent).as_posix(), "matched_text_index": 0}],
        "text_info": [{"text": part.prompt, "tag": "mask"}, {"text": target, "tag": "no_mask"}],
        "source": source,
    }
    return f"row\t{json.dumps(row, ensure_ascii=False)}\n".encode()


def picture(task: str, index: int, seed: int, level: str, setting: Setting) -> tuple[Pixels, str]:
    """Sample `index` of a task: (image as it is written, answer). The same arguments give the same pixels."""
    rng = random.Random(f"{task}/{seed}/{index}")
    drawn = TASKS[task][0](rng, setting)
    noise = np.random.default_rng(
        int.from_bytes(hashlib.sha256(f"degrade/{task}/{seed}/{index}".encode()).digest()[:8], "big")
    )
    image = degrade.apply(drawn.image, noise, level, drawn.em)
    image = formulas.trimmed(image) if task == "formula" else image
    image = pad_to(image, LEAST_SIDE, LEAST_SIDE)
    height, width = image.shape[:2]
    if max(height, width) > MAX_ASPECT * min(height, width):
        raise Unfit(
            "image.aspect", f"a picture of {width} x {height} px is longer than {MAX_ASPECT} times its other side"
        )
    return image, drawn.target
