"""``python -m daybreak.deploy.host --home DIR``: the host in the foreground."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from daybreak.deploy.host.server import serve
from daybreak.errors import DaybreakError


def main(argv: list[str] | None = None) -> int:
    """Serve until SIGTERM or Ctrl-C; every service ends with it."""
    parser = argparse.ArgumentParser(prog="daybreak host", description=main.__doc__)
    parser.add_argument(
        "--home", type=Path, required=True, help="$DAYBREAK_HOME, the folder whose services it owns"
    )
    arguments = parser.parse_args(argv)
    try:
        serve(arguments.home)
    except DaybreakError as error:
        print(f"daybreak host: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
