"""Many pull requests through the lane while GitHub, git, workers and people do what nobody wants.

The stand-in of GitHub over HTTP with git behind it, webhooks over the real route, the real desk, outbox,
queue, attempts and protocol; the environment is a table of what runs (`tests/merge/conftest.py`). All follows
from a seed, but for what threads of the stand-in do late.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from subprocess import CalledProcessError
from typing import Any
from unittest.mock import patch

from sqlalchemy import Engine

from daybreak.errors import DaybreakError
from daybreak.merge import lane as lane_module
from daybreak.merge import protocol as p
from daybreak.merge import run
from daybreak.merge.care import heal, settle_dead
from daybreak.merge.conf import Conf, conf_of, run_id_of
from daybreak.merge.gate import May, look
from daybreak.merge.rows import Entry
from daybreak.merge.rules import EntryState as E
from daybreak.merge.run import Known, Merge
from daybreak.orchestration import caretaker, webhooks
from daybreak.talk.github.access import Access
from daybreak.talk.whole import Talk
from examples.standins.github import hosting, methods, state
from examples.standins.github.server import BOT, SECRET, GithubStandin
from tests.fixtures.asgi import Served
from tests.fixtures.github import Hub
from tests.merge.conftest import Place
from tests.talk.conftest import SETTINGS, open_installation

_MARKED = re.compile(r"<!-- (daybreak:.*?) -->")
#: Asked by the bot's token: answers that are lost, and effects that come late or never.
_FAULTS: tuple[dict[str, Any], ...] = (
    {"method": "POST", "path": "*/comments", "after": True},
    {"method": "POST", "path": "*/comments", "times": 3},
    {"method": "POST", "path": "*/comments", "delay": 1.0},
    {"method": "PATCH", "path": "*/comments/*", "after": True},
    {"method": "POST", "path": "statuses/*", "after": True},
    {"method": "GET", "path": "pulls/*", "times": 4},
    {"path": "git-receive-pack", "after": True},
    {"path": "git-receive-pack"},
    {"path": "git-receive-pack", "delay": 0.3},
    {"path": "git-upload-pack"},
)
CHANGES = (p.Claim, p.Write, p.Push, p.Deploy, p.Release)


class Kind(StrEnum):
    """What a pull request is, and what its people do."""

    GOOD = "good"
    BAD = "bad"
    #: All of these change the same line: one can land.
    RIVAL = "rival"
    #: A commit is pushed after it was queued; nobody reviewed that.
    MOVED = "moved"
    CANCELLED = "cancelled"
    #: Somebody wants it who may not.
    STRANGER = "stranger"


class Killed(BaseException):
    """The worker is gone."""


class Clock:
    """The time, and what was waited for without waiting."""

    ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def text(self) -> str:
        """As GitHub writes it."""
        return self().strftime("%Y-%m-%dT%H:%M:%SZ")


class Soak:
    """One repository, one lane, and a lot of trouble."""

    def __init__(self, folder: Path, registry: Engine, site: GithubStandin, seed: int) -> None:
        self.rng, self.clock, self.site = random.Random(seed), Clock(), site
        self.hub = hub = Hub(site, folder)
        settings = {
            **SETTINGS, "people": [], "monorepo": {"url": site.git(BOT, hub.name)},
            "github": {"repository": hub.name},
        }  # fmt: skip
        self.installation = open_installation(registry, self.clock, folder / "home", settings)
        self.access = Access(hub.client(), SECRET)
        self.talk = Talk.open(self.installation, None, self.access)
        assert self.talk.gates is not None
        self.gates = gates = replace(self.talk.gates, sleep=lambda _: None)

        def ready(pr: int, head: str, lands: bool, by: str) -> Known:
            found = gates.check(pr, head, lands=lands)
            return Known(found.pull.title, found.pull.author)

        self.merge = Merge(self.installation, gates.approved, ready)
        self.place = Place(self.merge.repository, hub.base)
        self.merge.lane.ground = self.place
        self.queue = self.merge.queue
        self.pulls: dict[int, Kind] = {}
        self.main, self.happened = hub.base, Counter[str]()
        self.kill_after: int | None = None

    @contextmanager
    def running(self) -> Iterator[Soak]:
        """With webhooks, and workers that can be killed."""
        perform = lane_module._Hand.perform

        def watched(hand: Any, effect: p.Effect) -> Any:
            result = perform(hand, effect)
            if self.kill_after is not None and isinstance(effect, CHANGES):
                self.kill_after -= 1
                if self.kill_after == 0:
                    self.kill_after = None
                    raise Killed
            return result

        app = webhooks.create(self._nobody, lambda: None, github=lambda: (self.installation, self.access))
        times = [patch.object(module, "now", self.clock.text) for module in (hosting, methods, state)]
        with Served(app) as served, patch.object(lane_module._Hand, "perform", watched), \
             patch.object(run, "QUIET", timedelta(0)), times[0], times[1], times[2]:  # fmt: skip
            self.site.listen_at(f"{served.url}/github")
            yield self
            self.site.settled()

    def go(self, count: int) -> None:
        """So many pull requests, then peace, until all is over."""
        while len(self.pulls) < count:
            for _ in range(self.rng.randint(1, 3)):
                self._propose()
            self._trouble()
            self._talk()
            if self.rng.random() < 0.5:
                self._care()
            self._lane()
        self._peace()
        for _ in range(20 + 3 * count):
            self._care()
            self._say_again()
            self._talk()
            if not self.queue.open() and not self.merge.attempts.unfinished():
                break
            self._lane()
        # What comes late is there by now.
        self.site.settled()
        self._care()

    def wrong(self) -> list[str]:
        """What must not be, after `go`."""
        found = []
        if left := [each.name for each in self.queue.open()]:
            found.append(f"stuck: {left}")
        unsent = [each.key for each in self.installation.outbox.standing("waiting", "failed")]
        # Nobody is there who would bring the landings to Slack.
        if unsent := [key for key in unsent if not key.endswith("/landed")]:
            found.append(f"not told: {unsent}")
        env = self.installation.environments.get("merge-01")
        if env.op_token is not None or self.place.running != self.main:
            found.append(f"the environment is {env.op_holder}'s and runs {self.place.running[:7]}")
        reachable = set(self.hub.work.git("-C", str(self._bare), "rev-list", "main").split())
        rivals = 0
        for number, kind in self.pulls.items():
            entries = self.queue.of_pull(number)
            states = {each.state for each in entries}
            for each in entries:
                if (each.sha in reachable) != (each.state is E.LANDED):
                    found.append(f"{each.name} is {each.state}, and main says otherwise")
            if not self._expected(kind, states):
                reasons = [(str(each.state), each.reason) for each in entries]
                found.append(f"#{number}, {kind}: {reasons}")
            rivals += kind is Kind.RIVAL and E.LANDED in states
            found += self._told(number, entries)
        if Kind.RIVAL in self.pulls.values() and rivals != 1:
            found.append(f"{rivals} of the rivals landed")
        return found

    def _expected(self, kind: Kind, states: set[E]) -> bool:
        match kind:
            case Kind.GOOD:
                return E.LANDED in states
            case Kind.BAD:
                return states == {E.REJECTED}
            case Kind.RIVAL:
                return states <= {E.LANDED, E.REJECTED} and bool(states)
            case Kind.MOVED:
                return states <= {E.LANDED, E.STALE}
            case Kind.CANCELLED:
                return states <= {E.LANDED, E.CANCELLED}
            case _:
                return not states

    def _told(self, number: int, entries: list[Entry]) -> list[str]:
        bodies = [each["body"] for each in self.site.comments(self.hub.name, number)]
        marks = Counter(mark for body in bodies for mark in _MARKED.findall(body))
        found = [f"#{number}: {count} comments {mark}" for mark, count in marks.items() if count > 1]
        own = [body for body in bodies if "daybreak:merge" in body]
        if len(own) != bool(entries):
            found.append(f"#{number}: {len(own)} comments say how it went")
        if entries and entries[0].state is E.LANDED and not any("landed" in body for body in own):
            found.append(f"#{number} landed and its comment does not say so")
        return found

    # What people do

    def _propose(self) -> None:
        kind = self.rng.choices(list(Kind), (12, 3, 2, 2, 1, 1))[0]
        name = f"{kind}-{len(self.pulls) + 1}"
        files = {"a": f"{name}\n"} if kind is Kind.RIVAL else {name: "x"}
        number = self._pull(name, files)
        self.pulls[number] = kind
        if kind is Kind.BAD:
            self.place.bad.append(frozenset({name}))
        self.site.review("yossi", self.hub.name, number)
        self._say(number, "noa" if kind is Kind.STRANGER else "dana", "@gandalf merge")
        if kind is Kind.CANCELLED:
            self._say(number, "dana", "@gandalf cancel")
        if kind is Kind.MOVED:
            self._talk()
            self.hub.work.git("switch", "--quiet", name)
            self.hub.work.commit({f"{name}-more": "x"})
            self.hub.push(name)

    def _pull(self, name: str, files: dict[str, str]) -> int:
        self.hub.branch(name, files, self.hub.base)
        return self.site.open("dana", self.hub.name, name, f"Add {name}")

    def _say(self, number: int, who: str, what: str) -> None:
        self.site.comment(who, self.hub.name, number, what)

    def _say_again(self) -> None:
        """Who was told that it came too late, or that GitHub was away, says it once more."""
        for number, kind in self.pulls.items():
            if kind in (Kind.GOOD, Kind.BAD, Kind.RIVAL) and not self.queue.of_pull(number):
                self._say(number, "dana", "@gandalf merge")
                self.happened["said again"] += 1

    def _push_to_main(self) -> None:
        work = self.hub.work
        work.git("fetch", "--quiet", self.hub.url(), "main")
        work.git("switch", "--quiet", "--detach", "FETCH_HEAD")
        pushed = work.commit({f"hotfix-{self.happened['pushed to main']}": "x"})
        with suppress(CalledProcessError):  # a landing was quicker
            work.git("push", "--quiet", self.hub.url(), f"{pushed}:refs/heads/main")
            self.main = pushed
            self.happened["pushed to main"] += 1

    # What goes wrong

    def _trouble(self) -> None:
        chance = self.rng.random
        if chance() < 0.6:
            fault = self.rng.choice(_FAULTS)
            self.site.fault(**{"status": 502, **fault, "token": self.site.token(BOT)})
            self.happened["fault"] += 1
        if chance() < 0.4:
            self.site.fate(self.rng.choice(("lost", "doubled")))
            self.happened["webhook"] += 1
        if chance() < 0.15:
            self.site.stale(self.hub.name)
            self.happened["stale"] += 1
        if chance() < 0.35:
            self.kill_after = self.rng.randint(1, 24)

    def _peace(self) -> None:
        self.kill_after = None
        self.site.calm()
        self.site.stale(self.hub.name, on=False)

    # What Daybreak does

    def _talk(self) -> None:
        self.talk.work()
        self.talk.sender.flush()

    def _care(self) -> None:
        self.clock.ahead += timedelta(minutes=3)
        self._look()
        with suppress(caretaker.Undone):
            for line in caretaker.attend(self.installation, self.talk):
                self.happened["said twice"] += "said twice" in line
        try:
            list(settle_dead(self.merge, lambda _: "its run is over"))
            heal(self.merge, asked=True)
        except DaybreakError:
            pass
        except Killed:  # the next one goes on
            self.happened["caretaker killed"] += 1
        self._look()

    def _lane(self) -> None:
        """The run of whoever is next, as Airflow does it; killed, it is gone on with by one of three."""
        found = next(filter(None, map(self._entered, self.queue.open())), None)
        if found is None:
            return
        entry, run_id = found
        try:
            self.merge.resolve(Conf.of(conf_of(entry)), "gandalf", run_id)
            self._steps(run_id, entry.id)
            self._settle(run_id)
        except Killed:
            self.happened["killed"] += 1
            self._go_on(run_id, entry.id)
        except DaybreakError as error:
            self.happened[error.code] += 1
            with suppress(DaybreakError):
                self._settle(run_id)
        self._look()

    def _entered(self, entry: Entry) -> tuple[Entry, str] | None:
        if entry.state is not E.QUEUED:
            return None
        taken = self.merge.attempts.find
        run_id = next(name for more in range(100) if taken(name := run_id_of(entry, more)) is None)
        seen = look(self.installation, self.queue, "merge-01", run_id, entry.id)
        return (entry, run_id) if seen.may is May.ENTER else None

    def _steps(self, run_id: str, entry: int) -> None:
        self.merge.enter(run_id, entry, "gandalf")
        for step in (p.deploy, p.test, p.land):
            if self.rng.random() < 0.05:
                self._push_to_main()
            self.merge.go(run_id, step(), "gandalf")
            self._look()

    def _settle(self, run_id: str) -> None:
        self.merge.settle(run_id, "gandalf")

    def _go_on(self, run_id: str, entry: int) -> None:
        heir = self.rng.choice(("retry", "settle", "caretaker"))
        if heir == "caretaker":
            return  # in its own time
        with suppress(DaybreakError):
            if heir == "retry":
                self._steps(run_id, entry)
            self._settle(run_id)

    def _look(self) -> None:
        """Whoever moved main but people moved it to what had passed, and from where it was."""
        now = self.site.hosting.repo(self.hub.name).path
        main = self.hub.work.git("-C", str(now), "rev-parse", "main").strip()
        if main == self.main:
            return
        assert main in self.place.passed, f"{main} came to main without having passed"
        parents = self.hub.work.git("-C", str(now), "rev-list", "--first-parent", main).split()
        assert self.main in parents, "what was on main is gone"
        self.main = main
        self.happened["landed"] += 1

    @property
    def _bare(self) -> Path:
        return self.site.hosting.repo(self.hub.name).path

    @staticmethod
    def _nobody() -> Any:
        raise LookupError("there is no Slack here")
