"""The stand-in over HTTP: git, the REST API, and under ``/_/`` what tests and the demo ask for."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from examples.standins.github import smart_http
from examples.standins.github.delivery import Webhooks
from examples.standins.github.faults import Answer, Fault, Faults
from examples.standins.github.hosting import Hosting
from examples.standins.github.page import render
from examples.standins.github.rest import PREFIX, Rest
from examples.standins.github.state import GithubError
from examples.standins.local import own_page_only


def create(hosting: Hosting, webhooks: Webhooks, *others: str) -> Starlette:
    """The application.

    :param others: more base URLs under which it is served.
    """
    door = Door(hosting, webhooks)
    app = Starlette(
        routes=[
            Route(PREFIX + "{path:path}", door.api, methods=["GET", "POST", "PUT", "PATCH", "DELETE"]),
            Route("/{owner}/{name}.git/{path:path}", door.git, methods=["GET", "POST"]),
            Route("/_/state", door.state),
            Route("/_/repo", door.repo, methods=["POST"]),
            Route("/_/draft", door.draft, methods=["POST"]),
            Route("/_/fault", door.fault, methods=["POST"]),
            Route("/_/stale", door.stale, methods=["POST"]),
            Route("/_/webhooks", door.hooks, methods=["POST"]),
            Route("/_/redeliver", door.redeliver, methods=["POST"]),
            Route("/{owner}/{name}/pull/{number:int}", door.page),
            Route("/", door.home),
        ],
        middleware=[Middleware(BaseHTTPMiddleware, dispatch=own_page_only(hosting.url, *others))],
        exception_handlers={GithubError: _refused},
    )
    app.state.door = door
    return app


class Door:
    """The routes."""

    def __init__(self, hosting: Hosting, webhooks: Webhooks) -> None:
        self.hosting, self.webhooks, self.faults = hosting, webhooks, Faults()
        self.rest = Rest(hosting, self.faults)
        hosting.emit = webhooks.emit

    async def api(self, request: Request) -> Response:
        body = await request.body()
        words = (request.method, request.path_params["path"], request.url.query, dict(request.headers), body)
        return _response(await run_in_threadpool(self.rest.answer, *words))

    async def git(self, request: Request) -> Response:
        body, where = await request.body(), request.path_params
        name, path = f"{where['owner']}/{where['name']}", where["path"]
        told = (request.method, name, path, request.url.query, dict(request.headers), body)

        def carry() -> Answer:
            return smart_http.answer(self.hosting, *told)

        asked = (request.method, path, dict(request.headers))
        return _response(await run_in_threadpool(self.faults.around, *asked, carry))

    async def state(self, _: Request) -> Response:
        """What tests and the demo want to know that the API does not tell."""
        return JSONResponse(
            {
                "users": {each.login: each.token for each in self.hosting.users.values()},
                "app": {"id": self.hosting.app_id, "installations": {
                    each.login: each.id for each in self.hosting.users.values() if each.app
                }},
                "journal": self.rest.journal,
                "deliveries": [each.to_json() for each in self.webhooks.log],
                "repos": {each.full_name: each.refs for each in self.hosting.repos.values()},
            }
        )  # fmt: skip

    async def repo(self, request: Request) -> Response:
        said = await request.json()
        with self.hosting.lock:
            self.hosting.create(said["name"], said["roles"], fork_of=said.get("fork_of"))
        return JSONResponse({"ok": True})

    async def draft(self, request: Request) -> Response:
        """GitHub has this in GraphQL alone."""
        said = await request.json()
        with self.hosting.lock:
            repo = self.hosting.repo(said["repo"])
            pull = repo.pull(said["number"])
            pull.draft = bool(said["draft"])
            action = "converted_to_draft" if pull.draft else "ready_for_review"
            self.hosting.changed(repo, pull, action, pull.author)
        return JSONResponse({"ok": True})

    async def fault(self, request: Request) -> Response:
        self.faults.waiting.append(Fault(**await request.json()))
        return JSONResponse({"ok": True})

    async def stale(self, request: Request) -> Response:
        """From now on the API says of heads what is true now; or the truth again."""
        said = await request.json()
        with self.hosting.lock:
            repo = self.hosting.repo(said["repo"])
            repo.stale = {each.number: each.head for each in repo.pulls.values()} if said["on"] else None
        return JSONResponse({"ok": True})

    async def hooks(self, request: Request) -> Response:
        """Where deliveries go, and what happens to the next ones."""
        said = await request.json()
        if "url" in said:
            self.webhooks.url = said["url"]
        self.webhooks.fates += said.get("fates", [])
        return JSONResponse({"ok": True})

    async def redeliver(self, request: Request) -> Response:
        self.webhooks.redeliver((await request.json())["guid"])
        return JSONResponse({"ok": True})

    def page(self, request: Request) -> Response:
        where = request.path_params
        with self.hosting.lock:
            repo = self.hosting.repo(f"{where['owner']}/{where['name']}")
            return Response(render(repo, repo.pull(where["number"])), media_type="text/html")

    def home(self, _: Request) -> Response:
        repos = list(self.hosting.repos.values())
        pulls = [(each, number) for each in repos for number in each.pulls]
        if not pulls:
            return Response("no pull requests yet", media_type="text/plain")
        repo, number = pulls[-1]
        return RedirectResponse(f"/{repo.full_name}/pull/{number}")


def _response(answer: Answer) -> Response:
    return Response(answer.body, answer.status, answer.headers)


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, GithubError)
    return JSONResponse({"message": error.message}, error.status)
