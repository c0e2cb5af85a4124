"""Webhooks: signed, from a queue, one after another; GitHub sends none again by itself."""

from __future__ import annotations

import hashlib
import hmac
import json
import queue
import threading
from dataclasses import dataclass
from typing import Any, Literal

import httpx

from examples.standins.github import shapes
from examples.standins.github.state import Ids, Repo

#: docs.github.com, "Best practices for using webhooks": an answer within 10 seconds.
ANSWER_SECONDS = 10.0
Fate = Literal["lost", "doubled"]


def sign(secret: str, body: bytes) -> str:
    """``X-Hub-Signature-256``."""
    return f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"


@dataclass
class Delivery:
    """One delivery; ``status`` 0: nobody answered, ``None``: it was not sent (yet)."""

    guid: str
    event: str
    action: str | None
    body: bytes
    status: int | None = None

    def to_json(self) -> dict[str, Any]:
        """For the log."""
        return {"guid": self.guid, "event": self.event, "action": self.action, "status": self.status}


class Webhooks:
    """Brings to one address what happens.

    :param url: of the listener; ``None``: nobody listens.
    """

    def __init__(self, base: str, ids: Ids, url: str | None, secret: str) -> None:
        self.base, self.ids, self.url, self.secret = base, ids, url, secret
        self.log: list[Delivery] = []
        #: What happens to the next ones.
        self.fates: list[Fate] = []
        self._queue: queue.Queue[Delivery | None] = queue.Queue()
        self._http = httpx.Client(timeout=ANSWER_SECONDS, trust_env=False)
        self._thread = threading.Thread(target=self._run, name="webhooks", daemon=True)
        self._thread.start()

    def emit(self, repo: Repo, event: str, payload: dict[str, Any]) -> None:
        """Something happened."""
        body = json.dumps({**payload, "repository": shapes.repository(self.base, repo)}).encode()
        made = Delivery(self.ids.guid(), event, payload.get("action"), body)
        self.log.append(made)
        fate = self.fates.pop(0) if self.fates else None
        for _ in range({"lost": 0, "doubled": 2}.get(fate or "", 1)):
            self._queue.put(made)

    def redeliver(self, guid: str) -> None:
        """What the button in a webhook's settings does."""
        self._queue.put(next(each for each in self.log if each.guid == guid))

    def wait(self) -> None:
        """Until everything was sent."""
        self._queue.join()

    def stop(self) -> None:
        """No more."""
        self._queue.put(None)

    def _run(self) -> None:
        while (each := self._queue.get()) is not None:
            try:
                self._send(each)
            finally:
                self._queue.task_done()
        self._queue.task_done()

    def _send(self, each: Delivery) -> None:
        if self.url is None:
            return
        headers = {
            "Content-Type": "application/json", "User-Agent": "GitHub-Hookshot/standin",
            "X-GitHub-Event": each.event, "X-GitHub-Delivery": each.guid,
            "X-Hub-Signature-256": sign(self.secret, each.body),
        }  # fmt: skip
        try:
            each.status = self._http.post(self.url, content=each.body, headers=headers).status_code
        except httpx.HTTPError:
            each.status = 0
