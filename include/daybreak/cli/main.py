"""``daybreak …``: parse the words, find the command, turn expected errors into one line and an exit code.

Standard output is the answer (pure JSON with ``--json``); everything else goes to standard error. Exit
codes: 0 done, 1 failed, 2 usage or settings, 3 no base, 4 unowned under ``--strict``, 5 cycle, 73
environment locked, 77 not allowed, 130 interrupted. Commands are imported when they are called, so that the
light ones start fast.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import cache

from daybreak.errors import DaybreakError

#: Module and one line of help for each command.
COMMANDS = {
    "affected": "which resources a change touches, at first hand or through what they need",
    "why": "the chain from a changed file to a resource",
    "plan": "what to build, test and deploy for a change, in order",
    "graph": "the resources and what they need, as Mermaid, Graphviz or JSON",
    "owners": "to which resources a file belongs, and by which pattern",
    "unowned": "the files that belong to no resource",
    "discover": "what a commit is made of, with the line that says so; --check finds drift",
    "init": "write daybreak.yaml for a monorepo; asks what it cannot see",
    "build": "build and unit-test resources of a commit, in the order of their dependencies",
    "bobby": "who has which environment: lock, extend, release, preserve, wait, deploy, as in Slack",
    "gandalf": "land pull requests: merge, cancel, hold, try, explain …, as in a comment on one",
    "queue": "which pull requests land next; --watch",
    "env": "the environments: state, lease, verdict, fault",
    "bcd": "build, create and deploy a revision into one environment",
    "night": "what tonight would do, and why; what a night did, and how long it took",
    "scorch": "what a scorch of an environment would delete right now; never deletes",
    "arm": "allow Daybreak to delete in an AWS account",
    "freeze": "kill switch: nothing is deleted until `daybreak thaw`",
    "thaw": "take back `daybreak freeze`",
    "doctor": "whether everything is there that a night needs, and what to do about what is not",
    "registry": "the registry's tables",
    "bots": "answer in Slack over Socket Mode, in the foreground",
    "host": "own the services of the `process` driver, in the foreground",
    "completion": "completion for bash or zsh",
}
_MODULES = {
    "arm": "switches", "freeze": "switches", "thaw": "switches", "why": "affected", "plan": "affected",
    "owners": "graph", "unowned": "graph", "queue": "gandalf",
}  # fmt: skip


class _Help(argparse.RawDescriptionHelpFormatter):
    """As wide as argparse makes it. It makes one for each argument that is defined, and would import shutil,
    with all that knows archives, to ask how wide the terminal is.
    """

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_columns() - 2)


@cache
def _columns() -> int:
    with suppress(KeyError, ValueError):
        if columns := int(os.environ["COLUMNS"]):
            return columns
    with suppress(ValueError, OSError):
        if sys.__stdout__ is not None:
            return os.get_terminal_size(sys.__stdout__.fileno()).columns or 80
    return 80


def parser(only: str | None = None) -> argparse.ArgumentParser:
    """The parser with every command in it, or with one."""
    top = argparse.ArgumentParser(
        prog="daybreak",
        description="Clean development environments every morning, and a main branch that never breaks.",
        epilog="Settings: include/config/daybreak.yaml, or the file that DAYBREAK_CONFIG names.\n\n"
        "examples:\n  daybreak env status --json\n  daybreak night plan\n  daybreak build "
        "--commit main trips",
        formatter_class=_Help,
    )
    top.add_argument("-v", "--verbose", action="store_true", help="say what is done, on standard error")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, text in COMMANDS.items():
        if only not in (None, name):
            continue
        module = importlib.import_module(f"daybreak.cli.{_MODULES.get(name, name)}")
        module.add(
            commands.add_parser(
                name,
                help=text,
                description=text,
                epilog=module.EXAMPLES.get(name, ""),
                formatter_class=_Help,
            )
        )
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    if "_ARGCOMPLETE" in os.environ:  # the shell asks what can follow; it does not come back from there
        import argcomplete

        typed = os.environ.get("COMP_LINE", "").split()[1:2]
        only = typed[0] if typed and typed[0] in COMMANDS else None
        argcomplete.autocomplete(parser(only), always_complete_options=False)
    given = list(sys.argv[1:] if argv is None else argv)
    # The other commands would only have to be imported.
    words = parser(given[0] if given and given[0] in COMMANDS else None).parse_args(given)
    if words.verbose:
        import logging

        # Else logging writes warnings to standard error in the same form, without being set up.
        logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        code = int(words.run(words) or 0)
        # Here, where a reader that has gone is expected, and not when the interpreter ends.
        sys.stdout.flush()
        return code
    except DaybreakError as error:
        print(f"daybreak: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        # `| head` has enough. Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        said = _database(error)
        if said is None:
            raise
        print(f"daybreak: {said}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("daybreak: interrupted; what was finished is kept, run it again to go on", file=sys.stderr)
        return 130


def _database(error: Exception) -> str | None:
    """What a database that cannot be reached says, never its URL; ``None`` for another error."""
    # Most commands need no database, and none of them waits for the import of its library.
    library = sys.modules.get("sqlalchemy.exc")
    if library is None or not isinstance(error, library.OperationalError):
        return None
    words = str(error.orig).strip().partition("\n")[0]
    return f"the registry's database says: {words}. `daybreak doctor` says what to look at"


if __name__ == "__main__":
    raise SystemExit(main())
