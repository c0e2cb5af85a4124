"""``daybreak registry``: the tables that say who has what, and what happened."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Engine

EXAMPLES = {
    "registry": "examples:\n  daybreak registry migrate\n  daybreak registry messages --again\n"
    "  daybreak registry messages --json | jq -r '.[] | select(.status == \"failed\") | .error'"
}


def add(parser: argparse.ArgumentParser) -> None:
    """Define the command's words."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    migrate = verbs.add_parser(
        "migrate", help="create the tables, or bring them to this version; safe for many at once"
    )
    migrate.set_defaults(run=run, work=_migrate)
    messages = verbs.add_parser(
        "messages", help="what people were not told yet: what waits, and what was given up and why"
    )
    messages.add_argument("--again", action="store_true", help="try again to send what was given up")
    messages.add_argument("--json", action="store_true", help="a list on standard output")
    messages.set_defaults(run=run, work=_messages)


def run(words: argparse.Namespace) -> int:
    """Do what the verb says."""
    from daybreak import registry
    from daybreak.settings import load

    words.work(registry.connect(load().registry_url), words)
    return 0


def _migrate(engine: Engine, words: argparse.Namespace) -> None:
    from daybreak import registry

    before = registry.revision(engine)
    registry.migrate(engine)
    after = registry.revision(engine)
    # Never the URL: it may hold a password.
    print(f"registry: at revision {after}" + ("" if before == after else f", was {before or 'empty'}"))


def _messages(engine: Engine, words: argparse.Namespace) -> None:
    from dataclasses import asdict

    from daybreak import registry
    from daybreak.cli.table import table
    from daybreak.registry.outbox import Outbox
    from daybreak.registry.work import CLAIMED, FAILED, WAITING

    registry.require_current(engine)
    outbox = Outbox(engine)
    if words.again:
        outbox.again()
    found = outbox.standing(WAITING, CLAIMED, FAILED)
    if words.json:
        print(json.dumps([asdict(each) for each in found], default=str, indent=2))
    elif found:
        rows = [
            (f"{each.created_at:%Y-%m-%d %H:%M}", each.status, each.recipient, each.key, each.error or "")
            for each in found
        ]
        print("\n".join(table(("since (UTC)", "status", "for", "message", "why"), rows)))
    else:
        print("nothing waits, and nothing was given up")
