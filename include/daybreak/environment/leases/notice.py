"""What people are told of their environments, as data for the outbox, and when it is due.

The words are in `talk/bobby/notices.py`. A key names what is told: whoever comes to it again, after a crash
or from another process, tells nothing twice.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from daybreak.environment.calendar import Night
from daybreak.environment.decision import Decision
from daybreak.environment.machine import Environment
from daybreak.environment.rows import Also
from daybreak.registry import outbox
from daybreak.registry.outbox import CHANNEL, Notice, person

#: Before the end of a lease, its owner is asked whether to extend it.
ENDING = timedelta(minutes=15)
#: How often one person can ask another the same thing.
POKE_EVERY = timedelta(minutes=15)


def telling(notices: Iterable[Notice], at: datetime) -> Also:
    """Put these into the outbox with a change."""
    kept = list(notices)

    def put(connection: Connection, before: Environment, after: Environment) -> None:
        for notice in kept:
            outbox.put(connection, notice, at)

    return put


def _of(env: Environment, kind: str, **more: Any) -> Mapping[str, Any]:
    until = env.lease_until.isoformat() if env.lease_until else None
    data = {"kind": kind, "environment": env.name, "lease": env.lease_id, "until": until}
    return data | {
        name: value.isoformat() if isinstance(value, datetime) else value for name, value in more.items()
    }


def _owner(env: Environment) -> str:
    return person(str(env.lease_owner))


def lease_ended(env: Environment) -> Notice:
    """To the owner of ``env``'s lease: its time is over."""
    return Notice(f"lease-ended/{env.name}/{env.lease_id}", _owner(env), _of(env, "lease_ended"))


def torn_down(env: Environment, by: str) -> Notice:
    """To the owner of ``env``'s lease: the night takes the environment, and the lease ends with it."""
    return Notice(f"lease-ended/{env.name}/{env.lease_id}", _owner(env), _of(env, "torn_down", by=by))


def taken(env: Environment, kind: str, by: str, reason: str) -> Notice:
    """To the owner of ``env``'s lease: an admin took it (``taken``) or gave it back (``released``)."""
    key = f"lease-ended/{env.name}/{env.lease_id}"
    return Notice(key, _owner(env), _of(env, kind, by=by, reason=reason))


def given(env: Environment, by: str, reason: str) -> Notice:
    """To the new owner, ``env`` being the row after the change."""
    return Notice(f"given/{env.name}/{env.lease_id}", _owner(env), _of(env, "given", by=by, reason=reason))


def turn(env: Environment) -> Notice:
    """To somebody who waited: it is yours, ``env`` being the row after the change."""
    return Notice(f"turn/{env.name}/{env.lease_id}", _owner(env), _of(env, "turn"))


def poked(env: Environment, by: str, reason: str, at: datetime) -> Notice:
    """To the owner: somebody asks whether they still need it; once in a while."""
    window = int(at.timestamp() // POKE_EVERY.total_seconds())
    key = f"poke/{env.name}/{env.lease_id}/{by}/{window}"
    return Notice(key, _owner(env), _of(env, "poked", by=by, reason=reason), expires_at=env.lease_until)


def faulted(env: Environment, at: datetime) -> Iterator[Notice]:
    """Once to the channel and, if somebody has it, to them; ``env`` is the row after the fault."""
    data = _of(env, "faulted", code=env.fault_code, message=(env.fault_message or "")[:500])
    if not env.leased(at):
        data = {**data, "lease": None, "until": None}
    yield Notice(f"faulted/{env.name}/{env.version}/channel", CHANNEL, data)
    if env.leased(at):
        yield Notice(f"faulted/{env.name}/{env.version}/owner", _owner(env), data)


def ending(rows: Sequence[Environment], now: datetime) -> Iterator[Notice]:
    """To owners whose lease ends soon; again when it was extended and ends again."""
    for env in rows:
        if env.leased(now) and env.lease_until is not None and env.lease_until - now <= ENDING:
            key = f"ending/{env.name}/{env.lease_id}/{env.lease_until:%Y%m%dT%H%M%S}"
            yield Notice(key, _owner(env), _of(env, "ending"), expires_at=env.lease_until)


def before_teardown(
    rows: Sequence[Environment],
    decisions: Sequence[Decision],
    night: Night,
    now: datetime,
    minutes: Collection[int],
) -> Iterator[Notice]:
    """To owners of what tonight tears down: so many minutes before, each of them once.

    Who comes late (the caretaker was away) tells only the nearest one.

    :param decisions: what would be decided for ``night`` if it began now.
    """
    left = night.evening - now
    near = [each for each in minutes if left <= timedelta(minutes=each)]
    if left <= timedelta(0) or not near:
        return
    going = {decision.environment for decision in decisions if decision.teardown}
    for env in rows:
        if env.name in going and env.leased(now):
            key = f"teardown/{night.key}/{env.name}/{env.lease_id}/{min(near)}"
            data = _of(env, "teardown", at=night.evening, night=night.key.isoformat())
            yield Notice(key, _owner(env), data, expires_at=night.evening)
