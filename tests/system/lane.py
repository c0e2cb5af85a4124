"""Pull requests of the running demo, and what may be asked of its lane from outside."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import pytest
from sqlalchemy import select

from daybreak.environment.machine import State
from daybreak.merge.attempts import Attempts
from daybreak.merge.queue import Queue
from daybreak.merge.rows import Attempt, Entry
from daybreak.merge.rules import AttemptState as A
from daybreak.merge.run import Merge
from daybreak.orchestration.rest import Run
from daybreak.registry import merge_tables as tables
from examples.demo.github import REPOSITORY, git
from examples.standins.github.server import GithubClient
from tests.system.conftest import Demo

T = TypeVar("T")
DAG, NAME = "pr_e2e", "merge-01"


class Lane:
    """The lane of a demo, and people who want to main."""

    def __init__(self, demo: Demo) -> None:
        self.demo = demo
        self.secrets = json.loads((demo.folder / "github.json").read_text())
        self.github = GithubClient(str(self.secrets["url"]))
        self.base = self.main()

    @property
    def queue(self) -> Queue:
        return Queue(self.demo.installation.engine)

    @property
    def attempts(self) -> Attempts:
        return Attempts(self.demo.installation.engine)

    @cached_property
    def clone(self) -> Path:
        """A clone of the repository that nobody else works in."""
        folder = self.demo.folder / "clone"
        if not folder.exists():
            git(self.demo.folder, "clone", "--quiet", self._url("dana"), str(folder))
        return folder

    # What people do

    def push(self, branch: str, files: Mapping[str, str | tuple[str, str]], start: str = "main") -> str:
        """One commit more than ``start``, pushed by Dana; its id.

        :param files: by name: the text, or what is replaced by what.
        """
        git(self.clone, "fetch", "--quiet", self._url("dana"), start)
        git(self.clone, "checkout", "--quiet", "-B", branch, "FETCH_HEAD")
        for name, change in files.items():
            path = self.clone / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(change, tuple):
                assert change[0] in path.read_text(), f"{name} has no {change[0]!r}"
                change = path.read_text().replace(*change, 1)
            path.write_text(change)
        git(self.clone, "add", "--all")
        who = ("-c", "user.name=Dana", "-c", "user.email=dana@acme.example")
        git(self.clone, *who, "commit", "--quiet", "--message", f"Change {', '.join(files)}")
        git(self.clone, "push", "--quiet", "--force", self._url("dana"), branch)
        return git(self.clone, "rev-parse", "HEAD")

    def open(self, branch: str, files: Mapping[str, str | tuple[str, str]]) -> int:
        """A pull request of Dana's that Noa approved; its number."""
        self.push(branch, files)
        number = self.github.open("dana", REPOSITORY, branch, f"Add {branch}")
        self.github.review("noa", REPOSITORY, number)
        return number

    def say(self, number: int, words: str = "merge") -> int:
        """A comment of Dana's to Gandalf; its id."""
        return self.github.comment("dana", REPOSITORY, number, f"@gandalf {words}")

    # What became of it

    def main(self) -> str:
        """Where main is."""
        return self.github.refs(REPOSITORY)["refs/heads/main"]

    def landed(self) -> list[str]:
        """Subjects of what came to main since this lane was looked at first, the oldest first."""
        git(self.clone, "fetch", "--quiet", self._url("dana"), "main")
        since = f"{self.base}..FETCH_HEAD"
        return git(self.clone, "log", "--first-parent", "--reverse", "--format=%s", since).splitlines()

    def files(self, folder: str) -> list[str]:
        """What main has in a folder."""
        git(self.clone, "fetch", "--quiet", self._url("dana"), "main")
        return git(self.clone, "ls-tree", "--name-only", "FETCH_HEAD", f"{folder}/").splitlines()

    def entry(self, number: int) -> Entry | None:
        """The latest entry of a pull request."""
        found = self.queue.of_pull(number)
        return found[0] if found else None

    def ended(self, *numbers: int, seconds: float) -> list[Entry]:
        """Their entries, once all of them are over."""

        def over() -> list[Entry]:
            found = [each for number in numbers if (each := self.entry(number)) and each.ended_at]
            return found if len(found) == len(numbers) else []

        return self.until(over, seconds, lambda: str([self.entry(number) for number in numbers]))

    def attempt(self, run_id: str, *states: A, seconds: float = 300) -> Attempt:
        """The attempt, once it is in one of the states."""

        def there() -> Attempt | None:
            found = self.attempts.find(run_id)
            return found if found and found.state in states else None

        return self.until(there, seconds, lambda: f"{run_id}: {self.attempts.find(run_id)}")

    def free(self) -> bool:
        """Nobody is in the lane."""
        env = self.demo.installation.environments.get(NAME)
        return env.op_token is None and env.state is State.READY

    def idle(self, seconds: float = 200) -> None:
        """Nobody is in the lane, and the merge environment, read back, runs main."""
        self.until(self.free, seconds, lambda: str(self.demo.installation.environments.get(NAME)))
        assert self.runs_main()

    def runs_main(self) -> bool:
        """Read back from the environment itself."""
        merge, main = Merge(self.demo.installation), self.main()
        with pytest.MonkeyPatch.context() as environ:
            # Git finds its token as it does in the demo.
            environ.setenv("GIT_CONFIG_GLOBAL", str(self.demo.folder / "gitconfig"))
            merge._fetch(main)
        return merge.lane.ground.runs(main)

    def in_lane(self) -> list[tuple[datetime, datetime, str]]:
        """From when to when each attempt had the lane, in order."""
        table, found = tables.merge_events, dict[str, list[datetime]]()
        query = select(table).where(table.c.subject.like("attempt:%")).order_by(table.c.id)
        with self.demo.installation.engine.connect() as connection:
            for row in connection.execute(query):
                # PLANNED is not in it yet, and an attempt's last version is its end.
                if row.to_state != A.PLANNED:
                    found.setdefault(row.subject.partition(":")[2], []).append(row.at)
        return sorted((times[0], times[-1], run_id) for run_id, times in found.items())

    def never_interleaved(self) -> bool:
        """Whether each attempt had left the lane before the next one came."""
        return all(one[1] <= other[0] for one, other in pairwise(self.in_lane()))

    def run_ended(self, run_id: str, seconds: float = 120) -> Run:
        """The DAG run, once it is over."""

        def over() -> Run | None:
            found = self.demo.rest.run(DAG, run_id)
            return found if found.ended else None

        return self.until(over, seconds, lambda: f"{run_id} is not over")

    def told(self, number: int, words: str, seconds: float = 120) -> list[str]:
        """What Gandalf says on the pull request, once these words are in it."""

        def said() -> list[str]:
            found = self.comments(number)
            return found if any(words in each.lower() for each in found) else []

        return self.until(said, seconds, lambda: f"#{number}: {self.comments(number)}")

    def comments(self, number: int) -> list[str]:
        """What Gandalf says on the pull request."""
        said = self.github.comments(REPOSITORY, number)
        return [each["body"] for each in said if each["user"]["login"] == self.secrets["bot"]]

    def until(self, says: Callable[[], T | None], seconds: float, why: Callable[[], str] = str) -> T:
        """The first answer that is not empty."""
        deadline = time.monotonic() + seconds
        while not (found := says()):
            assert time.monotonic() < deadline, why()
            time.sleep(0.2)
        return found

    def _url(self, login: str) -> str:
        return self.github.git(login, REPOSITORY)
