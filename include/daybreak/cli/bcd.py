"""``daybreak bcd``: build, create and deploy a revision into one environment."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from daybreak.environment.bcd.report import Report
    from daybreak.environment.bcd.request import Request
    from daybreak.environment.installation import Installation

EXAMPLES = {
    "bcd": "examples:\n"
    "  daybreak bcd dev-01                          the latest main: what dev-01 does not run yet\n"
    "  daybreak bcd dev-01 my-branch --wait         a branch; waits for the end and says what changed\n"
    "  daybreak bcd dev-01 '#12' trips fleet        two resources of pull request 12\n"
    "  daybreak bcd dev-01 --all --e2e --json       everything, then e2e\n"
    "  daybreak bcd dev-01 my-branch --here         in this process, without Airflow\n\n"
    "exit codes: 0 done (or, without --wait, triggered), 1 not all was deployed, 2 usage or settings, "
    "73 locked"
}

#: Seconds between two looks at a run.
_POLL = 2.0


def add(parser: argparse.ArgumentParser) -> None:
    """Define the command's words."""
    parser.add_argument("environment", metavar="ENV")
    parser.add_argument("ref", metavar="REF", nargs="?", help="branch, #12, tag or commit (default: main)")
    parser.add_argument("resources", metavar="RESOURCE", nargs="*", help="only these")
    parser.add_argument("--all", action="store_true", help="everything, not only what differs")
    parser.add_argument("--force", action="store_true", help="deploy also what runs there already")
    parser.add_argument("--remove", action="store_true", help="destroy what the revision does not have")
    parser.add_argument("--e2e", action="store_true", help="run the e2e suites afterwards")
    parser.add_argument(
        "--only", metavar="ACTIONS", help="of build,test,create,deploy (comma-separated; default: all)"
    )
    parser.add_argument("--reason", default="", metavar="WHY", help="whoever meets the lock reads it")
    parser.add_argument("--run-id", metavar="ID", help="names the work: the same one again starts nothing")
    parser.add_argument("--wait", action="store_true", help="wait for the end and print the report")
    parser.add_argument("--here", action="store_true", help="in this process, without Airflow")
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(run=run)


def run(words: argparse.Namespace) -> int:
    """Trigger the run, or do it here; 73 when somebody else has the environment."""
    import secrets

    from daybreak.cli.saying import login
    from daybreak.environment.bcd.request import Request
    from daybreak.environment.installation import PATIENCE, Installation
    from daybreak.settings import load
    from daybreak.talk.people import People

    conf: dict[str, Any] = {
        "environment": words.environment, "ref": words.ref, "resources": words.resources,
        "everything": words.all, "force": words.force, "remove": words.remove, "e2e": words.e2e,
        "reason": words.reason, "actions": words.only.split(",") if words.only else None,
    }  # fmt: skip
    settings = load()
    request = Request.of(conf)
    request.check(settings)
    installation = Installation.open(settings, patience=PATIENCE if words.here else 0)
    installation.register()
    user = login()
    person = People(settings, installation.engine, installation.clock).by_os_user(user)
    actor = person.name if person else user
    run_id = words.run_id or f"bcd-{words.environment}-{secrets.token_hex(4)}"
    if words.here:
        return _here(installation, run_id, request, actor, as_json=words.json)
    return _trigger(installation, run_id, request, actor, words)


def _here(
    installation: Installation, run_id: str, request: Request, actor: str, *, as_json: bool
) -> int:  # fmt: skip
    from daybreak.environment.bcd.engine import run_bcd

    print(f"run {run_id}", file=sys.stderr)
    report = run_bcd(
        installation, run_id, request, actor=actor,
        say=lambda line: print(line, file=sys.stderr, flush=True),
    )  # fmt: skip
    return _print(report, as_json=as_json)


def _trigger(
    installation: Installation, run_id: str, request: Request, actor: str, words: argparse.Namespace
) -> int:
    from dataclasses import replace

    from daybreak.environment.bcd.work import Work, require_usable
    from daybreak.orchestration.rest import Rest
    from daybreak.orchestration.starting import Starter

    if request.changes:
        # The run asks again; here it costs a second and gives the exit code.
        installation.leases.guard(request.environment, actor)
        require_usable(Work(installation, run_id, request, actor))
    url = Starter(installation.settings)("bcd", run_id, replace(request, by=actor).to_conf())
    print(f"run {run_id}: {url}", file=sys.stderr)
    if not words.wait:
        if words.json:
            print(json.dumps({"run_id": run_id, "url": url}))
        return 0
    rest = Rest.of(installation.settings)
    while not rest.run("bcd", run_id).ended:
        time.sleep(_POLL)
    return _print(_report(installation, run_id), as_json=words.json)


def _report(installation: Installation, run_id: str) -> Report:
    from daybreak.environment.bcd.records import BcdRuns
    from daybreak.environment.bcd.report import Report
    from daybreak.errors import DaybreakError

    found = BcdRuns(installation.engine, installation.clock).find(run_id)
    if found is None or found.report is None:
        raise DaybreakError(f"run {run_id} ended without a report; see the log of its first failed task")
    return Report.from_json(found.report)


def _print(report: Report, *, as_json: bool) -> int:
    from daybreak.errors import EnvironmentLocked

    print(json.dumps(report.to_json()) if as_json else "\n".join(report.table()))
    if report.locked is not None:
        return EnvironmentLocked.exit_code
    return 0 if report.ok else 1
