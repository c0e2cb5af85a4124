"""Sessions and clients: one client for each (session, service, region, endpoint), patient and journalled.

A session costs 84 ms and a client up to 150 ms, so both are shared in a process; botocore's clients may be
used by several threads at once, but must not be *created* by several at once.
"""

from __future__ import annotations

import threading
import time
import weakref
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from daybreak.aws import guard, journal, retry

if TYPE_CHECKING:
    from daybreak.settings import Account

_CONFIG = Config(
    # Ours are the retries (daybreak.aws.retry); `total_max_attempts` counts the first try too.
    retries={"mode": "standard", "total_max_attempts": 1},
    connect_timeout=10,
    read_timeout=70,
    max_pool_connections=32,
    user_agent_extra="daybreak",
)

_lock = threading.RLock()
_policies: weakref.WeakKeyDictionary[boto3.Session, retry.Policy] = weakref.WeakKeyDictionary()
_clients: weakref.WeakKeyDictionary[boto3.Session, dict[tuple[str, str, str | None], Any]] = (
    weakref.WeakKeyDictionary()
)


def session(account: Account, region: str, *, max_attempts: int = retry.DEFAULT.attempts) -> boto3.Session:
    """A new session by the account's profile, for use outside Airflow; without one, boto3's own search."""
    made = boto3.Session(profile_name=account.profile, region_name=region)
    prepare(made, retry.Policy(attempts=max_attempts))
    return made


def prepare(session: boto3.Session, policy: retry.Policy = retry.DEFAULT) -> None:
    """Set how patient the clients are that :func:`client` makes from this session from now on."""
    with _lock:
        _policies[session] = policy


def client(session: boto3.Session, service: str, region: str, endpoint_url: str | None = None) -> Any:
    """The shared client of a service: every call of it (of its paginators and waiters too) is retried on
    throttling, what may happen twice on an outage too (:mod:`daybreak.aws.retry`), and journalled
    (:mod:`daybreak.aws.journal`).
    """
    key = (service, region, endpoint_url)
    with _lock:
        clients = _clients.setdefault(session, {})
        if key not in clients:
            made: Any = session.client(service, region_name=region, endpoint_url=endpoint_url, config=_CONFIG)  # type: ignore[call-overload]
            _instrument(made, service, region, _policies.get(session, retry.DEFAULT))
            clients[key] = made
        return clients[key]


def _instrument(made: Any, service: str, region: str, policy: retry.Policy) -> None:
    """Give this one client a class of its own whose every API call is patient.

    botocore makes a class for each client anyway; a subclass of it reaches paginators and waiters, and leaves
    other clients of the same session (Airflow's hooks share theirs) alone.
    """
    base = type(made)

    def _make_api_call(self: Any, operation: str, parameters: Any) -> Any:
        attempt = 0

        def once() -> Any:
            nonlocal attempt
            attempt += 1
            began, error = time.monotonic(), None
            try:
                return guard.call(self, operation, lambda: base._make_api_call(self, operation, parameters))
            except Exception as problem:
                error = retry.error_code(problem)
                raise
            finally:
                seconds = time.monotonic() - began
                journal.record(journal.Call(service, operation, region, attempt, seconds, error))

        patience = replace(policy, transient=policy.transient or retry.repeatable(operation, parameters))
        return retry.patiently(once, f"{service}.{operation}", patience)

    guard.install(made)
    made.__class__ = type(base.__name__, (base,), {"_make_api_call": _make_api_call})
