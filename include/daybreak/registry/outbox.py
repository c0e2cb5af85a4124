"""What people are to be told: written in the transaction of the change that it tells of, sent afterwards.

A key is told once. What may change after it was sent (a queue entry, a run) is put again under its key; the
sender then edits what it sent. Payloads are plain data, never words: `talk/bobby/notices.py` has the words.

A message that fails by itself is given up after :data:`daybreak.registry.work.ATTEMPTS`: it would hold up
those behind it. While the other side is away for all of them, the clock decides and not a count: a night's
report outlives an outage over a weekend.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, case, delete, or_, select, update

from daybreak.registry import tables
from daybreak.registry.engine import insert_new
from daybreak.registry.work import CLAIMED, DONE, FAILED, FIRST_WAIT, WAITING, WorkTable, jittered

#: The other side may be away for so long before a message is given up.
PATIENCE = timedelta(days=4)

#: The team's channel, as a recipient.
CHANNEL = "channel"


def person(name: str) -> str:
    """A person, as a recipient."""
    return f"person:{name}"


@dataclass(frozen=True)
class Notice:
    """Something to tell.

    :param key: names what is told, at most 255 characters: told once, or updated in place.
    :param recipient: `CHANNEL`, or `person(name)`.
    :param payload: plain data with a ``kind``.
    :param expires_at: after which it is not worth telling any more.
    """

    key: str
    recipient: str
    payload: Mapping[str, Any]
    expires_at: datetime | None = None


@dataclass(frozen=True)
class Outgoing:
    """One message in a sender's hand.

    :param version: of the payload; `Outbox.sent` says which one arrived.
    :param sent_version: 0 when nothing was sent yet, so that there is nothing to edit.
    :param reference: what the sender gave to `Outbox.sent` before.
    :param attempts: how often it failed by itself before.
    :param away_since: since when the other side does not take it, if it does not.
    """

    key: str
    recipient: str
    payload: Mapping[str, Any]
    version: int
    sent_version: int
    reference: Any
    created_at: datetime
    attempts: int
    away_since: datetime | None
    claim: str


@dataclass(frozen=True)
class Standing:
    """How it stands with a message, for people.

    :param error: of the last try that failed.
    """

    key: str
    recipient: str
    status: str
    created_at: datetime
    error: str | None


def put(connection: Connection, notice: Notice, at: datetime, *, replace: bool = False) -> bool:
    """Put a notice into the outbox, in the caller's transaction; says whether there is something to send.

    :param replace: a notice of that key that is there already is updated in place. Without it, it is left as
        it is: told once.
    """
    table = tables.outbox
    values = {
        "recipient": notice.recipient, "payload": dict(notice.payload), "expires_at": notice.expires_at,
        "status": WAITING, "attempts": 0, "away_since": None, "not_before": at,
    }  # fmt: skip
    new = {"key": notice.key, "version": 1, "sent_version": 0, "created_at": at}
    if insert_new(connection, table, {**new, **values}):
        return True
    if not replace:
        return False
    row = connection.execute(select(table).filter_by(key=notice.key).with_for_update()).mappings().one()
    if row["payload"] == values["payload"]:
        return False
    # A sender may have it in hand: it keeps its claim, and `sent` sees that there is a newer version.
    waiting = case((table.c.claim.is_(None), WAITING), else_=table.c.status)
    connection.execute(
        update(table)
        .where(table.c.key == notice.key)
        .values(**{**values, "status": waiting}, version=table.c.version + 1, error=None, ended_at=None)
    )
    return True


class Outbox(WorkTable):
    """The table `outbox`, for its senders."""

    table = tables.outbox

    def put(self, notice: Notice, *, replace: bool = False) -> bool:
        """:func:`put` in a transaction of its own, for what goes with no other change."""
        with self.engine.begin() as connection:
            return put(connection, notice, self.clock(), replace=replace)

    def claim(self, limit: int = 20, *, to: Sequence[str] | None = None) -> list[Outgoing]:
        """Take messages to send; each ends with `sent` or `failed`.

        :param to: how the recipients begin that the sender can reach; by default it reaches all.
        """
        fields = Outgoing.__dataclass_fields__
        recipient = self.table.c.recipient
        reached = (
            [or_(*(recipient.startswith(each, autoescape=True) for each in to))] if to is not None else []
        )
        return [Outgoing(**{name: row[name] for name in fields}) for row in self._claim(limit, *reached)]

    def _still_wanted(self, now: datetime) -> list[Any]:
        """Not what expired; nothing before an older message of the same recipient: people read in order."""
        table, older = self.table, self.table.alias()
        before = (
            older.c.recipient == table.c.recipient,
            older.c.status.in_((WAITING, CLAIMED)),
            or_(older.c.expires_at.is_(None), older.c.expires_at > now),
            or_(
                older.c.created_at < table.c.created_at,
                and_(older.c.created_at == table.c.created_at, older.c.key < table.c.key),
            ),
        )
        return [
            or_(table.c.expires_at.is_(None), table.c.expires_at > now),
            ~select(older.c.key).where(*before).exists(),
        ]

    def sent(self, outgoing: Outgoing, reference: Any) -> bool:
        """It arrived; ``False`` when another sender took it over meanwhile.

        When its payload changed while it was sent, it is due again at once.

        :param reference: plain data by which to edit it later.
        """
        table, now = self.table, self.clock()
        newer = table.c.version > outgoing.version
        with self.engine.begin() as connection:
            return self._end(
                connection, outgoing.key, outgoing.claim,
                status=case((newer, WAITING), else_=DONE), ended_at=case((newer, None), else_=now),
                sent_version=outgoing.version, reference=reference, attempts=0, away_since=None, error=None,
            )  # fmt: skip

    def failed(self, outgoing: Outgoing, error: str, *, final: bool = False) -> bool:
        """This message could not be sent: later again, unless ``final`` or tried too often."""
        return self._fail(
            outgoing.key, outgoing.claim, outgoing.attempts, error, final=final, away_since=None
        )

    def away(self, outgoing: Outgoing, error: str, *, after: timedelta | None = None) -> bool:
        """The other side takes no message now: later again, until it was away for :data:`PATIENCE`.

        :param after: how long it asked to be left alone (`Retry-After`); by default as long again as it is
            away already, within bounds.
        """
        now = self.clock()
        since = outgoing.away_since or now
        wait = after if after is not None else jittered(max(FIRST_WAIT, now - since))
        over = now - since >= PATIENCE
        return self._put_off(
            outgoing.key, outgoing.claim, error, wait, over=over, away_since=None if over else since
        )

    def reference(self, key: str) -> Any:
        """What the sender gave to `sent` last; ``None`` when nothing was sent, or that is long ago."""
        with self.engine.connect() as connection:
            return connection.execute(select(self.table.c.reference).filter_by(key=key)).scalar()

    def standing(self, *status: str, key: str | None = None) -> list[Standing]:
        """The messages of such a status, or the one of that key, oldest first."""
        table = self.table
        query = select(*(table.c[name] for name in Standing.__dataclass_fields__))
        query = query.where(table.c.status.in_(status)) if status else query
        query = query.where(table.c.key == key) if key is not None else query
        with self.engine.connect() as connection:
            rows = connection.execute(query.order_by(table.c.created_at, table.c.key)).mappings()
            return [Standing(**row) for row in rows]

    def again(self) -> int:
        """What was given up is due again, now that somebody mended why; returns how many."""
        table, now = self.table, self.clock()
        values = {"status": WAITING, "attempts": 0, "not_before": now, "ended_at": None}
        wanted = or_(table.c.expires_at.is_(None), table.c.expires_at > now)
        with self.engine.begin() as connection:
            change = update(table).where(table.c.status == FAILED, wanted).values(**values)
            return connection.execute(change).rowcount

    def prune(self, older_than: timedelta = timedelta(days=14)) -> int:
        """Forget what ended, expired, or found no sender (no Slack is set up) longer ago than that.

        :returns: how many rows.
        """
        table, since = self.table, self.clock() - older_than
        with self.engine.begin() as connection:
            expired = connection.execute(
                delete(table).where(
                    table.c.status.not_in((DONE, FAILED)),
                    or_(table.c.expires_at < since, table.c.not_before < since),
                )
            ).rowcount
        return expired + super().prune(older_than)
