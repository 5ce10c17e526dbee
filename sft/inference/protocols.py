"""What a question looks like on the wire, and how the answer is read: one record per kind of server.

chat, the OpenAI-style API that vLLM, llama.cpp, SGLang and PaddleOCR's genai_server speak
(https://github.com/vllm-project/vllm/blob/v0.11.0/docs/features/multimodal_inputs.md):

    POST http://host:port/v1/chat/completions
    {"model": "PaddleOCR-VL-0.9B", "max_tokens": 1024, "temperature": 0.0, "messages": [{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBOR…"}}, {"type": "text", "text":
        "OCR:"}]}]}

pipeline, PaddleX's layout-parsing service (paddlex 3.7.2, `inference/serving/schemas/paddleocr_vl.py`), asked for one
element without layout detection. It sends the model's own prompt for a task and fixes what the model says (tables
become HTML, long repetitions are cut), so its answers are the pipeline's, not the model's:

    POST http://host:port/layout-parsing
    {"file": "iVBOR…", "fileType": 1, "useLayoutDetection": false, "promptLabel": "ocr", "maxNewTokens": 1024, …}
    {"errorCode": 0, "result": {"layoutParsingResults": [{"prunedResult": {"parsing_res_list": [{"block_content":
    "…"}]},
        "markdown": {"text": "…"}}]}}

An image goes out byte for byte as it lies on disk.

`skip_special_tokens` is a field of vLLM and SGLang (protocol.py of both); llama.cpp's server ignores what it does not
know, and the pipeline decides by itself (false for Spotting, true for all else). `Served.heard` says what is left of a
sampling that way.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from sft.images import probe
from sft.inference.client import Answer, EndpointKind, LostError, Sampling, decoded, shown
from sft.models import TASK_OF

MIME = {  # formats that are read → what a server is told; a phone's MPO starts with a plain JPEG
    "PNG": "image/png",
    "JPEG": "image/jpeg",
    "MPO": "image/jpeg",
    "WEBP": "image/webp",
    "TIFF": "image/tiff",
    "BMP": "image/bmp",
    "GIF": "image/gif",
    "PPM": "image/x-portable-anymap",
    "JPEG2000": "image/jp2",
}

BROKEN_OFF = (
    "abort",
    "error",
)  # finish_reason of vLLM and SGLang where the engine failed or was stopped: what there is of an answer is none


@dataclass(frozen=True)
class Question:
    """What a model is asked: images by their paths, and the prompt."""

    images: tuple[Path, ...]
    prompt: str
    sampling: Sampling


@dataclass(frozen=True)
class RequestProtocol:
    """One kind of server. `alive`: a page that a living server answers; `body` raises what `data_uri` raises, and
    LostError.
    """

    path: str
    alive: str
    body: Callable[[Question, str], bytes]
    read: Callable[[bytes], Answer]


def data_uri(path: Path) -> str:
    """An image file, byte for byte, as `data:image/png;base64,…`.

    ImageProblem or OSError where it cannot be read as one.
    """
    mime = MIME.get(probe(path).format, "application/octet-stream")
    return f"data:{mime};base64,{_base64(path)}"


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def _given(**values: object) -> dict[str, object]:
    return {name: value for name, value in values.items() if value is not None}


def _chat_body(question: Question, model: str) -> bytes:
    sampling = question.sampling
    content: list[dict[str, Any]] = [
        {"type": "image_url", "image_url": {"url": data_uri(path)}} for path in question.images
    ]
    content.append({"type": "text", "text": question.prompt})
    pixels = _given(min_pixels=sampling.min_pixels, max_pixels=sampling.max_pixels)
    return msgspec.json.encode(
        {
            "model": model,
            "messages": [{"role": "user", "content": content}],
            "max_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
            **_given(
                top_p=sampling.top_p,
                repetition_penalty=sampling.repetition_penalty,
                seed=sampling.seed,
                mm_processor_kwargs=pixels or None,
                skip_special_tokens=sampling.skip_special_tokens,
            ),
        }
    )


class _Message(msgspec.Struct):
    content: str | None = None
    reasoning_content: Any = None
    reasoning: Any = None


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: str | None = None


class _Chat(msgspec.Struct):
    choices: list[_Choice]


def _chat_answer(content: bytes) -> Answer:
    choices = _shaped(content, _Chat, "a chat completion").choices
    if not choices:
        raise LostError("answer.choices", "the answer has no choices")
    said = choices[0].message
    reason = choices[0].finish_reason or ""
    if reason in BROKEN_OFF:
        raise LostError("answer.http", f"the server cut the answer off (finish_reason {reason})")
    if not said.content and (said.reasoning_content or said.reasoning):
        raise LostError(
            "answer.choices", "the server took the answer for reasoning: start it without a reasoning parser"
        )
    return Answer(said.content or "", reason)  # SGLang says null for an empty answer


def _shaped(content: bytes, shape: type[Any], name: str) -> Any:
    try:
        return msgspec.convert(decoded(content), shape)
    except msgspec.ValidationError as error:
        raise LostError("answer.schema", f"the answer is not {name}: {error}") from error


def _pipeline_body(question: Question, model: str) -> bytes:
    task = TASK_OF.get(question.prompt)
    if task is None:
        raise LostError(
            "answer.prompt",
            f"the pipeline has no task for the prompt {question.prompt!r}; it knows {', '.join(map(repr, TASK_OF))}",
        )
    if len(question.images) != 1:
        raise LostError("answer.prompt", f"the pipeline takes one image, this sample has {len(question.images)}")
    sampling = question.sampling
    probe(question.images[0])  # raises for what is no image
    return msgspec.json.encode(
        {
            "file": _base64(question.images[0]),
            "fileType": 1,
            "useLayoutDetection": False,
            "promptLabel": task.value,
            "useDocOrientationClassify": False,
            "useDocUnwarping": False,
            "returnMarkdownImages": False,
            "visualize": False,
            "prettifyMarkdown": False,
            "temperature": sampling.temperature,
            "maxNewTokens": sampling.max_tokens,
            **_given(
                topP=sampling.top_p,
                repetitionPenalty=sampling.repetition_penalty,
                minPixels=sampling.min_pixels,
                maxPixels=sampling.max_pixels,
                vlmExtraArgs={"seed": sampling.seed} if sampling.seed is not None else None,
            ),
        }
    )


class _Block(msgspec.Struct):
    block_content: str = ""


class _Pruned(msgspec.Struct):
    parsing_res_list: list[_Block] | None = None


class _Markdown(msgspec.Struct):
    text: str = ""


class _Page(msgspec.Struct):
    prunedResult: _Pruned = msgspec.field(default_factory=_Pruned)  # noqa: N815  (the service's own names)
    markdown: _Markdown = msgspec.field(default_factory=_Markdown)


class _Parsed(msgspec.Struct):
    layoutParsingResults: list[_Page]  # noqa: N815


class _Pipeline(msgspec.Struct):
    result: _Parsed | None = None
    errorCode: int = 0  # noqa: N815
    errorMsg: str = ""  # noqa: N815


def _pipeline_answer(content: bytes) -> Answer:
    reply: _Pipeline = _shaped(content, _Pipeline, "a reply of the layout-parsing service")
    if reply.errorCode:
        raise LostError(
            "answer.http",
            f"{reply.errorCode}: {shown(reply.errorMsg)}",
        )
    if reply.result is None:
        raise LostError("answer.schema", "the answer has no result")
    pages = reply.result.layoutParsingResults
    if not pages:
        raise LostError("answer.choices", "the answer has no pages")
    return Answer(
        "\n".join(_page_text(page) for page in pages),
        "",
    )


def _page_text(page: _Page) -> str:
    blocks: Sequence[_Block] | None = page.prunedResult.parsing_res_list
    return page.markdown.text if blocks is None else "\n".join(block.block_content for block in blocks)


PROTOCOLS: dict[EndpointKind, RequestProtocol] = {
    "chat": RequestProtocol("v1/chat/completions", "v1/models", _chat_body, _chat_answer),
    "pipeline": RequestProtocol("layout-parsing", "health", _pipeline_body, _pipeline_answer),
}
