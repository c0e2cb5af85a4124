"""The ASGI application: control endpoints, journal and faults around ministack's own."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from . import errors
from .billing import Bills
from .calls import Call, identify
from .faults import Fault, Faults, Kind
from .journal import Journal, error_code
from .snapshots import Snapshots

Scope = Mapping[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_PREFIX = "/_daybreak/"
#: The status that stands for none: the server closes the connection instead (so does nginx).
NO_RESPONSE = 444
#: These come when the call was done.
_AFTER = frozenset({Kind.ERROR_AFTER, Kind.HANG_UP_AFTER})


def wrap() -> Application:
    """ministack's application with everything of ours around it and in it."""
    from ministack.app import app

    from . import services

    faults, bills = Faults(), Bills()
    services.install(faults, bills)
    return Application(app, faults, Journal(), bills)


class Application:
    """Middleware that has no effect on what AWS means while no fault is set."""

    def __init__(self, app: App, faults: Faults, journal: Journal, bills: Bills) -> None:
        self._app, self._faults, self._journal, self._bills = app, faults, journal, bills
        self._snapshots = Snapshots()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["path"].startswith(_PREFIX):
            await self._control(scope, await _read(receive), send)
        else:
            await self._call(scope, await _read(receive), receive, send)

    async def _call(self, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
        call = identify(scope, body)
        if call is None:
            await self._app(scope, _replay(body, receive), send)
            return
        entry, started = self._journal.open(call), time.monotonic()
        try:
            await self._answer(call, entry, scope, _replay(body, receive), send)
        finally:
            entry["seconds"] = round(time.monotonic() - started, 3)

    async def _answer(
        self, call: Call, entry: dict[str, Any], scope: Scope, receive: Receive, send: Send
    ) -> None:
        hits = self._faults.hits(call)
        entry["fault"] = ",".join(fault.id for fault in hits) or None
        for fault in hits:
            if fault.kind is Kind.DELAY:
                await asyncio.sleep(fault.seconds)
        fatal = next((fault for fault in hits if fault.kind is not Kind.DELAY), None)
        if fatal is None:
            await self._app(scope, receive, _noted(send, entry))
            return
        if fatal.kind in _AFTER:
            await self._app(scope, receive, _nowhere)
        if fatal.kind in {Kind.HANG_UP_BEFORE, Kind.HANG_UP_AFTER}:
            await _noted(send, entry)({"type": "http.response.start", "status": NO_RESPONSE, "headers": []})
            return
        await _send(_fault_answer(fatal, call), _noted(send, entry))

    async def _control(self, scope: Scope, body: bytes, send: Send) -> None:
        query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        try:
            status, answer = self._control_answer(
                scope["method"], scope["path"].removeprefix(_PREFIX), query, json.loads(body or b"{}")
            )
        except (ValueError, TypeError, KeyError) as error:
            status, answer = 400, {"error": str(error)}
        await _send(
            errors.Answer(status, {"content-type": "application/json"}, json.dumps(answer).encode()), send
        )

    def _control_answer(
        self, method: str, name: str, query: Mapping[str, str], body: Mapping[str, Any]
    ) -> tuple[int, dict[str, Any]]:
        account = query.get("account")
        match method, name:
            case "GET", "health":
                return 200, {"status": "ok"}
            case "GET", "journal":
                return 200, {"calls": self._journal.since(int(query.get("since", 0)), account)}
            case "DELETE", "journal":
                self._journal.clear()
                return 200, {}
            case "GET", "faults":
                return 200, {"faults": self._faults.told()}
            case "POST", "faults":
                return 200, self._faults.add(body).told()
            case "DELETE", "faults":
                self._faults.remove(query.get("id"), account)
                return 200, {}
            case "POST", "costs":
                return 200, {"rows": self._bills.add(body["account"], body["rows"])}
            case "DELETE", "costs":
                self._bills.clear(account)
                return 200, {}
            case "POST", "snapshots":
                return 200, {"id": self._snapshots.take(body["account"])}
            case "PUT", "snapshots":
                self._snapshots.restore(query["id"])
                return 200, {}
        return 404, {"error": f"no {method} {_PREFIX}{name}"}


def _fault_answer(fault: Fault, call: Call) -> errors.Answer:
    if fault.kind in {Kind.THROTTLE, Kind.BUCKET}:
        return errors.throttled(call)
    if fault.kind is Kind.ERROR:
        return errors.error(call, fault.status, str(fault.code), fault.reason)
    return errors.broken(call, fault.status)


async def _read(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            break
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            break
    return b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    """The body that was read already, then whatever else the caller does (it may hang up)."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _noted(send: Send, entry: dict[str, Any]) -> Send:
    """Write status and error code of the answer into the journal on its way out."""

    async def noting(message: Message) -> None:
        if message["type"] == "http.response.start":
            entry["status"] = message["status"]
        elif (
            message["type"] == "http.response.body"
            and (entry["status"] or 0) >= 400
            and entry["error"] is None
        ):
            entry["error"] = error_code(message.get("body", b""))
        await send(message)

    return noting


async def _nowhere(_message: Message) -> None:
    """The caller never sees this answer."""


async def _send(answer: errors.Answer, send: Send) -> None:
    headers = [(name.encode(), value.encode()) for name, value in answer.headers.items()]
    headers.append((b"content-length", str(len(answer.body)).encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
