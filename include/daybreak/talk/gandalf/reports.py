"""How landing goes, in words: the comment on the pull request, what stands beside its commit, Slack.

All of it is read when it is sent, so that nobody is told what is over; see `daybreak.merge.announce`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from daybreak.environment.installation import Installation
from daybreak.merge.conf import DAG
from daybreak.merge.control import Control
from daybreak.merge.findings import Findings
from daybreak.merge.queue import Queue
from daybreak.merge.rows import TRY, Entry
from daybreak.merge.rules import AttemptState as A
from daybreak.merge.rules import EntryState as E
from daybreak.talk.gandalf import digest
from daybreak.talk.gandalf.record import record
from daybreak.talk.github.checks import Check, Outcome
from daybreak.talk.markdown import code, link, words
from daybreak.talk.reply import Button, Link, Reply, Section
from daybreak.talk.slack.message import duration

#: What stands beside a commit is called so.
CHECK = "gandalf"
#: Rows of a table, failed tests, earlier entries that are shown.
_ROWS, _TESTS, _EARLIER = 50, 20, 5
_PHASES: Mapping[A, str] = {
    A.PLANNED: "about to enter the lane", A.LEASED: "merging it with main", A.PREPARED: "merged with main",
    A.DEPLOYING: "deploying", A.DEPLOYED: "deployed", A.TESTING: "testing", A.PASSED: "the tests passed",
    A.FAILED: "tests failed", A.INVALID: "taking it back", A.TIMED_OUT: "the tests took too long",
    A.LANDING: "landing", A.REVERTING: "taking it back",
}  # fmt: skip
_OUTCOMES: Mapping[E, Outcome] = {
    E.QUEUED: "pending", E.IN_ATTEMPT: "pending", E.LANDING: "pending", E.LANDED: "success",
    E.REJECTED: "failure", E.CANCELLED: "error", E.STALE: "error",
}  # fmt: skip


@dataclass(frozen=True)
class Card:
    """An entry with all that is told of it.

    :param place: 1 is next; 0: it does not wait. ``count`` wait.
    :param phase: of the attempt that it is in.
    :param paused: why nothing enters the lane, if so.
    :param run: the page of its run, where Airflow's address is known.
    :param style: what it becomes on main (`merge.style`).
    """

    entry: Entry
    place: int = 0
    count: int = 0
    phase: A | None = None
    paused: str = ""
    findings: Findings | None = None
    run: str | None = None
    earlier: Sequence[Entry] = ()
    style: str = "merge"


class Reports:
    """Reads cards and puts them into words."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self._queue = Queue(installation.engine, installation.clock)
        self._control = Control(installation.engine, installation.clock)

    def closes(self, payload: Mapping[str, Any]) -> bool:
        """Whether it landed as commits that GitHub does not know as the pull request's."""
        if self.installation.settings.merge.style == "merge":
            return False
        return self._queue.of_pull(payload["pr"])[0].state is E.LANDED

    def card(self, entry: Entry) -> Card:
        """What there is to tell of an entry now."""
        waiting = [each.id for each in self._queue.open() if each.state is E.QUEUED]
        standing, known = self._control.standing(), record(self.installation, entry)
        here = known.attempt.state if known is not None and entry.state is E.IN_ATTEMPT else None
        stopped = standing.paused and standing.emergency != entry.id
        return Card(
            entry,
            place=waiting.index(entry.id) + 1 if entry.id in waiting else 0,
            count=len(waiting),
            phase=here,
            paused=f"{standing.paused_by}: {standing.pause_reason}" if stopped else "",
            findings=known.findings if known is not None else None,
            run=self._run(entry),
            earlier=[each for each in self._queue.of_pull(entry.pr) if each.id < entry.id],
            style=self.installation.settings.merge.style,
        )

    def comment(self, payload: Mapping[str, Any]) -> str:
        """The one comment on a pull request: its latest entry, and those before."""
        return comment(self.card(self._queue.of_pull(payload["pr"])[0]))

    def check(self, payload: Mapping[str, Any]) -> tuple[str, Check]:
        """The commit, and what stands beside it."""
        card = self.card(self._queue.get(payload["entry"]))
        return card.entry.sha, check(card)

    def reply(self, payload: Mapping[str, Any]) -> Reply:
        """For Slack: an entry to whoever asked for it, a landing for all, the week's digest."""
        if payload["kind"] == "merge_digest":
            return digest.render(payload)
        card = self.card(self._queue.get(payload["entry"]))
        return landed(card) if payload["kind"] == "merge_landed" else told(card)

    def _run(self, entry: Entry) -> str | None:
        airflow = self.installation.settings.airflow
        if airflow is None or entry.run_id is None:
            return None
        return f"{airflow.url.rstrip('/')}/dags/{DAG}/runs/{quote(entry.run_id, safe='')}"


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
            return f"in the lane: {_PHASES.get(card.phase, 'at work') if card.phase else 'at work'}"
        case E.LANDING:
            return "landing"
        case E.LANDED:
            return f"landed, {_since(entry)} after it was asked for"
        case E.TRIED:
            return "tried: it passed" if entry.reason_code == "tried" else "tried: it did not pass"
        case E.REJECTED:
            failures = card.findings.failures if card.findings is not None else ()
            if failures and entry.reason_code == "tests_failed":
                names, tests = ", ".join(name for name, _ in failures[:3]), _many(len(failures), "test")
                return f"rejected: {tests} failed: {names}"
            return "rejected"
        case _:
            return str(entry.state).lower()


def comment(card: Card) -> str:
    """Markdown."""
    entry = card.entry
    more = [] if entry.ended_at is not None else [*_asked(entry)]
    lines = [f"**{code(entry.sha[:12])}: {words(headline(card))}**", *more]
    if card.paused and entry.state is E.QUEUED:
        lines.append(f"The queue is paused by {words(card.paused)}.")
    if entry.reason and entry.state not in (E.LANDED, E.TRIED):
        lines.append(words(entry.reason, 1000))
    if entry.state is E.LANDED and card.style != "merge":
        shape = "as another commit (squash)" if card.style == "squash" else "as other commits (rebase)"
        lines.append(f"It is on main {shape}, so GitHub does not know it as merged, and it is closed.")
    lines += _found(card)
    if card.run is not None:
        lines.append(link("The run", card.run))
    if card.earlier:
        before = [
            f"- {code(each.sha[:12])} {each.state.value}" + (f": {words(each.reason)}" if each.reason else "")
            for each in card.earlier[:_EARLIER]
        ]
        lines.append("Before:\n" + "\n".join(before))
    return "\n\n".join(lines)


def check(card: Card) -> Check:
    """Green only when it landed, or passed as a try."""
    entry = card.entry
    tried: Outcome = "success" if entry.reason_code == "tried" else "failure"
    outcome = tried if entry.state is E.TRIED else _OUTCOMES[entry.state]
    return Check(CHECK, outcome, headline(card), comment(card), card.run or entry.url)


def told(card: Card) -> Reply:
    """To whoever asked for it."""
    entry = card.entry
    lines = [f"{entry.name} {entry.title}: {headline(card)}."]
    if entry.reason and entry.state not in (E.LANDED, E.TRIED):
        lines.append(entry.reason)
    if card.paused and entry.state is E.QUEUED:
        lines.append(f"The queue is paused by {card.paused}.")
    buttons: tuple[Button, ...] = ()
    if entry.ended_at is None:
        buttons = (Button("Cancel", f"cancel {entry.name}", "danger", bot="gandalf"),)
    elif entry.state is E.REJECTED:
        buttons = (Button("Retry", f"retry {entry.name}", bot="gandalf"),)
    text = "\n".join(lines)
    return Reply(text, (Section(text, buttons, _links(card)),))


def landed(card: Card) -> Reply:
    """For everybody: title, author, link, resources, how long it took."""
    entry, found = card.entry, card.findings
    deployed = sorted(found.deployed) if found is not None else []
    text = f"{entry.name} {entry.title} by {entry.author} landed, {_since(entry)} after it was asked for."
    if deployed:
        text += f"\nDeployed: {_some(deployed)}."
    elif found is not None:
        text += "\nNothing had to be deployed."
    return Reply(text, (Section(text, (), _links(card)),), public=True)


def _asked(entry: Entry) -> list[str]:
    what = "To be tried, not landed." if entry.mode == TRY else "To be landed."
    marks = {
        "high priority": entry.priority > 0, "low priority": entry.priority < 0, "alone": entry.solo,
    }  # fmt: skip
    said = "".join(f", {word}" for word, is_so in marks.items() if is_so)
    return [f"{what} Asked for by {words(entry.by)}{said}."]


def _found(card: Card) -> list[str]:
    found = card.findings
    if found is None:
        return []
    lines = []
    if found.failures and card.entry.state is not E.LANDED:
        shown = [f"- {code(name)}: {words(why)}" for name, why in found.failures[:_TESTS]]
        more = len(found.failures) - _TESTS
        lines.append("Failed, twice:\n" + "\n".join([*shown, *([f"- and {more} more"] if more > 0 else [])]))
    rows = [("deployed", name, key, "; ".join(found.affected.get(name, ())) or "it did not run there yet")
            for name, key in sorted(found.deployed.items())]  # fmt: skip
    affected = sorted(found.affected.keys() - found.deployed.keys() - found.skipped.keys())
    rows += [("tested", name, "", "; ".join(found.affected[name])) for name in affected]
    if rows:
        lines.append(_table("| | resource | key | why |", rows))
    if found.skipped:
        left = sorted(found.skipped.items())
        table = _table(
            "| | resource | key | why |",
            [
                ("", name, key, f"last green in {run}" if run else "in no green attempt yet")
                for name, (key, run) in left
            ],
        )
        summary = f"Skipped: {len(left)}, since nothing that they are made of changed"
        lines.append(f"<details><summary>{summary}</summary>\n\n{table}\n\n</details>")
    if found.tests:
        lines.append(words(f"{_many(found.tests, 'test')} in {duration(found.seconds)}: {found.suites}."))
    else:
        lines.append("No e2e test ran.")
    if found.flaky:
        flaky = ", ".join(code(each) for each in found.flaky[:_TESTS])
        lines.append(f"Flaky, passed when tried again: {flaky}.")
    return lines


def _table(head: str, rows: Sequence[tuple[str, str, str, str]]) -> str:
    shown = [
        f"| {what} | {code(name)} | {code(key[:12]) if key else ''} | {words(why)} |"
        for what, name, key, why in rows[:_ROWS]
    ]
    if len(rows) > _ROWS:
        shown.append(f"| | and {len(rows) - _ROWS} more | | |")
    return "\n".join([head, "|---|---|---|---|", *shown])


def _links(card: Card) -> tuple[Link, ...]:
    pages = (("Pull request", card.entry.url), ("Run", card.run))
    return tuple(Link(label, url) for label, url in pages if url)


def _since(entry: Entry) -> str:
    assert entry.ended_at is not None
    return duration((entry.ended_at - entry.queued_at).total_seconds())


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return ", ".join(names[:10]) + more
