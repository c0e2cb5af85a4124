"""The queue: who wants to main, in which order, and what the next attempt takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, select

from daybreak.errors import UsageError
from daybreak.merge import announce, batch, control
from daybreak.merge.protocol import BROKEN, TESTS_FAILED
from daybreak.merge.rows import LAND, Attempt, Entry, TooLate, log, read_attempt, read_entries, write_entry
from daybreak.merge.rules import ENTRY_ENDS, AttemptState, EntryState
from daybreak.registry import merge_tables as tables
from daybreak.registry.clock import Clock, utc_now
from daybreak.registry.engine import insert_new

E = EntryState
_TABLE = tables.entries
#: Each lost compare-and-set means that another writer got through.
_ROUNDS = 50
#: The words of `p=` in a command.
PRIORITIES: Mapping[str, int] = {"low": -1, "normal": 0, "high": 1}


@dataclass(frozen=True)
class Ask:
    """A pull request, at the commit that somebody approved and wants on main.

    :param mode: `LAND`, or `TRY`: deploy and test, never land.
    :param solo: in no batch.
    :param person: whom to tell how it goes.
    :param url: its page.
    """

    pr: int
    sha: str
    title: str
    author: str
    mode: str = LAND
    priority: int = 0
    solo: bool = False
    person: str | None = None
    url: str | None = None


def whole(run_id: str) -> str:
    """How those are marked that failed together in the attempt."""
    return run_id[:64]


def other_half(run_id: str) -> str:
    """How those are marked that are tested after the attempt, because they failed together with it."""
    return f"{run_id[:63]}+"


def request_of(run_id: str) -> str:
    """How a run is named as what asked for an entry."""
    return f"run/{run_id}"


class Queue:
    """The registry's entries. Every change is a compare-and-set with its event.

    :param most: members that a batch has at the most.
    """

    def __init__(self, engine: Engine, clock: Clock = utc_now, most: int = batch.MOST) -> None:
        self.engine, self.clock, self.most = engine, clock, most

    def add(self, ask: Ask, *, by: str, request: str | None = None) -> Entry:
        """Put a pull request into the queue. Asked again for the same commit, it is the entry that is there,
        with the priority that was asked for last.

        Asked for another commit, the entry that is there is STALE and a new one takes the end of the queue:
        what was approved is not what it was.

        :param request: what asked for it; carried out once.
        :raises TooLate: when the older commit is landing in this moment.
        :raises AlreadyDone: when the request was carried out before.
        """
        for _ in range(_ROUNDS):
            with self.engine.begin() as connection:
                present = self._open(connection, ask.pr)
                if present is not None:
                    if (present.sha, present.mode) == (ask.sha, ask.mode):
                        again = self._again(connection, present, ask, by, request)
                        if again is None:
                            continue
                        return again
                    why = ("superseded", f"{ask.sha[:12]} was asked for instead")
                    if not self._end(connection, present, E.STALE, by, why):
                        continue
                now = self.clock()
                values = {
                    **vars(ask), "title": ask.title[:255], "state": E.QUEUED, "version": 1, "by": by,
                    "queued_at": now, "changed_at": now, "attempts": 0, "suspects_fail": False,
                }  # fmt: skip
                if not insert_new(connection, _TABLE, values):
                    continue
                entry = self._open(connection, ask.pr)
                assert entry is not None
                log(connection, f"entry:{entry.id}", 1, E.QUEUED, E.QUEUED, by, now, ask.sha, request)
                announce.entry(connection, entry.id, now)
                return entry
        raise TooLate(f"#{ask.pr} changes faster than it can be written; ask again")

    def of_run(self, run_id: str) -> Entry | None:
        """The entry that a run asked for, or found there (`join`); whatever became of it since."""
        table = tables.merge_events
        query = select(table.c.subject, table.c.message).filter_by(request=request_of(run_id))
        with self.engine.connect() as connection:
            asked = connection.execute(query).first()
            if asked is None:
                return None
            kind, _, number = asked.subject.partition(":")
            entry = int(number if kind == "entry" else asked.message)
            [found] = read_entries(connection, _TABLE.c.id == entry)
            return found

    def join(self, entry: Entry, run_id: str, *, by: str) -> None:
        """Write down that a run found its entry in the queue, so that another try of it asks for no other."""
        with self.engine.begin() as connection:
            request = request_of(run_id)
            log(connection, f"run:{run_id}", 1, "", "", by, self.clock(), str(entry.id), request)

    def get(self, entry: int) -> Entry:
        """One entry.

        :raises UsageError: when it is unknown.
        """
        with self.engine.connect() as connection:
            found = read_entries(connection, _TABLE.c.id == entry)
        if not found:
            raise UsageError(f"the registry has no entry {entry}")
        return found[0]

    def of(self, pr: int) -> Entry | None:
        """The entry of a pull request that goes on."""
        with self.engine.connect() as connection:
            return self._open(connection, pr)

    def of_pull(self, pr: int) -> list[Entry]:
        """All that a pull request ever had, the latest first."""
        with self.engine.connect() as connection:
            found = read_entries(connection, _TABLE.c.pr == pr)
        return sorted(found, key=lambda entry: -entry.id)

    def ended(self, since: datetime, until: datetime) -> list[Entry]:
        """All that ended from ``since`` on and before ``until``."""
        with self.engine.connect() as connection:
            found = read_entries(connection, _TABLE.c.ended_at >= since, _TABLE.c.ended_at < until)
        return sorted(found, key=lambda entry: (entry.changed_at, entry.id))

    def open(self) -> list[Entry]:
        """All that go on, in the queue's order."""
        with self.engine.connect() as connection:
            return read_entries(connection, _TABLE.c.ended_at.is_(None))

    def end(
        self, pr: int, to: EntryState, *, by: str, code: str, message: str, request: str | None = None,
        only: int | None = None,
    ) -> Entry:  # fmt: skip
        """Somebody takes it back, or it is not any more what was approved.

        :param to: CANCELLED or STALE.
        :raises UsageError: when it is not in the queue.
        :param only: this very entry; another one of the pull request is left alone.
        :raises TooLate: when it is landing, or over.
        :raises AlreadyDone: when the request was carried out before.
        """
        for _ in range(_ROUNDS):
            with self.engine.begin() as connection:
                present = self._open(connection, pr)
                if present is None:
                    raise UsageError(f"#{pr} is not in the queue")
                if only not in (None, present.id):
                    raise TooLate(f"another commit of #{pr} was asked for meanwhile")
                written = self._end(connection, present, to, by, (code, message), request)
                if written is not None:
                    return written
        raise TooLate(f"#{pr} changes faster than it can be written; ask again")

    def choose(self, impact: Mapping[int, frozenset[str]] | None = None) -> batch.Batch | None:
        """What the next attempt would take; see `batch.choose`. Nothing while the queue is paused."""
        return self.line().choose(impact)

    def line(self) -> batch.Line:
        """All that decides what the next attempt would take, read at one moment."""
        with self.engine.connect() as connection:
            return batch.Line(
                read_entries(connection, _TABLE.c.state == E.QUEUED), control.standing(connection).rule,
                self._decided(connection), self.most,
            )  # fmt: skip

    def begin(self, run_id: str, chosen: batch.Batch, *, actor: str) -> Attempt:
        """Make the attempt, and put its members into it. A repeated call finds what the first one made.

        :raises TooLate: when a member, or the other half, went on meanwhile, or the queue was paused: choose
            again.
        """
        members, now = chosen.members, self.clock()
        with self.engine.begin() as connection:
            present = read_attempt(connection, run_id)
            if present is not None:
                return present
            if len(batch.waiting(members, control.standing(connection).rule)) < len(members):
                raise TooLate("the queue was paused, or a member held, while the attempt was planned")
            values = {
                "run_id": run_id, "members": [each.id for each in members], "mode": members[0].mode,
                "state": AttemptState.PLANNED, "version": 1, "fence": 0, "base": "", "candidate": "",
                "lease": "", "landing": "", "created_at": now, "changed_at": now,
            }  # fmt: skip
            if not insert_new(connection, tables.attempts, values):
                raise TooLate(f"{run_id} was begun at the same moment; ask again")
            log(
                connection, f"attempt:{run_id}", 1, AttemptState.PLANNED, AttemptState.PLANNED, actor, now,
                ", ".join(f"{each.name} at {each.sha[:12]}" for each in members),
            )  # fmt: skip
            for each in members:
                self._must(connection, each, E.IN_ATTEMPT, actor, run_id=run_id, attempts=each.attempts + 1)
            for each in chosen.rest:
                self._must(
                    connection, each, E.QUEUED, actor, suspects=other_half(run_id), suspects_fail=False
                )
            made = read_attempt(connection, run_id)
            assert made is not None
            return made

    def attempt(self, run_id: str) -> Attempt:
        """One attempt.

        :raises UsageError: when it is unknown.
        """
        with self.engine.connect() as connection:
            found = read_attempt(connection, run_id)
        if found is None:
            raise UsageError(f"the registry has no attempt {run_id!r}")
        return found

    def history(self, subject: str) -> list[tuple[int, str, str, str, str]]:
        """Version, actor, state before, state after and message of each event of ``entry:7`` or
        ``attempt:…``.
        """
        table = tables.merge_events
        columns = (table.c.version, table.c.actor, table.c.from_state, table.c.to_state, table.c.message)
        query = select(*columns).where(table.c.subject == subject).order_by(table.c.version)
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(query)]

    def _open(self, connection: Connection, pr: int) -> Entry | None:
        found = read_entries(connection, _TABLE.c.pr == pr, _TABLE.c.ended_at.is_(None))
        return found[0] if found else None

    def _again(
        self, connection: Connection, entry: Entry, ask: Ask, by: str, request: str | None
    ) -> Entry | None:
        """Asked once more for what is there: only its priority may be another; ``None``: look again."""
        wanted = {"priority": ask.priority, "solo": ask.solo}
        if entry.state is not E.QUEUED or wanted == {name: getattr(entry, name) for name in wanted}:
            return entry
        said = ("moved", f"priority {ask.priority}{', alone' if ask.solo else ''}")
        return write_entry(
            connection, entry, E.QUEUED, actor=by, at=self.clock(), said=said, request=request, **wanted
        )

    def _end(
        self, connection: Connection, entry: Entry, to: EntryState, by: str, said: tuple[str, str],
        request: str | None = None,
    ) -> Entry | None:  # fmt: skip
        if entry.state is E.LANDING:
            raise TooLate(f"{entry.name} is landing in this moment; nothing can take it back")
        assert to in ENTRY_ENDS
        now = self.clock()
        written = write_entry(connection, entry, to, actor=by, at=now, said=said, request=request)
        if written is not None:
            control.forget(connection, entry)
        return written

    def _must(
        self, connection: Connection, entry: Entry, to: EntryState, actor: str, **columns: Any
    ) -> None:  # fmt: skip
        if write_entry(connection, entry, to, actor=actor, at=self.clock(), **columns) is None:
            raise TooLate(f"{entry.name} changed while the attempt was planned; choose again")

    def _decided(self, connection: Connection) -> list[bool]:
        """Of the last pull requests that landed, or failed by themselves, which landed; latest last."""
        failed = _TABLE.c.reason_code.in_((TESTS_FAILED, BROKEN))
        decided = (_TABLE.c.state == E.LANDED) | ((_TABLE.c.state == E.REJECTED) & failed)
        query = select(_TABLE.c.state).where(decided).order_by(_TABLE.c.ended_at.desc(), _TABLE.c.id.desc())
        found = connection.execute(query.limit(batch.WINDOW)).scalars()
        return [state == E.LANDED for state in found][::-1]
