"""GitHub's limits and refusals, in our words; what GitHub really does is in tests/standins/test_github.py."""

from __future__ import annotations

import time
from typing import Any

import pytest
import requests
from github import Auth, BadCredentialsException, Github, GithubException, UnknownObjectException

from daybreak.errors import UsageError
from daybreak.settings import Settings
from daybreak.talk.github import errors, patience
from daybreak.talk.github.access import access


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7),
        ({"retry-after": "7", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "4102444800"}, 7),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1"}, 1),
        ({"x-ratelimit-remaining": "12", "x-ratelimit-reset": "4102444800"}, None),
        ({"Retry-After": "Thu, 26 Nov 2026 18:00:00 GMT"}, None),
        ({}, None),
    ],
)
def test_the_time_that_github_asks_for_is_read(headers: dict[str, str], seconds: float | None) -> None:
    assert patience.asked(headers) == seconds


def test_a_limit_ends_a_second_after_its_reset() -> None:
    headers = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(time.time()) + 30)}
    after = patience.asked(headers)
    assert after is not None
    assert 29 <= after <= 31


@pytest.mark.parametrize(
    ("raised", "kind", "words"),
    [
        (BadCredentialsException(401, {"message": "Bad credentials"}), errors.NotPermitted, "put a good one"),
        (GithubException(403, {"message": "Not accessible"}), errors.NotPermitted, "that permission"),
        (UnknownObjectException(404, {"message": "Not Found"}), errors.NotThere, "have access to"),
        (GithubException(502, "<html>"), errors.GithubUnreachable, "HTTP 502; try again later"),
        (requests.ConnectionError("refused"), errors.GithubUnreachable, "does not answer"),
        (
            GithubException(422, {"message": "Invalid", "errors": [{"message": "body is too long"}]}),
            errors.GithubRefused,
            "Invalid; body is too long",
        ),
        (AssertionError("elsewhere.example"), errors.GithubError, "correct the host of the connection"),
    ],
)  # fmt: skip
def test_what_github_has_against_a_request_is_one_sentence_with_what_to_do(
    raised: Exception, kind: type[errors.GithubError], words: str
) -> None:
    with pytest.raises(errors.GithubError) as caught, errors.meaning("read pull request #7"):
        raise raised
    assert type(caught.value) is kind
    assert str(caught.value).startswith("cannot read pull request #7: ")
    assert words in str(caught.value)


def test_a_client_keeps_its_credentials_and_base_url_and_becomes_lazy_and_patient() -> None:
    given = Github(auth=Auth.Token("t"), base_url="https://ghe.acme.example/api/v3/")
    made = patience.patient(given, 0.5).requester
    assert (made.base_url, made.is_lazy) == ("https://ghe.acme.example/api/v3", True)
    assert made.auth is not None
    assert made.auth.token == "t"
    assert isinstance(made.kwargs["retry"], patience.Patience)


@pytest.mark.parametrize(
    ("github", "words"),
    [(None, "no `github:` section"), ({"repository": "acme/acme"}, "set DAYBREAK_GITHUB__TOKEN")],
)
def test_what_the_settings_lack_is_said(github: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        access(Settings(github=github))
