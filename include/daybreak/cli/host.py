"""``daybreak host``."""

from __future__ import annotations

import argparse
from pathlib import Path

EXAMPLES = {"host": "examples:\n  daybreak host --home .daybreak\n  daybreak host --ping   (a health check)"}


def add(parser: argparse.ArgumentParser) -> None:
    """Define the command's words."""
    parser.add_argument("--home", type=Path, help="by default $DAYBREAK_HOME of the settings")
    parser.add_argument("--ping", action="store_true", help="only ask whether a host serves this home")
    parser.set_defaults(run=run)


def run(words: argparse.Namespace) -> int:
    """Own services until SIGTERM or Ctrl-C; with ``--ping``, exit code 1 when no host does.

    With `host:` in the settings it is there for other machines too.
    """
    from daybreak.deploy.host import HostClient
    from daybreak.deploy.host.__main__ import hosting
    from daybreak.settings import load

    settings = None if words.home else load()
    home, listen = (settings.home, settings.host) if settings is not None else (words.home, None)
    if words.ping:
        print(f"process {HostClient(home).ping()} serves {home}")
        return 0
    return hosting(home, listen)
