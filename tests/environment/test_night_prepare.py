"""Before a night touches anything: which night a run belongs to, what it claims, what it is too late for."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import boto3
import pytest
from sqlalchemy import Engine

from daybreak.environment.calendar import Phase
from daybreak.environment.decision import NightAction
from daybreak.environment.installation import Installation
from daybreak.environment.machine import State
from daybreak.environment.night.prepare import Request, check_main, decide_night, pin, too_late
from daybreak.environment.nights import LeftAlone, NightStatus
from daybreak.errors import CycleError, UsageError
from daybreak.settings import Settings
from daybreak.store import Store
from tests.fixtures.registry import ManualClock
from tests.monorepo import HEADER, Monorepo

ACCOUNT = "123456789012"
#: A Wednesday evening; a working day follows.
EVENING = datetime(2026, 3, 4, 20, tzinfo=UTC)
NIGHT = date(2026, 3, 4)
A = 'A = Resource(name="a", type=rt.PACKAGE, dependent_paths=["a"])\n'
CYCLE = (
    "EDGES = []\n"
    'A = Resource(name="a", type=rt.PACKAGE, packages_dependency=EDGES, dependent_paths=["a"])\n'
    'B = Resource(name="b", type=rt.PACKAGE, packages_dependency=[A], dependent_paths=["a"])\n'
    "EDGES += [B]\n"
)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(EVENING)


@pytest.fixture
def monorepo(tmp_path: Path) -> Monorepo:
    made = Monorepo(tmp_path / "monorepo")
    made.commit({"resources.py": HEADER + A, "a/pyproject.toml": "[project]\nname='a'\nversion='0'\n"})
    return made


@pytest.fixture
def installation(tmp_path: Path, clock: ManualClock, monorepo: Monorepo, registry: Engine) -> Installation:
    settings = Settings.model_validate(
        {
            "monorepo": {"url": str(monorepo.path)},
            "home": str(tmp_path / "home"),
            "aws": {"accounts": {ACCOUNT: {}}},
            "environments": [{"name": f"dev-0{n}", "account": ACCOUNT} for n in (1, 2)],
        }
    )
    store = Store((tmp_path / "store").as_uri())
    made = Installation(settings, registry, store, lambda _: boto3.Session(), clock)
    made.register()
    made.switches.arm(ACCOUNT, "test")
    return made


def scheduled(**more: object) -> Request:
    return Request(scheduled=EVENING, **more)  # type: ignore[arg-type]


def up(installation: Installation, *names: str) -> None:
    """Make environments READY by the shortest way that the state machine has."""
    for name in names:
        env = installation.environments.get(name)
        for state in (State.PROVISIONING, State.DEPLOYING, State.SEEDING, State.VERIFYING, State.READY):
            env = installation.environments.transition(env, state, actor="test")


def test_a_retry_finds_what_was_decided_first(installation: Installation, clock: ManualClock) -> None:
    first = decide_night(installation, "run", scheduled())
    up(installation, "dev-01")
    clock.now += timedelta(hours=20)
    assert decide_night(installation, "run", scheduled()) == first


def test_a_run_that_starts_in_time_has_both_phases(installation: Installation) -> None:
    up(installation, "dev-01")
    night, [one, _] = decide_night(installation, "run", scheduled())
    assert (night, one.teardown, one.rebuild) == (NIGHT, True, True)


def test_after_the_evenings_cut_off_what_stands_is_rebuilt_in_place(
    installation: Installation, clock: ManualClock
) -> None:
    up(installation, "dev-01")
    clock.now = EVENING + timedelta(hours=4)
    night, [one, two] = decide_night(installation, "run", scheduled())
    assert (night, one.teardown, one.in_place) == (NIGHT, False, True)
    assert one.reason.endswith("(began late, Thu 00:00; cut-off: teardown until 23:30)")
    assert (two.rebuild, two.in_place) == (True, False)


def test_a_run_that_starts_after_its_morning_still_belongs_to_its_own_night(
    installation: Installation, clock: ManualClock
) -> None:
    up(installation, "dev-01")
    clock.now = EVENING + timedelta(hours=11)
    night, [one, _] = decide_night(installation, "run", scheduled())
    assert (night, one.teardown, one.rebuild) == (NIGHT, False, True)


def test_after_the_mornings_cut_off_nothing_is_touched_and_it_says_so(
    installation: Installation, clock: ManualClock
) -> None:
    up(installation, "dev-01")
    clock.now = EVENING + timedelta(hours=14, minutes=1)
    _, decisions = decide_night(installation, "run", scheduled())
    assert {each.action for each in decisions} == {NightAction.SKIP}
    assert decisions[0].reason == (
        "too late: began late, Thu 10:01; cut-off: teardown until 23:30, rebuild until 10:00"
    )


def test_by_hand_it_is_never_too_late(installation: Installation, clock: ManualClock) -> None:
    up(installation, "dev-01")
    clock.now = EVENING + timedelta(hours=4)
    _, [one, _] = decide_night(installation, "run", Request())
    assert (one.teardown, one.rebuild) == (True, True)
    assert too_late(installation, Request(), "run") == ""


def test_a_late_evening_before_a_day_off_tears_nothing_down(
    installation: Installation, clock: ManualClock
) -> None:
    up(installation, "dev-01")
    friday = EVENING + timedelta(days=2)
    clock.now = friday + timedelta(hours=4)
    _, [one, _] = decide_night(installation, "run", Request(scheduled=friday))
    assert not one.touches


def test_a_morning_that_begins_after_the_cut_off_builds_nothing(
    installation: Installation, clock: ManualClock
) -> None:
    decide_night(installation, "run", scheduled())
    clock.now = EVENING + timedelta(hours=14, minutes=3)
    with pytest.raises(UsageError, match="the morning began at Thu 10:03, after the cut-off 10:00") as said:
        pin(installation, scheduled(), "run")
    assert said.value.code == "too_late"
    assert installation.nights.get("run").stopped == ("too_late", str(said.value))


def test_what_stopped_a_run_is_forgotten_once_a_retry_gets_further(
    installation: Installation, monorepo: Monorepo
) -> None:
    decide_night(installation, "run", scheduled())
    monorepo.commit({"resources.py": "A = Resource(\n"})
    with pytest.raises(UsageError):
        pin(installation, scheduled(), "run")
    assert installation.nights.get("run").stopped is not None
    monorepo.commit({"resources.py": HEADER + A})
    pin(installation, scheduled(), "run")
    assert installation.nights.get("run").stopped is None


def test_nothing_is_torn_down_for_a_main_that_cannot_be_built(
    installation: Installation, monorepo: Monorepo
) -> None:
    monorepo.commit({"resources.py": HEADER + CYCLE})
    with pytest.raises(CycleError, match=r"a -\(resources.py:\d+\)-> b -\(resources.py:\d+\)-> a"):
        check_main(installation, scheduled())
    # An evening alone needs no main.
    check_main(installation, scheduled(phases=frozenset({Phase.TEARDOWN})))


def test_a_monorepo_that_is_away_in_the_evening_may_be_back_in_the_morning(
    installation: Installation, monorepo: Monorepo
) -> None:
    monorepo.path.rename(monorepo.path.with_name("moved"))
    check_main(installation, scheduled())


def test_a_rebuild_by_hand_takes_an_environment_from_a_night_that_waits(installation: Installation) -> None:
    up(installation, "dev-01")
    decide_night(installation, "night", scheduled())
    by_hand = Request(environments=("dev-01",), wait=False)
    _, [busy] = decide_night(installation, "too-early", by_hand)
    assert (busy.action, "night has it (planned" in busy.reason) == (NightAction.SKIP, True)

    installation.nights.mark(NIGHT, "dev-01", "night", NightStatus.WAITING)
    _, [taken] = decide_night(installation, "by-hand", by_hand)
    assert taken.rebuild


def test_a_dead_run_gives_way_after_a_quarter_of_an_hour(
    installation: Installation, clock: ManualClock
) -> None:
    up(installation, "dev-01")
    decide_night(installation, "dead", scheduled())
    by_hand = Request(environments=("dev-01",), wait=False)
    clock.advance(minutes=14)
    _, [busy] = decide_night(installation, "too-early", by_hand)
    clock.advance(minutes=2)
    _, [taken] = decide_night(installation, "by-hand", by_hand)
    assert (busy.action, taken.rebuild) == (NightAction.SKIP, True)
    with pytest.raises(LeftAlone, match="by-hand has it"):
        installation.nights.take(NIGHT, "dev-01", "dead")


def test_a_run_of_an_older_night_touches_nothing_any_more(
    installation: Installation, clock: ManualClock
) -> None:
    up(installation, "dev-01")
    decide_night(installation, "asleep", scheduled())
    clock.advance(hours=23)
    decide_night(installation, "next", Request(environments=("dev-01",), wait=False))
    with pytest.raises(LeftAlone, match="the night 2026-03-04 is over for dev-01: next had it since"):
        installation.nights.take(NIGHT, "dev-01", "asleep")


def test_a_run_whose_step_is_at_work_does_not_give_way(
    installation: Installation, clock: ManualClock
) -> None:
    up(installation, "dev-01")
    decide_night(installation, "long", scheduled())
    op = installation.environments.begin(
        "dev-01", step="quiesce", holder="long", actor="test", expect={State.READY},
        deadline=timedelta(hours=2),
    )  # fmt: skip
    clock.advance(minutes=40)
    installation.environments.heartbeat(op)
    _, [busy] = decide_night(installation, "by-hand", Request(environments=("dev-01",), wait=False))
    assert busy.action is NightAction.SKIP


def test_a_run_that_leaves_an_environment_alone_takes_it_from_nobody(installation: Installation) -> None:
    up(installation, "dev-01")
    decide_night(installation, "night", scheduled())
    installation.nights.mark(NIGHT, "dev-01", "night", NightStatus.WAITING)
    installation.switches.freeze("noa", "incident")
    _, [left] = decide_night(installation, "by-hand", Request(environments=("dev-01",), wait=False))
    assert left.action is NightAction.SKIP
    assert installation.nights.environments(night=NIGHT, environment="dev-01")[0].run_id == "night"


def test_what_was_left_alone_is_free_for_a_rebuild_by_hand(installation: Installation) -> None:
    up(installation, "dev-01")
    installation.switches.freeze("noa", "incident")
    decide_night(installation, "night", scheduled())
    installation.switches.thaw()
    _, [taken] = decide_night(installation, "by-hand", Request(environments=("dev-01",), wait=False))
    assert taken.rebuild


def test_in_an_account_that_nobody_armed_schedules_stay_on_too(installation: Installation) -> None:
    up(installation, "dev-01")
    installation.leases.preserve("dev-01", NIGHT, "dana", "load test")
    _, [armed, _] = decide_night(installation, "armed", scheduled(dry_run=True))
    installation.switches.disarm(ACCOUNT)
    _, [unarmed, _] = decide_night(installation, "unarmed", scheduled(dry_run=True))
    assert (armed.pauses, unarmed.pauses) == (True, False)
    assert unarmed.action is NightAction.PRESERVE
