"""A pull request's run that is killed anywhere: what was tested is on main, or nothing; and the lane goes on.

Here a sample of the points; `make crash` kills at each of them.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from daybreak.registry import connect
from examples.standins.aws.emulator import AwsEmulator
from tests.crash.landing import Landing
from tests.fixtures.aws import new_account

pytestmark = pytest.mark.aws


@pytest.fixture(scope="module")
def landing(
    tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path, aws: AwsEmulator, built: Path
) -> Landing:  # fmt: skip
    folder = tmp_path_factory.mktemp("landing")
    (folder / "home").mkdir()
    (folder / "home" / "runtimes").symlink_to(built / "runtimes", target_is_directory=True)
    shutil.copy(sqlite_template, folder / "registry.db")
    engine = connect(f"sqlite:///{folder / 'registry.db'}")
    return Landing(folder, engine, aws.endpoint_url, new_account())


@pytest.mark.deep
def test_the_points_cover_all_that_a_landing_changes(landing: Landing) -> None:
    text = "\n".join(landing.points)
    for change in ("git:daybreak/lease:", "git:daybreak/lease+main:", "git:daybreak/candidate:",
                   "command:deploy", "registry:INSERT attempts", "registry:UPDATE attempts",
                   "registry:UPDATE entries", "registry:UPDATE environments", "store:attempts"):  # fmt: skip
        assert change in text, change


@pytest.mark.parametrize(
    ("point", "heir"),
    [
        # Nobody knows by himself whether it landed; the retry, the teardown and the caretaker find out.
        ("good/land/git:daybreak/lease+main:before:1", "settle"),
        ("good/land/git:daybreak/lease+main:after:1", "caretaker"),
        pytest.param("good/deploy/command:deploy:after:1", "retry", marks=pytest.mark.deep),
    ],
)
def test_a_landing_that_is_killed_is_whole_or_nothing_and_the_lane_goes_on(
    landing: Landing, point: str, heir: str
) -> None:
    assert landing.kill_at(point, heir) == []
