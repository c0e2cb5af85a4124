"""What people do to the queue and to what is in it: pause, emergency, hold, delegate, reset.

Each change is a compare-and-set with its event, which names who did it, why, and by which request.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, delete, func, select, update

from daybreak.errors import UsageError
from daybreak.merge import announce
from daybreak.merge.batch import Standing as Rule
from daybreak.merge.rows import Entry, TooLate, log, read_entries, write_entry
from daybreak.merge.rules import EntryState
from daybreak.registry import merge_tables as tables
from daybreak.registry.clock import Clock, utc_now
from daybreak.registry.engine import insert_new

E = EntryState
#: The row of `merge_queue`, and the subject of its events.
QUEUE = "queue"
#: Of an emergency; while the queue is paused for it, nothing else goes.
HIGH = 1
#: Who pauses and holds where nobody asked for it.
GANDALF = "gandalf"
#: How the queue is, in its events.
MOVING, PAUSED = "MOVING", "PAUSED"


@dataclass(frozen=True)
class Standing:
    """Whether the queue moves, and who stopped it.

    :param emergency: the entry that may land all the same.
    """

    version: int = 0
    paused_by: str | None = None
    pause_reason: str | None = None
    paused_at: datetime | None = None
    emergency: int | None = None

    @property
    def paused(self) -> bool:
        """Whether nothing new enters the lane."""
        return self.paused_by is not None

    @property
    def rule(self) -> Rule:
        """As `batch.waiting` takes it."""
        return Rule(self.paused, self.emergency)


def standing(connection: Connection) -> Standing:
    """How the queue is."""
    row = connection.execute(select(tables.merge_queue).filter_by(name=QUEUE)).mappings().first()
    return Standing() if row is None else Standing(**{key: row[key] for key in row if key != "name"})


class Control:
    """See the module."""

    def __init__(self, engine: Engine, clock: Clock = utc_now) -> None:
        self.engine, self.clock = engine, clock

    def standing(self) -> Standing:
        """How the queue is."""
        with self.engine.connect() as connection:
            return standing(connection)

    def pause(self, reason: str, *, by: str, request: str | None = None) -> Standing:
        """Nothing new enters the lane; what is in it goes on to its end.

        :param request: what asked for it; carried out once.
        :raises AlreadyDone: when it was before.
        """
        with self.engine.begin() as connection:
            return self._pause(connection, reason, by, request, standing(connection).emergency)

    def stop(self, connection: Connection, reason: str, *, by: str) -> None:
        """Pause it in the caller's transaction, for a reason that stops emergencies too, and tell everybody.

        :raises TooLate: when somebody else pauses or resumes it in this moment.
        """
        was = standing(connection)
        if was.paused:
            reason = f"{reason} It was paused before, by {was.paused_by}: {was.pause_reason}"
        self._pause(connection, reason, by, None, None)
        announce.stopped(connection, was.version + 1, by, reason, self.clock())

    def resume(self, *, by: str, request: str | None = None) -> Standing:
        """Take a pause back.

        :returns: how it was.
        :raises UsageError: when it is not paused.
        :raises AlreadyDone: as `pause`.
        """
        with self.engine.begin() as connection:
            was = standing(connection)
            if not was.paused:
                raise UsageError("the queue is not paused")
            nobody = {"paused_by": None, "pause_reason": None, "paused_at": None, "emergency": None}
            self._write(connection, was, by, "resumed", request, nobody)
            return was

    def emergency(self, entry: Entry, reason: str, *, by: str, request: str | None = None) -> Entry:
        """Pause the queue and let this one alone go next. It is tested as everything is.

        :raises TooLate: when the entry went on meanwhile, or another emergency is on its way.
        :raises AlreadyDone: as `pause`.
        """
        with self.engine.begin() as connection:
            self._no_other(connection, entry.pr)
            self._pause(connection, f"emergency {entry.name}: {reason}", by, request, entry.id)
            if entry.state is not E.QUEUED:
                return entry
            said = ("emergency", f"emergency, by {by}: {reason}")
            written = write_entry(
                connection, entry, E.QUEUED, actor=by, at=self.clock(), said=said, priority=HIGH,
                solo=True, held_by=None, hold_reason=None, suspects=None, suspects_fail=False,
            )  # fmt: skip
            if written is None:
                raise TooLate(f"{entry.name} changed in this moment; ask again")
            forget(connection, entry)
            return written

    def no_other_emergency(self, pr: int) -> None:
        """Ask before anything is changed for the emergency of a pull request.

        :raises TooLate: when another one's is on its way.
        """
        with self.engine.connect() as connection:
            self._no_other(connection, pr)

    def hold(self, pr: int, *, by: str, reason: str = "", request: str | None = None) -> Entry:
        """Let it keep its place and wait; an attempt that has it does not land, and ends soon.

        :raises UsageError: when it is not in the queue.
        :raises TooLate: when it is landing in this moment.
        :raises AlreadyDone: as `pause`.
        """
        why = f"held by {by}" + (f": {reason}" if reason else "")
        return self._hold(pr, by, request, ("held", why), {"held_by": by, "hold_reason": reason or None})

    def unhold(self, pr: int, *, by: str, request: str | None = None) -> Entry:
        """Take a hold back; raises as `hold`."""
        return self._hold(pr, by, request, None, {"held_by": None, "hold_reason": None})

    def delegate(self, pr: int, login: str, *, by: str, request: str | None = None) -> None:
        """Let somebody land that pull request who may not write.

        :param login: on GitHub.
        :raises AlreadyDone: as `pause`.
        """
        login, now = login.lower(), self.clock()
        with self.engine.begin() as connection:
            if insert_new(connection, tables.delegations, {"pr": pr, "login": login, "by": by, "at": now}):
                self._log(connection, f"pr:{pr}", by, f"delegated to {login}", request)

    def undelegate(self, pr: int, login: str, *, by: str, request: str | None = None) -> None:
        """Take that back; what they put into the queue stays there.

        :raises UsageError: when nobody let them.
        :raises AlreadyDone: as `pause`.
        """
        login, table = login.lower(), tables.delegations
        with self.engine.begin() as connection:
            if connection.execute(delete(table).filter_by(pr=pr, login=login)).rowcount == 0:
                raise UsageError(f"#{pr} is not delegated to {login}")
            self._log(connection, f"pr:{pr}", by, f"no more delegated to {login}", request)

    def delegated(self, pr: int, login: str) -> bool:
        """Whether somebody may land it by delegation."""
        query = select(tables.delegations.c.pr).filter_by(pr=pr, login=login.lower())
        with self.engine.connect() as connection:
            return connection.execute(query).first() is not None

    def reset(self, pr: int, *, by: str, reason: str = "", request: str | None = None) -> Entry | None:
        """Forget the pull request: its entry, if one goes on, and who may land it.

        :returns: the entry that was ended.
        :raises TooLate: when it is landing in this moment.
        :raises AlreadyDone: as `pause`.
        """
        with self.engine.begin() as connection:
            present = self._open(connection, tables.entries.c.pr == pr)
            connection.execute(delete(tables.delegations).where(tables.delegations.c.pr == pr))
            self._log(connection, f"pr:{pr}", by, f"reset {reason}".strip(), request)
            if present is None:
                return None
            said = ("reset", f"reset by {by}" + (f": {reason}" if reason else ""))
            written = self._move(connection, present, E.CANCELLED, by, said)
            forget(connection, present)
            return written

    def carried_out(self, request: str) -> bool:
        """Whether the request changed something already."""
        query = select(tables.merge_events.c.id).filter_by(request=request)
        with self.engine.connect() as connection:
            return connection.execute(query).first() is not None

    def _hold(
        self, pr: int, by: str, request: str | None, said: tuple[str, str] | None, columns: dict[str, Any]
    ) -> Entry:
        with self.engine.begin() as connection:
            present = self._open(connection, tables.entries.c.pr == pr)
            if present is None:
                raise UsageError(f"#{pr} is not in the queue")
            written = self._move(connection, present, present.state, by, said, request, **columns)
            forget(connection, present)
            return written

    def _move(
        self, connection: Connection, entry: Entry, to: EntryState, by: str, said: tuple[str, str] | None,
        request: str | None = None, **columns: Any,
    ) -> Entry:  # fmt: skip
        if entry.state is E.LANDING:
            raise TooLate(f"{entry.name} is landing in this moment; nothing can stop it")
        written = write_entry(
            connection, entry, to, actor=by, at=self.clock(), said=said, request=request, **columns
        )
        if written is None:
            raise TooLate(f"{entry.name} changed in this moment; ask again")
        return written

    def _open(self, connection: Connection, condition: Any) -> Entry | None:
        found = read_entries(connection, condition, tables.entries.c.ended_at.is_(None))
        return found[0] if found else None

    def _no_other(self, connection: Connection, pr: int) -> None:
        known = standing(connection).emergency
        other = self._open(connection, tables.entries.c.id == known) if known else None
        if other is not None and other.pr != pr:
            raise TooLate(f"{other.name} is an emergency already; wait for it, or `reset {other.name}`")

    def _pause(
        self, connection: Connection, reason: str, by: str, request: str | None, emergency: int | None
    ) -> Standing:
        values = {
            "paused_by": by, "pause_reason": reason, "paused_at": self.clock(), "emergency": emergency,
        }  # fmt: skip
        self._write(connection, standing(connection), by, reason, request, values)
        return standing(connection)

    def _write(
        self, connection: Connection, was: Standing, by: str, message: str, request: str | None,
        values: dict[str, Any],
    ) -> None:  # fmt: skip
        table, version = tables.merge_queue, was.version + 1
        if was.version == 0:
            written = insert_new(connection, table, {"name": QUEUE, "version": version, **values})
        else:
            change = update(table).filter_by(name=QUEUE, version=was.version)
            written = connection.execute(change.values(version=version, **values)).rowcount == 1
        if not written:
            raise TooLate("somebody else paused or resumed the queue in this moment; look, and ask again")
        before, after = (
            PAUSED if paused else MOVING for paused in (was.paused, values["paused_by"] is not None)
        )
        log(connection, QUEUE, version, before, after, by, self.clock(), message, request)

    def _log(self, connection: Connection, subject: str, by: str, message: str, request: str | None) -> None:
        """An event of what has no version of its own."""
        table = tables.merge_events
        last = select(func.max(table.c.version)).where(table.c.subject == subject)
        version = (connection.execute(last).scalar() or 0) + 1
        log(connection, subject, version, "", "", by, self.clock(), message, request)


def forget(connection: Connection, entry: Entry) -> None:
    """Without the entry, those that failed with it are not any more the whole that is known to fail."""
    if entry.suspects is not None:
        table = tables.entries
        connection.execute(
            update(table)
            .where(table.c.suspects == entry.suspects, table.c.ended_at.is_(None))
            .values(suspects_fail=False)
        )
