"""``daybreak bobby …``: exactly what one says to Bobby in Slack, as the person whose login this is."""

from __future__ import annotations

import argparse

EXAMPLES = {
    "bobby": "examples:\n  daybreak bobby status\n  daybreak bobby lock any for 4h -- load test\n"
    "  daybreak bobby preserve dev-03 tonight\n  daybreak bobby deploy dev-01 my-branch trips\n"
    "  daybreak bobby --json mine\n  daybreak bobby help\n\n"
    "`for 4h`, `until 17:40`, `tonight`, `-- why` are said as in Slack; exit code 73: somebody else has it."
}


def add(parser: argparse.ArgumentParser) -> None:
    """Define the command's words: all of them are Bobby's."""
    parser.add_argument("--json", action="store_true", help="also at the end, before `--`")
    words = parser.add_argument(
        "words", nargs=argparse.REMAINDER, metavar="VERB …", help="as in Slack; by default `help`"
    )
    words.completer = complete  # type: ignore[attr-defined]
    parser.set_defaults(run=run)


def run(words: argparse.Namespace) -> int:
    """Say it, print the answer; the exit code is the answer's."""
    from daybreak.cli.saying import login, print_reply, said_words
    from daybreak.environment.installation import Installation
    from daybreak.orchestration.starting import Starter
    from daybreak.settings import load
    from daybreak.talk.bobby.bot import Bobby

    said, as_json = said_words(words.words, as_json=words.json)
    settings = load()
    bobby = Bobby(Installation.open(settings), trigger=Starter(settings) if settings.airflow else None)
    reply = bobby.answer(" ".join(said), bobby.people.actor("os", login()))
    return print_reply(reply, as_json=as_json)


def complete(prefix: str, parsed_args: argparse.Namespace, **_: object) -> list[str]:
    """What can follow, for the shell: verbs, then environments, then `for`, `until`, `--`."""
    from daybreak.settings import load
    from daybreak.talk.people import names
    from daybreak.talk.verbs import Vocabulary, following

    settings = load()
    environments = [each.name for each in settings.environments]
    return following(parsed_args.words or [], Vocabulary(environments), names(settings))
