"""``daybreak arm``, ``freeze`` and ``thaw``: what must be said by a person before, or to stop, deleting."""

from __future__ import annotations

import argparse

EXAMPLES = {
    "arm": "examples:\n  daybreak arm 111122223333\n  daybreak arm 111122223333 --off",
    "freeze": 'example:\n  daybreak freeze --reason "incident 42"',
    "thaw": "example:\n  daybreak thaw",
}


def add(parser: argparse.ArgumentParser) -> None:
    """Define the words of the command that ``parser`` is for."""
    command = parser.prog.split()[-1]
    if command == "arm":
        parser.add_argument("account", help="12 digits, on the allow-list of the settings")
        parser.add_argument("--off", action="store_true", help="back to dry runs")
    elif command == "freeze":
        parser.add_argument("--reason", required=True, help="is shown wherever something is refused")
    parser.set_defaults(run=run, command_name=command)


def run(words: argparse.Namespace) -> int:
    """Throw the switch and say so."""
    from daybreak.cli.saying import login
    from daybreak.environment.installation import Installation
    from daybreak.errors import UsageError
    from daybreak.settings import load

    settings = load()
    installation = Installation.open(settings)
    who = login()
    if words.command_name == "arm":
        if words.account not in settings.aws.accounts:
            known = ", ".join(sorted(settings.aws.accounts)) or "none"
            raise UsageError(
                f"account {words.account} is not on the allow-list aws.accounts; there are: {known}"
            )
        if words.off:
            installation.switches.disarm(words.account)
            print(f"{words.account}: disarmed; scorch and teardown are dry runs")
        else:
            installation.switches.arm(words.account, who)
            print(f"{words.account}: armed by {who}; the night may delete there")
    elif words.command_name == "freeze":
        installation.switches.freeze(who, words.reason)
        print(f"frozen by {who}: {words.reason}. `daybreak thaw` takes it back.")
    else:
        installation.switches.thaw()
        print("thawed")
    return 0
