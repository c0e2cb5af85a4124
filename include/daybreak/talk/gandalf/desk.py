"""Takes GitHub's events out of the inbox: commands are answered, what changed is looked at."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar

from daybreak.merge.announce import pull
from daybreak.registry.inbox import Received
from daybreak.registry.outbox import Notice
from daybreak.talk.addressed import addressed
from daybreak.talk.desk import STALE, Desk
from daybreak.talk.gandalf.bot import SHOWN, Gandalf
from daybreak.talk.gandalf.reconcile import look_again
from daybreak.talk.github.client import Reaction
from daybreak.talk.github.deliveries import Changed, Commented, from_json, moment
from daybreak.talk.markdown import words
from daybreak.talk.reply import Reply

if TYPE_CHECKING:
    from daybreak.environment.installation import Installation


#: Whatever is answered later than that may have been said before a push of which nobody heard.
LATE = timedelta(minutes=2)


class GithubDesk(Desk):
    """Answers for one repository."""

    source: ClassVar[str] = "github"

    def __init__(self, installation: Installation, gandalf: Gandalf) -> None:
        super().__init__(installation)
        self.gandalf = gandalf

    def _take(self, received: Received) -> None:
        match from_json(received.payload):
            case Commented() as said:
                reply = self._answer(received, said)
                if reply is not None:
                    self._put(received, reply, "answer")
            case Changed(pr=number):
                if self.gandalf.gates is not None:
                    look_again(self.gandalf.queue, self.gandalf.gates, number)
            case _:
                pass  # main moved: the lane looks for itself

    def _answer(self, received: Received, said: Commented) -> Reply | None:
        command = addressed(said.body)
        if command is None:
            return None
        at = moment(said.at) or received.received_at
        # Who redelivers by hand what was lost does not say it anew.
        too_late = self._too_late(received, min(at, received.received_at))
        if too_late is not None and not self.gandalf.control.carried_out(received.key):
            return too_late
        actor = self.gandalf.people.actor("github", said.author)

        def seen(number: int) -> str | None:
            if said.commit is not None and number == said.pr:
                return said.commit
            return self._head_then(received, said, number)

        return self.gandalf.answer(
            command, actor, received.received_at, pull=said.pr, seen=seen, request=received.key,
            patient=True, late=self.installation.clock() - at > LATE,
        )  # fmt: skip

    def _head_then(self, received: Received, said: Commented, number: int) -> str | None:
        """The head when the comment was written, if it moved since: that is the one which somebody saw.

        GitHub's clock says which came first: deliveries overtake each other, and some are lost.
        """
        at = moment(said.at)
        since = received.received_at if at is None else min(received.received_at, at) - STALE
        for payload in self.installation.inbox.since(since, source="github"):
            event = from_json(payload)
            if isinstance(event, Changed) and event.pr == number and event.before:
                pushed = moment(event.at)
                if at is None or (pushed is not None and pushed > at):
                    return event.before
        return None

    def _put(self, received: Received, reply: Reply, what: str = "trouble") -> None:
        """A reaction; and a comment where the pull request's own one does not show it."""
        said = from_json(received.payload)
        assert isinstance(said, Commented | Changed)
        if isinstance(said, Changed):
            return  # nobody asked
        if said.comment is not None:
            reaction: Reaction = "eyes" if what == "trouble" else "+1" if reply.code == "ok" else "confused"
            payload = {"kind": "merge_reaction", "comment": said.comment, "reaction": reaction}
            self._out(f"{what}/{received.key}/reaction", said.pr, payload)
        if reply.code == "ok" and reply.data.get("verb") in SHOWN and what != "trouble":
            return
        body = as_markdown(said.author, reply.text)
        payload = {"kind": "merge_answer", "pr": said.pr, "body": body, "request": f"{what}/{received.key}"}
        self._out(f"{what}/{received.key}", said.pr, payload)

    def _out(self, key: str, number: int, payload: dict[str, object]) -> None:
        self.installation.outbox.put(Notice(key, pull(number), payload))


def as_markdown(author: str, text: str) -> str:
    """An answer's plain lines as a comment to whoever asked."""
    return f"{words(author)}: " + "\n".join(_line(line) for line in text.splitlines())


def _line(text: str) -> str:
    """A line of an answer: what stands between backticks stays code, all else is words alone."""
    parts = text.split("`")
    # Code of nothing would be a fence, which takes in all that follows.
    if len(parts) % 2 == 0 or not all(parts[1::2]):
        return f"{words(text, 1000)}  "
    shown = [f"`{part}`" if at % 2 else _spaced(part) for at, part in enumerate(parts)]
    return "".join(shown) + "  "


def _spaced(part: str) -> str:
    before = " " if part[:1] == " " else ""
    after = " " if part[-1:] == " " and part.strip() else ""
    return f"{before}{words(part, 1000)}{after}"
