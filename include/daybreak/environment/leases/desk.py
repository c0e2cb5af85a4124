"""What concerns more than one environment: any of them, the queue, whose turn it is, and what is due."""

from __future__ import annotations

import copy
import random
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from daybreak.environment import calendar
from daybreak.environment.decision import Decision, Frozen, decide
from daybreak.environment.leases import notice
from daybreak.environment.leases.lease import Lease, LeaseLimit, Leases, NoLease, WaitedFor, lease_of
from daybreak.environment.leases.rules import LOCKABLE
from daybreak.environment.leases.waiting import ANY, Waiter, good_for_any
from daybreak.environment.machine import Environment, OpBusy, StaleState
from daybreak.errors import DaybreakError, EnvironmentLocked

if TYPE_CHECKING:
    from daybreak.environment.installation import Installation

#: Why one environment cannot be had now, while another may.
_TAKEN = (EnvironmentLocked, OpBusy, StaleState, WaitedFor)


@dataclass(frozen=True)
class Queued:
    """A place in the queue: ``position`` 1 is served next."""

    environment: str
    position: int


class NobodyHas(DaybreakError):
    """There is nobody to ask."""

    code = "nobody_has"


class Desk:
    """The verbs that look at all environments, and the caretaker's duties for people."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self.leases: Leases = installation.leases

    def answering(self, request: str | None, *, lease: int | None = None) -> Desk:
        """See :meth:`Leases.answering`."""
        found = copy.copy(self)
        found.leases = self.leases.answering(request, lease=lease)
        return found

    # Taking

    def lock(
        self, name: str, *, by: str, duration: timedelta | None = None, until: datetime | None = None,
        reason: str = "",
    ) -> Lease:  # fmt: skip
        """:meth:`Leases.lock`, after those who waited for it were served; raises as that."""
        try:
            return self.leases.lock(name, by=by, duration=duration, until=until, reason=reason)
        except WaitedFor:
            self.turns()
            return self.leases.lock(name, by=by, duration=duration, until=until, reason=reason)

    def lock_any(
        self, *, by: str, duration: timedelta | None = None, until: datetime | None = None, reason: str = ""
    ) -> Lease | Queued:
        """Take the one that was idle longest with green e2e; when there is none, wait for one.

        :raises LeaseLimit: when the person has as many as one may have.
        :raises UsageError: as `Leases.lock`.
        """
        return self.queue(ANY, by=by, duration=duration, until=until, reason=reason)

    def free(self) -> list[str]:
        """What `any` may take, the least recently used first."""
        return [row.name for row in self._open() if good_for_any(row)]

    def _open(self) -> list[Environment]:
        """What nobody has and no step works on, the least recently used first."""
        now = self.installation.clock()
        rows = [
            row
            for row in self.installation.environments.unleased("dev")
            if row.state in LOCKABLE and not row.op_alive(now)
        ]
        return sorted(rows, key=lambda row: (row.used_at or row.state_since, row.name))

    def _take_any(
        self, *, by: str, duration: timedelta | None, until: datetime | None, reason: str
    ) -> Lease | None:  # fmt: skip
        """Lock the first one that `any` may take; ``None`` when there is none."""
        tried: set[str] = set()
        overtaken = False
        # Looked at again after each one that could not be had.
        while left := [name for name in self.free() if name not in tried]:
            # A crowd that asks at one moment would meet at each of them again.
            name = random.choice(left) if overtaken else left[0]  # noqa: S311 - spreads load, keeps no secret
            tried.add(name)
            try:
                return self.leases.lock(name, by=by, duration=duration, until=until, reason=reason)
            except (EnvironmentLocked, OpBusy):
                overtaken = True
            except _TAKEN:
                continue
        return None

    # Waiting

    def queue(
        self, name: str, *, by: str, duration: timedelta | None = None, until: datetime | None = None,
        reason: str = "",
    ) -> Lease | Queued:  # fmt: skip
        """Wait for an environment, or for any; what is free already is taken at once.

        :raises LeaseLimit: when the person has as many as one may have.
        :raises NoLease: when they have it already.
        :raises StaleState: when it is not for people, so that nobody waits for what never comes.
        """
        installation = self.installation
        held = self.held(by)
        if name in {row.name for row in held}:
            raise NoLease(f"{name} is yours already; `extend {name}` keeps it longer")
        if len(held) >= installation.settings.lease.per_person:
            names = ", ".join(row.name for row in held)
            raise LeaseLimit(f"{by} has {names}, as many as one may have; `release` one first")
        if name == ANY:
            taken = self._take_any(by=by, duration=duration, until=until, reason=reason)
            if taken is not None:
                return taken
        else:
            self.leases.require_for_people(installation.environments.get(name))
            with suppress(*_TAKEN):
                return self.leases.lock(name, by=by, duration=duration, until=until, reason=reason)
        position = installation.waiting.join(name, by, reason)
        before = {row.name: row.lease_id for row in held}
        self.turns()
        for row in self.held(by):
            if before.get(row.name) != row.lease_id and name in (ANY, row.name):
                # It came free this moment: as long as was asked for, not only for a turn.
                return self.leases.lock(
                    row.name, by=by, duration=duration, until=until, reason=reason or row.lease_reason or ""
                )
        return Queued(name, installation.waiting.position(name, by) or position)

    def held(self, person: str) -> list[Environment]:
        """The environments that the person has now."""
        return self.installation.environments.held(person)

    def poke(self, name: str, *, by: str, reason: str = "") -> tuple[Lease, bool]:
        """Ask who has it whether they still need it; ``False`` when they were asked a moment ago.

        :raises NobodyHas: when nobody, or the one who asks, has it.
        """
        now = self.installation.clock()
        env = self.installation.environments.get(name)
        lease = lease_of(env, now)
        if lease is None:
            raise NobodyHas(f"nobody has {name}; `lock {name}` takes it")
        if lease.owner == by:
            raise NobodyHas(f"{name} is yours; `release {name}` gives it back")
        return lease, self.installation.outbox.put(notice.poked(env, by, reason, now))

    # What is due; done by the caretaker, and by whoever comes by

    def turns(self) -> list[Lease]:
        """Give what is free to those who wait for it, in their order; each is told once."""
        waiters = self.installation.waiting.all()
        open_now = self._open() if waiters else []
        given = []
        for waiter in waiters:
            fitting = [row for row in open_now if waiter.environment in (ANY, row.name)]
            lease = self._serve(waiter, fitting)
            if lease is not None:
                given.append(lease)
                open_now = [row for row in open_now if row.name != lease.environment]
        return given

    def _serve(self, waiter: Waiter, fitting: Sequence[Environment]) -> Lease | None:
        for row in fitting:
            if waiter.environment == ANY and not good_for_any(row):
                continue
            try:
                return self.installation.leases.turn(row.name, waiter, self._turn_until())
            except (LeaseLimit, WaitedFor):
                return None
            except _TAKEN:
                continue
        return None

    def _turn_until(self) -> datetime:
        """A turn that comes at night lasts until people are there to see it."""
        now, policy = self.installation.clock(), self.installation.settings.night
        lease = self.installation.settings.lease
        night = calendar.night(policy, calendar.night_of(policy, now))
        begins = max(now, night.ready)
        return min(begins + timedelta(minutes=lease.turn_minutes), now + timedelta(hours=lease.max_hours))

    def expire(self) -> list[str]:
        """End the leases whose time is over, tell their owners, and serve who waits; returns the names."""
        now = self.installation.clock()
        over = [
            row.name
            for row in self.installation.environments.all()
            if row.lease_owner is not None and not row.leased(now)
        ]
        ended = [name for name in over if self.leases.expire(name)]
        self.turns()
        return ended

    def notify(self) -> int:
        """Tell people what is about to happen to what they have; returns how many notices are new."""
        installation = self.installation
        now, settings = installation.clock(), installation.settings
        rows = installation.environments.all()
        night, decisions = self.tonight(now)
        notices = [
            *notice.ending(rows, now),
            *notice.before_teardown(rows, decisions, night, now, settings.lease.notice_minutes),
        ]
        return sum(installation.outbox.put(each) for each in notices)

    def tonight(self, at: datetime) -> tuple[calendar.Night, list[Decision]]:
        """What "tonight" is to somebody who says it at ``at``, and what would be decided for it now.

        What would be torn down in an account that nobody armed is left out: it stays up.
        """
        installation, settings = self.installation, self.installation.settings
        night = calendar.tonight(settings.night, at)
        brake = installation.switches.frozen()
        decisions = decide(
            settings.night,
            night.key,
            installation.environments.all(),
            settings.environments,
            installation.votes.for_night(settings.night, night.key),
            at,
            frozen=Frozen(brake.by, brake.reason) if brake else None,
        )
        accounts = {each.name: each.account for each in settings.environments}
        return night, [
            each
            for each in decisions
            if not (each.teardown or each.in_place)
            or installation.switches.is_armed(accounts[each.environment])
        ]
