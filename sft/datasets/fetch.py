"""`sft fetch NAME`: a published data set becomes local: JSONL files and every image they name.

    out/source/train-1f0c….jsonl   as published; the name carries a hash of the address
    out/images/index.jsonl         {"url": "https://…/5b7a.png", "file": "images/3f/3f9a….png", "bytes": 4711}, one line
                                   as each arrives
    out/train.jsonl                the rows whose images are all here, with paths that count from `out`
    out/train.rejects.jsonl        the other rows, whole, with their reasons (`sft.files.rejects`)
    out/manifest.json              addresses, hashes, counts; written last, so its existence means: complete

A run that was stopped is continued by the same call: what the index names is not fetched again, what was rejected is
tried again. Only `text_info` and `image_info` of a row are kept; sizes that a row claims for its images are left out,
because the trainer would believe them.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import msgspec

from sft.datasets.card import Card, load_card
from sft.errors import EngineError, ProblemsFound, SftError, UsageError
from sft.files import (
    RejectedRow,
    Unreachable,
    atomic_write,
    decode,
    disk_error,
    fetch_file,
    make_client,
    open_input,
    read_json,
    reject_line,
    rejects_path,
    sha256,
    write_json,
    write_samples,
)
from sft.images import ImageProblem, ending_of, probe
from sft.types import Sample
from sft.ui import counted

MAX_JSONL_BYTES = 4 * 1024**3
MAX_IMAGE_BYTES = 32 * 1024**2
GIVE_UP_AFTER = 20  # images in a row without any answer: the network is gone, and that is no property of the rows

OnFetched = Callable[[str, int, "int | None"], None]  # what is fetched, how much so far, how much in all


def fetch_dataset(
    card: Path | Mapping[str, Any],
    out: Path,
    *,
    workers: int = 8,
    allow_private: bool = False,
    on_progress: OnFetched | None = None,
) -> dict[str, Any]:
    """Bring a data set to `out`, up to `workers` images at a time; returns its manifest.

    Errors: UsageError for a card that makes no sense; EngineError without a network, with a way out in the hint;
    ProblemsFound where not one row of a split can be used (its rejects are written then, the manifest is not).
    """
    rules = load_card(card)
    if workers < 1:
        raise UsageError(f"workers is {workers}, must be at least 1")
    done = _finished(rules, out)
    if done is not None:
        return done
    tell: OnFetched = on_progress or (lambda what, count, total: None)
    try:
        manifest = _bring(rules, out, workers, allow_private, tell)
        write_json(out / "manifest.json", manifest)
    except OSError as error:
        raise disk_error(error, out) from error
    return manifest


def account(manifest: Mapping[str, Any], card: Card, out: Path) -> tuple[list[str], bool]:
    """What became of the rows, one line a split; and whether all arrived: none rejected, and as many as the
    card says.
    """
    lines, whole = [], True
    for name, split in manifest["splits"].items():
        reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(split["reasons"].items()))
        line = f"{name}: {counted(split['rows'], 'row')} = {split['written']} written + {split['rejected']} rejected"
        line += f" ({reasons}); rejects in {out / name}.rejects.jsonl" if split["rejected"] else ""
        stated = card.files[name].rows
        line += f"; the card says {stated}" if stated is not None else ""
        lines.append(line)
        whole = whole and not split["rejected"] and stated in (None, split["rows"])
    return lines, whole


def _bring(card: Card, out: Path, workers: int, allow_private: bool, tell: OnFetched) -> dict[str, Any]:
    with make_client(allow_private) as client:
        sources = {name: _fetch_source(card, name, out, client, allow_private, tell) for name in card.files}
        urls = list(
            dict.fromkeys(url for source in sources.values() for url in _image_urls(source))
        )  # each once, in order
        files, failed = _fetch_images(urls, out, client, workers, allow_private, tell)
    (out / "manifest.json").unlink(missing_ok=True)  # only now: an earlier, smaller result stays usable until here
    splits: dict[str, dict[str, Any]] = {}
    for name, source in sources.items():
        stated = {
            "url": card.files[name].url,
            "rows_stated": card.files[name].rows,
        }
        splits[name] = stated | _rewrite(source, out / f"{name}.jsonl", files, failed)
    images = {
        "wanted": len(urls),
        "fetched": len(urls) - len(failed),
        "failed": len(failed),
    }
    about = card.model_dump(mode="json", include={"name", "task", "language", "licence", "note"})
    return {**about, "splits": splits, "images": images}


def _finished(card: Card, out: Path) -> dict[str, Any] | None:
    """The manifest of an earlier run that fetched the same files and lost no row; None where something is
    left to do.
    """
    if not (out / "manifest.json").is_file():
        return None
    with suppress(
        ProblemsFound, KeyError, TypeError, AttributeError
    ):  # a manifest that says something else is written anew
        account: dict[str, Any] = read_json(out / "manifest.json")
        splits = account["splits"]
        same = {name: split["url"] for name, split in splits.items()} == {
            name: rule.url for name, rule in card.files.items()
        }
        if same and all(
            (split["rejected"], split["reasons"], split["rows"]) == (0, {}, split["written"])
            and (out / f"{name}.jsonl").is_file()
            for name, split in splits.items()
        ):
            return account
    return None


def _fetch_source(card: Card, name: str, out: Path, client: httpx.Client, allow_private: bool, tell: OnFetched) -> Path:
    """The JSONL of one split, fetched unless it is there."""
    rule = card.files[name]
    source = out / "source" / f"{name}-{hashlib.sha256(rule.url.encode()).hexdigest()[:8]}.jsonl"
    if source.is_file() and rule.sha256 in (None, sha256(source)):
        return source
    try:
        fetch_file(
            rule.url,
            source,
            client=client,
            max_bytes=MAX_JSONL_BYTES,
            sha256=rule.sha256,
            allow_private=allow_private,
            on_progress=lambda count, total: tell(f"{name}.jsonl", count, total),
        )
    except Unreachable as error:
        drawn = f"the drawn sample needs no network: `make train DATA={card.name}` uses it"
        hint = drawn if card.sample else "fetch it where there is a network, and copy the folder"
        raise EngineError(
            f"the {name} file of {card.name} cannot be downloaded: {error.message}", where=rule.url, hint=hint
        ) from error
    return source


def _image_urls(source: Path) -> Iterator[str]:
    with open_input(source) as stream:
        for line in stream:
            with suppress(msgspec.MsgspecError):  # such a row is rejected later, with its reason
                yield from (
                    image.image_url
                    for image in decode(line).image_info
                    if image.image_url.startswith(("http://", "https://"))
                )


def _fetch_images(
    urls: list[str], out: Path, client: httpx.Client, workers: int, allow_private: bool, tell: OnFetched
) -> tuple[dict[str, str], dict[str, str]]:
    """(address → local file, address → why there is none). The index grows as images arrive."""
    index = out / "images" / "index.jsonl"
    failed: dict[str, str] = {}
    files = _read_index(index, out)
    silent = 0
    index.parent.mkdir(parents=True, exist_ok=True)
    with index.open("ab") as stream, ThreadPoolExecutor(workers) as pool:
        if index.stat().st_size and not index.read_bytes().endswith(b"\n"):
            stream.write(b"\n")  # a killed run left half a line
        futures = {pool.submit(_fetch_image, url, out, client, allow_private): url for url in urls if url not in files}
        try:
            for count, future in enumerate(
                as_completed(futures),
                len(urls) - len(futures) + 1,
            ):
                url = futures[future]
                problem = _problem(future)
                silent = silent + 1 if isinstance(problem, Unreachable) else 0
                if silent == GIVE_UP_AFTER:
                    raise EngineError(
                        f"no answer for {silent} images in a row; {problem}",
                        hint="run the same command to resume",
                    ) from problem
                if problem:
                    failed[url] = problem.message if isinstance(problem, SftError) else str(problem)
                else:
                    files[url], size = future.result()
                    stream.write(msgspec.json.encode({"url": url, "file": files[url], "bytes": size}) + b"\n")
                    stream.flush()
                tell("images", count, len(urls))
        finally:
            pool.shutdown(cancel_futures=True)  # after Ctrl-C, only what has begun is waited for
    with suppress(OSError):
        (out / "images" / "incoming").rmdir()  # stays where pieces wait to be resumed
    return files, failed


def _read_index(index: Path, out: Path) -> dict[str, str]:
    """The images that are still there as they arrived."""
    files: dict[str, str] = {}
    for line in index.read_bytes().splitlines() if index.is_file() else ():
        with suppress(
            msgspec.MsgspecError, KeyError, TypeError, OSError
        ):  # half a line, or a file that has gone: fetched again
            entry = msgspec.json.decode(line)
            if (out / entry["file"]).stat().st_size == entry["bytes"]:
                files[entry["url"]] = entry["file"]
    return files


def _fetch_image(url: str, out: Path, client: httpx.Client, allow_private: bool) -> tuple[str, int]:
    """(path from `out`, bytes) of one image, fetched, decoded once, and named by its content."""
    incoming = out / "images" / "incoming" / hashlib.sha256(url.encode("utf-8", "surrogatepass")).hexdigest()
    digest = fetch_file(url, incoming, client=client, max_bytes=MAX_IMAGE_BYTES, allow_private=allow_private)
    try:
        kind = probe(incoming, decode=True).format
        size = incoming.stat().st_size
        target = out / "images" / digest[:2] / f"{digest}.{ending_of(kind)}"
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(incoming, target)
    except OSError as error:
        raise disk_error(error, incoming) from error
    except ImageProblem as problem:
        incoming.unlink(missing_ok=True)
        raise ImageProblem(problem.code, f"what was fetched cannot be used ({problem.code})") from problem
    return target.relative_to(out).as_posix(), size


def _problem(future: Future[tuple[str, int]]) -> SftError | ImageProblem | None:
    """Why this one image cannot be had; what concerns all of them (a full disk, a bug) is raised."""
    error = future.exception()
    if error is None:
        return None
    disk = isinstance(error, SftError) and isinstance(error.__cause__, OSError) and not isinstance(error, Unreachable)
    if disk or not isinstance(error, (SftError, ImageProblem)):
        raise error
    return error


def _rewrite(source: Path, target: Path, files: Mapping[str, str], failed: Mapping[str, str]) -> dict[str, Any]:
    """Write the usable rows to `target` and the others beside it; returns the counts and hashes of the manifest."""
    rejects: list[RejectedRow] = []
    rejected = rejects_path(target)
    written = write_samples(target, _usable(source, files, failed, rejects))
    rejected.unlink(missing_ok=True)
    if rejects:
        with atomic_write(rejected) as stream:
            stream.writelines(reject_line(*reject, whole=True) for reject in rejects)
    with open_input(source) as stream:
        rows = sum(1 for _ in stream)
    if rows != written + len(rejects):
        raise AssertionError(f"{source}: {rows} rows in, {written} out and {len(rejects)} rejected")
    if not written:
        target.unlink()
        first = f": {rejects[0].where}: {rejects[0].message}" if rejects else ""
        raise ProblemsFound(
            f"none of {counted(rows, 'row')} can be used{first}",
            where=str(source),
            hint=f"{rejected} names every reason" if rejects else None,
        )
    reasons = Counter(reject.code for reject in rejects)
    counts = {
        "rows": rows,
        "written": written,
        "rejected": len(rejects),
        "reasons": dict(reasons),
    }
    return {**counts, "source_sha256": sha256(source), "sha256": sha256(target)}


def _usable(
    source: Path, files: Mapping[str, str], failed: Mapping[str, str], rejects: list[RejectedRow]
) -> Iterator[Sample]:
    """The rows with local images; the others are appended to `rejects`."""
    with open_input(source) as stream:
        for number, line in enumerate(stream, 1):
            try:
                sample = decode(line)
            except msgspec.MsgspecError as error:
                code = "structure.object" if isinstance(error, msgspec.ValidationError) else "structure.json"
                rejects.append(
                    RejectedRow(f"{source.name}:{number}", code, str(error), line.decode("utf-8", "replace"))
                )
                continue
            missing = next(
                (image.image_url for image in sample.image_info if image.image_url not in files),
                None,
            )
            if missing is None:
                yield replace(
                    sample,
                    image_info=tuple(replace(image, image_url=files[image.image_url]) for image in sample.image_info),
                )
                continue
            code = "source.remote" if missing in failed else "source.address"
            why = failed.get(missing, "not an address; only what can be fetched comes with this set")
            rejects.append(
                RejectedRow(
                    f"{source.name}:{number}", code, f"{missing[:200]}: {why}", line.decode("utf-8", "replace").strip()
                )
            )
