"""The vLLM that is installed decides the command; the client's line fits the model."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest
from conftest import VERSION

from sft.errors import EngineError
from sft.files.atomic import write_json
from sft.models import versions
from sft.serving import server
from sft.serving.client_line import client_lines
from sft.serving.vllm_version import installed_vllm

TRUST, OLD, NEW = "--trust-request-mm-kwargs", "openai.api_server", "launchers.api_server.entry"


def interpreter(folder: Path, code: str) -> str:
    """A program in the place of Python that does `code`, whatever it is told."""
    path = folder / "python"
    path.write_text(f"#!{sys.executable}\nimport sys\n{code}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("version", "module", "trusts"),
    [
        ("0.11.1", OLD, False),
        ("0.15.1+cpu", OLD, False),
        ("0.28.0", OLD, False),
        ("0.29.0", NEW, False),
        ("0.30.0", NEW, False),
        ("0.31.0", NEW, True),
        ("0.32.0", NEW, True),
        ("1.0.0", NEW, True),
        ("0.1.dev7+g0", NEW, True),
        ("", NEW, True),
    ],
)
def test_the_version_decides_the_command(tmp_path: Path, version: str, module: str, trusts: bool) -> None:
    if version:
        assert installed_vllm(interpreter(tmp_path, f"print({version!r})")) == version
    argv = server.server_command(Path("/m"), VERSION, server.ServerOptions("py", vllm=version))
    assert argv[2].endswith(module) and (TRUST in argv) is trusts


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("print('0.10.2')", r"vLLM 0\.10\.2 cannot serve PaddleOCR-VL"),
        ("print('0.11.0')", r"vLLM 0\.11\.0 cannot serve PaddleOCR-VL"),
        ("sys.exit('PackageNotFoundError: vllm')", r"no vLLM in the environment .*PackageNotFoundError: vllm"),
        ("print('hello')", "no vLLM in the environment"),
    ],
)
def test_one_that_cannot_serve_is_named(tmp_path: Path, code: str, said: str) -> None:
    with pytest.raises(EngineError, match=said) as caught:
        installed_vllm(interpreter(tmp_path, code))
    assert "0.11.1" in str(caught.value.hint)
    with pytest.raises(EngineError, match="does not say which vLLM"):
        installed_vllm(str(tmp_path / "none"))


def test_the_context_of_a_cpu_holds_what_the_client_asks_for(base_model: Path) -> None:
    options = server.ServerOptions("py")
    assert server.context_of(base_model, options) == 4096
    write_json(base_model / "config.json", {"max_position_embeddings": 1024})
    assert server.context_of(base_model, options) == 1024
    assert server.context_of(base_model, server.ServerOptions("py", max_model_len=512)) == 512
    assert server.context_of(base_model, server.ServerOptions("py", device="gpu")) is None


def test_the_clients_line() -> None:
    url = "http://127.0.0.1:8118/v1"
    python, shell = client_lines(versions.MODELS["0.9B"], (5600, 7000), url=url, longest=512)
    call = eval(python, {"PaddleOCRVL": lambda **made: Pipeline(made)})
    assert call == {
        "pipeline_version": "v1",
        "vl_rec_backend": "vllm-server",
        "vl_rec_server_url": url,
        "input": "page.png",
        "min_pixels": 5600,
        "max_pixels": 7000,
        "max_new_tokens": 512,
    }
    words = shlex.split(shell)
    assert words[:2] == ["paddleocr", "doc_parser"] and words[2:4] == ["-i", "page.png"]
    named = dict(zip(words[4::2], words[5::2], strict=True))
    assert named == {f"--{name}": str(value) for name, value in call.items() if name != "input"}
    assert "max_new_tokens=4096" in client_lines(versions.MODELS["1.6"], (1, 2), url=url)[0]


class Pipeline:
    """Takes what the client takes."""

    def __init__(self, made: dict[str, object]) -> None:
        self.made = made

    def predict(self, page: str, **given: object) -> dict[str, object]:
        return {**self.made, "input": page, **given}
