"""What is known of an entry's last attempt: its row, and what it found out."""

from __future__ import annotations

from dataclasses import dataclass

from daybreak.environment.installation import Installation
from daybreak.errors import DaybreakError
from daybreak.merge.attempts import Attempts
from daybreak.merge.findings import Findings
from daybreak.merge.rows import Attempt, Entry


@dataclass(frozen=True)
class Record:
    """See the module; ``findings`` are there once it was tested."""

    entry: Entry
    attempt: Attempt
    findings: Findings | None


def record(installation: Installation, entry: Entry) -> Record | None:
    """Of the attempt that the entry is, or was last, in; ``None`` before the first one."""
    if entry.run_id is None:
        return None
    attempt = Attempts(installation.engine, installation.clock).find(entry.run_id)
    if attempt is None:
        return None
    try:
        found = Findings.of(installation.store, entry.run_id)
    except DaybreakError:  # of another version: it is told without them
        found = None
    return Record(entry, attempt, found)
