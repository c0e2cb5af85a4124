"""What each verb that changes something does, and what is said about it."""

from __future__ import annotations

import logging
from collections.abc import Callable

from daybreak.environment.machine import State
from daybreak.errors import DaybreakError, UsageError
from daybreak.merge.protocol import QUARANTINED
from daybreak.merge.queue import PRIORITIES, Ask
from daybreak.merge.rows import LAND, TRY, Entry
from daybreak.merge.rules import EntryState as E
from daybreak.talk.gandalf import views
from daybreak.talk.gandalf.call import Call
from daybreak.talk.gandalf.gates import LISTED, Ready
from daybreak.talk.reply import Button, Reply, Section

log = logging.getLogger(__name__)

#: Takes care of the lane, and of an environment that could not prove what it runs.
CARE = "lane_care"


def merge(call: Call) -> Reply:
    """Into the queue, at the commit that was approved."""
    call.require()
    ready = call.asked.check(call.pull, call.command.commit or call.commit)
    # Where reviews are asked for they say which commit is meant.
    if call.late and not (call.command.commit or call.commit or call.asked.policy.required_reviews):
        raise UsageError(
            f"you said it some minutes ago, and no review says which commit of #{call.pull} you saw; "
            f"if it is the present one, say `merge {ready.sha[:7]}`"
        )
    return _queued(call, ready, LAND)


def attempt(call: Call) -> Reply:
    """`try`: deployed and tested, never landed."""
    call.require()
    present = call.queue.of(call.pull)
    if present is not None and present.mode == LAND:
        raise UsageError(f"{present.name} is in the queue to land, where it is tested too; `cancel` it first")
    ready = call.asked.check(call.pull, call.command.commit or call.commit, lands=False)
    return _queued(call, ready, TRY)


def retry(call: Call) -> Reply:
    """The commit of the last entry once more."""
    call.require()
    entries = call.queue.of_pull(call.pull)
    if not entries:
        raise UsageError(f"#{call.pull} was never in the queue; `merge #{call.pull}` puts it there")
    last = entries[0]
    if last.ended_at is None:
        return _said(f"{last.name} is in the queue already: {views.where(call, last)}.", last)
    ready = call.asked.check(call.pull, last.sha, lands=last.mode == LAND)
    return _queued(call, ready, last.mode, last)


def cancel(call: Call) -> Reply:
    """Take it back; the author may, too."""
    present = call.queue.of(call.pull)
    if present is None or present.author.lower() != call.login.lower():
        call.require()
    reason = call.command.reason
    message = f"cancelled by {call.me}" + (f": {reason}" if reason else "")
    ended = call.queue.end(
        call.pull, E.CANCELLED, by=call.me, code="cancelled", message=message, request=call.request
    )
    return _said(f"{ended.name} is out of the queue.", ended)


def delegate(call: Call) -> Reply:
    """One person, one pull request."""
    call.require(passes=True)
    login = call.someone()
    call.control.delegate(call.pull, login, by=call.me, request=call.request)
    return Reply(
        f"{login} may `merge`, `try`, `cancel`, `retry` and `hold` #{call.pull} from now on; its gates stay.",
        data={"delegated": {"pull": call.pull, "login": login}},
    )


def undelegate(call: Call) -> Reply:
    """The same person may not any more."""
    call.require(passes=True)
    login = call.someone()
    call.control.undelegate(call.pull, login, by=call.me, request=call.request)
    return Reply(
        f"{login} may not land #{call.pull} any more; what is in the queue stays there.",
        data={"undelegated": {"pull": call.pull, "login": login}},
    )


def hold(call: Call) -> Reply:
    """It keeps its place."""
    call.require()
    held = call.control.hold(call.pull, by=call.me, reason=call.command.reason, request=call.request)
    lane = " What the lane does with it is taken back." if held.state is E.IN_ATTEMPT else ""
    return _said(f"{held.name} keeps its place and waits until `unhold`.{lane}", held)


def unhold(call: Call) -> Reply:
    """It goes on."""
    call.require()
    entry = call.control.unhold(call.pull, by=call.me, request=call.request)
    return _said(f"{entry.name} goes on: {views.where(call, entry)}.", entry)


def pause(call: Call) -> Reply:
    """Nothing new enters the lane."""
    call.require(admin=True)
    call.control.pause(call.command.reason, by=call.me, request=call.request)
    return Reply(
        f"The queue is paused by {call.me}: {call.command.reason}. What is in the lane goes on to its end; "
        "nothing new enters until `resume`.",
        public=True,
    )


def resume(call: Call) -> Reply:
    """It moves again."""
    call.require(admin=True)
    was = call.control.resume(by=call.me, request=call.request)
    return Reply(f"The queue moves again; {was.paused_by} had paused it: {was.pause_reason}.", public=True)


def emergency(call: Call) -> Reply:
    """This alone, next; through the same gates and tests."""
    call.require(admin=True)
    # Before it is queued: what is refused leaves nothing behind.
    call.control.no_other_emergency(call.pull)
    present = call.queue.of(call.pull)
    ready = call.asked.check(call.pull, present.sha if present is not None else None)
    entry = call.queue.add(_ask(call, ready, LAND, priority=PRIORITIES["high"], solo=True), by=call.me)
    entry = call.control.emergency(entry, call.command.reason, by=call.me, request=call.request)
    link = _start(call, entry)
    text = (
        f"The queue is paused, and {entry.name} at {entry.sha[:12]} goes alone, next: {call.command.reason}. "
        f"It is tested as everything is. {views.lane(call)} When it landed, `resume` lets the others go on."
    )
    return Reply(text, data={"entry": views.data(call, entry), "run": link}, public=True)


def reset(call: Call) -> Reply:
    """Forget it."""
    call.require(admin=True)
    ended = call.control.reset(call.pull, by=call.me, reason=call.command.reason, request=call.request)
    was = "it is out of the queue" if ended is not None else "it was not in the queue"
    return Reply(f"#{call.pull} is forgotten: {was}, and nobody may land it by delegation.")


def heal(call: Call) -> Reply:
    """`env heal`: whoever shut it, it is brought back to main, and opened when that is read back."""
    call.require(admin=True)
    name = call.installation.settings.merge_environment.name
    env = call.installation.environments.get(name)
    if env.state is not State.FAULTED:
        raise UsageError(f"{name} is {env.state}, not FAULTED; there is nothing to heal")
    was = f"{env.fault_code}: {env.fault_message}"
    if env.fault_code != QUARANTINED:
        # Also what a person shut, or a night: only one that could not prove itself is proven (`care.heal`).
        said = f"{call.me} says that it is to be proven to run main; before: {was}"
        call.installation.environments.fault(
            env, QUARANTINED, said, actor=call.me, request=call.request
        )  # fmt: skip
    where = _begun(f"the run that heals {name}", lambda: _care(call))
    now = f"now: {where}" if where else "within minutes"
    return Reply(
        f"{name} is brought back to main {now}; nothing enters the lane before it is read back. It was {was}",
        public=True,
    )


def _queued(call: Call, ready: Ready, mode: str, like: Entry | None = None) -> Reply:
    command = call.command
    priority = like.priority if like is not None else PRIORITIES[command.priority]
    solo = like.solo if like is not None else command.solo
    ask = _ask(call, ready, mode, priority=priority, solo=solo)
    entry = call.queue.add(ask, by=call.me, request=call.request)
    link = _start(call, entry)
    what = "is to be tried" if mode == TRY else "is queued"
    many = ""
    if ready.pull.files > LISTED:
        many = (
            f" It changes {ready.pull.files:,} files, more than GitHub lists; they are read from git, "
            "all count."
        )
    text = f"{entry.name} at {entry.sha[:12]} {what}: {views.where(call, entry)}.{many}"
    return _said(text, entry, data={"entry": views.data(call, entry), "run": link})


def _ask(call: Call, ready: Ready, mode: str, *, priority: int, solo: bool) -> Ask:
    pull = ready.pull
    return Ask(
        pull.number,
        ready.sha,
        pull.title,
        pull.author,
        mode,
        priority,
        solo,
        call.tells(pull.author),
        pull.url,
    )


def _start(call: Call, entry: Entry) -> str:
    """The entry's run."""
    return _begun(f"the run of {entry.name}", lambda: call.start(entry))


def _care(call: Call) -> str:
    return (call.trigger(CARE, call.run_id("heal"), {}) or "") if call.trigger is not None else ""


def _begun(what: str, begin: Callable[[], str]) -> str:
    """Where a run is. Without one all is done the same: the schedule makes what is missing."""
    try:
        return begin()
    except DaybreakError as error:
        log.warning("%s is left to the schedule: %s", what, error)
        return ""


def _said(text: str, entry: Entry, data: dict[str, object] | None = None) -> Reply:
    """With what can be done about it."""
    buttons: tuple[Button, ...] = ()
    if entry.ended_at is None:
        buttons = (
            Button("Cancel", f"cancel {entry.name}", "danger", bot="gandalf"),
            Button("Explain", f"explain {entry.name}", bot="gandalf"),
        )
    found = data or {"entry": {"pull": entry.pr, "commit": entry.sha, "state": entry.state.value}}
    return Reply(text, (Section(text, buttons),), data=found)
