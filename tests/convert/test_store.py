"""Remote images against a real server on this machine: fetched once, bounded, and lost one by one, never all."""

from __future__ import annotations

import io
import json
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tiny_format import TINY

from sft.convert import image_store
from sft.convert.driver import Result, convert
from sft.convert.worker import ConvertRequest
from sft.files import download, rejects_path, staging
from sft.runtime.runner import Runner


def image() -> bytes:
    stream = io.BytesIO()
    Image.radial_gradient("L").resize((60, 40)).save(stream, "PNG")
    return stream.getvalue()


class Handler(BaseHTTPRequestHandler):
    """Answers by the path: an image, a page, too much, an error, a redirect."""

    asked: Counter[str] = Counter()

    def do_GET(self) -> None:
        Handler.asked[self.path] += 1
        if self.path.startswith("/moved"):
            self.send_response(302)
            self.send_header("Location", "file:///etc/passwd" if "file" in self.path else "/a.png")
            self.end_headers()
            return
        body = {"/page.html": b"<html></html>", "/big.png": bytes(70_000)}.get(self.path, image())
        self.send_response(404 if self.path == "/gone.png" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Silent."""


@pytest.fixture
def server() -> Iterator[str]:
    Handler.asked.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as found:
        thread = threading.Thread(target=found.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{found.server_port}"
        found.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "BACKOFF", (0.0,))
    monkeypatch.setattr(image_store, "MAX_REMOTE_BYTES", 60_000)


def run(folder: Path, *rows: dict[str, Any], private: bool = True, fresh: bool = False) -> Result:
    (folder / "labels.txt").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return convert(
        ConvertRequest("tiny", folder / "labels.txt", folder / "out.jsonl", allow_private=private),
        Runner(workers=1),
        source_format=TINY,
        fresh=fresh,
    )


def codes(folder: Path) -> list[str]:
    path = rejects_path(folder / "out.jsonl")
    return [json.loads(line)["code"] for line in path.read_text().splitlines()] if path.exists() else []


def urls(folder: Path) -> list[str]:
    return [json.loads(line)["image_info"][0]["image_url"] for line in (folder / "out.jsonl").read_text().splitlines()]


def test_remote_images_are_stored_under_their_hash_and_fetched_once(server: str, tmp_path: Path) -> None:
    box = [[2, 2], [42, 2], [42, 22], [2, 22]]
    rows = [
        {"images": [f"{server}/a.png"], "text": "x"},
        {"images": [f"{server}/b.png"], "text": "x"},
        {"images": [f"{server}/moved"], "text": "x"},
    ]
    result = run(tmp_path, *rows, *({"images": [f"{server}/a.png"], "text": "x", "quad": box} for _ in range(9)))
    assert result.manifest["counts"]["images"] == {"copied": 3, "drawn": 9} and codes(tmp_path) == []
    assert len(set(urls(tmp_path))) == 2 and (tmp_path / urls(tmp_path)[0]).read_bytes() == image()
    assert Handler.asked == {"/a.png": 2, "/b.png": 1, "/moved": 1}
    assert not staging.folder_of(tmp_path / "out.jsonl").exists()


def test_what_cannot_be_had_is_rejected_row_by_row(server: str, tmp_path: Path) -> None:
    names = ["page.html", "gone.png", "big.png", "moved-file"]
    rows = [{"images": [f"{server}/{name}"], "text": "x"} for name in names] * 2
    nonsense = [{"images": [url], "text": "x"} for url in ("http://", "http://[::1", "http://\0/")]
    result = run(tmp_path, *rows, {"images": [f"{server}/a.png"], "text": "x"}, *nonsense)
    assert (
        codes(tmp_path)
        == ["image.unreadable", "source.remote", "image.too_large", "source.address"] * 2 + ["source.address"] * 3
    )
    assert result.manifest["counts"]["out"] == 1 and result.later == 0 and max(Handler.asked.values()) == 1


def test_addresses_inside_the_network_are_not_asked(server: str, tmp_path: Path) -> None:
    Image.new("L", (40, 40)).save(tmp_path / "a.png")
    run(tmp_path, {"images": [f"{server}/a.png"], "text": "x"}, {"images": ["a.png"], "text": "x"}, private=False)
    assert codes(tmp_path) == ["source.address"] and not Handler.asked


def test_a_silent_host_is_asked_a_few_times_and_again_by_the_next_run(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("L", (40, 40)).save(tmp_path / "a.png")
    tried: list[str] = []
    silent = True
    really = download.fetch_file

    def fetch(url: str, *args: Any, **more: Any) -> str:
        if silent and "quiet" in url:
            tried.append(url)
            raise download.Unreachable("no answer")
        return really(url, *args, **more)

    monkeypatch.setattr(download, "fetch_file", fetch)
    local = [{"images": ["a.png"], "text": "x"}] * 5
    rows = [*local, *({"images": [f"{server}/quiet/{n}.png"], "text": "x"} for n in range(40)), *local]
    result = run(tmp_path, *rows)
    assert result.later == 40 and codes(tmp_path) == ["source.remote"] * 40 and len(tried) < 20
    assert len(urls(tmp_path)) == 10 and staging.folder_of(tmp_path / "out.jsonl").is_dir()
    silent = False
    again = run(tmp_path, *rows)
    assert (again.reused, again.later, codes(tmp_path), len(urls(tmp_path))) == (False, 0, [], 50)
    assert not staging.folder_of(tmp_path / "out.jsonl").exists() and run(tmp_path, *rows).reused


def test_an_image_that_drips_is_given_up(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_store, "MAX_SECONDS", -1.0)
    Image.new("L", (40, 40)).save(tmp_path / "a.png")
    run(tmp_path, {"images": [f"{server}/a.png"], "text": "x"}, {"images": ["a.png"], "text": "x"})
    assert codes(tmp_path) == ["source.remote"] and Handler.asked["/a.png"] == 1
