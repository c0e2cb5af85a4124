"""Kill a pull request's run at a point of its way to main, let somebody go on, and look at what is left.

Real git, a real registry, real deploys and suites (`tests/merge/small.py`). Each kill has a pull request of
its own and begins on what the one before left, so nothing is ever put back: that the lane goes on is part of
what is proven.
"""

from __future__ import annotations

import json
import multiprocessing
import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any
from unittest.mock import patch

from sqlalchemy import Engine

from daybreak.deploy import command
from daybreak.git import merging, pushing
from daybreak.merge import protocol as p
from daybreak.merge import run
from daybreak.merge.care import settle_dead
from daybreak.merge.findings import Findings
from daybreak.merge.lane import Lane
from daybreak.merge.rules import AttemptState as A
from daybreak.merge.rules import EntryState as E
from daybreak.merge.run import Merge
from daybreak.registry import connect
from tests.crash.points import Points
from tests.fixtures.registry import ManualClock
from tests.merge.ground import Grounded, installation_of, settings_of

#: Says no candidate is good that no test has seen: writes down what it was tested on.
_SEEN = """import json, pathlib
def test_what_runs_is_written_down():
    state = pathlib.Path(STATE)
    found = {name: json.loads((state / name).read_text())["value"] for name in ("left", "right")}
    with (state / "seen").open("a") as file:
        file.write(json.dumps(found) + "\\n")
"""
#: Who goes on after a kill: Airflow's retry of the task, its teardown alone, or the caretaker.
HEIRS = ("retry", "settle", "caretaker")
#: What is killed: a pull request that is good, and from its tests on one whose tests fail.
GOOD, BAD = "good", "bad"


class LandingPoints(Points):
    """Those of a run: as a night's, and each push, and each command that deploys; a step is a program."""

    def install(self, registry: Engine) -> None:
        """See `Points`."""
        super().install(registry)
        self._around(
            pushing,
            "push",
            lambda _, __, updates: (
                "git:" + "+".join(each.ref.split("/", 2)[2].split("/pr-")[0] for each in updates)
            ),
        )
        self._around(command._Place, "run", lambda _, verb, *__: f"command:{verb}")

    def _steps(self) -> None:
        original = Lane.run

        def ran(lane: Lane, run_id: str, program: p.Program, **words: Any) -> Any:
            self.begins(program.__name__)
            return original(lane, run_id, program, **words)

        Lane.run = ran  # type: ignore[method-assign]


class Landing:
    """One lane, on which run after run is killed."""

    def __init__(self, folder: Path, registry: Engine, endpoint: str, account: str) -> None:
        self.folder, self.account, self.endpoint = folder, account, endpoint
        self.clock = clock = ManualClock(datetime(2026, 3, 5, 18, tzinfo=UTC))
        state = folder / "state"
        seen = {"e2e/test_seen.py": _SEEN.replace("STATE", repr(str(state)))}
        self.world = Grounded(folder, registry, clock, endpoint, account, seen)
        self.merge = Merge(self.world.installation)
        self._pulls = 0
        # The first one brings up an empty environment.
        assert self._attempted(GOOD, "first") == []

    @cached_property
    def points(self) -> list[str]:
        """All points of a run that lands, and of one that does not, from its tests on."""
        found = []
        for story in (GOOD, BAD):
            run_id = self._proposed(story)
            process = self._started(run_id, {})
            assert _ended(process) == 0
            path = json.loads((self.folder / "path.json").read_text())
            steps = (
                ("decide", "enter", "deploy", "test", "land", "settle")
                if story == GOOD
                else ("test", "settle")
            )
            found += [f"{story}/{each}" for each in path if each.split("/")[0] in steps]
            assert self._wrong(story, run_id) == []
        return found

    def sample(self, count: int) -> list[str]:
        """So many points, spread evenly."""
        step = len(self.points) / count
        return [self.points[int(number * step)] for number in range(count)]

    def kill_at(self, point: str, heir: str = "") -> list[str]:
        """What is not as it must be after somebody went on; empty when all is.

        :param heir: who goes on, one of `HEIRS`; by default they take turns over the points.
        """
        story, _, at = point.partition("/")
        run_id = self._proposed(story)
        code = _ended(self._started(run_id, {"DAYBREAK_CRASH_AT": at}))
        if code != -signal.SIGKILL:
            return [f"the run that was to be killed ended with {code}"]
        heir = heir or HEIRS[self.points.index(point) % len(HEIRS)]
        self._go_on(heir, run_id)
        wrong = self._idle()
        entry = self._entry()
        if heir == "retry" and entry.state is E.QUEUED:
            wrong.append(f"the retry did not bring it to its end: {entry.reason}")
        if entry.state is E.QUEUED:
            wrong += self._attempted(story, f"{run_id}-again", proposed=True)
        return [f"{heir}: {each}" for each in [*wrong, *self._wrong(story, run_id)]]

    def _proposed(self, story: str) -> str:
        self._pulls += 1
        value = f"v{self._pulls}" if story == GOOD else "bad"
        self.world.change(self._pulls, left=value)
        return f"pr-{self._pulls}"

    def _attempted(self, story: str, run_id: str, *, proposed: bool = False) -> list[str]:
        if not proposed:
            self._proposed(story)
        _attempt(self.merge, run_id)
        return self._wrong(story, run_id)

    def _started(self, run_id: str, environ: dict[str, str]) -> Any:
        arguments = (self.folder, self.endpoint, self.account, self.clock(), run_id, environ)
        process = _FORKSERVER.Process(target=_run, args=arguments)
        process.start()
        return process

    def _go_on(self, heir: str, run_id: str) -> None:
        match heir:
            case "retry":
                _attempt(self.merge, run_id)
            case "settle":
                _settle(self.merge, run_id)
            case _:
                self.clock.advance(minutes=5)
                list(settle_dead(self.merge, lambda _: "its run is over"))

    def _entry(self) -> Any:
        return self.world.queue.of_pull(self._pulls)[0]

    def _idle(self) -> list[str]:
        """What must be so whenever nobody is at work."""
        world, wrong = self.world, []
        env = world.environments.get("merge-01")
        heads = [f"refs/pull/{self._pulls}/head"]
        pushing.fetch(world.repository, world.url, world.main, *heads)
        if env.op_token is not None:
            wrong.append(f"the lane is {env.op_holder}'s")
        if not world.lane.ground.runs(world.main):
            wrong.append(f"{env.name} does not run main")
        if shown := world.work.git("-C", world.url, "for-each-ref", "refs/heads/daybreak/candidate/"):
            wrong.append(f"left behind: {shown}")
        return wrong

    def _wrong(self, story: str, run_id: str) -> list[str]:
        """What is wrong about the end of the pull request."""
        world, entry, wrong = self.world, self._entry(), self._idle()
        wanted = E.LANDED if story == GOOD else E.REJECTED
        if entry.state is not wanted:
            wrong.append(f"{entry.name} is {entry.state}, not {wanted}: {entry.reason}")
        if merging.is_ancestor(world.repository, entry.sha, world.main) != (entry.state is E.LANDED):
            wrong.append(f"{entry.name} is {entry.state}, and main says otherwise")
        log = world.work.git("-C", world.url, "log", "--first-parent", "--format=%s", "main").splitlines()
        if sum(each.startswith(f"Merge {entry.name}:") for each in log) > 1:
            wrong.append(f"{entry.name} landed twice")
        attempt = world.queue.attempt(str(entry.run_id))
        if attempt.state not in (A.CONFIRMED, A.REVERTED):
            wrong.append(f"its attempt is {attempt.state}")
        if entry.state is E.LANDED:
            tree = merging.tree_of(world.repository, world.main)
            found = Findings.of(world.installation.store, attempt.run_id)
            if found is None or (found.verdict, merging.tree_of(world.repository, found.commit)) != (
                "passed",
                tree,
            ):
                wrong.append("main is not what was found to be good")
            on_main = {
                name: world.work.git("-C", world.url, "show", f"main:{name}/value.txt").strip()
                for name in ("left", "right")
            }
            if on_main not in [json.loads(line) for line in (world.state / "seen").read_text().splitlines()]:
                wrong.append(f"no suite ever saw {on_main}")
        return wrong


def _attempt(merge: Merge, run_id: str) -> None:
    """The tasks of a run, as Airflow starts them."""
    steps: tuple[Callable[[], p.Program], ...] = (p.deploy, p.test, p.land)
    # Of an entry that came to its end before the kill, the gate skips the rest.
    for entry in merge.queue.open()[:1]:
        merge.enter(run_id, entry.id, "gandalf")
    for step in steps:
        merge.go(run_id, step(), "gandalf")
    _settle(merge, run_id)


def _settle(merge: Merge, run_id: str) -> None:
    # Whoever was killed here works on for no moment.
    with patch.object(run, "QUIET", timedelta(0)):
        merge.settle(run_id, "gandalf")


def _run(
    folder: Path, endpoint: str, account: str, now: datetime, run_id: str, environ: dict[str, str]
) -> None:
    engine = connect(f"sqlite:///{folder / 'registry.db'}")
    installation = installation_of(settings_of(folder, endpoint, account), engine, ManualClock(now))
    points = LandingPoints.of(environ)
    points.install(engine)
    _attempt(Merge(installation), run_id)
    (folder / "path.json").write_text(json.dumps(points.path))


def _ended(process: Any) -> int:
    process.join()
    return int(process.exitcode)


#: Forked from a clean process that has imported all this: what is open here does not survive a fork.
_FORKSERVER = multiprocessing.get_context("forkserver")
_FORKSERVER.set_forkserver_preload(["tests.crash.landing", "tests.crash.world"])
