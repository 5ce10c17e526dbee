"""The serving side without a model: commands, ports, servers that fail."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner
from conftest import VERSION
from waiting import PATIENCE, cpu_limit, wait_for

from sft.cli import sft as command
from sft.cli.evaluate import show
from sft.errors import EngineError, ProblemsFound, UsageError
from sft.models import chat_template, versions
from sft.serving import server as serve


def test_cpu_command() -> None:
    argv = serve.server_command(Path("/m"), VERSION, serve.ServerOptions("py", port=8118))
    assert argv == [
        "py",
        "-m",
        "vllm.entrypoints.launchers.api_server.entry",
        "--model",
        "/m",
        "--served-model-name",
        "PaddleOCR-VL-0.9B",
        "--host",
        "127.0.0.1",
        "--port",
        "8118",
        "--trust-request-mm-kwargs",
        "--chat-template-content-format",
        "openai",
        "--mm-processor-cache-gb",
        "0",
        "--max-model-len",
        "4096",
        "--max-num-batched-tokens",
        "4096",
        "--dtype",
        "float32",
        "--enforce-eager",
    ]


def test_gpu_command_does_not_profile_for_hundreds_of_pages() -> None:
    argv = serve.server_command(
        Path("/m"), versions.MODELS["1.6"], serve.ServerOptions("py", device="gpu", gpu_memory=0.5)
    )
    assert argv[argv.index("--max-num-batched-tokens") + 1] == "16384"
    assert argv[argv.index("--gpu-memory-utilization") + 1] == "0.5"
    assert argv[argv.index("--served-model-name") + 1] == "PaddleOCR-VL-1.6-0.9B"
    assert "--trust-remote-code" not in argv


def test_container_command(tmp_path: Path) -> None:
    options = serve.ServerOptions("python", "img:tag", port=8200, device="gpu")
    argv = serve.container_command(Path("/models/m"), VERSION, options, tmp_path)
    assert argv[:3] == ["docker", "run", "--rm"] and "127.0.0.1:8200:8200" in argv and "img:tag" in argv
    assert argv[argv.index("--model_name") + 1] == VERSION.served_name
    assert "max-num-batched-tokens: 16384" in (tmp_path / "vllm.yml").read_text()


def test_port_in_use_is_refused_before_anything_is_loaded(base_model: Path, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        options = serve.ServerOptions("/no/such/python", port=port)
        with (
            pytest.raises(UsageError, match=f"cannot listen on 127.0.0.1:{port}") as caught,
            serve.serving(base_model, VERSION, options, log=tmp_path / "log"),
        ):
            pass
    assert caught.value.hint is not None and "--port" in caught.value.hint
    assert not (tmp_path / "log").exists()


def test_server_that_dies_shows_its_last_words(base_model: Path, tmp_path: Path) -> None:
    program = tmp_path / "python"
    program.write_text(f"#!{sys.executable}\nimport sys\nprint('RuntimeError: no weights for you')\nsys.exit(9)\n")
    program.chmod(0o755)
    options = serve.ServerOptions(str(program), port=serve.free_port())
    with (
        pytest.raises(EngineError, match="exit code 9") as caught,
        serve.serving(base_model, VERSION, options, log=tmp_path / "log"),
    ):
        pass
    assert "no weights for you" in str(caught.value) and caught.value.exit_code == 3


def test_a_server_that_dies_later_is_noticed(base_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program, port = tmp_path / "python", serve.free_port()
    program.write_text(f"""#!{sys.executable}
import http.server, os, threading, time
class Healthy(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.flush()
        print("RuntimeError: out of memory", flush=True)
        threading.Timer(0.5, os._exit, [9]).start()
    def log_message(self, *_):
        pass
http.server.HTTPServer(("127.0.0.1", {port}), Healthy).serve_forever()
""")
    program.chmod(0o755)
    monkeypatch.setattr(serve, "warm_up", lambda *_: None)
    with (
        pytest.raises(EngineError, match="exit code 9") as caught,
        serve.running(
            base_model, VERSION, serve.ServerOptions(str(program), port=port), log=tmp_path / "log"
        ) as server,
    ):
        server.watch()
    assert "out of memory" in str(caught.value)


class Answers(BaseHTTPRequestHandler):
    """Answers a chat request with what the test put into `status` and `tokens`."""

    status, tokens = 200, 0

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        assert json.loads(body)["messages"][0]["content"][0]["type"] == "image_url"
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(json.dumps({"usage": {"prompt_tokens": self.tokens}, "choices": []}).encode())

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def fake_server() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def trained_tokens(base_model: Path) -> int:
    from sft.models.resize import image_tokens
    from sft.models.token_budget import load_tokenizer, pixel_limits

    low, high = pixel_limits(base_model)
    side = int(low**0.5)
    text = load_tokenizer(base_model / "tokenizer.json").encode(
        chat_template.render_prompt(VERSION, "OCR:"), add_special_tokens=False
    )
    return len(text.ids) - 1 + image_tokens(side, side, min_pixels=low, max_pixels=high)


def test_warm_up_accepts_the_trained_prompt_only(
    base_model: Path, fake_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = trained_tokens(base_model)
    monkeypatch.setattr(Answers, "tokens", wanted)
    serve.warm_up(fake_server, VERSION, base_model)
    monkeypatch.setattr(
        Answers, "tokens", wanted + 1
    )  # a newline between image and prompt, as vLLM puts there for templates that it misreads
    with pytest.raises(EngineError, match=f"{wanted + 1} tokens, the trained one {wanted}"):
        serve.warm_up(fake_server, VERSION, base_model)


def test_warm_up_reports_a_refused_image(base_model: Path, fake_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Answers, "status", 500)
    with pytest.raises(EngineError, match="refuses an image with 500"):
        serve.warm_up(fake_server, VERSION, base_model)


def test_version_of(base_model: Path, tmp_path: Path) -> None:
    assert serve.version_of(base_model) is VERSION
    with pytest.raises(UsageError, match="no such model directory"):
        serve.version_of(tmp_path / "none")
    with pytest.raises(ProblemsFound, match="not an exported model"):
        serve.version_of(tmp_path)
    (base_model / "inference.yml").write_text("!!python/object/apply:os.system ['true']")
    with pytest.raises(ProblemsFound, match="does not say which model"):
        serve.version_of(base_model)


BOMB = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9))


@pytest.mark.parametrize(
    "content",
    [
        BOMB + "Global: {model_name: *a8}\n",
        BOMB.replace("[x,x,x,x,x,x,x,x,x]", "{x: 1}").replace("[", "{<<: [").replace("]", "]}")
        + "Global: {model_name: *a8}\n",
        "Global: &a {model_name: *a}",
        "Global: {model_name: [PaddleOCR-VL-0.9B]}",
        "Global: {model_name: 0.9}",
        "Global: {model_name: 2024-99-99}",
        "Global: {model_name: " + "9" * 10_000 + "}",
        "Global: {model_name: " + "x" * 10_000 + "}",
        "Global: {model_name: PaddleOCR-VL-0.9B}\n#" + "x" * 2_000_000,
        "[" * 60_000,
        "{" * 60_000,
        "- " * 30_000,
        "[]",
        "5",
        "",
        "Global: x",
        "Global: []",
        "\x00",
        "{[a]: b}",
    ],
    ids=range(19),
)
@cpu_limit(20)
def test_inference_yml_of_a_stranger(base_model: Path, content: str) -> None:
    (base_model / "inference.yml").write_text(content)
    with pytest.raises(ProblemsFound, match="does not say which model") as caught:
        serve.version_of(base_model)
    assert caught.value.where == str(base_model / "inference.yml")


@pytest.mark.timeout(PATIENCE)
def test_inference_yml_that_is_no_file(base_model: Path) -> None:
    path = base_model / "inference.yml"
    path.unlink()
    for make in (os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/dev/zero")):
        make(path)
        with pytest.raises(ProblemsFound, match="does not say which model"):
            serve.version_of(base_model)
        path.rename(base_model / f"old-{make.__name__}")


SERVER = """#!{python}
import http.server, json, os, sys, threading, time
if "-c" in sys.argv:  # it is asked for the version of vLLM
    sys.exit(print({version!r}))
open({seen!r}, "w").write(str(os.getpid()))
if {mode!r} == "slow":
    time.sleep(600)
class Answers(http.server.BaseHTTPRequestHandler):
    def answer(self, value):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(value).encode())
    def do_GET(self):
        self.answer(dict())
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.answer(dict(usage=dict(prompt_tokens={tokens})))
        if {mode!r} == "dies":
            print("RuntimeError: out of memory", flush=True)
            threading.Timer(0.5, os._exit, [0]).start()
    def log_message(self, *_):
        pass
http.server.HTTPServer(("127.0.0.1", {port}), Answers).serve_forever()
"""


@pytest.mark.timeout(2 * PATIENCE)
@pytest.mark.parametrize(
    ("mode", "number", "code"),
    [("serves", signal.SIGINT, 0), ("serves", signal.SIGTERM, 0), ("slow", signal.SIGINT, 0), ("dies", None, 3)],
)
def test_the_verb(base_model: Path, tmp_path: Path, mode: str, number: signal.Signals | None, code: int) -> None:
    """Ctrl-C before and after it is ready leaves neither a process nor a folder; a server that dies leaves its log."""
    program, port, seen, temporary = tmp_path / "bin" / "python", serve.free_port(), tmp_path / "seen", tmp_path / "tmp"
    program.parent.mkdir()
    temporary.mkdir()
    program.write_text(
        SERVER.format(
            python=sys.executable,
            mode=mode,
            seen=str(seen),
            tokens=trained_tokens(base_model),
            port=port,
            version="0.32.0",
        )
    )
    program.chmod(0o755)
    words = [sys.executable, "-m", "sft", "serve", str(base_model), "--device", "cpu", "--port", str(port)]
    with subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "SFT_SERVER_PYTHON": str(program), "TMPDIR": str(temporary)},
    ) as process:
        assert process.stdout and process.stderr
        if mode == "slow":
            wait_for(lambda: process.poll() is not None or (seen.is_file() and seen.read_text()), "the server to start")
            assert process.poll() is None
        else:
            assert process.stdout.readline() == f"http://127.0.0.1:{port}/v1  model PaddleOCR-VL-0.9B\n"
        if number:
            process.send_signal(number)
        _, talk = process.communicate(timeout=PATIENCE)
    assert process.returncode == code, talk
    assert "Traceback" not in talk and ("stopped" in talk) == (code == 0)
    left = [path.name for path in temporary.rglob("*.log")]
    assert (
        (left == ["server.log"] and "out of memory" in talk and str(temporary) in talk)
        if code
        else not list(temporary.iterdir())
    )
    assert not Path(f"/proc/{seen.read_text()}").exists(), "the server is gone"


@pytest.mark.parametrize(
    "words",
    [
        ("--port", "0"),
        ("--port", "99999"),
        ("--gpu-memory", "2"),
        ("--max-model-len", "0"),
        ("--host", "a" * 300),
        ("--host", "no.such.host.invalid"),
    ],
)
def test_wrong_words(base_model: Path, words: tuple[str, str]) -> None:
    done = CliRunner().invoke(command, ["serve", str(base_model), "--device", "cpu", *words])
    assert done.exit_code == 2 or (
        isinstance(done.exception, UsageError)
        and "cannot listen" in str(done.exception)
        and "None" not in str(done.exception)
    )


def test_a_dry_run_can_be_pasted(base_model: Path) -> None:
    folder = base_model.rename(base_model.with_name("my model"))
    done = CliRunner().invoke(command, ["serve", str(folder), "--dry-run", "--device", "cpu"])
    assert str(folder) in shlex.split(done.stdout), done.output


def test_an_answer_that_is_none(base_model: Path, fake_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("[]", "{}", '{"usage": null}', "5", "<html>", "[" * 100_000):
        monkeypatch.setattr(json, "dumps", lambda _, text=text, **__: text)  # as the server above writes
        with pytest.raises(EngineError, match="is not vLLM"):
            serve.warm_up(fake_server, VERSION, base_model)


def test_what_was_asked_for_by_name_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    usual = dict.fromkeys(("cer", "wer", "ned", "exact", "empty", "truncated"), 0.25)
    counts = {"in": 1, "scored": 1, "lost": 0}
    for parts in (
        {"ocr": {"scores": usual, "counts": counts, "unscored": ""}},
        {name: {"scores": {**usual, "cer_lines": 0.125}, "counts": counts, "unscored": ""} for name in ("ocr", "seal")},
    ):
        show(
            {
                "scores": {**usual, "cer_lines": 0.125},
                "counts": counts,
                "tasks": parts,
                "lost": {},
                "lost_by_reason": {},
            },
            Path("x"),
        )
        assert "cer_lines" in (shown := capsys.readouterr().out) and "12.50%" in shown
