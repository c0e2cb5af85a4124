"""``python -m daybreak.deploy.host --home DIR``: the host in the foreground."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from daybreak.deploy.host.serving import serve
from daybreak.errors import DaybreakError
from daybreak.settings import HostSettings


def main(argv: list[str] | None = None) -> int:
    """Serve until SIGTERM or Ctrl-C; every service ends with it."""
    parser = argparse.ArgumentParser(prog="daybreak host", description=main.__doc__)
    parser.add_argument(
        "--home", type=Path, required=True, help="$DAYBREAK_HOME, the folder whose services it owns"
    )
    arguments = parser.parse_args(argv)
    return hosting(arguments.home)


def hosting(home: Path, listen: HostSettings | None = None) -> int:
    """Serve; the exit code."""
    try:
        serve(home, listen=listen)
    except DaybreakError as error:
        print(f"daybreak host: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
