"""The disk is full: the build says so and leaves nothing half done, and works again when there is room."""

from __future__ import annotations

import re

import pytest

from daybreak.build.artifact import Artifacts
from daybreak.build.runner import Outcome
from daybreak.disk import DiskFull
from daybreak.errors import DaybreakError
from daybreak.store import Store
from tests.build.conftest import Works
from tests.fixtures.disk import FULL, Disk


def test_a_full_store_is_said_and_holds_nothing_half(works: Works, disk: Disk) -> None:
    works.artifacts = Artifacts(Store((disk.folder / "store").as_uri()))
    disk.fill()
    with pytest.raises(DaybreakError, match=FULL) as caught:
        works.build("common")
    assert caught.value.code == DiskFull.code
    disk.clear()
    assert not works.artifacts.exists("common", works.keys["common"])
    assert works.build("common").status == "built"
    assert works.fetch("common").is_dir()


def test_a_full_home_costs_the_builds_and_is_named_and_nothing_is_left_in_the_way(
    works: Works, disk: Disk
) -> None:
    works.home = disk.folder / "home"
    works.home.mkdir()
    disk.fill()
    ended = {each.resource: each for each in works.all()}
    assert (ended["common"].outcome, ended["geo"].outcome) == (Outcome.FAILED, Outcome.SKIPPED)
    assert re.search(FULL, ended["common"].detail), ended
    with pytest.raises(DiskFull, match="make room"):
        works.build("common")
    disk.clear()
    assert not list((works.home / "tmp").glob("*"))
    assert {each.outcome for each in works.all()} == {Outcome.BUILT}
