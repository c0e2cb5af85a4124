"""Starts a stand-in in this process, and does from outside what people do on its page.

with SlackStandin(request_url="http://127.0.0.1:8080/daybreak/slack") as slack:
    slack.say("dana", "#dev-envs", "/bobby status")
"""

from __future__ import annotations

import html
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import httpx
import uvicorn

from examples.standins.local import InThread, listen
from examples.standins.slack.app import create
from examples.standins.slack.workspace import SCOPES, Workspace

#: Dana is there twice: names on a screen prove nothing.
PEOPLE = (
    ("dana", "Dana", "dana@acme.example"),
    ("yossi", "Yossi", "yossi@acme.example"),
    ("noa", "Noa", "noa@acme.example"),
    ("dana.l", "Dana", "dana.levy@acme.example"),
)
CHANNELS = ("dev-envs", "merges", "random")


def workspace(*, seed: int = 1, scopes: Sequence[str] = SCOPES, **more: Any) -> Workspace:
    """The workspace of the demo and of most tests."""
    return Workspace(PEOPLE, CHANNELS, seed=seed, scopes=scopes, **more)


def serve(
    space: Workspace, url: str, request_url: str | None, retries: tuple[float, ...], *others: str
) -> uvicorn.Server:
    """A server that is not running yet."""
    app = create(space, url, *others, request_url=request_url, retries=retries)
    return uvicorn.Server(
        uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=1)
    )


def read(blocks: Sequence[Mapping[str, Any]]) -> str:
    """What a person reads in blocks: without marks and entities, buttons left out."""
    words = "\n".join(block["text"]["text"] for block in blocks if "text" in block)
    return html.unescape(re.sub(r"(?m)(?:^|(?<=\s))\*([^*\n]+)\*", r"\1", words))


class SlackClient:
    """What people do on the page, and what a test wants to know; the stand-in may be another process.

    :param url: of the stand-in, without a slash at its end.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = httpx.Client(base_url=url, timeout=10, trust_env=False)

    @property
    def api(self) -> str:
        """``base_url`` of Slack's SDK."""
        return f"{self.url}/api/"

    def say(self, user: str, channel: str, text: str) -> None:
        """Write a message, or a command."""
        self._do("say", user=user, channel=channel, text=text)

    def open_home(self, user: str) -> None:
        """Open the app's Home tab."""
        self._do("home", user=user)

    def click(self, user: str, action_id: str, *, ts: str | None = None, contains: str = "") -> None:
        """Press a button of the Home tab or of the latest message that has it.

        :param ts: of the message.
        :param contains: a part of the button's value.
        """
        state = self.state(user)
        messages = [each for each in reversed(state["messages"]) if ts in (None, each["ts"])]
        places: list[tuple[dict[str, str], list[dict[str, Any]]]] = [
            ({"channel": each["channel"], "ts": each["ts"]}, each.get("blocks", [])) for each in messages
        ]
        if home := state["home"]:
            places.append(({"view": home["id"]}, home["blocks"]))
        for where, blocks in places:
            for number, block in enumerate(blocks):
                for element in [*block.get("elements", []), *filter(None, [block.get("accessory")])]:
                    if element.get("action_id") == action_id and contains in element.get("value", ""):
                        block_id = block.get("block_id", f"b{number}")
                        self._do("click", user=user, **where, block_id=block_id, action_id=action_id)
                        return
        raise AssertionError(f"{user} sees no button {action_id}")

    def state(self, user: str) -> dict[str, Any]:
        """Everything that the person sees."""
        people = {each["name"]: each["id"] for each in self._get("state")["people"]}
        return self._get(f"state?user={people.get(user, user)}")

    def messages(self, user: str) -> list[dict[str, Any]]:
        """The messages that the person sees, the oldest first."""
        return list(self.state(user)["messages"])

    def wait(self, user: str, seen: Callable[[dict[str, Any]], Any], seconds: float = 10) -> dict[str, Any]:
        """The person's state as soon as ``seen`` is true of it."""
        deadline = time.monotonic() + seconds
        while True:
            state = self.state(user)
            if seen(state):
                return state
            assert time.monotonic() < deadline, (
                f"{user} sees after {seconds:g} s: {state['messages'][-3:]}, "
                f"deliveries {self.journal()['deliveries'][-3:]}"
            )
            time.sleep(0.05)

    def journal(self) -> dict[str, Any]:
        """All calls of the app, and all that was delivered to it."""
        return self._get("journal")

    def calls(self, method: str) -> list[dict[str, Any]]:
        """The calls of one method."""
        return [each for each in self.journal()["calls"] if each["method"] == method]

    def fault(self, method: str, status: int, **more: Any) -> None:
        """Let the next call fail; see `web_api.Fault`."""
        self._do("fault", method=method, status=status, **more)

    def refresh(self) -> None:
        """Close the app's sockets."""
        self._do("refresh")

    def _get(self, path: str) -> dict[str, Any]:
        answer = self._http.get(f"/_/{path}")
        answer.raise_for_status()
        return dict(answer.json())

    def _do(self, path: str, **body: Any) -> Mapping[str, Any]:
        answer = self._http.post(f"/_/{path}", json=body)
        assert answer.is_success, answer.text
        return dict(answer.json())


class SlackStandin(SlackClient):
    """A stand-in in a thread of this process, until the ``with`` ends."""

    def __init__(
        self, space: Workspace | None = None, request_url: str | None = None,
        retries: tuple[float, ...] = (0.0, 0.05, 0.05),
    ) -> None:  # fmt: skip
        self.workspace = space or workspace()
        self._listener = listen()
        super().__init__(f"http://127.0.0.1:{self._listener.getsockname()[1]}")
        self._server = serve(self.workspace, self.url, request_url, retries)
        self._running = InThread(self._server, self._listener)

    def listen_at(self, request_url: str | None) -> None:
        """Where the app listens from now on."""
        self._server.config.app.state.door.delivery.request_url = request_url

    def forget(self) -> None:
        """Nobody said anything, nothing was called, nothing goes wrong."""
        door = self._server.config.app.state.door
        for kept in (self.workspace.messages, door.web.journal, door.web.faults, door.delivery.journal):
            kept.clear()
        self.workspace.homes.clear()

    def __enter__(self) -> SlackStandin:
        self._running.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.stop()
