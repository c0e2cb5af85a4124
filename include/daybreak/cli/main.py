"""``daybreak …``: parse the words, find the command, turn expected errors into one line and an exit code.

Standard output is the answer (pure JSON with ``--json``); everything else goes to standard error. Exit
codes: 0 done, 1 failed, 2 usage or settings, 3 no base, 4 unowned under ``--strict``, 5 cycle, 73
environment locked, 130 interrupted. Commands are imported when they are called, so that the light ones
start fast.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Sequence

from daybreak.errors import DaybreakError

#: Module and one line of help for each command.
COMMANDS = {
    "init": "write daybreak.yaml for a monorepo; asks what it cannot see",
    "build": "build and unit-test resources of a commit, in the order of their dependencies",
    "env": "the environments: state, lease, verdict, fault",
    "night": "what tonight would do, and why; what a night did, and how long it took",
    "scorch": "what a scorch of an environment would delete right now; never deletes",
    "arm": "allow Daybreak to delete in an AWS account",
    "freeze": "kill switch: nothing is deleted until `daybreak thaw`",
    "thaw": "take back `daybreak freeze`",
    "doctor": "whether everything is there that a night needs, and what to do about what is not",
    "registry": "the registry's tables",
    "host": "own the services of the `process` driver, in the foreground",
}
_MODULES = {"arm": "switches", "freeze": "switches", "thaw": "switches"}


def parser() -> argparse.ArgumentParser:
    """The parser with every command in it."""
    top = argparse.ArgumentParser(
        prog="daybreak",
        description="Clean development environments every morning, and a main branch that never breaks.",
        epilog="Settings: include/config/daybreak.yaml, or the file that DAYBREAK_CONFIG names.\n\n"
        "examples:\n  daybreak env status --json\n  daybreak night plan\n  daybreak build "
        "--commit main trips",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("-v", "--verbose", action="store_true", help="say what is done, on standard error")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, text in COMMANDS.items():
        module = importlib.import_module(f"daybreak.cli.{_MODULES.get(name, name)}")
        module.add(
            commands.add_parser(
                name,
                help=text,
                description=text,
                epilog=module.EXAMPLES.get(name, ""),
                formatter_class=argparse.RawDescriptionHelpFormatter,
            )
        )
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    words = parser().parse_args(argv)
    logging.basicConfig(
        level=logging.INFO if words.verbose else logging.WARNING, format="%(message)s", stream=sys.stderr
    )
    try:
        return int(words.run(words) or 0)
    except DaybreakError as error:
        print(f"daybreak: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("daybreak: interrupted; what was finished is kept, run it again to go on", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # `| head` has enough. Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


if __name__ == "__main__":
    raise SystemExit(main())
