"""The demo's pull requests, from a comment on GitHub to main, on a running Airflow."""

from __future__ import annotations

import pytest

from tests.system.conftest import on_a_free_port

pytestmark = [pytest.mark.system, pytest.mark.deep]


def test_what_passes_lands_and_what_fails_is_rejected_with_the_tests_name() -> None:
    with on_a_free_port() as demo:
        demo.start("--once")
        demo.wait_for(lambda line: line.startswith("night "))
        assert demo.process.wait(120) == 0, "\n".join(demo.lines)
        said = [line.strip() for line in demo.lines]
        rejected = "fleet.test_fleet::test_the_seeded_vehicles_are_there_and_nothing_else"
        assert any(line.split(" s  ")[-1].startswith(f"#2 REJECTED: {rejected}") for line in said)
        assert any("#5 REJECTED: trips.test_trips::" in line for line in said)
        main = demo.git("--git-dir", str(demo.folder / "github/acme/acme.git"), "log", "--format=%s", "main")
        landed = [line.split(":")[0] for line in main.splitlines() if line.startswith("Merge #")]
        assert landed == ["Merge #4", "Merge #3", "Merge #1"]
