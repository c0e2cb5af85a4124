"""``daybreak scorch ENV --plan``: what a scorch would delete right now. It never deletes."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from daybreak.cli.table import table

if TYPE_CHECKING:
    from daybreak.environment.scorch.outlook import Outlook
    from daybreak.settings import ScorchSettings

EXAMPLES = {
    "scorch": "examples:\n"
    "  daybreak scorch dev-01 --plan\n"
    "  daybreak scorch dev-01 --plan --json\n"
    "  daybreak scorch dev-01 --plan --ref my-branch   with the data stores that a branch declares\n"
    "\nexit code: 0 when the night could carry it out, 1 when it would be refused."
}


def add(parser: argparse.ArgumentParser) -> None:
    """Define the command's words."""
    parser.add_argument("environment", metavar="ENV")
    parser.add_argument("--plan", action="store_true", help="look and say; changes nothing (must be given)")
    parser.add_argument("--ref", metavar="REV", help="revision of the monorepo (default: its main branch)")
    parser.add_argument("--json", action="store_true", help="the whole plan as JSON")
    parser.set_defaults(run=run)


def run(words: argparse.Namespace) -> int:
    """Print the outlook."""
    from daybreak.environment.installation import Installation
    from daybreak.environment.scorch.outlook import look
    from daybreak.errors import UsageError
    from daybreak.settings import load

    settings = load()
    settings.environment(words.environment)
    if not words.plan:
        raise UsageError(
            f"this command only looks: say `daybreak scorch {words.environment} --plan`. What deletes is the "
            f"night (the DAG `nightly`), or `daybreak env rebuild {words.environment}` now; both make this "
            f"plan anew and carry it out."
        )
    outlook = look(Installation.open(settings), words.environment, words.ref)
    if words.json:
        print(json.dumps(outlook.to_json()))
    else:
        print("\n".join(_lines(outlook, settings.scorch)))
    return 0 if outlook.executable else 1


def _lines(outlook: Outlook, limits: ScorchSettings) -> Iterator[str]:
    plan = outlook.plan
    if plan is None:
        yield f"scorch {outlook.environment}: nothing was looked at"
    else:
        counts = ", ".join(f"{count} {kind}" for kind, count in outlook.counts.items()) or "nothing"
        yield f"scorch {plan.environment} in {plan.account}, {plan.region}: {counts}"
        usual = f"usual {outlook.usual:g}, at most {limits.ratio:g} times that; " if outlook.usual else ""
        yield f"plan {plan.digest}, size {plan.size} ({usual}cap {limits.cap})"
        yield f"data stores as commit {outlook.commit[:12]} declares them"
        if not plan.nonces:
            yield "never provisioned: nothing can carry a nonce of ours, so nothing would be deleted"
    for night, left in outlook.unfinished:
        yield f"first goes on with plan {left.digest[:12]} of the night {night}, size {left.size}, cut off"
    if plan is not None and plan.items:
        rows = []
        for item in plan.items:
            rows.append([item.kind.value, item.identifier, item.store, item.why])
            rows += [["", f"  {name}", "", ""] for name in sorted(item.detail.get("objects", ()))]
        yield ""
        yield from table(["would go", "exactly", "store", "why"], rows)
    for title, spared in (
        ("spared", plan.protected if plan else ()),
        ("orphan", plan.orphans if plan else ()),
    ):
        if spared:
            yield ""
            yield from table(
                [title, "exactly", "code", "why"],
                [[each.kind, each.identifier, each.code.value, each.reason] for each in spared],
            )
    yield ""
    if outlook.refusals:
        yield from table(
            ["refused", "for", "why"], [[each.code, each.what, each.reason] for each in outlook.refusals]
        )
    else:
        yield "the night could carry it out"
