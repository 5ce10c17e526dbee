"""A published data set, served from this machine: two JSONL files, a few images, and everything that can be wrong with
them.
"""

from __future__ import annotations

import io
import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from PIL import Image
from places import ROOT

from sft import ui
from sft.cli import datasets as verbs
from sft.datasets import fetch as fetch_data
from sft.datasets.card import load_card
from sft.datasets.fetch import account, fetch_dataset
from sft.errors import EngineError, ProblemsFound, UsageError
from sft.files import download
from sft.files.jsonl import read_samples

CARDS = sorted((ROOT / "datasets").glob("*/dataset.yaml"))


def picture(shade: int, kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (40, 30), (shade, shade, shade)).save(stream, kind)
    return stream.getvalue()


class Server:
    """Serves `files`; everything else is 404. `seen` counts every request."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.seen: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.seen.append(self.path)
                body = outer.files.get(self.path)
                self.send_response(200 if body is not None else 404)
                self.send_header("Content-Length", str(len(body or b"")))
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.http.server_port}{path}"

    def images_asked(self) -> list[str]:
        return sorted(path for path in self.seen if path.startswith("/images/"))


def row(url: str, text: str, **more: Any) -> dict[str, Any]:
    return {
        "image_info": [
            {"matched_text_index": 0, "image_url": url, "image_width": 1, "image_height": 1, "is_valid": True}
        ],
        "text_info": [{"text": "OCR:", "tag": "mask"}, {"text": text, "tag": "no_mask"}],
        **more,
    }


def jsonl(*rows: Any) -> bytes:
    return "".join(
        (item if isinstance(item, str) else json.dumps(item, ensure_ascii=False)) + "\n" for item in rows
    ).encode()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Train: four images in five rows, of which one is 404 and one no image. Test: one row."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(download, "BACKOFF", (0.0, 0.0, 0.0))
    found = Server()
    found.files = {
        "/images/0.png": picture(0),
        "/images/1.jpg": picture(1, "JPEG"),
        "/images/page.png": b"<html>not found</html>",
        "/images/t.png": picture(9),
    }
    url = found.url
    found.files["/train.jsonl"] = jsonl(
        row(url("/images/0.png"), "শূন্য"),
        row(url("/images/1.jpg"), "এক"),
        row(url("/images/gone.png"), "নেই"),
        row(url("/images/page.png"), "পাতা"),
        row(url("/images/0.png"), "আবার"),
        "{broken",
        row("images/local.png", "x"),
    )
    found.files["/test.jsonl"] = jsonl(row(url("/images/t.png"), "নয়", id=7))
    yield found
    found.http.shutdown()
    found.http.server_close()


@pytest.fixture
def card(server: Server) -> dict[str, Any]:
    return {
        "name": "demo",
        "task": "ocr",
        "language": "bn",
        "licence": "not stated",
        "files": {"train": {"url": server.url("/train.jsonl"), "rows": 7}, "test": {"url": server.url("/test.jsonl")}},
        "sample": {"seed": 7, "train": 4, "test": 2},
    }


def fetch(card: Any, out: Path, **more: Any) -> dict[str, Any]:
    return fetch_dataset(card, out, workers=3, allow_private=True, **more)


def rejects(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_rows_become_local(card: dict[str, Any], tmp_path: Path) -> None:
    fetch(card, tmp_path)
    samples = [sample for _, sample in read_samples(tmp_path / "train.jsonl")]
    assert [sample.ref for sample in samples] == ["শূন্য", "এক", "আবার"]
    paths = [sample.image_info[0].image_url for sample in samples]
    assert paths[0] == paths[2]
    assert [Path(path).suffix for path in paths[:2]] == [".png", ".jpg"]
    for path in paths:
        assert (tmp_path / path).is_file()
        assert Path(path).parent == Path("images") / Path(path).stem[:2]
    assert b"image_width" not in (tmp_path / "train.jsonl").read_bytes()


def test_jpeg_2000_is_called_as_convert_calls_it(card: dict[str, Any], server: Server, tmp_path: Path) -> None:
    """`.jp2`, the ending that readers of folders of images know."""
    server.files["/images/t.png"] = picture(9, "JPEG2000")
    fetch(card, tmp_path)
    [(_, sample)] = read_samples(tmp_path / "test.jsonl")
    path = sample.image_info[0].image_url
    assert Path(path).suffix == ".jp2" and (tmp_path / path).is_file()


def test_counts_add_up(card: dict[str, Any], tmp_path: Path) -> None:
    manifest = fetch(card, tmp_path)
    assert manifest == json.loads((tmp_path / "manifest.json").read_text("utf-8"))
    train, test = manifest["splits"]["train"], manifest["splits"]["test"]
    assert (train["rows_stated"], train["rows"], train["written"], train["rejected"]) == (7, 7, 3, 4)
    assert train["reasons"] == {"source.remote": 2, "structure.json": 1, "source.address": 1}
    assert (test["rows"], test["written"], test["rejected"]) == (1, 1, 0)
    assert manifest["images"] == {"wanted": 5, "fetched": 3, "failed": 2}
    assert not (tmp_path / "test.rejects.jsonl").exists()


def test_rejects_say_why(card: dict[str, Any], server: Server, tmp_path: Path) -> None:
    fetch(card, tmp_path)
    found = rejects(tmp_path / "train.rejects.jsonl")
    assert [entry["code"] for entry in found] == ["source.remote", "source.remote", "structure.json", "source.address"]
    assert [entry["where"].rpartition(":")[2] for entry in found] == ["3", "4", "6", "7"]
    assert "HTTP 404" in found[0]["message"] and "/images/gone.png" in found[0]["message"]
    assert "image.unreadable" in found[1]["message"]
    assert json.loads(found[0]["raw"]) == row(server.url("/images/gone.png"), "নেই")
    assert found[2]["raw"].strip() == "{broken"
    assert "not an address" in found[3]["message"]


def test_second_call_fetches_only_what_failed(card: dict[str, Any], server: Server, tmp_path: Path) -> None:
    fetch(card, tmp_path)
    server.seen.clear()
    server.files["/images/gone.png"] = picture(3)
    manifest = fetch(card, tmp_path)
    assert server.seen and set(server.seen) == {"/images/gone.png", "/images/page.png"}
    assert manifest["splits"]["train"]["written"] == 4


def test_complete_set_asks_nobody(card: dict[str, Any], server: Server, tmp_path: Path) -> None:
    del card["files"]["train"]
    first = fetch(card, tmp_path)
    server.seen.clear()
    assert fetch(card, tmp_path) == first
    assert server.seen == []
    (tmp_path / "test.jsonl").unlink()
    fetch(card, tmp_path)
    assert (tmp_path / "test.jsonl").is_file()


def test_retry_without_a_network_keeps_the_first_result(
    card: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = fetch(card, tmp_path)
    monkeypatch.setattr(fetch_data, "GIVE_UP_AFTER", 1)
    monkeypatch.setattr(fetch_data, "_fetch_image", unreachable)
    with pytest.raises(EngineError, match="in a row"):
        fetch(card, tmp_path)
    assert json.loads((tmp_path / "manifest.json").read_text("utf-8")) == first
    assert len(list(read_samples(tmp_path / "train.jsonl"))) == 3


def unreachable(*_: object) -> tuple[str, int]:
    raise download.Unreachable("nobody answers")


def test_killed_run_goes_on_without_refetching(card: dict[str, Any], server: Server, tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    def kill(what: str, count: int, total: int | None) -> None:
        if what == "images" and count == 2:
            raise Killed

    with pytest.raises(Killed):
        fetch_dataset(card, tmp_path, workers=1, allow_private=True, on_progress=kill)
    assert not (tmp_path / "manifest.json").exists()
    index = tmp_path / "images" / "index.jsonl"
    assert [json.loads(line)["url"] for line in index.read_bytes().splitlines()] == [
        server.url("/images/0.png"),
        server.url("/images/1.jpg"),
    ]
    with index.open("ab") as stream:
        stream.write(b'{"url": "http://half a li')
    server.seen.clear()
    manifest = fetch(card, tmp_path)
    assert server.images_asked() and not {"/images/0.png", "/images/1.jpg", "/train.jsonl"} & set(server.seen)
    assert manifest["images"] == {"wanted": 5, "fetched": 3, "failed": 2}
    assert (
        index.read_bytes().splitlines()[2] == b'{"url": "http://half a li'
    )  # and what came after it stands on lines of its own
    server.seen.clear()
    fetch(card, tmp_path)
    assert set(server.seen) == {"/images/gone.png", "/images/page.png"}


def test_image_that_was_deleted_is_fetched_again(card: dict[str, Any], server: Server, tmp_path: Path) -> None:
    fetch(card, tmp_path)
    entry = json.loads((tmp_path / "images" / "index.jsonl").read_bytes().splitlines()[0])
    (tmp_path / entry["file"]).unlink()
    server.seen.clear()
    fetch(card, tmp_path)
    assert (tmp_path / entry["file"]).is_file()
    assert server.url(server.images_asked()[0]) == entry["url"] or entry["url"] in map(
        server.url, server.images_asked()
    )


def test_too_large_image_is_a_reject(card: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch_data, "MAX_IMAGE_BYTES", 400)
    fetch(card, tmp_path)
    messages = [entry["message"] for entry in rejects(tmp_path / "train.rejects.jsonl")]
    assert any("too large" in message and "1.jpg" in message for message in messages)


def test_no_network_names_the_sample(card: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(*_: object, **__: object) -> list[object]:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    card["files"]["train"]["url"] = "https://data.example/train.jsonl"
    monkeypatch.setattr(socket, "getaddrinfo", nobody)
    with pytest.raises(EngineError) as caught:
        fetch(card, tmp_path)
    assert "no network" in caught.value.message
    assert caught.value.hint and "`make train DATA=demo`" in caught.value.hint


def test_network_that_goes_away_rejects_nothing(
    card: dict[str, Any], server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many images without an answer are the network's fault: the run stops, and writes no rejects and no manifest."""
    monkeypatch.setattr(fetch_data, "GIVE_UP_AFTER", 3)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))  # bound and not listening
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        server.files["/train.jsonl"] = jsonl(*(row(f"{address}/{number}.png", "x") for number in range(30)))
        with pytest.raises(EngineError, match="no answer for 3 images in a row"):
            fetch(card, tmp_path)
    assert not (tmp_path / "manifest.json").exists()
    assert not (tmp_path / "train.rejects.jsonl").exists()


def test_full_disk_stops_the_run(card: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fetch_data, "probe", full)
    with pytest.raises(EngineError, match="No space left"):
        fetch(card, tmp_path)


def test_split_without_a_usable_row(card: dict[str, Any], server: Server, tmp_path: Path) -> None:
    del server.files["/images/t.png"]
    with pytest.raises(ProblemsFound, match="none of 1 row can be used"):
        fetch(card, tmp_path)
    assert not (tmp_path / "test.jsonl").exists()
    assert not (tmp_path / "manifest.json").exists()
    assert len(rejects(tmp_path / "test.rejects.jsonl")) == 1
    server.files["/images/t.png"] = picture(9)
    fetch(card, tmp_path)
    assert not (tmp_path / "test.rejects.jsonl").exists(), "rejects of an earlier run are none of this one"


def test_private_image_addresses_are_rejected(
    card: dict[str, Any], server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row of the set names an address inside the network; only that row is lost."""
    real = download.fetch_file

    def public_only_for_images(url: str, dest: Path, **options: Any) -> str:
        return real(url, dest, **{**options, "allow_private": not url.endswith("1.jpg")})

    monkeypatch.setattr(fetch_data, "fetch_file", public_only_for_images)
    fetch(card, tmp_path)
    messages = [entry["message"] for entry in rejects(tmp_path / "train.rejects.jsonl")]
    assert any("not a public address" in message for message in messages)
    assert "/images/1.jpg" not in server.seen


@pytest.mark.parametrize(
    "change",
    [
        {"name": "../evil"},
        {"files": {}},
        {"files": {"../train": {"url": "https://a.example/b"}}},
        {"task": "ocrr"},
        {"unknown": 1},
        {"sample": {"seed": 7}},
    ],
)
def test_bad_cards_are_named(card: dict[str, Any], change: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        fetch({**card, **change}, tmp_path)


def test_card_files(tmp_path: Path) -> None:
    assert CARDS
    for path in CARDS:
        assert load_card(path).name == path.parent.name
    bengali = load_card(next(path for path in CARDS if path.parent.name == "bengali"))
    assert bengali.files["train"].rows == 29605
    assert bengali.sample is not None
    assert "vowel signs" in bengali.note
    (tmp_path / "bad.yaml").write_text("name: [")
    with pytest.raises(UsageError, match="not YAML"):
        load_card(tmp_path / "bad.yaml")


def fetch_verb(card: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch) -> Result:
    """`sft fetch demo`, where the addresses of this machine may be asked."""
    real = fetch_data.fetch_dataset
    monkeypatch.setattr(
        fetch_data, "fetch_dataset", lambda card, out, **more: real(card, out, **{**more, "allow_private": True})
    )
    monkeypatch.chdir(folder)
    path = folder / "datasets" / "demo" / "dataset.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(card))
    done = CliRunner().invoke(verbs.fetch, ["demo"])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def test_fetch_says_what_became_of_the_rows(
    card: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A set that is mostly rejected must not look like a success."""
    card["files"]["train"]["rows"] = 29605
    said: list[str] = []
    monkeypatch.setattr(ui, "say", said.append)
    done = fetch_verb(card, tmp_path, monkeypatch)
    assert done.exit_code == 1
    assert done.stdout == "datasets/demo/full\n"
    assert (
        "train: 7 rows = 3 written + 4 rejected (source.address 1, source.remote 2, structure.json 1); rejects in"
        " datasets/demo/full/train.rejects.jsonl; the card says 29605" in said
    )
    assert "test: 1 row = 1 written + 0 rejected" in said


@pytest.mark.parametrize(("stated", "code"), [(1, 0), (None, 0), (2, 1)])
def test_fetch_ends_well_only_with_every_row(
    stated: int | None, code: int, card: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del card["files"]["train"]
    card["files"]["test"]["rows"] = stated
    for _ in range(2):  # the second finds everything there, and must say the same
        assert fetch_verb(card, tmp_path, monkeypatch).exit_code == code


def test_account_compares_with_the_card_of_today(card: dict[str, Any], tmp_path: Path) -> None:
    del card["files"]["train"]
    manifest = fetch(card, tmp_path)
    assert account(manifest, load_card(card), tmp_path) == (["test: 1 row = 1 written + 0 rejected"], True)
    card["files"]["test"]["rows"] = 3
    assert account(fetch(card, tmp_path), load_card(card), tmp_path) == (
        ["test: 1 row = 1 written + 0 rejected; the card says 3"],
        False,
    )
