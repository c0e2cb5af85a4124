"""``daybreak night``: what a night would do, and what it did; each with its reasons."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING

from daybreak.cli.table import clock_seconds, table

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from daybreak.environment.night.report import EnvironmentReport, NightReport
    from daybreak.environment.night.timing import Timing

EXAMPLES = {
    "night": "examples:\n"
    "  daybreak night plan                          tonight\n"
    "  daybreak night plan --date 2026-03-06 --json\n"
    "  daybreak night report                        the latest run, also while it goes on\n"
    "  daybreak night report RUN_ID --json"
}


def add(parser: argparse.ArgumentParser) -> None:
    """Define the command's words."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    plan = verbs.add_parser(
        "plan", help="the decision for each environment, with its reason; changes nothing"
    )
    plan.add_argument(
        "--date", type=date.fromisoformat, metavar="YYYY-MM-DD", help="local date of the evening"
    )
    plan.add_argument("--json", action="store_true")
    plan.set_defaults(run=run_plan)
    report = verbs.add_parser(
        "report",
        help="what a run did to each environment, what it built, and how long that took",
        description="What a run did to each environment, what it built, and its three figures: makespan, "
        "critical path, and task seconds ÷ slots of the fullest pool. Task seconds are Airflow's, from "
        "the start of a task's process to its end, where the report could ask for them; else what the steps "
        "measured of themselves. What the scheduler needs in between is in the makespan alone, and so are "
        "tries before a task's last. The wait for the morning is in none of them.",
    )
    report.add_argument("run_id", nargs="?", metavar="RUN_ID", help="by default the run that decided last")
    report.add_argument("--json", action="store_true")
    report.set_defaults(run=run_report)


def run_plan(words: argparse.Namespace) -> int:
    """Print the decisions."""
    from daybreak.environment.calendar import night, tonight
    from daybreak.environment.decision import Frozen, decide
    from daybreak.environment.installation import Installation
    from daybreak.settings import load

    settings = load()
    installation = Installation.open(settings)
    policy = settings.night
    now = installation.clock()
    chosen = night(policy, words.date) if words.date else tonight(policy, now)
    brake = installation.switches.frozen()
    decisions = decide(
        policy,
        chosen.key,
        installation.environments.all(),
        settings.environments,
        installation.votes.for_night(policy, chosen.key),
        now,
        frozen=Frozen(brake.by, brake.reason) if brake else None,
    )
    if words.json:
        print(
            json.dumps({"night": chosen.key.isoformat(), "decisions": [item.to_json() for item in decisions]})
        )
        return 0
    zone = policy.tzinfo
    print(
        f"night {chosen.key} ({chosen.kind.value}): tear down {chosen.evening.astimezone(zone):%a %H:%M}, "
        f"rebuild {chosen.morning.astimezone(zone):%a %H:%M}, ready by {chosen.ready.astimezone(zone):%H:%M} "
        f"{policy.zone}\n"
    )
    rows = [[item.environment, item.action.value, item.reason] for item in decisions]
    print("\n".join(table(["environment", "decision", "why"], rows)))
    unarmed = sorted(
        {e.account for e in settings.environments}
        - {account for account in settings.aws.accounts if installation.switches.is_armed(account)}
    )
    if unarmed:
        print(f"\nnot armed, so a dry run: {', '.join(unarmed)} (`daybreak arm ACCOUNT` changes that)")
    return 0


def run_report(words: argparse.Namespace) -> int:
    """Print the report of one run."""
    from daybreak.environment.installation import Installation
    from daybreak.environment.night.report import kept_report
    from daybreak.errors import UsageError
    from daybreak.settings import load

    settings = load()
    installation = Installation.open(settings)
    run_id = words.run_id
    if run_id is None:
        latest = installation.nights.latest()
        if latest is None:
            raise UsageError("no night has run yet; `daybreak night plan` says what tonight would do")
        run_id = latest.run_id
    report = kept_report(installation, run_id)
    if words.json:
        print(json.dumps({"headline": report.headline, **report.to_json()}))
    else:
        print("\n".join(_report(report, settings.night.tzinfo)))
    return 0


def _report(report: NightReport, zone: ZoneInfo) -> Iterator[str]:
    yield report.headline
    begun = f"{report.decided_at.astimezone(zone):%a %H:%M}"
    ended = f"{report.finished_at.astimezone(zone):%a %H:%M}" if report.finished_at else "not finished"
    commit = f"commit {report.commit[:12]}" if report.commit else "no commit pinned"
    yield f"run {report.run_id}, {commit}; {begun} to {ended} {zone}"
    yield ""
    yield from _environments(report)
    if any(each.stages for each in report.environments):
        yield ""
        yield from _stages(report.environments)
    yield ""
    yield from _builds(report)
    yield ""
    yield from _figures(report.timing, report.timed_by)


def _environments(report: NightReport) -> Iterator[str]:
    from daybreak.environment.night.advice import next_step

    rows = []
    for each in report.environments:
        e2e = f"{each.verdict}, {each.tests} tests" if each.verdict and each.tests else each.verdict or "-"
        why = f"{each.code}: {each.message}" if each.code else each.reason
        rows.append([each.name, each.action, each.ended, e2e, why])
    yield from table(["environment", "decision", "ended", "e2e", "why"], rows)
    for each in report.environments:
        if each.failures:
            yield f"{each.name}: failed in e2e: {', '.join(each.failures)}"
    for each in report.faulted:
        yield f"{each.name}: next, {next_step(each.name, each.code or '')}"


def _stages(environments: tuple[EnvironmentReport, ...]) -> list[str]:
    """Seconds of each stage: an environment a line, a stage a column, in the order of the night."""
    names = list(dict.fromkeys(stage.name for each in environments for stage in each.stages))
    rows = []
    for each in environments:
        if not each.stages:
            continue
        cells = {}
        for stage in each.stages:
            odd = "" if stage.status == "done" else f" {stage.status}"
            again = f" (try {stage.tries})" if stage.tries > 1 else ""
            cells[stage.name] = f"{clock_seconds(stage.seconds)}{odd}{again}"
        rows.append([each.name, *(cells.get(name, "-") for name in names), clock_seconds(each.seconds)])
    header = ["seconds of", *names, "together"]
    return table(header, rows, right=range(1, len(header)))


def _builds(report: NightReport) -> Iterator[str]:
    if not report.builds:
        yield (
            f"built nothing: all {report.planned} resources were there" if report.planned else "built nothing"
        )
        return
    rows: dict[str, list[str]] = {}
    for each in report.builds:
        row = rows.setdefault(each.resource, [each.resource, "-", "-", ""])
        row[1 if each.what == "build" else 2] = clock_seconds(each.seconds)
        row[3] = each.status
    yield from table(["built", "build s", "tests s", "ended"], list(rows.values()), right=(1, 2))
    if others := report.planned - len(rows):
        yield f"the other {others} resources were there"


def _figures(timing: Timing, timed_by: str) -> Iterator[str]:
    from daybreak.environment.night.timing import TARGET

    parts = ", ".join(f"{span.name} {clock_seconds(span.seconds)}" for span in timing.spans)
    slots = ", ".join(
        f"{load.pool} {clock_seconds(load.seconds)} ÷ {load.slots} = {clock_seconds(load.bound)}"
        for load in timing.loads
    )
    fullest = timing.fullest
    rows = [
        ["makespan", clock_seconds(timing.makespan), parts],
        ["critical path", clock_seconds(timing.critical_path), f"{len(timing.chain)} tasks, see below"],
        ["task seconds ÷ slots", clock_seconds(fullest.bound if fullest else 0.0), slots or "no task"],
    ]
    if timing.ratio is not None:
        aim = "kept" if timing.ratio <= TARGET else "missed"
        said = f"makespan ÷ {clock_seconds(timing.bound)}; the aim, at most {TARGET}, is {aim}"
        rows.append(["ratio", f"{timing.ratio:.2f}", said])
    yield from table(["figure", "seconds", "from"], rows, right=(1,))
    if timed_by == "airflow":
        yield "tasks as Airflow timed them, from the start of their processes"
    else:
        yield "tasks as they timed themselves: no `airflow:` settings, or Airflow did not answer"
    if timing.chain:
        yield ""
        chain = [
            [link.name, clock_seconds(link.seconds), clock_seconds(link.waited)] for link in timing.chain
        ]
        yield from table(
            ["critical path", "seconds", "waited before"],
            [*chain, ["the end", "", clock_seconds(timing.after)]],
            right=(1, 2),
        )
