"""Ask a served model for every sample, over the OpenAI-style API that vLLM and its relatives speak.

One request (https://github.com/vllm-project/vllm/blob/v0.11.0/docs/features/multimodal_inputs.md):

    POST http://host:port/v1/chat/completions
    {"model": "PaddleOCR-VL-0.9B", "max_tokens": 1024, "temperature": 0.0, "messages": [{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBOR…"}}, {"type": "text", "text": "OCR:"}]}]}

An image goes out byte for byte as it lies on disk. A request without an answer becomes a `Prediction` with `error`: lost, never empty.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from time import perf_counter
from typing import Any

import httpx
import msgspec

from sft.errors import EngineError, ProblemsFound, UsageError
from sft.images import ImageProblem, probe
from sft.jsonl import atomic_write, open_input
from sft.types import Prediction, Sample

CONCURRENCY = 8  # requests in flight; a server batches what arrives together
TIMEOUT = 120.0  # seconds for one request from the first byte out to the last byte in
CONNECT_TIMEOUT = 10.0  # seconds
TRIES = 3
BACKOFF = 0.5  # seconds before the second try, doubled before each further one
GIVE_UP = 32  # requests lost in a row to a refused connection before the rest are not tried: the server is gone
SHOWN = 300  # characters of a server's own message that are kept
START = "`sft serve MODEL_DIR` starts one; `curl {url}/models` shows whether it answers"
MIME = {  # formats that are read → what a server is told; a phone's MPO starts with a plain JPEG
    "PNG": "image/png", "JPEG": "image/jpeg", "MPO": "image/jpeg", "WEBP": "image/webp", "TIFF": "image/tiff", "BMP": "image/bmp", "GIF": "image/gif",
    "PPM": "image/x-portable-anymap", "JPEG2000": "image/jp2",
}  # fmt: skip
_LOOPBACK = ("localhost", "127.0.0.1", "::1", "0.0.0.0")  # where HTTP_PROXY has no business


@dataclass(frozen=True)
class Endpoint:
    """Where a model is served. `url` with or without `/v1`; `model` None: the first one that the server lists."""

    url: str
    model: str | None = None
    api_key: str | None = field(default=None, repr=False)  # kept out of logs and tracebacks

    @property
    def base(self) -> str:
        """`http://host:port/v1`, however the user wrote it. UsageError where it is no http address."""
        try:
            parsed = httpx.URL(self.url)
        except httpx.InvalidURL as error:
            raise UsageError(f"not an address: {error}", where=self.url, hint="write it as http://host:port") from error
        if parsed.scheme not in ("http", "https") or not parsed.host or (parsed.port or 0) > 65535:
            raise UsageError("not an address of a server", where=self.url, hint="write it as http://host:port")
        return self.url.rstrip("/").removesuffix("/chat/completions").removesuffix("/v1") + "/v1"


@dataclass(frozen=True)
class Sampling:
    """How answers are drawn. `max_tokens` bounds one answer; `temperature` 0 is greedy and repeatable."""

    max_tokens: int
    temperature: float = 0.0


class _Message(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: str | None = None


class _Answer(msgspec.Struct):
    choices: list[_Choice]


class _LostError(Exception):
    """Why one request has no answer; `again` where a further try may help, `refused` where the server could not be spoken to."""

    def __init__(self, reason: str, *, again: bool = False, refused: bool = False) -> None:
        super().__init__(reason)
        self.again = again
        self.refused = refused


def resolve(endpoint: Endpoint, *, transport: httpx.AsyncBaseTransport | None = None) -> Endpoint:
    """The same endpoint with the name of a model that the server lists, after it has answered once.

    EngineError: no server there, or it lists nothing and no name was given. UsageError: it does not serve that name.
    """
    return asyncio.run(_resolve(endpoint, transport))


def predict(
    samples: Sequence[tuple[int, Sample]],
    base: Path,
    endpoint: Endpoint,
    sampling: Sampling,
    concurrency: int = CONCURRENCY,
    on_done: Callable[[Prediction], None] | None = None,
    *,
    timeout: float = TIMEOUT,
    backoff: float = BACKOFF,
    transport: httpx.AsyncBaseTransport | None = None,
) -> list[Prediction]:
    """One prediction per (line, sample), in input order; `on_done` hears of each as it comes, in any order.

    base: folder that the images' paths count from. concurrency: requests in flight. timeout, backoff: seconds.
    transport: `httpx.MockTransport` in tests. Connection errors, 429 and 5xx are tried three times, nothing else twice.
    EngineError: no server there; ProblemsFound: a sample without an answer to compare with; UsageError: a bad number or name.
    """
    if concurrency < 1 or sampling.max_tokens < 1 or timeout <= 0:
        raise UsageError(f"concurrency {concurrency}, max_tokens {sampling.max_tokens} and timeout {timeout} must all be above 0")
    for line, sample in samples:
        if all(text.tag != "no_mask" for text in sample.text_info):
            raise ProblemsFound("a sample without an answer cannot be evaluated", where=f"line {line}", hint="`sft validate` shows all of them")

    async def ask() -> list[Prediction]:
        resolved = await _resolve(endpoint, transport)
        async with _client(endpoint, transport) as client:
            run = _Run(client, resolved, sampling, base, timeout, backoff)
            return await run.all(samples, concurrency, on_done)

    return asyncio.run(ask())


def write_predictions(path: Path, preds: Iterable[Prediction]) -> None:
    """One JSON object per line, written whole or not at all."""
    with atomic_write(path) as stream:
        for pred in preds:
            stream.write(msgspec.json.encode(pred) + b"\n")


def read_predictions(path: Path) -> list[Prediction]:
    """What `write_predictions` wrote. ProblemsFound with the line where a row is something else."""
    decoder = msgspec.json.Decoder(Prediction)
    preds = []
    with open_input(path) as stream:
        for number, line in enumerate(stream, 1):
            try:
                preds.append(decoder.decode(line))
            except msgspec.MsgspecError as error:
                raise ProblemsFound(f"not a prediction: {error}", where=f"{path}:{number}", hint="`sft eval` writes this file") from error
    return preds


def _client(endpoint: Endpoint, transport: httpx.AsyncBaseTransport | None) -> httpx.AsyncClient:
    base, key = endpoint.base, endpoint.api_key or ""
    if not (key.isascii() and key.isprintable()):
        raise UsageError("the API key has characters that no header can carry", hint="look for a line end or a curly quote copied with it")
    return httpx.AsyncClient(
        base_url=base + "/",
        headers={"Authorization": f"Bearer {key}"} if key else {},
        timeout=httpx.Timeout(None, connect=CONNECT_TIMEOUT),  # the whole request is timed in _Run.post
        limits=httpx.Limits(max_connections=None),  # the workers are the limit
        follow_redirects=False,  # a redirect could carry the images and the key elsewhere
        trust_env=httpx.URL(base).host not in _LOOPBACK,
        transport=transport,
    )


async def _resolve(endpoint: Endpoint, transport: httpx.AsyncBaseTransport | None) -> Endpoint:
    hint = START.format(url=endpoint.base)
    try:
        async with _client(endpoint, transport) as client:
            response = await client.get("models", timeout=CONNECT_TIMEOUT)
    except httpx.TransportError as error:
        raise EngineError(f"no server answers: {error!r}", where=endpoint.url, hint=hint) from error
    if response.status_code in (401, 403):
        raise EngineError(f"the server wants another API key ({response.status_code})", where=endpoint.url, hint="give the key it was started with")
    names = _names(response)
    if endpoint.model is None:
        if not names:
            raise EngineError(f"the server lists no model ({response.status_code} for /v1/models)", where=endpoint.url, hint=f"give the model's name; {hint}")
        return replace(endpoint, model=names[0])
    if names and endpoint.model not in names:  # a server that lists nothing may still serve it
        close = get_close_matches(endpoint.model, names, n=1, cutoff=0.4)
        advice = f"did you mean {close[0]} ?" if close else "leave the name out to take the first one listed"
        raise UsageError(f"the server does not serve {endpoint.model!r}, it serves {', '.join(names)}", where=endpoint.url, hint=advice)
    return endpoint


def _names(response: httpx.Response) -> list[str]:
    with suppress(msgspec.MsgspecError, KeyError, TypeError):  # an error, or no such page: no names
        return [str(model["id"]) for model in msgspec.json.decode(response.content)["data"]]
    return []


@dataclass
class _Run:
    """One pass over the samples; `refused` counts lost connections in a row."""

    client: httpx.AsyncClient
    endpoint: Endpoint
    sampling: Sampling
    base: Path
    timeout: float
    backoff: float
    refused: int = 0

    async def all(self, samples: Sequence[tuple[int, Sample]], concurrency: int, on_done: Callable[[Prediction], None] | None) -> list[Prediction]:
        """Workers that share one iterator, so that a million samples need no million tasks."""
        results: list[Prediction | None] = [None] * len(samples)
        todo = iter(enumerate(samples))

        async def worker() -> None:
            for index, (line, sample) in todo:
                results[index] = pred = await self.one(line, sample)
                if on_done:
                    on_done(pred)

        await asyncio.gather(*(worker() for _ in range(min(concurrency, len(samples)))))
        return [pred for pred in results if pred is not None]

    async def one(self, line: int, sample: Sample) -> Prediction:
        """The answer to one sample, or its loss. `seconds` is the whole time, waits before further tries included."""
        pred = Prediction(id=line, image=sample.image_info[0].image_url, prompt=sample.prompt, ref=sample.ref, pred="", finish_reason="")
        if self.refused >= GIVE_UP:
            return replace(pred, error=f"not tried: the server refused {self.refused} requests in a row")
        start = perf_counter()
        try:
            choice = await self.ask(await asyncio.to_thread(self.payload, sample))
        except (ImageProblem, OSError, _LostError) as error:
            self.refused = self.refused + 1 if isinstance(error, _LostError) and error.refused else 0
            return replace(pred, seconds=perf_counter() - start, error=str(error))
        self.refused = 0
        return replace(pred, pred=choice.message.content or "", finish_reason=choice.finish_reason or "", seconds=perf_counter() - start)

    def payload(self, sample: Sample) -> bytes:
        """The request's body; raises what `data_uri` raises."""
        uris = [data_uri(self.base / image.image_url) for image in sample.prompt_images]
        content: list[dict[str, Any]] = [{"type": "image_url", "image_url": {"url": uri}} for uri in uris]
        content.append({"type": "text", "text": sample.prompt})
        return msgspec.json.encode({
            "model": self.endpoint.model, "messages": [{"role": "user", "content": content}],
            "max_tokens": self.sampling.max_tokens, "temperature": self.sampling.temperature,
        })  # fmt: skip

    async def ask(self, body: bytes) -> _Choice:
        """Try, wait, try again where that can help."""
        for attempt in range(TRIES - 1):
            try:
                return await self.post(body)
            except _LostError as lost:
                if not lost.again:
                    raise
            await asyncio.sleep(self.backoff * 2**attempt)
        return await self.post(body)

    async def post(self, body: bytes) -> _Choice:
        """One request under the time limit; httpx's own limits count between bytes and never end a slow trickle."""
        request = self.client.post("chat/completions", content=body, headers={"Content-Type": "application/json"})
        try:
            response = await asyncio.wait_for(request, self.timeout)
        except asyncio.TimeoutError as error:  # not the builtin one before Python 3.11
            raise _LostError(f"no answer within {self.timeout:g} s") from error
        except httpx.HTTPError as error:
            refused = isinstance(error, httpx.TransportError)
            raise _LostError(repr(error), again=refused, refused=refused) from error
        status = response.status_code
        if status != 200:
            raise _LostError(_complaint(response), again=status == 429 or status >= 500)
        return _choice(response)


def _choice(response: httpx.Response) -> _Choice:
    try:
        choices = msgspec.json.decode(response.content, type=_Answer).choices
    except msgspec.MsgspecError as error:
        raise _LostError(f"the answer is not a chat completion: {error}") from error
    if not choices:
        raise _LostError("the answer has no choices")
    return choices[0]


def _complaint(response: httpx.Response) -> str:
    """`400: …` with what the server says about it, wherever in the body that stands."""
    body: Any = response.text
    with suppress(msgspec.MsgspecError):
        body = msgspec.json.decode(response.content)
    for key in ("error", "message"):
        body = body.get(key, body) if isinstance(body, dict) else body
    return f"{response.status_code}: {' '.join(str(body).split())[:SHOWN]}"


def data_uri(path: Path) -> str:
    """An image file, byte for byte, as `data:image/png;base64,…`. ImageProblem or OSError where it cannot be read as one."""
    mime = MIME.get(probe(path).format, "application/octet-stream")
    return f"data:{mime};base64,{base64.b64encode(path.read_bytes()).decode()}"
