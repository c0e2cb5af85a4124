"""``daybreak discover``: what Daybreak sees in a commit, and whether the catalog in use says the same."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daybreak.cli.affected import add_repository

if TYPE_CHECKING:
    from daybreak.catalog.drift import Difference
    from daybreak.catalog.graph import Catalog
    from daybreak.catalog.loader import Loaded
    from daybreak.git.repository import Repository

EXAMPLES = {
    "discover": "examples:\n"
    "  daybreak discover                     of HEAD of this folder's repository\n"
    "  daybreak discover --repo ~/src/acme --head origin/main --json\n"
    "  daybreak discover --check             exit code 1 when the catalog in use says something else\n"
    "  daybreak discover --check --against declared\n"
    "\nThe catalog in use is the one that the last night published; where no settings name a store with\n"
    "one, it is what resources.py declares by itself. docs/discovery.md says what is seen and what is not."
}


def add(parser: argparse.ArgumentParser) -> None:
    """Define the command's words."""
    add_repository(parser)
    parser.add_argument("--head", metavar="REV", default="HEAD", help="any revision (default: HEAD)")
    parser.add_argument("--check", action="store_true", help="compare with the catalog in use")
    parser.add_argument(
        "--against", choices=["published", "declared"],
        help="with --check: the published catalog, or resources.py alone (default: the first that there is)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="the answer as JSON")
    parser.set_defaults(run=run)


def run(words: argparse.Namespace) -> int:
    """Print what was found; with ``--check`` the differences, and exit code 1 when there is one."""
    from daybreak.catalog.drift import drift
    from daybreak.catalog.loader import inspect
    from daybreak.git.repository import Repository

    repo = Repository(Path(words.repo))
    loaded = inspect(repo, words.head, words.catalog)
    against, differences = "", []
    if words.check:
        against, before = _in_use(repo, loaded, words)
        differences = drift(before, loaded.catalog)
    if words.json:
        print(json.dumps(_as_json(loaded, against, differences), indent=2))
    elif words.check:
        for each in differences:
            print(each)
        said = f"{len(differences)} differences" if differences else "no difference"
        print(f"{said} between the {against} catalog and {loaded.catalog.commit[:12]}", file=sys.stderr)
    else:
        print("\n".join(_lines(loaded)))
    return 1 if differences else 0


def _in_use(repo: Repository, loaded: Loaded, words: argparse.Namespace) -> tuple[str, Catalog]:
    """The catalog to compare with, and what it is called."""
    from daybreak.catalog.loader import declared_alone
    from daybreak.errors import UsageError

    if words.against != "declared":
        published = _published(required=words.against == "published")
        if published is not None:
            return "published", published
    declared = declared_alone(repo, loaded.catalog.commit, words.catalog)
    if declared is None:
        raise UsageError(
            f"there is nothing to compare with: no night has published a catalog where the settings say, and "
            f"{words.catalog} does not exist at {loaded.catalog.commit[:12]}"
        )
    return "declared", declared


def _published(*, required: bool) -> Catalog | None:
    from daybreak.catalog.snapshot import current
    from daybreak.errors import DaybreakError, UsageError
    from daybreak.settings import load
    from daybreak.store import NotInStore, Store

    try:
        return current(Store(load().store_url))
    except NotInStore:
        if required:
            raise UsageError("no night has published a catalog where the settings say") from None
    except DaybreakError as error:
        if required:
            raise
        print(f"discover: the published catalog is not asked: {error}", file=sys.stderr)
    return None


def _lines(loaded: Loaded) -> Iterator[str]:
    from daybreak.cli.table import table

    catalog = loaded.catalog
    names = sorted(catalog.resources, key=lambda name: (catalog[name].root, name))
    rows = [(name, catalog[name].type.value, catalog[name].root) for name in names]
    printed = table(("RESOURCE", "TYPE", "ROOT"), rows)
    yield printed[0]
    for name, line in zip(names, printed[1:], strict=True):
        yield line
        needs = catalog[name].dependencies
        width = max(map(len, needs), default=0)
        yield from (f"    needs {other:<{width}}  {catalog.evidence(name, other)}" for other in needs)
    if catalog.uncertain:
        yield "\nUNCERTAIN (counts as depending on all of it, until declared)"
        yield from (f"{each.resource}  {each.where}  {each.what}" for each in catalog.uncertain)
    if loaded.notes:
        yield "\nNOTES"
        yield from (f"{where}  {what}" for where, what in loaded.notes)


def _as_json(loaded: Loaded, against: str, differences: Sequence[Difference]) -> dict[str, Any]:
    catalog = loaded.catalog.to_json()
    return {
        "schema": 1,
        "commit": catalog["commit"],
        "digest": catalog["digest"],
        "resources": catalog["resources"],
        "uncertain": catalog["uncertain"],
        "notes": [{"where": where, "what": what} for where, what in loaded.notes],
        "drift": {"against": against, "differences": [each.to_json() for each in differences]}
        if against
        else None,
    }
