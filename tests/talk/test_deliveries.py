"""Deliveries of GitHub's are read as small events, and only what concerns us."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest

from daybreak.errors import UsageError
from daybreak.talk.github import deliveries
from daybreak.talk.github.deliveries import Changed, Commented, Delivery, Pushed

GUID = "72d3162e-cc78-11e3-81ab-4c9367dc0958"
COMMON = {"repository": {"full_name": "acme/mono"}, "sender": {"login": "dana"}}
AT = "2026-03-05T08:00:01Z"
PULL = {"number": 7, "head": {"sha": "a" * 40}, "updated_at": AT}
COMMENT = {
    **COMMON, "action": "created", "issue": {"number": 7, "pull_request": {"url": "…"}},
    "comment": {
        "id": 31, "user": {"login": "dana"}, "body": "@gandalf merge\n\nthanks", "created_at": AT,
    },
}  # fmt: skip
REVIEW = {
    **COMMON, "action": "submitted", "pull_request": PULL,
    "review": {"id": 5, "user": {"login": "eli"}, "body": None, "state": "approved", "commit_id": "b" * 40},
}  # fmt: skip
PUSH = {**COMMON, "ref": "refs/heads/main", "before": "1" * 40, "after": "2" * 40}


def read(event: str, payload: dict[str, Any], guid: str = GUID) -> Delivery | None:
    return deliveries.read(event, guid, payload, "Acme/mono")


def changed(payload: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A deep copy with fields set, by paths such as ``comment__body``."""
    made = copy.deepcopy(payload)
    for path, value in more.items():
        *parents, last = path.split("__")
        place = made
        for name in parents:
            place = place[name]
        place[last] = value
    return made


def test_a_comment_to_gandalf_has_its_own_id_as_its_key_however_often_it_is_delivered() -> None:
    said = Commented(7, 31, "dana", "@gandalf merge\n\nthanks", at=AT)
    assert read("issue_comment", COMMENT) == Delivery("github/comment/31", said)
    assert read("issue_comment", COMMENT, "another-guid") == Delivery("github/comment/31", said)


def test_what_a_reviewer_says_is_of_the_commit_that_they_saw() -> None:
    said = Commented(7, None, "eli", "/gandalf merge", "b" * 40)
    assert read("pull_request_review", changed(REVIEW, review__body="/gandalf merge")) == Delivery(
        "github/review/5", said
    )
    looked = Delivery(f"github/delivery/{GUID}", Changed(7, "reviewed", "dana", "a" * 40))
    assert read("pull_request_review", REVIEW) == looked


@pytest.mark.parametrize(
    ("event", "payload", "expected"),
    [
        ("pull_request", {**COMMON, "action": "synchronize", "before": "b" * 40, "pull_request": PULL},
         Changed(7, "synchronize", "dana", "a" * 40, "b" * 40, AT)),
        ("pull_request", {**COMMON, "action": "labeled", "label": {"name": "wip"}, "pull_request": PULL},
         Changed(7, "labeled", "dana", "a" * 40)),
        ("pull_request_review", {**REVIEW, "action": "dismissed"},
         Changed(7, "dismissed", "dana", "a" * 40)),
        ("push", PUSH, Pushed("refs/heads/main", "1" * 40, "2" * 40, "dana")),
    ],
)  # fmt: skip
def test_what_may_change_a_pull_requests_fate_is_an_event(
    event: str, payload: dict[str, Any], expected: deliveries.Event
) -> None:
    found = read(event, payload)
    assert found == Delivery(f"github/delivery/{GUID}", expected)
    stored = json.loads(json.dumps(deliveries.to_json(expected)))
    assert deliveries.from_json(stored) == expected


@pytest.mark.parametrize(
    ("event", "payload"),
    [
        ("issue_comment", {**COMMENT, "action": "edited"}),
        ("issue_comment", changed(COMMENT, issue__pull_request=None)),
        ("issue_comment", changed(COMMENT, comment__body="I asked @gandalf to merge")),
        ("issue_comment", changed(COMMENT, comment__body=None)),
        ("issue_comment", changed(COMMENT, repository__full_name="acme/other")),
        ("pull_request", {**COMMON, "action": "assigned", "pull_request": PULL}),
        ("pull_request_review", {**REVIEW, "action": "edited"}),
        ("push", {**PUSH, "ref": "refs/tags/v1"}),
        ("push", {**PUSH, "ref": "refs/heads/daybreak/candidate/pr-7"}),
        ("star", {}),
    ],
    ids=["edited", "an issue's", "about him", "empty", "another repository's", "assigned", "edited review",
         "tag", "our own push", "not ours"],
)  # fmt: skip
def test_what_concerns_nobody_is_no_event(event: str, payload: dict[str, Any]) -> None:
    assert read(event, payload) is None


@pytest.mark.parametrize(
    ("event", "payload", "guid", "words"),
    [
        ("issue_comment", changed(COMMENT, issue__number="7"), GUID, "issue_comment.*issue.number"),
        ("issue_comment", changed(COMMENT, comment__user=None), GUID, "comment.user.login"),
        ("issue_comment", changed(COMMENT, comment=7), GUID, "comment.body"),
        ("pull_request", {**COMMON, "action": "closed", "pull_request": {"number": True}}, GUID, "number"),
        ("push", {"ref": "refs/heads/main"}, GUID, "repository.full_name"),
        ("push", PUSH, "x" * 300, "X-GitHub-Delivery"),
        ("push", PUSH, "", "X-GitHub-Delivery"),
    ],
)
def test_what_lacks_a_field_is_refused_with_its_name(
    event: str, payload: dict[str, Any], guid: str, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        read(event, payload, guid)


def _paths(payload: dict[str, Any], before: str = "") -> Iterator[str]:
    for name, value in payload.items():
        yield before + name
        if isinstance(value, dict):
            yield from _paths(value, f"{before}{name}__")


@pytest.mark.parametrize(
    ("event", "payload"),
    [
        ("issue_comment", COMMENT),
        ("pull_request", {**COMMON, "action": "closed", "pull_request": PULL}),
        ("pull_request_review", changed(REVIEW, review__body="/gandalf merge")),
        ("push", PUSH),
    ],
)
def test_whatever_stands_where_something_else_belongs_is_nothing_or_one_clear_error(
    event: str, payload: dict[str, Any]
) -> None:
    for path in _paths(payload):
        for value in (None, True, 0, -1, 1.5, "", "x", [], {}, [{}]):
            try:
                found = read(event, changed(payload, **{path: value}))
            except UsageError as error:
                told = str(error)
            else:
                told = ""
                assert found is None or deliveries.from_json(deliveries.to_json(found.event)) == found.event
            assert len(told.splitlines()) <= 1, (path, value)


def test_a_body_is_taken_in_both_forms_that_a_webhook_can_be_set_to() -> None:
    body = json.dumps(PUSH)
    form = urlencode({"payload": body}).encode()
    assert deliveries.parse("application/json; charset=utf-8", body.encode()) == PUSH
    assert deliveries.parse("application/x-www-form-urlencoded", form) == PUSH
    for kind, wrong in (
        ("text/plain", b"{}"), ("application/json", b"\xff"), ("application/json", b"[1]"),
        ("application/json", b"[" * 99_999), ("application/x-www-form-urlencoded", b"x"), ("", b"{}"),
    ):  # fmt: skip
        with pytest.raises(UsageError):
            deliveries.parse(kind, wrong)


def test_what_the_inbox_holds_of_a_later_version_is_one_error() -> None:
    for data in ({}, {"kind": "starred"}, {"kind": "changed", "pr": 7}):
        with pytest.raises(UsageError, match="no event of GitHub's"):
            deliveries.from_json(data)
