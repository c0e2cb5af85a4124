"""A deploy by hand that was asked for in Slack, and of which nobody works any more."""

from __future__ import annotations

from daybreak.environment.bcd.dead import settle_dead
from daybreak.environment.bcd.records import BcdRuns
from daybreak.environment.bcd.request import Request
from daybreak.environment.bcd.work import Work
from daybreak.settings import Limits
from tests.fixtures.office import Office


def begun(office: Office) -> Work:
    """Dana asked for it in Slack, and its first task was killed after it had locked the environment."""
    office.say("dana", "/bobby deploy dev-01 faster trips -- it is slow")
    [(dag_id, run_id, conf)] = office.runs
    request = Request.of(conf)
    assert (dag_id, request.ref, request.resources, request.by) == ("bcd", "faster", ("trips",), "dana")
    work = Work(office.installation, run_id, request, "dana")
    work.records.open(run_id, request, "dana")
    work.hold()
    return work


def test_a_run_that_is_over_in_airflow_gives_back_its_lock_and_tells_its_person(office: Office) -> None:
    work = begun(office)
    environments = office.installation.environments
    assert environments.get("dev-01").lease_owner == "dana"
    assert settle_dead(office.installation, lambda _: "") == []

    [ended] = settle_dead(office.installation, lambda _: "its run in Airflow is over: failed")

    assert (ended.run_id, ended.outcome) == (work.run_id, "refused")
    assert environments.get("dev-01").lease_owner is None
    office.work()
    assert "its run in Airflow is over: failed" in office.seen("dana")[-1]
    assert settle_dead(office.installation, lambda _: "again") == []


def test_what_airflow_does_not_know_is_over_once_its_lock_would_be(office: Office) -> None:
    work = begun(office)
    assert settle_dead(office.installation, lambda _: None) == []
    limit = Limits(office.installation.settings.build).bcd
    office.clock.advance(seconds=limit.total_seconds() + 60)
    assert [each.run_id for each in settle_dead(office.installation, lambda _: None)] == [work.run_id]
    assert BcdRuns(office.installation.engine, office.clock).unfinished() == []


def test_a_lease_that_was_extended_meanwhile_stays(office: Office) -> None:
    begun(office)
    office.say("dana", "/bobby extend dev-01 for 2h")
    settle_dead(office.installation, lambda _: "killed")
    assert office.installation.environments.get("dev-01").lease_owner == "dana"
