"""Environments: who may change them, from which state to which (the rules are in `machine`, the writing in
`rows`).
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from sqlalchemy import Connection, select, update

from daybreak.environment.leases import notice
from daybreak.environment.machine import (
    HEARTBEAT,
    STEP_STATES,
    TRANSITIONS,
    USABLE,
    Environment,
    IllegalTransition,
    NonceTaken,
    Op,
    OpBusy,
    Preserved,
    StaleState,
    State,
    describe_op,
    explain,
    moment,
    require_held,
    require_transition,
)
from daybreak.environment.rows import Also, Change, Event, Kind, Rows, environment_of
from daybreak.errors import EnvironmentLocked, LostOp
from daybreak.registry import tables

__all__ = [
    "STEP_STATES", "TRANSITIONS", "USABLE", "Change", "Environment", "Environments", "Event",
    "IllegalTransition", "NonceTaken", "Op", "OpBusy", "Preserved", "StaleState", "State",
]  # fmt: skip

_TABLE = tables.environments
_NO_OP: Mapping[str, None] = dict.fromkeys(
    (
        "op_token",
        "op_holder",
        "op_actor",
        "op_step",
        "op_since",
        "op_heartbeat_at",
        "op_deadline",
    )
)
NO_LEASE: Mapping[str, None] = dict.fromkeys(
    ("lease_owner", "lease_id", "lease_since", "lease_until", "lease_reason")
)
#: What a step may write beside the state.
_FREE_COLUMNS = frozenset({"commit", "verdict", "used_at", "nonce_previous"})


class Environments(Rows):
    """The environments, with the verbs of those who work on them."""

    def transition(
        self, env: Environment, to: State, *, actor: str, op: Op | None = None, admin: bool = False,
        message: str = "", **columns: Any,
    ) -> Environment:  # fmt: skip
        """Change the state of ``env`` exactly as it was read; an op in hand stays at work.

        :param columns: ``commit``, ``verdict``, ``used_at``.
        :raises StaleState: when the row was written since.
        :raises LostOp: when ``op`` is not the one at work any more.
        :raises OpBusy: when a live op works on it and none was given.
        :raises IllegalTransition: see `TRANSITIONS`.
        """
        now = self.clock()
        require_transition(env, to, now=now, admin=admin)
        values = {"state": to, **_checked(columns)}
        with self._writing() as connection:
            if op is None and env.op_alive(now):
                raise OpBusy(f"{env.name} cannot become {to}: {describe_op(env, now)}")
            if op is not None:
                require_held(env, op, now)
            written = self._write(
                connection, env, Change("transition", actor, values, message), any_beat=op is not None
            )
        if written is not None:
            return written
        present = self.get(env.name)
        if op is not None:
            require_held(present, op, now)
        raise StaleState(
            f"{env.name} was {env.state} at version {env.version}; meanwhile {explain(present, now)}"
        )

    def begin(
        self,
        name: str,
        *,
        step: str,
        holder: str,
        actor: str,
        expect: Collection[State],
        deadline: timedelta,
        to: State | None = None,
        takeover: bool = False,
        night: date | None = None,
        respect_lease: bool = False,
        also: Callable[[Connection, Op], object] | None = None,
    ) -> Op:
        """Take the op: from now on only this try of this step may change the environment.

        :param holder: the same string for all tries and steps of one run, for example ``nightly/<run id>``.
        :param expect: the states in which the step makes sense.
        :param deadline: how long the step may take.
        :param to: the state that the step works in; by default, or when it is there already, the state stays.
        :param takeover: take the op from an earlier try of the same holder, or from anybody whose deadline
            passed or who was silent for 120 s. A live op of another holder is never taken.
        :param night: refuse when the environment is preserved in this night.
        :param respect_lease: refuse when somebody other than ``actor`` holds the lease. The night does not: a
            lease does not veto it.
        :param also: written in the same transaction.
        :raises OpBusy: naming who is at work.
        :raises StaleState: when it is in another state than expected.
        :raises Preserved: by whom and why.
        :raises EnvironmentLocked: by whom and until when.
        :raises IllegalTransition: see `TRANSITIONS`.
        """
        token = secrets.token_hex(16)

        def op(env: Environment) -> Op:
            assert env.op_since is not None
            assert env.op_deadline is not None
            return Op(name, step, env.fence, token, holder, actor, env.op_since, env.op_deadline)

        def decide(env: Environment) -> Change:
            now = self.clock()
            if env.op_token is not None and not (
                takeover and (env.op_holder == holder or not env.op_alive(now))
            ):
                why = f"{holder} cannot begin {step}: {env.name} is busy, {describe_op(env, now)}"
                raise OpBusy(why, step=env.op_step)
            if env.state not in expect:
                wanted = " or ".join(sorted(expect))
                raise StaleState(f"{holder} cannot begin {step}, which needs {wanted}: {explain(env, now)}")
            # The token that was there is void from now on, so a restart is judged as if nobody were at work.
            free = replace(env, op_token=None)
            require_transition(free, to or env.state, now=now, begins=True)
            if night is not None and env.preserved(night):
                why = f" ({env.preserve_reason})" if env.preserve_reason else ""
                raise Preserved(
                    f"{name} is preserved until the night of {env.preserve_night} by {env.preserve_by}{why}"
                )
            if respect_lease and env.leased(now) and env.lease_owner != actor:
                raise locked(env)
            columns = {
                "state": to or env.state, "op_token": token, "op_holder": holder, "op_actor": actor,
                "op_step": step, "op_since": now, "op_heartbeat_at": now, "op_deadline": now + deadline,
            }  # fmt: skip
            acts: list[Also] = [lambda tx, _, after: also(tx, op(after))] if also else []
            if to is State.QUIESCING and env.lease_owner is not None and env.lease_owner != actor:
                # What goes is nobody's any more; who rebuilds their own keeps it.
                columns |= NO_LEASE
                ended = notice.torn_down(env, actor) if env.leased(now) else notice.lease_ended(env)
                acts.append(notice.telling([ended], now))
            return Change("begin", actor, columns | new_holder(env, holder), f"{step} by {holder}", acts)

        return op(self.change(name, decide))

    def check(self, op: Op) -> None:
        """Call before each mutation of the world.

        :raises LostOp: when another try or holder took over, or this op's deadline passed, so that one may
            any moment.
        """
        self._require_at_work(self.get(op.environment), op)

    @contextmanager
    def fenced(self, op: Op) -> Iterator[Connection]:
        """A transaction in which ``op`` is at work and stays so: nobody takes over before it ends.

        For what a step remembers beside the environment's row: asked first and written afterwards, it could
        be written over what whoever took over remembers.

        :raises LostOp: as :meth:`check`; nothing was written.
        """
        with self.engine.begin() as connection:
            # SQLite has no row locks; there a transaction is the only one that writes.
            query = select(_TABLE).where(_TABLE.c.name == op.environment).with_for_update()
            self._require_at_work(environment_of(connection.execute(query).mappings().one()), op)
            yield connection

    def _require_at_work(self, env: Environment, op: Op) -> None:
        now = self.clock()
        require_held(env, op, now)
        if now > op.deadline:
            raise LostOp(
                f"{op.environment}: step {op.step} of {op.holder} passed its deadline {moment(op.deadline)} "
                f"and must change nothing any more",
                code="deadline",
            )

    def heartbeat(self, op: Op) -> None:
        """Say that the step lives.

        It is no new version of the environment (nothing about it changed, and its step's own writes must not
        be overtaken by it), but `_write` compares it: nobody takes over an op that spoke meanwhile.

        :raises LostOp: when the op was taken over.
        """
        with self.engine.begin() as connection:
            beat = connection.execute(
                update(_TABLE)
                .where(
                    _TABLE.c.name == op.environment, _TABLE.c.fence == op.fence, _TABLE.c.op_token == op.token
                )
                .values(op_heartbeat_at=self.clock())
                .returning(_TABLE.c.name)
            ).first()
        if beat is None:
            require_held(self.get(op.environment), op, self.clock())

    @contextmanager
    def beating(self, op: Op, every: timedelta = HEARTBEAT) -> Iterator[None]:
        """Beat in the background while the block runs. A lost op ends it; `check` tells the block."""
        done = threading.Event()

        def beat() -> None:
            while not done.wait(every.total_seconds()):
                try:
                    self.heartbeat(op)
                except LostOp:
                    return
                except Exception:  # noqa: S112 - a registry that is away for a moment must not end the beating
                    continue

        thread = threading.Thread(target=beat, name=f"heartbeat-{op.environment}", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def update(self, op: Op, *, to: State | None = None, message: str = "", **columns: Any) -> Environment:
        """Write columns, or go on to the next state, within an op that goes on.

        :raises LostOp: when the op was taken over.
        :raises IllegalTransition: see `TRANSITIONS`.
        """
        return self._by_op(op, "update", to, columns, message)

    def finish(
        self, op: Op, to: State | None = None, *, message: str = "", also: Sequence[Also] = (), **columns: Any
    ) -> Environment:
        """End the op, in the state ``to`` (by default the state stays).

        Valid also after the deadline, as long as nobody took over: the work is done.

        :param also: written in the same transaction, so that no kill comes between the two.
        :raises LostOp: when the op was taken over.
        :raises IllegalTransition: see `TRANSITIONS`.
        """
        return self._by_op(op, "finish", to, {**columns, **_NO_OP}, message or op.step, also)

    def fault(
        self,
        by: Op | Environment,
        code: str,
        message: str,
        *,
        actor: str | None = None,
        request: str | None = None,
        also: Sequence[Also] = (),
    ) -> Environment:
        """The environment stands still: attempts or deadline are exhausted, or (given a row) somebody says
        so.

        :param code: a stable word, ``DaybreakError.code`` of what happened.
        :param message: kept to its first 8,000 characters.
        :param also: written in the same transaction.
        :raises LostOp: when the op was taken over: then it is not this step's to say.
        :raises OpBusy: given a row, when a live op works on it.
        :raises StaleState: given a row that was written since.
        """

        # Whatever a tool printed must not keep the fault from being written; PostgreSQL's text takes no NUL.
        said = message.replace("\x00", "")[:8000]

        def decide(env: Environment) -> Change:
            now = self.clock()
            if isinstance(by, Op):
                require_held(env, by, now)
            elif env.op_alive(now):
                raise OpBusy(f"{env.name} cannot be called faulted: {describe_op(env, now)}")
            elif env.version != by.version:
                raise StaleState(
                    f"{by.name} was {by.state} at version {by.version}; meanwhile {explain(env, now)}"
                )
            require_transition(env, State.FAULTED, now=now)
            fault = {"fault_code": code[:64], "fault_message": said, "fault_at": now}
            who = actor or (by.actor if isinstance(by, Op) else "daybreak")

            def tell(connection: Connection, before: Environment, after: Environment) -> None:
                notice.telling(notice.faulted(after, now), now)(connection, before, after)

            columns = {"state": State.FAULTED, **fault, **_NO_OP}
            return Change("fault", who, columns, f"{code}: {said}", [tell, *also], request)

        return self.change(by.environment if isinstance(by, Op) else by.name, decide)

    def unfault(self, name: str, *, by: str, reason: str, request: str | None = None) -> Environment:
        """An admin says that a faulted environment is fine; whether ``by`` is one, the caller knows.

        :raises StaleState: when it is not FAULTED.
        """

        def decide(env: Environment) -> Change:
            now = self.clock()
            if env.state != State.FAULTED:
                raise StaleState(f"nothing to unfault: {explain(env, now)}")
            require_transition(env, State.READY, now=now, admin=True)
            return Change("unfault", by, {"state": State.READY}, reason, request=request)

        return self.change(name, decide)

    def rotate_nonce(self, op: Op, nonce: str | None = None) -> Environment:
        """Give a new provisioning its name; the one before stays known, for what still carries it.

        While one before is known, the rotation is unfinished: some things carry that one, others the present
        one, and a third name would disown the first. So it is gone on with, by this run or a later night's.

        :param nonce: pin it, so that a resumed step does not rotate again: the present one is no change.
        :raises NonceTaken: when another environment has, or had, that nonce.
        :raises LostOp: when the op was taken over.
        """
        fresh = nonce or secrets.token_hex(8)

        def decide(env: Environment) -> Change | None:
            require_held(env, op, self.clock())
            if env.nonce == fresh or env.nonce_previous is not None:
                return None
            return Change("nonce", op.actor, {"nonce": fresh, "nonce_previous": env.nonce}, fresh)

        for other in self.all():
            if other.name != op.environment and fresh in (other.nonce, other.nonce_previous):
                raise NonceTaken(f"{op.environment} cannot have nonce {fresh}: {other.name} has it")
        return self.change(op.environment, decide)

    def _by_op(
        self,
        op: Op,
        kind: Kind,
        to: State | None,
        columns: Mapping[str, Any],
        message: str,
        also: Sequence[Also] = (),
    ) -> Environment:
        free = _checked({name: value for name, value in columns.items() if name not in _NO_OP})
        clearing = {name: None for name in columns if name in _NO_OP}

        def decide(env: Environment) -> Change:
            now = self.clock()
            require_held(env, op, now)
            require_transition(env, to or env.state, now=now)
            return Change(kind, op.actor, {"state": to or env.state, **free, **clearing}, message, also)

        return self.change(op.environment, decide)


def new_holder(env: Environment, holder: str) -> dict[str, Any]:
    """The fence's columns when ``holder`` gets the environment: +1 only if it was another's before."""
    return {} if env.fence_holder == holder else {"fence": env.fence + 1, "fence_holder": holder}


def locked(env: Environment) -> EnvironmentLocked:
    """The refusal that names who holds the lease."""
    return EnvironmentLocked(env.name, str(env.lease_owner), moment(env.lease_until), env.lease_reason or "")


def _checked(columns: Mapping[str, Any]) -> dict[str, Any]:
    unknown = sorted(set(columns) - _FREE_COLUMNS)
    if unknown:
        raise TypeError(
            f"a step cannot write {', '.join(unknown)}; it may write {', '.join(sorted(_FREE_COLUMNS))}"
        )
    return dict(columns)
