"""What an attempt found out, kept for whoever reports it: in the store, under the attempt's run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from daybreak.errors import UsageError
from daybreak.store import NotInStore, Store

SCHEMA = 1


@dataclass(frozen=True)
class Findings:
    """One attempt's tests.

    :param verdict: as `protocol.Verdict`.
    :param affected: reasons by resource.
    :param deployed: content keys by resource, of what this attempt brought to run.
    :param skipped: by resource that was left as it was: its content key, and the last green attempt that
        brought that to run (a night's run, where a night did); empty where nobody knows one.
    :param suites: which e2e suites ran, for people.
    :param tests: how many e2e tests ran.
    :param failures: (test, message) of each that failed twice, unit tests among them; without secrets.
    :param flaky: tests that failed and passed when they were tried again.
    :param seconds: what the tests took.
    """

    run_id: str
    commit: str
    verdict: str
    affected: Mapping[str, tuple[str, ...]]
    deployed: Mapping[str, str]
    skipped: Mapping[str, tuple[str, str]]
    suites: str
    tests: int
    failures: tuple[tuple[str, str], ...] = ()
    flaky: tuple[str, ...] = ()
    seconds: float = 0.0
    schema: int = field(default=SCHEMA)

    def keep(self, store: Store) -> None:
        """Write them down; a later try's replace them."""
        store.put(_path(self.run_id), (json.dumps(asdict(self), indent=1, sort_keys=True) + "\n").encode())

    @classmethod
    def of(cls, store: Store, run_id: str) -> Findings | None:
        """What was kept for a run; ``None`` when it did not come to its tests.

        :raises UsageError: when another version of Daybreak wrote it.
        """
        try:
            data: dict[str, Any] = json.loads(store.get(_path(run_id)))
        except NotInStore:
            return None
        if data.get("schema") != SCHEMA:
            raise UsageError(f"kept findings have schema {data.get('schema')!r}, not {SCHEMA}")
        pairs = {"skipped": {name: tuple(pair) for name, pair in data["skipped"].items()}}
        return cls(
            **{
                **data, **pairs,
                "affected": {name: tuple(why) for name, why in data["affected"].items()},
                "failures": tuple(tuple(each) for each in data["failures"]),
                "flaky": tuple(data["flaky"]),
            }
        )  # fmt: skip


def _path(run_id: str) -> str:
    return f"attempts/{run_id}/findings.json"
