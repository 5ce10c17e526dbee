"""The parts that prediction stands on: the file of answers, the limit of requests, what a server tells."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sft.errors import EngineError, UsageError
from sft.evaluation.results import Template, template_of
from sft.files.jsonl import ocr_sample
from sft.inference.answer_cache import AnswerCache, content_hash, prepare
from sft.inference.client import LOST, TIMEOUT, Answer, Endpoint, LostError, Sampling, complaint, decoded
from sft.inference.concurrency import MOST, START, AdaptiveConcurrency
from sft.inference.endpoints import probe_servers
from sft.inference.scheduler import TRIES

SAMPLING = Sampling(64)
UNSAID = ("top_p", "repetition_penalty", "seed", "min_pixels", "max_pixels", "skip_special_tokens")
ANSWERS = [Answer('২৩ \u2028\n"x"', "stop", 0.5), Answer("", "length", 1.25), Answer("long " * 50, "", 0.0)]


def filled(path: Path) -> bytes:
    with AnswerCache(path) as cache:
        for number, answer in enumerate(ANSWERS):
            cache.put(f"key{number}", answer, "http://h")
    return path.read_bytes()


def test_answers_come_back(tmp_path: Path) -> None:
    content = filled(tmp_path / "a.jsonl")
    assert content.count(b"\n") == 3
    with AnswerCache(tmp_path / "a.jsonl") as cache:
        assert (
            [cache.get(f"key{number}") for number in range(4)] == [*ANSWERS, None]
            and cache.damaged == 0
            and len(cache) == 3
        )


def test_a_file_cut_off_anywhere_gives_what_is_whole_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    content = filled(path)
    for length in range(len(content)):
        path.write_bytes(content[:length])
        whole = content[:length].count(b"\n")
        with AnswerCache(path) as cache:
            assert [cache.get(f"key{number}") for number in range(3)] == [*ANSWERS[:whole], *[None] * (3 - whole)]
            assert cache.damaged == (not content[:length].endswith(b"\n") and length > 0)
            cache.put("new", ANSWERS[0], "")
        with AnswerCache(path) as cache:
            assert cache.get("new") == ANSWERS[0] and len(cache) - whole in (1, 2)  # 2: only the line end was missing


def test_no_changed_byte_becomes_an_answer(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    content = filled(path)
    chance = random.Random(1)
    for _ in range(300):
        place, value = chance.randrange(len(content)), chance.randrange(256)
        path.write_bytes(content[:place] + bytes([value]) + content[place + 1 :])
        with AnswerCache(path) as cache:
            assert all(cache.get(f"key{number}") in (answer, None) for number, answer in enumerate(ANSWERS))
            assert len(cache) >= 1 and (content[place] == value or cache.damaged)


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with AnswerCache(tmp_path / "a.jsonl"), pytest.raises(UsageError, match="another process"):
        AnswerCache(tmp_path / "a.jsonl")
    AnswerCache(tmp_path / "a.jsonl").close()
    (tmp_path / "file").write_text("x")
    with pytest.raises(EngineError):
        AnswerCache(tmp_path / "file" / "a.jsonl")


def test_the_key_is_of_everything_that_decides(tmp_path: Path) -> None:
    for name, colour in (("a", "white"), ("b", "black"), ("c", "white")):
        Image.new("RGB", (40, 30), colour).save(tmp_path / f"{name}.png")
    base = ocr_sample("a.png", "OCR:", "x")

    def key(sample: object = base, sampling: Sampling = SAMPLING, model: str = "m") -> str:
        return prepare([(1, sample)], tmp_path, sampling)[0].key(model)  # type: ignore[list-item]

    others = [
        key(ocr_sample("b.png", "OCR:", "x")),
        key(ocr_sample("a.png", "Table Recognition:", "x")),
        key(model="n"),
        *(
            key(sampling=sampling)
            for sampling in (Sampling(65), Sampling(64, 0.1), *(replace(SAMPLING, **{name: True}) for name in UNSAID))
        ),
    ]
    assert len({key(), *others}) == len(others) + 1
    assert (
        key(ocr_sample("c.png", "OCR:", "another truth")) == key()
    )  # neither the name of the image nor the truth decides
    one, other = (
        content_hash(prepare([(1, sample)], tmp_path, SAMPLING)) for sample in (base, ocr_sample("a.png", "OCR:", "y"))
    )
    assert one != other
    missing = prepare([(1, ocr_sample("none.png", "OCR:", "x")), (2, base)], tmp_path, SAMPLING)
    assert "none.png" in missing[0].fault and not missing[1].fault


def simulated(capacity: int, *, refuses: bool = False, rounds: int = 4000) -> AdaptiveConcurrency:
    """Answers of a server that works on `capacity` requests at full speed; beyond, it is slower, or has no room."""
    limit = AdaptiveConcurrency()
    for step in range(rounds):
        flying = limit.allowed
        if refuses and flying > capacity:
            limit.overloaded(sent=step, now=step)
        else:
            limit.answered(max(1.0, flying / capacity), full=True)
    return limit


@pytest.mark.parametrize("capacity", [1, 4, 32, 100])
def test_the_limit_finds_what_a_server_bears(capacity: int) -> None:
    assert capacity * 0.4 <= simulated(capacity, refuses=True).allowed <= capacity + 1
    slowed = simulated(capacity).allowed
    assert max(START, capacity) <= slowed <= 3 * max(START, capacity)


def test_a_strong_server_gets_all_that_is_allowed() -> None:
    assert simulated(10_000, rounds=20_000).allowed == MOST
    assert AdaptiveConcurrency(most=3).allowed == 3


def test_requests_sent_before_a_cut_cut_once() -> None:
    limit = AdaptiveConcurrency(start=64)
    for _ in range(64):
        limit.overloaded(sent=1.0, now=2.0)
    assert limit.allowed == 32


@given(st.lists(st.one_of(st.none(), st.floats(0.001, 1000)), max_size=200))
def test_the_limit_stays_within_its_bounds(events: list[float | None]) -> None:
    limit = AdaptiveConcurrency(most=50)
    for moment, event in enumerate(events):
        if event is None:
            limit.overloaded(sent=moment, now=moment)
        else:
            limit.answered(event, full=True)
        assert 1 <= limit.allowed <= 50


def told(
    models: object, *, version: object = None, props: object = None, tokenize: object = None
) -> httpx.MockTransport:
    def handle(request: httpx.Request) -> httpx.Response:
        pages = {"/v1/models": models, "/version": version, "/props": props, "/tokenize": tokenize}
        found = pages[request.url.path]
        return httpx.Response(404) if found is None else httpx.Response(200, json=found)

    return httpx.MockTransport(handle)


def test_the_fingerprint_is_of_what_stays() -> None:
    def mark(model: dict[str, object], url: str = "http://far", **pages: object) -> str:
        return probe_servers([Endpoint(url)], transport=told({"data": [model]}, **pages)).fingerprint

    base = {"id": "m", "root": "/models/m", "created": 1, "permission": [{"id": "p1"}]}
    assert mark(base) == mark({**base, "created": 2, "permission": [{"id": "p2"}]}) == mark(base, "http://elsewhere")
    assert (
        len(
            {
                mark(base),
                mark({**base, "root": "/models/n"}),
                mark({**base, "id": "n"}),
                mark(base, version={"version": "0.11.0"}),
            }
        )
        == 4
    )


def test_a_template_that_is_not_told_is_known_by_what_comes_of_it() -> None:
    def found(tokenize: object) -> tuple[str, Template]:
        served = probe_servers(
            [Endpoint("http://far")],
            transport=told({"data": [{"id": "m"}]}, version={"version": "0.11.0"}, tokenize=tokenize),
        )
        return served.fingerprint, template_of(None, served.servers[0])

    unknown, one, two = found(None), found({"tokens": [1, 2], "count": 2}), found({"tokens": [1, 2, 3]})
    assert unknown[1] == Template("", "") and one[1].origin == two[1].origin == "token ids"
    assert len({unknown[0], one[0], two[0]}) == 3 == len({unknown[1].sha256, one[1].sha256, two[1].sha256})
    damaged: object
    for damaged in ({"tokens": []}, {"tokens": [1, "x"]}, {"tokens": None}, [1], "x"):
        assert found(damaged) == unknown


def test_a_model_directory_here_is_hashed(base_model: Path) -> None:
    def found(url: str) -> tuple[str, str]:
        served = probe_servers([Endpoint(url)], transport=told({"data": [{"id": "m", "root": str(base_model)}]}))
        return served.fingerprint, served.known_by

    before = found("http://127.0.0.1:1")
    assert before[1] == "directory" and found("http://far")[1] == "name"
    (base_model / "chat_template.jinja").write_text("another")
    assert found("http://127.0.0.1:1")[0] != before[0]


def test_servers_name_their_version_and_template() -> None:
    llama = probe_servers(
        [Endpoint("http://h")],
        transport=told(
            {"data": [{"id": "m", "meta": {"n_params": 5}}]},
            props={"build_info": "b6000-abc", "chat_template": "{{ x }}"},
        ),
    )
    assert (llama.servers[0].version, llama.servers[0].chat_template) == (
        "llama.cpp b6000-abc",
        "{{ x }}",
    ) and "n_params" in llama.servers[0].record
    assert llama.heard(SAMPLING).skip_special_tokens is None  # ignored there: nothing may say that it held
    vllm = probe_servers(
        [Endpoint("http://h")],
        transport=told({"data": [{"id": "m", "max_model_len": 4096}]}, version={"version": "0.11.0"}),
    )
    assert (vllm.servers[0].version, vllm.servers[0].max_model_len) == ("vLLM 0.11.0", 4096)
    assert vllm.heard(SAMPLING) == SAMPLING and SAMPLING.skip_special_tokens is False


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b'{"a": [1, 2', "answer.cut"),
        (b"", "answer.cut"),
        (b"<html>", "answer.json"),
        (b"\xff\xfe", "answer.json"),
        (b"[" * 100_000, "answer.json"),
    ],
)
def test_broken_json_is_told_apart(content: bytes, code: str) -> None:
    with pytest.raises(LostError) as caught:
        decoded(content)
    assert caught.value.code in (code, "answer.cut" if content[:1] == b"[" else code)


def test_codes_and_complaints() -> None:
    assert set(TRIES) <= set(LOST) and TIMEOUT > 0
    assert (
        complaint(b'{"errorCode": 422, "errorMsg": "bad file"}') == "bad file"
        and complaint(b"\xff oops") == "\ufffd oops"
    )
