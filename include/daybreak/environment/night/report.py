"""What a night did: for each environment, for each build, and in one line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

from daybreak.change.plan import Plan
from daybreak.environment import calendar
from daybreak.environment.decision import NightAction
from daybreak.environment.installation import Installation
from daybreak.environment.night import timing
from daybreak.environment.night.tasks import tasks
from daybreak.environment.night.timing import Task, Timing
from daybreak.environment.nights import NightEnvironment, NightRun, NightStatus
from daybreak.environment.steps import Step, StepStatus
from daybreak.errors import UsageError
from daybreak.registry.outbox import Notice

#: Version of the JSON form.
SCHEMA = 2
#: How an environment ends, or how far it is; in the order in which they are counted for people, those of
#: `_ALWAYS` also when there is none.
ENDS = (
    "rebuilt", "degraded", "preserved", "torn down", "kept", "left alone", "skipped", "faulted", "running",
    "waiting", "planned",
)  # fmt: skip
_ALWAYS = ("rebuilt", "preserved", "faulted")


@dataclass(frozen=True)
class StageReport:
    """One stage of one environment; ``seconds`` is its last try's length, ``None`` while it is at work."""

    phase: str
    name: str
    status: str
    seconds: float | None
    tries: int


@dataclass(frozen=True)
class EnvironmentReport:
    """How one environment came through the night.

    :param action: what was decided, ``reason`` why.
    :param ended: one of :data:`ENDS`.
    :param verdict: of e2e: ``passed``, ``failed`` or ``not_run``; ``None`` where e2e was not its turn.
    :param failures: ids of the e2e tests that failed.
    :param code: why it is faulted, a stable word.
    :param message: the same for people; of a degraded one, what it lacks.
    :param seconds: all its stages together.
    """

    name: str
    action: str
    reason: str
    ended: str
    verdict: str | None
    tests: int
    failures: tuple[str, ...]
    code: str | None
    message: str | None
    seconds: float
    stages: tuple[StageReport, ...]

    @property
    def said(self) -> str:
        """The most important thing about it: its fault, else its verdict, else why it was left as it was."""
        return self.message or self.verdict or self.reason


@dataclass(frozen=True)
class BuildReport:
    """What the run did for one resource: its ``build``, or its unit ``test``."""

    resource: str
    what: str
    status: str
    seconds: float


@dataclass(frozen=True)
class NightReport:
    """One run of the night.

    :param commit: what it built and deployed; ``None`` when it did not come so far.
    :param planned: how many resources the plan has, built now or before.
    :param finished_at: ``None`` while it goes on, or when it died.
    :param timed_by: who measured the tasks: ``airflow`` from the start of a task's process to its end, or
        ``steps``, what Daybreak's own code measured of itself.
    """

    run_id: str
    night: date
    commit: str | None
    decided_at: datetime
    finished_at: datetime | None
    environments: tuple[EnvironmentReport, ...]
    builds: tuple[BuildReport, ...]
    planned: int
    timing: Timing
    timed_by: str = "steps"

    @property
    def headline(self) -> str:
        """The night in one line."""
        counts = {end: sum(each.ended == end for each in self.environments) for end in ENDS}
        said = ", ".join(f"{count} {end}" for end, count in counts.items() if count or end in _ALWAYS)
        count = len(self.environments)
        return f"night {self.night}: {count} environments, {said}; {self.timing.makespan:.0f} s"

    @property
    def faulted(self) -> tuple[EnvironmentReport, ...]:
        """The environments that are not usable, or whose run ended before their verdict."""
        return tuple(each for each in self.environments if each.ended == "faulted")

    @property
    def degraded(self) -> tuple[EnvironmentReport, ...]:
        """The environments that are usable, but not all there or not green."""
        return tuple(each for each in self.environments if each.ended == "degraded")

    def to_json(self) -> dict[str, Any]:
        """Plain data; :meth:`from_json` takes it back."""
        return {
            "schema": SCHEMA,
            "run_id": self.run_id,
            "night": self.night.isoformat(),
            "commit": self.commit,
            "decided_at": self.decided_at.isoformat(),
            "finished_at": self.finished_at.isoformat() if self.finished_at else None,
            "environments": [asdict(each) for each in self.environments],
            "builds": [asdict(each) for each in self.builds],
            "planned": self.planned,
            "timing": self.timing.to_json(),
            "timed_by": self.timed_by,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> NightReport:
        """The report as it was kept.

        :raises UsageError: when another version of Daybreak wrote it.
        """
        if data.get("schema") != SCHEMA:
            raise UsageError(f"a kept report has schema {data.get('schema')!r}, not {SCHEMA}")
        finished = data["finished_at"]
        return cls(
            data["run_id"],
            date.fromisoformat(data["night"]),
            data["commit"],
            datetime.fromisoformat(data["decided_at"]),
            datetime.fromisoformat(finished) if finished else None,
            tuple(_environment_from(each) for each in data["environments"]),
            tuple(BuildReport(**each) for each in data["builds"]),
            data["planned"],
            Timing.from_json(data["timing"]),
            data["timed_by"],
        )


@dataclass(frozen=True)
class Summary:
    """A night's end.

    :param lines: a table for people; its last line is the headline.
    :param faulted: the environments that are not usable, or whose run ended before their verdict.
    :param degraded: those that are usable, but not all there or not green.
    :param report: everything that is known; ``None`` when nothing was touched.
    """

    headline: str
    lines: tuple[str, ...]
    faulted: tuple[str, ...]
    report: NightReport | None = None
    degraded: tuple[str, ...] = ()

    @property
    def as_decided(self) -> bool:
        """Whether every environment ended as its decision says."""
        return not (self.faulted or self.degraded)


def summarise(
    installation: Installation, run_id: str, timed: Sequence[Task] | None = None,
    told: Callable[[Summary], Notice] | None = None,
) -> Summary:  # fmt: skip
    """Summarise the run, which is over, and keep the report in the registry.

    :param timed: as :func:`night_report` takes it.
    :param told: what people are told of it, in the same transaction.
    """
    report = night_report(installation, run_id, finished_at=installation.clock(), timed=timed)
    lines = tuple(
        f"{each.name:<12} {each.action:<9} {each.ended:<10} {each.said}" for each in report.environments
    )
    faulted = tuple(each.name for each in report.faulted)
    degraded = tuple(each.name for each in report.degraded)
    kept = {"headline": report.headline, "lines": list(lines), "faulted": list(faulted), **report.to_json()}
    summary = Summary(report.headline, (*lines, report.headline), faulted, report, degraded)
    installation.nights.finish(run_id, kept, told(summary) if told is not None else None)
    return summary


def kept_report(installation: Installation, run_id: str) -> NightReport:
    """The report that the run kept when it ended; of one that goes on, how far it is.

    :raises UsageError: when the run is unknown.
    """
    run = installation.nights.get(run_id)
    if run.finished_at is not None and (run.report or {}).get("schema") == SCHEMA:
        return NightReport.from_json(run.report)
    return night_report(installation, run_id, finished_at=run.finished_at)


def night_report(
    installation: Installation,
    run_id: str,
    *,
    finished_at: datetime | None,
    timed: Sequence[Task] | None = None,
) -> NightReport:
    """Make the report from the rows that the run's steps wrote.

    :param finished_at: when the run was over, so that what has no verdict gets none; ``None`` while it goes
        on.
    :param timed: the run's tasks as Airflow measured them, in seconds after the run's decision; without
        them, the figures are those of the steps.
    :raises UsageError: when the run is unknown.
    """
    nights = installation.nights
    run, steps = nights.get(run_id), nights.steps(run_id)
    rows = _rows(installation, run)
    plan = _plan(installation, run_id)
    builds = installation.builds.known({step.name: step.key for step in plan.steps} if plan else {})
    now = installation.clock()
    done = list(timed) if timed else tasks(run_id, steps, builds, plan, run.decided_at, now)
    return NightReport(
        run_id,
        run.night,
        plan.commit if plan else None,
        run.decided_at,
        finished_at,
        tuple(
            _environment(row, [step for step in steps if step.environment == row.environment], finished_at)
            for row in rows
        ),
        tuple(
            BuildReport(build.resource, part.what, part.status, part.seconds)
            for build in builds
            for part in build.parts
            if part.run_id == run_id
        ),
        len(plan.steps) if plan else 0,
        _timing(installation, run, done, finished_at),
        "airflow" if timed else "steps",
    )


def _rows(installation: Installation, run: NightRun) -> list[NightEnvironment]:
    """A row for each decision of the run, also where another run had the environment, or has it by now."""
    rows = {row.environment: row for row in installation.nights.environments(run_id=run.run_id)}
    others = {row.environment: row for row in installation.nights.environments(night=run.night)}
    for decision in run.plan:
        name = decision["environment"]
        if name not in rows:
            other = others.get(name)
            why = f"{other.run_id} has it" if other is not None else "it was not claimed"
            rows[name] = NightEnvironment(
                run.night, name, run.run_id, decision, NightStatus.DONE, run.decided_at, {"left": why}
            )
    return [rows[name] for name in sorted(rows)]


def _plan(installation: Installation, run_id: str) -> Plan | None:
    try:
        return Plan.from_json(installation.runs.get(run_id).plan)
    except UsageError:
        # It did not come to pinning one: it only tore down, or it died before.
        return None


def _timing(
    installation: Installation, run: NightRun, done: list[Task], finished_at: datetime | None
) -> Timing:
    def seconds(instant: datetime) -> float:
        return (instant - run.decided_at).total_seconds()

    policy = installation.settings.night
    # While nothing is at work, a run that goes on waits for its morning: that is no time of its own.
    ended = seconds(finished_at) if finished_at else 0.0
    spans = timing.spans(done, 0.0, ended, seconds(calendar.night(policy, run.night).morning))
    return timing.measure(done, spans, installation.settings.pools.model_dump())


def _environment(
    row: NightEnvironment, steps: Sequence[Step], finished_at: datetime | None
) -> EnvironmentReport:
    ended = _ended(row, steps, over=finished_at is not None)
    code, message = _why(row, steps, ended)
    e2e = next((step.detail for step in steps if step.step == "e2e"), {})
    return EnvironmentReport(
        row.environment,
        str(row.decision["action"]),
        str(row.decision["reason"]),
        ended,
        str(e2e["verdict"]) if "verdict" in e2e else None,
        int(e2e.get("tests", 0)),
        tuple(str(failure[0]) for failure in e2e.get("failures", ())),
        code,
        message,
        round(sum(step.seconds or 0.0 for step in steps), 3),
        tuple(
            StageReport(step.phase, step.step, str(step.status), step.seconds, step.tries) for step in steps
        ),
    )


def _ended(row: NightEnvironment, steps: Sequence[Step], *, over: bool) -> str:
    action, decided = NightAction(row.decision["action"]), row.decision
    if row.status is NightStatus.FAULTED:
        return "faulted"
    if "left" in row.detail and (decided["teardown"] or decided["rebuild"] or decided.get("pauses")):
        return "left alone"
    if row.detail.get("degraded"):
        return "degraded"
    if (decided["teardown"] or decided["rebuild"]) and row.status is not NightStatus.DONE:
        if over:
            return "faulted"
        at_work = any(step.status is StepStatus.RUNNING for step in steps)
        return "running" if at_work else ("waiting" if steps else "planned")
    if action is NightAction.REBUILD:
        return "rebuilt" if decided["rebuild"] else "torn down"
    return {NightAction.PRESERVE: "preserved", NightAction.KEEP: "kept"}.get(action, "skipped")


def _why(row: NightEnvironment, steps: Sequence[Step], ended: str) -> tuple[str | None, str | None]:
    if ended == "faulted":
        return _fault(row, steps)
    if ended == "left alone":
        return None, str(row.detail["left"])
    return None, str(row.detail["message"]) if ended == "degraded" else None


def _fault(row: NightEnvironment, steps: Sequence[Step]) -> tuple[str, str]:
    """Code and message: of its verdict; without one, of the step that failed."""
    if "message" in row.detail:
        return str(row.detail.get("code", "failed")), str(row.detail["message"])
    failed = next((step for step in steps if step.status is StepStatus.FAILED), None)
    if failed is not None:
        said = failed.detail.get("message", failed.status)
        return str(failed.detail.get("code", "failed")), f"{failed.step}: {said}"
    last = f"after {steps[-1].step}" if steps else "before its first step"
    why = row.detail.get("abandoned")
    return "incomplete", f"the run ended {last}{f': {why}' if why else ''}"


def _environment_from(data: Mapping[str, Any]) -> EnvironmentReport:
    stages = tuple(StageReport(**each) for each in data["stages"])
    return EnvironmentReport(**{**data, "failures": tuple(data["failures"]), "stages": stages})
