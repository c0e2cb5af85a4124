"""Whatever is due is done once, and what breaks holds up nothing else."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from daybreak.environment.dead import GIVEN_UP
from daybreak.environment.machine import State
from daybreak.orchestration import caretaker
from daybreak.talk.whole import Talk
from tests.fixtures.office import Office


def attend(office: Office) -> list[str]:
    """One run of the caretaker."""
    return list(caretaker.attend(office.installation, Talk.open(office.installation, office.access)))


def told(office: Office, user: str) -> list[str]:
    conversation = office.slack.state(user)["conversation"]
    return [each["text"] for each in office.slack.messages(user) if each["channel"] == conversation]


def test_a_lease_ends_its_owner_is_told_and_the_next_in_line_has_it(office: Office) -> None:
    office.clock.advance(hours=-9)  # Thursday morning, 09:00
    office.say("dana", "/bobby lock dev-01 for 1h")
    office.say("yossi", "/bobby queue dev-01 -- after you")
    office.clock.advance(minutes=50)
    assert "notices: 1 new" in attend(office)
    assert told(office, "dana")[-1].startswith("Your lease of dev-01 ends at")
    office.clock.advance(minutes=10)
    attend(office)
    assert office.events() == [("lock", "dana"), ("expire", "daybreak"), ("turn", "daybreak")]
    assert told(office, "dana")[-1].startswith("Your lease of dev-01 ended at")
    assert told(office, "yossi")[-1].startswith("It is your turn: dev-01 is yours until")
    before = told(office, "dana"), told(office, "yossi")
    assert attend(office) == []
    assert (told(office, "dana"), told(office, "yossi")) == before


def test_owners_are_told_sixty_and_fifteen_minutes_before_the_teardown(office: Office) -> None:
    office.say("dana", "/bobby lock dev-01 for 12h")
    office.say("yossi", "/bobby lock dev-02 for 12h")
    office.say("yossi", "/bobby preserve dev-02 tonight -- load test")
    for minutes in (59, 1, 44, 1, 10):
        office.clock.advance(minutes=minutes)
        attend(office)
    notices = [text for text in told(office, "dana") if "is torn down at" in text]
    assert len(notices) == 2
    assert not [text for text in told(office, "yossi") if "is torn down at" in text]


def test_a_dead_op_is_a_fault_that_the_channel_hears_of_once(office: Office) -> None:
    office.installation.environments.begin(
        "dev-03", step="scorch", holder="scheduled__x", actor="night", expect={State.READY},
        to=State.QUIESCING, deadline=timedelta(hours=1),
    )  # fmt: skip
    office.clock.now += GIVEN_UP + timedelta(seconds=1)
    assert attend(office)[0] == "dead ops: dev-03 faulted (was scorch of scheduled__x)"
    attend(office)
    channel = [each for each in office.slack.messages("noa") if "dev-03 is FAULTED: dead_op" in each["text"]]
    assert len(channel) == 1
    assert not channel[0]["only"]


def test_what_a_dead_process_took_in_is_answered(office: Office) -> None:
    office.slack.say("dana", "#dev-envs", "/bobby lock dev-01 for 1h")
    assert [line for line in attend(office) if line.startswith("inbox")] == ["inbox: 1 answered"]
    assert "dev-01 is yours" in office.seen("dana")[-1]


def test_a_duty_that_breaks_is_named_at_the_end_and_the_others_are_done(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Any) -> str:
        raise RuntimeError("no server")

    monkeypatch.setitem(caretaker.DUTIES, "dead ops", broken)
    office.slack.say("dana", "#dev-envs", "/bobby lock dev-01 for 1h")
    with pytest.raises(caretaker.Undone, match="dead ops: RuntimeError: no server"):
        attend(office)
    assert "dev-01 is yours" in office.seen("dana")[-1]


def test_without_slack_the_leases_are_taken_care_of_all_the_same(office: Office) -> None:
    office.say("dana", "/bobby lock dev-01 for 1h")
    office.clock.advance(hours=1)
    assert "leases: dev-01 is nobody's any more" in list(caretaker.attend(office.installation, None))


def test_a_connection_that_is_not_there_is_named_after_the_leases_were_taken_care_of(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    from daybreak.orchestration import connections

    monkeypatch.setattr(connections, "installation", lambda: office.installation)
    office.say("dana", "/bobby lock dev-01 for 1h")
    office.clock.advance(hours=1, minutes=1)
    # Airflow has none of that name: the hook's own error.
    with pytest.raises(caretaker.Undone, match=r"^slack: .*slack_default"):
        caretaker.take_care.function()
    assert office.events()[-1] == ("expire", "daybreak")
