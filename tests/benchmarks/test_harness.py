"""The harness compares what it should, and a missed target is a failure."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest

from benchmarks import __main__ as bench
from benchmarks import affected
from benchmarks.harness import Benchmark, Result, Sample, Target, as_json, as_markdown


def sample(cpu: float, wall: float = 0.0, **counts: float) -> Sample:
    return Sample(wall or cpu, cpu, counts)


def test_a_ratio_is_taken_within_each_round_so_that_a_slow_minute_does_not_count() -> None:
    # The second round ran at a third of the speed; the case costs twice the base all the same.
    result = Result({"base": [sample(1), sample(3), sample(1)], "case": [sample(2), sample(6), sample(2.2)]})
    assert result.ratio("case") == 2
    assert result.ratio("base") == 1


def test_each_round_runs_every_case_once_in_order() -> None:
    ran = []
    cases = {name: (lambda name=name: ran.append(name)) for name in ("base", "case")}
    Benchmark("turns", "", cases, [], rounds=3).run(lambda line: None)
    assert ran == ["base", "case"] * 3


def test_children_count_as_processor_time() -> None:
    import subprocess
    import sys

    burn = [sys.executable, "-c", "import time\nwhile time.process_time() < 0.2: pass"]
    one = Benchmark("child", "", {"burn": lambda: subprocess.run(burn, check=True) and None}, [], rounds=1)
    assert one.run(lambda line: None).cpu("burn") >= 0.2


@pytest.mark.parametrize(("limit", "said", "code"), [(2.0, "holds", 0), (1.9, "**missed**", 1)])
def test_a_missed_target_is_said_and_ends_red(
    limit: float, said: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    target = Target("built", limit, lambda result: result.count("case", "built"))
    chosen = Benchmark("fake", "What.", {"case": lambda: {"built": 2}}, [target], rounds=1)
    module = type("module", (), {"benchmark": staticmethod(lambda work: chosen)})
    monkeypatch.setattr(bench, "NAMES", ("fake",))
    monkeypatch.setattr(importlib, "import_module", lambda name: module)
    assert bench.main([], tmp_path) == code
    assert f"built: 2 ≤ {limit:g}: {said}" in capsys.readouterr().out
    (written,) = json.loads((tmp_path / "fake.json").read_text())["targets"]
    assert written == {"text": "built", "value": 2, "limit": limit, "holds": code == 0}


def test_the_table_has_a_column_for_what_was_counted() -> None:
    result = Result({"cold": [sample(4, 8, built=12)], "warm": [sample(1, 2, built=0)]})
    chosen = Benchmark("build", "What is measured.", {}, [])
    lines = as_markdown(chosen, result).splitlines()
    assert "| case | wall s | processor s | ratio | built |" in lines
    assert "| warm | 2.00 | 1.00 | 0.25 | 0 |" in lines
    assert as_json(chosen, result)["cases"]["warm"]["ratio"] == 0.25


def test_a_name_that_is_none_is_refused_with_those_that_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        bench.main(["dag"])
    assert "there are: " + ", ".join(bench.NAMES) in capsys.readouterr().err


#: Theirs takes minutes to generate; a small one of the same form is asked below.
LARGE = {"affected", "affected_large"}


@pytest.mark.parametrize("name", [name for name in bench.NAMES if name not in LARGE])
def test_every_benchmark_says_what_it_measures_and_what_must_come_out(name: str, tmp_path: Path) -> None:
    chosen = importlib.import_module(f"benchmarks.{name}").benchmark(tmp_path)
    assert chosen.name == name
    assert "target" in chosen.what.lower()
    assert chosen.targets
    assert len(chosen.cases) > 1


def test_change_impact_is_measured_beside_its_peers_and_its_answer_counted(tmp_path: Path) -> None:
    chosen = affected.of_size("small", "", tmp_path, 30, {"daybreak, snapshot": 0.15})
    counted = chosen.cases["daybreak, snapshot"]()
    assert counted["wrong"] == 0
    assert counted["answer"] > 1
    assert {"git diff", "daybreak, new head", "daybreak, cold"} < set(chosen.cases)
    assert len(chosen.targets) == 3
    for module in LARGE:
        assert "target" in (importlib.import_module(f"benchmarks.{module}").__doc__ or "").lower()
