"""``daybreak night``: what a night would do, and why."""

from __future__ import annotations

import argparse
import json
from datetime import date

EXAMPLES = {"night": "examples:\n  daybreak night plan\n  daybreak night plan --date 2026-03-06 --json"}


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
    plan.set_defaults(run=run)


def run(words: argparse.Namespace) -> int:
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
        {},
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
        f"{policy.zone}"
    )
    for item in decisions:
        print(f"  {item.environment:<12} {item.action.value:<9} {item.reason}")
    unarmed = sorted(
        {e.account for e in settings.environments}
        - {account for account in settings.aws.accounts if installation.switches.is_armed(account)}
    )
    if unarmed:
        print(f"not armed, so a dry run: {', '.join(unarmed)} (`daybreak arm ACCOUNT` changes that)")
    return 0
