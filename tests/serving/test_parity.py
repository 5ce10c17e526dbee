"""Transformers against vLLM: the switch that puts its positions right, and what is compared."""

from __future__ import annotations

import http.server
import json
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sft.errors import EngineError, ProblemsFound
from sft.files.atomic import read_json
from sft.runtime.workers.transformers_answers import can_be_read, correct_positions
from sft.serving import parity
from sft.serving.parity import LIMIT, TIE, Parity, compare, keep_probabilities


def model(**switches: bool) -> Any:
    """A model of two modules, one of which may have the switch."""
    return SimpleNamespace(modules=lambda: [SimpleNamespace(), tower], tower=(tower := SimpleNamespace(**switches)))


@pytest.mark.parametrize(
    ("version", "switch", "said"),
    [
        ("5.3.0", None, "right"),
        ("5.12.1", None, "right"),
        ("5.13.0", None, "wrong"),
        ("5.15.2", None, "wrong"),
        ("5.16.0", True, "corrected"),
        ("5.19.0", True, "corrected"),
        ("5.22.2", True, "corrected"),
        ("5.23.0", False, "right"),
        ("5.24.0.dev0", None, "right"),
        ("4.57.6", None, "right"),
    ],
)
def test_positions(version: str, switch: bool | None, said: str) -> None:
    made = model() if switch is None else model(interpolation_align_corners=switch)
    assert correct_positions(made, version) == said
    assert not getattr(made.tower, "interpolation_align_corners", False)


def test_a_version_that_cannot_be_corrected_is_named(
    bengali_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = ['{"transformers": "5.14.0", "positions": "wrong"}']
    monkeypatch.setattr(parity, "run_json", lambda *_, **__: lines)
    with pytest.raises(ProblemsFound, match=r"Transformers 5\.14\.0 places"):
        parity.check_parity(tmp_path, bengali_data, [], server_python="py", max_tokens=4, log=tmp_path / "log")


def test_an_answer_with_the_mark_of_an_image_is_not_read_back() -> None:
    config = SimpleNamespace(image_token_id=9)
    assert can_be_read([1, 2], config) and can_be_read([1, 2], SimpleNamespace())
    assert not can_be_read([1, 9], config) and not can_be_read([], config)


def test_probabilities_decide_where_texts_agree() -> None:
    answers = [
        {"text": "1", "margin": 5.0, "logprobs": [-0.5, -0.25]},
        {"text": "2", "margin": 5.0, "logprobs": [-1.0]},
    ]
    near = compare(answers, ["1", "2"], [[-0.5, -0.25 + LIMIT / 2], None])
    assert near.ok and near.tokens == 2 and near.apart == pytest.approx(LIMIT / 2)
    far = compare(answers, ["1", "2"], [[-0.5, -0.25], [-1.0 - 2 * LIMIT]])
    assert far.equal == far.asked == 2 and not far.ok and f"{LIMIT:g} is allowed" in str(far)
    assert compare(answers, ["1", "2"]) == Parity(2, 2, 0) and compare(answers, ["1", "2"]).ok


def test_a_tie_is_what_the_limit_allows() -> None:
    """Half a logit is no rounding: with the right positions two kernels are apart by a hundred thousandth."""
    assert not compare([{"text": "1", "margin": 0.4}], ["2"]).ok
    assert compare([{"text": "1", "margin": TIE / 2}], ["2"]).ok


class Told(http.server.BaseHTTPRequestHandler):
    asked: list[dict[str, Any]] = []
    reply: Any = None

    def do_POST(self) -> None:
        self.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(self.reply).encode())

    def log_message(self, *_: object) -> None: ...


@pytest.mark.parametrize("whole", [True, False])
def test_what_vllm_tells_is_kept(
    bengali_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: bool
) -> None:
    content = [{"token": "token_id:17", "logprob": -0.5}, {"token": "token_id:2", "logprob": -0.25}]
    reply = {"choices": [{"logprobs": {"content": content} if whole else None}]}
    monkeypatch.setattr(Told, "reply", reply)
    monkeypatch.setattr(Told, "asked", [])
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Told)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_address[1]}"
        if not whole:
            with pytest.raises(EngineError, match="tells no log-probabilities"):
                keep_probabilities(url, "m", bengali_data, 9, tmp_path / "p.json")
            return
        keep_probabilities(url, "m", bengali_data, 9, tmp_path / "p.json")
    finally:
        server.shutdown()
        server.server_close()
    found = read_json(tmp_path / "p.json")
    assert len(found) == len(Told.asked) == parity.PARITY_SAMPLES
    assert found["1"] == {"tokens": [17, 2], "logprobs": [-0.5, -0.25]}
    assert Told.asked[0]["logprobs"] is True and Told.asked[0]["max_tokens"] == 9
