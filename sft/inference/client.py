"""One request to one server: what is sent, what comes back, and by which of its names it failed.

Two kinds of servers are spoken to (`sft.inference.protocols`). Everything that is not an answer raises `LostError` with
a code of LOST, so that a slow server, a cut line and a broken reply are never taken for a wrong answer, nor for each
other.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from math import isfinite
from typing import Any, Literal
from urllib.request import getproxies, proxy_bypass

import httpx
import msgspec

from sft.errors import UsageError

TIMEOUT = 120.0  # seconds for one request from the first byte out to the last byte in
CONNECT_TIMEOUT = 10.0  # seconds
MAX_ANSWER_BYTES = 16 * 1024 * 1024  # of one reply; 16 384 tokens take some 100 kB, and up to 256 replies come at once
MAX_WAIT = 60.0  # seconds that a server may ask to be left alone; one that asks for more is not waited for
SHOWN = 300  # characters of a server's own message that are kept
REPLACED = "\ufffd"  # for a character of it that cannot be shown
LOOPBACK = ("localhost", "127.0.0.1", "::1", "0.0.0.0")  # this machine

# why a request has no answer: code → meaning
LOST: dict[str, str] = {
    "answer.image": "the image cannot be read",
    "answer.prompt": "this kind of server cannot be asked with this prompt",
    "answer.refused": "no server listens at the address",
    "answer.cut": "the connection ended before the answer was whole",
    "answer.timeout": "no whole answer within the time limit",
    "answer.busy": "the server has no room (429 or 503)",
    "answer.http": "the server answers with an error",
    "answer.json": "the answer is not JSON",
    "answer.schema": "the answer is JSON, but not the reply it should be",
    "answer.choices": "the reply holds no answer",
    "answer.too_large": f"the answer has more than {MAX_ANSWER_BYTES:,} bytes",
    "answer.not_asked": "the servers were gone before its turn came",
    "answer.absent": "the file of predictions has no row for it",
}
EndpointKind = Literal["chat", "pipeline"]


@dataclass(frozen=True)
class Endpoint:
    """Where a model is served. `url` with or without `/v1`; `model` None: the first one that the server lists.

    kind: "chat" for OpenAI-style servers, "pipeline" for PaddleX's layout-parsing service.
    """

    url: str
    model: str | None = None
    api_key: str | None = field(default=None, repr=False)  # kept out of logs and tracebacks
    kind: EndpointKind = "chat"

    @property
    def root(self) -> str:
        """`http://host:port`, however the user wrote it. UsageError where it is no http address."""
        try:
            parsed = httpx.URL(self.url)
        except httpx.InvalidURL as error:
            raise UsageError(
                f"not an address: {error}", where=self.public, hint="write it as http://host:port"
            ) from error
        if parsed.scheme not in ("http", "https") or not parsed.host or (parsed.port or 0) > 65535:
            raise UsageError("not an address of a server", where=self.public, hint="write it as http://host:port")
        if "?" in self.url or "#" in self.url:
            plain = self.public.partition("?")[0].partition("#")[0]
            raise UsageError(
                "the address of a server has no ? or #",
                where=plain,
                hint="write it as http://host:port; a key goes into --api-key or SFT_API_KEY",
            )
        return (
            self.url.rstrip("/")
            .removesuffix("/chat/completions")
            .removesuffix("/layout-parsing")
            .removesuffix("/v1")
            .rstrip("/")
        )

    @property
    def base(self) -> str:
        """`http://host:port/v1`."""
        return self.root + "/v1"

    @property
    def local(self) -> bool:
        """Whether the server is on this machine."""
        return httpx.URL(self.root).host in LOOPBACK

    @property
    def near(self) -> bool:
        """Whether the address is of this machine or of a private network, where HTTP_PROXY has no business."""
        with suppress(ValueError):
            address = ip_address(httpx.URL(self.root).host)
            return address.is_private or address.is_loopback or address.is_link_local
        return self.local

    @property
    def proxy(self) -> str:
        """The proxy of the environment that requests go through, without its password; "" where there is none."""
        url = httpx.URL(self.root)
        if self.near or proxy_bypass(url.host):
            return ""
        named = getproxies()
        address = named.get(url.scheme) or named.get("all") or ""
        scheme, mark, rest = address.partition("://")
        return shown(f"{scheme}{mark}{rest.rpartition('@')[2]}")

    @property
    def public(self) -> str:
        """The address without a name and password before the host: result files are passed on."""
        scheme, mark, rest = self.url.partition("://")
        host, slash, path = rest.partition("/")
        return shown(f"{scheme}{mark}{host.rpartition('@')[2]}{slash}{path}")


@dataclass(frozen=True)
class Sampling:
    """How answers are drawn. `max_tokens` bounds one answer; `temperature` 0 is greedy and repeatable. None: as the
    server does.

    min_pixels, max_pixels: the size that images are brought to before the model sees them.
    skip_special_tokens: whether the server takes special tokens out of the answer. The cells of a table and the places
    of Spotting are such tokens with some tokenizers, so they are asked for; the end token stays out either way.
    """

    max_tokens: int
    temperature: float = 0.0
    top_p: float | None = None
    repetition_penalty: float | None = None
    seed: int | None = None
    min_pixels: int | None = None
    max_pixels: int | None = None
    skip_special_tokens: bool | None = False

    def __post_init__(self) -> None:
        for name in ("temperature", "top_p", "repetition_penalty"):
            if not isfinite(getattr(self, name) or 0.0):  # JSON has no such number: the server would take its own
                raise UsageError(f"{name} {getattr(self, name)} is not a number that a server accepts")


@dataclass(frozen=True)
class Answer:
    """What a server said, as it said it; `seconds` from the request to the last byte."""

    text: str
    finish_reason: str = ""
    seconds: float = 0.0


class LostError(Exception):
    """Why one request has no answer.

    `wait`: seconds for which the server asked to be left alone, if it did; `gone`: it could not be spoken to.
    """

    def __init__(self, code: str, message: str, *, wait: float | None = None, gone: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.wait = wait
        self.gone = gone


def http_client(endpoint: Endpoint, transport: httpx.AsyncBaseTransport | None = None) -> httpx.AsyncClient:
    """A client for one server; UsageError for an address or a key that cannot be used. transport: for tests."""
    root = endpoint.root
    key = endpoint.api_key or ""
    if not (key.isascii() and key.isprintable()):
        raise UsageError(
            "the API key has characters that no header can carry",
            hint="look for a line end or a curly quote copied with it",
        )
    return httpx.AsyncClient(
        base_url=root + "/",
        # a reply that comes packed may be a million times as large as what was sent
        headers={"Accept-Encoding": "identity", **({"Authorization": f"Bearer {key}"} if key else {})},
        timeout=httpx.Timeout(None, connect=CONNECT_TIMEOUT),  # the whole request is timed in `post`
        limits=httpx.Limits(max_connections=None),  # the pool is the limit
        follow_redirects=False,  # a redirect could carry the images and the key elsewhere
        trust_env=not endpoint.near,
        transport=transport,
    )


async def post(client: httpx.AsyncClient, path: str, body: bytes, timeout: float) -> bytes:
    """The body of a reply with status 200; LostError otherwise.

    The limit is for the whole request: httpx's own count between bytes and never end a slow trickle.
    """
    try:
        status, headers, content = await asyncio.wait_for(exchange(client, "POST", path, body), timeout)
    except asyncio.TimeoutError as error:  # not the builtin one before Python 3.11
        raise LostError("answer.timeout", f"no answer within {timeout:g} s") from error
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        raise LostError("answer.refused", repr(error), gone=True) from error
    except httpx.HTTPError as error:
        raise LostError("answer.cut", repr(error), gone=True) from error
    if status != httpx.codes.OK:
        raise LostError(
            "answer.busy" if status in (429, 503) else "answer.http",
            f"{status}: {complaint(content)}",
            wait=_wait(headers),
        )
    return content


async def exchange(
    client: httpx.AsyncClient, method: str, path: str, body: bytes | None = None
) -> tuple[int, httpx.Headers, bytes]:
    """Status, headers and body of a reply of at most MAX_ANSWER_BYTES, however long it takes.

    LostError: it is larger, or packed; httpx.HTTPError.
    """
    async with client.stream(
        method, path, content=body, headers={"Content-Type": "application/json"} if body is not None else {}
    ) as response:
        packed = response.headers.get("content-encoding", "").strip().lower()
        if packed not in ("", "identity"):
            raise LostError("answer.json", f"the answer is packed ({shown(packed)}), which was not asked for")
        content = bytearray()
        async for piece in response.aiter_bytes():
            content += piece
            if len(content) > MAX_ANSWER_BYTES:
                raise LostError("answer.too_large", LOST["answer.too_large"])
        return response.status_code, response.headers, bytes(content)


def _wait(headers: httpx.Headers) -> float | None:
    """Retry-After in seconds, whether it says seconds or a date; None where it says neither."""
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    with suppress(ValueError, TypeError, OverflowError, IndexError):
        left = (parsedate_to_datetime(value) - datetime.now(timezone.utc)).total_seconds()
        return max(left, 0.0)
    return None


def decoded(content: bytes) -> Any:
    """A reply as JSON. LostError: it is none; one that ends too early was cut, by a proxy or a server that died."""
    try:
        return msgspec.json.decode(content)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        if "truncated" in str(error):
            raise LostError("answer.cut", f"the answer ends after {len(content)} bytes, within its JSON") from error
        raise LostError("answer.json", f"the answer is not JSON: {error}") from error


def complaint(content: bytes) -> str:
    """What a server says about an error, wherever in its body that stands."""
    body: Any = content.decode("utf-8", "replace")
    with suppress(msgspec.MsgspecError, RecursionError, ValueError):
        body = msgspec.json.decode(content)
    for key in ("error", "message", "errorMsg"):
        body = body.get(key, body) if isinstance(body, dict) else body
    return shown(str(body))


def shown(text: str) -> str:
    """Untrusted words for a terminal or a page: one line of at most SHOWN characters, none of which moves a cursor,
    rings, or turns the writing round.
    """
    return "".join(
        character if character.isprintable() else REPLACED for character in " ".join(text[: 4 * SHOWN].split())
    )[:SHOWN]
