"""What a night did, in one table and one line."""

from __future__ import annotations

from dataclasses import dataclass

from daybreak.environment.decision import NightAction
from daybreak.environment.installation import Installation
from daybreak.environment.nights import NightStatus


@dataclass(frozen=True)
class Summary:
    """A night's end.

    :param faulted: the environments that are not usable, or whose run ended before their verdict.
    """

    headline: str
    lines: tuple[str, ...]
    faulted: tuple[str, ...]


def summarise(installation: Installation, run_id: str) -> Summary:
    """Summarise the run and keep the report in the registry."""
    nights = installation.nights
    run = nights.get(run_id)
    rows = sorted(nights.environments(run_id=run_id), key=lambda row: row.environment)
    counts = {"rebuilt": 0, "preserved": 0, "torn down": 0, "kept": 0, "skipped": 0, "faulted": 0}
    lines, faulted = [], []
    for row in rows:
        action, decided = str(row.decision["action"]), row.decision
        touched = decided["teardown"] or decided["rebuild"]
        if row.status is NightStatus.FAULTED or (touched and row.status is not NightStatus.DONE):
            ended = "faulted"
            faulted.append(row.environment)
        elif action == NightAction.REBUILD:
            ended = "rebuilt" if decided["rebuild"] else "torn down"
        else:
            ended = {NightAction.PRESERVE: "preserved", NightAction.KEEP: "kept"}.get(
                NightAction(action), "skipped"
            )
        counts[ended] += 1
        detail = row.detail.get("message") or row.detail.get("verdict") or decided["reason"]
        lines.append(f"{row.environment:<12} {action:<9} {ended:<9} {detail}")
    always = ("rebuilt", "preserved", "faulted")
    said = ", ".join(f"{count} {what}" for what, count in counts.items() if count or what in always)
    seconds = (installation.clock() - run.decided_at).total_seconds()
    headline = f"night {run.night}: {len(rows)} environments, {said}; {seconds:.0f} s"
    nights.finish(run_id, {"headline": headline, "lines": lines, "faulted": faulted})
    return Summary(headline, (*lines, headline), tuple(faulted))
