"""Servers, files and answers that mean harm: no reply is larger, longer or louder than it may be, and no broken one is
scored.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import resource
import socketserver
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from PIL import Image
from places import ROOT
from waiting import PATIENCE, with_one_of

from sft.errors import EngineError, UsageError
from sft.evaluation.scores import score_one
from sft.files.jsonl import ocr_sample, write_samples
from sft.inference import client, endpoints, predict
from sft.inference.answer_cache import AnswerCache, prepare
from sft.inference.client import Answer, Endpoint, LostError, Sampling, complaint, exchange, http_client, shown
from sft.inference.endpoints import probe_servers
from sft.inference.predict import Waits
from sft.metrics import MAX_CELLS

MODELS = b'{"data": [{"id": "m", "root": "/m", "max_model_len": 4096}]}'
GOOD = b'{"choices": [{"message": {"content": "abc"}, "finish_reason": "stop"}]}'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%s\r\n"


class Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        while line := self.rfile.readline():
            length = 0
            while header := self.rfile.readline().strip():
                name, _, value = header.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            self.rfile.read(length)
            try:
                self.server.answer(line.split()[1].decode(), self.wfile.write)  # type: ignore[attr-defined]
            except OSError:
                return


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None: ...


@contextmanager
def serving(answer: Callable[[str, Callable[[bytes], object]], object]) -> Iterator[str]:
    """A server that writes what `answer(path, write)` writes."""
    with Server(("127.0.0.1", 0), Handler) as server:
        server.answer = answer  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


def whole(body: bytes, header: bytes = b"") -> bytes:
    return HEAD % (len(body), header) + body


def page(path: str) -> bytes:
    return (
        MODELS
        if path.endswith("/models")
        else GOOD
        if path.endswith("/completions")
        else b'{"version": "1"}'
        if path == "/version"
        else b"{}"
    )


def fetched(url: str) -> tuple[int, bytes]:
    async def fetch() -> tuple[int, bytes]:
        async with http_client(Endpoint(url)) as http:
            status, _, content = await exchange(http, "GET", "v1/models")
            return status, content

    return asyncio.run(fetch())


def test_a_reply_without_end_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(path: str, write: Callable[[bytes], object]) -> None:
        write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            write(b"1000\r\n" + b" " * 4096 + b"\r\n")

    monkeypatch.setattr(client, "MAX_ANSWER_BYTES", 1 << 18)
    with serving(endless) as url:
        with pytest.raises(LostError) as lost:
            fetched(url)
        assert lost.value.code == "answer.too_large"
        with pytest.raises(EngineError, match="no server answers"):
            probe_servers([Endpoint(url)])


def test_a_packed_reply_is_not_unpacked() -> None:
    bomb = gzip.compress(gzip.compress(b" " * (1 << 24)))
    with serving(lambda path, write: write(whole(bomb, b"Content-Encoding: gzip, gzip\r\n"))) as url:
        with pytest.raises(LostError, match="packed") as lost:
            fetched(url)
        assert lost.value.code == "answer.json"
        with pytest.raises(EngineError, match="packed"):
            probe_servers([Endpoint(url)])


@pytest.mark.parametrize("slow", ["/v1/models", "/version", "/tokenize"])
def test_a_drip_does_not_hold_the_start_up(slow: str, monkeypatch: pytest.MonkeyPatch) -> None:
    done = threading.Event()

    def drip(path: str, write: Callable[[bytes], object]) -> None:
        if path != slow:
            write(whole(page(path)))
            return
        write(HEAD % (100_000, b""))
        while not done.wait(0.05):
            write(b" ")

    def check(limit: float) -> None:
        monkeypatch.setattr(endpoints, "CONNECT_TIMEOUT", limit)
        try:
            (server,) = probe_servers([Endpoint(url)]).servers
        except EngineError as error:
            assert slow == "/v1/models" and f"nothing within {limit:g} s" in str(error)
        else:
            assert (
                slow != "/v1/models"
                and server.version == ("" if slow == "/version" else "vLLM 1")
                and not server.probed
            )

    with serving(drip) as url:
        try:
            with_one_of((0.4, 4, 40), check)
        finally:
            done.set()


def listing(models: bytes, version: bytes = b"{}") -> httpx.MockTransport:
    return httpx.MockTransport(
        lambda request: httpx.Response(200, content=models if request.url.path == "/v1/models" else version)
    )


@pytest.mark.parametrize(
    "models",
    [
        b'{"data": [null]}',
        b'{"data": {"a": 1}}',
        b'{"data": ["m"]}',
        b'{"data": [{"id": 5}]}',
        b'{"data": [{"id": ""}]}',
        b'{"data": [{"id": "\\u001b[2Jm"}]}',
        b'{"data": [{"id": "\xff"}]}',
        b'{"data": 5}',
        b"[]",
        b"[" * 100_000,
        b"",
    ],
)
def test_a_list_of_models_that_is_none(models: bytes) -> None:
    with pytest.raises(EngineError, match="lists no model"):
        probe_servers([Endpoint("http://h")], transport=listing(models))
    assert probe_servers([Endpoint("http://h", "mine")], transport=listing(models)).endpoint.model == "mine"


@pytest.mark.parametrize(
    ("version", "told"),
    [
        (b'{"version": "\xff"}', ""),
        (b'{"version": "\\u001b[2J1"}', "vLLM \ufffd[2J1"),
        (b"[" * 100_000, ""),
        (b"\xff", ""),
        (b'{"version": 5}', ""),
    ],
)
def test_a_version_that_is_none(version: bytes, told: str) -> None:
    assert probe_servers([Endpoint("http://h")], transport=listing(MODELS, version)).servers[0].version == told


def test_words_of_a_server_cannot_move_the_cursor() -> None:
    evil = "\x1b]0;mine\x07\x1b[2J\x9b31m \u202etxt.exe\u2028\r\nfine " + "x" * 10_000
    for text in (
        shown(evil),
        complaint(json.dumps({"error": {"message": evil}}).encode()),
        complaint(evil.encode()),
        Endpoint(f"http://h/{evil}").public,
    ):
        assert text.isprintable() and len(text) <= 300 and ("fine" in text or "%" in text)
    assert shown("দুই \n শব্দ") == "দুই শব্দ"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://me:secret@h:1?key=secret", r"no \? or #"),
        ("http://me:secret@h:1/v1#secret", r"no \? or #"),
        ("http://me:secret@h:99999999", "not an address"),
        ("ftp://me:secret@h", "not an address"),
    ],
)
def test_addresses_that_hold_secrets(url: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as fault:
        _ = Endpoint(url).root
    assert "secret" not in str(fault.value)


def test_a_password_in_an_address_is_not_told() -> None:
    with pytest.raises(EngineError) as fault:
        probe_servers([Endpoint("http://me:secret@127.0.0.1:1/v1/")])
    assert "secret" not in str(fault.value) and "http://127.0.0.1:1/v1/models" in str(fault.value)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    Image.new("RGB", (40, 30)).save(tmp_path / "a.png")
    return tmp_path


def asked(
    folder: Path, reply: bytes, models: Callable[[], bytes] = lambda: MODELS, prompts: tuple[str, ...] = ("OCR:",)
) -> predict.Pass:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(
            200, content=models() if request.url.path == "/v1/models" else reply if request.method == "POST" else b"{}"
        )

    transport = httpx.MockTransport(answer)
    rows = [(number, ocr_sample("a.png", prompt, "abc")) for number, prompt in enumerate(prompts, 1)]
    served = probe_servers([Endpoint("http://h")], transport=transport)
    return predict.ask(
        prepare(rows, folder, Sampling(8)),
        served,
        predict.options(1, Waits(PATIENCE, backoff=0.0, patience=0.0)),
        transport=transport,
    )


@pytest.mark.parametrize(
    ("message", "finish", "reason", "text"),
    [
        ({"content": "ab"}, "abort", "answer.http", ""),
        ({"content": "ab"}, "error", "answer.http", ""),
        ({"content": None, "reasoning_content": "abc"}, "stop", "answer.choices", ""),
        ({"content": "", "reasoning": "abc"}, "stop", "answer.choices", ""),
        ({"content": None}, "stop", "", ""),
        ({"content": "abc", "reasoning_content": "hm"}, "stop", "", "abc"),
        ({"content": "abc", "reasoning_content": None}, None, "", "abc"),
        ({"content": [{"type": "text", "text": "abc"}]}, "stop", "answer.schema", ""),
    ],
)
def test_what_is_no_answer_is_lost_and_not_scored(
    message: dict[str, object], finish: str | None, reason: str, text: str, picture: Path
) -> None:
    pred = asked(picture, json.dumps({"choices": [{"message": message, "finish_reason": finish}]}).encode()).preds[0]
    assert (pred.reason, pred.pred, bool(pred.error)) == (reason, text, bool(reason))


def test_a_model_that_changes_between_two_questions_is_noticed(picture: Path) -> None:
    told = iter([MODELS])
    found = asked(picture, GOOD, lambda: next(told, MODELS.replace(b"/m", b"/other")))
    assert (
        [pred.pred for pred in found.preds] == ["abc"]
        and "serves another model now" in found.stopped
        and "--fresh" in found.stopped
    )
    assert asked(picture, GOOD).stopped == ""


@pytest.mark.parametrize(
    "numbers",
    [
        {"temperature": float("nan")},
        {"temperature": float("inf")},
        {"top_p": float("nan")},
        {"repetition_penalty": float("-inf")},
    ],
)
def test_numbers_that_json_has_not(numbers: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=next(iter(numbers))):
        Sampling(8, **numbers)  # type: ignore[arg-type]


def test_lines_of_the_cache_that_are_whole_but_no_answer(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with AnswerCache(path) as cache:
        cache.put("k", Answer("abc", "stop"), "")
    with path.open("ab") as stream:
        for rest in (b'"key":"\xff","text":""}', b'"key":' + b"[" * 100_000, b'"key":"k","text":null}'):
            stream.write(b'{"check":"' + f"{zlib.crc32(rest):08x}".encode() + b'",' + rest + b"\n")
    with AnswerCache(path) as cache:
        assert (cache.get("k"), cache.damaged) == (Answer("abc", "stop"), 3)


def test_answers_are_kept_in_files_only(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    for name in ("pipe", "device"):
        with pytest.raises(UsageError, match="not a file"):
            AnswerCache(tmp_path / name)


@pytest.mark.parametrize("size", [0, 200])
def test_a_full_disk_is_one_sentence(size: int, picture: Path) -> None:
    write_samples(picture / "t.jsonl", [ocr_sample("a.png", f"prompt {number}", "abc") for number in range(20)])
    (picture / "out").mkdir()
    (picture / "out" / "answers.jsonl").write_bytes(b"" if size == 0 else b"x" * size)
    with serving(lambda path, write: write(whole(page(path)))) as url:
        command = [
            sys.executable,
            "-m",
            "sft",
            "eval",
            str(picture / "t.jsonl"),
            "--url",
            url,
            "-o",
            str(picture / "out"),
            "--no-report",
        ]
        done = subprocess.run(
            command,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)),
        )
    assert done.returncode == 3 and "Traceback" not in done.stderr and "Task exception" not in done.stderr
    assert f"{picture / 'out' / 'answers.jsonl'}: writing failed (File too large)" in done.stderr


def evaluated(folder: Path, rows: str) -> tuple[int, str]:
    write_samples(folder / "t.jsonl", [ocr_sample("a.png", "OCR:", "abc"), ocr_sample("a.png", "OCR:", "abc")])
    (folder / "p.jsonl").write_text(rows)
    command = [
        sys.executable,
        str(ROOT / "eval" / "evaluate.py"),
        "--pred",
        str(folder / "p.jsonl"),
        "--data",
        str(folder / "t.jsonl"),
        "-o",
        str(folder / "out"),
        "--no-report",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


def test_words_of_a_file_of_predictions_are_shown_safely(picture: Path) -> None:
    code, said = evaluated(picture, '{"id": 1, "error": "\\u001b[2Jgone\\u0007"}\n')
    assert code == 1 and "\x1b" not in said and "[2Jgone" in said
    code, _ = evaluated(picture, '{"id": 1, "error": " ", "pred": "abc"}\n{"id": 2, "pred": "abc"}\n')
    preds = predict.read_predictions(picture / "out" / "predictions.jsonl")
    assert code == 1 and [(pred.error, pred.pred) for pred in preds] == [("no reason given", ""), ("", "abc")]


def large(rows: int, columns: int, first: str = "0") -> str:
    cells = "".join("".join(f"<fcel>{row * column % 97}" for column in range(columns)) + "<nl>" for row in range(rows))
    return cells.replace("<fcel>0", f"<fcel>{first}", 1)


def test_a_table_too_large_to_compare_is_still_equal_to_itself() -> None:
    scores = score_one("table", large(1000, 10), large(1000, 10))
    assert {name: scores[name] for name in ("teds", "teds_s", "teds_strict", "cell_f1", "exact")} == dict.fromkeys(
        ("teds", "teds_s", "teds_strict", "cell_f1", "exact"), 1.0
    )
    other = score_one("table", large(1000, 10), large(1000, 10, "x"))
    assert (other["teds"], other["exact"]) == (0.0, 0.0) and 0.99 < other["cell_f1"] < 1


def test_an_answer_with_too_many_cells_has_no_teds() -> None:
    found = score_one("table", "<fcel>a<nl>", "<fcel>a" + "<nl><fcel>a" * MAX_CELLS + "<nl>")
    assert (found["teds"], found["teds_s"], found["exact"]) == (0.0, 0.0, 0.0)


def test_a_chart_too_wide_for_two_rows_is_not_a_chart_without_values() -> None:
    truth = " | ".join(["k", *map(str, range(1500))]) + "\n" + " | ".join(["r", *map(str, range(1500))])
    assert [score_one("chart", truth, pred)["rms_f1"] for pred in ("", "a | b", truth)] == [0.0, 0.0, 1.0]
    assert score_one("chart", truth, truth.replace("\nr | 0", "\nr | 7", 1))["rms_f1"] < 1


@pytest.mark.parametrize("after", ["99999", "9" * 400, "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_a_server_that_wants_to_be_left_alone_for_a_day_is_not_waited_for(after: str, picture: Path) -> None:
    posts: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST" and request.url.path.endswith("/completions"):
            posts.append(request)
            return httpx.Response(429, headers={"Retry-After": after}, json={"error": {"message": "no more today"}})
        return httpx.Response(200, content=MODELS if request.url.path == "/v1/models" else b"{}")

    transport = httpx.MockTransport(answer)
    rows = [(number, ocr_sample("a.png", f"prompt {number}", "abc")) for number in range(1, 201)]
    found = predict.ask(
        prepare(rows, picture, Sampling(8)),
        probe_servers([Endpoint("http://h")], transport=transport),
        predict.options(4, Waits(PATIENCE, patience=1.0)),
        transport=transport,
    )
    assert "no more today" in found.stopped and len(posts) < 80 and len(found.preds) == 200
    assert {pred.reason for pred in found.preds} == {
        "answer.busy",
        "answer.not_asked",
    } and "to be asked again after" in next(pred.error for pred in found.preds if pred.reason == "answer.busy")
