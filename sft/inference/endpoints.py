"""What a server says it serves, and a fingerprint of it: answers of two models must never be taken for each other's.

/v1/models names the model; vLLM adds `root` (what it was started with) and max_model_len, llama.cpp the size of the
weights. Times and random ids in that list are left out. Where `root` is a directory of this machine and the server runs
here, the hash of its weights, tokenizer, template and pixel limits is part of the fingerprint. Elsewhere a server that
was restarted with other weights under the same name cannot be told apart; `sft eval --fresh` asks everything again.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import httpx
import msgspec

from sft import models
from sft.errors import EngineError, SftError, UsageError
from sft.inference.client import CONNECT_TIMEOUT, Endpoint, LostError, Sampling, exchange, http_client, shown
from sft.inference.protocols import PROTOCOLS

START = "`sft serve MODEL_DIR` starts one; `curl {url}/models` shows whether it answers"
LLAMA_CPP = "llama.cpp"
PIPELINE = "PaddleOCR-VL pipeline"  # a name for what tells none
TOLD = ("id", "root", "parent", "owned_by", "max_model_len", "meta")  # what stays the same from call to call
PROBE = [
    {"role": "user", "content": [{"type": "text", "text": "OCR:"}]}
]  # a question whose tokens stand for a template that is not told
MAX_FACTS = 64 * 1024  # bytes of what a server tells about one model
MAX_NAME = 1000  # characters of a model's name, which may be a path


@dataclass(frozen=True)
class Server:
    """A server that answered once.

    `endpoint` has the model's name; `record`: what it told of it; `version`: "vLLM 0.11.0", or ""; `others`: names of
    further models at the same address.
    """

    endpoint: Endpoint
    record: str = ""
    version: str = ""
    max_model_len: int | None = None
    chat_template: str | None = None
    probed: str = ""  # SHA-256 of the token ids that the server makes of PROBE, where it tells them
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class Served:
    """Servers of one model.

    `fingerprint`: of the model, short; `known_by`: "directory" (its files were hashed) or "name".
    """

    servers: tuple[Server, ...]
    fingerprint: str
    known_by: str
    directory: Path | None = None
    silent: dict[str, str] = field(default_factory=dict)  # address → why it does not take part

    @property
    def endpoint(self) -> Endpoint:
        """The first one."""
        return self.servers[0].endpoint

    def heard(self, sampling: Sampling) -> Sampling:
        """The sampling without what servers of this kind are known not to listen to: results must not say it held."""
        deaf = any(server.version.startswith(LLAMA_CPP) for server in self.servers)
        return replace(sampling, skip_special_tokens=None) if deaf or self.endpoint.kind == "pipeline" else sampling


def probe_servers(
    endpoints: Sequence[Endpoint], *, transport: httpx.AsyncBaseTransport | None = None, model_hash: str = ""
) -> Served:
    """Ask all servers what they serve. model_hash: of the model directory, where the caller knows it.

    EngineError: none answers. UsageError: one does not serve that name, or two serve different models.
    """
    if not endpoints:
        raise UsageError("no server address given", hint="write it as http://host:port")
    results = asyncio.run(_survey(endpoints, transport))
    servers = [result for result in results if isinstance(result, Server)]
    faults = {
        endpoint.public: result
        for endpoint, result in zip(endpoints, results, strict=True)
        if isinstance(result, EngineError)
    }
    if not servers:
        raise next(iter(faults.values()))
    first = servers[0]
    for other in servers[1:]:
        if other.record != first.record:
            raise UsageError(
                f"two servers do not serve the same model: {first.endpoint.public} tells {shown(first.record)},"
                f" {other.endpoint.public} tells {shown(other.record)}",
                hint="start both with the same model, by the same path",
            )
    directory = _directory(first)
    digest = model_hash or (_hash(directory) if directory else "")
    text = json.dumps(
        [
            first.endpoint.kind,
            digest or first.record,
            sorted({server.version for server in servers}),
            "" if digest else _whose(first) + first.probed,
        ]
    )
    fingerprint = hashlib.sha256(text.encode()).hexdigest()[:16]
    return Served(
        tuple(servers),
        fingerprint,
        "directory" if digest else "name",
        directory,
        {url: fault.message for url, fault in faults.items()},
    )


def _whose(server: Server) -> str:
    """A pipeline tells nothing of its model: its address has to stand for it."""
    return server.endpoint.public if server.endpoint.kind == "pipeline" else ""


async def _survey(
    endpoints: Sequence[Endpoint], transport: httpx.AsyncBaseTransport | None
) -> list[Server | EngineError]:
    async def one(endpoint: Endpoint) -> Server | EngineError:
        try:
            async with http_client(endpoint, transport) as client:
                server = await asyncio.wait_for(probe_server(client, endpoint), 2 * CONNECT_TIMEOUT)
                return (
                    replace(server, **await _more(client, server.endpoint.model)) if endpoint.kind == "chat" else server
                )
        except EngineError as error:
            return error
        except asyncio.TimeoutError:
            return EngineError(
                f"no server answers: nothing within {2 * CONNECT_TIMEOUT:g} s",
                where=endpoint.public,
                hint=START.format(url=endpoint.base),
            )

    return list(await asyncio.gather(*(one(endpoint) for endpoint in endpoints)))


async def probe_server(client: httpx.AsyncClient, endpoint: Endpoint) -> Server:
    """What a server tells now. EngineError: it does not answer or has no model; UsageError: not the one asked for."""
    hint = (
        START.format(url=replace(endpoint, url=endpoint.public).base)
        if endpoint.kind == "chat"
        else "`paddlex --serve --pipeline PaddleOCR-VL` starts one"
    )
    if endpoint.proxy:
        hint = f"requests go through the proxy {endpoint.proxy}; NO_PROXY={httpx.URL(endpoint.root).host} avoids it"
    try:
        status, _, content = await asyncio.wait_for(
            exchange(client, "GET", PROTOCOLS[endpoint.kind].alive), CONNECT_TIMEOUT
        )
    except asyncio.TimeoutError as error:
        raise EngineError(
            f"no server answers: nothing within {CONNECT_TIMEOUT:g} s", where=endpoint.public, hint=hint
        ) from error
    except (httpx.HTTPError, LostError) as error:
        raise EngineError(f"no server answers: {error!r}", where=endpoint.public, hint=hint) from error
    if status in (401, 403):
        raise EngineError(
            f"the server requires another API key ({status})",
            where=endpoint.public,
            hint="give the key it was started with: --api-key or SFT_API_KEY",
        )
    if status >= 500:
        raise EngineError(f"the server is not ready ({status})", where=endpoint.public, hint=hint)
    if endpoint.kind == "pipeline":
        if status != httpx.codes.OK:
            raise EngineError(f"this is not a pipeline: {status} for /health", where=endpoint.public, hint=hint)
        return Server(
            replace(endpoint, model=endpoint.model or PIPELINE), record=json.dumps({"id": endpoint.model or PIPELINE})
        )
    return _chosen(endpoint, _models(content), status, hint)


def _chosen(endpoint: Endpoint, listed: list[dict[str, Any]], status: int, hint: str) -> Server:
    names = [str(model["id"]) for model in listed]
    if endpoint.model is None and not names:
        raise EngineError(
            f"the server lists no model ({status} for /v1/models)",
            where=endpoint.public,
            hint=f"give the model's name; {hint}",
        )
    parents = [str(model["parent"]) for model in listed if model.get("parent")]
    if endpoint.model is None and parents:
        raise UsageError(
            f"the server serves a base model and adapters of it: {shown(', '.join(names))}",
            where=endpoint.public,
            hint="say with --model which of them is to be asked",
        )
    name = endpoint.model or names[0]
    if names and name not in names:  # a server that lists nothing may still serve it
        close = get_close_matches(name, names, n=1, cutoff=0.4)
        advice = f"did you mean {close[0]} ?" if close else "leave the name out to take the first one listed"
        raise UsageError(
            f"the server does not serve {name!r}, it serves {shown(', '.join(names))}",
            where=endpoint.public,
            hint=advice,
        )
    entry = listed[names.index(name)] if names else {"id": name}
    facts = json.dumps(
        {key: entry[key] for key in TOLD if entry.get(key) is not None},
        sort_keys=True,
    )
    limit = entry.get("max_model_len")
    return Server(
        replace(endpoint, model=name),
        record=facts[:MAX_FACTS],
        others=tuple(other for other in names if other != name),
        max_model_len=limit if type(limit) is int and limit > 0 else None,
    )


def _models(content: bytes) -> list[dict[str, Any]]:
    """Those with a name that can be shown and sent."""
    with suppress(
        msgspec.MsgspecError, KeyError, TypeError, ValueError, RecursionError
    ):  # an error, or no such page: no names
        listed = [model for model in msgspec.json.decode(content)["data"] if isinstance(model, dict)]
        return [
            model
            for model in listed
            if isinstance(name := model.get("id"), str) and name and name.isprintable() and len(name) <= MAX_NAME
        ]
    return []


async def _more(client: httpx.AsyncClient, model: str | None) -> dict[str, Any]:
    """The server's name and version, and its template, where it tells them: vLLM's /version and /tokenize, llama.cpp's
    /props.
    """
    for page in ("version", "props"):
        with suppress(
            httpx.HTTPError, LostError, asyncio.TimeoutError, msgspec.MsgspecError, ValueError, RecursionError
        ):
            status, _, content = await asyncio.wait_for(exchange(client, "GET", page), CONNECT_TIMEOUT)
            body = msgspec.json.decode(content) if status == httpx.codes.OK else None
            if isinstance(body, dict) and isinstance(body.get("version"), str):
                return {
                    "version": f"vLLM {shown(body['version'])}"[:200],
                    "probed": await _probe(client, model),
                }
            if isinstance(body, dict) and isinstance(body.get("build_info"), str):
                template = body.get("chat_template")
                return {
                    "version": f"{LLAMA_CPP} {shown(body['build_info'])}"[:200],
                    "chat_template": template if isinstance(template, str) else None,
                }
    return {}


async def _probe(client: httpx.AsyncClient, model: str | None) -> str:
    """What vLLM makes of PROBE before the model reads it: its template and tokenizer, in one hash. "" where it does
    not say.
    """
    body = msgspec.json.encode({"model": model, "messages": PROBE, "add_generation_prompt": True})
    with suppress(httpx.HTTPError, LostError, asyncio.TimeoutError, msgspec.MsgspecError, ValueError, RecursionError):
        status, _, content = await asyncio.wait_for(exchange(client, "POST", "tokenize", body), CONNECT_TIMEOUT)
        answer = msgspec.json.decode(content) if status == httpx.codes.OK else None
        tokens = answer.get("tokens") if isinstance(answer, dict) else None
        if isinstance(tokens, list) and tokens and all(type(token) is int for token in tokens):
            return hashlib.sha256(json.dumps(tokens).encode()).hexdigest()
    return ""


def _directory(server: Server) -> Path | None:
    """The model directory of a server on this machine, if it tells one and it is there."""
    with suppress(ValueError, OSError):
        root = json.loads(server.record).get("root") if server.record else None
        if (
            server.endpoint.local
            and isinstance(root, str)
            and Path(root).is_absolute()
            and (Path(root) / "config.json").is_file()
        ):
            return Path(root)
    return None


def _hash(directory: Path) -> str:
    with suppress(SftError, OSError):
        return models.fingerprint(directory)
    return ""
