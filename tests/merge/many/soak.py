"""Many pull requests through the real queue, attempts, protocol and care, with all that goes wrong at once.

What is in memory is what is not Daybreak's: git's side (`site.py`), the environment (`place.py`), GitHub's
comments (`told.py`) and Airflow (`airflow.py`). The registry is a real one. Processes interleave at each
effect of the protocol, are killed and stopped there, and wake when others have done their work
(`processes.py`). All of it follows from a seed.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

from sqlalchemy import Engine, select

from daybreak.environment import dead
from daybreak.git import merging, pushing
from daybreak.merge import lane as lane_module
from daybreak.merge import run as run_module
from daybreak.merge.care import heal, settle_dead
from daybreak.merge.control import Control
from daybreak.merge.lane import Lane
from daybreak.merge.rows import Entry
from daybreak.merge.rules import EntryState as E
from daybreak.merge.run import Merge
from daybreak.registry import tables, work
from tests.fixtures.registry import ManualClock
from tests.merge.many.airflow import ENVIRONMENT, Airflow
from tests.merge.many.chances import USUAL, Trouble
from tests.merge.many.people import ENDS, OFTEN, Kind, People
from tests.merge.many.place import Place
from tests.merge.many.processes import Process, give_way
from tests.merge.many.site import Site, Wrong
from tests.merge.many.told import Told
from tests.talk.conftest import SETTINGS, open_installation

#: As many wait or are at work as a team has on a busy afternoon.
OPEN = 8
#: Every so many ticks: the caretaker, whoever looks at the queue, the sender, the gate; and how many each
#: pull request may take.
CARE, LOOK, SEND, GATE, PATIENCE = 90, 40, 60, 5, 300
TICK = timedelta(seconds=2)


class InMemory(Merge):
    """The lane of an installation whose git is in memory."""

    def finish(self, run_id: str) -> None:
        self.installation.runs.finish(run_id)

    def _impacts(self, group: Sequence[Entry]) -> dict[int, frozenset[str]]:
        return {}


class Soak:
    """See the module."""

    def __init__(
        self, folder: Path, registry: Engine, seed: int, chances: Mapping[str, float] = USUAL,
        often: Mapping[Kind, int] = OFTEN,
    ) -> None:  # fmt: skip
        self.seed, self.rng, self.happened = seed, random.Random(seed), Counter[str]()
        self.trouble = trouble = Trouble(self.rng, self.happened, chances)
        self.clock = ManualClock(datetime(2026, 3, 5, 8, tzinfo=UTC))
        self.ticks = 0
        settings = {**SETTINGS, "monorepo": {"url": "git.acme.example:acme"}}
        self.installation = installation = open_installation(registry, self.clock, folder, settings)
        self.site = Site(self.rng, self.happened, trouble, self._landing)
        self.at_work: Process | None = None
        self.merge = merge = InMemory(installation, self._approved)
        self.place = Place(
            self.site, self.happened, trouble, merge.attempts.unwanted, installation.environments.check,
            self._die, lambda: self.ticks,
        )  # fmt: skip
        merge.__dict__["lane"] = Lane(
            installation.environments, merge.queue, merge.attempts, self.site, ENVIRONMENT, self.place,
            self._approved, timedelta(hours=3),
        )  # fmt: skip
        merge.__dict__["repository"] = None
        self.queue = merge.queue
        self.airflow = Airflow(merge, self.happened, trouble)
        self.people = People(
            self.site, self.place, self.queue, Control(registry, self.clock), self.rng, self.happened,
            trouble, lambda: self.ticks, often,
        )  # fmt: skip
        self.told = Told(installation, trouble)
        self.caretaker: Process | None = None

    @contextmanager
    def running(self) -> Iterator[Soak]:
        """With git in memory, and processes that give way."""
        perform, begin = lane_module._Hand.perform, type(self.queue).begin

        def interrupted(hand: Any, effect: Any) -> Any:
            give_way()
            result = perform(hand, effect)
            give_way()
            return result

        def begun(queue: Any, *words: Any, **more: Any) -> Any:
            give_way()  # between the choice of a batch and its attempt
            return begin(queue, *words, **more)

        with ExitStack() as stack:
            for where, name, what in (
                (lane_module._Hand, "perform", interrupted), (type(self.queue), "begin", begun),
                (pushing, "read", self.site.read), (merging, "has", lambda *_: True),
                (run_module, "QUIET", timedelta(0)),
                # The waits of what GitHub did not take: they decide what is sent next.
                (work, "random", random.Random(self.seed)),
            ):  # fmt: skip
                stack.enter_context(patch.object(where, name, what))
            yield self

    def go(self, count: int) -> None:
        """So many pull requests, then peace, until all is over.

        :raises Wrong: as soon as something is that must never be.
        """
        limit = PATIENCE * count
        while self._goes_on(count):
            self._tick(count)
            if self.ticks > limit:
                raise Wrong(
                    f"stuck: {[(each.name, str(each.state), each.reason) for each in self.queue.open()]}"
                )
        self.told.flush()

    def wrong(self) -> list[str]:
        """What must not be, after `go`."""
        found = []
        env = self.installation.environments.get(ENVIRONMENT)
        if env.op_token is not None:
            found.append(f"the lane is still {env.op_holder}'s")
        if self.place.running != self.site.main:
            found.append(f"the environment runs {self.place.running}, and main is {self.site.main}")
        if env.commit != self.site.main:
            found.append(f"the environment is said to run {env.commit}, and main is {self.site.main}")
        on_main = self.site.commits[self.site.main].files
        groups: dict[tuple[Kind, int], list[int]] = defaultdict(list)
        for number, pull in self.people.pulls.items():
            entries = self.queue.of_pull(number)
            last = entries[0]
            if last.state not in ENDS[pull.kind]:
                found.append(f"#{number}, {pull.kind}, is {last.state}: {last.reason}")
            if (self.site.ours(pull.sha).items() <= on_main.items()) != (last.state is E.LANDED):
                found.append(f"#{number} is {last.state}, and main says otherwise")
            if pull.kind in (Kind.RIVAL, Kind.PAIR):
                groups[pull.kind, pull.group].append(last.state is E.LANDED)
            found += self.told.wrong(number, last)
        for (kind, group), landed in groups.items():
            full = len(landed) == {Kind.RIVAL: 3, Kind.PAIR: 2}[kind]
            if sum(landed) != 1 and (full or kind is Kind.RIVAL):
                found.append(f"{sum(landed)} of the {kind}s {group} landed")
        return found

    def history(self) -> list[str]:
        """All that was written down, in its order; at the end the next throw of the dice."""
        with self.installation.engine.connect() as connection:
            rows = connection.execute(select(tables.events).order_by(tables.events.c.id)).all()
            out = tables.outbox.c
            sent = connection.execute(select(out.key, out.not_before, out.ended_at).order_by(out.key)).all()
        told = [f"#{number}: {said}" for number, said in self.told.page.comments.items()]
        return [*map(str, [*rows, *sent]), *told, str(self.happened), str(self.rng.random())]

    def _goes_on(self, count: int) -> bool:
        if len(self.people.pulls) < count or not self.people.done or self.ticks % GATE:
            return True
        self.trouble.on = False
        return bool(
            self.queue.open() or self.merge.attempts.unfinished() or self.merge.attempts.quarantined()
            or self.airflow.going_on() or self.site.late
            or self.installation.environments.get(ENVIRONMENT).op_token
        )  # fmt: skip

    def _tick(self, count: int) -> None:
        self.ticks += 1
        self.clock.now += TICK
        chance = self.rng.random
        if len(self.people.pulls) < count and chance() < 0.05 and len(self.queue.open()) < OPEN:
            self.people.propose()
        self.people.act()
        if self.ticks % LOOK == 0:
            self.people.look_around()
        if self.ticks % SEND == 0:
            self.told.flush()
        if chance() < 0.02:
            self.site.carry_out_late()
        if self.trouble("pushed to main"):
            self.site.push_to_main({f"hotfix-{self.ticks}": "x"})
        if self.ticks % CARE == 0 and (self.caretaker is None or not self.caretaker.alive):
            self.caretaker = Process(self._care)
        if self.ticks % GATE == 0 and (not self.airflow.going_on() or chance() < 0.1):
            self.airflow.begin()
        self.airflow.attend()
        self._work()
        if self.place.running != self.site.main and self.site.main not in self.site.by_people:
            self._idle()

    def _idle(self) -> None:
        """When nobody is at work the environment runs main, unless people moved that since."""
        merge, env = self.merge, self.installation.environments.get(ENVIRONMENT)
        at_work = env.op_token or merge.attempts.unfinished() or merge.attempts.quarantined()
        if not at_work:
            raise Wrong(f"nobody is at work; {ENVIRONMENT} runs {self.place.running}, not {self.site.main}")

    def _work(self) -> None:
        """One of the processes, a bit."""
        care = [self.caretaker] if self.caretaker is not None and self.caretaker.alive else []
        alive = [*self.airflow.processes(), *care]
        for each in alive:
            if each.asleep and self.rng.random() < (0.02 if self.trouble.on else 1):
                each.asleep = False
                self.happened["woke"] += 1
        awake = [each for each in alive if not each.asleep]
        if not awake:
            return
        process = self.at_work = self.rng.choice(awake)
        if self.trouble("killed"):
            process.kill()
        elif self.trouble("stopped"):
            process.asleep = True
        else:
            process.go_on()
        self.at_work = None

    def _die(self) -> None:
        assert self.at_work is not None
        self.at_work.kill()
        give_way()

    def _care(self) -> None:
        dead.settle(self.installation)
        list(settle_dead(self.merge, self.airflow.over))
        give_way()
        heal(self.merge, asked=True)

    def _approved(self, entry: Entry) -> str | None:
        head = self.site.refs_[f"refs/pull/{entry.pr}/head"]
        return None if head == entry.sha else f"its head is {head[:12]} now"

    def _landing(self, candidate: str) -> None:
        """Asked before main is moved to it."""
        if candidate not in self.place.passed:
            raise Wrong(f"{candidate} comes to main without having passed")
        attempt = next(each for each in self.merge.attempts.unfinished() if each.candidate == candidate)
        for each in map(self.queue.get, attempt.members):
            if each.state is not E.LANDING:
                raise Wrong(f"{each.name} comes to main as it is {each.state}")
            if self.people.moved.get(each.pr, self.ticks) < self.place.passed[candidate]:
                raise Wrong(f"{each.name} comes to main after its head moved")
        self.happened["landed"] += 1
