"""Pull requests at once on a running Airflow, asked for in each way there is, and what people are told."""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from daybreak.merge.rows import Entry
from daybreak.merge.rules import EntryState
from daybreak.registry import merge_tables as tables
from daybreak.registry.tables import outbox
from daybreak.talk.gandalf import digest
from examples.demo.github import REPOSITORY
from tests.system.conftest import ROOT, Demo
from tests.system.lane import Lane

pytestmark = pytest.mark.system


@dataclass(frozen=True)
class Landed:
    """Four that were asked for at once, and how they ended."""

    lane: Lane
    entries: list[Entry]


@pytest.fixture(scope="module")
def four(demo: Demo) -> Landed:
    """Each in an attempt of its own: two by a comment, one by REST, one in Slack and before the others."""
    lane = Lane(demo)
    numbers = [lane.open(f"page-{n}", {f"pages/{n}.md": f"Page {n}.\n"}) for n in range(1, 5)]
    lane.say(numbers[0], "merge solo")
    lane.say(numbers[1], "merge solo")
    documented(demo, numbers[2])
    demo.slack.say("dana", "#dev-envs", f"/gandalf merge #{numbers[3]} solo p=high")
    return Landed(lane, lane.ended(*numbers, seconds=480))


def documented(demo: Demo, number: int) -> None:
    """Type what docs/merge-queue.md says, with this world's address and password."""
    [script] = re.findall(
        r"^```\n(token=.*?)^```", (ROOT / "docs/merge-queue.md").read_text(), re.DOTALL | re.MULTILINE
    )
    for said, meant in (("…", demo.record["bot"]["password"]), ('"pr": 7', f'"pr": {number}')):
        assert script.count(said) == 1
        script = script.replace(said, meant)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], capture_output=True, text=True, check=False,
        env={"PATH": os.environ["PATH"], "AIRFLOW": demo.record["urls"]["airflow"]},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["conf"] == {"pr": number}


def test_four_pull_requests_at_once_land_one_after_another(four: Landed) -> None:
    lane = four.lane
    assert {each.state for each in four.entries} == {EntryState.LANDED}
    assert len({each.run_id for each in four.entries}) == 4
    assert lane.never_interleaved(), lane.in_lane()
    # Each was tested on what the one before had made of main.
    attempts = [lane.attempts.find(run_id) for _, _, run_id in lane.in_lane()]
    bases = [each.base for each in attempts if each]
    assert bases == [lane.base, *(each.candidate for each in attempts[:-1] if each)]
    assert attempts[-1] is not None
    assert attempts[-1].candidate == lane.main()
    order = [f"Merge #{lane.queue.get(each.members[0]).pr}" for each in attempts if each]
    assert [subject.partition(":")[0] for subject in lane.landed()] == order
    lane.idle()


def told_of(lane: Lane, entry: Entry) -> tuple[list[str], list[str]]:
    """The comments on a pull request that landed, and the posts about it, once its check is green: they are
    sent one after another, and whoever sees one of them may not see the next one yet.
    """

    def green() -> bool:
        states = [status["state"] for status in lane.github.statuses(REPOSITORY, entry.sha)]
        return states[:1] == ["success"]

    def posts() -> list[str]:
        said = lane.demo.slack.messages("noa")
        return [post["text"] for post in said if not post["only"] and f"{entry.name} " in post["text"]]

    comments = lane.told(entry.pr, "landed")
    lane.until(green, 60, lambda: f"{entry.name} has no green check")
    return comments, lane.until(posts, 60, lambda: f"{entry.name} has no post")


def test_each_has_one_comment_a_green_check_and_a_post_in_the_merges_channel(four: Landed) -> None:
    for each in four.entries:
        comments, posts = told_of(four.lane, each)
        assert len([body for body in comments if "daybreak:merge " in body]) == 1
        assert len(posts) == 1


def test_a_run_s_colour_and_note_are_what_became_of_its_entry(four: Landed) -> None:
    for each in four.entries:
        assert each.run_id is not None
        run = four.lane.run_ended(each.run_id)
        history = four.lane.queue.history(f"entry:{each.id}")
        assert run.state == "success", (run, history)
        assert run.note.startswith(f"#{each.pr} at {each.sha[:12]} is LANDED")


def test_gandalf_answers_in_slack_and_the_caretaker_tells_how_the_week_was(four: Landed) -> None:
    demo = four.lane.demo
    demo.slack.say("yossi", "#dev-envs", "/gandalf queue")
    demo.slack.wait("yossi", lambda state: "The queue is empty" in str(state["messages"]), 20)

    last_week, bad = datetime.now(UTC) - timedelta(days=7), four.entries[-1]
    why = {"state": EntryState.REJECTED, "reason_code": "tests_failed", "reason": "e2e: test_trips failed"}
    with demo.installation.engine.begin() as registry:
        registry.execute(update(tables.entries).values(ended_at=last_week))
        registry.execute(update(tables.entries).filter_by(id=bad.id).values(**why))
    due = digest.due(demo.installation)
    # The same days once more, for whatever day of the week today is.
    today = digest.week(demo.installation, last_week - timedelta(days=1), last_week + timedelta(days=1))
    assert today is not None
    demo.installation.outbox.put(replace(today, key="merge/digest/today", expires_at=None))
    demo.rest.trigger("caretaker", "digest", {})
    assert four.lane.until(lambda: demo.rest.run("caretaker", "digest").ended, 90)
    assert demo.rest.run("caretaker", "digest").state == "success"
    with demo.installation.engine.connect() as registry:
        rows = registry.execute(select(outbox.c.payload).filter_by(recipient="merges")).scalars()
        found = [each["states"] for each in rows if each["kind"] == "merge_digest"]
    # On a Monday before people are there, nobody is told yet; from Thursday on, it is news no more.
    week = {"LANDED": 3, "REJECTED": 1}
    assert found == ([week, week] if due is not None else [week])
    told = [each["text"] for each in demo.slack.messages("noa") if "3 landed, 1 rejected" in each["text"]]
    news = due is not None and due.expires_at is not None and datetime.now(UTC) < due.expires_at
    assert len(told) == 1 + news
    why_not = f"#{bad.pr} {bad.title} ({bad.author}) was rejected: e2e: test_trips failed"
    assert all(why_not in each for each in told)
