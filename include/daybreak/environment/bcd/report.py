"""What a BCD changed, resource by resource: kept in the registry, shown wherever people asked for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from daybreak.errors import UsageError

SCHEMA = 1
#: What is shown of a reason in a table; the whole is in the report.
_SHOWN = 160


class Ended(StrEnum):
    """How one resource came out of the run."""

    DEPLOYED = "deployed"
    #: What must exist before the first deploy is there; what ran before runs on.
    CREATED = "created"
    BUILT = "built"
    UNCHANGED = "unchanged"
    REMOVED = "removed"
    FAILED = "failed"
    #: Planned, and neither done nor known to have failed.
    MISSING = "missing"


class Outcome(StrEnum):
    """How a run ended."""

    DONE = "done"
    NOTHING = "nothing to do"
    FAILED = "failed"
    REFUSED = "refused"
    CUT_OFF = "cut off"
    #: Something that was planned has no row: nobody can say what the environment is.
    INVALID = "invalid"


@dataclass(frozen=True)
class Line:
    """One resource.

    :param was: content key and commit of what ran before; empty when nothing did.
    :param key: content key that was planned; empty for what was taken away.
    :param why: what made it fail.
    :param red: what its unit tests said; it is built, and may be deployed, all the same.
    :param link: its address, or the path of its build's log in the store.
    """

    resource: str
    ended: Ended
    was: str = ""
    was_commit: str = ""
    key: str = ""
    why: str = ""
    red: str = ""
    link: str = ""


@dataclass(frozen=True)
class Report:
    """One run, which is over.

    :param state: of the environment now.
    :param wrong: what keeps the environment from being READY, as far as this run knows.
    :param message: why the run did not end well; empty when it did.
    :param locked: who has the environment, until when and why, when that is why it was refused.
    :param notes: what keeps nothing from being READY, and people should know: flaky tests.
    """

    run_id: str
    environment: str
    actor: str
    ref: str
    commit: str
    outcome: Outcome
    state: str
    seconds: float
    lines: tuple[Line, ...] = ()
    wrong: tuple[str, ...] = ()
    message: str = ""
    locked: Mapping[str, str] | None = None
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """What was asked for is done."""
        return self.outcome in (Outcome.DONE, Outcome.NOTHING)

    @property
    def headline(self) -> str:
        """The run in one line."""
        if self.outcome is Outcome.REFUSED:
            return self.message
        counts = {end: sum(line.ended is end for line in self.lines) for end in Ended}
        said = ", ".join(f"{count} {end}" for end, count in counts.items() if count) or "nothing"
        more = "" if self.outcome is Outcome.DONE else f"{self.outcome}: "
        state = f"; {self.environment} is {self.state}" if self.state else ""
        return f"{self.environment} from {self.ref} ({self.commit[:12]}): {more}{said}{state}"

    def table(self) -> list[str]:
        """The lines for people, aligned; then what is wrong and what is to be known; the headline last."""
        rows = [("resource", "", "from", "to", "")]
        for line in self.lines:
            was = f"{line.was[:12]} ({line.was_commit[:7]})" if line.was_commit else line.was[:12]
            more = " ".join((line.why or line.red or line.link).split())
            more = more if len(more) <= _SHOWN else f"{more[: _SHOWN - 1]}…"
            rows.append((line.resource, str(line.ended), was or "-", line.key[:12] or "-", more))
        said = _aligned(rows) if self.lines else []
        return [*said, *(f"! {each}" for each in self.wrong), *self.notes, self.headline]

    def to_json(self) -> dict[str, Any]:
        """Plain data; :meth:`from_json` takes it back."""
        return {"schema": SCHEMA, "ok": self.ok, "headline": self.headline, **asdict(self)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Report:
        """The report as it was kept.

        :raises UsageError: when another version of Daybreak wrote it.
        """
        if data.get("schema") != SCHEMA:
            raise UsageError(f"a kept report has schema {data.get('schema')!r}, not {SCHEMA}")
        # One that was kept before there were notes has none.
        known = {"notes": (), **{name: data[name] for name in cls.__dataclass_fields__ if name in data}}
        found = cls(**known)
        lines = tuple(Line(**{**line, "ended": Ended(line["ended"])}) for line in data["lines"])
        return replace(
            found, outcome=Outcome(found.outcome), lines=lines, wrong=tuple(found.wrong),
            notes=tuple(found.notes),
        )  # fmt: skip


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows]  # fmt: skip
