"""A small Slack on 127.0.0.1: `chat.postMessage` over HTTP, with the answers that a test wants."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs


class SlackServer:
    """Takes messages for one token and one channel; ``answers`` are given first, each once."""

    def __init__(self, token: str, channel: str) -> None:
        self.token, self.channel = token, channel
        #: (HTTP status, headers, body) for the next calls.
        self.answers: list[tuple[int, dict[str, str], str]] = []
        self.calls = 0
        self.posted: list[dict[str, Any]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status, headers, answer = outer.answer(self.path, dict(self.headers), body)
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer.encode())

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/api/"

    def __enter__(self) -> SlackServer:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(10)

    def answer(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], str]:
        self.calls += 1
        if self.answers:
            return self.answers.pop(0)
        if path != "/api/chat.postMessage":
            return 200, {}, json.dumps({"ok": False, "error": "unknown_method"})
        if headers.get("Authorization") != f"Bearer {self.token}":
            return 200, {}, json.dumps({"ok": False, "error": "invalid_auth"})
        message = _message(headers, body)
        if message["channel"] != self.channel:
            return 200, {}, json.dumps({"ok": False, "error": "channel_not_found"})
        self.posted.append(message)
        return 200, {}, json.dumps({"ok": True, "channel": "C1", "ts": "1.2", "message": {}})


def _message(headers: dict[str, str], body: bytes) -> dict[str, Any]:
    if headers["Content-Type"].startswith("application/json"):
        return dict(json.loads(body))
    fields = {name: values[0] for name, values in parse_qs(body.decode()).items()}
    return {**fields, "blocks": json.loads(fields["blocks"])}
