"""The accounts' bills: told by ``POST /_daybreak/costs``, read by the Cost Explorer.

Nothing is estimated from the resources that exist: a test or the demo says what was billed.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any


@dataclass(frozen=True)
class Cost:
    """What one service cost on one day, as far as it carries these tags; in US dollars."""

    day: date
    service: str
    amount: float
    tags: Mapping[str, str]


class Bills:
    """Rows by account."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: dict[str, list[Cost]] = {}

    def add(self, account: str, rows: Iterable[Mapping[str, Any]]) -> int:
        """Add rows and return how many the account has now.

        :raises ValueError: a row without day, service or amount.
        """
        try:
            costs = [
                Cost(
                    date.fromisoformat(row["day"]),
                    row["service"],
                    float(row["amount"]),
                    dict(row.get("tags") or {}),
                )
                for row in rows
            ]
        except KeyError as missing:
            raise ValueError(f"a row of costs needs {missing}") from None
        with self._lock:
            self._rows.setdefault(account, []).extend(costs)
            return len(self._rows[account])

    def of(self, account: str) -> list[Cost]:
        """All rows of an account."""
        with self._lock:
            return list(self._rows.get(account, ()))

    def clear(self, account: str | None) -> None:
        """Forget one account's rows, or all."""
        with self._lock:
            if account is None:
                self._rows.clear()
            else:
                self._rows.pop(account, None)
