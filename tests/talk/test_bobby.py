"""What people say to Bobby and what they are told: stories on a registry, without a cloud."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from daybreak.environment.machine import USABLE, State
from daybreak.talk.bobby.notices import render
from daybreak.talk.reply import Button, Press
from tests.talk.conftest import House


def test_lock_says_until_when_and_what_the_night_does(house: House) -> None:
    house.clock.advance(days=-2)  # Tuesday: a working day follows
    reply = house.say("dana", "lock dev-03 for 4h -- load test")
    assert reply.text == (
        "dev-03 is yours until 17:00 IST (4 h). It is torn down tonight at 20:00 IST; "
        "say `preserve dev-03 tonight` to keep it."
    )
    assert [button.command for part in reply.parts for button in part.buttons] == [
        "release dev-03", "extend dev-03 for 2h", "preserve dev-03 tonight",
    ]  # fmt: skip
    assert reply.data["lease"]["until"] == "2026-03-03T15:00:00+00:00"


def test_the_loser_is_told_who_has_it_and_what_to_do(house: House) -> None:
    house.say("dana", "lock dev-01 -- load test")
    reply = house.say("eli", "lock dev-01")
    assert (reply.code, reply.exit_code) == ("locked", 73)
    assert reply.text.startswith("dev-01 is locked by dana until 2026-03-05 17:00 IST (load test).")
    assert [button.command for button in reply.parts[0].buttons] == ["poke dev-01", "queue dev-01"]


def test_a_stranger_may_read_and_nothing_else(house: House) -> None:
    assert house.say("zed", "status").code == "ok"
    assert not any(part.buttons for part in house.say("zed", "status").parts)
    for said in ("lock dev-01", "queue", "mine", "freeze -- x"):
        reply = house.say("zed", said)
        assert (reply.code, reply.exit_code) == ("not_allowed", 77) or said == "mine"
    assert all(event.kind in ("created",) for event in house.installation.environments.events())


@pytest.mark.parametrize("said", ["lock! dev-01 -- x", "release! dev-01 -- x", "scorch dev-01",
                                  "freeze -- x", "thaw", "unfault dev-01 -- x"])  # fmt: skip
def test_admin_verbs_are_for_admins(house: House, said: str) -> None:
    assert house.say("dana", said).code == "not_allowed"


def test_two_commands_in_one_message_do_nothing(house: House) -> None:
    house.say("eli", "lock dev-02")
    reply = house.say("noa", "lock dev-01; release! dev-02 -- x")
    assert reply.data["nearest"] == "lock dev-01"
    assert house.installation.environments.get("dev-01").lease_owner is None
    assert house.installation.environments.get("dev-02").lease_owner == "eli"


def test_the_queue_is_served_in_order_and_told_once(house: House) -> None:
    house.say("dana", "lock dev-01")
    assert "number 1" in house.say("eli", "queue dev-01 -- demo").text
    assert "number 2" in house.say("noa", "queue dev-01").text
    assert "number 1" in house.say("eli", "queue dev-01").text
    reply = house.say("dana", "release dev-01")
    assert reply.text == "dev-01 is eli's now, who waited for it."
    house.installation.desk.turns()
    assert [each["kind"] for each in house.told("eli")] == ["turn"]
    # A turn that nobody takes up passes to the next one.
    house.clock.advance(minutes=30)
    assert house.installation.desk.expire() == ["dev-01"]
    assert house.installation.environments.get("dev-01").lease_owner == "noa"
    assert [each["kind"] for each in house.told("eli")] == ["turn", "lease_ended"]
    assert house.say("noa", "extend dev-01 for 4h").text.startswith("dev-01 is yours until 18:00 IST (4 h")


def test_who_waited_goes_before_who_comes_by(house: House) -> None:
    house.say("dana", "lock dev-01")
    house.say("eli", "queue dev-01")
    house.installation.leases.release("dev-01", by="dana")  # and nobody serves the queue yet
    reply = house.say("noa", "lock dev-01")
    assert reply.data["locked"]["owner"] == "eli"


def test_any_takes_the_longest_idle_with_green_e2e_and_then_waits(house: House) -> None:
    environments = house.installation.environments
    for name in ("dev-04", "dev-02"):
        house.say("dana", f"lock {name}")
        house.clock.advance(minutes=1)
        house.say("dana", f"release {name}")
    house.say("noa", "fault dev-01 -- disk")
    assert house.say("dana", "lock any").data["lease"]["environment"] == "dev-03"
    assert house.say("dana", "lock any").data["lease"]["environment"] == "dev-05"
    assert house.say("eli", "lock any").data["lease"]["environment"] == "dev-04"
    assert house.say("eli", "lock any").data["lease"]["environment"] == "dev-02"
    assert house.say("noa", "lock any").data["queued"] == {"environment": "any", "position": 1}
    assert environments.get("merge-01").lease_owner is None
    house.say("dana", "release dev-05")
    assert environments.get("dev-05").lease_owner == "noa"


def test_limits(house: House) -> None:
    assert "at most 12 h" in house.say("dana", "lock dev-01 for 13h").text
    house.say("dana", "lock dev-01 for 11h")
    reply = house.say("dana", "extend dev-01 for 3h")
    assert "That is as long as it goes: 12 h in all." in reply.text
    assert "ends by 2026-03-06 01:00 IST" in house.say("dana", "extend dev-01 for 1h").text
    house.say("dana", "lock dev-02")
    for said in ("lock dev-03", "lock any", "queue dev-03"):
        assert house.say("dana", said).code == "lease_limit"
    house.say("eli", "lock dev-04")
    assert house.say("eli", "give dev-04 @dana").code == "lease_limit"
    assert house.installation.environments.get("dev-04").lease_owner == "eli"


def test_give_keeps_the_end_and_is_for_the_owner(house: House) -> None:
    house.say("dana", "lock dev-01 for 2h")
    assert house.say("eli", "give dev-01 @noa").code == "locked"
    assert house.say("dana", "give dev-01 <@U2ELI|somebody>").text == (
        "dev-01 is eli's until 15:00 IST (2 h), who is told."
    )
    assert house.say("dana", "give dev-01 @nobody").code == "usage"
    [told] = house.told("eli")
    assert (told["kind"], told["by"]) == ("given", "dana")


def test_an_admin_takes_and_releases_and_the_owner_is_told_why(house: House) -> None:
    house.say("dana", "lock dev-01")
    assert "dana had it and is told why" in house.say("noa", "lock! dev-01 for 1h -- incident 7").text
    house.say("dana", "lock dev-02")
    house.say("noa", "release! dev-02 -- she is on leave")
    assert [(each["kind"], each["reason"]) for each in house.told("dana")] == [
        ("taken", "incident 7"), ("released", "she is on leave"),
    ]  # fmt: skip


def test_a_button_is_for_the_lease_and_the_night_that_it_was_offered_for(house: House) -> None:
    house.clock.advance(days=-2)
    first = house.say("dana", "lock dev-01")
    release, extend, preserve = (Press.of(button.value()) for button in first.parts[0].buttons)
    house.say("dana", "release dev-01")
    house.say("dana", "lock dev-01")
    for press in (release, extend):
        reply = house.say("dana", press)
        assert "that button was for an earlier lease" in reply.text
    house.say("dana", "release dev-01")
    assert house.say("dana", extend).code == "no_lease"
    assert house.say("eli", release).text == "dev-01 was nobody's; nothing to release."
    house.clock.advance(hours=18)  # Wednesday 07:00: that night is over
    late = house.say("dana", preserve)
    assert (late.code, "night of Tue 3 Mar, which is over" in late.text) == ("stale_button", True)
    assert house.installation.environments.get("dev-01").preserve_night is None


@pytest.mark.parametrize("value", ["", "{}", '{"command": 1}', "release dev-01", "[]", "null"])
def test_a_value_that_is_no_button_of_ours_is_refused(value: str) -> None:
    with pytest.raises(Exception, match="not one of Bobby's"):
        Press.of(value)
    night = date(2026, 3, 5)
    assert Press.of(Button("x", "mine", night=night).value()) == Press("mine", None, night)


def test_a_request_has_one_effect_however_often_it_comes(house: House) -> None:
    first = [house.say("dana", "lock any for 2h", request="slack/1") for _ in range(4)]
    assert first[0].data["lease"]["environment"] == "dev-01"
    assert all("dev-01 READY, yours" in reply.text for reply in first[1:])
    for _ in range(4):
        house.say("dana", "extend dev-01 for 1h", request="slack/2")
        house.say("noa", "rebuild dev-05", request="slack/3")
    house.say("dana", "lock dev-02", request="slack/4")
    for _ in range(2):
        house.say("dana", "release dev-01 dev-02", request="slack/5")
    kinds = [event.kind for event in house.installation.environments.events() if event.kind != "created"]
    assert kinds == ["lock", "extend", "lock", "release", "release"]
    assert len(house.runs) == 1
    requests = [event.request for event in house.installation.environments.events() if event.request]
    assert requests == ["slack/1", "slack/2", "slack/4", "slack/5#0", "slack/5#1"]


def test_people_are_told_before_the_evening_and_once(house: House) -> None:
    house.clock.advance(days=-2)
    desk = house.installation.desk
    house.say("dana", "lock dev-01 for 12h")
    house.say("eli", "lock dev-02 for 12h")
    house.say("eli", "preserve dev-02 -- long test")
    assert desk.notify() == 0
    house.clock.advance(hours=6)  # 19:00, an hour before
    assert (desk.notify(), desk.notify()) == (1, 0)
    house.clock.advance(minutes=45)
    assert (desk.notify(), desk.notify()) == (1, 0)
    house.clock.advance(minutes=15)
    assert desk.notify() == 0
    assert [each["kind"] for each in house.told("dana")] == ["teardown", "teardown"]
    assert house.told("eli") == []
    words = render(house.told("dana")[0], house.clock.now, house.installation.settings.night.tzinfo)
    assert words.parts[0].buttons[0].night == date(2026, 3, 3)
    assert "dev-01 is torn down at 20:00 IST" in words.text


def test_the_night_ends_leases_of_others_and_keeps_that_of_who_rebuilds(house: House) -> None:
    environments = house.installation.environments
    house.say("dana", "lock dev-01")
    house.say("eli", "lock dev-02")
    for name, actor in (("dev-01", "schedule"), ("dev-02", "eli")):
        environments.begin(
            name, step="quiesce", holder="run", actor=actor, expect=USABLE,
            deadline=timedelta(hours=1), to=State.QUIESCING,
        )  # fmt: skip
    assert environments.get("dev-01").lease_owner is None
    assert environments.get("dev-02").lease_owner == "eli"
    assert [each["kind"] for each in house.told("dana")] == ["torn_down"]
    assert house.told("eli") == []


def test_a_fault_is_announced_once_to_the_channel_and_to_who_has_it(house: House) -> None:
    house.say("dana", "lock dev-01")
    assert house.say("eli", "fault dev-01 -- disk").code == "locked"
    house.say("dana", "fault dev-01 -- disk", request="r")
    house.say("dana", "fault dev-01 -- disk", request="r")
    assert [each["kind"] for each in house.told("channel")] == ["faulted"]
    assert [each["kind"] for each in house.told("dana")] == ["faulted"]
    assert house.say("noa", "unfault dev-01 -- it was the network").code == "ok"


def test_tonight_is_what_it_was_when_it_was_said_and_the_reply_names_it(house: House) -> None:
    """Said on Tuesday at 23:59 and answered after midnight, at 00:01 and at 02:30: Tuesday's night."""
    midnight = datetime(2026, 3, 3, 22, tzinfo=UTC)
    running = "through the night of Tue 3 Mar, which runs until 06:00 IST. The next evening is not in it."
    for number, (said, answered) in enumerate([(-1, 1), (1, 1), (150, 150)], start=1):
        house.clock.now = midnight + timedelta(minutes=answered)
        at = midnight + timedelta(minutes=said)
        reply = house.say("dana", f"preserve dev-0{number} tonight", at=at)
        assert reply.text == f"dev-0{number} is preserved {running}"
        assert reply.data["preserved"]["night"] == "2026-03-03"
    house.clock.now = midnight + timedelta(hours=6)
    reply = house.say("dana", "preserve dev-04 tonight")
    assert reply.text == "dev-04 is preserved through the night of Wed 4 Mar, until Thu 5 Mar 06:00 IST."
    assert house.say("dana", "preserve dev-05 until sun").data["preserved"]["night"] == "2026-03-07"
    assert "at most 14 nights" in house.say("dana", "preserve dev-05 until 2026-04-01").text


def test_votes_decide_what_stays_over_the_days_off(house: House) -> None:
    reply = house.say("dana", "weekend keep dev-04")
    assert "from Thu 5 Mar to Sun 8 Mar" in reply.text
    house.say("eli", "weekend keep dev-04")
    house.say("eli", "weekend keep dev-05")
    house.say("noa", "weekend keep dev-03")
    house.say("noa", "weekend drop dev-03")
    _, decisions = house.installation.desk.tonight(house.clock.now)
    kept = {each.environment: each.reason for each in decisions if each.action.value == "keep"}
    assert kept["dev-04"] == "kept for the weekend: vote by dana, eli"
    assert "dev-03" not in kept
    assert "dev-05" in kept


def test_runs_are_asked_for_with_everything_they_need_and_only_where_one_may(house: House) -> None:
    house.say("dana", "lock dev-01")
    assert house.say("eli", "rebuild dev-01").code == "locked"
    assert house.say("eli", "deploy dev-01 main").code == "locked"
    house.say("dana", "rebuild dev-01 -- fresh data")
    house.say("dana", "deploy dev-02 my-branch trips fleet")
    house.say("dana", "deploy dev-02 #12 everything")
    (nightly, _, rebuild), (bcd, _, deploy), (_, _, whole) = house.runs
    assert (whole["ref"], whole["resources"], whole["everything"]) == ("#12", [], True)
    assert (nightly, bcd) == ("nightly", "bcd")
    assert rebuild == {
        "environments": ["dev-01"], "phases": ["teardown", "rebuild"], "wait": False, "dry_run": False,
        "by": "dana", "reason": "fresh data",
    }  # fmt: skip
    assert deploy == {
        "environment": "dev-02", "ref": "my-branch", "resources": ["trips", "fleet"], "by": "dana",
        "reason": "",
    }  # fmt: skip


def test_scorch_is_confirmed_for_the_environment_as_it_is(house: House) -> None:
    shown = house.say("noa", "scorch dev-01").data["confirm"]
    house.say("dana", "lock dev-01")
    assert "Nothing was deleted" in house.say("noa", f"scorch dev-01 confirm {shown}").text
    assert house.runs == []
    again = house.say("noa", "scorch dev-01")
    house.say("noa", Press.of(again.parts[0].buttons[0].value()))
    [(dag_id, _, conf)] = house.runs
    assert (dag_id, conf["phases"], conf["environments"]) == ("nightly", ["teardown"], ["dev-01"])


def test_freeze_names_who_and_why(house: House) -> None:
    reply = house.say("noa", "freeze -- incident <!channel>")
    assert reply.text.startswith("Frozen by noa: incident @channel.")
    assert house.installation.switches.is_frozen()
    assert house.say("noa", "thaw").code == "ok"
    assert house.say("noa", "thaw").text == "It was not frozen."


def test_a_code_links_a_stranger(house: House) -> None:
    code = house.say("dana", "link").data["code"]
    stranger = house.bobby.people.actor("slack", "U9NEW")
    assert house.bobby.answer("lock dev-01", stranger).code == "not_allowed"
    assert house.bobby.answer(f"link {code}", stranger).text == "You are dana here from now on."
    known = house.bobby.people.actor("slack", "U9NEW")
    assert house.bobby.answer("lock dev-01", known).code == "ok"


def test_status_shows_ones_own_first_and_every_notice_has_words(house: House) -> None:
    house.say("dana", "lock dev-03 -- <!channel> & co")
    reply = house.say("dana", "status")
    assert reply.parts[1].text == "dev-03 READY, yours until 17:00 IST (4 h): @channel & co"
    assert reply.data["environments"][0]["lease"]["mine"]
    assert "3 waiting" not in reply.text
    assert "dana: lock" in house.say("eli", "status dev-03").text
    assert house.say("dana", "mine").data["waiting"] == []
