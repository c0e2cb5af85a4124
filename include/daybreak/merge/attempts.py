"""Writing an attempt, and with it, in one transaction, what that means for its members."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Engine, select, update

from daybreak.aws.tokens import Kept
from daybreak.merge import announce
from daybreak.merge.control import GANDALF, Control, standing
from daybreak.merge.effects import Left, Unwanted, Write
from daybreak.merge.no_verdict import Given, given
from daybreak.merge.protocol import BROKEN, CANCELLED, HELD, LANDING_REFUSED, TESTS_FAILED
from daybreak.merge.queue import other_half, whole
from daybreak.merge.rows import (
    TRY,
    Attempt,
    Entry,
    TooLate,
    attempt_of,
    read_attempt,
    read_entries,
    write_attempt,
    write_entry,
)
from daybreak.merge.rules import ATTEMPT_ENDS, AttemptState, EntryState
from daybreak.registry import merge_tables as tables
from daybreak.registry.clock import Clock, utc_now

A, E = AttemptState, EntryState
log = logging.getLogger(__name__)
#: Columns of a `Write` that are kept when it does not name them.
_COLUMNS = ("base", "candidate", "lease", "landing", "blamed")


class _Overtaken(Exception):
    """A member was written since: the whole write is taken back."""


class Attempts:
    """The registry's attempts, for whoever has one in hand."""

    def __init__(self, engine: Engine, clock: Clock = utc_now) -> None:
        self.engine, self.clock = engine, clock

    def find(self, run_id: str) -> Attempt | None:
        """One attempt."""
        with self.engine.connect() as connection:
            return read_attempt(connection, run_id)

    def unfinished(self) -> list[Attempt]:
        """Those that nobody ended yet, oldest first; one whose environment is shut is ended, as far as it
        goes.
        """
        over = [*ATTEMPT_ENDS, A.QUARANTINED]
        query = select(tables.attempts).where(tables.attempts.c.state.not_in(over))
        with self.engine.connect() as connection:
            rows = connection.execute(query.order_by(tables.attempts.c.created_at)).mappings()
            return [attempt_of(row) for row in rows]

    def unwanted(self, run_id: str) -> Unwanted | None:
        """Why what is deployed or tested now cannot land any more: a member was taken back, or is held.

        What is taken back, or on main already, is brought to its end.
        """
        with self.engine.connect() as connection:
            present = read_attempt(connection, run_id)
            if present is None or present.state not in (A.DEPLOYING, A.TESTING):
                return None
            members = read_entries(connection, tables.entries.c.id.in_(present.members))
        for each in members:
            if each.ended_at is not None:
                return Unwanted(CANCELLED, f"{each.name} is {each.state}: {each.reason}")
            if each.held_by is not None:
                return Unwanted(HELD, f"{each.name} is {_held(each)}")
        return None

    def keep_tokens(self, connection: Connection, run_id: str, tokens: Kept) -> None:
        """Write down under which tokens AWS is asked.

        :param connection: in which the environment is the caller's (`Environments.fenced`).
        """
        values = {"tokens": {thing: dict(kept) for thing, kept in tokens.items()}}
        connection.execute(update(tables.attempts).filter_by(run_id=run_id).values(**values))

    def last_green(self) -> str | None:
        """The run that landed last."""
        table = tables.attempts
        query = select(table.c.run_id).filter_by(state=A.CONFIRMED)
        with self.engine.connect() as connection:
            return connection.execute(query.order_by(table.c.changed_at.desc()).limit(1)).scalar()

    def quarantined(self) -> list[str]:
        """Runs after which nobody could prove what the environment runs."""
        query = select(tables.attempts.c.run_id).filter_by(state=A.QUARANTINED)
        with self.engine.connect() as connection:
            return list(connection.execute(query).scalars())

    def close_quarantined(self, *, actor: str) -> list[str]:
        """The environment runs main again: write the end of those that could not prove it; their runs.

        Whether one had landed, its history says.
        """
        table, events = tables.attempts, tables.merge_events
        with self.engine.begin() as connection:
            rows = connection.execute(select(table).filter_by(state=A.QUARANTINED)).mappings().all()
            closed = []
            for present in map(attempt_of, rows):
                landed = select(events.c.id).filter_by(
                    subject=f"attempt:{present.run_id}", to_state=A.LANDED
                )  # fmt: skip
                to = A.REVERTED if connection.execute(landed).first() is None else A.CONFIRMED
                if write_attempt(connection, present, to, actor=actor, at=self.clock()) is not None:
                    closed.append(present.run_id)
            return closed

    def claim(
        self, run_id: str, *, token: str, fence: int, actor: str, enters: bool = False
    ) -> Attempt | None:
        """Make ``token`` the only one under which the attempt is written.

        The environment's row decides who may: its op has this token already.

        :param enters: PLANNED becomes LEASED.

        :returns: ``None`` when the registry has no such attempt.
        """
        while True:
            with self.engine.begin() as connection:
                present = read_attempt(connection, run_id)
                if present is None:
                    return None
                to = A.LEASED if enters and present.state is A.PLANNED else present.state
                written = write_attempt(
                    connection, present, to, actor=actor, at=self.clock(), token=token, fence=fence
                )
                if written is not None:
                    announce.attempt(connection, run_id, self.clock())
            if written is not None:
                return written

    def write(self, run_id: str, token: str | None, write: Write, *, actor: str) -> bool:
        """Write what a program asks for, and for its members what follows from it; says whether it could.

        It could not when another try has the attempt by now, or when a member was taken back meanwhile: both
        are writes of one row, and the first one wins.
        """
        columns: dict[str, Any] = {
            name: value for name in _COLUMNS if (value := getattr(write, name)) is not None
        }
        try:
            with self.engine.begin() as connection:
                present = read_attempt(connection, run_id)
                if present is None or present.token != token or present.state is not write.state:
                    return False
                # What came first is why; what follows is only how it went on.
                if write.said is not None and present.reason_code is None:
                    columns["reason_code"], columns["reason"] = write.said
                if write.left:
                    gone = {each.member for each in write.left}
                    columns["members"] = [each for each in present.members if each not in gone]
                written = write_attempt(
                    connection, present, write.to, actor=actor, at=self.clock(), **columns
                )
                if written is None:
                    return False
                self._members(connection, present, written, actor)
                self._leave(connection, written, write.left, actor)
                announce.attempt(connection, run_id, self.clock())
        except _Overtaken:
            return False
        return True

    def stop(self, run_id: str, why: str) -> None:
        """Pause the queue, since the attempt cannot go on and none could that follows; everybody is told.

        Once: nothing is done while the queue is paused for it.
        """
        try:
            with self.engine.begin() as connection:
                attempt = read_attempt(connection, run_id)
                assert attempt is not None, "only an attempt is gone on with"
                members = read_entries(connection, tables.entries.c.id.in_(attempt.members))
                reason = f"{_named(members)} cannot go on: {why}"
                was = standing(connection)
                # What stood there before is told behind the reason.
                if was.paused_by != GANDALF or not str(was.pause_reason).startswith(reason):
                    Control(self.engine, self.clock).stop(connection, reason, by=GANDALF)
        except TooLate as late:
            log.info("%s: %s", run_id, late)  # the next try sees how it is then

    def _members(self, connection: Connection, before: Attempt, after: Attempt, actor: str) -> None:
        if before.state is after.state:
            return
        mine = (tables.entries.c.id.in_(after.members), tables.entries.c.run_id == after.run_id)
        found = [each for each in read_entries(connection, *mine) if each.ended_at is None]
        match after.state:
            case A.LANDING:
                if len(found) != len(after.members) or any(each.held_by for each in found):
                    raise _Overtaken
                self._all(connection, found, E.LANDING, actor)
            case A.LANDED:
                self._all(connection, found, E.LANDED, actor)
                # What failed together with these fails without them: main is now what it was tested on.
                connection.execute(
                    update(tables.entries)
                    .where(
                        tables.entries.c.suspects == other_half(after.run_id),
                        tables.entries.c.ended_at.is_(None),
                    )
                    .values(suspects_fail=True)
                )
            case A.REVERTING if before.state is A.LANDING:
                for each in found:
                    self._ended(connection, each, after, actor)
                if after.reason_code == LANDING_REFUSED:
                    self._stop(connection, after, found)
            case A.REVERTED | A.QUARANTINED if before.state in (A.REVERTING, A.PLANNED):
                for each in found:
                    self._ended(connection, each, after, actor)

    def _leave(
        self, connection: Connection, attempt: Attempt, left: Sequence[Left], actor: str
    ) -> None:  # fmt: skip
        """Rejected is who conflicts with main; who does with a mate waits for how the mates end."""
        for each in left:
            [entry] = read_entries(connection, tables.entries.c.id == each.member)
            if entry.ended_at is not None:
                continue  # taken back meanwhile
            if each.alone:
                ends = Given(E.REJECTED, ("conflict", each.said))
            else:
                said = ("conflicts_with_mate", f"{each.said}; it waits for how that ends")
                ends = Given(E.QUEUED, said, self._other_half(connection, attempt))
            if write_entry(
                connection, entry, ends.to, actor=actor, at=self.clock(), said=ends.said, **ends.columns
            ) is None:  # fmt: skip
                raise _Overtaken

    def _other_half(self, connection: Connection, attempt: Attempt) -> dict[str, Any]:
        """Columns of who is tested after the attempt, where it is a half of what failed: both together are
        that whole, so whoever leaves the one joins the other.
        """
        half = other_half(attempt.run_id)
        joined = read_entries(
            connection, tables.entries.c.suspects == half, tables.entries.c.ended_at.is_(None)
        )
        return {"suspects": half, "suspects_fail": False} if joined else {}

    def _ended(self, connection: Connection, entry: Entry, attempt: Attempt, actor: str) -> None:
        """Nothing landed: what that means for one member."""
        said = (attempt.reason_code or "abandoned", attempt.reason or "its attempt ended before its verdict")
        if entry.held_by is not None:
            said = (HELD, _held(entry))
        to, columns = outcome(entry, attempt)
        if entry.state is to and not columns:
            return
        ends = Given(to, said, columns)
        if to is E.QUEUED and not columns:
            ends = given(connection, entry, attempt) or ends
        if write_entry(
            connection, entry, ends.to, actor=actor, at=self.clock(), said=ends.said, request=ends.request,
            **ends.columns,
        ) is None:  # fmt: skip
            raise _Overtaken

    def _stop(self, connection: Connection, attempt: Attempt, members: list[Entry]) -> None:
        """Whoever is next would be deployed and tested for nothing, too, again and again."""
        why = f"{_named(members)} passed and did not land: {attempt.reason}"
        try:
            Control(self.engine, self.clock).stop(connection, why, by=GANDALF)
        except TooLate:
            raise _Overtaken from None

    def _all(self, connection: Connection, members: list[Entry], to: EntryState, actor: str) -> None:
        for each in members:
            if write_entry(connection, each, to, actor=actor, at=self.clock()) is None:
                raise _Overtaken


def _named(members: Sequence[Entry]) -> str:
    return ", ".join(each.name for each in members)


def _held(entry: Entry) -> str:
    return f"held by {entry.held_by}" + (f": {entry.hold_reason}" if entry.hold_reason else "")


def outcome(entry: Entry, attempt: Attempt) -> tuple[EntryState, dict[str, Any]]:
    """What becomes of a member of an attempt that did not land, and which columns of its row change.

    Rejected is only what failed alone; who is not to blame goes back to its old place.
    """
    code, blamed = attempt.reason_code, attempt.blamed
    if attempt.mode == TRY and code != HELD:
        return E.TRIED, {}
    if blamed is not None and blamed == entry.id:
        return (E.STALE if code == "stale" else E.REJECTED), {}
    # Nothing can be deployed to an environment that could not be brought back to main either.
    if code == TESTS_FAILED or (code == BROKEN and attempt.state is not A.QUARANTINED):
        if len(attempt.members) == 1:
            return E.REJECTED, {}
        return E.QUEUED, {"suspects": whole(attempt.run_id), "suspects_fail": True}
    return E.QUEUED, {}
