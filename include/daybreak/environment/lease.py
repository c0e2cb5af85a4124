"""Who has an environment: leases, preserving it over a night, and the guard in front of a deploy."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo

from daybreak.environment.machine import (
    STEP_STATES,
    USABLE,
    Environment,
    OpBusy,
    StaleState,
    State,
    describe_op,
    explain,
)
from daybreak.environment.rows import Change
from daybreak.environment.state import Environments
from daybreak.errors import EnvironmentLocked, LostOp, UsageError
from daybreak.settings import LeaseSettings

#: What a person can want to have: FAULTED too, to look into it.
_LOCKABLE = USABLE | {State.FAULTED}
_NO_LEASE = dict.fromkeys(("lease_owner", "lease_id", "lease_since", "lease_until", "lease_reason"))
_NO_PRESERVE = dict.fromkeys(("preserve_night", "preserve_by", "preserve_reason"))


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


class Leases:
    """The verbs of people. Owners are user ids, never display names.

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

    def lock(self, name: str, *, by: str, duration: timedelta, reason: str = "") -> Lease:
        """Take an environment, or extend one's own lease; never steals, never shortens.

        :raises EnvironmentLocked: when somebody else has it.
        :raises OpBusy: when a step is at work on it.
        :raises StaleState: when it is not there to be used.
        :raises UsageError: when ``duration`` is not within the limit.
        """
        limit = timedelta(hours=self.settings.max_hours)
        if not timedelta(0) < duration <= limit:
            raise UsageError(f"a lease lasts more than nothing and at most {self.settings.max_hours:g} h")

        def decide(env: Environment) -> Change | None:
            now = self.environments.clock()
            until = now + duration
            if env.leased(now):
                self._require_owner(env, by)
                assert env.lease_until is not None
                if until <= env.lease_until:
                    return None
                return Change("extend", by, {"lease_until": until, "used_at": now}, reason)
            if env.op_alive(now):
                raise OpBusy(f"{by} cannot lock {name} now: {describe_op(env, now)}")
            if env.state not in _LOCKABLE:
                raise StaleState(f"{by} cannot lock {name} now: {explain(env, now)}")
            # Always a new fence: whatever began under an older lease, even the same person's, is over.
            fence = env.fence + 1
            columns = {
                "fence": fence, "fence_holder": f"lease/{by}", "lease_id": fence, "lease_owner": by,
                "lease_since": now, "lease_until": until, "lease_reason": reason, "used_at": now,
            }  # fmt: skip
            return Change("lock", by, columns, reason)

        lease = lease_of(self.environments.change(name, decide), self.environments.clock())
        if lease is None:
            raise StaleState(f"{by}'s lease of {name} ended while it was given; the clock moved")
        return lease

    def release(self, name: str, *, by: str, admin: bool = False, reason: str = "") -> Environment:
        """Give an environment back; nothing to give back is success.

        :raises EnvironmentLocked: when it is somebody else's and ``by`` is no admin.
        """

        def decide(env: Environment) -> Change | None:
            now = self.environments.clock()
            if env.lease_owner is None:
                return None
            if env.leased(now) and not admin:
                self._require_owner(env, by)
            return Change("release", by, {**_NO_LEASE, "used_at": now}, reason)

        return self.environments.change(name, decide)

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
            return Change("preserve", by, columns, f"night {night}: {reason}")

        return self.environments.change(name, decide)

    def unpreserve(self, name: str, by: str) -> Environment:
        """Let the nights have the environment again; anybody may, and the event says who did."""

        def decide(env: Environment) -> Change | None:
            if env.preserve_night is None:
                return None
            return Change("unpreserve", by, _NO_PRESERVE, f"was by {env.preserve_by}: {env.preserve_reason}")

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

    def _require_owner(self, env: Environment, who: str) -> None:
        if env.lease_owner == who:
            return
        assert env.lease_until is not None
        until = f"{env.lease_until.astimezone(self.zone):%Y-%m-%d %H:%M %Z}"
        raise EnvironmentLocked(env.name, str(env.lease_owner), until, env.lease_reason or "")
