"""What a check found, and how checks are run: one that breaks is a finding, not the end of the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from sqlalchemy.exc import OperationalError

from daybreak.errors import DaybreakError
from daybreak.settings import Settings

State = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    :param area: what was looked at: ``registry``, ``aws 111122223333`` …
    :param state: ``warn``: a night can run without it; ``fail``: it cannot, or not safely.
    :param said: what was seen.
    :param next: what to do; empty where nothing is, or where ``said`` says it.
    """

    area: str
    state: State
    said: str
    next: str = ""

    def to_json(self) -> dict[str, Any]:
        """The form of ``daybreak doctor --json``."""
        return asdict(self)


Check = Callable[[Settings], Iterable[Finding]]


def examine(settings: Settings, checks: Mapping[str, Check]) -> Iterator[Finding]:
    """Run the checks, one after another, and hand over each finding when it is there."""
    for area, check in checks.items():
        try:
            yield from check(settings)
        except DaybreakError as error:
            # Ours say themselves what to do next.
            yield Finding(area, "fail", str(error))
        except OperationalError as error:
            words = str(error.orig).strip().partition("\n")[0]
            yield Finding(
                area, "fail", f"the registry's database says: {words}",
                "start or make it, or correct `registry:` in daybreak.yaml; then `daybreak registry migrate`",
            )  # fmt: skip
        except Exception as error:
            # A library's own words: nothing of ours explains it better.
            said = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
            yield Finding(area, "fail", said, "mend what it names, then ask again")
