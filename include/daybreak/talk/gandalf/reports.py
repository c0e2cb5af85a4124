"""How landing goes, in words: the comment on the pull request, what stands beside its commit, Slack.

All of it is read when it is sent, so that nobody is told what is over; see `daybreak.merge.announce`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from daybreak.environment.failures import flaky, named
from daybreak.environment.installation import Installation
from daybreak.merge.queue import Queue
from daybreak.merge.rows import TRY, Entry
from daybreak.merge.rules import EntryState as E
from daybreak.talk.gandalf import digest
from daybreak.talk.gandalf.card import Card, card, headline, many, since
from daybreak.talk.github.checks import Check, Outcome
from daybreak.talk.markdown import code, link, words
from daybreak.talk.reply import Button, Link, Reply, Section, quoted
from daybreak.talk.slack.message import duration

#: What stands beside a commit is called so.
CHECK = "gandalf"
#: Rows of a table, failed tests, earlier entries that are shown; failed tests in Slack; resources of a line.
_ROWS, _TESTS, _EARLIER, _TOLD, _NAMED = 50, 20, 5, 5, 10
_OUTCOMES: Mapping[E, Outcome] = {
    E.QUEUED: "pending", E.IN_ATTEMPT: "pending", E.LANDING: "pending", E.LANDED: "success",
    E.REJECTED: "failure", E.CANCELLED: "error", E.STALE: "error",
}  # fmt: skip


class Reports:
    """Reads cards and puts them into words."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self._queue = Queue(installation.engine, installation.clock)

    def closes(self, payload: Mapping[str, Any]) -> bool:
        """Whether it landed as commits that GitHub does not know as the pull request's."""
        if self.installation.settings.merge.style == "merge":
            return False
        return self._queue.of_pull(payload["pr"])[0].state is E.LANDED

    def comment(self, payload: Mapping[str, Any]) -> str:
        """The one comment on a pull request: its latest entry, and those before."""
        return comment(card(self.installation, self._queue.of_pull(payload["pr"])[0]))

    def check(self, payload: Mapping[str, Any]) -> tuple[str, Check]:
        """The commit, and what stands beside it."""
        found = card(self.installation, self._queue.get(payload["entry"]))
        return found.entry.sha, check(found)

    def reply(self, payload: Mapping[str, Any]) -> Reply:
        """For Slack: an entry to whoever asked for it; for all a landing, a stop, the week's digest."""
        if payload["kind"] == "merge_digest":
            return digest.render(payload)
        if payload["kind"] == "merge_stopped":
            return stopped(payload)
        found = card(self.installation, self._queue.get(payload["entry"]))
        return landed(found) if payload["kind"] == "merge_landed" else told(found)


def comment(card: Card) -> str:
    """Markdown."""
    entry = card.entry
    more = [] if entry.ended_at is not None else [*_asked(entry)]
    lines = [f"**{code(entry.sha[:12])}: {words(headline(card))}**", *more]
    if card.paused and entry.state is E.QUEUED:
        lines.append(f"The queue is paused by {words(card.paused)}.")
    if entry.state is E.QUEUED and entry.suspects is not None:
        lines.append("It failed together with others, and is tested again with fewer of them.")
    if card.why:
        lines.append(words(card.why, 1000))
    if entry.state is E.LANDED and card.style != "merge":
        shape = "as another commit (squash)" if card.style == "squash" else "as other commits (rebase)"
        lines.append(f"It is on main {shape}, so GitHub does not know it as merged, and it is closed.")
    if entry.state is E.QUEUED and entry.held_by is not None:
        lines.append("`@gandalf unhold` lets it go on, `@gandalf cancel` takes it out of the queue.")
    if card.failures:
        shown = [f"- {code(name)}: {words(why)}" for name, why in card.failures[:_TESTS]]
        rest = len(card.failures) - _TESTS
        lines.append("Failed, twice:\n" + "\n".join([*shown, *([f"- and {rest} more"] if rest > 0 else [])]))
    if entry.state is E.REJECTED:
        lines.append(
            "Main is as it was. Push a mended commit and say `@gandalf merge`; where this change is not to "
            "blame, `@gandalf retry` tests the same commit again."
        )
    lines += _found(card)
    if card.run is not None:
        lines.append(link("The run in Airflow", card.run))
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
    lines = [f"{entry.name} {quoted(entry.title)}: {quoted(headline(card))}."]
    if card.why:
        lines.append(quoted(card.why, 1000))
    lines += failed(card)
    if card.paused and entry.state is E.QUEUED:
        lines.append(f"The queue is paused by {quoted(card.paused)}.")
    buttons: tuple[Button, ...] = ()
    if entry.ended_at is None:
        buttons = (Button("Cancel", f"cancel {entry.name}", "danger", bot="gandalf"),)
    elif entry.state is E.REJECTED:
        buttons = (Button("Retry", f"retry {entry.name}", bot="gandalf"),)
    text = "\n".join(lines)
    return Reply(text, (Section(text, buttons, _links(card)),))


def failed(card: Card) -> list[str]:
    """Plain lines: each test that failed and why, and those that are flaky."""
    failures, found = card.failures, card.findings
    lines = [f"• {quoted(name)}: {quoted(why)}".rstrip(": ") for name, why in failures[:_TOLD]]
    if len(failures) > _TOLD:
        lines.append(f"• and {len(failures) - _TOLD} more")
    if found is not None and found.flaky:
        lines.append(_sentence(quoted(flaky(found.flaky), 1000)))
    return lines


def landed(card: Card) -> Reply:
    """For everybody: title, author, link, resources, how long it took, and which tests are flaky."""
    entry, found = card.entry, card.findings
    title, author = quoted(entry.title), quoted(entry.author)
    lines = [f"{entry.name} {title} by {author} landed, {since(entry)} after it was asked for."]
    if found is not None and found.deployed:
        lines.append(f"Deployed: {named(sorted(found.deployed), _NAMED)}.")
    elif found is not None:
        lines.append("Nothing had to be deployed.")
    text = "\n".join([*lines, *failed(card)])
    return Reply(text, (Section(text, (), _links(card)),), public=True)


def stopped(payload: Mapping[str, Any]) -> Reply:
    """For everybody: the queue stopped by itself, and why."""
    said = f"The queue is paused by {quoted(payload['by'])}: {quoted(payload['reason'], 1000)}"
    return Reply(f"{said}\nNothing new enters the lane until an admin says `resume`.", public=True)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


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
    rows = [("deployed", name, key, "; ".join(found.affected.get(name, ())) or "it did not run there yet")
            for name, key in sorted(found.deployed.items())]  # fmt: skip
    affected = sorted(found.affected.keys() - found.deployed.keys() - found.skipped.keys())
    rows += [("tested", name, "", "; ".join(found.affected[name])) for name in affected]
    if rows:
        lines.append(_table("| | resource | content key | why |", rows))
    if found.skipped:
        left = sorted(found.skipped.items())
        table = _table(
            "| | resource | content key | why |",
            [
                ("", name, key, f"last green in {run}" if run else "in no green attempt yet")
                for name, (key, run) in left
            ],
        )
        summary = f"Skipped: {len(left)}, since nothing that they are made of changed"
        lines.append(f"<details><summary>{summary}</summary>\n\n{table}\n\n</details>")
    if found.tests:
        ran = f"{many(found.tests, 'e2e test')} ran ({found.suites})"
        lines.append(words(f"{ran}; testing took {duration(found.seconds)}."))
    else:
        lines.append(words(f"No e2e test ran ({found.suites})."))
    if found.flaky:
        known = ", ".join(code(each) for each in found.flaky[:_TESTS])
        more = f" and {len(found.flaky) - _TESTS} more" if len(found.flaky) > _TESTS else ""
        lines.append(f"Flaky, passed when tried again: {known}{more}.")
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
