"""The stand-in over HTTP: Web API, response URLs, sockets, and the page on which people use Slack."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket

from examples.standins.local import own_page_only
from examples.standins.slack.delivery import COMMANDS, Delivery
from examples.standins.slack.sockets import Sockets
from examples.standins.slack.web_api import FORM_ONLY, Broken, Fault, Limited, WebApi
from examples.standins.slack.workspace import Message, SlackError, View, Workspace

PAGE = Path(__file__).resolve().parent / "page"


def create(
    workspace: Workspace,
    base_url: str,
    *others: str,
    request_url: str | None = None,
    retries: tuple[float, ...],
) -> Starlette:
    """The application.

    :param others: more base URLs under which it is served.
    :param request_url: where the app listens; ``None``: through sockets.
    """
    web = WebApi(workspace, base_url)
    sockets = Sockets(web)
    door = _Door(web, Delivery(web, sockets, request_url, retries), sockets)
    app = Starlette(
        routes=[
            Route("/api/{method}", door.api, methods=["GET", "POST"]),
            Route("/respond/{secret}", door.respond, methods=["POST"]),
            WebSocketRoute("/link", door.link),
            Route("/", door.page),
            Route("/archives/{channel}/{message}", door.archive),
            Route("/_/state", door.state),
            Route("/_/journal", door.journal),
            Route("/_/say", door.say, methods=["POST"]),
            Route("/_/click", door.click, methods=["POST"]),
            Route("/_/home", door.home, methods=["POST"]),
            Route("/_/submit", door.submit, methods=["POST"]),
            Route("/_/dismiss", door.dismiss, methods=["POST"]),
            Route("/_/fault", door.fault, methods=["POST"]),
            Route("/_/refresh", door.refresh, methods=["POST"]),
            Mount("/page", StaticFiles(directory=PAGE)),
        ],
        middleware=[Middleware(BaseHTTPMiddleware, dispatch=own_page_only(base_url, *others))],
        exception_handlers={SlackError: _refused, KeyError: _incomplete},
    )
    app.state.door = door
    return app


class _Door:
    """The routes."""

    def __init__(self, web: WebApi, delivery: Delivery, sockets: Sockets) -> None:
        self.web, self.delivery, self.sockets = web, delivery, sockets
        self.workspace = web.workspace

    async def api(self, request: Request) -> Response:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        arguments = await _arguments(request)
        if scheme.lower() != "bearer":
            token = str(arguments.pop("token", ""))
        scopes = ",".join(sorted(self.workspace.app.scopes))
        headers = {"x-oauth-scopes": scopes, "x-slack-req-id": self.workspace.new("", 12).lower()}
        try:
            return JSONResponse(self.web.call(request.path_params["method"], token, arguments), 200, headers)
        except Limited as limited:
            headers["Retry-After"] = str(limited.seconds)
            return JSONResponse({"ok": False, "error": "ratelimited"}, 429, headers)
        except Broken as broken:
            return PlainTextResponse("<html>something broke</html>", broken.status, headers)

    async def respond(self, request: Request) -> Response:
        self.workspace.respond(request.path_params["secret"], await request.json())
        return PlainTextResponse("ok")

    async def link(self, socket: WebSocket) -> None:
        await self.sockets.link(socket)

    async def page(self, _: Request) -> Response:
        return FileResponse(PAGE / "index.html", headers={"Cache-Control": "no-store"})

    async def archive(self, request: Request) -> Response:
        where, message = request.path_params["channel"], request.path_params["message"]
        return RedirectResponse(f"/#{where}/{message}")

    async def state(self, request: Request) -> Response:
        """Everything that one person sees."""
        space = self.workspace
        user = request.query_params.get("user") or next(iter(space.people))
        people = [*space.people.values(), space.app.bot]
        seen = {each.id for each in space.channels.values() if not each.im or user in each.members}
        return JSONResponse(
            {
                "user": user, "team": "Acme", "commands": COMMANDS, "bot": space.app.bot.id,
                "conversation": space.conversation(user).id, "connected": self.sockets.open,
                "people": [{**each.to_json(email=True), "bot": each.bot} for each in people],
                "channels": [each.to_json() for each in space.channels.values() if each.id in seen],
                "messages": [
                    {**each.to_json(space.app), "channel": each.channel, "only": each.only is not None}
                    for each in space.messages
                    if each.channel in seen and each.only in (None, user)
                ],
                "home": self._shown(space.homes.get(user)),
                "dialogs": [self._shown(each) for each in space.dialogs.values() if each.user == user],
            }
        )  # fmt: skip

    async def journal(self, _: Request) -> Response:
        return JSONResponse({"calls": self.web.journal, "deliveries": self.delivery.journal})

    async def say(self, request: Request) -> Response:
        body = await request.json()
        channel = self.workspace.channel(body["channel"]).id
        await self.delivery.say(self._person(body), channel, body["text"])
        return JSONResponse({"ok": True})

    async def click(self, request: Request) -> Response:
        body = await request.json()
        user = self._person(body)
        where: Message | View | None
        if "view" in body:
            views = [self.workspace.homes.get(user), *self.workspace.dialogs.values()]
            where = next((each for each in views if each and each.id == body["view"]), None)
        else:
            where = self.workspace.message(body["channel"], body["ts"])
        if where is None or (isinstance(where, Message) and where.only not in (None, user)):
            raise SlackError("message_not_found")
        await self.delivery.click(user, where, body["block_id"], body["action_id"])
        return JSONResponse({"ok": True})

    async def home(self, request: Request) -> Response:
        await self.delivery.home(self._person(await request.json()))
        return JSONResponse({"ok": True})

    async def submit(self, request: Request) -> Response:
        body = await request.json()
        view = self.workspace.dialogs[body["view"]]
        errors = await self.delivery.submit(self._person(body), view, body["values"])
        return JSONResponse({"ok": not errors, "errors": errors})

    async def dismiss(self, request: Request) -> Response:
        self.workspace.dialogs.pop((await request.json())["view"], None)
        return JSONResponse({"ok": True})

    async def fault(self, request: Request) -> Response:
        self.web.faults.append(Fault(**await request.json()))
        return JSONResponse({"ok": True})

    async def refresh(self, _: Request) -> Response:
        await self.sockets.refresh()
        return JSONResponse({"ok": True})

    def _person(self, body: dict[str, Any]) -> str:
        return self.workspace.person(body["user"]).id

    def _shown(self, view: View | None) -> dict[str, Any] | None:
        return None if view is None else self.web.shown(view)


async def _arguments(request: Request) -> dict[str, Any]:
    body = await request.body()
    form_only = request.path_params["method"] in FORM_ONLY
    if body and not form_only and request.headers.get("content-type", "").startswith("application/json"):
        return dict(json.loads(body))
    return {**request.query_params, **{name: str(value) for name, value in (await request.form()).items()}}


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, SlackError)
    return JSONResponse({"ok": False, "error": error.word}, 404)


async def _incomplete(_: Request, error: Exception) -> Response:
    return JSONResponse({"ok": False, "error": f"missing: {error}"}, 400)
