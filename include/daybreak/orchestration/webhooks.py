"""The routes by which the world talks to Daybreak, mounted into Airflow's API server by the plugin.

A mounted app has no authentication of Airflow's, so each request proves itself: the signature of its raw body
is looked at before anything else of it is. Then it is written into the inbox under its key, answered at once,
and worked on after that by :class:`daybreak.talk.worker.Worker`, by the caretaker if this process dies.
"""

from __future__ import annotations

import hashlib
import hmac
import importlib
import logging
import threading
import time
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from fastapi import FastAPI, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, PlainTextResponse, Response

from daybreak.errors import DaybreakError, UsageError
from daybreak.talk.github import deliveries
from daybreak.talk.slack import incoming

if TYPE_CHECKING:
    from daybreak.environment.installation import Installation
    from daybreak.talk.github.access import Access as GithubAccess
    from daybreak.talk.slack.app import Access
    from daybreak.talk.worker import Worker

log = logging.getLogger(__name__)

#: Bytes: no request of Slack's is as large.
MOST = 1 << 20
#: Bytes: a push of thousands of files is not as large. GitHub sends up to 25 MB, which nobody who has not
#: proved himself yet may make us hold; what is refused here the caretaker sees by itself.
MOST_OF_GITHUB = 4 << 20
#: Seconds for which an app's secret is remembered: so long an old one is good after it was changed.
REMEMBERED = 60.0
#: Seconds after which what could not be connected is tried again.
FORGIVEN = 5.0

#: What a request imports.
_NEEDED = (
    "airflow.providers.slack.hooks.slack", "airflow.providers.github.hooks.github",
    "daybreak.environment.installation", "daybreak.orchestration.starting", "daybreak.talk.whole",
    "daybreak.talk.github.access",
)  # fmt: skip

_A = TypeVar("_A")
Open = Callable[[], "tuple[Installation, Access]"]
OpenGithub = Callable[[], "tuple[Installation, GithubAccess]"]


class TooLarge(DaybreakError):
    """A body that nobody sends who means well."""

    code = "too_large"


def create(
    connect: Open | None = None,
    wake: Callable[[], None] | None = None,
    remembered: float = REMEMBERED,
    github: OpenGithub | None = None,
) -> FastAPI:
    """The application with all routes. Nothing is connected before the first request.

    :param connect: gives the installation and Slack's app; by default as Airflow's connections say.
    :param wake: is called when there is something in the inbox; by default a worker in this process is.
    :param remembered: seconds until ``connect`` and ``github`` are asked again.
    :param github: gives the installation and the repository on GitHub; by default as ``connect`` does.
    """
    if connect is None:
        _import()
    # No page that describes the routes: it would be open to everybody.
    app = FastAPI(title="Daybreak", docs_url=None, redoc_url=None, openapi_url=None)
    connections = _Connections()
    wake = wake or connections.wake
    doors: tuple[Door[Any], ...] = (
        SlackDoor(connect or connections.slack, wake, remembered),
        GithubDoor(github or connections.github, wake, remembered),
    )
    for door in doors:
        app.add_api_route(f"/{door.name}", door.receive, methods=["POST"], response_model=None)
    return app


class Door(Generic[_A]):
    """One route: check, record, answer.

    :param connect: gives the installation and the other side's secrets.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    most: ClassVar[int]

    def __init__(
        self,
        connect: Callable[[], tuple[Installation, _A]],
        wake: Callable[[], None],
        remembered: float,
    ) -> None:
        self._connect, self._wake, self._remembered = connect, wake, remembered
        self._known: tuple[Installation, _A] | None = None
        self._trouble = ""
        self._until = 0.0

    async def receive(self, request: Request) -> Response:
        """Take one request."""
        try:
            body = await limited(request, self.most)
        except TooLarge:
            return PlainTextResponse("too large", 413)
        return await run_in_threadpool(self._receive, dict(request.headers), body)

    @abstractmethod
    def secret(self, access: _A) -> str:
        """By which the other side signs.

        :raises UsageError: when there is none.
        """

    @abstractmethod
    def signed(self, secret: str, headers: Mapping[str, str], body: bytes) -> bool:
        """Whether the other side signed it."""

    @abstractmethod
    def read(
        self, installation: Installation, headers: Mapping[str, str], body: bytes
    ) -> Response | tuple[str, dict[str, Any]] | None:
        """Key and payload for the inbox; an answer where that is all; ``None``: nothing for us.

        :raises UsageError: when it is not understood.
        """

    def _receive(self, headers: dict[str, str], body: bytes) -> Response:
        opened = self._open()
        if opened is None:
            # Never open: without the secret nobody is believed. The reason is for the log alone.
            log.error("%s is refused: %s", self.title, self._trouble)
            return PlainTextResponse("not set up", 503)
        installation, access = opened
        if not self.signed(self.secret(access), headers, body):
            log.warning("a request to /%s is not signed by our secret, or too old", self.name)
            return PlainTextResponse("not signed", 401)
        try:
            found = self.read(installation, headers, body)
        except UsageError as error:
            log.warning("%s", error)
            return PlainTextResponse("not understood", 400)
        if found is None:
            return Response(status_code=200)
        if isinstance(found, Response):
            return found
        key, payload = found
        try:
            new = installation.inbox.record(key, self.name, payload)
        except Exception:
            # Slack brings an event again, and who gave a command is told that it failed; of GitHub's the
            # caretaker finds what it was about.
            log.exception("%s is refused: it cannot be written down", key)
            return PlainTextResponse("try again", 503)
        if new:
            self._wake()
        return Response(status_code=200)

    def _open(self) -> tuple[Installation, _A] | None:
        """The other side; ``None`` when there is none, which is not asked anew for each of many requests."""
        if time.monotonic() >= self._until:
            self._known = None
            try:
                installation, access = self._connect()
                self.secret(access)
                self._known, remembered = (installation, access), self._remembered
            except Exception as error:
                self._trouble = f"{type(error).__name__}: {error}"
                remembered = min(self._remembered, FORGIVEN)
            self._until = time.monotonic() + remembered
        return self._known


class SlackDoor(Door["Access"]):
    """``POST /slack``: events, commands and buttons of Slack's app."""

    name, title, most = "slack", "Slack", MOST

    def secret(self, access: Access) -> str:
        """The app's signing secret."""
        if not access.signing_secret:
            raise UsageError(
                "there is no signing secret; put `signing_secret` into the extra of the connection that "
                "`slack.connection` names (docs/slack.md)"
            )
        return access.signing_secret

    def signed(self, secret: str, headers: Mapping[str, str], body: bytes) -> bool:
        """Within the last five minutes (docs.slack.dev, "Verifying requests"), compared in constant time."""
        from slack_sdk.signature import SignatureVerifier

        try:
            return SignatureVerifier(secret).is_valid_request(body, dict(headers))
        except (ValueError, TypeError):  # a time that is no number, a signature that is not ASCII
            return False

    def read(
        self, installation: Installation, headers: Mapping[str, str], body: bytes
    ) -> Response | tuple[str, dict[str, Any]] | None:
        """What somebody said."""
        kind, payload = incoming.parse(headers.get("content-type", ""), body)
        if kind == "events_api" and payload.get("type") == "url_verification":
            return JSONResponse({"challenge": payload.get("challenge")})
        found = incoming.read(kind, payload)
        return None if found is None else (found.key, found.said.to_json())


class GithubDoor(Door["GithubAccess"]):
    """``POST /github``: deliveries of the repository's webhook, or of the App's."""

    name, title, most = "github", "GitHub", MOST_OF_GITHUB

    def secret(self, access: GithubAccess) -> str:
        """The webhook's secret."""
        if not access.webhook_secret:
            raise UsageError(
                "there is no webhook secret; put `webhook_secret` into the extra of the connection that "
                "`github.connection` names (docs/github.md)"
            )
        return access.webhook_secret

    def signed(self, secret: str, headers: Mapping[str, str], body: bytes) -> bool:
        """``X-Hub-Signature-256``, compared in constant time (docs.github.com, "Validating webhook
        deliveries"). There is no time in it: what is sent again is found by its key.
        """
        given = headers.get("x-hub-signature-256", "").encode()
        ours = f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}".encode()
        return hmac.compare_digest(given, ours)

    def read(
        self, installation: Installation, headers: Mapping[str, str], body: bytes
    ) -> Response | tuple[str, dict[str, Any]] | None:
        """What happened."""
        event = headers.get("x-github-event", "")
        payload = deliveries.parse(headers.get("content-type", ""), body)
        if event == "ping":
            return PlainTextResponse("pong")
        github = installation.settings.github
        assert github is not None  # there is access
        guid = headers.get("x-github-delivery", "")
        found = deliveries.read(event, guid, payload, github.repository)
        return None if found is None else (found.key, deliveries.to_json(found.event))


async def limited(request: Request, most: int = MOST) -> bytes:
    """The raw body.

    :raises TooLarge: before more than ``most`` bytes of it are kept.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise TooLarge(f"a request of more than {most} bytes")
    return bytes(body)


def _import() -> None:
    """Now, so that the first request is answered within Slack's three seconds. No connection is made: Airflow
    may fork its workers after this.
    """
    for module in _NEEDED:
        importlib.import_module(module)


class _Connections:
    """The installation, opened once, and the other sides as Airflow's connections say it now; one worker for
    both, since what is said in Slack may concern a pull request.
    """

    _opened: Installation | None = None
    _worker: tuple[tuple[str, str], Worker] | None = None
    _until = 0.0

    def __init__(self) -> None:
        self._renewing = threading.Lock()

    def slack(self) -> tuple[Installation, Access]:
        from daybreak.orchestration import connections

        installation = self._installation()
        return installation, connections.slack(installation.settings)

    def github(self) -> tuple[Installation, GithubAccess]:
        from daybreak.orchestration import connections

        installation = self._installation()
        return installation, connections.github(installation.settings)

    def wake(self) -> None:
        """Wake the worker of this process; a new one once a connection was changed."""
        with self._renewing:
            if self._worker is None or time.monotonic() >= self._until:
                self._renew()
                self._until = time.monotonic() + REMEMBERED
        if self._worker is not None:
            self._worker[1].wake()

    def _renew(self) -> None:
        from daybreak.orchestration.starting import Starter
        from daybreak.talk.worker import Worker

        installation = self._installation()
        settings = installation.settings
        slack = self._tried(self.slack) if settings.slack is not None else None
        github = self._tried(self.github) if settings.github is not None else None
        tokens = (str(slack.client.token) if slack else "", github.client.credential if github else "")
        if self._worker is not None:
            if self._worker[0] == tokens:
                return
            self._worker[1].stop(0)
        worker = Worker(installation, slack, Starter(settings), github=github)
        self._worker = tokens, worker.start()

    def _tried(self, connect: Callable[[], tuple[Installation, _A]]) -> _A | None:
        """The other side; one that cannot be reached keeps nobody from the other one."""
        try:
            return connect()[1]
        except Exception as error:
            log.warning("%s: %s", type(error).__name__, error)
            return None

    def _installation(self) -> Installation:
        from daybreak.orchestration import connections

        if self._opened is None:
            self._opened = connections.installation(patience=0)
        return self._opened
