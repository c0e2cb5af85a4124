"""What a night does with each environment, and the sentence that says why."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daybreak.environment.calendar import Phase
from daybreak.environment.decision import Decision, Frozen, NightAction, decide
from daybreak.environment.machine import STEP_STATES, USABLE, Environment, State
from daybreak.errors import UsageError
from daybreak.settings import EnvironmentSettings, NightPolicy

S, A = State, NightAction
POLICY = NightPolicy.model_validate(
    {
        "zone": "Asia/Jerusalem",
        "workweek": ["sun", "mon", "tue", "wed", "thu"],
        "weekend_keep": 2,
    }
)
WEDNESDAY, THURSDAY, FRIDAY, SATURDAY = (date(2026, 3, day) for day in (4, 5, 6, 7))
NOW = datetime(2026, 3, 4, 18, tzinfo=UTC)


def settings(name: str, role: str = "dev") -> EnvironmentSettings:
    return EnvironmentSettings.model_validate({"name": name, "account": "123456789012", "role": role})


ALL = (settings("dev-01"), settings("dev-02"), settings("dev-03"), settings("merge-01", "merge"))
NAMES = [environment.name for environment in ALL]


def row(name: str, state: State = S.READY, **columns: Any) -> Environment:
    base = Environment(
        name=name, account="123456789012", region="us-east-1", role="merge" if "merge" in name else "dev",
        state=state, state_since=NOW - timedelta(hours=9), version=3, changed_at=NOW, changed_by="t", fence=1,
        verdict="passed",
    )  # fmt: skip
    return replace(base, **columns)


def decisions(night: date = WEDNESDAY, /, *rows: Environment, **options: Any) -> dict[str, Decision]:
    """Decide; the rows that are not given are READY with green e2e."""
    given_ = {r.name: r for r in rows}
    call: dict[str, Any] = {"votes": {}, "now": NOW, **options}
    found = decide(POLICY, night, [given_.get(name, row(name)) for name in NAMES], ALL, **call)
    return {decision.environment: decision for decision in found}


def test_a_working_night_tears_down_and_rebuilds_all() -> None:
    found = decisions()
    assert list(found) == NAMES
    assert found["dev-01"] == Decision(
        "dev-01", A.REBUILD, "a working day follows: torn down and rebuilt", teardown=True, rebuild=True
    )


def test_the_merge_environment_is_rebuilt_in_place() -> None:
    assert decisions()["merge-01"] == Decision(
        "merge-01", A.REBUILD, "the merge environment: rebuilt in place", rebuild=True, in_place=True
    )
    only_evening = decisions(phases={Phase.TEARDOWN})["merge-01"]
    assert (only_evening.action, only_evening.teardown) == (A.SKIP, False)


def test_what_is_absent_is_only_built() -> None:
    found = decisions(WEDNESDAY, row("dev-01", S.ABSENT))["dev-01"]
    assert (found.teardown, found.rebuild, found.in_place) == (False, True, False)
    assert found.reason == "absent: rebuilt"


def test_an_environment_that_the_registry_does_not_know_yet_is_built() -> None:
    [found] = decide(POLICY, WEDNESDAY, [], ALL[:1], {}, NOW)
    assert (found.teardown, found.rebuild) == (False, True)


@pytest.mark.parametrize(
    ("until", "reason"),
    [
        (WEDNESDAY, "preserved tonight by dana (load test)"),
        (SATURDAY, "preserved until the night of 2026-03-07 by dana (load test)"),
    ],
)
def test_a_preserved_environment_is_left_alone(until: date, reason: str) -> None:
    preserved = row("dev-02", preserve_night=until, preserve_by="dana", preserve_reason="load test")
    assert decisions(WEDNESDAY, preserved)["dev-02"] == Decision("dev-02", A.PRESERVE, reason, pauses=True)


def test_the_schedules_of_what_stays_up_are_off_at_night_but_not_the_merge_environments() -> None:
    kept = {"preserve_night": WEDNESDAY, "preserve_by": "dana", "preserve_reason": "x"}
    found = decisions(
        WEDNESDAY, row("dev-02", **kept), row("dev-03", S.FAULTED, **kept), row("merge-01", **kept)
    )
    assert {name for name, decision in found.items() if decision.pauses} == {"dev-02"}
    morning = decisions(WEDNESDAY, row("dev-02", **kept), phases={Phase.REBUILD})
    assert not morning["dev-02"].pauses


def test_yesterdays_preserve_is_over() -> None:
    preserved = row("dev-02", preserve_night=date(2026, 3, 3), preserve_by="dana", preserve_reason="x")
    assert decisions(WEDNESDAY, preserved)["dev-02"].action is A.REBUILD


def test_a_lease_does_not_veto_the_night() -> None:
    leased = row("dev-02", lease_owner="dana", lease_until=NOW + timedelta(hours=9), lease_reason="mine")
    assert decisions(WEDNESDAY, leased)["dev-02"].teardown


def test_the_night_waits_for_an_attempt_that_has_the_lane_and_for_no_other_step() -> None:
    at_work = {"op_token": "t", "op_holder": "pr_e2e/pr-7", "op_actor": "eli", "op_since": NOW,
               "op_heartbeat_at": NOW, "op_deadline": NOW + timedelta(hours=1)}  # fmt: skip
    lands = row("merge-01", role="merge", op_step="merge", **at_work)
    assert decisions(WEDNESDAY, lands)["merge-01"].in_place
    heals = replace(lands, op_step="heal")
    assert decisions(WEDNESDAY, heals)["merge-01"].action is A.SKIP


def test_an_environment_with_a_live_op_is_skipped_and_says_whose() -> None:
    busy = row(
        "dev-01", S.DEPLOYING, op_token="t", op_holder="bcd/run-7", op_actor="eli", op_step="deploy",
        op_since=NOW, op_heartbeat_at=NOW, op_deadline=NOW + timedelta(hours=1),
    )  # fmt: skip
    found = decisions(WEDNESDAY, busy)["dev-01"]
    assert found.action is A.SKIP
    assert found.reason.startswith("left alone: bcd/run-7 (for eli) works on it: step deploy since")
    dead = replace(busy, op_heartbeat_at=NOW - timedelta(seconds=121))
    assert decisions(WEDNESDAY, dead)["dev-01"].reason == (
        "stuck in DEPLOYING since 2026-03-04 09:00Z: torn down and rebuilt"
    )


def test_a_faulted_environment_is_torn_down_and_rebuilt() -> None:
    faulted = row("dev-01", S.FAULTED, fault_code="stack_failed", fault_at=NOW - timedelta(hours=1))
    found = decisions(WEDNESDAY, faulted)["dev-01"]
    assert found.reason == "faulted since 2026-03-04 17:00Z (stack_failed): torn down and rebuilt"
    assert (found.teardown, found.rebuild) == (True, True)


def test_the_brake_stops_everything() -> None:
    preserved = row("dev-02", preserve_night=SATURDAY, preserve_by="dana", preserve_reason="x")
    found = decisions(WEDNESDAY, preserved, frozen=Frozen("eli", "audit"))
    assert {(d.action, d.reason) for d in found.values()} == {(A.SKIP, "frozen by eli (audit)")}


def test_before_the_weekend_two_stay_and_the_rest_goes_until_sunday() -> None:
    rows = [row("dev-01", used_at=NOW), row("dev-02", used_at=NOW - timedelta(days=2)), row("dev-03")]
    found = decisions(THURSDAY, *rows)
    assert found["dev-03"] == Decision(
        "dev-03", A.KEEP, "kept for the weekend: longest idle with green e2e (never used)", pauses=True
    )
    assert found["dev-02"].reason == (
        "kept for the weekend: longest idle with green e2e (idle since 2026-03-02 18:00Z)"
    )
    assert found["dev-01"] == Decision(
        "dev-01", A.REBUILD, "weekend: rebuilt on the night before Sunday", teardown=True
    )
    assert found["merge-01"].action is A.KEEP  # and it did not take a place


def test_votes_come_before_preserved_before_idle() -> None:
    preserved = row("dev-02", preserve_night=SATURDAY, preserve_by="dana", preserve_reason="x", used_at=NOW)
    red = row("dev-03", S.DEGRADED, verdict="failed")
    found = decisions(THURSDAY, preserved, red, votes={"dev-03": ["noa", "eli"]})
    assert found["dev-03"] == Decision(
        "dev-03", A.KEEP, "kept for the weekend: vote by eli, noa", pauses=True
    )
    assert found["dev-02"].action is A.PRESERVE
    assert found["dev-01"].teardown  # green and never used, but both places are taken


def test_a_preserved_environment_takes_no_place_from_one_with_votes() -> None:
    preserved = row("dev-01", preserve_night=SATURDAY, preserve_by="dana", preserve_reason="x")
    found = decisions(THURSDAY, preserved, votes={"dev-02": ["noa"], "dev-03": ["eli"]})
    assert [found[name].action for name in NAMES[:3]] == [A.PRESERVE, A.KEEP, A.KEEP]


def test_more_votes_win() -> None:
    votes: Mapping[str, list[str]] = {"dev-01": ["a"], "dev-02": ["b", "c"], "dev-03": ["d", "e"]}
    found = decisions(THURSDAY, votes=votes)
    assert [name for name in NAMES[:3] if found[name].action is A.KEEP] == ["dev-02", "dev-03"]


def test_more_preserved_than_places_all_stay() -> None:
    rows = [row(name, preserve_night=SATURDAY, preserve_by="dana", preserve_reason="x") for name in NAMES[:3]]
    found = decisions(THURSDAY, *rows)
    assert {found[name].action for name in NAMES[:3]} == {A.PRESERVE}


def test_without_green_e2e_nobody_stays_unasked() -> None:
    rows = [row(name, S.DEGRADED, verdict="failed") for name in NAMES[:3]]
    found = decisions(THURSDAY, *rows)
    assert all(found[name].teardown for name in NAMES[:3])


def test_in_the_middle_of_the_weekend_the_same_stay_and_nothing_else_happens() -> None:
    found = decisions(FRIDAY, row("dev-01", S.ABSENT), now=NOW + timedelta(days=2))
    assert found["dev-01"] == Decision("dev-01", A.SKIP, "weekend: rebuilt on the night before Sunday")
    assert {found[name].action for name in ("dev-02", "dev-03", "merge-01")} == {A.KEEP}
    assert not any(d.teardown or d.rebuild for d in found.values())


def test_a_faulted_environment_goes_before_the_weekend_too() -> None:
    faulted = row("dev-01", S.FAULTED, fault_code="x", fault_at=NOW, verdict="passed")
    found = decisions(THURSDAY, faulted, votes={"dev-01": ["dana"]})["dev-01"]
    assert (found.teardown, found.rebuild) == (True, False)
    assert found.reason == (
        "faulted since 2026-03-04 18:00Z (x): torn down, rebuilt on the night before Sunday"
    )


def test_the_night_before_the_next_working_day_rebuilds_all() -> None:
    found = decisions(SATURDAY, row("dev-01", S.ABSENT), votes={"dev-02": ["dana"]})
    assert all(decision.rebuild for decision in found.values())
    assert not found["dev-01"].teardown
    assert found["dev-02"].teardown


def test_a_holiday_has_its_name_and_the_way_back_its_date() -> None:
    passover = POLICY.model_copy(
        update={"holidays": POLICY.holidays.model_copy(update={"country": "IL", "dates": frozenset(
            date(2026, 4, 1) + timedelta(days=n) for n in range(9)
        )})}
    )  # fmt: skip
    [found] = decide(passover, date(2026, 3, 31), [row("dev-01", verdict="failed")], ALL[:1], {}, NOW)
    assert found.reason == "holiday (day off): rebuilt on the night before Sunday 12 April"


def test_asking_by_name_goes_before_the_weekend() -> None:
    found = decisions(THURSDAY, requested=["dev-02"])
    assert found == {
        "dev-02": Decision(
            "dev-02", A.REBUILD, "asked for: torn down and rebuilt", teardown=True, rebuild=True
        )
    }


def test_asking_by_name_does_not_override_preserve() -> None:
    preserved = row("dev-02", preserve_night=THURSDAY, preserve_by="dana", preserve_reason="x")
    assert decisions(THURSDAY, preserved, requested=["dev-02"])["dev-02"].action is A.PRESERVE


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(UsageError, match="no environment is called dev-1; there are: dev-01, dev-02"):
        decisions(requested=["dev-1"])


def test_an_evening_alone_tears_down_and_a_morning_alone_builds() -> None:
    evening = decisions(phases={Phase.TEARDOWN})["dev-01"]
    assert (evening.teardown, evening.rebuild) == (True, False)
    assert evening.reason == "a working day follows: torn down"
    morning = decisions(WEDNESDAY, row("dev-01", S.ABSENT), phases={Phase.REBUILD})
    assert (morning["dev-01"].teardown, morning["dev-01"].rebuild) == (False, True)
    # The evening was missed: what still stands is rebuilt where it stands.
    assert (morning["dev-02"].teardown, morning["dev-02"].in_place) == (False, True)
    assert morning["dev-02"].reason == "still READY, was not torn down: rebuilt in place"


def test_what_left_the_settings_but_is_up_is_shown() -> None:
    found = decide(POLICY, WEDNESDAY, [row("old-01"), row("old-02", S.ABSENT)], (), {}, NOW)
    assert found == [
        Decision("old-01", A.SKIP, "not in daybreak.yaml any more, but still READY: take it away")
    ]


def test_decisions_survive_json() -> None:
    for decision in decisions(THURSDAY).values():
        assert Decision.from_json(json.loads(json.dumps(decision.to_json()))) == decision


_ROWS = st.builds(
    row,
    st.just("x"),
    st.sampled_from(list(State)),
    verdict=st.sampled_from([None, "passed", "failed", "not_run"]),
    preserve_night=st.sampled_from([None, WEDNESDAY, THURSDAY, SATURDAY]),
    used_at=st.sampled_from([None, NOW, NOW - timedelta(days=1)]),
)


@given(
    rows=st.lists(_ROWS, min_size=4, max_size=4),
    night=st.sampled_from([WEDNESDAY, THURSDAY, FRIDAY, SATURDAY]),
    phases=st.sets(st.sampled_from(list(Phase)), min_size=1),
    votes=st.dictionaries(st.sampled_from(NAMES), st.lists(st.sampled_from("abc"), unique=True)),
    requested=st.none() | st.sets(st.sampled_from(NAMES)),
)
def test_no_decision_contradicts_itself_or_its_calendar(
    rows: list[Environment],
    night: date,
    phases: set[Phase],
    votes: dict[str, list[str]],
    requested: set[str] | None,
) -> None:
    rows = [replace(r, name=e.name, role=e.role) for r, e in zip(rows, ALL, strict=True)]
    found = decide(POLICY, night, rows, ALL, votes, NOW, phases, requested)
    assert [d.environment for d in found] == [n for n in NAMES if requested is None or n in requested]
    by_name = {r.name: r for r in rows}
    kept = 0
    for decision in found:
        env = by_name[decision.environment]
        assert decision.reason
        assert (decision.action is A.REBUILD) == (decision.teardown or decision.rebuild)
        assert not (decision.teardown and Phase.TEARDOWN not in phases)
        assert not (decision.rebuild and Phase.REBUILD not in phases)
        assert not (decision.teardown and decision.in_place)
        assert not (decision.in_place and not decision.rebuild)
        assert not (decision.teardown and env.state is S.ABSENT)
        assert not (decision.pauses and (decision.teardown or decision.rebuild or env.state not in USABLE))
        assert not (decision.teardown and env.role == "merge")
        assert (decision.action is A.PRESERVE) == env.preserved(night)
        if requested is None and night in (THURSDAY, FRIDAY):
            assert not decision.rebuild
            if decision.action is A.KEEP and env.role == "dev":
                kept += 1
                assert env.state in USABLE
            if env.role == "dev" and env.state in STEP_STATES | {S.FAULTED} and Phase.TEARDOWN in phases:
                assert decision.teardown or decision.action is A.PRESERVE
    assert kept <= POLICY.weekend_keep
