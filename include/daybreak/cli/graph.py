"""``daybreak graph``, ``owners`` and ``unowned``: what the catalog of a commit says."""

from __future__ import annotations

import argparse
import json
import posixpath
import sys
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daybreak.cli.affected import add_repository, printable, warn

if TYPE_CHECKING:
    from daybreak.catalog.graph import Catalog
    from daybreak.git.repository import Repository

EXAMPLES = {
    "graph": "examples:\n"
    "  daybreak graph > graph.mmd\n"
    "  daybreak graph --format dot | dot -Tsvg > graph.svg\n"
    "  daybreak graph trips                          what it needs, and what needs it\n"
    "  daybreak graph --base origin/main             with what is affected in colour\n"
    "  daybreak graph --base origin/main --only-affected\n"
    "\nMermaid draws 500 edges by default: of a larger graph, draw a part, or use --format dot.",
    "owners": "examples:\n  daybreak owners packages/common/setup.py\n"
    "  daybreak owners --json $(git diff --name-only)",
    "unowned": "examples:\n  daybreak unowned\n"
    "  daybreak unowned --strict    in a CI: exit code 4 when there is one",
}


def add(parser: argparse.ArgumentParser) -> None:
    """Define the words of the command that ``parser`` is for."""
    command = parser.prog.split()[-1]
    if command == "owners":
        parser.add_argument("paths", nargs="+", metavar="PATH", help="a file, as seen from DIR")
    if command == "graph":
        parser.add_argument("resources", nargs="*", metavar="RESOURCE", help="by default all")
        parser.add_argument("--format", choices=["mermaid", "dot", "json"], default="mermaid")
        parser.add_argument("--base", metavar="REV", help="mark what is affected since this revision")
        parser.add_argument("--only-affected", action="store_true", help="with --base: leave the others out")
    else:
        parser.add_argument("--json", action="store_true", help="the answer as JSON")
    if command == "unowned":
        parser.add_argument("--strict", action="store_true", help="exit code 4 when there is one")
    add_repository(parser)
    parser.add_argument("--head", metavar="REV", default="HEAD", help="any revision (default: HEAD)")
    parser.set_defaults(run={"graph": run, "owners": run_owners, "unowned": run_unowned}[command])


def _load(words: argparse.Namespace) -> tuple[Repository, Catalog]:
    from daybreak.catalog.loader import load
    from daybreak.git.repository import Repository

    repo = Repository(Path(words.repo))
    return repo, load(repo, words.head, words.catalog)


def run(words: argparse.Namespace) -> int:
    """Draw the graph."""
    from daybreak.change.affected import affected
    from daybreak.change.drawing import FORMATS

    if words.only_affected and not words.base:
        from daybreak.errors import UsageError

        raise UsageError("--only-affected needs --base: affected since when?")
    repo, catalog = _load(words)
    names = [catalog[name].name for name in words.resources]
    around = catalog.closure(names) | catalog.impact(names) if names else catalog.resources.keys()
    marked: Collection[str] = ()
    if words.base:
        change = affected(repo, words.base, catalog, words.catalog)
        warn(change.warnings, change.fallback)
        for path in change.unowned:
            print(f"daybreak: warning: {printable(path)} belongs to nobody", file=sys.stderr)
        marked = change.because
    drawn = FORMATS[words.format](catalog, around & set(marked) if words.only_affected else around, marked)
    if drawn.startswith("%%"):
        print(f"daybreak: warning: {drawn.splitlines()[0].removeprefix('%% ')}", file=sys.stderr)
    print(drawn)
    return 0


def run_owners(words: argparse.Namespace) -> int:
    """Say to whom paths belong."""
    from daybreak.catalog.owners import Owners

    repo, catalog = _load(words)
    owners = Owners(catalog.resources.values())
    prefix = repo.prefix()
    answers: list[dict[str, Any]] = []
    for given in words.paths:
        path = posixpath.normpath(posixpath.join(prefix, given))
        owner, names = owners.owner(path), owners.of(path)
        answers.append(
            {
                "path": path,
                "owner": owner,
                "resources": [
                    {"name": name, "pattern": owners.pattern(name, path), "test": owners.is_test(name, path)}
                    for name in sorted(names, key=lambda name: (name != owner, name))
                ],
                "global": [each.pattern for each in catalog.rules.global_paths if each.matches(path)],
                "ignored": catalog.rules.ignores(path),
            }
        )
    if words.json:
        print(json.dumps({"schema": 1, "commit": catalog.commit, "paths": answers}))
        return 0
    for answer in answers:
        print(answer["path"])
        for each in answer["resources"]:
            kind = "test of" if each["test"] else "owner" if each["name"] == answer["owner"] else "used by"
            print(f"  {kind:<8} {each['name']}  (pattern {each['pattern']!r})")
        for pattern in answer["global"]:
            print(f"  counts for all that the global path {pattern!r} is for")
        if answer["ignored"]:
            print("  ignored: a change of it selects nothing, unless a manifest names it")
        if not answer["resources"] and not answer["global"]:
            print("  belongs to nobody")
    return 0


def run_unowned(words: argparse.Namespace) -> int:
    """List what belongs to no resource; a folder of which nothing does is one line."""
    from daybreak.change.nobody import folders, unowned

    repo, catalog = _load(words)
    found = unowned(repo, catalog, words.catalog)
    if words.json:
        print(json.dumps({"schema": 1, "commit": catalog.commit, "unowned": found}))
    else:
        for path, count in folders(repo, catalog, found):
            line = path if count is None else f"{path}/  ({count} files)"
            print(printable(line))
    return 4 if words.strict and found else 0
