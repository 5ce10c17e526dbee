"""Downloads against a real server on this machine: what it does wrong, `fetch_file` must survive or name."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from sft.errors import EngineError, ProblemsFound, UsageError
from sft.files import download
from sft.files.download import MAX_REDIRECTS, Unreachable, check_public, fetch_file, make_client

CONTENT = bytes(range(256)) * 1000  # 256,000 bytes
SHA = hashlib.sha256(CONTENT).hexdigest()
LIMIT = 10_000_000

Answer = Callable[[BaseHTTPRequestHandler], None]


class Server:
    """Answers `/path` with `answers[path]`, and keeps (path, Range) of every request."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.seen: list[tuple[str, str | None]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.seen.append((self.path, self.headers.get("Range")))
                outer.answers[self.path](self)

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.http.server_port}{path}"


def send(
    request: BaseHTTPRequestHandler, status: int, body: bytes = b"", *, length: int | None = None, **headers: str
) -> None:
    """An answer; with `length` above the body's the connection is cut in the middle."""
    request.send_response(status)
    for name, value in headers.items():
        request.send_header(name.replace("_", "-"), value)
    request.send_header("Content-Length", str(len(body) if length is None else length))
    request.end_headers()
    with suppress(ConnectionError):
        request.wfile.write(body)
    request.close_connection = length is not None


def ranged(content: bytes, etag: str = '"one"', cut_first_at: int | None = None) -> Answer:
    """A server that can resume; its first answer is cut off after so many bytes."""
    cuts = [cut_first_at] if cut_first_at else []

    def answer(request: BaseHTTPRequestHandler) -> None:
        asked = request.headers.get("Range")
        if asked and request.headers.get("If-Range", etag) == etag:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                return send(request, 416, Content_Range=f"bytes */{len(content)}")
            return send(
                request,
                206,
                content[start:],
                Content_Range=f"bytes {start}-{len(content) - 1}/{len(content)}",
                ETag=etag,
            )
        if cuts:
            return send(request, 200, content[: cuts.pop()], length=len(content), ETag=etag)
        return send(request, 200, content, ETag=etag)

    return answer


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(download, "BACKOFF", (0.0, 0.0, 0.0))
    found = Server()
    yield found
    found.http.shutdown()
    found.http.server_close()


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with make_client(allow_private=True) as found:
        yield found


def left_over(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_whole_file_with_progress(server: Server, client: httpx.Client, tmp_path: Path) -> None:
    server.answers["/a"] = ranged(CONTENT)
    steps: list[tuple[int, int | None]] = []
    dest = tmp_path / "new" / "a"
    more: dict[str, Any] = {"sha256": SHA.upper(), "on_progress": lambda *step: steps.append(step)}
    assert fetch_file(server.url("/a"), dest, client=client, max_bytes=LIMIT, allow_private=True, **more) == SHA
    assert dest.read_bytes() == CONTENT
    assert left_over(dest.parent) == ["a"]
    assert steps[-1] == (len(CONTENT), len(CONTENT))
    assert [count for count, _ in steps] == sorted(count for count, _ in steps)


def test_cut_connection_is_resumed(server: Server, client: httpx.Client, tmp_path: Path) -> None:
    server.answers["/a"] = ranged(CONTENT, cut_first_at=100_000)
    assert fetch_file(server.url("/a"), tmp_path / "a", client=client, max_bytes=LIMIT, allow_private=True) == SHA
    assert [asked for _, asked in server.seen] == [None, "bytes=100000-"]


def test_killed_run_is_resumed_by_the_next(server: Server, client: httpx.Client, tmp_path: Path) -> None:
    server.answers["/a"] = ranged(CONTENT)
    (tmp_path / "a.part").write_bytes(CONTENT[:1234])
    (tmp_path / "a.part.etag").write_text('"one"')
    assert fetch_file(server.url("/a"), tmp_path / "a", client=client, max_bytes=LIMIT, allow_private=True) == SHA
    assert server.seen == [("/a", "bytes=1234-")]
    assert left_over(tmp_path) == ["a"]


def test_file_that_changed_meanwhile_is_not_glued(server: Server, client: httpx.Client, tmp_path: Path) -> None:
    server.answers["/a"] = ranged(CONTENT, etag='"two"')
    (tmp_path / "a.part").write_bytes(b"x" * 1234)
    (tmp_path / "a.part.etag").write_text('"one"')
    assert fetch_file(server.url("/a"), tmp_path / "a", client=client, max_bytes=LIMIT, allow_private=True) == SHA


@pytest.mark.parametrize(("extra", "requests"), [(b"", 1), (b"!", 2)])
def test_part_as_long_as_the_file_or_longer(
    server: Server, client: httpx.Client, tmp_path: Path, extra: bytes, requests: int
) -> None:
    """A whole one is taken as it is, a longer one belongs to something else."""
    server.answers["/a"] = ranged(CONTENT)
    (tmp_path / "a.part").write_bytes(CONTENT + extra)
    assert fetch_file(server.url("/a"), tmp_path / "a", client=client, max_bytes=LIMIT, allow_private=True) == SHA
    assert len(server.seen) == requests


def test_server_that_ignores_range_starts_over(server: Server, client: httpx.Client, tmp_path: Path) -> None:
    server.answers["/a"] = lambda request: send(request, 200, CONTENT)
    (tmp_path / "a.part").write_bytes(b"y" * 999)
    assert fetch_file(server.url("/a"), tmp_path / "a", client=client, max_bytes=LIMIT, allow_private=True) == SHA
    assert server.seen == [("/a", "bytes=999-")]


@pytest.mark.parametrize("stated", [True, False])
def test_too_large(server: Server, client: httpx.Client, tmp_path: Path, stated: bool) -> None:
    def unstated(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + CONTENT)
        request.close_connection = True

    server.answers["/a"] = ranged(CONTENT) if stated else unstated
    with pytest.raises(ProblemsFound, match="too large"):
        fetch_file(server.url("/a"), tmp_path / "a", client=client, max_bytes=len(CONTENT) - 1, allow_private=True)
    assert not (tmp_path / "a").exists()
    assert (tmp_path / "a.part").exists() != stated, "a stated length is refused before anything is fetched"
    assert (
        fetch_file(server.url("/a"), tmp_path / "a", client=client, max_bytes=len(CONTENT), allow_private=True) == SHA
    )


def test_error_500_is_tried_again(server: Server, client: httpx.Client, tmp_path: Path) -> None:
    statuses = [500, 503, 200]
    server.answers["/a"] = lambda request: send(
        request, status := statuses.pop(0), CONTENT if status == 200 else b"sorry"
    )
    assert fetch_file(server.url("/a"), tmp_path / "a", client=client, max_bytes=LIMIT, allow_private=True) == SHA
    assert len(server.seen) == 3


@pytest.mark.parametrize(("status", "attempts"), [(500, 4), (429, 4), (404, 1), (403, 1)])
def test_errors_that_stay(server: Server, client: httpx.Client, tmp_path: Path, status: int, attempts: int) -> None:
    server.answers["/a"] = lambda request: send(request, status)
    with pytest.raises(EngineError, match=f"HTTP {status}") as caught:
        fetch_file(server.url("/a"), tmp_path / "a", client=client, max_bytes=LIMIT, allow_private=True)
    assert isinstance(caught.value, Unreachable) == (attempts > 1)
    assert len(server.seen) == attempts


def test_wrong_hash_leaves_nothing(server: Server, client: httpx.Client, tmp_path: Path) -> None:
    server.answers["/a"] = ranged(CONTENT)
    with pytest.raises(ProblemsFound, match=SHA):
        fetch_file(
            server.url("/a"), tmp_path / "a", client=client, max_bytes=LIMIT, sha256="0" * 64, allow_private=True
        )
    assert left_over(tmp_path) == []


def test_redirects_are_followed_up_to_a_limit(server: Server, client: httpx.Client, tmp_path: Path) -> None:
    for step in range(MAX_REDIRECTS + 1):

        def onward(request: BaseHTTPRequestHandler, step: int = step) -> None:
            send(request, 302, Location=f"/{step + 1}")

        server.answers[f"/{step}"] = onward
    server.answers[f"/{MAX_REDIRECTS + 1}"] = ranged(CONTENT)
    assert fetch_file(server.url("/1"), tmp_path / "a", client=client, max_bytes=LIMIT, allow_private=True) == SHA
    with pytest.raises(EngineError, match="redirects"):
        fetch_file(server.url("/0"), tmp_path / "a", client=client, max_bytes=LIMIT, allow_private=True)
    server.answers["/file"] = lambda request: send(request, 302, Location="file:///etc/passwd")
    with pytest.raises(UsageError, match="only http"):
        fetch_file(server.url("/file"), tmp_path / "a", client=client, max_bytes=LIMIT, allow_private=True)


def test_redirect_into_the_network_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first host is public, the second is not: the second is never asked."""
    monkeypatch.setattr(
        socket, "getaddrinfo", resolver({"public.example": "93.184.216.34", "inside.example": "10.0.0.8"})
    )
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        return httpx.Response(302, headers={"location": "http://inside.example/secret"})

    with httpx.Client(transport=httpx.MockTransport(answer)) as client, pytest.raises(UsageError, match="10.0.0.8"):
        fetch_file("http://public.example/a", tmp_path / "a", client=client, max_bytes=LIMIT)
    assert asked == ["public.example"]


def test_transport_refuses_a_name_that_turns_private(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: public when the caller checks, private when the connection is made."""
    answers = iter(["93.184.216.34", *["127.0.0.1"] * 9])
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda *_, **__: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), server.http.server_port))],
    )
    with make_client() as client, pytest.raises(UsageError, match="127.0.0.1"):
        fetch_file(f"http://rebind.example:{server.http.server_port}/a", tmp_path / "a", client=client, max_bytes=LIMIT)
    assert server.seen == []


def test_transport_connects_to_the_checked_address_under_the_name(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts: list[str] = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        hosts.append(request.headers["Host"])
        send(request, 200, CONTENT)

    server.answers["/a"] = answer
    monkeypatch.setattr(socket, "getaddrinfo", resolver({"data.example": "127.0.0.1"}))
    with make_client(allow_private=True) as client:
        fetch_file(
            f"http://data.example:{server.http.server_port}/a",
            tmp_path / "a",
            client=client,
            max_bytes=LIMIT,
            allow_private=True,
        )
    assert hosts == [f"data.example:{server.http.server_port}"]


def test_no_network(server: Server, client: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", resolver({}))
    with pytest.raises(Unreachable, match="there is no network, or no such host"):
        fetch_file("https://data.example/a", tmp_path / "a", client=client, max_bytes=LIMIT)


def test_nobody_listens(client: httpx.Client, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        with pytest.raises(Unreachable, match="no complete answer from 127.0.0.1"):
            fetch_file(
                f"http://127.0.0.1:{free.getsockname()[1]}/a",
                tmp_path / "a",
                client=client,
                max_bytes=LIMIT,
                allow_private=True,
            )


def resolver(names: dict[str, str]) -> Callable[..., list[Any]]:
    """A getaddrinfo that knows these names, and numeric addresses."""
    real: Callable[..., list[Any]] = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *args: Any, **options: Any) -> list[Any]:
        name = host.decode() if isinstance(host, bytes) else host
        if name in names:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (names[name], port))]
        if name[0].isdigit():
            return real(name, port, *args, **options)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    return getaddrinfo


PRIVATE = (
    "http://127.0.0.1/",
    "http://0.0.0.0/",
    "http://10.1.2.3/",
    "http://172.16.0.1/",
    "http://192.168.1.1/",
    "http://169.254.169.254/latest/meta-data/",
    "http://100.64.0.1/",
    "http://224.0.0.1/",
    "http://240.0.0.1/",
    "http://[::1]/",
    "http://[fe80::1]/",
    "http://[fc00::1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:10.0.0.1]/",
    "http://[2002:7f00:1::]/",
    "http://[64:ff9b::7f00:1]/",
    "http://localhost/",
    "http://[::127.0.0.1]/",
    "http://[::ffff:0:127.0.0.1]/",
    "http://[64:ff9b:1::7f00:1]/",
    "http://[fec0::1]/",
)


@pytest.mark.parametrize("url", PRIVATE)
def test_private_addresses_are_refused(url: str) -> None:
    with pytest.raises(UsageError, match="not a public address"):
        check_public(url)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://93.184.216.34/a",
        "file:///etc/passwd",
        "93.184.216.34/a",
        "http:///a",
        "",
        "http://[::1",
        "http://93.184.216.34/\ud800",
    ],
)
def test_other_schemes_are_refused(url: str) -> None:
    with pytest.raises(UsageError):
        check_public(url, allow_private=True)


def test_public_addresses_pass() -> None:
    assert check_public("https://93.184.216.34/a?b") == ["93.184.216.34"]
    assert check_public("http://[2606:2800:220:1:248:1893:25c8:1946]:8080/") == ["2606:2800:220:1:248:1893:25c8:1946"]
    assert check_public("http://127.0.0.1/", allow_private=True) == ["127.0.0.1"]


def test_one_private_address_among_public_ones_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80)) for address in ("93.184.216.34", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: entries)
    with pytest.raises(UsageError, match="10.0.0.1"):
        check_public("http://two.example/")


def test_a_range_of_too_many_digits(server: Server, client: httpx.Client, tmp_path: Path) -> None:
    server.answers["/a"] = lambda request: send(request, 206, b"rest", Content_Range=f"bytes {'9' * 5000}-/*")
    with pytest.raises(EngineError, match="asked for the bytes"):
        fetch_file(server.url("/a"), tmp_path / "a", client=client, max_bytes=1000, allow_private=True)
