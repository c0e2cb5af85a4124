"""What the queue and an entry look like: `status`, `queue`, `explain`. Nothing is changed here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from daybreak.environment.machine import State
from daybreak.errors import UsageError
from daybreak.merge import batch
from daybreak.merge.control import Standing
from daybreak.merge.gate import busy
from daybreak.merge.rows import TRY, Entry
from daybreak.merge.rules import EntryState as E
from daybreak.talk.gandalf.call import Call
from daybreak.talk.gandalf.card import card, headline
from daybreak.talk.gandalf.record import Record, record
from daybreak.talk.gandalf.reports import failed
from daybreak.talk.reply import Reply, Section, quoted

#: Of a pull request's earlier entries, how many `status` shows.
_EARLIER = 5


@dataclass(frozen=True)
class Scene:
    """The queue as it is now.

    :param waiting: in order; ``busy`` is in the lane, or about to be.
    """

    waiting: list[Entry]
    busy: list[Entry]
    standing: Standing

    @classmethod
    def read(cls, call: Call) -> Scene:
        """Look."""
        found = call.queue.open()
        waiting = [each for each in found if each.state is E.QUEUED]
        busy = [each for each in found if each.state is not E.QUEUED]
        return cls(waiting, busy, call.control.standing())

    def place(self, entry: Entry) -> int:
        """1 is next; 0: it does not wait."""
        return next((at for at, each in enumerate(self.waiting, start=1) if each.id == entry.id), 0)


def where(call: Call, entry: Entry) -> str:
    """How far an entry is, in words."""
    return headline(card(call.installation, entry))


def lane(call: Call) -> str:
    """What is in the lane, as a sentence."""
    busy = Scene.read(call).busy
    if not busy:
        return "The lane is free."
    return f"{', '.join(each.name for each in busy)} {'is' if len(busy) == 1 else 'are'} in the lane before."


def status(call: Call) -> Reply:
    """One pull request; or, without a number, the lane."""
    if call.command.pull is None:
        return queue(call)
    entries = call.queue.of_pull(call.pull)
    if not entries:
        text = f"#{call.pull} was never in the queue; `merge #{call.pull}` puts it there."
        return Reply(text, data={"entries": []})
    first, *earlier = entries
    seen = card(call.installation, first)
    lines = [f"{first.name} at {first.sha[:12]}: {quoted(headline(seen))}."]
    if seen.why:
        lines.append(quoted(seen.why, 1000))
    lines += failed(seen)
    if first.state is E.REJECTED:
        lines.append(
            f"A mended commit is queued by `merge {first.name}`, the same one by `retry {first.name}`."
        )
    lines += [
        f"before: {each.sha[:12]} {each.state}" + (f": {quoted(each.reason)}" if each.reason else "")
        for each in earlier[:_EARLIER]
    ]
    found = [data(call, each) for each in entries]
    return Reply("\n".join(lines), data={"entries": found})


def queue(call: Call) -> Reply:
    """Who lands next, in order."""
    scene = Scene.read(call)
    lines = []
    if scene.standing.paused:
        lines.append(_stopped(scene.standing))
    for each in scene.busy:
        lines.append(f"now  {_line(each)}: {where(call, each)}")
    for at, each in enumerate(scene.waiting, start=1):
        held = f", held by {each.held_by}" if each.held_by else ""
        lines.append(f"{at:>3}  {_line(each)}{held}")
    if not scene.busy and not scene.waiting:
        lines.append("The queue is empty.")
    found = {
        "paused": _paused(scene.standing),
        "queue": [data(call, each, scene) for each in (*scene.busy, *scene.waiting)],
    }
    sections = tuple(Section(line) for line in lines)
    return Reply("\n".join(lines), sections, data=found)


def explain(call: Call) -> Reply:
    """Why it waits; why a resource is deployed, or left as it is."""
    if call.command.rest:
        return _resource(call, call.command.rest[0])
    entries = call.queue.of_pull(call.pull)
    if not entries:
        return status(call)
    entry = entries[0]
    lines = [f"{entry.name} at {entry.sha[:12]}: {where(call, entry)}.", *_why(call, entry)]
    if entry.reason:
        lines.append(quoted(entry.reason, 1000))
    known = record(call.installation, entry)
    if known is not None and known.findings is not None:
        lines += _touched(known)
    return Reply("\n".join(lines), data={"entry": data(call, entry), "why": lines[1:]})


def _stopped(standing: Standing) -> str:
    alone = "" if standing.emergency is None else " but the emergency"
    return (
        f"The queue is paused by {standing.paused_by}: {quoted(standing.pause_reason or '')}. Nothing{alone} "
        "enters the lane until an admin says `resume`."
    )


def _why(call: Call, entry: Entry) -> list[str]:
    """Why it does not move, each reason a line."""
    scene = Scene.read(call)
    if entry.state is not E.QUEUED:
        return []
    lines = []
    standing = scene.standing
    if standing.paused and entry.id != standing.emergency:
        lines.append(_stopped(standing))
    if entry.held_by:
        lines.append(
            f"{entry.held_by} holds it{f': {quoted(entry.hold_reason)}' if entry.hold_reason else ''}; "
            f"`unhold {entry.name}` lets it go on."
        )
    free = batch.waiting(scene.waiting, standing.rule)
    before = [each.name for each in free if scene.place(each) < scene.place(entry)]
    if before:
        more = f" and {len(before) - 5} more" if len(before) > 5 else ""
        lines.append(f"Before it: {', '.join(before[:5])}{more}.")
    if entry.suspects is not None:
        lines.append("It failed together with others, and is tested with fewer of them.")
    if scene.busy:
        lines.append(f"The lane is busy with {', '.join(each.name for each in scene.busy)}.")
    lines += _environment(call)
    return lines or ["It is next; its run is on its way."]


def _environment(call: Call) -> list[str]:
    """What the merge environment has against it."""
    try:
        name = call.installation.settings.merge_environment.name
    except UsageError as error:
        return [str(error)]
    env = call.installation.environments.get(name)
    if env.op_token is None and env.state is State.FAULTED:
        return [f"{name} is FAULTED ({env.fault_code}: {env.fault_message}); an admin says `env heal`."]
    # The gate's own answer: nobody is told that it is next while a night has its turn.
    why = busy(call.installation, name)
    return [f"{why}."] if why else []


def _resource(call: Call, name: str) -> Reply:
    entries = call.queue.of_pull(call.pull)
    known = record(call.installation, entries[0]) if entries else None
    if known is None or known.findings is None:
        return Reply(f"Nothing of #{call.pull} was tested yet, so nobody knows what it does to {name}.")
    found = known.findings
    because = "; ".join(found.affected.get(name, ()))
    if name in found.deployed:
        text = f"{name} was deployed as {found.deployed[name][:12]}: {because or 'it did not run there yet'}."
    elif name in found.skipped:
        key, run = found.skipped[name]
        green = f"last green in {run}" if run else "in no green attempt yet"
        text = f"{name} was skipped: nothing that it is made of changed; it runs {key[:12]}, {green}."
    elif because:
        text = f"{name} is affected, and nothing of it is deployed by itself: {because}."
    else:
        text = f"{name} is not among the resources of that commit."
    return Reply(text, data={"resource": name, "because": list(found.affected.get(name, ()))})


def _touched(known: Record) -> list[str]:
    found = known.findings
    assert found is not None
    deployed = ", ".join(sorted(found.deployed)) or "nothing"
    return [
        f"Deployed: {deployed}. Skipped: {len(found.skipped)}; `explain #{known.entry.pr} <resource>` says "
        "why."
    ]


def data(call: Call, entry: Entry, scene: Scene | None = None) -> dict[str, Any]:
    """An entry for `--json`."""
    scene = scene or Scene.read(call)
    return {
        "pull": entry.pr, "commit": entry.sha, "title": entry.title, "author": entry.author,
        "mode": entry.mode, "priority": entry.priority, "solo": entry.solo, "state": entry.state.value,
        "place": scene.place(entry) or None, "by": entry.by, "queued_at": entry.queued_at.isoformat(),
        "held_by": entry.held_by, "reason_code": entry.reason_code, "reason": entry.reason,
        "run_id": entry.run_id,
    }  # fmt: skip


def _paused(standing: Standing) -> dict[str, Any] | None:
    if not standing.paused or standing.paused_at is None:
        return None
    return {
        "by": standing.paused_by, "reason": standing.pause_reason, "at": standing.paused_at.isoformat(),
        "emergency": standing.emergency,
    }  # fmt: skip


def _line(entry: Entry) -> str:
    marks = {
        "try": entry.mode == TRY, "high": entry.priority > 0, "low": entry.priority < 0, "solo": entry.solo,
    }  # fmt: skip
    said = ", ".join(word for word, is_so in marks.items() if is_so)
    more = f" [{said}]" if said else ""
    return f"{entry.name} {quoted(entry.title)} ({quoted(entry.author)}){more}"
