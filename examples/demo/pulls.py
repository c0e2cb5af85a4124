"""After the night: pull requests on their way to main, and what it saved to build only what each touches."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from examples.demo.github import Change, Github, stories

if TYPE_CHECKING:
    from daybreak.environment.installation import Installation
    from daybreak.merge.rows import Entry

#: How each is to end.
WANTED = {
    "odometer": "LANDED", "short-list": "REJECTED", "readme": "LANDED", "kilometres": "LANDED",
    "trip-odometer": "REJECTED",
}  # fmt: skip


class Pulls:
    """The pull requests of the demo.

    :param tend: called each second.
    """

    def __init__(
        self, installation: Installation, github: Github, clone: Path, tend: Callable[[], None]
    ) -> None:
        from daybreak.merge.queue import Queue

        self.installation, self.github, self.clone, self.tend = installation, github, clone, tend
        self.queue = Queue(installation.engine, installation.clock)
        self.ended: dict[int, tuple[Change, Entry]] = {}

    def tell(self, seconds: float = 1800) -> None:
        """Open them, say `merge`, and follow each to its end."""
        for what, changes in stories():
            print(f"  {what}", flush=True)
            numbers = {self.github.open(self.clone, change): change for change in changes}
            for number, change in numbers.items():
                print(f"    #{number} {change.author}: {change.title}; @gandalf merge", flush=True)
                self.github.merge(number, change.author)
            self._follow(numbers, seconds)

    def _follow(self, numbers: dict[int, Change], seconds: float) -> None:
        began, told = time.monotonic(), dict.fromkeys(numbers, "")
        while left := [number for number in numbers if number not in self.ended]:
            if (at := time.monotonic() - began) > seconds:
                raise SystemExit(f"{', '.join(f'#{n}' for n in left)} did not end in {seconds:.0f} s")
            self.tend()
            for number in left:
                found = self.queue.of_pull(number)
                if not found:
                    continue
                entry = found[0]
                if told[number] != entry.state:
                    told[number] = str(entry.state)
                    reason = f": {entry.reason}" if entry.ended_at and entry.reason else ""
                    print(f"    {at:4.0f} s  #{number} {entry.state}{reason}", flush=True)
                if entry.ended_at is not None:
                    self.ended[number] = (numbers[number], entry)
            time.sleep(1)

    def table(self) -> list[str]:
        """How each ended, what it brought to run, what stayed as it was, and the building that this saved."""
        from daybreak.cli.table import table as columns
        from daybreak.merge.findings import Findings

        cost = self._cost()
        header = ("", "pull request", "ended", "deployed", "left as it was", "building saved")
        rows = []
        for number, (change, entry) in self.ended.items():
            found = Findings.of(self.installation.store, entry.run_id) if entry.run_id else None
            deployed = sorted(found.deployed) if found else []
            saved = sum(seconds for name, seconds in cost.items() if not found or name not in found.affected)
            rows.append(
                (
                    f"#{number}", change.title, str(entry.state), ", ".join(deployed) or "nothing",
                    f"{len(found.skipped)} resources" if found else "all",
                    f"{saved:.0f} of {sum(cost.values()):.0f} s",
                )
            )  # fmt: skip
        return columns(header, rows)

    def _cost(self) -> dict[str, float]:
        """Seconds that each resource's build and unit tests last took."""
        found = self.installation.builds.latest()
        return {each.resource: sum(part.seconds for part in each.parts) for each in found}

    def wrong(self) -> list[str]:
        """One line for each that did not end as it was to."""
        return [
            f"#{number} {change.title}: {entry.state}, not {WANTED[change.branch]}: {entry.reason or ''}"
            for number, (change, entry) in self.ended.items()
            if entry.state != WANTED[change.branch]
        ]
