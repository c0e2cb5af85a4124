"""Slack at its worst: one effect, audited, escaped, nothing lost. Over HTTP, on both databases."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from daybreak.registry.inbox import Inbox
from daybreak.registry.outbox import Outbox
from daybreak.registry.work import ABANDONED
from daybreak.talk.desk import STALE
from daybreak.talk.slack.reception import Reception
from tests.fixtures.office import Office

ROOT = Path(__file__).resolve().parents[2]


def command(office: Office, user: str, text: str, trigger: str = "1.2.3") -> str:
    """A command's body, as Slack sends it."""
    space = office.slack.workspace
    secret = space.response(space.channel("dev-envs").id, space.person(user).id)
    url = f"{office.slack.url}/respond/{secret}"
    return urlencode(
        {
            "command": "/bobby", "text": text, "user_id": space.person(user).id, "trigger_id": trigger,
            "channel_id": space.channel("dev-envs").id, "response_url": url,
        }
    )  # fmt: skip


def test_four_deliveries_of_a_command_are_one_lease_one_event_and_one_answer(office_on_both: Office) -> None:
    office = office_on_both
    body = command(office, "dana", "lock dev-01 for 4h -- load test")
    assert [office.post(body) for _ in range(2)] == [200, 200]
    office.work()
    assert [office.post(body) for _ in range(2)] == [200, 200]
    office.work()
    assert office.events() == [("lock", "dana")]
    assert len(office.seen("dana")) == 1
    assert "dev-01 is yours until" in office.seen("dana")[0]


def test_four_deliveries_of_an_event_are_one_answer(office: Office) -> None:
    space = office.slack.workspace
    event = {
        "type": "app_mention", "user": space.person("yossi").id, "channel": space.channel("dev-envs").id,
        "text": f"<@{space.app.bot.id}> lock dev-02", "ts": "1.2",
    }  # fmt: skip
    body = json.dumps({"type": "event_callback", "event_id": "Ev1", "event": event})
    for number in range(4):
        assert office.post(body, **{"X-Slack-Retry-Num": str(number)}) == 200
        office.work()
    assert office.events("dev-02") == [("lock", "yossi")]
    assert len(office.seen("yossi")) == 1


def test_a_release_that_overtakes_its_lock_takes_nothing_back(office: Office) -> None:
    assert office.post(command(office, "dana", "release dev-01", "2")) == 200
    office.work()
    assert office.post(command(office, "dana", "lock dev-01", "1")) == 200
    office.work()
    assert office.events() == [("lock", "dana")]
    assert "dev-01 is yours until" in office.seen("dana")[-1]


def test_last_nights_button_does_nothing_and_says_so(office: Office) -> None:
    office.say("dana", "/bobby lock dev-01 for 12h")
    office.clock.advance(hours=1, minutes=5)
    assert office.installation.desk.notify() == 1
    office.work()
    assert "dev-01 is torn down at" in office.seen("dana")[-1]
    office.clock.advance(hours=25)
    office.say("dana", "/bobby lock dev-01")
    before = office.events()
    office.slack.click("dana", "bobby:0:0:0", contains="preserve dev-01 tonight", ts=notice(office))
    office.work()
    assert office.events() == before
    assert office.installation.environments.get("dev-01").preserve_night is None
    assert "night" in office.seen("dana")[-1]
    assert "button" in office.seen("dana")[-1]


def notice(office: Office) -> str:
    """The message that says that dev-01 is torn down."""
    return next(
        each["ts"] for each in office.slack.messages("dana") if "dev-01 is torn down at" in each["text"]
        and "preserve dev-01 tonight" in json.dumps(each["blocks"][1:])
    )  # fmt: skip


def test_tonights_button_keeps_the_environment_once(office: Office) -> None:
    office.say("dana", "/bobby lock dev-01 for 4h")
    office.clock.advance(hours=1, minutes=5)
    office.installation.desk.notify()
    office.work()
    for _ in range(2):
        office.slack.click("dana", "bobby:0:0:0", contains="preserve dev-01 tonight", ts=notice(office))
        office.work()
    assert office.events() == [("lock", "dana"), ("preserve", "dana")]


def test_a_button_of_somebody_else_is_pressed_in_ones_own_name(office: Office) -> None:
    answer = office.say("dana", "/bobby lock dev-01")
    assert "yours" in answer
    value = json.dumps({"command": "release dev-01", "lease": None, "night": None})
    payload = {
        "type": "block_actions", "trigger_id": "9", "user": {"id": office.slack.workspace.person("yossi").id},
        "container": {"type": "message"}, "channel": {"id": office.slack.workspace.channel("dev-envs").id},
        "response_url": f"{office.slack.url}/respond/x", "actions": [{"value": value}],
    }  # fmt: skip
    assert office.post(urlencode({"payload": json.dumps(payload)})) == 200
    office.work()
    assert office.events() == [("lock", "dana")]


@pytest.mark.parametrize(
    "ask",
    [lambda office, body: office.post(body, secret="forged"),
     lambda office, body: office.post(body, at=time.time() - 360)],
    ids=["forged", "six minutes old"],
)  # fmt: skip
def test_a_forged_or_old_request_is_nothing_at_all(office: Office, ask: Callable[[Office, str], int]) -> None:
    assert ask(office, command(office, "noa", "freeze -- now")) == 401
    office.work()
    assert not office.installation.switches.is_frozen()
    assert office.seen("noa") == []


def test_a_name_on_the_screen_opens_nothing(office: Office) -> None:
    office.say("dana", "/bobby lock dev-01 -- mine")
    assert (
        "Dana"
        == office.slack.workspace.person("dana.l").display
        == office.slack.workspace.person("dana").display
    )
    answer = office.say("dana.l", "/bobby release dev-01")
    assert "I do not know who you are" in answer
    assert "dev-01" in office.say("dana.l", "/bobby status"), "a stranger may read"
    assert "I do not know" in office.say("dana", "/bobby give dev-01 @dana.l")
    assert office.events() == [("lock", "dana")]


def test_two_commands_in_one_message_are_none(office: Office) -> None:
    answer = office.say("noa", "/bobby lock dev-01; release! dev-02")
    assert "more than one command" in answer
    assert office.events("dev-01") == office.events("dev-02") == []


def test_everybody_is_not_called_by_a_reason(office: Office) -> None:
    office.say("dana", "/bobby lock dev-01 -- <!channel> @channel @here <@U1> <https://evil.example|click>")
    office.say("noa", "/bobby release! dev-01 -- @everyone <!here> & co")
    office.say("yossi", "@bobby status dev-01")
    for user in ("dana", "yossi", "noa"):
        raw = json.dumps([each for each in office.slack.messages(user) if "bot_id" in each])
        assert "dev-01" in raw
        assert not [mark for mark in ("<!", "<@", "<http") if mark in raw]
    assert (
        "&lt;!channel&gt;" in json.dumps(office.slack.messages("yossi"))
        or "@channel" in office.seen("yossi")[-1]
    )


def test_five_thousand_characters_are_refused_in_a_few(office: Office) -> None:
    answer = office.say("dana", "/bobby lock dev-01 -- " + "x" * 5000)
    assert office.events() == []
    assert len(answer) < 3000
    assert "characters" in answer


class Killed(BaseException):
    """Nothing catches it, as nothing catches SIGKILL."""


POINTS: list[tuple[type, str, bool]] = [
    (Reception, "_answer", False), (Reception, "_answer", True), (Outbox, "put", True), (Inbox, "done", True),
    (Outbox, "claim", True), (Outbox, "sent", False),
]  # fmt: skip


@pytest.mark.parametrize("point", POINTS, ids=lambda point: f"{point[0].__name__}.{point[1]}-{point[2]}")
def test_a_worker_that_dies_anywhere_costs_nothing_but_time(
    office_on_both: Office, monkeypatch: pytest.MonkeyPatch, point: tuple[type, str, bool]
) -> None:
    office = office_on_both
    where, name, after = point
    real = getattr(where, name)

    def die(*words: Any, **more: Any) -> Any:
        if after:
            real(*words, **more)
        raise Killed

    office.slack.say("dana", "#dev-envs", "/bobby lock dev-01 for 4h")
    with monkeypatch.context() as patched:
        patched.setattr(where, name, die)
        with pytest.raises(Killed):
            office.work()
    office.work()
    office.clock.now += ABANDONED
    office.work()
    assert office.events() == [("lock", "dana")]
    answers = [each for each in office.seen("dana") if "dev-01" in each]
    # Slack takes no key: what was sent when its sender died is sent again.
    assert len(answers) == (2 if name == "sent" else 1)


def test_a_killed_process_leaves_its_request_to_the_next(office: Office) -> None:
    office.slack.say("dana", "#dev-envs", "/bobby lock dev-01 for 4h")
    code = (
        "import os, sys; from daybreak import registry; from daybreak.registry.inbox import Inbox;"
        "from tests.fixtures import office as o; from tests.fixtures.registry import ManualClock;"
        "from datetime import datetime; from pathlib import Path; from daybreak.store import Store;"
        "from daybreak.environment.installation import Installation; from daybreak.settings import load;"
        "from daybreak.talk.slack.reception import Reception; from daybreak.talk.slack.app import access;"
        "Inbox.done = lambda *_: os.kill(os.getpid(), 9);"
        "s = load(Path(sys.argv[2])); clock = ManualClock(datetime.fromisoformat(sys.argv[3]));"
        "i = Installation(s, registry.connect(sys.argv[1]), Store(s.store_url), o.no_cloud, clock);"
        "Reception(i, access(s)).work()"
    )
    settings = office.installation.settings
    config = settings.home / "daybreak.json"
    slack = settings.slack
    assert slack is not None
    assert slack.token is not None
    data = settings.model_dump(mode="json", include={"home", "aws", "environments", "people"})
    data["slack"] = {
        "channel": slack.channel,
        "token": slack.token.get_secret_value(),
        "base_url": slack.base_url,
    }
    config.write_text(json.dumps(data))
    url = office.installation.engine.url.render_as_string(hide_password=False)
    done = subprocess.run(
        [sys.executable, "-c", code, url, str(config), office.clock.now.isoformat()],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'include'}"}, check=False,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL
    office.clock.now += ABANDONED
    office.work()
    assert office.events() == [("lock", "dana")]
    assert len(office.seen("dana")) == 1


def test_what_was_said_long_ago_is_not_done_any_more(office: Office) -> None:
    office.slack.say("dana", "#dev-envs", "/bobby lock dev-01")
    office.clock.now += STALE + timedelta(seconds=1)
    office.work()
    assert office.events() == []
    assert "say it again" in office.seen("dana")[-1]


def test_a_registry_that_breaks_in_the_middle_is_trouble_that_the_person_hears_of(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("no server")

    office.slack.say("dana", "#dev-envs", "/bobby lock dev-01")
    with monkeypatch.context() as patched:
        patched.setattr("daybreak.talk.bobby.bot.Bobby.answer", broken)
        for _ in range(3):
            office.work()
            office.clock.advance(seconds=30)
    assert office.seen("dana") == ["I could not do that yet; I go on trying, and answer here."]
    office.clock.advance(minutes=1)
    office.work()
    assert office.events() == [("lock", "dana")]
    assert "dev-01 is yours" in office.seen("dana")[-1]
