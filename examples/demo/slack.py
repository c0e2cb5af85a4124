"""The demo's Slack: the stand-in as a process, the app's secrets, and a short story told by real commands."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from examples.demo.processes import Processes
from examples.standins.slack.server import PEOPLE, SlackClient, read

CONNECTION, CHANNEL = "slack_demo", "#dev-envs"
#: Who is known: the second Dana of the workspace is not.
KNOWN = ("dana", "yossi", "noa")
ADMIN = "noa"
#: Before the night: who says what.
STORY = (
    ("yossi", "/bobby lock dev-01 for 4h -- checkout flow"),
    ("dana", "/bobby deploy dev-01 main -- my fix"),
    ("dana", "/bobby preserve dev-02 tonight -- load test until morning"),
    ("noa", "/bobby status"),
    ("yossi", "/bobby release dev-01"),
)


class Slack:
    """One workspace with Bobby in it."""

    def __init__(self, folder: Path) -> None:
        self._ready = folder / "slack.json"
        self.secrets: dict[str, str] = {}

    def start(self, processes: Processes, root: Path, env: Mapping[str, str], request_url: str) -> None:
        """Begin; :meth:`wait` waits for it."""
        self._ready.unlink(missing_ok=True)
        command = [sys.executable, "-m", "examples.standins.slack", "--ready", str(self._ready)]
        processes.start("slack", [*command, "--request-url", request_url], env, root)

    def wait(self, processes: Processes, seconds: float = 30) -> None:
        """Until it listens."""
        deadline = time.monotonic() + seconds
        while not self._ready.exists():
            if "slack" in processes.dead() or time.monotonic() > deadline:
                raise SystemExit(f"Slack's stand-in did not start:\n{processes.tail('slack')}")
            time.sleep(0.05)
        self.secrets = json.loads(self._ready.read_text())

    @property
    def url(self) -> str:
        """Its page."""
        return self.secrets["url"]

    def settings(self) -> dict[str, Any]:
        """`slack:` and `people:` of daybreak.yaml; the token is for `daybreak doctor` and `daybreak bots`."""
        return {
            "slack": {
                "connection": CONNECTION, "channel": CHANNEL, "token": self.secrets["token"],
                "app_token": self.secrets["app_token"], "base_url": f"{self.url}/api/",
            },
            "people": [
                {"name": handle, "email": email, "github": handle, "admin": handle == ADMIN}
                for handle, _, email in PEOPLE
                if handle in KNOWN
            ],
        }  # fmt: skip

    def connection(self) -> dict[str, str]:
        """Airflow's connection, as the variable that Airflow reads."""
        found = {
            "conn_type": "slack",
            "password": self.secrets["token"],
            "extra": {"base_url": f"{self.url}/api/", "signing_secret": self.secrets["signing_secret"]},
        }
        return {f"AIRFLOW_CONN_{CONNECTION.upper()}": json.dumps(found)}

    def tell(self) -> Iterator[str]:
        """The story: each command as it was said, and what came back."""
        client = SlackClient(self.url)
        for who, said in STORY:
            before = len(_answers(client, who))
            client.say(who, CHANNEL, said)
            client.wait(who, lambda _, who=who, before=before: len(_answers(client, who)) > before, 30)
            yield f"{who:>6}  {said}"
            for line in _answers(client, who)[-1].splitlines():
                yield f"{'':>6}    {line}"


def _answers(client: SlackClient, who: str) -> list[str]:
    """What Bobby said to the person, as Slack shows it."""
    state = client.state(who)
    return [
        read(each["blocks"])
        for each in state["messages"]
        if each["user"] == state["bot"] and each.get("blocks")
    ]
