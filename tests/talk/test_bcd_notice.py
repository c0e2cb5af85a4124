"""What people read of a deploy by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from daybreak.environment.bcd.report import Ended, Line, Outcome, Report
from daybreak.talk.bobby.notices import render

KEY, OLD = "b" * 64, "a" * 64


def report(**more: Any) -> Report:
    found: dict[str, Any] = {
        "run_id": "bcd-1", "environment": "dev-01", "actor": "dana", "ref": "faster", "commit": "c" * 40,
        "outcome": Outcome.DONE, "state": "READY", "seconds": 12.0,
    }  # fmt: skip
    return Report(**{**found, **more})


def words(found: Report) -> tuple[str, list[str]]:
    payload = {"kind": "bcd", **found.to_json(), "url": "https://airflow/dags/bcd/runs/bcd-1", "more": 0}
    reply = render(payload, datetime(2026, 3, 5, 9, tzinfo=UTC), ZoneInfo("UTC"))
    return reply.text, [button.command for section in reply.sections for button in section.buttons]


def test_what_changed_is_told_with_its_address_and_the_run() -> None:
    line = Line("trips", Ended.DEPLOYED, was=OLD, was_commit="d" * 40, key=KEY, link="http://127.0.0.1:1")
    text, _ = words(report(lines=(line, Line("fleet", Ended.UNCHANGED, was=KEY))))
    assert "dev-01 from faster (cccccccccccc): 1 deployed, 1 unchanged; dev-01 is READY" in text
    assert "trips deployed, aaaaaaaaaaaa to bbbbbbbbbbbb: http://127.0.0.1:1" in text
    assert text.endswith("https://airflow/dags/bcd/runs/bcd-1")


def test_who_met_a_lock_is_told_whose_and_can_wait_or_ask() -> None:
    locked = {"owner": "bob", "until": "2026-03-05 17:40 UTC", "reason": "load test"}
    said = "dev-01 is locked by bob until 2026-03-05 17:40 UTC (load test)."
    text, buttons = words(report(outcome=Outcome.REFUSED, message=said, locked=locked))
    assert text == f"Nothing was deployed: {said}"
    assert buttons == ["queue dev-01", "poke dev-01"]


def test_a_report_is_kept_whole_and_its_table_says_each_resource_once() -> None:
    lines = (
        Line("trips", Ended.FAILED, was=OLD, key=KEY, why="it\nkeeps crashing"),
        Line("geo", Ended.BUILT, key=KEY, red="geo: 1 of 9 tests failed"),
    )
    found = report(outcome=Outcome.FAILED, lines=lines, wrong=("trips was not deployed",), state="DEGRADED")
    assert Report.from_json(found.to_json()) == found
    assert found.table() == [
        "resource          from          to",
        "trips     failed  aaaaaaaaaaaa  bbbbbbbbbbbb  it keeps crashing",
        "geo       built   -             bbbbbbbbbbbb  geo: 1 of 9 tests failed",
        "! trips was not deployed",
        "dev-01 from faster (cccccccccccc): failed: 1 built, 1 failed; dev-01 is DEGRADED",
    ]
