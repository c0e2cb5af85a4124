"""People are told in Slack, over HTTP; when that fails the night is no worse for it."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pytest
import yaml
from airflow.api_fastapi.core_api.datamodels.dag_run import DAGRunPatchBody
from airflow.models.callback import CallbackState
from airflow.sdk import DAG
from airflow.serialization.serialized_objects import DagSerialization
from airflow.triggers.callback import CallbackTrigger
from hypothesis import given
from hypothesis import strategies as st

from daybreak.environment import calendar
from daybreak.environment.decision import Decision, NightAction
from daybreak.environment.installation import Installation
from daybreak.environment.night.report import Summary, summarise
from daybreak.environment.nights import NightStatus
from daybreak.environment.steps import StepStatus
from daybreak.orchestration import connections, notify
from daybreak.registry.clock import utc_now
from daybreak.registry.outbox import Outbox
from daybreak.settings import NightPolicy, load
from daybreak.talk.outbox import Sender
from daybreak.talk.whole import Talk
from examples.standins.slack.server import SlackStandin
from examples.standins.slack.workspace import Message

REVOKED = "xoxb-0-secret-revoked"
CHANNEL, ACCOUNT = "#dev-envs", "111122223333"
RUN = "scheduled__2026-03-05T20:00:00+00:00"
URL = "http://airflow.example/dags/nightly/runs/run-1"
SUMMARY = Summary("night 2026-03-05: 0 environments; 1 s", (), ())


@pytest.fixture(scope="module")
def workspace() -> Iterator[SlackStandin]:
    with SlackStandin() as made:
        yield made


@pytest.fixture
def slack(workspace: SlackStandin) -> SlackStandin:
    """Nothing was said in it yet, and nothing goes wrong."""
    workspace.forget()
    return workspace


def posted(slack: SlackStandin) -> list[Message]:
    return slack.workspace.messages


def asked(slack: SlackStandin) -> int:
    """How many calls it got."""
    return len(slack.journal()["calls"])


class House:
    """Settings, a registry, and the connection to the small Slack."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.config = folder / "daybreak.yaml"
        self.monkeypatch = monkeypatch
        monkeypatch.setenv("DAYBREAK_CONFIG", str(self.config))
        self.write()

    def write(self, **more: object) -> None:
        settings = {
            "home": str(self.config.parent / "home"),
            "aws": {"accounts": {ACCOUNT: {}}},
            "environments": [{"name": f"dev-0{n}", "account": ACCOUNT} for n in (1, 2)],
            "slack": {"channel": CHANNEL},
            **more,
        }
        self.config.write_text(yaml.safe_dump(settings))

    def connect(self, url: str, token: str) -> None:
        connection = {"conn_type": "slack", "password": token, "extra": {"base_url": url}}
        self.monkeypatch.setenv("AIRFLOW_CONN_SLACK_DEFAULT", json.dumps(connection))


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slack: SlackStandin) -> House:
    made = House(tmp_path, monkeypatch)
    made.connect(slack.api, slack.workspace.app.token)
    return made


class Lines(logging.Handler):
    """Everything that anybody logged, at every level."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture(autouse=True)
def no_secret_in_logs(
    slack: SlackStandin, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture
) -> Iterator[None]:
    """Whatever happens. (caplog itself is empty again when a fixture ends.)"""
    caplog.set_level(logging.DEBUG)
    everything = Lines()
    logging.getLogger().addHandler(everything)
    yield
    logging.getLogger().removeHandler(everything)
    out, err = capfd.readouterr()
    said = "\n".join([*everything.lines, out, err])
    assert said.strip() or not asked(slack)
    assert slack.workspace.app.token not in said


def tell(found: Installation, summary: Summary = SUMMARY) -> bool:
    """As the night's last task does."""
    told = notify.told_of_night(found.settings, RUN, URL)
    assert told is not None
    found.outbox.put(told(summary), replace=True)
    return notify.tell(found, told(summary).key)


def test_the_channel_is_told_once_how_the_night_ended_however_often_its_last_task_is_tried(
    house: House, slack: SlackStandin
) -> None:
    """Also when it was killed right after Slack took it."""
    found = nightly(house)
    told = notify.told_of_night(found.settings, RUN, URL)
    assert told is not None
    summary = summarise(found, RUN, None, told)
    [standing] = found.outbox.standing()
    assert (standing.key, standing.status) == (f"night/{RUN}", "waiting"), "with the report, not after it"
    assert [notify.tell(found, standing.key) for _ in range(2)] == [True, True]
    (message,) = posted(slack)
    assert message.channel == slack.workspace.channel(CHANNEL).id
    assert message.text.startswith(summary.headline)
    assert message.blocks[-1]["elements"][0]["text"].startswith(f"<{URL}|the run>")

    # Tried again, with another word to say: the same message says it.
    assert tell(found)
    (message,) = posted(slack)
    assert message.text == SUMMARY.headline


@pytest.mark.parametrize(
    ("more", "token", "said"),
    [
        ({}, REVOKED, "invalid_auth; put a bot token into the connection"),
        ({"slack": {"channel": "#other"}}, "", "channel_not_found; correct `slack.channel`"),
        ({"slack": {"channel": CHANNEL, "connection": "nobody"}}, "", "nobody"),
    ],
)
def test_what_slack_or_airflow_refuses_is_logged_with_what_to_do(
    house: House, slack: SlackStandin, caplog, more: dict, token: str, said: str
) -> None:
    house.write(**more)
    house.connect(slack.api, token or slack.workspace.app.token)
    assert tell(Installation.open(load())) is False
    assert said in caplog.text
    assert posted(slack) == []


def test_a_slack_that_is_down_or_answers_nonsense_fails_nothing(
    house: House, slack: SlackStandin, caplog
) -> None:
    found = nightly(house)
    slack.fault("chat.postMessage", 200)
    assert tell(found) is False
    assert f"night/{RUN} is sent later: Slack says Received a response in a non-JSON" in caplog.text
    house.connect("http://127.0.0.1:9/api/", slack.workspace.app.token)
    assert tell(found, Summary("another word", (), ())) is False
    assert "is sent later: URLError" in caplog.text


def test_a_report_that_slack_did_not_take_waits_in_the_outbox_and_is_sent_once(
    house: House, slack: SlackStandin
) -> None:
    found = nightly(house)
    for _ in range(2):  # the task is tried again, and Slack is still away
        house.connect(slack.api, REVOKED)
        assert tell(found) is False
    slack.forget()
    house.connect(slack.api, slack.workspace.app.token)
    later = Outbox(found.engine, lambda: utc_now() + timedelta(minutes=1))
    sender = Sender(later, Talk.open(found, connections.slack(found.settings)).sender.deliveries)
    assert [sender.flush().sent for _ in range(2)] == [1, 0]
    (message,) = posted(slack)
    assert (message.text, message.channel) == (SUMMARY.headline, slack.workspace.channel(CHANNEL).id)


def test_without_the_setting_nobody_is_called(house: House, slack: SlackStandin, caplog) -> None:
    house.write(slack=None)
    assert notify.told_of_night(load(), RUN, URL) is None
    assert asked(slack) == 0
    assert "has no `slack`" in caplog.text


class Notes:
    """The REST client, as far as notes need it."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.written: dict[tuple[str, str], str] = {}

    def set_note(self, dag_id: str, run_id: str, note: str) -> None:
        if self.error:
            raise self.error
        self.written[dag_id, run_id] = note


def nightly(house: House, **ready: str) -> Installation:
    """dev-01 is ready, dev-02 is FAULTED; the night's ready-time is an hour ago, or what ``ready`` says."""
    house.write(night={**around(timedelta(hours=-1)), **ready})
    installation = Installation.open(load())
    installation.register()
    night = calendar.night_of(installation.settings.night, installation.clock())
    installation.nights.open(night, RUN)
    for name in ("dev-01", "dev-02"):
        decision = Decision(name, NightAction.REBUILD, "", rebuild=True)
        installation.nights.claim(night, name, RUN, decision.to_json())
    fault = {"code": "unhealthy", "message": "deploy: trips answers 503"}
    step = installation.nights.step_started(night, "dev-02", "rebuild", "deploy", RUN)
    installation.nights.step_finished(step, StepStatus.FAILED, detail=fault)
    installation.nights.mark(night, "dev-02", RUN, NightStatus.FAULTED, fault)
    return installation


def around(ready: timedelta) -> dict[str, object]:
    """A policy whose evening and morning are over, and whose ready-time is that far from now."""
    now = datetime.now(UTC)
    times = {"evening": now - timedelta(hours=5), "morning": now - timedelta(hours=4), "ready": now + ready}
    week = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    return {"workweek": week, **{name: f"{instant:%H:%M}" for name, instant in times.items()}}


def called_by_the_triggerer(run_id: str = RUN, **run: object) -> tuple[str, str]:
    """What Airflow's own trigger makes of the callback: its state and its output."""
    path = notify.deadline(NightPolicy()).callback.path
    begun = (datetime.now(UTC) - timedelta(hours=5)).isoformat()
    known = {"dag_id": "nightly", "dag_run_id": run_id, "logical_date": begun, "run_after": begun, **run}

    async def events() -> list[dict]:
        trigger = CallbackTrigger(path, {"context": {"dag_run": known, "deadline": {}}})
        return [event.payload async for event in trigger.run()]

    first, last = asyncio.run(events())
    assert first == {"state": CallbackState.RUNNING}
    return last["state"], last["body"]


def test_a_late_night_is_told_by_the_triggerer_with_what_holds_each_environment(
    house: House, slack: SlackStandin, caplog
) -> None:
    nightly(house)
    state, said = called_by_the_triggerer()
    assert state == CallbackState.SUCCESS
    assert said.endswith("is late; not ready: dev-01 (ABSENT), dev-02 (ABSENT)")
    assert said in caplog.text
    (message,) = posted(slack)
    assert "2 of 2 environments are not ready" in message.text
    sections = [block["text"]["text"] for block in message.blocks if block["type"] == "section"]
    assert any("`unhealthy` deploy: trips answers 503" in text for text in sections)
    assert message.blocks[-1]["elements"][0]["text"].startswith("<http://localhost:8080/dags/nightly/runs/")


def test_a_late_night_is_in_the_log_also_without_slack(house: House, slack: SlackStandin, caplog) -> None:
    nightly(house)
    house.connect(slack.api, REVOKED)
    assert called_by_the_triggerer()[1].endswith("; Slack was not told yet")
    assert "invalid_auth" in caplog.text


def test_the_callback_waits_until_ready_time_which_an_interval_cannot_name(
    house: House, slack: SlackStandin, monkeypatch
) -> None:
    nightly(house, ready=f"{datetime.now(UTC) + timedelta(minutes=45):%H:%M}")
    slept: list[float] = []
    really = asyncio.sleep

    async def sleep(seconds: float) -> None:
        # Slack's stand-in sleeps in this process, too, but not for minutes.
        if seconds < 60:
            await really(seconds)
        else:
            slept.append(seconds)

    monkeypatch.setattr(notify.asyncio, "sleep", sleep)
    called_by_the_triggerer()
    assert len(slept) == 1
    assert 40 * 60 < slept[0] <= 45 * 60
    assert len(posted(slack)) == 1


def test_a_late_night_is_told_once_whoever_of_several_triggerers_calls(
    house: House, slack: SlackStandin
) -> None:
    nightly(house)
    assert [called_by_the_triggerer()[0] for _ in range(2)] == [CallbackState.SUCCESS] * 2
    assert len(posted(slack)) == 1


def test_people_who_know_how_the_night_ended_are_not_told_again(house: House, slack: SlackStandin) -> None:
    summarise(nightly(house), RUN)
    assert "is over and was reported; not ready: dev-01 (ABSENT), dev-02" in called_by_the_triggerer()[1]
    assert posted(slack) == []


def test_a_night_that_never_came_to_decide_is_late_too(house: House, slack: SlackStandin) -> None:
    house.write(night=around(timedelta(hours=-1)))
    called_by_the_triggerer("scheduled__never_begun")
    (message,) = posted(slack)
    assert "is the scheduler at work?" in message.text


def test_a_run_whose_night_is_to_come_is_not_late(house: House, slack: SlackStandin) -> None:
    ready = datetime.now(UTC) + timedelta(hours=4)
    house.write(night={**around(timedelta()), "ready": f"{ready:%H:%M}"})
    assert "not the deadline of night" in called_by_the_triggerer("by-hand")[1]
    assert asked(slack) == 0


@given(
    st.sampled_from(["UTC", "Asia/Jerusalem", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"]),
    st.dates(date(2026, 1, 1), date(2027, 12, 31)),
    st.integers(17, 23),
    st.integers(6, 10),
)
def test_the_alert_comes_at_ready_time_or_up_to_two_hours_before_and_never_after(
    zone: str, key: date, evening: int, ready: int
) -> None:
    policy = NightPolicy(zone=zone, evening=time(evening), morning=time(5), ready=time(ready, 30))
    night = calendar.night(policy, key)
    early = (night.ready - night.evening) - notify.deadline(policy).interval
    assert timedelta() <= early <= timedelta(hours=2)


def test_the_alert_is_serialised_the_same_twice_and_names_what_the_triggerer_imports() -> None:
    def serialised() -> dict:
        dag = DAG("nightly", schedule=None, deadline=notify.deadline(NightPolicy(zone="Asia/Jerusalem")))
        return dict(DagSerialization.to_dict(dag)["dag"]["deadline"][0])

    assert serialised() == serialised()
    assert "daybreak.orchestration.notify.night_is_late" in json.dumps(serialised(), default=str)
    assert "DagRunLogicalDateDeadline" in json.dumps(serialised(), default=str)


def test_the_run_gets_a_note_with_its_faults_that_airflow_takes(house: House) -> None:
    summary = summarise(nightly(house), RUN)
    notes = Notes()
    assert notify.note_night(notes, "nightly", RUN, summary, "http://airflow.example/log")
    (text,) = notes.written.values()
    assert text.splitlines() == [
        summary.headline,
        "- **dev-01** `incomplete`: the run ended before its first step",
        "- **dev-02** `unhealthy`: deploy: trips answers 503",
        "",
        "[report](http://airflow.example/log)",
    ]
    DAGRunPatchBody(note=text)


def test_a_note_is_cut_to_what_airflow_takes_and_keeps_its_link() -> None:
    text = notify.note(Summary("x" * 5000, (), ()), "http://airflow.example/log")
    DAGRunPatchBody(note=text)
    assert text.endswith("…\n\n[report](http://airflow.example/log)")


def test_a_note_that_airflow_refuses_fails_nothing(caplog) -> None:
    assert not notify.note_night(Notes(RuntimeError("403 Forbidden")), "nightly", RUN, SUMMARY)
    assert "the run has no note: RuntimeError: 403 Forbidden" in caplog.text


def test_the_dag_s_file_and_the_triggerer_pay_for_no_cloud_and_no_slack_at_import() -> None:
    script = (
        "import sys, daybreak.orchestration.notify;"
        "print(sorted({'boto3', 'slack_sdk', 'airflow.providers.slack.hooks', 'docker'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
