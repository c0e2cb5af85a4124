"""Fixtures for all tests, who runs what on two cores, and the rule that nothing is skipped in CI."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadFileScheduling

pytest_plugins = [
    f"tests.fixtures.{path.stem}"
    for path in sorted((Path(__file__).parent / "fixtures").glob("*.py"))
    if path.stem != "__init__"
]

# How long an example takes says how busy the machine is, not whether the rule holds.
settings.register_profile("unhurried", settings(), deadline=None)
settings.load_profile("unhurried")

#: Files that share what is dear to make, a running demo, what acme was built into or a Docker Engine: one
#: worker has them all.
TOGETHER = ("tests/system/", "tests/environment/test_night_", "tests/docker/")


class Sharing(LoadFileScheduling):
    """A file's tests go to one worker, and so do the files that share something."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return next((place for place in TOGETHER if file.startswith(place)), file)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Sharing:
    return Sharing(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first, so that at the end no worker waits for the other."""
    items.sort(key=lambda item: not item.nodeid.startswith(TOGETHER))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    """In CI every server is there (.ci/run), so a skip hides something."""
    outcome = yield
    report = outcome.get_result()
    if os.environ.get("CI") and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI, where nothing may be skipped: {report.longrepr}"
