"""A deploy by hand as work on one environment: its op, its lease, and what runs there."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property

from daybreak.aws.tokens import Kept, Tokens
from daybreak.environment.bcd.records import BcdRun, BcdRuns
from daybreak.environment.bcd.request import Request
from daybreak.environment.installation import Installation
from daybreak.environment.machine import USABLE, Op, State
from daybreak.environment.working import Working
from daybreak.errors import UsageError
from daybreak.settings import Limits

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Work(Working):
    """What one run does to its environment.

    :param actor: who is named in leases and events, and whose lease counts as the run's own.
    """

    installation: Installation
    run_id: str
    request: Request
    actor: str
    tokens: Tokens = field(default_factory=Tokens)

    @classmethod
    def of(cls, installation: Installation, run_id: str) -> Work:
        """The work of a run that was begun.

        :raises UsageError: when it is unknown.
        """
        row = BcdRuns(installation.engine, installation.clock).get(run_id)
        return cls(installation, run_id, row.asked, row.actor)

    @property
    def environment(self) -> str:
        """The environment's name."""
        return self.request.environment

    @property
    def holder(self) -> str:
        """Who holds the run's ops, and so the fence: all its tries."""
        return f"bcd/{self.run_id}"

    @cached_property
    def records(self) -> BcdRuns:
        """The registry's rows of deploys by hand."""
        return BcdRuns(self.installation.engine, self.installation.clock)

    @property
    def row(self) -> BcdRun:
        """The run's own row, as it is now."""
        return self.records.get(self.run_id)

    # The lease

    @property
    def _mark(self) -> str:
        return f"bcd {self.run_id}"

    @property
    def _hold(self) -> timedelta:
        """How long the environment is locked for, at most: as long as a run may take (`dags/bcd.py`)."""
        settings = self.installation.settings
        return min(Limits(settings.build).bcd, timedelta(hours=settings.lease.max_hours))

    def hold(self) -> int:
        """Ask whether the actor may change the environment, and lock it when nobody has it.

        :returns: the fence to deploy under.
        :raises EnvironmentLocked: naming who has it and until when.
        :raises OpBusy: when a step of somebody else is at work.
        """
        leases, env = self.installation.leases, self.installation.environments.get(self.environment)
        fence = leases.guard(self.environment, self.actor)
        if env.leased(self.installation.clock()):
            return fence
        reason = f"{self._mark}: {self.request.reason}" if self.request.reason else self._mark
        lease = leases.lock(self.environment, by=self.actor, duration=self._hold, reason=reason)
        return lease.lease_id

    def let_go(self) -> bool:
        """Give back what :meth:`hold` took; says whether there was something to give back.

        A lease that the actor had before, or extended since, stays theirs.
        """
        leases, env = self.installation.leases, self.installation.environments.get(self.environment)
        if env.lease_owner != self.actor or env.lease_since is None or env.lease_until is None:
            return False
        reason = env.lease_reason or ""
        ours = reason == self._mark or reason.startswith(f"{self._mark}: ")
        if not ours or env.lease_until - env.lease_since > self._hold + timedelta(seconds=1):
            return False
        leases.release(self.environment, by=self.actor, reason=f"{self._mark} is over")
        return True

    def begin(self, step: str, limit: timedelta, to: State | None = None) -> Op:
        """Take the op, with the fence compared before.

        :param limit: afterwards it counts as dead.
        :raises LostOp: when the environment changed hands since the run began.
        :raises EnvironmentLocked: when somebody else has it by now.
        :raises OpBusy: when somebody else is at work.
        :raises StaleState: when it is not there to be used any more.
        """
        installation = self.installation
        # Our own op is a new holder too; after it, only a third one's fence means that we are over.
        if installation.environments.get(self.environment).fence_holder != self.holder:
            installation.leases.recheck(self.environment, self.actor, int(self.row.detail["fence"]))
        return installation.environments.begin(
            self.environment, step=step, holder=self.holder, actor=self.actor, expect=USABLE, to=to,
            deadline=limit, takeover=True, respect_lease=True,
        )  # fmt: skip

    def keeping(self, op: Op) -> Work:
        """The same work, which keeps in the registry under which tokens it asks AWS: another try asks for the
        same. Only while ``op`` is at work: a token that cannot be kept is not asked under.
        """

        def keep(tokens: Kept) -> None:
            with self.installation.environments.fenced(op) as connection:
                self.records.note(self.run_id, connection=connection, tokens=tokens)

        return replace(self, tokens=Tokens(self.row.detail.get("tokens"), keep))


def require_usable(work: Work) -> None:
    """Refuse an environment that a deploy by hand cannot use.

    :raises UsageError: with its state, and what to do.
    """
    env = work.installation.environments.get(work.environment)
    if env.state in USABLE:
        return
    why = f" ({env.fault_code}: {env.fault_message})" if env.fault_code else ""
    raise UsageError(
        f"{env.name} is {env.state}{why}, so nothing can be deployed to it; "
        f"`daybreak env rebuild {env.name}` builds it from main now",
        code="not_usable",
    )
