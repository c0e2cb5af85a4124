"""``daybreak env``: what the registry knows of the environments."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from daybreak.environment.installation import Installation

EXAMPLES = {
    "env": "examples:\n  daybreak env status\n  daybreak env status dev-01 --json\n"
    "  daybreak env rebuild dev-03 --ref my-branch"
}


def add(parser: argparse.ArgumentParser) -> None:
    """Define the command's words."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    status = verbs.add_parser("status", help="state, verdict, commit, decision, lease of each environment")
    status.add_argument("environments", nargs="*", help="by default all")
    status.add_argument("--json", action="store_true")
    status.set_defaults(run=run)
    rebuild = verbs.add_parser(
        "rebuild", help="tear environments down and build them again now, in this process, without Airflow"
    )
    rebuild.add_argument("environments", nargs="+")
    rebuild.add_argument("--ref", metavar="REV", help="revision of the monorepo (default: its main branch)")
    rebuild.add_argument("--run-id", help="go on with an earlier run that was interrupted")
    rebuild.set_defaults(run=run_rebuild)


def run(words: argparse.Namespace) -> int:
    """Print the status of the environments."""
    from daybreak.environment.installation import Installation
    from daybreak.settings import load

    settings = load()
    for name in words.environments:
        settings.environment(name)
    answer = status(Installation.open(settings))
    if words.environments:
        answer["environments"] = [e for e in answer["environments"] if e["name"] in words.environments]
    if words.json:
        print(json.dumps(answer))
        return 0
    for row in answer["environments"]:
        lease = f"  {row['lease']['owner']} until {row['lease']['until']}" if row["lease"] else ""
        fault = f"  {row['fault']['code']}: {row['fault']['message']}" if row["fault"] else ""
        decision = f"  {row['decision']['action']}: {row['decision']['reason']}" if row["decision"] else ""
        print(
            f"{row['name']:<12} {row['state']:<12} {row['verdict']:<8} {(row['commit'] or '-')[:12]:<12}"
            f"{decision}{lease}{fault}"
        )
    return 0


def run_rebuild(words: argparse.Namespace) -> int:
    """Rebuild environments; exit code 1 when one of them is not READY."""
    import secrets
    import sys

    from daybreak.cli.saying import login
    from daybreak.environment.installation import PATIENCE, Installation
    from daybreak.environment.night.engine import run_night
    from daybreak.environment.night.prepare import Request
    from daybreak.settings import load

    run_id = words.run_id or f"cli-{secrets.token_hex(4)}"
    print(f"run {run_id}", file=sys.stderr)
    summary = run_night(
        Installation.open(load(), patience=PATIENCE),
        run_id,
        Request(environments=tuple(words.environments), wait=False, ref=words.ref),
        actor=login(),
        say=lambda line: print(line, file=sys.stderr, flush=True),
    )
    print("\n".join(summary.lines))
    return 0 if summary.as_decided else 1


def status(installation: Installation) -> dict[str, Any]:
    """The answer of ``daybreak env status --json``."""
    from daybreak.environment.calendar import tonight

    installation.register()
    now = installation.clock()
    night = tonight(installation.settings.night, now).key
    decided: dict[str, Any] = {}
    for row in installation.nights.environments():
        # Newest night first: the last decision that was taken for each environment.
        decided.setdefault(row.environment, (row.night, row.decision))
    environments = []
    for env in installation.environments.all():
        decision = decided.get(env.name)
        environments.append(
            {
                "name": env.name,
                "state": env.state.value,
                "since": env.state_since.isoformat(),
                "verdict": env.verdict or "not_run",
                "commit": env.commit,
                "decision": {"action": decision[1]["action"], "reason": decision[1]["reason"]}
                if decision
                else None,
                "lease": {
                    "owner": env.lease_owner,
                    "until": env.lease_until.isoformat() if env.lease_until else None,
                    "reason": env.lease_reason,
                }
                if env.leased(now)
                else None,
                "op": env.op_step,
                "fault": {"code": env.fault_code, "message": env.fault_message} if env.fault_code else None,
            }
        )
    return {"night": night.isoformat(), "environments": environments}
