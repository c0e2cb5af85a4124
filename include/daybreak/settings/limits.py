"""How long what runs suites may take: all of it follows from `build.timeout_seconds`, the time of one try."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from daybreak.settings.model import BuildSettings

#: What lies around the suites of one environment: their virtual environment, what is asked of AWS, clean-up.
_AROUND = timedelta(minutes=30)
#: A task ends after what it does: that one knows what it leaves, and says so.
_SPARE = timedelta(minutes=30)


@dataclass(frozen=True)
class Limits:
    """Whoever waits for suites, or ends them, takes it from here.

    :param build: of the settings.
    """

    build: BuildSettings

    @property
    def tries(self) -> timedelta:
        """Two tries of suites: what failed is tried once more."""
        return timedelta(seconds=2 * self.build.timeout_seconds)

    @property
    def e2e(self) -> timedelta:
        """e2e of one environment, which is the deadline of the step that does it."""
        return self.tries + _AROUND

    @property
    def e2e_task(self) -> timedelta:
        """A task of Airflow's that does that."""
        return self.e2e + _SPARE

    @property
    def bcd(self) -> timedelta:
        """A whole BCD with e2e, which holds its environment for no longer."""
        return self.e2e_task + timedelta(minutes=90)

    @property
    def lane_task(self) -> timedelta:
        """The task of a pull request that tests: two tries of unit tests, then e2e."""
        return self.tries + self.e2e_task

    @property
    def lane(self) -> timedelta:
        """A step of an attempt in the lane, which may be a deploy, too: longer than each of its tasks."""
        return max(self.lane_task, timedelta(hours=2)) + timedelta(hours=1)

    @property
    def pull_request(self) -> timedelta:
        """A whole run of a pull request: its wait for the lane, its tests, and all else."""
        return timedelta(hours=18) + self.lane_task
