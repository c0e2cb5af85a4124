"""What shall go wrong: answers that are lost, effects that come late, limits."""

from __future__ import annotations

import base64
import fnmatch
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass
class Answer:
    """An answer over HTTP."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Fault:
    """What shall go wrong the next ``times``.

    :param method: of HTTP; ``*``: any.
    :param path: a pattern, after ``/repos/owner/name/``; of git: ``git-receive-pack``, ``git-upload-pack``.
    :param status: 5xx: something broke; 403 or 429: a limit.
    :param after: carry it out first, and lose the answer.
    :param delay: carry it out so many seconds later, and answer now.
    :param retry_after: of a limit, in seconds; without it the limit is the hour's, and
    :param reset_in: says in how many seconds it is over.
    :param token: only what is asked with it; empty: whoever asks.
    """

    method: str = "*"
    path: str = "*"
    status: int = 502
    times: int = 1
    after: bool = False
    delay: float | None = None
    retry_after: int | None = None
    reset_in: int = 0
    token: str = ""


class Faults:
    """Those that were asked for."""

    def __init__(self) -> None:
        self.waiting: list[Fault] = []
        self.late: list[threading.Timer] = []
        self._lock = threading.Lock()

    def around(
        self, method: str, path: str, headers: Mapping[str, str], carry: Callable[[], Answer]
    ) -> Answer:
        """Answer one request, or fail as asked."""
        fault = self._take(method, path, _credential(headers))
        if fault is None:
            return carry()
        if fault.status in (403, 429):
            return _limit(fault)
        if fault.delay is not None:
            timer = threading.Timer(fault.delay, carry)
            timer.daemon = True
            self.late.append(timer)
            timer.start()
        elif fault.after:
            carry()
        # What a load balancer says, not GitHub.
        page = b"<html><body><h1>Unicorn!</h1></body></html>"
        return Answer(fault.status, page, {"content-type": "text/html"})

    def _take(self, method: str, path: str, credential: str) -> Fault | None:
        with self._lock:
            for each in self.waiting:
                if not credential.endswith(each.token):
                    continue
                if each.method in (method, "*") and fnmatch.fnmatch(path, each.path):
                    each.times -= 1
                    if each.times <= 0:
                        self.waiting.remove(each)
                    return each
        return None


def _credential(headers: Mapping[str, str]) -> str:
    """What the request was made with: a token, or git's ``user:token``."""
    kind, _, said = headers.get("authorization", "").partition(" ")
    return base64.b64decode(said).decode(errors="replace") if kind.lower() == "basic" else said


def _limit(fault: Fault) -> Answer:
    headers = {"content-type": "application/json; charset=utf-8", "x-ratelimit-limit": "5000"}
    if fault.retry_after is not None:
        said = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
        headers |= {"retry-after": str(fault.retry_after), "x-ratelimit-remaining": "4000"}
    else:
        said = "API rate limit exceeded for user ID 1."
        headers |= {
            "x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(time.time()) + fault.reset_in),
        }  # fmt: skip
    return Answer(fault.status, json.dumps({"message": said}).encode(), headers)
