"""Which calls were made, for "it never called X" and for counting."""

from __future__ import annotations

import itertools
import re
from collections import deque
from datetime import UTC, datetime
from typing import Any

from .calls import Call, summary

#: More than any test makes; the oldest go first.
_KEPT = 100_000
_CODE = re.compile(rb'<Code>([^<]+)</Code>|"(?:__type|code)"\s*:\s*"(?:[^"#]*#)?([^"]+)"')


class Journal:
    """The last calls, numbered from 1 and never renumbered."""

    def __init__(self) -> None:
        self._calls: deque[dict[str, Any]] = deque(maxlen=_KEPT)
        self._numbers = itertools.count(1)

    def open(self, call: Call) -> dict[str, Any]:
        """Note that a call came in; it is completed in place."""
        entry: dict[str, Any] = {
            "n": next(self._numbers),
            "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "account": call.account,
            "region": call.region,
            "service": call.service,
            "action": call.action,
            "mutating": call.mutating,
            "status": None,
            "error": None,
            "fault": None,
            "seconds": None,
            "params": summary(call.params),
            "resources": call.resources,
        }
        self._calls.append(entry)
        return entry

    def since(self, number: int, account: str | None) -> list[dict[str, Any]]:
        """Calls with a higher number, oldest first."""
        return [call for call in self._calls if call["n"] > number and account in {None, call["account"]}]

    def clear(self) -> None:
        """Forget the calls; the numbers go on."""
        self._calls.clear()


def error_code(body: bytes) -> str | None:
    """The code in an error's body, whatever its protocol."""
    found = _CODE.search(body)
    return None if found is None else (found.group(1) or found.group(2)).decode("utf-8", "replace")
