"""The ways in which people and Bobby meet in Slack: Home tab, threads, direct messages, sockets."""

from __future__ import annotations

import json
import threading

import pytest

from daybreak.merge.rules import EntryState
from daybreak.talk.slack.app import vouched
from daybreak.talk.slack.sockets import Listener
from daybreak.talk.worker import Worker
from examples.standins.slack.server import read
from tests.fixtures.office import Office


def home(office: Office, user: str) -> str:
    """The Home tab as text."""
    return read(office.slack.state(user)["home"]["blocks"])


def open_home(office: Office, user: str) -> str:
    delivered = len(office.slack.journal()["deliveries"])
    office.slack.open_home(user)
    office.slack.wait(user, lambda _: len(office.slack.journal()["deliveries"]) > delivered)
    office.work()
    return home(office, user)


def test_the_home_tab_shows_ones_own_and_what_is_free_and_its_buttons_work(office: Office) -> None:
    office.say("yossi", "/bobby lock dev-02 -- ours")
    seen = open_home(office, "dana")
    assert (
        seen.index("You have no environment.") < seen.index("Free (2)") < seen.index("dev-02 READY, yossi's")
    )
    office.slack.click("dana", "bobby:free:0:0", contains="lock dev-01")
    office.work()
    seen = home(office, "dana")
    assert seen.startswith("✅ dev-01 is yours until")
    assert "Free (1)" in seen
    office.slack.click("dana", "bobby:own:0:0", contains="release dev-01")
    office.work()
    assert "You have no environment." in home(office, "dana")
    assert office.events() == [("lock", "dana"), ("release", "dana")]
    assert office.slack.state("yossi")["home"] is None


def test_a_stranger_sees_the_home_tab_and_no_button(office: Office) -> None:
    assert "I do not know who you are" in open_home(office, "dana.l")
    assert "bobby:" not in json.dumps(
        [b for b in office.slack.state("dana.l")["home"]["blocks"] if "accessory" in b]
    )


def test_a_mention_is_answered_in_its_thread_and_a_direct_message_there(office: Office) -> None:
    office.say("dana", "@bobby lock dev-01 for 2h")
    asked, answer = office.slack.messages("yossi")[-2:]
    assert answer["thread_ts"] == asked["ts"]
    assert "dev-01 is yours until" in answer["text"]
    conversation = office.slack.state("dana")["conversation"]
    office.say("dana", "mine", conversation)
    assert office.slack.messages("dana")[-1]["channel"] == conversation
    assert "dev-01" in office.slack.messages("dana")[-1]["text"]
    assert "mine" not in [each["text"] for each in office.slack.messages("yossi")]


def test_a_deploy_is_a_run_once_and_a_locked_environment_is_refused_before_it(office: Office) -> None:
    office.say("yossi", "/bobby lock dev-01 for 2h -- demo")
    answer = office.say("dana", "/bobby deploy dev-01 my-branch trips")
    assert "locked by yossi until" in answer
    assert office.runs == []
    assert "http://airflow.example/dags/bcd/runs/bcd-dev-01-" in office.say(
        "yossi", "/bobby deploy dev-01 my-branch trips"
    )
    [(dag_id, _, conf)] = office.runs
    assert (dag_id, conf["ref"], conf["resources"], conf["by"]) == ("bcd", "my-branch", ["trips"], "yossi")


def test_a_person_is_told_of_what_happens_to_what_they_have(office: Office) -> None:
    office.say("dana", "/bobby lock dev-01 -- mine")
    office.say("noa", "/bobby release! dev-01 -- the release train")
    told = office.slack.messages("dana")[-1]
    assert (told["channel"], told["text"]) == (
        office.slack.state("dana")["conversation"],
        "noa released dev-01, which was yours: the release train.",
    )


def test_somebody_links_himself_with_a_code_from_where_he_is_known(office: Office) -> None:
    noa = office.installation
    from daybreak.talk.people import People

    people = People(noa.settings, noa.engine, noa.clock)
    yossi = people.by_name("yossi")
    assert yossi is not None
    code = people.code_for(yossi)
    assert "yossi" in office.say("dana.l", f"/bobby link {code}")
    assert "dev-03 is yours" in office.say("dana.l", "/bobby lock dev-03")
    assert office.events("dev-03") == [("lock", "yossi")]


@pytest.mark.parametrize(
    "user",
    [{"team_id": "T2"}, {"is_bot": True}, {"deleted": True}, {"is_stranger": True},
     {"is_email_confirmed": False}, {"profile": {}}],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_only_our_own_workspace_vouches_for_an_address(user: dict[str, object]) -> None:
    good = {"team_id": "T1", "is_email_confirmed": True, "profile": {"email": "dana@acme.example"}}
    assert vouched(good, "T1") == "dana@acme.example"
    assert vouched({**good, **user}, "T1") is None


def test_over_a_socket_it_is_the_same_and_nothing_waits_for_a_look(office: Office) -> None:
    office.slack.listen_at(None)
    woken = threading.Event()
    worker = Worker(office.installation, office.access, look=60).start()

    def wake() -> None:
        woken.set()
        worker.wake()

    from daybreak.talk.slack.app import access

    listener = Listener(office.installation.inbox, access(office.installation.settings), wake).start()
    try:
        assert listener.connected
        office.slack.say("dana", "#dev-envs", "/bobby lock dev-01 for 4h")
        seen = office.slack.wait(
            "dana", lambda state: any("is yours" in m["text"] for m in state["messages"])
        )
    finally:
        listener.stop()
        worker.stop()
        office.slack.listen_at(office.url)
    assert woken.is_set()
    assert office.events() == [("lock", "dana")]
    answered = [delivery["status"] for delivery in office.slack.journal()["deliveries"][-1:]]
    assert answered == [200]
    assert seen["messages"][-1]["only"]


def test_gandalf_answers_in_slack_as_bobby_does_and_his_buttons_are_his(office: Office) -> None:
    from daybreak.merge.queue import Ask, Queue

    queue = Queue(office.installation.engine, office.clock)
    queue.add(Ask(12, "a" * 40, "Faster <!channel> trips", "dana-l", person="dana"), by="dana")
    assert "#12 Faster" in office.say("yossi", "/gandalf queue")
    assert "Which pull request?" in office.say("yossi", "/gandalf cancel")
    assert "`github:` is missing" in office.say("yossi", "/gandalf hold #12")
    [told] = [each for each in office.slack.messages("dana") if "number 1 of 1" in each["text"]]
    assert "<!channel>" not in json.dumps(told["blocks"])
    office.slack.click("dana", "bobby:0:0:0", contains="cancel #12", ts=told["ts"])
    office.work()
    # She is not its author on GitHub, as far as anybody knows.
    assert "login on GitHub" in office.seen("dana")[-1]
    queue.end(12, EntryState.CANCELLED, by="noa", code="cancelled", message="by noa")
    office.work()
    [told] = [each for each in office.slack.messages("dana") if "Faster" in each["text"]]
    assert "cancelled" in told["text"], "edited in place"
