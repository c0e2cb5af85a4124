"""``daybreak doctor``: is everything there that a night needs, and what to do about what is not."""

from __future__ import annotations

import argparse
import json
import sys

EXAMPLES = {
    "doctor": "examples:\n  daybreak doctor\n  daybreak doctor --only airflow --only aws\n"
    "  daybreak doctor --json | jq '.[] | select(.state == \"fail\")'\n\n"
    "Exit code 0 when nothing failed; warnings do not count. It fetches the monorepo and puts one\n"
    "probe into the store; nothing else is written.",
}

#: What there is to look at, in the order in which one thing stands on another.
AREAS = ("settings", "home", "monorepo", "registry", "store", "aws", "sql", "airflow", "slack", "github")


def add(parser: argparse.ArgumentParser) -> None:
    """Define the words of the command."""
    known = ", ".join(AREAS)
    parser.add_argument(
        "--only", action="append", choices=AREAS, metavar="AREA", help=f"of {known}; repeatable"
    )
    parser.add_argument("--json", action="store_true", help="a list of findings on standard output")
    parser.set_defaults(run=run)


def run(words: argparse.Namespace) -> int:
    """Print each finding when it is there."""
    from daybreak.doctor import airflow, cloud, github, local, slack
    from daybreak.doctor.finding import Check, examine
    from daybreak.settings import load

    checks: dict[str, Check] = {
        "settings": local.settings,
        "home": local.home,
        "monorepo": local.monorepo,
        "registry": local.registry,
        "store": local.store,
        "aws": cloud.accounts,
        "sql": cloud.sql,
        "airflow": airflow.airflow,
        "slack": slack.slack,
        "github": github.github,
    }
    wanted = {area: checks[area] for area in AREAS if not words.only or area in words.only}
    found = []
    for finding in examine(load(), wanted):
        found.append(finding)
        if not words.json:
            print(f"{finding.state:<5} {finding.area:<19} {finding.said}")
            if finding.next:
                print(f"{'':<25} → {finding.next}")
            sys.stdout.flush()
    failed = sum(finding.state == "fail" for finding in found)
    warned = sum(finding.state == "warn" for finding in found)
    if words.json:
        print(json.dumps([finding.to_json() for finding in found], indent=2))
    else:
        print(f"\n{len(found) - failed - warned} ok, {warned} to think about, {failed} to mend")
    return 1 if failed else 0
