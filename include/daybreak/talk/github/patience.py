"""How often GitHub is asked again, and how long it is waited for.

What may be repeated without doing anything twice is, by the connection itself: reads, edits, deletions. A
POST is not: GitHub has answered 5xx after carrying it out, and whoever repeated it wrote four comments
(probot/probot#921). Only what it surely did not carry out, for a limit of rate, is sent again.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from github import Github, GithubRetry
from urllib3 import Retry
from urllib3.connectionpool import ConnectionPool
from urllib3.response import BaseHTTPResponse

from daybreak.talk.github.errors import RateLimited, unclear

#: Seconds: the longest wait that GitHub may ask for; more is the caller's to wait.
PATIENCE = 60.0
#: Seconds for one answer. GitHub ends a request after 10.
TIMEOUT = 15
#: Tries of one request.
TRIES = 5
#: Of a list in one answer: GitHub's most. Each page of reviews or comments counts as a request.
PAGE = 100

_REPEATABLE = frozenset({"GET", "HEAD", "PUT", "PATCH", "DELETE"})
_LIMITS = (403, 429)
_T = TypeVar("_T")


def patient(client: Github, backoff: float) -> Github:
    """The same client, lazy (an object is asked for when it is needed) and with this module's patience.

    :param backoff: seconds before a third try; doubled for each one after it, and spread.
    """
    retry = Patience(
        total=TRIES - 1, backoff_factor=backoff, backoff_jitter=backoff, allowed_methods=_REPEATABLE,
        status_forcelist=[429, *range(500, 600)], max_rate_limit_wait=PATIENCE,
    )  # fmt: skip
    given = client.requester.kwargs
    base = str(given["base_url"]).rstrip("/")
    ours = {"base_url": base, "timeout": TIMEOUT, "retry": retry, "lazy": True, "per_page": PAGE}
    return Github(**{**given, **ours})


def pauses(backoff: float) -> list[float]:
    """Seconds between the tries of one write."""
    spread = random.uniform(0.5, 1.5)  # noqa: S311 - jitter
    return [backoff * 2**number * spread for number in range(TRIES - 1)]


def repeated(between: Sequence[float], send: Callable[[], _T]) -> _T:
    """Send what does no harm twice, until there is an answer.

    :param between: the pauses, see :func:`pauses`.
    """
    for pause in between:
        try:
            return send()
        except Exception as error:
            if not unclear(error):
                raise
        time.sleep(pause)
    return send()


class Patience(GithubRetry):
    """PyGithub's, which knows GitHub's limits; it waits no longer than :data:`PATIENCE`."""

    def is_retry(self, method: str, status_code: int, has_retry_after: bool = False) -> bool:
        """Also a POST, if it was not carried out."""
        if method not in _REPEATABLE:
            return status_code in _LIMITS
        return super().is_retry(method, status_code, has_retry_after)

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: BaseHTTPResponse | None = None,
        error: Exception | None = None,
        _pool: ConnectionPool | None = None,
        _stacktrace: TracebackType | None = None,
    ) -> Self:
        """The next try.

        :raises RateLimited: when GitHub names a later time.
        """
        if response is not None and response.status in _LIMITS:
            after = asked(response.headers)
            if after is not None:
                if after > PATIENCE:
                    raise RateLimited(
                        f"GitHub's limit of requests is used up; it may be asked again in {after:.0f} s",
                        timedelta(seconds=after),
                    )
                # As for 403 in the class above, which does not know that it may be 429.
                retry = Retry.increment(self, method, url, response, error, _pool, _stacktrace)
                pause = max(after, retry.get_backoff_time())
                retry.get_backoff_time = lambda: pause  # type: ignore[method-assign]
                return retry
        again = super().increment(method, url, response, error, _pool, _stacktrace)  # type: ignore[arg-type]
        return cast("Self", again)


def asked(headers: Mapping[str, Any]) -> float | None:
    """Seconds that an answer asks to wait (docs.github.com, "Rate limits for the REST API").

    ``Retry-After`` first; else until ``x-ratelimit-reset`` if nothing remains, and a second more, since
    nobody knows when in that second it is.
    """
    told = {name.lower(): str(value) for name, value in headers.items()}
    if (after := told.get("retry-after", "")).isdigit():
        return float(after)
    if told.get("x-ratelimit-remaining") == "0" and (reset := told.get("x-ratelimit-reset", "")).isdigit():
        return max(float(reset) - time.time(), 0) + 1
    return None
