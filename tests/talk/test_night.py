"""What Slack is told of a night: within its limits, only our own markup, the faulted first."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daybreak.environment.night.late import Late, NotReady
from daybreak.environment.night.report import BuildReport, EnvironmentReport, NightReport, Summary
from daybreak.environment.night.timing import Link, Span, Timing
from daybreak.talk.slack.message import (
    BLOCKS,
    HEADER,
    MESSAGE,
    SECTION,
    TEXT,
    Message,
    duration,
    escaped,
    link,
)
from daybreak.talk.slack.night import ended, late

NIGHT = date(2026, 3, 5)
AT = datetime(2026, 3, 5, 20, tzinfo=UTC)
URL = "http://airflow.example/dags/nightly/runs/scheduled__2026-03-05T20:00:00+00:00?a=1&b=2"
NASTY = st.text(st.sampled_from("<>&*`|@!# \nab…é"), max_size=80).flatmap(
    lambda text: st.integers(1, 40).map(lambda times: text * times)
)


def environment(name: str, end: str, **more: object) -> EnvironmentReport:
    known = {
        "name": name, "action": "rebuild", "reason": "a working day follows", "ended": end, "verdict": None,
        "tests": 0, "failures": (), "code": None, "message": None, "seconds": 1.0, "stages": (),
    }  # fmt: skip
    return EnvironmentReport(**{**known, **more})  # type: ignore[arg-type]


def summary(*environments: EnvironmentReport) -> Summary:
    timing = Timing((Span("run", 0, 202),), (Link("dev-01 scorch", 100, 0),), (), 102)
    builds = (BuildReport("geo", "build", "built", 8), BuildReport("geo", "test", "passed", 2))
    report = NightReport("run-1", NIGHT, "c0ffee0123456789", AT, AT, environments, builds, 14, timing)
    return Summary(report.headline, (), tuple(each.name for each in report.faulted), report)


@st.composite
def summaries(draw: st.DrawFn) -> Summary:
    found = []
    for number in range(draw(st.integers(0, 40))):
        end = draw(
            st.sampled_from(["rebuilt", "degraded", "faulted", "preserved", "kept", "left alone", "skipped"])
        )
        fault = {"code": draw(NASTY), "message": draw(NASTY)} if end == "faulted" else {}
        lack = {"message": draw(NASTY)} if end == "degraded" else {}
        more = {"verdict": "passed" if end == "rebuilt" else None, "tests": 7, **fault, **lack}
        found.append(environment(f"dev-{number:02}", end, reason=draw(NASTY), **more))
    return summary(*found)


def words(message: Message) -> list[str]:
    """Every text that Slack shows."""
    found = []
    for block in message.blocks:
        if block["type"] == "context":
            found += [element["text"] for element in block["elements"]]
        else:
            found.append(block["text"]["text"])
    return found


def accepted(message: Message) -> None:
    """What Slack refuses a message for."""
    assert 1 <= len(message.blocks) <= BLOCKS
    assert 1 <= len(message.text) <= TEXT
    assert len(json.dumps(message.blocks, ensure_ascii=False)) <= MESSAGE
    for block in message.blocks:
        assert block["type"] in {"header", "section", "context"}
        if block["type"] == "header":
            assert block["text"]["type"] == "plain_text"
            assert 1 <= len(block["text"]["text"]) <= HEADER
    for text in words(message):
        assert 1 <= len(text) <= SECTION


def only_our_markup(message: Message) -> None:
    """No mention and no link but the one to the run; every ampersand is of an entity."""
    for text in [message.text, *words(message)]:
        rest = re.sub(r"<http://airflow\.example/[^<>|]*\|the run>", "", text)
        assert not set(rest) & set("<>")
        assert not re.findall(r"&(?!amp;|lt;|gt;)", rest)


@given(summaries())
def test_whatever_happened_slack_takes_the_message_and_shows_only_words(found: Summary) -> None:
    message = ended(found, URL)
    accepted(message)
    only_our_markup(message)


@given(summaries())
def test_every_faulted_environment_is_named_before_any_other(found: Summary) -> None:
    text = "\n".join(words(ended(found, URL)))
    places = {each: text.find(each) for each in found.faulted}
    assert -1 not in places.values()
    assert found.report is not None
    others = [text.find(f"*{each.name}* is DEGRADED") for each in found.report.environments]
    first_other = min([place for place in (*others, text.find("*ready*")) if place >= 0], default=len(text))
    assert all(place < first_other for place in places.values())


@given(NASTY, st.integers(1, 60))
def test_words_are_cut_between_characters_and_never_within_an_entity(text: str, limit: int) -> None:
    made = escaped(text, limit)
    assert len(made) <= limit
    assert not re.findall(r"&(?!amp;|lt;|gt;)", made)
    assert "\n" not in made


def test_a_night_with_a_fault_says_why_and_what_to_do_next() -> None:
    message = ended(
        summary(
            environment("dev-01", "rebuilt", verdict="passed", tests=9),
            environment(
                "dev-02", "faulted", code="marker_missing", message="scorch: no marker\nin <payroll>"
            ),
            environment("dev-03", "preserved", reason="preserved tonight by dana (load test)"),
            environment("dev-04", "degraded", verdict="failed", message="e2e failed: test_<trips>"),
            environment("dev-05", "degraded", verdict="not_run", message="no e2e test ran"),
        ),
        URL,
    )
    assert words(message) == [
        "🔴 Night 2026-03-05: 1 of 5 environments faulted",
        "*dev-02* is FAULTED: `marker_missing` scorch: no marker in &lt;payroll&gt;\n"
        "Next: that database is not known to be ours: rename it or drop it by hand if it may go, then "
        "`daybreak env rebuild dev-02`",
        "*dev-04* is DEGRADED: e2e failed: test_&lt;trips&gt;\n*dev-05* is DEGRADED: no e2e test ran",
        "*ready*: dev-01\n*preserved*: dev-03, preserved tonight by dana (load test)",
        "<http://airflow.example/dags/nightly/runs/scheduled__2026-03-05T20:00:00+00:00?a=1&amp;b=2|the run>"
        " · took 3 min 22 s · commit `c0ffee012345`, 1 of 14 resources built · `daybreak night report`",
    ]
    assert message.text == (
        "night 2026-03-05: 5 environments, 1 rebuilt, 2 degraded, 1 preserved, 1 faulted; 202 s. "
        "Faulted: dev-02 (marker_missing)"
    )


@pytest.mark.parametrize(
    ("environments", "title"),
    [
        ((environment("dev-01", "rebuilt", verdict="passed"),), "🟢 Night 2026-03-05: 1 environments, 1 reb"),
        (
            (environment("dev-01", "degraded", message="x"),),
            "🟠 Night 2026-03-05: no fault, but 1 of 1 are degraded",
        ),
        ((), "🟢 Night 2026-03-05: 0 environments"),
    ],
)
def test_the_title_tells_the_night_at_a_glance(environments: tuple, title: str) -> None:
    assert words(ended(summary(*environments), URL))[0].startswith(title)


def test_forty_faults_are_one_message_that_names_them_all() -> None:
    many = [
        environment(f"dev-{n:02}", "faulted", code="unhealthy", message="x & y " * 700) for n in range(40)
    ]
    message = ended(summary(*many), URL)
    accepted(message)
    text = "\n".join(words(message))
    assert all(each.name in text for each in many)
    assert "*34 more are FAULTED:*" in text


def test_a_dry_run_is_told_in_its_one_line() -> None:
    message = ended(Summary("dry run: nothing was touched", (), ()), URL)
    accepted(message)
    assert words(message)[0] == "dry run: nothing was touched"


def test_a_late_night_names_what_people_wait_for_and_what_holds_it() -> None:
    found = Late(
        NIGHT, datetime(2026, 3, 6, 6, 30, tzinfo=UTC), decided=True, reported=False, expected=3,
        missing=(
            NotReady("dev-01", "DEPLOYING", step="deploy"),
            NotReady("dev-02", "FAULTED", code="unhealthy", message="trips answers <503>"),
        ),
    )  # fmt: skip
    message = late(found, ZoneInfo("Asia/Jerusalem"), URL)
    accepted(message)
    only_our_markup(message)
    assert words(message)[:3] == [
        "⏰ Night 2026-03-05 is late: 2 of 3 environments are not ready",
        "They were due at 08:30 Asia/Jerusalem.",
        "*dev-01* is DEPLOYING, at work: deploy\n*dev-02* is FAULTED; `unhealthy` trips answers &lt;503&gt;",
    ]
    assert "dev-01, dev-02" in message.text


def test_a_night_that_never_decided_asks_for_the_scheduler() -> None:
    missing = (NotReady("dev-01", "READY"),)
    found = Late(NIGHT, AT, decided=False, reported=False, expected=1, missing=missing)
    assert "is the scheduler at work?" in late(found, ZoneInfo("UTC"), URL).text


def test_a_link_cannot_be_ended_by_what_is_in_it() -> None:
    assert link("http://x/a|b>c d", "r|un") == "<http://x/a%7Cb%3Ec%20d|r/un>"


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "0 s"), (59.6, "1 min 0 s"), (202, "3 min 22 s"), (3840, "1 h 4 min")]
)
def test_durations_are_read_at_a_glance(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_the_words_cost_no_database_and_no_cloud() -> None:
    script = (
        "import sys, daybreak.talk.slack.night;"
        "print(sorted({'airflow', 'boto3', 'sqlalchemy', 'slack_sdk', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
