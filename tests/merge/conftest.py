"""A remote with pull requests, a registry, and an environment that runs what it is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, update

from daybreak.environment.machine import Op, State
from daybreak.environment.state import Environments
from daybreak.git import merging, pushing
from daybreak.git.mirrors import mirror
from daybreak.git.repository import Repository
from daybreak.merge import protocol as p
from daybreak.merge.attempts import Attempts
from daybreak.merge.batch import Batch
from daybreak.merge.lane import Lane
from daybreak.merge.queue import Ask, Queue
from daybreak.merge.remote import LEASE_REF, GitRemote
from daybreak.merge.rows import Entry
from daybreak.merge.rules import AttemptState
from daybreak.registry import tables
from daybreak.settings import EnvironmentSettings
from tests.fixtures.registry import ENVIRONMENTS, ManualClock
from tests.monorepo import Monorepo

MAIN = "refs/heads/main"
STEPS = (p.enter, p.deploy, p.test, p.land, p.settle)


@dataclass
class Place:
    """The merge environment, as far as the lane sees it.

    :param bad: commits whose files make the tests fail: those that hold a file ``bad-…`` for each of a set.
    """

    repository: Repository
    running: str
    bad: list[frozenset[str]] = field(default_factory=list)
    tested: list[str] = field(default_factory=list)
    passed: set[str] = field(default_factory=set)
    deploys: bool = True
    #: Commits that cannot be deployed: those that hold this file.
    broken: str = ""

    def deploy(self, commit: str, op: Op) -> p.Deployed:
        if self.broken and self.broken in {entry.path for entry in self.repository.ls_tree(commit)}:
            return p.Deployed(False, "trips was not healthy", broken=True)
        if self.deploys:
            self.running = commit
        return p.Deployed(self.deploys)

    def test(self, commit: str, op: Op) -> p.Tested:
        assert self.running == commit
        self.tested.append(commit)
        files = {entry.path for entry in self.repository.ls_tree(commit)}
        if any(each <= files for each in self.bad):
            return p.Tested(p.Verdict.FAILED, "e2e: test_trip failed")
        self.passed.add(commit)
        return p.Tested(p.Verdict.PASSED)

    def runs(self, commit: str) -> bool:
        return self.running == commit


class World:
    """Everything together, with what a test asks and does."""

    def __init__(
        self, folder: Path, registry: Engine, clock: ManualClock, files: Mapping[str, str] | None = None,
        environment: EnvironmentSettings = ENVIRONMENTS[-1],
    ) -> None:  # fmt: skip
        self.clock = clock
        self.work = Monorepo(folder / "work")
        self.base = self.work.commit(files or {"a": "0"})
        self.url = str(folder / "remote.git")
        self.work.git("clone", "--quiet", "--bare", ".", self.url)
        self.repository = mirror(self.url, folder / "mirror.git")
        self.environments = Environments(registry, clock)
        self.environments.ensure(environment)
        with registry.begin() as connection:
            connection.execute(update(tables.environments).values(state=State.READY, commit=self.base))
        self.place = Place(self.repository, self.base)
        self.changed: dict[int, str] = {}
        self.queue = Queue(registry, clock)
        self.lane = Lane(
            self.environments, self.queue, Attempts(registry, clock),
            GitRemote(self.repository, self.url, clock=clock), "merge-01", self.place,
            approved=lambda entry: self.changed.get(entry.pr), limit=timedelta(hours=3),
        )  # fmt: skip

    def pull_request(
        self, number: int, files: dict[str, str] | None = None, gone: Sequence[str] = (), **more: object
    ) -> Entry:
        """A pull request of main, approved and in the queue.

        :param gone: files and folders that it deletes.
        """
        self.work.git("checkout", "--quiet", "-b", f"pr-{number}", self.base)
        for each in gone:
            self.work.remove(each)
        sha = self.work.commit(files or {f"pr-{number}": "x"})
        self.work.git("push", "--quiet", self.url, f"{sha}:refs/pull/{number}/head")
        self.clock.advance(seconds=1)
        return self.queue.add(Ask(number, sha, f"Change {number}", "dana", **more), by="dana")  # type: ignore[arg-type]

    def hotfix(self) -> str:
        """Somebody pushes to main."""
        self.work.git("fetch", "--quiet", self.url, "main")
        self.work.git("checkout", "--quiet", "--detach", "FETCH_HEAD")
        pushed = self.work.commit({"hotfix": "x"})
        self.work.git("push", "--quiet", self.url, f"{pushed}:{MAIN}")
        return pushed

    def begin(self, run_id: str, chosen: Batch | None = None) -> str:
        chosen = chosen or self.queue.choose()
        assert chosen is not None
        self.queue.begin(run_id, chosen, actor="gandalf")
        return run_id

    def go(self, run_id: str, *steps) -> AttemptState:
        """A run's steps, as Airflow starts them."""
        for step in steps or STEPS:
            self.lane.run(run_id, step(), holder=f"pr_e2e/{run_id}", actor="gandalf")
        return self.queue.attempt(run_id).state

    def caretaker(self, run_id: str) -> AttemptState:
        """Somebody finds that nobody was heard of for a while."""
        self.clock.advance(minutes=5)
        self.lane.run(run_id, p.settle(takes_over=True), holder=f"caretaker/{run_id}", actor="caretaker")
        return self.queue.attempt(run_id).state

    @property
    def main(self) -> str:
        return pushing.read(self.url, MAIN)[MAIN]

    def files(self) -> set[str]:
        """What main holds, beside what it began with."""
        pushing.fetch(self.repository, self.url, MAIN)
        return {entry.path for entry in self.repository.ls_tree(self.main)} - {"a"}

    def idle(self) -> None:
        """What must be so whenever nobody is at work."""
        env = self.environments.get("merge-01")
        assert env.op_token is None
        assert self.place.running == env.commit == self.main
        pushing.fetch(self.repository, self.url, LEASE_REF)
        for entry in self.queue.open():
            here = merging.has(self.repository, entry.sha)
            assert not here or not merging.is_ancestor(self.repository, entry.sha, self.main)


@pytest.fixture
def world(tmp_path: Path, sqlite_registry: Engine, clock: ManualClock) -> World:
    return World(tmp_path, sqlite_registry, clock)
