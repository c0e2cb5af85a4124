"""What the scheduler imports before it forks, so that its tasks need not."""

from __future__ import annotations

import sys
import threading

import pytest

from daybreak.orchestration import warm


def test_only_what_forks_tasks_imports_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm, "MODULES", ("colorsys",))
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    for argv in (["airflow", "api-server"], ["airflow", "dag-processor", "scheduler"], ["pytest"], []):
        assert warm.before_forking(argv) == []
    assert "colorsys" not in sys.modules
    assert warm.before_forking(["/opt/airflow", "scheduler", "--skip-serve-logs"]) == ["colorsys"]


def test_each_can_be_imported_and_none_begins_anything_that_a_child_could_not_use() -> None:
    before = set(threading.enumerate())
    assert warm.before_forking(["airflow", "scheduler"]) == list(warm.MODULES)
    assert set(threading.enumerate()) == before


def test_what_is_not_installed_is_left_to_the_task_that_needs_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(warm, "MODULES", ("no_such_provider", "colorsys"))
    assert warm.before_forking(["airflow", "scheduler"]) == ["colorsys"]
    assert "no_such_provider" in caplog.text
