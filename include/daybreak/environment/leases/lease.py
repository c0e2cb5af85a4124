"""Who has an environment: leases, preserving it over a night, and the guard in front of a deploy.

All of it is compare-and-set on the environment's row, with its event and with what people are told of it in
one transaction. The rules are in `rules`, verbs over several environments in `desk`.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta

from sqlalchemy import Connection

from daybreak.environment.leases import notice, waiting
from daybreak.environment.leases.rules import (
    Lease,
    LeaseLimit,
    LeaseRules,
    NoLease,
    WaitedFor,
    lease_of,
    served,
)
from daybreak.environment.machine import (
    STEP_STATES,
    Environment,
    OpBusy,
    StaleState,
    State,
    describe_op,
    explain,
)
from daybreak.environment.rows import Also, Change
from daybreak.environment.state import NO_LEASE
from daybreak.errors import LostOp

__all__ = ["Lease", "LeaseLimit", "Leases", "NoLease", "WaitedFor", "lease_of"]

_NO_PRESERVE = dict.fromkeys(("preserve_night", "preserve_by", "preserve_reason"))


class Leases(LeaseRules):
    """The verbs of people. Owners are user ids, never display names."""

    # Having it

    def lock(
        self, name: str, *, by: str, duration: timedelta | None = None, until: datetime | None = None,
        reason: str = "",
    ) -> Lease:  # fmt: skip
        """Take an environment, or extend one's own lease; never steals, never shortens.

        :param duration: how long, or ``until`` when; by default the settings' ``default_hours``.
        :raises EnvironmentLocked: when somebody else has it.
        :raises WaitedFor: when it is free, but somebody waited for it.
        :raises LeaseLimit: when the person has as many as one may have.
        :raises OpBusy: when a step is at work on it.
        :raises StaleState: when it is not there to be used.
        :raises UsageError: when the time is not within the limit.
        """

        def decide(env: Environment) -> Change | None:
            now = self.environments.clock()
            if env.leased(now):
                self._require_owner(env, by)
                assert env.lease_until is not None
                end = self._end(env, now, duration, until)
                if end <= env.lease_until:
                    return None
                return self._change("extend", by, {"lease_until": end, "used_at": now}, reason)
            self.require_for_people(env)
            self._require_usable(env, by, now)
            return self._new(env, "lock", by, by, self._end(None, now, duration, until), reason, queue=True)

        return self._given(self.environments.change(name, decide))

    def take(
        self, name: str, *, by: str, duration: timedelta | None = None, until: datetime | None = None,
        reason: str,
    ) -> Lease:  # fmt: skip
        """An admin takes it, whoever has it or waits for it; the one who had it is told why.

        :raises OpBusy, StaleState, LeaseLimit, UsageError: as `lock`.
        """

        def decide(env: Environment) -> Change | None:
            now = self.environments.clock()
            if env.leased(now) and env.lease_owner == by:
                raise NoLease(f"{name} is yours already; `extend {name}` keeps it longer")
            self._require_usable(env, by, now)
            end = self._end(None, now, duration, until)
            message = f"from {env.lease_owner}: {reason}" if env.leased(now) else reason
            told = [notice.taken(env, "taken", by, reason)] if env.leased(now) else []
            return self._new(env, "take", by, by, end, message, reason=reason, notices=told)

        return self._given(self.environments.change(name, decide))

    def extend(
        self, name: str, *, by: str, duration: timedelta | None = None, until: datetime | None = None,
        reason: str = "",
    ) -> Lease:  # fmt: skip
        """Keep one's own longer: by ``duration`` as far as the limit goes, or ``until`` exactly.

        :raises NoLease: when it is not one's own (any more).
        :raises EnvironmentLocked: when somebody else has it.
        :raises UsageError: when it cannot become longer.
        """

        def decide(env: Environment) -> Change | None:
            now = self.environments.clock()
            self._require_mine(env, by, now)
            assert env.lease_since is not None
            assert env.lease_until is not None
            last = env.lease_since + timedelta(hours=self.settings.max_hours)
            if until is not None:
                end = self._end(env, now, None, until)
            else:
                end = min(env.lease_until + (duration or timedelta(hours=2)), last)
            if end <= env.lease_until:
                if env.lease_until >= last:
                    raise self._too_long(env)
                return None
            return self._change("extend", by, {"lease_until": end, "used_at": now}, reason)

        return self._given(self.environments.change(name, decide))

    def release(self, name: str, *, by: str, admin: bool = False, reason: str = "") -> Environment:
        """Give an environment back; nothing to give back is success.

        :param admin: may give back what somebody else has, who is told why.
        :raises EnvironmentLocked: when it is somebody else's and ``by`` is no admin.
        """

        def decide(env: Environment) -> Change | None:
            now = self.environments.clock()
            if env.lease_owner is None:
                return None
            if not env.leased(now):
                return self._expired(env, now)
            if not admin:
                self._require_owner(env, by)
                self._require_same_lease(env)
            foreign = env.lease_owner != by
            also = [notice.telling([notice.taken(env, "released", by, reason)], now)] if foreign else []
            return self._change("release", by, {**NO_LEASE, "used_at": now}, reason, also)

        return self.environments.change(name, decide)

    def give(self, name: str, *, by: str, to: str, admin: bool = False, reason: str = "") -> Lease:
        """Hand one's own to somebody, who is told; it ends when it would have ended.

        :raises NoLease: when it is not one's own (any more).
        :raises EnvironmentLocked: when somebody else has it.
        :raises LeaseLimit: when the other one has as many as one may have.
        """

        def decide(env: Environment) -> Change | None:
            now = self.environments.clock()
            if not admin:
                self._require_mine(env, by, now)
            elif not env.leased(now):
                raise NoLease(f"nobody has {name}; there is nothing to give")
            if env.lease_owner == to:
                return None
            fence = env.fence + 1
            columns = {
                "fence": fence, "fence_holder": f"lease/{to}", "lease_id": fence, "lease_owner": to,
                "lease_reason": reason, "used_at": now,
            }  # fmt: skip
            also: list[Also] = [self._within_limit, served]

            def tell(connection: Connection, before: Environment, after: Environment) -> None:
                notice.telling([notice.given(after, by, reason)], now)(connection, before, after)

            return self._change("give", by, columns, f"to {to}: {reason}".rstrip(": "), [*also, tell])

        return self._given(self.environments.change(name, decide))

    # What happens by itself

    def expire(self, name: str) -> bool:
        """End the lease whose time is over, and tell its owner; says whether there was one."""
        ended = False

        def decide(env: Environment) -> Change | None:
            nonlocal ended
            now = self.environments.clock()
            ended = env.lease_owner is not None and not env.leased(now)
            return self._expired(env, now) if ended else None

        self.environments.change(name, decide)
        return ended

    def turn(self, name: str, waiter: waiting.Waiter, until: datetime) -> Lease:
        """Give a free environment to somebody who waited, who is told.

        :raises WaitedFor: when the place is not there any more: served elsewhere, or left.
        :raises EnvironmentLocked, OpBusy, StaleState, LeaseLimit: as `lock`.
        """

        def decide(env: Environment) -> Change | None:
            now = self.environments.clock()
            if env.leased(now):
                self._require_owner(env, "")
            self.require_for_people(env)
            self._require_usable(env, waiter.person, now)

            def take_place(connection: Connection, before: Environment, after: Environment) -> None:
                if not waiting.take_place(connection, waiter):
                    raise WaitedFor(f"{waiter.person} does not wait for {waiter.environment} any more")
                notice.telling([notice.turn(after)], now)(connection, before, after)

            return self._new(env, "turn", waiter.person, "daybreak", until, waiter.reason, also=[take_place])

        return self._given(self.environments.change(name, decide))

    # The night and deploys

    def preserve(self, name: str, night: date, by: str, reason: str) -> Environment:
        """Keep the night of that date, and those before it, from touching the environment.

        Idempotent; never shortens what somebody else asked for.

        :raises OpBusy: when a step is at work: it is too late.
        :raises StaleState: when there is nothing to preserve.
        """

        def decide(env: Environment) -> Change | None:
            now = self.environments.clock()
            if env.op_alive(now) or env.state in STEP_STATES:
                raise OpBusy(f"too late to preserve {name}: {explain(env, now)}")
            if env.state is State.ABSENT:
                raise StaleState(f"nothing to preserve: {explain(env, now)}")
            if env.preserved(night):
                return None
            columns = {"preserve_night": night, "preserve_by": by, "preserve_reason": reason}
            return self._change("preserve", by, columns, f"night {night}: {reason}".rstrip(": "))

        return self.environments.change(name, decide)

    def unpreserve(self, name: str, by: str) -> Environment:
        """Let the nights have the environment again; anybody may, and the event says who did."""

        def decide(env: Environment) -> Change | None:
            if env.preserve_night is None:
                return None
            was = f"was by {env.preserve_by}: {env.preserve_reason}"
            return self._change("unpreserve", by, _NO_PRESERVE, was)

        return self.environments.change(name, decide)

    def guard(self, name: str, actor: str) -> int:
        """Ask before a deploy: may ``actor`` change this environment now?

        :returns: the fence to hand to `recheck` before the first mutation and at the end.
        :raises EnvironmentLocked: naming who has it.
        :raises OpBusy: when a step of somebody else is at work.
        """
        env = self.environments.get(name)
        now = self.environments.clock()
        if env.leased(now):
            self._require_owner(env, actor)
        if env.op_alive(now) and env.op_actor != actor:
            raise OpBusy(f"{actor} cannot change {name} now: {describe_op(env, now)}")
        return env.fence

    def recheck(self, name: str, actor: str, fence: int) -> None:
        """Ask again, with the fence that `guard` gave.

        :raises LostOp: when the environment changed hands since.
        :raises EnvironmentLocked: as `guard`.
        :raises OpBusy: as `guard`.
        """
        now = self.guard(name, actor)
        if now != fence:
            env = self.environments.get(name)
            raise LostOp(
                f"{name} changed hands while {actor} was at it (fence {fence}, now {now}): "
                f"{explain(env, self.environments.clock())}"
            )
