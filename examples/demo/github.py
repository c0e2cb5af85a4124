"""The demo's GitHub: the stand-in as a process, acme as its repository, and people's pull requests."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from examples.demo.processes import Processes
from examples.standins.github.server import GithubClient

CONNECTION, REPOSITORY = "github_demo", "acme/acme"
ROLES = {"dana": "write", "yossi": "write", "noa": "admin", "daybreak_bot": "maintain"}


@dataclass(frozen=True)
class Change:
    """One pull request.

    :param edits: in each file one text for another; an empty one stands for the end of the file.
    """

    branch: str
    author: str
    title: str
    edits: Mapping[str, tuple[str, str]]


_FLEET = "services/fleet/src/acme_fleet/app.py"
_TRIPS = "services/trips/src/acme_trips/app.py"
GOOD = Change(
    "odometer", "dana", "The odometer of one vehicle",
    {_FLEET: ("    return app\n", '''    @app.get("/vehicles/<vin>/odometer")
    def odometer(vin: str):
        return vehicle(vin)

    return app
''')},
)  # fmt: skip
#: Its unit tests are green: they know one vehicle.
BROKEN = Change(
    "short-list",
    "yossi",
    "A short list of vehicles",
    {_FLEET: ('ORDER BY vin"))', 'ORDER BY vin LIMIT 2"))')},
)
DOCS = Change("readme", "noa", "Whom to ask about acme", {"README.md": ("", "\nAsk in #dev-envs.\n")})
_BEFORE = """    app = create_app(answering(200, {"model": "roadster"}), answering(200, [[0, 0], [0, 1]]))
    assert app.test_client().get("/trips/V1").json == {
        "vin": "V1", "model": "roadster", "kilometres": 111.195, "price": "48.20"
"""
#: Each is green alone; together, the second reads what the first renamed.
RENAMED = Change(
    "kilometres",
    "dana",
    "The odometer is in kilometres, as all else is",
    {
        _FLEET: (
            'text("SELECT vin, model, odometer_km FROM vehicles WHERE vin = :vin")',
            'text("SELECT vin, model, odometer_km AS kilometres FROM vehicles WHERE vin = :vin")',
        ),
        "services/fleet/tests/test_fleet.py": ('"odometer_km": 7}', '"kilometres": 7}'),
    },
)
USED = Change(
    "trip-odometer", "yossi", "A trip says where the odometer stands",
    {
        _TRIPS: (
            "kilometres=driven.kilometres, price=str(driven.price)\n",
            "kilometres=driven.kilometres, price=str(driven.price),\n"
            '            odometer=vehicle.json()["odometer_km"],\n',
        ),
        "services/trips/tests/test_trips.py": (
            _BEFORE, _BEFORE.replace('"roadster"})', '"roadster", "odometer_km": 7})').replace(
                '"48.20"', '"48.20", "odometer": 7'
            ),
        ),
    },
)  # fmt: skip


class Github:
    """One repository with Gandalf at it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "github"
        self._ready = folder / "github.json"
        self.config = folder / "gitconfig"
        self.secrets: dict[str, Any] = {}

    def start(self, processes: Processes, root: Path, env: Mapping[str, str], webhook: str) -> None:
        """Begin; :meth:`wait` waits for it. It remembers nothing, so its repositories begin anew."""
        self._ready.unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)
        command = [sys.executable, "-m", "examples.standins.github", "--ready", str(self._ready)]
        command += ["--folder", str(self.folder), "--webhook", webhook]
        processes.start("github", command, env, root)

    def wait(self, processes: Processes, seconds: float = 30) -> None:
        """Until it listens."""
        deadline = time.monotonic() + seconds
        while not self._ready.exists():
            if "github" in processes.dead() or time.monotonic() > deadline:
                raise SystemExit(f"GitHub's stand-in did not start:\n{processes.tail('github')}")
            time.sleep(0.05)
        self.secrets = json.loads(self._ready.read_text())

    @property
    def client(self) -> GithubClient:
        """GitHub, as its people use it."""
        return GithubClient(str(self.secrets["url"]))

    @property
    def url(self) -> str:
        """Where the repository is shown."""
        return f"{self.secrets['url']}/{REPOSITORY}"

    def publish(self, clone: Path) -> None:
        """Make the repository, and push what is in ``clone``; git finds the bot's token by a helper."""
        client = self.client
        client.repo(REPOSITORY, **ROLES)
        host = self.secrets["url"].removeprefix("http://")
        kept = self.config.with_name("git-credentials")
        for path, text in (
            (kept, f"http://x-access-token:{self.secrets['token']}@{host}\n"),
            (self.config, f"[credential]\n\thelper = store --file={kept}\n"),
        ):
            path.touch(mode=0o600)
            path.write_text(text)
        git(clone, "remote", "add", "origin", f"{self.url}.git")
        git(clone, "push", "--quiet", client.git("noa", REPOSITORY), "main")

    def settings(self) -> dict[str, Any]:
        """`github:` and `merge:` of daybreak.yaml."""
        return {
            "github": {
                "connection": CONNECTION, "repository": REPOSITORY, "login": self.secrets["bot"],
                "token": self.secrets["token"], "base_url": self.secrets["api"],
            },
            "merge": {"required_reviews": 1},
        }  # fmt: skip

    def connection(self) -> dict[str, str]:
        """Airflow's connection, as the variable that Airflow reads."""
        found = {
            "conn_type": "github",
            "host": self.secrets["api"],
            "password": self.secrets["token"],
            "extra": {"webhook_secret": self.secrets["webhook_secret"]},
        }
        return {f"AIRFLOW_CONN_{CONNECTION.upper()}": json.dumps(found)}

    def open(self, clone: Path, change: Change) -> int:
        """Somebody's branch from main, and the pull request; its number."""
        client = self.client
        git(clone, "fetch", "--quiet", client.git(change.author, REPOSITORY), "main")
        git(clone, "checkout", "--quiet", "-B", change.branch, "FETCH_HEAD")
        for name, (old, new) in change.edits.items():
            path = clone / name
            found = path.read_text()
            assert old in found, f"{name} has no {old!r}"
            path.write_text(found.replace(old, new, 1) if old else found + new)
        who = ("-c", f"user.name={change.author.title()}", "-c", f"user.email={change.author}@acme.example")
        git(clone, *who, "commit", "--quiet", "--all", "--message", change.title)
        git(clone, "push", "--quiet", "--force", client.git(change.author, REPOSITORY), change.branch)
        git(clone, "checkout", "--quiet", "main")
        number = client.open(change.author, REPOSITORY, change.branch, change.title)
        client.review("noa" if change.author != "noa" else "dana", REPOSITORY, number)
        return number

    def merge(self, number: int, author: str) -> None:
        """Say it, in a comment."""
        self.client.comment(author, REPOSITORY, number, "@gandalf merge")


def git(clone: Path, *words: str) -> str:
    """``git …`` in a folder, with nobody's settings."""
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(clone),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
    }
    done = subprocess.run(["git", *words], cwd=clone, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"git {words[0]} failed in {clone}: {done.stderr.strip()}")
    return done.stdout.strip()


def stories() -> Iterator[tuple[str, tuple[Change, ...]]]:
    """What happens after the night, in order: what it shows, and the pull requests that it takes."""
    yield "a good one lands", (GOOD,)
    yield "one that breaks e2e is rejected", (BROKEN,)
    yield "one of words alone lands without a deploy", (DOCS,)
    yield "two that break only together: the first lands, the second is rejected", (RENAMED, USED)
