"""Patience: exponential backoff with full jitter, bounded, and said in the log; for what changes something on
throttling and where nobody could be reached, for what only reads also on 5xx and broken connections.

Why not botocore's own retries: its ``standard`` mode has a retry quota that throttling spends, after which
calls fail at once (707 of 800 in our measurement, environments.md, "Throttling"). Clients of
:mod:`daybreak.aws.session` therefore make one try each and are retried here.
"""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import tenacity
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
)

log = logging.getLogger(__name__)

R = TypeVar("R")

#: What the services say when they are asked too often; one list for the query, JSON, REST and CBOR protocols.
THROTTLING_CODES = frozenset({
    "BandwidthLimitExceeded",
    "EC2ThrottledException",
    "PriorRequestNotComplete",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "Throttling.Rate",
    "TooManyRequestsException",
    "TransactionInProgressException",
})  # fmt: skip

#: These codes mean a full quota or a true conflict almost everywhere, where waiting is useless;
#: the operations
#: here say them when too many changes run at once.
_THROTTLING_OF = {
    "LimitExceededException": {"CreateTable", "DeleteTable", "UpdateTable", "UpdateContinuousBackups"},
    "ConcurrentModificationException": {
        "PutRule",
        "EnableRule",
        "DisableRule",
        "TagResource",
        "UntagResource",
    },
}

#: By AWS's naming, what only reads, and so may happen twice whatever became of the first.
_READING = re.compile(
    r"(BatchGet|Describe|Filter|Get|Head|List|Lookup|Query|Scan|Select|Validate)(?=[A-Z]|$)"
)

_TRANSIENT_STATUS = frozenset({500, 502, 503, 504})


@dataclass(frozen=True)
class Policy:
    """How long to be patient.

    The wait before try ``n + 1`` is uniform between 0 and ``min(cap, base * 2 ** (n - 1))`` seconds.

    :param attempts: tries in all, the first included.
    :param transient: also retry 500, 502, 503, 504 and broken connections. Only for calls that may safely
        happen twice.
    """

    attempts: int = 8
    base: float = 0.5
    cap: float = 20.0
    transient: bool = False


DEFAULT = Policy()

#: Everything that a call to AWS may end with: its own error, or botocore's (no connection, bad parameters).
AWS_ERRORS = (ClientError, BotoCoreError)


def reads(operation: str) -> bool:
    """Whether an operation (``DescribeStacks``) only reads; an unknown one counts as changing something."""
    return _READING.match(operation) is not None


def repeatable(operation: str, parameters: Mapping[str, Any]) -> bool:
    """Whether a call may happen twice whatever became of the first: it reads, or it has a token."""
    return reads(operation) or "ClientRequestToken" in parameters


def is_throttling(error: BaseException) -> bool:
    """Whether AWS said "too often": by its code, or by HTTP 429."""
    if not isinstance(error, ClientError):
        return False
    code = error.response.get("Error", {}).get("Code", "")
    if code in THROTTLING_CODES or error.operation_name in _THROTTLING_OF.get(code, ()):
        return True
    return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 429


def never_sent(error: BaseException) -> bool:
    """Whether there was no connection on which anything could have been asked (no address, refused, or no
    answer to the connection itself), so that even what changes something may be asked again.

    botocore's ``httpsession`` says these two for a connection that was not made; one that broke is a
    ``ConnectionClosedError`` or a ``ReadTimeoutError``.
    """
    return isinstance(error, (EndpointConnectionError, ConnectTimeoutError))


def is_transient(error: BaseException) -> bool:
    """Whether the same call may well work in a moment: a 5xx, or no proper answer at all."""
    if isinstance(error, ClientError):
        return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") in _TRANSIENT_STATUS
    return isinstance(error, (ConnectionError, HTTPClientError))


def error_code(error: BaseException) -> str:
    """AWS's code of an error, or the exception's name; for comparing and for logs."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", "Unknown"))
    return type(error).__name__


def patiently(
    function: Callable[[], R],
    what: str,
    policy: Policy = DEFAULT,
    *,
    sleep: Callable[[float], None] = time.sleep,
    uniform: Callable[[float, float], float] = random.uniform,  # noqa: S311 (jitter, not a secret)
) -> R:
    """Call ``function`` until it works, fails with something that waiting does not heal, or patience ends.

    :param what: for the log, ``dynamodb.DeleteTable``.
    :raises Exception: the last error of ``function``, unchanged but for a note that says how long we waited.
    """
    waited = 0.0

    def wait(state: tenacity.RetryCallState) -> float:
        return uniform(0, min(policy.cap, policy.base * 2 ** min(state.attempt_number - 1, 30)))

    def before_sleep(state: tenacity.RetryCallState) -> None:
        nonlocal waited
        error = state.outcome.exception() if state.outcome else None
        pause = state.next_action.sleep if state.next_action else 0.0
        waited += pause
        log.warning(
            "%s: %s; waiting %.2f s before try %d of %d",
            what, error_code(error) if error else "?", pause, state.attempt_number + 1, policy.attempts,
        )  # fmt: skip

    def worth_it(error: BaseException) -> bool:
        return is_throttling(error) or never_sent(error) or (policy.transient and is_transient(error))

    retrying = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(policy.attempts),
        wait=wait,
        retry=tenacity.retry_if_exception(worth_it),
        before_sleep=before_sleep,
        sleep=sleep,
        reraise=True,
    )
    try:
        return retrying(function)
    except Exception as error:
        if worth_it(error):
            error.add_note(f"{what}: gave up after {policy.attempts} tries and {waited:.1f} s of waiting")
        raise
