"""What stands in the outbox arrives: in order, patiently, in place, or with a record that it did not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import pytest
from slack_sdk import WebClient
from sqlalchemy import Engine, select

from daybreak.registry import tables, work
from daybreak.registry.outbox import CHANNEL, Notice, Outbox, person
from daybreak.settings import Settings
from daybreak.talk.outbox import Flushed, Sender
from daybreak.talk.people import People
from daybreak.talk.reply import Reply
from daybreak.talk.slack.app import Access
from daybreak.talk.slack.delivery import ANSWER, SlackDelivery
from examples.standins.slack.server import SlackStandin
from tests.fixtures.registry import ManualClock


@pytest.fixture(scope="module")
def slack() -> Iterator[SlackStandin]:
    with SlackStandin() as made:
        yield made


@pytest.fixture
def outbox(registry: Engine, clock: ManualClock) -> Outbox:
    return Outbox(registry, clock)


@pytest.fixture
def sender(slack: SlackStandin, outbox: Outbox, clock: ManualClock) -> Sender:
    noa = {"name": "noa", "slack": slack.workspace.person("noa").id}
    people = [
        noa,
        {"name": "dana", "email": "dana@acme.example"},
        {"name": "eli", "email": "eli@acme.example"},
    ]
    settings = Settings.model_validate({"people": people})
    client = WebClient(slack.workspace.app.token, base_url=slack.api)
    found = People(settings, outbox.engine, clock)
    return Sender(outbox, [SlackDelivery(Access(client), found, words, "#dev-envs")])


def words(payload: Mapping[str, Any]) -> Reply:
    if payload["say"] == "broken":
        raise ValueError("no words for it")
    return Reply(str(payload["say"]))


def texts(slack: SlackStandin, user: str = "dana") -> list[str]:
    return [each["text"] for each in slack.messages(user)]


def row(outbox: Outbox, key: str) -> Mapping[str, Any]:
    with outbox.engine.connect() as connection:
        return connection.execute(select(tables.outbox).filter_by(key=key)).mappings().one()


def test_a_person_is_found_by_id_or_address_and_others_do_not_see_it(
    slack: SlackStandin, outbox: Outbox, sender: Sender
) -> None:
    outbox.put(Notice("1", person("noa"), {"say": "for noa"}))
    outbox.put(Notice("2", person("dana"), {"say": "for dana"}))
    assert sender.flush() == Flushed(sent=2)
    assert "for noa" in texts(slack, "noa")
    assert "for dana" in texts(slack, "dana")
    assert "for dana" not in texts(slack, "dana.l"), "her name on the screen is Dana, too"
    assert not {"for noa", "for dana"} & set(texts(slack, "yossi"))


def test_a_change_is_made_in_place_and_a_message_that_is_gone_is_sent_anew(
    slack: SlackStandin, outbox: Outbox, sender: Sender
) -> None:
    outbox.put(Notice("run", CHANNEL, {"say": "running"}), replace=True)
    sender.flush()
    outbox.put(Notice("run", CHANNEL, {"say": "done"}), replace=True)
    sender.flush()
    assert texts(slack)[-1] == "done"
    assert "running" not in texts(slack)
    slack.workspace.messages.clear()
    outbox.put(Notice("run", CHANNEL, {"say": "done twice"}), replace=True)
    assert sender.flush() == Flushed(sent=1)
    assert texts(slack)[-1] == "done twice"


def test_slack_is_waited_for_as_long_as_it_asks_and_nothing_overtakes(
    slack: SlackStandin, outbox: Outbox, sender: Sender, clock: ManualClock
) -> None:
    slack.fault("chat.postMessage", 429, retry_after=30, times=work.ATTEMPTS + 1)
    outbox.put(Notice("patient", CHANNEL, {"say": "at last"}))
    for _ in range(work.ATTEMPTS + 1):
        assert sender.flush() == Flushed(later=1)
        clock.advance(seconds=30)
    assert sender.flush() == Flushed(sent=1)
    slack.fault("chat.postMessage", 429, retry_after=30)
    for number in range(3):
        outbox.put(Notice(f"n{number}", CHANNEL, {"say": f"number {number}"}))
        clock.advance(seconds=1)
    assert sender.flush() == Flushed(later=1)
    clock.advance(seconds=26)
    assert sender.flush() == Flushed()
    clock.advance(seconds=4)
    assert sender.flush() == Flushed(sent=3)
    assert texts(slack)[-3:] == ["number 0", "number 1", "number 2"]


def test_a_nights_report_outlives_an_outage_of_slack_over_a_weekend(
    slack: SlackStandin, outbox: Outbox, sender: Sender, clock: ManualClock
) -> None:
    slack.fault("chat.postMessage", 503, times=100)
    outbox.put(Notice("night/1", CHANNEL, {"say": "night 1 is over"}))
    for _ in range(2 * work.ATTEMPTS):
        assert sender.flush().sent == 0
        clock.advance(hours=3)
    assert row(outbox, "night/1")["status"] == work.WAITING
    slack.forget()
    assert sender.flush() == Flushed(sent=1)
    assert texts(slack).count("night 1 is over") == 1


def test_a_server_that_breaks_is_tried_again_and_one_persons_trouble_is_nobody_elses(
    slack: SlackStandin, outbox: Outbox, sender: Sender, clock: ManualClock
) -> None:
    slack.fault("chat.postMessage", 503)
    outbox.put(Notice("1", CHANNEL, {"say": "after the break"}))
    clock.advance(seconds=1)
    outbox.put(Notice("2", person("noa"), {"say": "not held up"}))
    assert sender.flush() == Flushed(sent=1, later=1)
    assert texts(slack, "noa")[-1] == "not held up"
    clock.advance(seconds=10)
    assert sender.flush() == Flushed(sent=1)


def test_what_nobody_would_take_is_given_up_with_a_record(
    slack: SlackStandin, outbox: Outbox, sender: Sender, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    outbox.put(Notice("stranger", person("eli"), {"say": "x"}))
    outbox.put(Notice("gone", person("nobody"), {"say": "x"}))
    assert sender.flush() == Flushed(given_up=2)
    assert (row(outbox, "stranger")["status"], row(outbox, "gone")["status"]) == ("failed", "failed")
    assert "person:eli" in row(outbox, "stranger")["error"]
    assert "stranger is not sent" in caplog.text
    assert isinstance(sender.deliveries[0], SlackDelivery)
    sender.deliveries[0].channel = "#not-there"
    outbox.put(Notice("channel", CHANNEL, {"say": "x"}))
    assert sender.flush() == Flushed(given_up=1)
    assert "channel_not_found" in row(outbox, "channel")["error"]


def test_a_payload_without_words_holds_up_nobody_for_ever(
    slack: SlackStandin, outbox: Outbox, sender: Sender, clock: ManualClock
) -> None:
    outbox.put(Notice("1", CHANNEL, {"say": "broken"}))
    clock.advance(seconds=1)
    outbox.put(Notice("2", CHANNEL, {"say": "whole"}))
    for _ in range(20):
        sender.flush()
        clock.now += timedelta(minutes=15)
    assert "no words for it" in row(outbox, "1")["error"]
    assert texts(slack)[-1] == "whole"


def test_an_answer_goes_where_the_question_was_and_to_the_person_when_that_is_over(
    slack: SlackStandin, outbox: Outbox, sender: Sender
) -> None:
    space = slack.workspace
    yossi, channel = space.person("yossi").id, space.channel("random").id
    url = f"{slack.url}/respond/{space.response(channel, yossi)}"
    outbox.put(Notice("a", f"{ANSWER}{yossi}", {"say": "only you", "to": {"response_url": url}}))
    gone = {"response_url": f"{slack.url}/respond/unknown"}
    outbox.put(Notice("b", f"{ANSWER}{yossi}", {"say": "half an hour later", "to": gone}))
    thread = {"channel": channel, "thread": "1.2"}
    outbox.put(Notice("c", f"{ANSWER}{yossi}", {"say": "in the thread", "to": thread}))
    assert sender.flush() == Flushed(sent=3)
    seen = {each["text"]: each for each in slack.messages("yossi")}
    assert (seen["only you"]["only"], seen["only you"]["channel"]) == (True, channel)
    assert seen["half an hour later"]["channel"] == space.conversation(yossi).id
    assert seen["in the thread"]["thread_ts"] == "1.2"
    assert "only you" not in texts(slack, "noa")
