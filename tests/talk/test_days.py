"""Whatever people say over days and nights, with clocks that move as they like: the rules hold.

At most one owner, no transition that the table does not have, limits kept, a preserved environment untouched,
nobody's lease changed by another, every end and every turn told once, and nobody waits for ever.
"""

from __future__ import annotations

import itertools
import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import select

from daybreak.environment import calendar
from daybreak.environment.machine import TRANSITIONS, USABLE, Environment, State
from daybreak.registry import connect, tables
from daybreak.talk.reply import Press, Reply
from tests.fixtures.registry import ManualClock
from tests.talk.conftest import ACCOUNT, SETTINGS, House, open_installation

ENVIRONMENTS = ["dev-01", "dev-02", "dev-03"]
PEOPLE = ["dana", "eli", "noa", "tom"]
ADMIN, ADMINS = "noa", {"lock!", "release!", "fault", "unfault", "freeze", "thaw"}
MINE = {
    **SETTINGS,
    "environments": [
        *({"name": name, "account": ACCOUNT} for name in ENVIRONMENTS),
        {"name": "merge-01", "account": ACCOUNT, "role": "merge"},
    ],
    "people": [*SETTINGS["people"], {"name": "tom"}],
}
#: Said often, and now and then.
OFTEN = [
    "lock {env}", "lock any for 1h", "lock {env} for 12h -- why", "queue {env}", "queue", "release {env}",
    "lock merge-01", "queue {env}", "lock! {env} -- why", "release! {env} -- why",
]  # fmt: skip
ALSO = [
    "extend {env} for 6h", "extend {env} until 19:30", "preserve {env} tonight", "preserve {env} until sun",
    "unpreserve {env}", "give {env} @{other}", "leave", "poke {env}", "weekend keep {env}",
    "weekend drop {env}", "fault {env} -- why", "unfault {env} -- why", "queue merge-01", "release", "mine",
    "status", "status {env}", "lokc {env}", "freeze -- why", "thaw",
]  # fmt: skip
#: Whoever has the environment that is spoken of.
OWNER = "its owner"
#: Said often by whoever has it.
OWN = [
    "lock {env} for 1h", "lock {env} for 12h", "lock {env} for 13h", "extend {env} for 6h",
    "extend {env} until 19:30", "give {env} @{other} -- why", "give {env} @{other}", "release {env}",
    "preserve {env} tonight", "preserve {env} until sun", "unpreserve {env}", "queue {env}",
]  # fmt: skip
#: Who says what of which environment, and how many minutes ago; whether it is delivered twice.
TALK = st.lists(
    st.tuples(
        st.sampled_from([*PEOPLE, OWNER, OWNER, OWNER]), st.sampled_from(ENVIRONMENTS),
        st.sampled_from([*OFTEN, *OFTEN, *OWN, *ALSO]), st.sampled_from(PEOPLE),
        st.sampled_from([0, 0, 0, 1, 30]), st.sampled_from([False, False, True]),
    ),
    min_size=6, max_size=12,
)  # fmt: skip
_ORDER = ["PROVISIONING", "DEPLOYING", "SEEDING", "VERIFYING", "READY"]
_numbers = itertools.count()


class Days(RuleBasedStateMachine):
    folder: Path
    template: Path

    def __init__(self) -> None:
        super().__init__()
        self.home = Path(tempfile.mkdtemp(dir=self.folder))
        shutil.copy(self.template, self.home / "registry.db")
        self.engine = connect(f"sqlite:///{self.home / 'registry.db'}")
        self.clock = ManualClock(datetime(2026, 3, 3, 7, tzinfo=UTC))  # Tuesday 09:00 in Jerusalem
        self.seen = dict.fromkeys([*ENVIRONMENTS, "merge-01"], (0, 0))
        self.pressable: list[tuple[str, str]] = []
        self.before: dict[str, Environment] = {}
        self.heard: set[str] = set()

    @initialize(per_person=st.sampled_from([1, 2]))
    def morning(self, per_person: int) -> None:
        mine = {**MINE, "lease": {"per_person": per_person}}
        self.house = House(open_installation(self.engine, self.clock, self.home, mine), self.clock)
        self.installation = self.house.installation

    def say(self, who: str, said: str | Press, delay: int = 0, request: str | None = None) -> None:
        at = self.clock.now - timedelta(minutes=delay)
        request = request or f"slack/{next(_numbers)}"
        before, held = self.rows(), len(self.installation.desk.held(who))
        places, may_have = self.installation.waiting.all(), self.may_have()
        reply = self.house.say(who, said, at=at, request=request)
        assert reply.text
        buttons = [(who, button.value()) for part in reply.parts for button in part.buttons]
        self.pressable = [*self.pressable[-20:], *buttons]
        if "again" not in reply.data:
            self.answer_is_right(who, said, reply, before, held)
        elif request in self.heard:
            assert {name: row.version for name, row in before.items()} == {
                name: row.version for name, row in self.rows().items()
            }, "one request, one effect"
        self.heard.add(request)
        for name, row in self.rows().items():
            if row.version == before[name].version:
                continue
            [event] = self.installation.environments.last_events(name, 1)
            assert event.kind != "release" or before[name].leased(self.clock.now), (
                "what is over ends by itself"
            )
            if row.lease_owner == who and row.lease_id != before[name].lease_id:
                own = (name, "any")
                waits = {each.environment for each in self.installation.waiting.all() if each.person == who}
                assert not waits & set(own), "who got it waits no longer"
                mine = [n for n, each in enumerate(places) if each.person == who and each.environment in own]
                ahead = {(each.person, each.environment) for each in places[: min(mine, default=None)]}
                first = {each for each in ahead & may_have & self.may_have() if each[1] == name}
                assert event.kind != "lock" or not first, "who waited goes first"

    def may_have(self) -> set[tuple[str, str]]:
        """Who waits for which environment, and may take one more."""
        limit = self.installation.settings.lease.per_person
        return {
            (each.person, each.environment)
            for each in self.installation.waiting.all()
            if len(self.installation.desk.held(each.person)) < limit
        }

    def answer_is_right(
        self, who: str, said: str | Press, reply: Reply, before: dict[str, Environment], held: int
    ) -> None:
        press = said if isinstance(said, Press) else Press(said)
        verb, *words = press.command.split()
        after = self.rows()
        changed = {name for name, row in after.items() if row.version != before[name].version}
        row = before.get(words[0]) if words else None
        if reply.code != "ok":
            ended = {name for name in changed if after[name].lease_owner is None or verb in ("queue", "lock")}
            assert changed <= ended, (
                "what is refused changes nothing; a lease that is over may end by the way"
            )
        if press.lease not in (None, row and row.lease_id) and row is not None and row.leased(self.clock.now):
            assert row.name not in changed, "a button of an earlier lease does nothing"
        if reply.code == "waited_for":
            assert {person for person, _ in self.may_have()} - {who}
        if verb == "queue" and held >= self.installation.settings.lease.per_person:
            assert reply.code != "ok"
        if verb == "lock!" and row is not None and row.leased(self.clock.now) and row.lease_owner == who:
            assert reply.code != "ok"
        if verb in ("lock", "queue") and (words[:1] == ["any"] or not words) and reply.code == "ok":
            for name in changed:
                assert (after[name].state, after[name].verdict) == (State.READY, "passed"), "any: green e2e"
        if verb == "preserve" and reply.code == "ok":
            assert after[words[0]].state is not State.ABSENT
        if verb == "unpreserve" and reply.code == "ok":
            assert after[words[0]].preserve_night is None

    def rows(self) -> dict[str, Environment]:
        return {row.name: row for row in self.installation.environments.all()}

    def talk(self, talk: list[tuple[str, str, str, str, int, bool]]) -> None:
        """What people say, some of them of what they have; a request may be delivered late, or twice."""
        for who, env, said, other, delay, twice in talk:
            speaker = str(self.rows()[env].lease_owner or other) if who == OWNER else who
            if said.split()[0] in ADMINS and who == OWNER:
                speaker = ADMIN
            request = f"slack/{next(_numbers)}"
            for _ in range(1 + twice):
                self.say(speaker, said.format(env=env, other=other), delay, request)

    @rule(minutes=st.sampled_from([0, 1, 20, 31, 90, 300]), then=TALK)
    def time_goes_on(self, minutes: int, then: list[Any]) -> None:
        self.clock.advance(minutes=minutes)
        self.talk(then)

    @rule(who=st.sampled_from(PEOPLE), env=st.sampled_from(ENVIRONMENTS))
    def what_changes_nothing(self, who: str, env: str) -> None:
        """Asking for less, and a button of a lease that the same person had before."""
        self.say(who, f"lock {env}")
        row = self.rows()[env]
        self.say(who, f"release {env}")
        self.say(who, f"lock {env}")
        soon = (self.clock.now + timedelta(hours=1)).astimezone(self.installation.settings.night.tzinfo)
        for less in (f"lock {env} for 1h", f"extend {env} until {soon:%H:%M}"):
            until = self.rows()[env].lease_until
            self.say(who, less)
            assert until is None or until <= (self.rows()[env].lease_until or until), "never shortened"
        now = self.rows()[env]
        if who == row.lease_owner == now.lease_owner and row.leased(self.clock.now):
            for command in (f"release {env}", f"extend {env} for 2h", f"give {env} @eli"):
                self.say(who, Press(command, lease=row.lease_id))
                assert self.rows()[env].version == now.version

    @rule(
        env=st.sampled_from(ENVIRONMENTS),
        talk=st.lists(
            st.tuples(
                st.sampled_from(PEOPLE),
                st.sampled_from(["lock {env}", "lock! {env} -- why", "preserve {env} tonight", "lock any"]),
            ),
            min_size=1,
            max_size=3,
        ),
    )
    def a_step_is_at_work(self, env: str, talk: list[tuple[str, str]]) -> None:
        """Nobody gets what a step works on, and it is too late to preserve it."""
        environments, row = self.installation.environments, self.rows()[env]
        if row.state not in USABLE:
            return
        op = environments.begin(
            env, step="deploy", holder=f"bcd-{next(_numbers)}", actor="somebody", expect=USABLE,
            deadline=timedelta(hours=1),
        )  # fmt: skip
        for who, said in talk:
            self.say(who, said.format(env=env))
        self.installation.desk.turns()
        now = environments.get(env)
        own = row.leased(self.clock.now) and row.lease_id == now.lease_id
        assert own or not now.leased(self.clock.now)
        assert now.preserve_night == row.preserve_night
        environments.finish(op)

    @precondition(lambda self: self.pressable)
    @rule(data=st.data(), then=TALK)
    def press(self, data: st.DataObject, then: list[Any]) -> None:
        for who, value in data.draw(st.lists(st.sampled_from(self.pressable), min_size=1, max_size=4)):
            self.say(who, Press.of(value))
        self.talk(then)

    @rule(then=TALK)
    def caretaker(self, then: list[Any]) -> None:
        self.installation.desk.expire()
        self.installation.desk.notify()
        may_have = {environment for _, environment in self.may_have()}
        free = {row.name for row in self.installation.desk._open()}
        assert not free & may_have, "nobody waits for what is free"
        assert "any" not in may_have or not self.installation.desk.free()
        self.talk(then)

    @rule()
    def night(self) -> None:
        """The next evening comes, and then its morning."""
        policy = self.installation.settings.night
        night = calendar.tonight(policy, self.clock.now)
        self.clock.now = max(self.clock.now, night.evening)
        _, decisions = self.installation.desk.tonight(self.clock.now)
        untouched = {row.name: row.version for row in self.installation.environments.all()}
        torn = [each.environment for each in decisions if each.teardown]
        for name in torn:
            assert not self.installation.environments.get(name).preserved(night.key)
            self.walk(name, USABLE | {State.FAULTED}, ["QUIESCING", "SCORCHING", "TEARING_DOWN", "ABSENT"])
        self.clock.now = max(self.clock.now, night.morning)
        for each in decisions:
            row = self.installation.environments.get(each.environment)
            if each.rebuild and row.state is State.ABSENT:
                self.walk(row.name, {State.ABSENT}, _ORDER)
            elif each.environment not in torn:
                assert row.version == untouched[each.environment]

    def walk(self, name: str, start: set[State], states: list[str]) -> None:
        environments = self.installation.environments
        first, *between, last = (State(state) for state in states)
        op = environments.begin(
            name, step="walk", holder=f"night-{next(_numbers)}", actor="schedule", expect=start, to=first,
            deadline=timedelta(hours=1),
        )  # fmt: skip
        for state in between:
            environments.update(op, to=state)
        verdict = {"verdict": "passed"} if last is State.READY else {}
        environments.finish(op, last, **verdict)

    @invariant()
    def the_rules_hold(self) -> None:
        now, rows = self.clock.now, self.installation.environments.all()
        limit = timedelta(hours=self.installation.settings.lease.max_hours)
        for row in rows:
            lease = (row.lease_owner, row.lease_id, row.lease_since, row.lease_until)
            assert all(part is None for part in lease) or None not in lease
            if row.lease_until is not None and row.lease_since is not None:
                assert timedelta(0) < row.lease_until - row.lease_since <= limit
            if row.state not in USABLE | {State.FAULTED}:
                assert not row.leased(now), "nobody has what is not there"
            assert row.role == "dev" or row.lease_owner is None, "for pull requests"
            self.compared(row)
            self.history(row.name, row.version)
        for who in PEOPLE:
            assert len(self.installation.desk.held(who)) <= self.installation.settings.lease.per_person
        waiters = self.installation.waiting.all()
        assert len({(each.person, each.environment) for each in waiters}) == len(waiters)
        assert {each.environment for each in waiters} <= {*ENVIRONMENTS, "any"}, "no place for pull requests"
        owners = {(row.lease_owner, row.name) for row in rows if row.leased(now)}
        assert not owners & {(each.person, each.environment) for each in waiters}

    def compared(self, row: Environment) -> None:
        """With how it was before the last thing that happened."""
        was = self.before.get(row.name, row)
        self.before[row.name] = row
        if was.lease_until and row.lease_until and was.lease_id == row.lease_id:
            assert row.lease_until >= was.lease_until, "a lease is never shortened"
            assert row.lease_until == was.lease_until or was.leased(self.clock.now), "over is over"
        kinds = {event.kind for event in self.installation.environments.events(row.name, after=was.version)}
        if was.preserve_night and "unpreserve" not in kinds:
            assert row.preserve_night, "only `unpreserve` lets go"
            assert row.preserve_night >= was.preserve_night, "nor is preserve shortened"

    def history(self, name: str, version: int) -> None:
        last, fence = self.seen[name]
        for event in self.installation.environments.events(name, after=last):
            assert event.version == last + 1, "one event for each version"
            assert event.to_state == event.from_state or event.to_state in TRANSITIONS[event.from_state]
            taken = event.kind in ("lock", "take", "turn", "give")
            assert event.fence - fence in ({1} if taken else {0, 1} if event.kind == "begin" else {0})
            last, fence = event.version, event.fence
        assert last == version
        self.seen[name] = (last, fence)

    def teardown(self) -> None:
        """Nobody says anything any more: everybody who waits gets a turn, and each was told once."""
        self.say("noa", "thaw")
        for name in ENVIRONMENTS:
            self.say("noa", f"unfault {name} -- at the end")
            if self.installation.environments.get(name).state is State.ABSENT:
                self.walk(name, {State.ABSENT}, _ORDER)
        waiting = len(self.installation.waiting.all())
        for _ in range(waiting + 1):
            self.clock.advance(hours=12, minutes=1)
            waiters = self.installation.waiting.all()
            self.installation.desk.expire()
            assert not waiters or waiters[0] not in self.installation.waiting.all(), "in order"
        assert self.installation.waiting.all() == []
        for name in ENVIRONMENTS:
            self.replayed(name)
        turns = [
            event for event in self.installation.environments.events(limit=10_000) if event.kind == "turn"
        ]
        told = [each for who in PEOPLE for each in self.house.told(who) if each["kind"] == "turn"]
        assert len(told) == len(turns)
        self.engine.dispose()
        shutil.rmtree(self.home)

    def replayed(self, name: str) -> None:
        """Whose each lease was; nobody else changed it, and whoever lost one unasked was told."""
        columns = (tables.outbox.c.key, tables.outbox.c.recipient, tables.outbox.c.payload)
        with self.engine.connect() as connection:
            told = {key: (whom, data["kind"]) for key, whom, data in connection.execute(select(*columns))}
        lease, owner = 0, ""
        for event in self.installation.environments.events(name, limit=10_000):
            if event.actor in PEOPLE and event.kind not in ("created", "begin", "finish"):
                assert event.request, "by people, at a request of theirs"
            ends: set[str] = set()
            if event.kind in ("lock", "take", "turn"):
                ends = {"lease_ended", "taken"} if lease else set()
            elif event.kind == "expire":
                ends = {"lease_ended"}
            elif event.kind == "release" and event.actor != owner:
                assert event.actor == ADMIN
                ends = {"released"}
            elif event.kind == "begin" and event.to_state is State.QUIESCING and lease:
                ends = {"torn_down", "lease_ended"}
            elif event.kind in ("extend", "give"):
                assert event.actor == owner
            if ends:
                whom, kind = told[f"lease-ended/{name}/{lease}"]
                assert whom == f"person:{owner}"
                assert kind in ends
            if event.kind in ("lock", "take"):
                lease, owner = event.fence, event.actor
            elif event.kind in ("turn", "give"):
                key = f"{'turn' if event.kind == 'turn' else 'given'}/{name}/{event.fence}"
                lease, owner = event.fence, told[key][0].removeprefix("person:")
            elif event.kind in ("expire", "release") or ends:
                lease, owner = 0, ""


def test_days_and_nights_of_people(sqlite_template: Path, tmp_path: Path) -> None:
    Days.folder, Days.template = tmp_path, sqlite_template
    run = Days.TestCase()
    run.settings = settings(
        max_examples=8, stateful_step_count=16, deadline=None, suppress_health_check=list(HealthCheck)
    )
    run.runTest()
