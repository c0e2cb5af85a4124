"""Many pull requests on a running Airflow while GitHub misbehaves: here 20, in `make soak` 200."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from daybreak.merge.rows import Entry
from daybreak.merge.rules import AttemptState as A
from daybreak.merge.rules import EntryState as E
from examples.demo.github import REPOSITORY
from examples.standins.github.server import BOT
from tests.system.conftest import Demo
from tests.system.lane import Lane

SOAK = int(os.environ.get("SOAK") or 20)
#: Whoever waits for a lost webhook waits for the caretaker, which comes every three minutes.
SECONDS = 900 + 40 * SOAK
#: At work at the same time, as a team's afternoon has it.
OPEN = 6

pytestmark = [pytest.mark.system, pytest.mark.timeout(SECONDS + 600)]

FLEET = "services/fleet/src/acme_fleet/app.py"
TELEMETRY = "services/telemetry/src/acme_telemetry"
#: Of each pull request: what it changes, and how it is to end. A page costs no deploy.
KINDS = ("page", "broken", "page", "conflict", "page", "pushed", "page", "conflict", "code", "page")
#: Of each moment: what GitHub does to it. Afterwards means that it was done, and its answer lost.
FAULTS = (
    ("POST", "*/comments", {"after": True}), ("POST", "*/comments", {}),
    ("PATCH", "*/comments/*", {"after": True}),
    ("POST", "git-receive-pack", {"after": True}), ("POST", "git-receive-pack", {"delay": 2}),
    ("POST", "git-receive-pack", {}), ("GET", "pulls/*", {}), ("POST", "statuses/*", {"after": True}),
    ("GET", "*", {"status": 429, "retry_after": 1}),
)  # fmt: skip


@dataclass
class Soak:
    """A team that wants to main.

    :param wanted: how each pull request is to end.
    :param late: branches to which somebody will push after `merge`.
    """

    lane: Lane
    chance: random.Random = field(default_factory=lambda: random.Random(6))
    wanted: dict[int, set[E]] = field(default_factory=dict)
    late: dict[int, str] = field(default_factory=dict)

    def open(self, n: int) -> None:
        """One more, and its `merge`."""
        kind = KINDS[n % len(KINDS)]
        lane, branch = self.lane, f"soak-{n}"
        number = lane.open(branch, self._files(n, kind))
        self._trouble()
        lane.say(number)
        if kind == "pushed":
            self.late[number] = branch
        self.wanted[number] = {
            "page": {E.LANDED}, "code": {E.LANDED}, "broken": {E.REJECTED},
            # The other one of the two, or this one if that was rejected or landed first.
            "conflict": {E.LANDED, E.REJECTED}, "pushed": {E.LANDED, E.STALE},
        }[kind]  # fmt: skip

    def push_late(self) -> None:
        """To those that are in the queue by now, a commit that nobody approved."""
        for number, branch in list(self.late.items()):
            if self.lane.entry(number) is not None:
                del self.late[number]
                self.lane.push(branch, {f"late/{number}.md": "Nobody approved it.\n"}, start=branch)

    def _files(self, n: int, kind: str) -> Mapping[str, str | tuple[str, str]]:
        if kind == "broken":
            return {FLEET: ('ORDER BY vin"))', f'ORDER BY vin LIMIT {n % 2 + 1}"))')}
        if kind == "code":
            # A file of its own: two that are open at once do not conflict.
            return {f"{TELEMETRY}/soak_{n}.py": f"NUMBER = {n}\n"}
        if kind == "conflict":
            return {"pages/rota.md": f"On call: {n}.\n"}
        return {f"pages/soak-{n}.md": f"Page {n}.\n"}

    def _trouble(self) -> None:
        """Something goes wrong soon."""
        github = self.lane.github
        for method, path, more in self.chance.sample(FAULTS, 2):
            github.fault(method, path, login=BOT, **more)  # type: ignore[arg-type]
        fate = self.chance.choice(("lost", "doubled", "", ""))
        if fate:
            github.fate(fate)
        github.stale(REPOSITORY, self.chance.random() < 0.2)

    def going_on(self) -> list[int]:
        found = ((number, self.lane.entry(number)) for number in self.wanted)
        return [number for number, entry in found if entry is None or entry.ended_at is None]


@pytest.fixture(scope="module")
def soaked(demo: Demo) -> Soak:
    lane = Lane(demo)
    lane.idle()
    soak, deadline, said = Soak(lane), time.monotonic() + SECONDS, 0.0
    while len(soak.wanted) < SOAK or soak.going_on():
        soak.push_late()
        left = soak.going_on()
        if len(soak.wanted) < SOAK and len(left) < OPEN:
            soak.open(len(soak.wanted))
            continue
        assert time.monotonic() < deadline, [(lane.entry(n) or n, lane.comments(n)) for n in left]
        if time.monotonic() - said > 30:
            said = time.monotonic()
            print(f"{len(soak.wanted) - len(left)} of {SOAK} ended, {len(left)} go on", flush=True)
        if len(soak.wanted) == SOAK:
            # Nobody would see another one: an API that is stale for ever lets nothing land.
            lane.github.stale(REPOSITORY, False)
        time.sleep(1)
    # An entry is over a moment before its attempt is: that still proves what runs there.
    lane.idle()
    return soak


def test_each_ends_as_it_was_to_and_nothing_is_stuck(soaked: Soak) -> None:
    lane = soaked.lane
    ended: dict[int, Entry] = {number: lane.entry(number) for number in soaked.wanted}  # type: ignore[misc]
    wrong = [each for number, each in ended.items() if each.state not in soaked.wanted[number]]
    assert not wrong, wrong
    print(dict(Counter(each.state for each in ended.values())))
    assert lane.queue.open() == []
    assert lane.attempts.unfinished() == []
    assert lane.never_interleaved()


def test_what_is_on_main_was_tested_there_and_landed_once(soaked: Soak) -> None:
    lane = soaked.lane
    landed = [number for number in soaked.wanted if (e := lane.entry(number)) and e.state is E.LANDED]
    subjects = [subject.partition(":")[0] for subject in lane.landed()]
    assert sorted(subjects) == sorted(f"Merge #{number}" for number in landed)
    # Main is the last tree that was tested, and each attempt was made on the one before.
    ours = {entry.run_id for number in soaked.wanted if (entry := lane.entry(number))}
    in_lane = [run_id for _, _, run_id in lane.in_lane() if run_id in ours]
    tested = [each for run_id in in_lane if (each := lane.attempts.find(run_id))]
    confirmed = [each for each in tested if each.state is A.CONFIRMED]
    assert [each.base for each in confirmed[1:]] == [each.candidate for each in confirmed[:-1]]
    assert confirmed[-1].candidate == lane.main()
    assert lane.files("late") == []


def test_nobody_is_told_anything_twice(soaked: Soak) -> None:
    lane = soaked.lane
    for number in soaked.wanted:
        entry = lane.entry(number)
        assert entry is not None
        said = lane.told(number, entry.state.lower(), 240)
        about = [each for each in said if "daybreak:merge " in each]
        assert len(about) == 1, (number, said)
