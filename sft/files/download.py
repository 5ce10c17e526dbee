"""Files from addresses that somebody else wrote: only public hosts, bounded sizes, resumable, whole or not at all.

An address in a data set could name a service inside the user's own network. So every hop is checked before it is asked,
redirects are followed by hand, and the transport connects to the very address that was checked: a name that resolves
differently a moment later (DNS rebinding) gains nothing. One gap remains: where the environment names a proxy
(HTTPS_PROXY, …), the proxy resolves the name again, and what it may reach is its own decision.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO
from urllib.request import getproxies

import httpx

from sft.errors import EngineError, ProblemsFound, UsageError
from sft.files.atomic import disk_error
from sft.files.atomic import sha256 as sha256_of

MAX_REDIRECTS = 5
BACKOFF = (0.5, 1.0, 2.0)  # seconds before each of the three retries
TIMEOUT = httpx.Timeout(30.0, connect=10.0)  # seconds; read: between two chunks
RETRY_STATUS = frozenset({408, 425, 429})  # "later", beside every 5xx
UNICAST = ipaddress.ip_network("2000::/3")  # all that is routed between networks
NAT64 = ipaddress.ip_network("64:ff9b::/96")

OnBytes = Callable[[int, "int | None"], None]  # bytes so far, bytes in all where the server says so
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Unreachable(EngineError):
    """No answer at all: no network, no such host, or a server that stays away. Trying later may help."""


class _Again(Exception):
    """The server said "later", or a piece must be fetched anew."""


def check_public(url: str, allow_private: bool = False) -> list[str]:
    """The addresses a URL's host resolves to, all of them public; `allow_private` is for tests and servers of one's
    own.

    UsageError for another scheme than http(s) and for a host with any address that is not public; Unreachable where the
    host does not resolve.
    """
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, UnicodeError) as error:  # UnicodeError: half of a character (a lone surrogate)
        raise UsageError(f"not an address: {url[:200]!r} ({error})") from error
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise UsageError(f"only http and https addresses are fetched, found {url[:200]!r}")
    try:
        infos = socket.getaddrinfo(
            parsed.host,
            parsed.port or 443,
            type=socket.SOCK_STREAM,
        )
    except (OSError, UnicodeError) as error:
        message = f"the host {parsed.host} cannot be found: there is no network, or no such host"
        raise Unreachable(message, where=url[:200], hint="check the connection and the address") from error
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in infos))  # in the system's order of preference
    private = [] if allow_private else [address for address in addresses if not _is_public(address)]
    if private:
        hint = "an address inside a network is never fetched; copy the file by hand"
        raise UsageError(
            f"{parsed.host} is {private[0]}, which is not a public address",
            where=url[:200],
            hint=hint,
        )
    return addresses


def _is_public(text: str) -> bool:
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
        if inner is not None:  # an IPv4 address in another dress
            return _is_public(str(inner))
        if address not in UNICAST:  # old and local ways to write an IPv4 address, addresses of a site
            return False
    return address.is_global and not address.is_multicast


class PublicTransport(httpx.BaseTransport):
    """Connects to the address that was checked, and tells the server (Host, SNI, certificate) the name.

    One pool per host: otherwise two names at one address would share a TLS connection made for only one of them.
    """

    def __init__(self, allow_private: bool = False) -> None:
        self._allow_private = allow_private
        self._pools: dict[str, httpx.HTTPTransport] = {}
        self._lock = threading.Lock()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Ask the first address of the host that accepts a connection."""
        addresses = check_public(str(request.url), self._allow_private)
        host = request.url.host
        with self._lock:
            if host not in self._pools:
                self._pools[host] = httpx.HTTPTransport()
            pool = self._pools[host]
        for position, address in enumerate(addresses, 1):
            extensions = {**request.extensions, "sni_hostname": host}
            pinned = httpx.Request(
                request.method,
                request.url.copy_with(host=address),
                headers=request.headers,
                stream=request.stream,
                extensions=extensions,
            )
            try:
                return pool.handle_request(pinned)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                if position == len(addresses):
                    raise
        raise httpx.ConnectError(f"{host} has no address")

    def close(self) -> None:
        """Close every pool."""
        for pool in self._pools.values():
            pool.close()


def make_client(allow_private: bool = False) -> httpx.Client:
    """A client for `fetch_file`: time-outs, no redirects of its own, no credentials; safe to share between threads."""
    transport = None if {"http", "https", "all"} & getproxies().keys() else PublicTransport(allow_private)
    return httpx.Client(
        transport=transport,
        timeout=TIMEOUT,
        follow_redirects=False,
        headers={"User-Agent": "paddleocr-vl-sft", "Accept-Encoding": "identity"},
    )


def fetch_file(
    url: str,
    dest: Path,
    *,
    client: httpx.Client,
    max_bytes: int,
    on_progress: OnBytes | None = None,
    sha256: str | None = None,
    allow_private: bool = False,
) -> str:
    """Fetch `url` into `dest`, whole or not at all; returns the SHA-256 (hex) of its content.

    What has arrived waits in `dest.part`, and the same call goes on from there. Three retries on lost connections and
    5xx. Errors: UsageError for an address that is not public; Unreachable (an EngineError) where nobody answers;
    EngineError for any other answer than the file; ProblemsFound for more than `max_bytes` or another hash than
    `sha256`.
    """
    part = dest.with_name(f"{dest.name}.part")
    try:
        dest.parent.mkdir(parents=True, exist_ok=True)
        _with_retries(url, part, client, max_bytes, on_progress, allow_private)
        digest = sha256_of(part)
        if sha256 and digest != sha256.lower():
            _forget(part)  # resuming would only lengthen the wrong file
            hint = "the published file has changed, or was altered on its way"
            raise ProblemsFound(
                f"the file has SHA-256 {digest}, expected {sha256.lower()}",
                where=url[:200],
                hint=hint,
            )
        os.replace(part, dest)
        _forget(part)
    except OSError as error:
        raise disk_error(error, dest) from error
    return digest


def _with_retries(
    url: str, part: Path, client: httpx.Client, max_bytes: int, on_progress: OnBytes | None, allow_private: bool
) -> None:
    for pause in (*BACKOFF, None):
        try:
            _attempt(url, part, client, max_bytes, on_progress, allow_private)
            return
        except (httpx.TransportError, Unreachable, _Again) as error:
            if pause is not None:
                time.sleep(pause)
            elif isinstance(error, Unreachable):
                raise
            else:
                raise _no_answer(url, error) from error


def _no_answer(url: str, error: Exception) -> Unreachable:
    reason = str(error) or type(error).__name__
    message = f"no complete answer from {httpx.URL(url).host} after {len(BACKOFF) + 1} attempts ({reason})"
    return Unreachable(message, where=url[:200], hint="check the connection; run the same command to resume")


def _attempt(
    url: str, part: Path, client: httpx.Client, max_bytes: int, on_progress: OnBytes | None, allow_private: bool
) -> None:
    """One request and its redirects; raises _Again or httpx.TransportError where another attempt makes sense."""
    have, headers = _resume_headers(part)
    address = url
    for _ in range(MAX_REDIRECTS + 1):
        check_public(address, allow_private)
        with client.stream("GET", address, headers=headers, follow_redirects=False) as response:
            if response.has_redirect_location:
                address = _join(address, response.headers["location"])
                continue
            return _receive(response, part, have, max_bytes, on_progress)
    raise EngineError(f"more than {MAX_REDIRECTS} redirects", where=url[:200])


def _join(address: str, location: str) -> str:
    try:
        return str(httpx.URL(address).join(location))
    except (httpx.InvalidURL, UnicodeError) as error:
        raise EngineError(
            f"the server redirects to {location[:200]!r}, which is not an address", where=address[:200]
        ) from error


def _resume_headers(part: Path) -> tuple[int, dict[str, str]]:
    """(bytes there, headers that ask for the rest, and for the whole file if it has changed since)."""
    have = part.stat().st_size if part.is_file() else 0
    if not have:
        return 0, {}
    headers = {"Range": f"bytes={have}-"}
    with suppress(OSError):
        headers["If-Range"] = _validator_file(part).read_text("ascii")
    return have, headers


def _receive(response: httpx.Response, part: Path, have: int, max_bytes: int, on_progress: OnBytes | None) -> None:
    if response.status_code == 416:  # nothing after what is there: either it is whole, or it is not this file
        if response.headers.get("content-range", "").rpartition("/")[2] == str(have):
            return
        _forget(part)
        raise _Again("the piece that was there does not belong to this file")
    start = _checked_start(response, have)
    length = response.headers.get("content-length", "")
    total = start + int(length) if length.isdigit() else None
    if total is not None and total > max_bytes:
        raise _too_large(response, total, max_bytes)
    if not start:
        _remember(response, part)
    with part.open("ab") as stream:
        done = _copy(
            response, stream, start, max_bytes, lambda count: on_progress(count, total) if on_progress else None
        )
    if total is not None and done != total:
        raise _Again(f"{done} of {total} bytes arrived")


def _checked_start(response: httpx.Response, have: int) -> int:
    """Where in the file the body begins: `have` for the rest that was asked for, 0 for the whole file."""
    status = response.status_code
    where = str(response.request.url)[:200]
    if status >= 500 or status in RETRY_STATUS:
        raise _Again(f"HTTP {status}")
    if status not in {200, 206}:
        raise EngineError(
            f"the server answered HTTP {status} {response.reason_phrase}".rstrip(),
            where=where,
        )
    if response.headers.get("content-encoding", "identity") != "identity":
        raise EngineError("the server compresses although it was asked not to; lengths cannot be checked", where=where)
    if status == 200:
        return 0
    match = re.match(r"bytes ([0-9]{1,18})-", response.headers.get("content-range", ""))
    if not match or int(match[1]) != have:
        raise EngineError(
            f"asked for the bytes from {have} on, got {response.headers.get('content-range', 'something else')!r}",
            where=where,
        )
    return have


def _copy(
    response: httpx.Response, stream: IO[bytes], start: int, max_bytes: int, report: Callable[[int], None]
) -> int:
    done = start
    for chunk in response.iter_raw():
        done += len(chunk)
        if done > max_bytes:
            raise _too_large(response, done, max_bytes)
        stream.write(chunk)
        report(done)
    return done


def _too_large(response: httpx.Response, size: int, max_bytes: int) -> ProblemsFound:
    return ProblemsFound(
        f"too large: {size:,} bytes or more, at most {max_bytes:,} are fetched", where=str(response.request.url)[:200]
    )


def _validator_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.etag")


def _remember(response: httpx.Response, part: Path) -> None:
    """Start anew, and keep what identifies this version of the file, so that two versions are never glued together."""
    _forget(part)
    etag = response.headers.get("etag", "")
    validator = etag if etag and not etag.startswith("W/") else response.headers.get("last-modified", "")
    if validator.isascii() and validator:
        _validator_file(part).write_text(validator, "ascii")


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _validator_file(part).unlink(missing_ok=True)
