"""A small OpenAI-style server for tests: `python eval_server.py PORT LOG [SECONDS]`. What it does wrong, the prompt
says.

    "…:" (the model's own)  answers after SECONDS
    "slow …"                answers too late
    "cut …"                 promises a long answer and hangs up in the middle of it
    "hang up …"             hangs up without a word
    "half json …"           a whole reply whose JSON ends too early
    "malformed …", "schema …", "choices …", "400 …", "500 …", "503 …"
    "… once"                does it the first time only

LOG gets one line per question. The answer is a hash of the image and the prompt, so that it is known what is right.
"""

from __future__ import annotations

import hashlib
import json
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

SLOW = 5.0
REPLIES = {
    "half json": b'{"choices": [{"message": {"con',
    "malformed": b"<html>busy</html>",
    "schema": b'{"answer": "x"}',
    "choices": b'{"choices": []}',
}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    log: str
    seconds: float
    seen: set[str] = set()
    lock = threading.Lock()

    def do_GET(self) -> None:
        if self.path == "/v1/models":
            model = {
                "id": "PaddleOCR-VL-0.9B",
                "object": "model",
                "created": time.time_ns(),
                "root": "/models/m",
                "max_model_len": 4096,
                "permission": [{"id": f"perm-{time.time_ns()}"}],
            }
            self.reply(200, json.dumps({"object": "list", "data": [model]}).encode())
        elif self.path == "/version":
            self.reply(200, b'{"version": "0.11.0"}')
        else:
            self.reply(404, b"{}")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        picture, prompt = (part.get("text") or part["image_url"]["url"] for part in body["messages"][0]["content"])
        with self.lock:
            first = prompt not in self.seen
            self.seen.add(prompt)
            with open(self.log, "a", encoding="utf-8") as stream:
                stream.write(json.dumps(prompt) + "\n")
        answer = hashlib.sha256(f"{picture} {prompt}".encode()).hexdigest()[:12]
        right = json.dumps(
            {
                "choices": [{"index": 0, "message": {"role": "assistant", "content": answer}, "finish_reason": "stop"}],
                "usage": {},
            }
        ).encode()
        if prompt.endswith(":") or (prompt.endswith("once") and not first):
            time.sleep(self.seconds)
            self.reply(200, right)
        else:
            self.fail(prompt, right)

    def fail(self, prompt: str, right: bytes) -> None:
        """Do what the prompt says."""
        for name, reply in REPLIES.items():
            if prompt.startswith(name):
                self.reply(200, reply)
                return
        if prompt[:3].isdigit():
            self.reply(
                int(prompt[:3]),
                json.dumps({"error": {"message": f"this is a {prompt[:3]}"}}).encode(),
                {"Retry-After": "0"} if prompt[:3] == "503" else {},
            )
            return
        if prompt.startswith("slow"):
            time.sleep(SLOW)
            self.reply(200, right)
            return
        if prompt.startswith("cut"):
            self.send_response(200)
            self.send_header("Content-Length", str(len(right) + 1000))
            self.end_headers()
            self.wfile.write(right[:20])
            self.wfile.flush()
        self.close_connection = True

    def reply(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None: ...


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None: ...


class Served:
    """The server of `eval_server.py` in a process of its own, on one port, started and killed at will."""

    def __init__(self, log: Path, seconds: float = 0.0) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.log, self.seconds = log, seconds
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-S", __file__, str(self.port), str(self.log), str(self.seconds)]
        )

    def listening(self) -> None:
        """Wait until it does."""
        for _ in range(500):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise AssertionError("the server does not listen")

    def kill(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def asked(self) -> list[str]:
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []


if __name__ == "__main__":
    Handler.log = sys.argv[2]
    Handler.seconds = float(sys.argv[3]) if len(sys.argv) > 3 else 0.0
    Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever(poll_interval=0.05)
