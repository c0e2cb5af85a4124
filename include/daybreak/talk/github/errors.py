"""What GitHub can have against a request, as one family: what happened, and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import requests
from github import BadCredentialsException, GithubException, RateLimitExceededException

from daybreak.errors import DaybreakError


class GithubError(DaybreakError):
    """GitHub did not do what was asked."""

    code = "github"


class GithubUnreachable(GithubError):
    """No answer, or an error of its own: later again. Whether a write was carried out is not known."""

    code = "github_unreachable"


class RateLimited(GithubError):
    """It asks for more patience than a request has; nothing was done.

    ``after`` is how long.
    """

    code = "github_rate_limited"

    def __init__(self, message: str, after: timedelta) -> None:
        super().__init__(message)
        self.after = after


class NotPermitted(GithubError):
    """The token is not good, or may not do that."""

    code = "github_not_permitted"


class NotThere(GithubError):
    """There is no such thing, or the token may not see it: GitHub says no more."""

    code = "github_not_there"


class GithubRefused(GithubError):
    """It understood, and will not do it however often it is asked."""

    code = "github_refused"


@contextmanager
def meaning(what: str) -> Iterator[None]:
    """Whatever PyGithub raises inside, as an error of this family.

    :param what: was wanted, for the message: ``read pull request #7``.
    """
    try:
        yield
    except GithubError:
        raise
    except RateLimitExceededException as error:
        raise RateLimited(f"cannot {what}: {_said(error)}", timedelta(minutes=1)) from error
    except GithubException as error:
        raise _of(what, error) from error
    except requests.RequestException as error:
        # Its text has the URL; a token is never in one of ours.
        why = f"{type(error).__name__}: {error}"[:300]
        raise GithubUnreachable(f"cannot {what}: GitHub does not answer ({why}); try again later") from error
    except AssertionError as error:
        # PyGithub's own check that an answer names no other host than the one that was asked.
        raise GithubError(
            f"cannot {what}: the answer names an address that is not the connection's ({error}); correct the "
            f"host of the connection (docs/github.md)"
        ) from error


def unclear(error: Exception) -> bool:
    """Whether a write that ended so may have been carried out all the same."""
    if isinstance(error, GithubException):
        return error.status >= 500
    return isinstance(error, requests.RequestException)


def _of(what: str, error: GithubException) -> GithubError:
    said = _said(error)
    if isinstance(error, BadCredentialsException) or error.status == 401:
        return NotPermitted(
            f"cannot {what}: GitHub does not take the token ({said}); put a good one into the connection"
        )
    if error.status == 403:
        return NotPermitted(
            f"cannot {what}: {said}; give the token that permission (docs/github.md), or the account a role"
        )
    if error.status == 404:
        return NotThere(
            f"cannot {what}: GitHub has none that this token may see; does it have access to the repository?"
        )
    if error.status >= 500:
        return GithubUnreachable(f"cannot {what}: GitHub answers HTTP {error.status}; try again later")
    return GithubRefused(f"cannot {what}: GitHub refuses (HTTP {error.status}): {said}")


def _said(error: GithubException) -> str:
    """GitHub's own words, with what it has against each field."""
    data = error.data if isinstance(error.data, dict) else {}
    words = [str(data.get("message") or error.message or f"HTTP {error.status}")]
    for each in data.get("errors") or []:
        words.append(str(each.get("message") or each) if isinstance(each, dict) else str(each))
    return " ".join("; ".join(words).split())[:300]
