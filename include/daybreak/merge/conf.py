"""What a run of `pr_e2e` is asked for: the same fields in Airflow's form, over REST, and by Gandalf."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from daybreak.errors import UsageError
from daybreak.merge.queue import PRIORITIES
from daybreak.merge.rows import LAND, TRY, Entry

#: The DAG that takes a pull request through the lane.
DAG = "pr_e2e"
_SHA = re.compile(r"[0-9a-f]{7,64}")


@dataclass(frozen=True)
class Conf:
    """One request.

    :param sha: the commit that was approved, or its beginning; ``None`` is the head as it is now.
    :param mode: `LAND`, or `TRY`: deploy and test, never land.
    :param by: on whose behalf a bot asks; ``None`` is whoever triggered the run.
    :param entry: the entry of the queue that the run was made for. Such a run puts nothing into the queue:
        what was taken back before it began stays taken back.
    """

    pr: int
    sha: str | None = None
    mode: str = LAND
    priority: int = 0
    by: str | None = None
    entry: int | None = None

    @classmethod
    def of(cls, conf: Mapping[str, Any]) -> Conf:
        """From a run's conf.

        :raises UsageError: naming the field.
        """
        unknown = sorted(set(conf) - set(cls.__dataclass_fields__))
        if unknown:
            raise UsageError(
                f"conf: no such field: {', '.join(unknown)}; there are: {', '.join(cls.__dataclass_fields__)}"
            )
        pr = conf.get("pr")
        if not isinstance(pr, int) or isinstance(pr, bool) or pr < 1:
            raise UsageError(f"conf: pr: expected the number of a pull request, found {pr!r}")
        sha = conf.get("sha") or None
        if sha is not None and not (isinstance(sha, str) and _SHA.fullmatch(sha.lower())):
            raise UsageError(f"conf: sha: expected 7 to 64 hexadecimal digits of a commit, found {sha!r}")
        mode = conf.get("mode") or LAND
        if mode not in (LAND, TRY):
            raise UsageError(f"conf: mode: expected {LAND} or {TRY}, found {mode!r}")
        priority = conf.get("priority") or "normal"
        if priority not in PRIORITIES:
            raise UsageError(f"conf: priority: expected {', '.join(PRIORITIES)}, found {priority!r}")
        by = conf.get("by") or None
        if by is not None and not isinstance(by, str):
            raise UsageError(f"conf: by: expected a name, found {by!r}")
        entry = conf.get("entry")
        if entry is not None and (not isinstance(entry, int) or isinstance(entry, bool) or entry < 1):
            raise UsageError(f"conf: entry: expected the number of an entry, found {entry!r}")
        return cls(pr, sha.lower() if sha else None, mode, PRIORITIES[priority], by, entry)


def conf_of(entry: Entry) -> dict[str, Any]:
    """The conf of a run that goes on with an entry."""
    words = {number: word for word, number in PRIORITIES.items()}
    return {
        "pr": entry.pr, "sha": entry.sha, "mode": entry.mode, "priority": words[entry.priority],
        "entry": entry.id,
    }  # fmt: skip


def run_id_of(entry: Entry, more: int = 0) -> str:
    """The id of the entry's next run, ``pr-<number>-<commit>-<which>``.

    :param more: how many of that name are known to be over.
    """
    return f"pr-{entry.pr}-{entry.sha[:7]}-{entry.attempts + 1 + more}"
