"""Prediction against servers that answer, stumble, refuse and stall; no socket but one real loopback server."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from PIL import Image
from waiting import with_one_of

from sft.errors import EngineError, ProblemsFound, UsageError
from sft.files.jsonl import ocr_sample
from sft.inference import predict as module
from sft.inference.client import Endpoint, Sampling
from sft.inference.endpoints import probe_servers
from sft.inference.predict import Waits, predict, read_predictions, resolve, write_predictions
from sft.types import Image as ImageInfo
from sft.types import Prediction, Sample, Text
from sft.workflows.evaluate import _who_answers

SAMPLING = Sampling(max_tokens=64)
SERVER = Endpoint("http://server:8000")
MODELS = {"data": [{"id": "PaddleOCR-VL-0.9B"}, {"id": "other"}]}
Reply = Callable[
    [dict[str, object], int], httpx.Response
]  # (body of the request, how many came before for the same prompt)


def chat(text: str | None, finish: str = "stop") -> httpx.Response:
    return httpx.Response(
        200,
        json={"choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": finish}], "usage": {}},
    )


class Fake:
    """A server behind `httpx.MockTransport` that keeps what it was asked."""

    def __init__(self, reply: Reply, models: httpx.Response | None = None) -> None:
        self.reply, self.models = reply, models or httpx.Response(200, json=MODELS)
        self.requests: list[httpx.Request] = []
        self.bodies: list[dict[str, object]] = []
        self.prompts: list[str] = []
        self.transport = httpx.MockTransport(self.handle)

    async def handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if request.url.path.endswith("/models"):
            return self.models
        if request.method == "GET":
            return httpx.Response(404)
        body = json.loads(request.content)
        prompt = body["messages"][0]["content"][-1]["text"]
        before = self.prompts.count(prompt)
        self.bodies.append(body)
        self.prompts.append(prompt)
        await asyncio.sleep(0)
        return self.reply(body, before)


@pytest.fixture
def samples(tmp_path: Path) -> list[tuple[int, Sample]]:
    Image.new("RGB", (60, 30), "white").save(tmp_path / "a.png")
    return [(line, ocr_sample("a.png", f"prompt {line}:", f"ref {line}")) for line in range(1, 6)]


def run(
    fake: Fake, samples: list[tuple[int, Sample]], base: Path, endpoint: Endpoint = SERVER, **options: object
) -> list[Prediction]:
    return predict(
        samples,
        base,
        endpoint,
        SAMPLING,
        transport=fake.transport,
        waits=Waits(backoff=0),
        **options,  # type: ignore[arg-type]
    )


def test_the_request_and_the_answer(samples: list[tuple[int, Sample]], tmp_path: Path) -> None:
    fake = Fake(lambda body, before: chat("২৩", "length"))
    pred = run(fake, samples[:1], tmp_path, Endpoint("http://server:8000/v1/", api_key="secret"))[0]
    assert (pred.id, pred.image, pred.prompt, pred.ref, pred.pred, pred.finish_reason, pred.error) == (
        1,
        "a.png",
        "prompt 1:",
        "ref 1",
        "২৩",
        "length",
        "",
    )
    assert pred.seconds > 0
    pages = [str(request.url) for request in fake.requests if request.url.path not in ("/version", "/props")]
    assert pages == [
        f"http://server:8000/v1/{page}" for page in ("models", "chat/completions", "models")
    ]  # at the end: is it the same model still ?
    assert {request.headers["authorization"] for request in fake.requests} == {"Bearer secret"}
    picture = "data:image/png;base64," + base64.b64encode((tmp_path / "a.png").read_bytes()).decode()
    content = [{"type": "image_url", "image_url": {"url": picture}}, {"type": "text", "text": "prompt 1:"}]
    assert fake.bodies == [
        {
            "model": "PaddleOCR-VL-0.9B",
            "messages": [{"role": "user", "content": content}],
            "max_tokens": 64,
            "temperature": 0.0,
            "skip_special_tokens": False,
        }
    ]


def test_mime_comes_from_the_file_not_from_its_name(tmp_path: Path) -> None:
    Image.new("RGB", (60, 30)).save(tmp_path / "photo.png", "JPEG")
    fake = Fake(lambda body, before: chat("x"))
    run(fake, [(1, ocr_sample("photo.png", "OCR:", "x"))], tmp_path)
    assert '"data:image/jpeg;base64,' in json.dumps(fake.bodies[0])


def test_500_then_an_answer(samples: list[tuple[int, Sample]], tmp_path: Path) -> None:
    fake = Fake(lambda body, before: chat("ok") if before == 2 else httpx.Response(500 if before else 429))
    preds = run(fake, samples, tmp_path)
    assert [pred.pred for pred in preds] == ["ok"] * 5
    assert len(fake.bodies) == 15


def test_500_forever_is_lost_after_three_tries_and_one_alone(samples: list[tuple[int, Sample]], tmp_path: Path) -> None:
    fake = Fake(lambda body, before: httpx.Response(500, text="overloaded"))
    assert run(fake, samples[:1], tmp_path)[0].error == "500: overloaded"
    assert len(fake.bodies) == 4


class Crowded(Fake):
    """A server that answers 500 to what comes while `room` others are in flight, and always to some prompts."""

    def __init__(self, room: int, bad: Callable[[int], bool] = lambda number: False) -> None:
        super().__init__(lambda body, before: chat("ok"))
        self.room = room
        self.bad = bad
        self.flying = 0
        self.broken = False
        self.transport = httpx.MockTransport(self.crowded)

    async def crowded(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return await self.handle(request)
        self.flying += 1
        full = self.flying > self.room
        for _ in range(20):
            await asyncio.sleep(0)
        self.flying -= 1
        answer = await self.handle(request)
        number = int(re.findall(r"prompt ([0-9]+):", request.content.decode())[0])
        return httpx.Response(500, text="CUDA") if full or self.broken or self.bad(number) else answer


def many(count: int) -> list[tuple[int, Sample]]:
    return [(line, ocr_sample("a.png", f"prompt {line}:", f"ref {line}")) for line in range(1, count + 1)]


@pytest.mark.usefixtures("samples")
@pytest.mark.parametrize("room", [1, 4, 20])
def test_overload_that_comes_as_500_loses_nothing(room: int, tmp_path: Path) -> None:
    fake = Crowded(room)
    preds = run(fake, many(200), tmp_path)
    assert [pred.pred for pred in preds] == ["ok"] * 200
    assert len(fake.bodies) < 200 * 3


@pytest.mark.usefixtures("samples")
def test_pictures_that_always_fail_are_named_and_the_rest_is_scored(tmp_path: Path) -> None:
    """Even a block of them that is longer than what is hopeless."""
    fake = Crowded(8, lambda number: 50 < number <= 150)
    preds = run(fake, many(300), tmp_path)
    assert [pred.id for pred in preds if pred.error] == list(range(51, 151))
    assert {(pred.reason, pred.error) for pred in preds if pred.error} == {("answer.http", "500: CUDA")}
    tries = Counter(fake.prompts)
    assert {tries[f"prompt {number}:"] for number in range(51, 151)} == {4}


@pytest.mark.usefixtures("samples")
def test_a_server_that_breaks_for_good_is_not_asked_on(tmp_path: Path) -> None:
    fake = Crowded(8)

    def hear(pred: Prediction) -> None:
        fake.broken = fake.broken or pred.id == 100

    preds = run(fake, many(1000), tmp_path, on_done=hear)
    lost = Counter(pred.reason for pred in preds)
    assert lost[""] >= 50 and lost["answer.not_asked"] > 700, "some wait for their next try when it breaks"
    assert "questions in a row were lost, the last one because: 500: CUDA" in preds[-1].error


@pytest.mark.parametrize(
    "body", [{"error": {"message": "image too big"}}, {"object": "error", "message": "image too big"}]
)
def test_400_is_lost_at_once_with_what_the_server_says(
    body: object, samples: list[tuple[int, Sample]], tmp_path: Path
) -> None:
    fake = Fake(lambda request, before: httpx.Response(400, json=body))
    assert run(fake, samples[:1], tmp_path)[0].error == "400: image too big"
    assert len(fake.bodies) == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"<html>",
        b'{"choices": []}',
        b'{"choices": [{}]}',
        b"[]",
        b'{"choices": [{"message": {"content": 3}}]}',
        b"\xff",
    ],
)
def test_malformed_answers_are_lost(answer: bytes, samples: list[tuple[int, Sample]], tmp_path: Path) -> None:
    fake = Fake(lambda body, before: httpx.Response(200, content=answer))
    preds = run(fake, samples, tmp_path)
    assert [pred.error.startswith("the answer ") and pred.pred == "" for pred in preds] == [True] * 5
    assert {pred.reason for pred in preds} < {"answer.json", "answer.schema", "answer.choices"} and len(
        fake.bodies
    ) == 15


def test_an_empty_answer_is_an_answer(samples: list[tuple[int, Sample]], tmp_path: Path) -> None:
    fake = Fake(lambda body, before: chat(None))
    pred = run(fake, samples[:1], tmp_path)[0]
    assert (pred.pred, pred.error) == ("", "")


def test_a_redirect_is_not_followed(samples: list[tuple[int, Sample]], tmp_path: Path) -> None:
    fake = Fake(lambda body, before: httpx.Response(307, headers={"location": "http://elsewhere/v1/chat/completions"}))
    preds = run(fake, samples[:1], tmp_path)
    assert preds[0].error.startswith("307")
    assert {request.url.host for request in fake.requests} == {"server"}


def test_order_is_kept_and_requests_overlap_within_the_bound(samples: list[tuple[int, Sample]], tmp_path: Path) -> None:
    flying, most = 0, 0
    done: list[Prediction] = []
    three, last = asyncio.Event(), asyncio.Event()

    async def handle(request: httpx.Request) -> httpx.Response:
        nonlocal flying, most
        if request.method == "GET":
            return httpx.Response(200, json=MODELS)
        flying += 1
        most = max(most, flying)
        if flying == 3:
            await asyncio.sleep(0.1)  # for a fourth, which should not come
            three.set()
        await three.wait()
        number = int(json.loads(request.content)["messages"][0]["content"][-1]["text"].split()[1][:-1])
        if number == 5:
            last.set()
        if number == 1:  # the first is answered last
            await last.wait()
        flying -= 1
        return chat(f"answer {number}")

    preds = predict(samples, tmp_path, SERVER, SAMPLING, 3, done.append, transport=httpx.MockTransport(handle))
    assert [(pred.id, pred.pred) for pred in preds] == [(line, f"answer {line}") for line in range(1, 6)]
    assert most == 3
    assert sorted(pred.id for pred in done) == [1, 2, 3, 4, 5]
    assert [pred.id for pred in done] != [1, 2, 3, 4, 5]


def test_a_stalled_request_is_lost_and_the_rest_are_not(samples: list[tuple[int, Sample]], tmp_path: Path) -> None:
    def check(limit: float) -> None:
        calls: list[str] = []

        async def handle(request: httpx.Request) -> httpx.Response:
            if b"prompt 2" in request.content:
                calls.append("stalled")
                await asyncio.Event().wait()
            return httpx.Response(200, json=MODELS) if request.method == "GET" else chat("ok")

        preds = predict(
            samples, tmp_path, SERVER, SAMPLING, waits=Waits(limit, backoff=0), transport=httpx.MockTransport(handle)
        )
        assert [pred.error for pred in preds] == ["", f"no answer within {limit:g} s", "", "", ""]
        assert len(calls) == 2

    with_one_of((0.2, 2, 20), check)


def test_no_server_at_all(samples: list[tuple[int, Sample]], tmp_path: Path) -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("Connection refused")

    with pytest.raises(EngineError, match=r"no server answers.*refused") as caught:
        predict(samples, tmp_path, SERVER, SAMPLING, transport=httpx.MockTransport(refuse))
    assert "sft serve MODEL_DIR" in str(caught.value.hint)


def test_a_server_that_dies_is_not_waited_for_sample_by_sample(
    tmp_path: Path, samples: list[tuple[int, Sample]]
) -> None:
    calls = looks = 0

    def handle(request: httpx.Request) -> httpx.Response:
        nonlocal calls, looks
        if request.method == "GET":
            looks += 1
            if looks > 3:
                raise httpx.ConnectError("Connection refused")
            return httpx.Response(200, json=MODELS)
        calls += 1
        raise httpx.ConnectError("Connection refused")

    many = [
        (line, replace(samples[0][1], text_info=(Text(f"{line}", "mask"), Text("x", "no_mask"))))
        for line in range(1, 201)
    ]
    preds = predict(many, tmp_path, SERVER, SAMPLING, waits=Waits(patience=0.1), transport=httpx.MockTransport(handle))
    assert [pred.id for pred in preds] == list(range(1, 201))
    assert {(pred.reason, pred.error) for pred in preds} == {
        ("answer.not_asked", "not tried: no server has answered for 0.1 s")
    }
    assert calls <= module.CONCURRENCY


def test_a_server_that_looks_alive_and_drops_everything(tmp_path: Path, samples: list[tuple[int, Sample]]) -> None:
    calls = 0

    def handle(request: httpx.Request) -> httpx.Response:
        nonlocal calls
        if request.method == "GET":
            return httpx.Response(200, json=MODELS)
        calls += 1
        raise httpx.RemoteProtocolError("Server disconnected")

    many = [
        (line, replace(samples[0][1], text_info=(Text(f"{line}", "mask"), Text("x", "no_mask"))))
        for line in range(1, 201)
    ]
    preds = predict(many, tmp_path, SERVER, SAMPLING, waits=Waits(patience=0.1), transport=httpx.MockTransport(handle))
    assert len(preds) == 200 and all(pred.error and not pred.pred for pred in preds)
    assert calls <= 100


def test_one_question_that_kills_the_server_takes_no_other_with_it(
    samples: list[tuple[int, Sample]], tmp_path: Path
) -> None:
    flying: set[int] = set()
    fallen: set[int] = set()

    async def handle(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, json=MODELS)
        me = id(request)
        flying.add(me)
        await asyncio.sleep(0.01)
        if b"prompt 2" in request.content:
            fallen.update(flying)
        flying.discard(me)
        await asyncio.sleep(0.01)
        if me in fallen:
            raise httpx.ReadError("reset")
        return chat("ok")

    preds = predict(samples, tmp_path, SERVER, SAMPLING, transport=httpx.MockTransport(handle))
    assert [(pred.pred, pred.reason) for pred in preds] == [
        ("", "answer.cut") if pred.id == 2 else ("ok", "") for pred in preds
    ]


def test_retry_after_is_kept(samples: list[tuple[int, Sample]], tmp_path: Path) -> None:
    asked: list[float] = []

    def reply(body: dict[str, object], before: int) -> httpx.Response:
        asked.append(time.monotonic())
        return chat("ok") if before else httpx.Response(429, headers={"Retry-After": "1"})

    assert run(Fake(reply), samples[:1], tmp_path)[0].pred == "ok"
    assert asked[1] - asked[0] >= 1


def test_several_servers_share_the_work(samples: list[tuple[int, Sample]], tmp_path: Path) -> None:
    hosts: list[str] = []

    async def handle(request: httpx.Request) -> httpx.Response:
        if request.url.host == "gone":
            raise httpx.ConnectError("refused")
        if request.method == "GET":
            return httpx.Response(200, json=MODELS)
        hosts.append(request.url.host)
        await asyncio.sleep(0.01)
        return chat("ok")

    endpoints = [Endpoint("http://one"), Endpoint("http://gone"), Endpoint("http://two")]
    preds = predict(samples, tmp_path, endpoints, SAMPLING, 1, transport=httpx.MockTransport(handle))
    assert [pred.pred for pred in preds] == ["ok"] * 5 and set(hosts) == {"one", "two"}


def test_two_models_are_not_mixed(samples: list[tuple[int, Sample]], tmp_path: Path) -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        return httpx.Response(
            200, json={"data": [{"id": "m", "root": f"/models/{request.url.host}", "created": time.time_ns()}]}
        )

    with pytest.raises(UsageError, match="do not serve the same model"):
        predict(
            samples,
            tmp_path,
            [Endpoint("http://one"), Endpoint("http://two")],
            SAMPLING,
            transport=httpx.MockTransport(handle),
        )


def test_the_pipeline_service(samples: list[tuple[int, Sample]], tmp_path: Path) -> None:
    bodies: list[dict[str, object]] = []

    def handle(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            assert request.url.path == "/health"
            return httpx.Response(200, json={"logId": "1", "errorCode": 0, "errorMsg": "Healthy"})
        assert request.url.path == "/layout-parsing"
        bodies.append(json.loads(request.content))
        if bodies[-1]["promptLabel"] == "chart":
            return httpx.Response(200, json={"logId": "1", "errorCode": 500, "errorMsg": "Internal server error"})
        page = {
            "prunedResult": {
                "parsing_res_list": [{"block_label": "ocr", "block_content": "২৩"}, {"block_content": "x"}]
            },
            "markdown": {"text": "**২৩**", "images": None},
        }
        return httpx.Response(
            200,
            json={
                "logId": "1",
                "result": {"layoutParsingResults": [page], "dataInfo": {}},
                "errorCode": 0,
                "errorMsg": "Success",
            },
        )

    three = [
        (line, ocr_sample("a.png", prompt, "x"))
        for line, prompt in enumerate(("OCR:", "Chart Recognition:", "Read this."), 1)
    ]
    endpoint = Endpoint("http://server:8080/layout-parsing", kind="pipeline")
    preds = predict(
        three,
        tmp_path,
        endpoint,
        Sampling(64, max_pixels=1_003_520),
        waits=Waits(backoff=0),
        transport=httpx.MockTransport(handle),
    )
    assert [(pred.pred, pred.reason) for pred in preds] == [("২৩\nx", ""), ("", "answer.http"), ("", "answer.prompt")]
    asked = next(body for body in bodies if body["promptLabel"] == "ocr")
    assert base64.b64decode(str(asked["file"])) == (tmp_path / "a.png").read_bytes()
    assert {
        "fileType": 1,
        "useLayoutDetection": False,
        "promptLabel": "ocr",
        "maxNewTokens": 64,
        "temperature": 0.0,
        "maxPixels": 1_003_520,
    }.items() <= asked.items()


def test_pixel_limits_and_sampling_are_sent(samples: list[tuple[int, Sample]], tmp_path: Path) -> None:
    fake = Fake(lambda body, before: chat("ok"))
    predict(
        samples[:1],
        tmp_path,
        SERVER,
        Sampling(64, 0.5, top_p=0.9, seed=3, min_pixels=784, max_pixels=1000),
        transport=fake.transport,
    )
    assert {key: value for key, value in fake.bodies[0].items() if key not in ("messages", "model")} == {
        "max_tokens": 64,
        "temperature": 0.5,
        "top_p": 0.9,
        "seed": 3,
        "mm_processor_kwargs": {"min_pixels": 784, "max_pixels": 1000},
        "skip_special_tokens": False,
    }


def test_special_tokens_stay_in_the_answer(samples: list[tuple[int, Sample]], tmp_path: Path) -> None:
    """A server that does as vLLM does: special tokens are taken out unless the request says otherwise."""

    def answer(body: dict[str, object], before: int) -> httpx.Response:
        text = "<fcel>1<fcel>2<nl>"
        return chat(re.sub("<.*?>", "", text) if body.get("skip_special_tokens", True) else text)

    fake = Fake(answer)
    assert run(fake, samples[:1], tmp_path)[0].pred == "<fcel>1<fcel>2<nl>"
    taken = predict(samples[:1], tmp_path, SERVER, Sampling(64, skip_special_tokens=True), transport=fake.transport)
    assert taken[0].pred == "12"


def test_a_missing_image_is_lost_not_wrong(samples: list[tuple[int, Sample]], tmp_path: Path) -> None:
    fake = Fake(lambda body, before: chat("ok"))
    preds = run(fake, [samples[0], (2, ocr_sample("gone.png", "OCR:", "x"))], tmp_path)
    assert [bool(pred.error) for pred in preds] == [False, True]
    assert "gone.png" in preds[1].error


def test_model_names(samples: list[tuple[int, Sample]], tmp_path: Path) -> None:
    fake = Fake(lambda body, before: chat("ok"))
    assert resolve(SERVER, transport=fake.transport) == Endpoint("http://server:8000", "PaddleOCR-VL-0.9B")
    assert resolve(Endpoint("http://server:8000", "other"), transport=fake.transport).model == "other"
    with pytest.raises(UsageError, match="does not serve 'PaddleOCR-VL'") as caught:
        run(fake, samples, tmp_path, Endpoint("http://server:8000", "PaddleOCR-VL"))
    assert caught.value.hint == "did you mean PaddleOCR-VL-0.9B ?"
    assert fake.bodies == []


def test_a_server_without_a_list_needs_the_name() -> None:
    fake = Fake(lambda body, before: chat("ok"), models=httpx.Response(404, text="Not Found"))
    assert resolve(Endpoint("http://server:8000", "mine"), transport=fake.transport).model == "mine"
    with pytest.raises(EngineError, match="lists no model"):
        resolve(SERVER, transport=fake.transport)


def test_a_wrong_key_is_said_once() -> None:
    fake = Fake(lambda body, before: chat("ok"), models=httpx.Response(401))
    with pytest.raises(EngineError, match="API key"):
        resolve(SERVER, transport=fake.transport)
    with pytest.raises(UsageError, match="no header can carry"):
        resolve(Endpoint("http://server", api_key="a\nb"), transport=fake.transport)


@pytest.mark.parametrize(
    "url", ["http://h:1", "http://h:1/", "http://h:1/v1", "http://h:1/v1/", "http://h:1/v1/chat/completions"]
)
def test_addresses(url: str) -> None:
    assert Endpoint(url).base == "http://h:1/v1"


@pytest.mark.parametrize("url", ["", "localhost:8000", "h", "ftp://h", "http://", "http://h:port", "http://h:99999"])
def test_no_addresses(url: str) -> None:
    with pytest.raises(UsageError, match="not an address"):
        resolve(Endpoint(url))


def test_the_key_stays_out_of_the_log() -> None:
    assert "secret" not in repr(Endpoint("http://h", api_key="secret"))


def test_bad_input(samples: list[tuple[int, Sample]], tmp_path: Path) -> None:
    fake = Fake(lambda body, before: chat("ok"))
    with pytest.raises(UsageError, match="concurrency 0"):
        run(fake, samples, tmp_path, concurrency=0)
    with pytest.raises(ProblemsFound, match="line 7"):
        run(fake, [(7, Sample((Text("OCR:", "mask"),), (ImageInfo("a.png"),)))], tmp_path)
    assert fake.requests == []
    assert run(fake, [], tmp_path) == []


def test_predictions_survive_the_disk(tmp_path: Path) -> None:
    preds = [
        Prediction(1, "a.png", "OCR:", "২৩\n", "২৩ \u2028", "length", 0.25),
        Prediction(2, "b.png", "OCR:", "x", "", "", 1.0, "no answer within 1 s"),
    ]
    path = tmp_path / "predictions.jsonl"
    write_predictions(path, preds)
    assert len(path.read_bytes().splitlines()) == 2
    assert b"seconds" not in path.read_bytes()  # it would make two runs with equal answers differ
    assert read_predictions(path) == [replace(pred, seconds=0.0) for pred in preds]
    path.write_bytes(path.read_bytes() + b'{"id": "three"}\n')
    with pytest.raises(ProblemsFound, match=r"predictions.jsonl:3: not a prediction"):
        read_predictions(path)


def test_a_base_and_its_adapter_are_not_taken_for_each_other() -> None:
    listed = {"data": [{"id": "base", "parent": None}, {"id": "tuned", "parent": "base"}]}
    fake = Fake(lambda body, before: chat("x"), httpx.Response(200, json=listed))
    with pytest.raises(UsageError, match="a base model and adapters of it: base, tuned") as error:
        resolve(SERVER, transport=fake.transport)
    assert "--model" in str(error.value)
    for name, other in (("base", "tuned"), ("tuned", "base")):
        served = probe_servers([Endpoint("http://server:8000", name)], transport=fake.transport)
        assert (served.endpoint.model, served.servers[0].others) == (name, (other,))
        assert _who_answers(served) == f"asking {name}; not {other}, served at the same address"


class Handler(BaseHTTPRequestHandler):
    """The smallest server that vLLM's clients accept."""

    def do_GET(self) -> None:
        self.answer(MODELS)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.answer(
            {"choices": [{"message": {"content": body["messages"][0]["content"][1]["text"]}, "finish_reason": "stop"}]}
        )

    def answer(self, value: object) -> None:
        data = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: object) -> None: ...


@pytest.fixture
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_address[1]}"
        httpd.shutdown()
        thread.join()


def test_a_real_server_despite_a_proxy(
    server: str, samples: list[tuple[int, Sample]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    preds = predict(samples, tmp_path, Endpoint(server), SAMPLING)
    assert [(pred.pred, pred.error) for pred in preds] == [(sample.prompt, "") for _, sample in samples]
    assert resolve(Endpoint(server)).model == "PaddleOCR-VL-0.9B"


def test_a_port_where_nobody_listens() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        port = httpd.server_address[1]
    with pytest.raises(EngineError, match="no server answers"):
        resolve(Endpoint(f"http://127.0.0.1:{port}"))


@pytest.mark.parametrize(
    ("url", "direct"),
    [
        ("http://10.1.2.3:8118", True),
        ("http://192.168.0.7/v1", True),
        ("http://[fd00::1]:8118", True),
        ("http://localhost:1", True),
        ("http://model.example.org", False),
        ("http://8.8.8.8", False),
    ],
)
def test_a_proxy_is_named_and_private_addresses_go_direct(
    url: str, direct: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://me:secret@proxy.example.org:3128")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert Endpoint(url).near == direct
    assert Endpoint(url).proxy == ("" if direct else "http://proxy.example.org:3128")
    down = httpx.MockTransport(lambda request: httpx.Response(502))
    with pytest.raises(EngineError) as error:
        resolve(Endpoint(url), transport=down)
    assert ("goes through" in str(error.value) or "go through the proxy" in str(error.value)) is not direct
    assert "secret" not in str(error.value)
