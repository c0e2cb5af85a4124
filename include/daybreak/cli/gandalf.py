"""``daybreak gandalf …`` and ``daybreak queue``: what one says to Gandalf in a comment on a pull request."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from daybreak.settings import Settings
    from daybreak.talk.gandalf.bot import Gandalf
    from daybreak.talk.reply import Reply

EXAMPLES = {
    "gandalf": "examples:\n  daybreak gandalf merge 12\n  daybreak gandalf merge 12 1a2b3c4 p=high solo\n"
    "  daybreak gandalf hold 12 -- until the release is out\n  daybreak gandalf explain 12 trips\n"
    "  daybreak gandalf pause incident 42\n  daybreak gandalf --json queue\n  daybreak gandalf help\n\n"
    "A shell takes #12 for a comment: say 12, or '#12'. What you may do is what your login on GitHub may\n"
    "(`github:` in `people:` of daybreak.yaml); exit code 77: you may not. GitHub is asked with\n"
    "DAYBREAK_GITHUB__TOKEN; without it one can only look.",
    "queue": "examples:\n  daybreak queue\n  daybreak queue --watch\n  daybreak queue --json",
}
#: Seconds between two looks of `--watch`.
_LOOK = 2.0


def add(parser: argparse.ArgumentParser) -> None:
    """Define the words of the command that ``parser`` is for."""
    command = parser.prog.split()[-1]
    if command == "queue":
        parser.add_argument("--watch", action="store_true", help="print it again whenever it changes")
        parser.add_argument("--json", action="store_true", help="with --watch: a line for each change")
        parser.set_defaults(run=run_queue)
        return
    parser.add_argument("--json", action="store_true", help="also at the end, before `--`")
    words = parser.add_argument(
        "words", nargs=argparse.REMAINDER, metavar="VERB …", help="as in a comment; by default `help`"
    )
    words.completer = complete  # type: ignore[attr-defined]
    parser.set_defaults(run=run)


def run(words: argparse.Namespace) -> int:
    """Say it, print the answer; the exit code is the answer's."""
    from daybreak.cli.saying import print_reply, said_words
    from daybreak.settings import load

    said, as_json = said_words(words.words, as_json=words.json)
    return print_reply(_say(_gandalf(load()), " ".join(said)), as_json=as_json)


def run_queue(words: argparse.Namespace) -> int:
    """Print the queue; with ``--watch`` again after each change, until Ctrl-C."""
    from daybreak.cli.saying import print_reply
    from daybreak.settings import load

    gandalf, shown = _gandalf(load()), None
    while True:
        reply = _say(gandalf, "queue")
        if reply.text != shown:
            if shown is not None and not words.json:
                print()
            print_reply(reply, as_json=words.json)
            shown = reply.text
        if not words.watch:
            return reply.exit_code
        time.sleep(_LOOK)


def _say(gandalf: Gandalf, text: str) -> Reply:
    from daybreak.cli.saying import login

    return gandalf.answer(text, gandalf.people.actor("os", login()))


def _gandalf(settings: Settings) -> Gandalf:
    from daybreak.environment.installation import Installation
    from daybreak.orchestration.starting import Starter
    from daybreak.talk.gandalf.bot import Gandalf
    from daybreak.talk.gandalf.gates import Gates
    from daybreak.talk.github import access

    gates = None
    if settings.github is not None and settings.github.token is not None:
        gates = Gates.of(settings, access.access(settings).client)
    trigger = Starter(settings) if settings.airflow else None
    return Gandalf(Installation.open(settings), gates, trigger=trigger)


def complete(prefix: str, parsed_args: argparse.Namespace, **_: object) -> list[str]:
    """What can follow, for the shell: verbs, then `p=`, `solo`, people, `--`."""
    from daybreak.settings import load
    from daybreak.talk.people import names
    from daybreak.talk.verbs import GANDALF, Vocabulary, following

    return following(parsed_args.words or [], Vocabulary(verbs=GANDALF), names(load()))
