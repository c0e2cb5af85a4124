"""The simulated queue is the real one: what is bad does not land, and what costs nothing costs nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks.harness import Result, Sample
from benchmarks.merge_queue import SHARES, STRATEGIES, interval, name_of, run, table
from benchmarks.merge_world import BUILD, SPENT, Pull, a_day


def test_batches_land_the_same_as_one_after_another_and_sooner(sqlite_template: Path, tmp_path: Path) -> None:
    pulls = a_day(7, 0.2, 8)
    assert any(each.bad for each in pulls)
    found = {}
    for strategy in (STRATEGIES[0], STRATEGIES[-1]):
        registry = tmp_path / f"{strategy.name}.db"
        shutil.copy(sqlite_template, registry)
        found[strategy.name] = run(strategy, pulls, registry)  # which asserts what is on main
    assert found["ahead"]["landed"] == found["everything"]["landed"] < len(pulls)
    assert found["ahead"]["per hour"] > 2 * found["everything"]["per hour"]
    assert found["ahead"]["p95"] < found["everything"]["p50"]
    for each in found.values():
        assert sum(each[name] for name in SPENT) == pytest.approx(each["lane minutes"])


def test_what_is_built_ahead_the_lane_does_not_build(sqlite_template: Path, tmp_path: Path) -> None:
    """Ten at once that all change one resource: nothing was in the lane when the first batch was built."""
    pulls = [Pull(number, 0.0, frozenset({1, number}), False) for number in range(2, 12)]
    spent = {}
    for strategy in STRATEGIES[3:]:
        registry = tmp_path / f"{strategy.name}.db"
        shutil.copy(sqlite_template, registry)
        spent[strategy.name] = run(strategy, pulls, registry)["builds in the lane"] * len(pulls)
    assert spent["ahead"] == pytest.approx(BUILD)
    assert spent["batches"] > 2 * BUILD


def test_what_is_bad_at_a_small_share_is_bad_at_a_larger_one() -> None:
    few, many = ({each.number for each in a_day(3, share) if each.bad} for share in (0.05, 0.2))
    assert few < many


def test_the_table_has_a_row_for_each_queue_and_share() -> None:
    counts = {
        "landed": 2.0, "per hour": 2.0, "p50": 60.0, "p95": 90.0, "lane minutes": 10.0, "builds": 3.0,
        **dict.fromkeys(SPENT, 1.0),
    }  # fmt: skip
    samples = {name_of(each, share): [Sample(0, 0, counts)] * 2 for share in SHARES for each in STRATEGIES}
    lines = table(Result(samples))
    assert len(lines) == 2 + len(SHARES) * len(STRATEGIES) + 3 + len(SPENT)
    assert lines[2] == ("| 0% | everything | 2.00 (2.00 to 2.00) | 1.0 times | 1.0, 1.5 | 10 min, 3.0 |")


def test_an_interval_holds_the_mean_and_shrinks_with_what_is_alike() -> None:
    low, high = interval([1.0, 2.0, 3.0, 4.0])
    assert 1.0 <= low < 2.5 < high <= 4.0
    assert interval([2.0] * 5) == (2.0, 2.0)
