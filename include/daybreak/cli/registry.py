"""``daybreak registry``: the tables that say who has what, and what happened."""

from __future__ import annotations

import argparse

EXAMPLES = {"registry": "example:\n  daybreak registry migrate"}


def add(parser: argparse.ArgumentParser) -> None:
    """Define the command's words."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    migrate = verbs.add_parser(
        "migrate", help="create the tables, or bring them to this version; safe for many at once"
    )
    migrate.set_defaults(run=run)


def run(words: argparse.Namespace) -> int:
    """Migrate, and say from where to where."""
    from sqlalchemy.exc import OperationalError

    from daybreak import registry
    from daybreak.errors import DaybreakError
    from daybreak.settings import load

    engine = registry.connect(load().registry_url)
    try:
        before = registry.revision(engine)
        registry.migrate(engine)
        after = registry.revision(engine)
    except OperationalError as error:
        raise DaybreakError(f"registry: its database says: {error.orig}") from None
    # Never the URL: it may hold a password.
    print(f"registry: at revision {after}" + ("" if before == after else f", was {before or 'empty'}"))
    return 0
