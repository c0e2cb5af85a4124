"""An entry of the queue with all that is told of it, and how far it is in one line.

Read when it is told, so that nobody hears what is over. The same line stands in the comment on the pull
request, beside its commit, in Slack and in `status`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from daybreak.environment.failures import named, one_line
from daybreak.environment.installation import Installation
from daybreak.merge.conf import DAG
from daybreak.merge.control import Control
from daybreak.merge.findings import Findings
from daybreak.merge.protocol import BROKEN, TESTS_FAILED
from daybreak.merge.queue import Queue
from daybreak.merge.rows import Entry
from daybreak.merge.rules import AttemptState as A
from daybreak.merge.rules import EntryState as E
from daybreak.settings import Settings
from daybreak.talk.gandalf.record import record
from daybreak.talk.slack.message import duration

#: Failed tests that the line names; there are 140 characters for it beside a commit.
_NAMED = 3
_PHASES: Mapping[A, str] = {
    A.PLANNED: "about to begin", A.LEASED: "merging it with main", A.PREPARED: "merged with main",
    A.DEPLOYING: "deploying", A.DEPLOYED: "deployed", A.TESTING: "testing", A.PASSED: "the tests passed",
    A.FAILED: "tests failed", A.INVALID: "taking it back", A.TIMED_OUT: "the tests took too long",
    A.LANDING: "landing", A.REVERTING: "taking it back",
}  # fmt: skip
#: Why it was rejected, where no test is to be named.
_WHY: Mapping[str, str] = {
    "conflict": "it conflicts with main",
    "catalog": "its resources cannot be read",
    "cycle": "its resources need each other in a circle",
    "build_failed": "it cannot be built",
    TESTS_FAILED: "its unit tests failed",
    BROKEN: "it does not come up on the merge environment",
    "no_verdict": "its tests came to no end, again and again",
}


@dataclass(frozen=True)
class Card:
    """See the module.

    :param place: 1 is next; 0: it does not wait. ``count`` wait.
    :param phase: of the attempt that it is in; ``beside``: the others that are tested together with it.
    :param paused: why nothing enters the lane, if so.
    :param run: the page of its run, where Airflow's address is known.
    :param style: what it becomes on main (`merge.style`).
    """

    entry: Entry
    place: int = 0
    count: int = 0
    phase: A | None = None
    beside: Sequence[str] = ()
    paused: str = ""
    findings: Findings | None = None
    run: str | None = None
    earlier: Sequence[Entry] = ()
    style: str = "merge"

    @property
    def failures(self) -> Sequence[tuple[str, str]]:
        """(Test, why) of each that keeps, or kept, it from landing."""
        found = self.findings
        return found.failures if found is not None and self.entry.state is not E.LANDED else ()

    @property
    def why(self) -> str:
        """The entry's own reason, where it says more than the failed tests and the headline do."""
        code = self.entry.reason_code
        if self.entry.state is E.LANDED or code == "tried" or (self.failures and code == TESTS_FAILED):
            return ""
        return self.entry.reason or ""


def card(installation: Installation, entry: Entry) -> Card:
    """What there is to tell of an entry now."""
    queue = Queue(installation.engine, installation.clock)
    waiting = [each.id for each in queue.open() if each.state is E.QUEUED]
    standing = Control(installation.engine, installation.clock).standing()
    known = record(installation, entry)
    here = known.attempt if known is not None and entry.state is E.IN_ATTEMPT else None
    stopped = standing.paused and standing.emergency != entry.id
    return Card(
        entry,
        place=waiting.index(entry.id) + 1 if entry.id in waiting else 0,
        count=len(waiting),
        phase=here.state if here is not None else None,
        beside=[queue.get(each).name for each in here.members if each != entry.id] if here else (),
        paused=f"{standing.paused_by}: {standing.pause_reason}" if stopped else "",
        findings=known.findings if known is not None else None,
        run=run_page(installation.settings, entry.run_id),
        earlier=[each for each in queue.of_pull(entry.pr) if each.id < entry.id],
        style=installation.settings.merge.style,
    )


def headline(card: Card) -> str:
    """How far it is, in one plain line."""
    entry = card.entry
    match entry.state:
        case E.QUEUED:
            text = f"number {card.place} of {card.count} in the queue" if card.place else "in the queue"
            if entry.held_by:
                text += f", held by {entry.held_by}"
            return f"{text}; the queue is paused" if card.paused else text
        case E.IN_ATTEMPT:
            text = f"in the lane, {_PHASES.get(card.phase, 'at work') if card.phase else 'at work'}"
            return f"{text} (together with {named(card.beside)})" if card.beside else text
        case E.LANDING:
            return "landing"
        case E.LANDED:
            return f"landed, {since(entry)} after it was asked for"
        case E.TRIED:
            passed = entry.reason_code == "tried"
            return "tried, and it passed; nothing landed" if passed else f"tried, {_rejected(card)}"
        case E.REJECTED:
            return f"rejected, {_rejected(card)}"
        case E.STALE:
            return "stale, it is not what was approved any more"
        case _:
            return str(entry.state).lower()


def since(entry: Entry) -> str:
    """How long it took, for one that is over."""
    assert entry.ended_at is not None
    return duration((entry.ended_at - entry.queued_at).total_seconds())


def many(count: int, what: str) -> str:
    """``1 test``, ``2 tests``."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def _rejected(card: Card) -> str:
    code = card.entry.reason_code or ""
    if card.failures and code == TESTS_FAILED:
        names = named([one_line(name, 100) for name, _ in card.failures], _NAMED)
        return f"{many(len(card.failures), 'test')} failed: {names}"
    return _WHY.get(code, "it did not pass")


def run_page(settings: Settings, run_id: str | None) -> str | None:
    """The page of a run of `pr_e2e`, where Airflow's address is known."""
    if settings.airflow is None or run_id is None:
        return None
    return f"{settings.airflow.url.rstrip('/')}/dags/{DAG}/runs/{quote(run_id, safe='')}"
