"""What a lease may be: who may have what, for how long, and who is served first; `lease` has the verbs."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Self

from sqlalchemy import Connection, bindparam, func, select

from daybreak.environment.leases import notice, waiting
from daybreak.environment.machine import USABLE, Environment, OpBusy, StaleState, State, describe_op, explain
from daybreak.environment.rows import Also, Change, Kind
from daybreak.environment.state import NO_LEASE, Environments
from daybreak.errors import DaybreakError, EnvironmentLocked, UsageError
from daybreak.registry import tables
from daybreak.registry.engine import upsert
from daybreak.registry.outbox import Notice
from daybreak.settings import LeaseSettings

#: What a person can want to have: FAULTED too, to look into it.
LOCKABLE = USABLE | {State.FAULTED}
_ROWS = tables.environments.c
_COUNT_HELD = select(func.count()).where(
    _ROWS.lease_owner == bindparam("person"), _ROWS.lease_until > bindparam("now")
)


class LeaseLimit(UsageError):
    """The person has as many environments as one may have."""

    code = "lease_limit"


class WaitedFor(DaybreakError):
    """The environment is free, but somebody waited for it and is served first."""

    code = "waited_for"


class NoLease(DaybreakError):
    """The person does not have the environment (any more)."""

    code = "no_lease"


@dataclass(frozen=True)
class Lease:
    """One person's right to one environment; ``lease_id`` is the fence under which it was given."""

    environment: str
    owner: str
    lease_id: int
    since: datetime
    until: datetime
    reason: str


def lease_of(env: Environment, now: datetime) -> Lease | None:
    """The lease that runs at ``now``."""
    if not env.leased(now):
        return None
    assert env.lease_owner is not None
    assert env.lease_id is not None
    assert env.lease_since is not None
    assert env.lease_until is not None
    reason = env.lease_reason or ""
    return Lease(env.name, env.lease_owner, env.lease_id, env.lease_since, env.lease_until, reason)


class LeaseRules:
    """The rules, in one place for all verbs.

    :param zone: in which messages say until when.
    """

    def __init__(
        self, environments: Environments, settings: LeaseSettings | None = None, zone: tzinfo = UTC
    ) -> None:
        self.environments, self.settings, self.zone = (
            environments,
            settings or LeaseSettings.model_validate({}),
            zone,
        )
        self._request: str | None = None
        self._lease: int | None = None

    def answering(self, request: str | None, *, lease: int | None = None) -> Self:
        """The same verbs on behalf of one request, which is carried out once however often it arrives.

        :param lease: only that lease is meant: a button that was offered with it does nothing to a later one.
        """
        found = copy.copy(self)
        found._request, found._lease = request, lease
        return found

    def _change(
        self, kind: Kind, by: str, columns: Mapping[str, Any], message: str, also: Sequence[Also] = ()
    ) -> Change:
        return Change(kind, by, columns, message, also, self._request)

    def _new(
        self, env: Environment, kind: Kind, owner: str, actor: str, until: datetime, message: str, *,
        reason: str | None = None, queue: bool = False, notices: Sequence[Notice] = (),
        also: Sequence[Also] = (),
    ) -> Change:  # fmt: skip
        """A lease begins, and with it a new fence: whatever began under an older one, even the same person's,
        is over.

        :param queue: those who wait for it go first.
        """
        now = self.environments.clock()
        fence = env.fence + 1
        columns = {
            "fence": fence, "fence_holder": f"lease/{owner}", "lease_id": fence, "lease_owner": owner,
            "lease_since": now, "lease_until": until, "lease_reason": message if reason is None else reason,
            "used_at": now,
        }  # fmt: skip
        told = list(notices)
        if env.lease_owner is not None and not env.leased(now):
            told.append(notice.lease_ended(env))
        first = [self._queue_first] if queue else []
        every = [self._within_limit, *first, *also, served, notice.telling(told, now)]
        return self._change(kind, actor, columns, message, every)

    def _expired(self, env: Environment, now: datetime) -> Change:
        return Change(
            "expire", "daybreak", NO_LEASE, f"of {env.lease_owner}",
            [notice.telling([notice.lease_ended(env)], now)],
        )  # fmt: skip

    def _within_limit(self, connection: Connection, before: Environment, after: Environment) -> None:
        """Count under a lock on the person's row: two at once for one person are judged one after the other,
        though they are on rows of two environments.
        """
        now, owner = self.environments.clock(), str(after.lease_owner)
        # A user of Airflow whom the settings do not know may have a longer name than theirs.
        upsert(connection, tables.people, {"name": owner[:64]}, {"acted_at": now})
        if _held(connection, owner, now) > self.settings.per_person:
            raise LeaseLimit(
                f"{owner} has {self.settings.per_person} environments already, as many as one may have; "
                f"`release` one first"
            )

    def _queue_first(self, connection: Connection, before: Environment, after: Environment) -> None:
        now, owner = self.environments.clock(), after.lease_owner

        def may_have(connection: Connection, person: str) -> bool:
            # The new owner's own place counts whatever they have: the limit was judged already.
            return person == owner or _held(connection, person, now) < self.settings.per_person

        first = waiting.first_in_line(connection, before, may_have)
        if first is not None and first.person != owner:
            raise WaitedFor(
                f"{before.name} is free, but {first.person} waits for it since {self._show(first.since)} "
                f"and is served first; `queue {before.name}` waits too"
            )

    def _end(
        self, env: Environment | None, now: datetime, duration: timedelta | None, until: datetime | None
    ) -> datetime:
        """When a lease ends that begins now, or began as ``env`` says."""
        limit = timedelta(hours=self.settings.max_hours)
        end = until or now + (timedelta(hours=self.settings.default_hours) if duration is None else duration)
        if end <= now:
            raise UsageError(f"a lease lasts more than nothing and at most {self.settings.max_hours:g} h")
        if env is not None and env.lease_since is not None and end > env.lease_since + limit:
            raise self._too_long(env)
        if end > now + limit:
            raise UsageError(f"a lease lasts at most {self.settings.max_hours:g} h")
        return end

    def _too_long(self, env: Environment) -> UsageError:
        assert env.lease_since is not None
        last = env.lease_since + timedelta(hours=self.settings.max_hours)
        return UsageError(
            f"a lease lasts at most {self.settings.max_hours:g} h, extensions included; that of {env.name} "
            f"began {self._show(env.lease_since)} and ends by {self._show(last)}"
        )

    def _given(self, env: Environment) -> Lease:
        lease = lease_of(env, self.environments.clock())
        if lease is None:
            raise StaleState(f"the lease of {env.name} ended while it was given; the clock moved")
        return lease

    def require_for_people(self, env: Environment) -> None:
        """Whether people may have it at all.

        :raises StaleState: when it is for pull requests.
        """
        if env.role != "dev":
            raise StaleState(f"{env.name} is for pull requests, not for people; an admin may `lock!` it")

    def _require_usable(self, env: Environment, by: str, now: datetime) -> None:
        if env.op_alive(now):
            raise OpBusy(f"{by} cannot lock {env.name} now: {describe_op(env, now)}")
        if env.state not in LOCKABLE:
            raise StaleState(f"{by} cannot lock {env.name} now: {explain(env, now)}")

    def _require_mine(self, env: Environment, by: str, now: datetime) -> None:
        if not env.leased(now):
            ended = f"; your lease ended {self._show(env.lease_until)}" if env.lease_owner == by else ""
            raise NoLease(f"you do not have {env.name}{ended}. `lock {env.name}` takes it")
        self._require_owner(env, by)
        self._require_same_lease(env)

    def _require_same_lease(self, env: Environment) -> None:
        if self._lease is not None and env.lease_id != self._lease:
            raise NoLease(f"that button was for an earlier lease of {env.name}; nothing was done")

    def _require_owner(self, env: Environment, who: str) -> None:
        if env.lease_owner != who:
            assert env.lease_until is not None
            until = self._show(env.lease_until)
            raise EnvironmentLocked(env.name, str(env.lease_owner), until, env.lease_reason or "")

    def _show(self, instant: datetime | None) -> str:
        return f"{instant.astimezone(self.zone):%Y-%m-%d %H:%M %Z}" if instant else "never"


def served(connection: Connection, before: Environment, after: Environment) -> None:
    """With a lease that begins: its owner waits no longer for that environment, nor for any."""
    waiting.served(connection, str(after.lease_owner), after.name)


def _held(connection: Connection, person: str, now: datetime) -> int:
    return int(connection.execute(_COUNT_HELD, {"person": person, "now": now}).scalar_one())
