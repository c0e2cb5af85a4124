"""Starts a stand-in in this process, and does from outside what people do on GitHub.

with GithubStandin(folder) as github:
    github.repo("acme/mono", dana="admin")
    number = github.open("dana", "acme/mono", "feature", "Add a thing")
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import uvicorn

from examples.standins.github.app import create
from examples.standins.github.delivery import Webhooks
from examples.standins.github.hosting import Hosting
from examples.standins.local import InThread, listen

#: The App whose installation may be asked for a token; ``bot`` is somebody with a token of their own.
APP, BOT = "daybreak[bot]", "daybreak-bot"
PEOPLE = ("dana", "yossi", "noa", "mallory", BOT)
SECRET = "webhook-secret-of-the-stand-in"


def hosting(folder: Path, url: str, seed: int = 1) -> Hosting:
    """The people of the demo and of most tests; no repository yet."""
    made = Hosting(folder, PEOPLE, url=url, seed=seed)
    made.user(APP, app="daybreak")
    return made


def serve(made: Hosting, webhooks: Webhooks, *others: str) -> uvicorn.Server:
    """A server that is not running yet.

    :param others: more base URLs under which it is served.
    """
    app = create(made, webhooks, *others)
    return uvicorn.Server(
        uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=1)
    )


class GithubClient:
    """What people do on GitHub, and what a test wants to know; the stand-in may be another process.

    :param url: of the stand-in, without a slash at its end.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = httpx.Client(base_url=url, timeout=30, trust_env=False)

    @property
    def api(self) -> str:
        """The API's base URL, as an Enterprise server has it."""
        return f"{self.url}/api/v3"

    def token(self, login: str) -> str:
        """Somebody's token."""
        return str(self.state()["users"][login])

    def git(self, login: str, repo: str) -> str:
        """The address for git, with somebody's token in it."""
        return self.url.replace("://", f"://x-access-token:{self.token(login)}@") + f"/{repo}.git"

    # What people do

    def repo(self, name: str, *, fork_of: str | None = None, **roles: str) -> None:
        """Make a repository; who has which role in it, with ``_`` for ``-``."""
        given = {who.replace("_", "-"): role for who, role in roles.items()}
        self.do("repo", name=name, roles=given, fork_of=fork_of)

    def open(
        self, login: str, repo: str, branch: str, title: str, *, base: str = "main", draft: bool = False,
        fork: str | None = None,
    ) -> int:  # fmt: skip
        """Open a pull request; its number.

        :param fork: the owner of the fork that the branch is in.
        """
        head = f"{fork}:{branch}" if fork else branch
        body = {"title": title, "head": head, "base": base, "draft": draft}
        return int(self.ask(login, "POST", f"{repo}/pulls", body)["number"])

    def comment(self, login: str, repo: str, number: int, text: str) -> int:
        """Comment; the comment's id."""
        return int(self.ask(login, "POST", f"{repo}/issues/{number}/comments", {"body": text})["id"])

    def review(
        self, login: str, repo: str, number: int, event: str = "APPROVE", *, body: str = "",
        commit: str | None = None,
    ) -> int:  # fmt: skip
        """Review; ``APPROVE``, ``REQUEST_CHANGES`` or ``COMMENT``. The review's id."""
        said = {"event": event, "body": body, "commit_id": commit}
        return int(self.ask(login, "POST", f"{repo}/pulls/{number}/reviews", said)["id"])

    def label(self, login: str, repo: str, number: int, *labels: str) -> None:
        """Add labels."""
        self.ask(login, "POST", f"{repo}/issues/{number}/labels", {"labels": list(labels)})

    def edit(self, login: str, repo: str, number: int, **fields: str) -> None:
        """Change title, base or state."""
        self.ask(login, "PATCH", f"{repo}/pulls/{number}", fields)

    def draft(self, repo: str, number: int, draft: bool = True) -> None:
        """Make it a draft, or ready."""
        self.do("draft", repo=repo, number=number, draft=draft)

    def pull(self, repo: str, number: int, login: str = "dana") -> dict[str, Any]:
        """A pull request, as GitHub answers."""
        return dict(self.ask(login, "GET", f"{repo}/pulls/{number}"))

    def comments(self, repo: str, number: int, login: str = "dana") -> list[dict[str, Any]]:
        """Its comments, the oldest first."""
        return list(self.ask(login, "GET", f"{repo}/issues/{number}/comments?per_page=100"))

    def statuses(self, repo: str, sha: str, login: str = "dana") -> list[dict[str, Any]]:
        """Statuses of a commit, the newest first."""
        return list(self.ask(login, "GET", f"{repo}/statuses/{sha}?per_page=100"))

    def ask(self, login: str, method: str, path: str, body: Any = None) -> Any:
        """Any call of the API about a repository, as somebody."""
        headers = {"Authorization": f"Bearer {self.token(login)}"}
        answer = self._http.request(method, f"/api/v3/repos/{path}", json=body, headers=headers)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    # What a test wants

    def state(self) -> dict[str, Any]:
        """Tokens, references, all calls and all deliveries."""
        answer = self._http.get("/_/state")
        answer.raise_for_status()
        return dict(answer.json())

    def refs(self, repo: str) -> dict[str, str]:
        """All references."""
        return dict(self.state()["repos"][repo])

    def calls(self, method: str, path: str = "") -> list[dict[str, Any]]:
        """The calls of that method whose path ends so."""
        return [
            each
            for each in self.state()["journal"]
            if each["method"] == method and each["path"].endswith(path)
        ]

    def deliveries(self, event: str = "") -> list[dict[str, Any]]:
        """Deliveries of the webhook, those that were lost too."""
        return [each for each in self.state()["deliveries"] if event in ("", each["event"])]

    def fault(
        self, method: str = "*", path: str = "*", status: int = 502, *, login: str = "", **more: Any
    ) -> None:
        """Let the next request fail, of anybody or of one; see `faults.Fault`."""
        if login:
            more["token"] = self.token(login)
        self.do("fault", method=method, path=path, status=status, **more)

    def stale(self, repo: str, on: bool = True) -> None:
        """Heads stay in the API as they are now, until they are true again."""
        self.do("stale", repo=repo, on=on)

    def listen_at(self, url: str | None) -> None:
        """Where the webhook's deliveries go from now on."""
        self.do("webhooks", url=url)

    def fate(self, *fates: str) -> None:
        """What happens to the next deliveries: ``lost`` or ``doubled``."""
        self.do("webhooks", fates=fates)

    def redeliver(self, guid: str) -> None:
        """Press *Redeliver*."""
        self.do("redeliver", guid=guid)

    def do(self, switch: str, /, **body: Any) -> None:
        """One of the switches."""
        answer = self._http.post(f"/_/{switch}", json=body)
        assert answer.is_success, answer.text


class GithubStandin(GithubClient):
    """A stand-in in threads of this process, until the ``with`` ends.

    :param folder: for the bare repositories.
    """

    def __init__(self, folder: Path, listener_url: str | None = None, *, seed: int = 1) -> None:
        self._listener = listen()
        super().__init__(f"http://127.0.0.1:{self._listener.getsockname()[1]}")
        self.hosting = hosting(folder, self.url, seed)
        self.secret = SECRET
        self.webhooks = Webhooks(self.url, self.hosting.ids, listener_url, SECRET)
        self._server = serve(self.hosting, self.webhooks)
        self._running = InThread(self._server, self._listener)

    def settled(self) -> None:
        """Wait until effects that come late are there, and every delivery was sent."""
        for each in self._server.config.app.state.door.faults.late:
            each.join()
        self.webhooks.wait()

    def calm(self) -> None:
        """Nothing goes wrong from now on; what was to come late is there."""
        self._server.config.app.state.door.faults.waiting.clear()
        self.webhooks.fates.clear()
        self.settled()

    def forget(self) -> None:
        """Nothing goes wrong, nobody listens, nothing was called or delivered."""
        self.settled()
        door = self._server.config.app.state.door
        for kept in (door.faults.waiting, door.faults.late, door.rest.journal, self.webhooks.log):
            kept.clear()
        self.webhooks.fates.clear()
        self.webhooks.url = None

    def __enter__(self) -> GithubStandin:
        self._running.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.stop()
        self.webhooks.stop()
