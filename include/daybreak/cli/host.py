"""``daybreak host``."""

from __future__ import annotations

import argparse
from pathlib import Path

EXAMPLES = {"host": "example:\n  daybreak host --home .daybreak"}


def add(parser: argparse.ArgumentParser) -> None:
    """Define the command's words."""
    parser.add_argument("--home", type=Path, help="by default $DAYBREAK_HOME of the settings")
    parser.set_defaults(run=run)


def run(words: argparse.Namespace) -> int:
    """Own services until SIGTERM or Ctrl-C."""
    from daybreak.deploy.host.__main__ import main
    from daybreak.settings import load

    return main(["--home", str(words.home or load().home)])
