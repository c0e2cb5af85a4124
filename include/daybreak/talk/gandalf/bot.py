"""Gandalf: answers a command of somebody, for pull requests, Slack and the command line alike.

    Gandalf(installation, gates).answer("merge p=high", people.actor("github", "dana-l"), pull=12)

An error is an answer too: what is wrong, and what to say instead. Only what may be over in a moment is
raised.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from daybreak.environment.installation import Installation
from daybreak.environment.rows import AlreadyDone
from daybreak.errors import DaybreakError
from daybreak.git.command import GitError
from daybreak.merge.control import Control
from daybreak.merge.queue import Queue
from daybreak.talk.bobby.ask import Trigger
from daybreak.talk.gandalf import verbs, views
from daybreak.talk.gandalf.call import Call
from daybreak.talk.gandalf.gates import Gates, GithubLags
from daybreak.talk.github.errors import GithubUnreachable, RateLimited
from daybreak.talk.grammar import Command, Misunderstood, parse
from daybreak.talk.people import Actor, People
from daybreak.talk.reply import Press, Reply, Section
from daybreak.talk.verbs import GANDALF, Vocabulary

#: What is over in a moment: whoever asked in writing is answered then. GitHub's limits and troubles are also
#: those of its git, which is asked for the heads.
PASSING = (GithubLags, GithubUnreachable, RateLimited, GitError)


def _help(call: Call) -> Reply:
    if call.command.rest:
        verb = GANDALF[call.command.rest[0]]
        return Reply(f"`{verb.usage}`: {verb.help}.")
    lines = [f"`{verb.usage}`: {verb.help}{' (admins)' if verb.admin else ''}" for verb in GANDALF.values()]
    known = [{"name": verb.name, "usage": verb.usage, "help": verb.help} for verb in GANDALF.values()]
    return Reply("\n".join(lines), data={"verbs": known})


_DO: Mapping[str, Callable[[Call], Reply]] = {
    "merge": verbs.merge, "try": verbs.attempt, "retry": verbs.retry, "cancel": verbs.cancel,
    "status": views.status, "queue": views.queue, "explain": views.explain, "delegate": verbs.delegate,
    "undelegate": verbs.undelegate,
    "hold": verbs.hold, "unhold": verbs.unhold, "pause": verbs.pause, "resume": verbs.resume,
    "emergency": verbs.emergency, "env heal": verbs.heal, "reset": verbs.reset, "help": _help,
}  # fmt: skip
#: Whose success the pull request's own comment shows: no second one is needed there.
SHOWN = frozenset({"merge", "try", "retry", "cancel", "hold", "unhold", "emergency"})


class Gandalf:
    """Answers commands.

    :param gates: ask GitHub; without them one can only look.
    :param trigger: makes the runs of `pr_e2e`; what it does not make the caretaker does.
    """

    def __init__(
        self, installation: Installation, gates: Gates | None = None, people: People | None = None,
        trigger: Trigger | None = None,
    ) -> None:  # fmt: skip
        self.installation, self.gates, self.trigger = installation, gates, trigger
        self.people = people or People(installation.settings, installation.engine, installation.clock)
        self.queue = Queue(installation.engine, installation.clock, installation.settings.merge.batch)
        self.control = Control(installation.engine, installation.clock)
        installation.register()

    def answer(
        self, said: str | Press, actor: Actor, at: datetime | None = None, *, pull: int | None = None,
        seen: Callable[[int], str | None] | None = None, request: str | None = None, patient: bool = False,
        late: bool = False,
    ) -> Reply:  # fmt: skip
        """Understand, do, and say what was done or why not.

        :param said: the words after his name, or a button that was pressed.
        :param at: when it was said; nothing that he does depends on it.
        :param pull: the pull request that the comment stands in.
        :param seen: gives the commit of a pull request that whoever speaks saw, where that is known: the one
            of the review; the head that was there when the comment was written, if it is another one now.
        :param request: names the request (a key of the inbox): however often it is delivered, and whatever
            dies in between, it has one effect.
        :param late: it was said so long ago that the head may be another one by now.
        :param patient: somebody asks again later: what is over in a moment is raised (`PASSING`).
        """
        words = Vocabulary(verbs=GANDALF, pull=pull)
        command: Command | None = None
        try:
            command = parse(said.command if isinstance(said, Press) else said, words)
            commit = seen(command.pull) if seen is not None and command.pull is not None else None
            call = Call(
                self.installation,
                self.people,
                self.trigger,
                command,
                actor,
                self.gates,
                commit,
                request,
                late,
            )
            if request is not None and call.control.carried_out(request):
                raise AlreadyDone("that was done before; it is not done twice")
            return _with_verb(_DO[command.verb.name](call), command)
        except AlreadyDone:
            assert command is not None
            again = Call(self.installation, self.people, None, command, actor)
            found = views.status(again) if command.pull is not None else views.queue(again)
            return _with_verb(found, command)
        except PASSING as error:
            if patient:
                raise
            return refusal(error)
        except DaybreakError as error:
            return refusal(error)


def _with_verb(reply: Reply, command: Command) -> Reply:
    data = {**reply.data, "verb": command.verb.name}
    return Reply(reply.text, reply.sections, reply.code, reply.exit_code, data, reply.public)


def refusal(error: DaybreakError) -> Reply:
    """An error as an answer."""
    text = str(error)
    text = text if text.endswith((".", "`", "?", ")")) else f"{text}."
    data = {"nearest": error.nearest} if isinstance(error, Misunderstood) else {}
    return Reply(text, (Section(text),), error.code, error.exit_code, data)
