"""Whether a night is late: which environments people wait for, and what holds each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from daybreak.environment import calendar
from daybreak.environment.installation import Installation
from daybreak.environment.machine import USABLE, Environment
from daybreak.environment.nights import NightEnvironment, NightStatus
from daybreak.environment.steps import Step, StepStatus


@dataclass(frozen=True)
class NotReady:
    """One environment that people wait for.

    :param step: the stage at work on it.
    :param code: with ``message``, what went wrong last, if anything did.
    """

    name: str
    state: str
    step: str | None = None
    code: str | None = None
    message: str | None = None


@dataclass(frozen=True)
class Late:
    """A night at its ready-time.

    :param ready: when people expect their environments.
    :param decided: whether a run decided at all; without one, every environment is as yesterday left it.
    :param reported: whether every run of the night is over, so that people know how it ended.
    :param expected: how many environments the night rebuilds.
    """

    night: date
    ready: datetime
    decided: bool
    reported: bool
    expected: int
    missing: tuple[NotReady, ...]


def lateness(installation: Installation, night: date) -> Late:
    """Look which environments of a night are not ready now."""
    planned = calendar.night(installation.settings.night, night)
    rows = installation.nights.environments(night=night)
    present = {row.name: row for row in installation.environments.all()}
    runs = installation.nights.of(night)
    if not runs:
        names = [each.name for each in installation.settings.environments] if planned.rebuilds else []
        missing = tuple(NotReady(name, _state(present.get(name))) for name in names)
        return Late(night, planned.ready, decided=False, reported=False, expected=len(names), missing=missing)
    wanted = [row for row in rows if row.decision["rebuild"]]
    steps = installation.nights.steps(night=night)
    return Late(
        night,
        planned.ready,
        decided=True,
        reported=all(run.finished_at is not None for run in runs),
        expected=len(wanted),
        missing=tuple(
            _not_ready(row, present.get(row.environment), steps)
            for row in wanted
            if not _is_ready(row, present.get(row.environment))
        ),
    )


def _is_ready(row: NightEnvironment, environment: Environment | None) -> bool:
    return row.status is NightStatus.DONE and environment is not None and environment.state in USABLE


def _not_ready(row: NightEnvironment, environment: Environment | None, steps: list[Step]) -> NotReady:
    own = [step for step in steps if step.environment == row.environment and step.run_id == row.run_id]
    failed = next((step for step in reversed(own) if step.status is StepStatus.FAILED), None)
    said = row.detail if "message" in row.detail else failed.detail if failed else {}
    step = environment.op_step if environment else None
    return NotReady(row.environment, _state(environment), step, said.get("code"), said.get("message"))


def _state(environment: Environment | None) -> str:
    return str(environment.state) if environment else "ABSENT"
