"""Socket Mode: the app opens a websocket, and gets in envelopes what others get by HTTP."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import uuid4

from starlette.websockets import WebSocket, WebSocketDisconnect

from examples.standins.slack.delivery import ANSWER_SECONDS, Answer
from examples.standins.slack.web_api import WebApi


class Sockets:
    """The app's open sockets; an envelope goes through one of them."""

    def __init__(self, web: WebApi) -> None:
        self.web = web
        self._open: list[WebSocket] = []
        self._waiting: dict[str, asyncio.Future[Any]] = {}

    @property
    def open(self) -> bool:
        """Whether the app is connected."""
        return bool(self._open)

    async def link(self, socket: WebSocket) -> None:
        """Serve one socket until it closes; its ticket is good for once."""
        ticket = socket.query_params.get("ticket", "")
        if ticket not in self.web.tickets:
            await socket.close(4001)
            return
        self.web.tickets.discard(ticket)
        await socket.accept()
        app = {"app_id": self.web.workspace.app.id}
        await socket.send_json(
            {"type": "hello", "num_connections": len(self._open) + 1, "connection_info": app}
        )
        self._open.append(socket)
        try:
            while True:
                said = json.loads(await socket.receive_text())
                waiting = self._waiting.pop(said.get("envelope_id", ""), None)
                if waiting and not waiting.done():
                    waiting.set_result(said.get("payload"))
        except WebSocketDisconnect:
            pass
        finally:
            if socket in self._open:
                self._open.remove(socket)

    async def send(self, kind: str, payload: dict[str, Any], more: dict[str, Any]) -> Answer:
        """Send an envelope; its acknowledgement is the answer."""
        if not self._open:
            return Answer(503, "the app has no open socket")
        envelope = str(uuid4())
        waiting: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[envelope] = waiting
        accepts = kind != "events_api"
        try:
            await self._open[0].send_json(
                {"envelope_id": envelope, "type": kind, "payload": payload,
                 "accepts_response_payload": accepts, **more}
            )  # fmt: skip
            said = await asyncio.wait_for(waiting, ANSWER_SECONDS)
        except TimeoutError:
            return Answer(0, "no answer within 3 seconds")
        except (RuntimeError, WebSocketDisconnect):
            return Answer(503, "the socket broke")
        finally:
            self._waiting.pop(envelope, None)
        return Answer(200, json.dumps(said) if accepts and said else "")

    async def refresh(self) -> None:
        """Ask the app to connect anew, as Slack does every few hours, and close."""
        for socket in list(self._open):
            await socket.send_json({"type": "disconnect", "reason": "refresh_requested"})
            self._open.remove(socket)
            await socket.close()
