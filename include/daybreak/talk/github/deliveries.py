"""What GitHub's webhooks bring → small events, each with the key of its request. Pure.

A delivery's GUID stands in a header that the signature does not cover, so somebody who has seen one delivery
can send it again under another GUID. What somebody said has therefore its own id as its key, and is in the
inbox once however it comes; the other events only say that something is to be looked at again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias
from urllib.parse import parse_qs

from daybreak.errors import UsageError
from daybreak.talk.addressed import addressed

#: The webhook's events (docs/github.md).
EVENTS = ("issue_comment", "pull_request", "pull_request_review", "push")
#: What of a pull request decides whether it may land. The rest (assigned, locked …) changes nothing for us.
_ACTIONS = frozenset({
    "opened", "reopened", "closed", "synchronize", "edited", "labeled", "unlabeled", "converted_to_draft",
    "ready_for_review",
})  # fmt: skip
#: How GitHub writes a moment.
_MOMENT = "%Y-%m-%dT%H:%M:%SZ"
_GUID = re.compile(r"[0-9A-Za-z-]{8,64}")
_BRANCH = "refs/heads/"
#: Candidates and the lease: our own pushes.
_OURS = f"{_BRANCH}daybreak/"


@dataclass(frozen=True)
class Commented:
    """Somebody spoke to Gandalf, in a comment or in the text of a review.

    :param comment: its id, to react to; a review has none.
    :param commit: that the review is of; a comment carries none.
    :param at: when it was written, in GitHub's words and by its clock; a review's does not matter.
    """

    pr: int
    comment: int | None
    author: str
    body: str
    commit: str | None = None
    at: str | None = None


@dataclass(frozen=True)
class Changed:
    """A pull request is not any more what it was: look at it.

    :param what: GitHub's word, such as ``synchronize``; of a review ``reviewed`` or ``dismissed``.
    :param by: whose doing it was.
    :param head: at that time; GitHub does not promise the order of deliveries.
    :param before: the head that a push replaced.
    :param at: when, by GitHub's clock; of a push alone.
    """

    pr: int
    what: str
    by: str
    head: str
    before: str | None = None
    at: str | None = None


@dataclass(frozen=True)
class Pushed:
    """A branch was moved; an id of zeros: it was not there before, or is not any more."""

    ref: str
    before: str
    after: str
    by: str


Event: TypeAlias = Commented | Changed | Pushed
_KINDS = {"commented": Commented, "changed": Changed, "pushed": Pushed}


@dataclass(frozen=True)
class Delivery:
    """A request for the inbox."""

    key: str
    event: Event


def moment(at: str | None) -> datetime | None:
    """A moment in GitHub's words; ``None`` when there is none, or it is written in another way."""
    try:
        return datetime.strptime(at or "", _MOMENT).replace(tzinfo=UTC)
    except ValueError:
        return None


def written(at: datetime) -> str:
    """The inverse of :func:`moment`."""
    return at.astimezone(UTC).strftime(_MOMENT)


def comment_key(comment: int) -> str:
    """The key of a comment, by which who finds it without a webhook finds the same request."""
    return f"github/comment/{comment}"


def to_json(event: Event) -> dict[str, Any]:
    """For the inbox."""
    kind = next(name for name, each in _KINDS.items() if isinstance(event, each))
    return {"kind": kind, **asdict(event)}


def from_json(data: Mapping[str, Any]) -> Event:
    """The inverse of :func:`to_json`.

    :raises UsageError: when it is not such an event's.
    """
    fields = dict(data)
    try:
        event: Event = _KINDS[fields.pop("kind")](**fields)
    except (KeyError, TypeError) as error:
        raise UsageError(f"this is no event of GitHub's in the inbox: {error}") from None
    return event


def parse(content_type: str, body: bytes) -> dict[str, Any]:
    """The payload of a body, in either of the two forms that a webhook can be set to.

    :raises UsageError: when it is neither.
    """
    kind = content_type.partition(";")[0].strip().lower()
    try:
        text = body.decode()
        if kind == "application/x-www-form-urlencoded":
            text = parse_qs(text, strict_parsing=True)["payload"][0]
        elif kind != "application/json":
            raise UsageError(
                f"GitHub sends application/json, not {kind or 'nothing'!r}; set the webhook to it"
            )
        found = json.loads(text)
    except (ValueError, KeyError, RecursionError) as error:
        raise UsageError(f"this is no delivery of GitHub's: {error}") from None
    if not isinstance(found, dict):
        raise UsageError("this is no delivery of GitHub's: not an object")
    return found


def read(event: str, guid: str, payload: Mapping[str, Any], repository: str) -> Delivery | None:
    """What happened; ``None`` when it is nothing for us.

    :param event: of the header ``X-GitHub-Event``.
    :param guid: of the header ``X-GitHub-Delivery``.
    :param repository: ours; a webhook of a whole organisation brings those of others, too.
    :raises UsageError: when something is missing that GitHub always sends, or is of another kind.
    """
    if event not in EVENTS:
        return None
    if not _GUID.fullmatch(guid):
        raise UsageError(f"a {event} delivery without a good X-GitHub-Delivery")
    said = _Payload(event, payload)
    if said.text("repository", "full_name").lower() != repository.lower():
        return None
    key = f"github/delivery/{guid}"
    match event:
        case "issue_comment":
            return _comment(said)
        case "pull_request_review":
            return _review(said, key)
        case "pull_request":
            action = said.text("action")
            return Delivery(key, _changed(said, action)) if action in _ACTIONS else None
        case _:
            ref = said.text("ref")
            if not ref.startswith(_BRANCH) or ref.startswith(_OURS):
                return None
            by = said.text("sender", "login")
            return Delivery(key, Pushed(ref, said.text("before"), said.text("after"), by))


def _comment(said: _Payload) -> Delivery | None:
    # An edited comment is none: what was done cannot follow what is written later.
    if said.text("action") != "created" or not said.has("issue", "pull_request"):
        return None
    body = said.optional("comment", "body")
    if addressed(body) is None:
        return None
    number, author = said.number("comment", "id"), said.text("comment", "user", "login")
    event = Commented(
        said.number("issue", "number"), number, author, body, at=said.text("comment", "created_at")
    )  # fmt: skip
    return Delivery(comment_key(number), event)


def _review(said: _Payload, key: str) -> Delivery | None:
    action = said.text("action")
    if action == "dismissed":
        return Delivery(key, _changed(said, action))
    if action != "submitted":
        return None
    body = said.optional("review", "body")
    if addressed(body) is None:
        return Delivery(key, _changed(said, "reviewed"))
    author, commit = said.text("review", "user", "login"), said.text("review", "commit_id")
    event = Commented(said.number("pull_request", "number"), None, author, body, commit)
    return Delivery(f"github/review/{said.number('review', 'id')}", event)


def _changed(said: _Payload, what: str) -> Changed:
    number, head = said.number("pull_request", "number"), said.text("pull_request", "head", "sha")
    by = said.text("sender", "login")
    if what != "synchronize":
        return Changed(number, what, by, head)
    return Changed(number, what, by, head, said.text("before"), said.text("pull_request", "updated_at"))


class _Payload:
    """Fields of a payload, or an error that names the one that is wrong."""

    def __init__(self, event: str, payload: Mapping[str, Any]) -> None:
        self._event, self._payload = event, payload

    def has(self, *path: str) -> bool:
        return self._at(*path) is not None

    def text(self, *path: str) -> str:
        found = self._at(*path)
        if not isinstance(found, str) or not found:
            raise self._wrong(path)
        return found

    def optional(self, *path: str) -> str:
        found = self._at(*path)
        if not isinstance(found, str | None):
            raise self._wrong(path)
        return found or ""

    def number(self, *path: str) -> int:
        found = self._at(*path)
        if not isinstance(found, int) or isinstance(found, bool) or found <= 0:
            raise self._wrong(path)
        return found

    def _at(self, *path: str) -> Any:
        found: Any = self._payload
        for name in path:
            if not isinstance(found, Mapping):
                raise self._wrong(path)
            found = found.get(name)
        return found

    def _wrong(self, path: tuple[str, ...]) -> UsageError:
        return UsageError(f"a {self._event} delivery of GitHub's without a good {'.'.join(path)}")
