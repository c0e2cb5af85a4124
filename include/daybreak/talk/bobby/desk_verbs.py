"""What each verb about having, keeping and waiting does, and what is said about it."""

from __future__ import annotations

from datetime import timedelta

from daybreak.environment.calendar import tonight as tonight_of
from daybreak.environment.leases import votes
from daybreak.environment.leases.desk import Queued
from daybreak.environment.leases.lease import Lease
from daybreak.environment.leases.waiting import ANY
from daybreak.environment.machine import Environment
from daybreak.errors import UsageError
from daybreak.talk.bobby import views
from daybreak.talk.bobby.ask import Ask, lease_data
from daybreak.talk.reply import Button, Reply, Section
from daybreak.talk.when import TONIGHT, last_night, show, show_both, show_date


def lock(ask: Ask) -> Reply:
    """Take it; `any` that finds none free waits."""
    command = ask.command
    if ask.name == ANY:
        found = ask.desk.lock_any(
            by=ask.me, duration=command.duration, until=ask.until, reason=command.reason
        )
        return _queued(ask, found) if isinstance(found, Queued) else _yours(ask, found)
    lease = ask.desk.lock(
        ask.name, by=ask.me, duration=command.duration, until=ask.until, reason=command.reason
    )
    return _yours(ask, lease)


def take(ask: Ask) -> Reply:
    """`lock!`"""
    before, now = ask.row, ask.installation.clock()
    lease = ask.leases.take(
        ask.name, by=ask.me, duration=ask.command.duration, until=ask.until, reason=ask.command.reason
    )
    owner = before.lease_owner
    told = f" {owner} had it and is told why." if before.leased(now) and owner != ask.me else ""
    return _yours(ask, lease, told)


def extend(ask: Ask) -> Reply:
    """Longer."""
    command = ask.command
    lease = ask.leases.extend(
        ask.name, by=ask.me, duration=command.duration, until=ask.until, reason=command.reason
    )
    last = lease.since + timedelta(hours=ask.installation.settings.lease.max_hours)
    note = ""
    if lease.until == last:
        note = f" That is as long as it goes: {ask.installation.settings.lease.max_hours:g} h in all."
    return _yours(ask, lease, note)


def release(ask: Ask) -> Reply:
    """Give back; several at once, all or none by whose they are."""
    leases, names = ask.leases, ask.command.environments
    now = ask.installation.clock()
    rows = [ask.installation.environments.get(name) for name in names]
    for row in rows:  # refused as a whole, before anything changes
        if row.leased(now) and row.lease_owner != ask.me:
            leases.release(row.name, by=ask.me)
    had = [row.name for row in rows if row.lease_owner == ask.me and row.leased(now)]
    for at, name in enumerate(names):
        own = f"{ask.request}#{at}" if ask.request and len(names) > 1 else ask.request
        lease = ask.press.lease if ask.press else None
        ask.installation.leases.answering(own, lease=lease).release(
            name, by=ask.me, reason=ask.command.reason
        )
    return _released(ask, had)


def release_for(ask: Ask) -> Reply:
    """`release!`"""
    before, now = ask.row, ask.installation.clock()
    ask.leases.release(ask.name, by=ask.me, admin=True, reason=ask.command.reason)
    had = [ask.name] if before.leased(now) else []
    told = f"{before.lease_owner} had it and is told why." if had and before.lease_owner != ask.me else ""
    return _released(ask, had, told)


def give(ask: Ask) -> Reply:
    """Hand over."""
    to = ask.someone(ask.command.person)
    if to.name == ask.me:
        raise UsageError(f"{ask.name} is for somebody else then; you are {ask.me}")
    lease = ask.leases.give(ask.name, by=ask.me, to=to.name, reason=ask.command.reason)
    until = _both(ask, lease)
    text = f"{ask.name} is {to.name}'s until {until}, who is told."
    return Reply(text, data={"lease": lease_data(lease)})


def preserve(ask: Ask) -> Reply:
    """Keep the night away; the reply names the night that was meant."""
    policy, limit = ask.installation.settings.night, ask.installation.settings.lease.preserve_nights
    said = ask.command.until or TONIGHT
    coming = tonight_of(policy, ask.at)
    pressed = ask.press.night if ask.press else None
    if pressed is not None and pressed != coming.key:
        raise UsageError(
            f"that button was for the night of {show_date(pressed)}, which is over; "
            f"say `preserve {ask.name} tonight`",
            code="stale_button",
        )
    night = last_night(said, ask.at, policy)
    if (night - coming.key).days >= limit:
        raise UsageError(
            f"an environment is preserved for at most {limit} nights: through that of "
            f"{show_date(coming.key + timedelta(days=limit - 1))}"
        )
    env = ask.leases.preserve(ask.name, night, ask.me, ask.command.reason)
    return _preserved(ask, env)


def unpreserve(ask: Ask) -> Reply:
    """The night may have it again."""
    before = ask.row
    ask.leases.unpreserve(ask.name, ask.me)
    was = f" It was preserved by {before.preserve_by}." if before.preserve_by else ""
    scene = ask.scene
    env = next(row for row in scene.rows if row.name == ask.name)
    return Reply(f"{ask.name} is not preserved.{was} {views.tonight(scene, env)}".rstrip())


def queue(ask: Ask) -> Reply:
    """Wait for it."""
    name = ask.command.environments[0] if ask.command.environments else ANY
    found = ask.desk.queue(name, by=ask.me, reason=ask.command.reason)
    return _queued(ask, found) if isinstance(found, Queued) else _yours(ask, found, " It was free.")


def leave(ask: Ask) -> Reply:
    """Wait no longer."""
    name = ask.command.environments[0] if ask.command.environments else None
    left = ask.installation.waiting.leave(ask.me, name)
    return Reply(f"You wait no longer for {', '.join(left)}." if left else "You do not wait.")


def poke(ask: Ask) -> Reply:
    """Ask who has it."""
    lease, new = ask.desk.poke(ask.name, by=ask.me, reason=ask.command.reason)
    said = "is asked" if new else "was asked a moment ago"
    text = f"{lease.owner} {said} whether they still need {ask.name}; it is theirs until {_both(ask, lease)}."
    return Reply(text, (Section(text, (Button("Wait for it", f"queue {ask.name}"),)),))


def weekend_keep(ask: Ask) -> Reply:
    """Vote."""
    policy = ask.installation.settings.night
    first, back = votes.coming_days_off(policy, ask.at)
    ask.installation.votes.keep(back, ask.name, ask.me)
    return _votes(ask, f"You vote to keep {ask.name} up from {show_date(first)} to {show_date(back)}.")


def weekend_drop(ask: Ask) -> Reply:
    """Take the vote back."""
    _, back = votes.coming_days_off(ask.installation.settings.night, ask.at)
    gone = ask.installation.votes.drop(back, ask.name, ask.me)
    return _votes(ask, f"Your vote for {ask.name} is gone." if gone else f"You had no vote for {ask.name}.")


def _votes(ask: Ask, text: str) -> Reply:
    _, back = votes.coming_days_off(ask.installation.settings.night, ask.at)
    found = ask.installation.votes.of(back)
    places = ask.installation.settings.night.weekend_keep
    ranked = sorted(found, key=lambda name: (-len(found[name]), name))
    tally = "; ".join(f"{name}: {', '.join(found[name])}" for name in ranked) or "none"
    return Reply(f"{text} {places} stay up. Votes so far: {tally}.", data={"votes": dict(found)})


def _yours(ask: Ask, lease: Lease, note: str = "") -> Reply:
    scene = ask.scene
    env = next(row for row in scene.rows if row.name == lease.environment)
    text = f"{lease.environment} is yours until {_both(ask, lease)}.{note}"
    plan = views.tonight(scene, env)
    section = Section(f"{text} {plan}".rstrip(), views.buttons(scene, env))
    return Reply(section.text, (section,), data={"lease": lease_data(lease)})


def _queued(ask: Ask, place: Queued) -> Reply:
    what = "No environment with green e2e is free." if place.environment == ANY else ""
    if place.environment != ANY:
        row = ask.installation.environments.get(place.environment)
        now = ask.installation.clock()
        zone = ask.installation.settings.night.tzinfo
        if row.leased(now) and row.lease_until is not None:
            what = f"{row.name} is {row.lease_owner}'s until {show_both(row.lease_until, now, zone)}."
        else:
            what = f"{row.name} is {row.state}."
    text = f"{what} You are number {place.position} in the queue and will be told when it is your turn."
    section = Section(text, (Button("Wait no longer", f"leave {place.environment}"),))
    data = {"queued": {"environment": place.environment, "position": place.position}}
    return Reply(text, (section,), data=data)


def _released(ask: Ask, had: list[str], note: str = "") -> Reply:
    served = {lease.environment: lease.owner for lease in ask.installation.desk.turns()}
    names = ask.command.environments
    parts = [
        f"{name} is {served[name]}'s now, who waited for it." if name in served
        else f"{name} is free." if name in had
        else f"{name} was nobody's; nothing to release."
        for name in names
    ]  # fmt: skip
    return Reply(" ".join([*parts, note]).rstrip(), data={"released": had, "served": served})


def _preserved(ask: Ask, env: Environment) -> Reply:
    policy, now = ask.installation.settings.night, ask.installation.clock()
    zone, coming = policy.tzinfo, tonight_of(policy, ask.at)
    assert env.preserve_night is not None
    text = f"{env.name} is preserved through the night of {show_date(env.preserve_night)}"
    if env.preserve_night == coming.key:
        running = "which runs until" if coming.evening <= ask.at else "until"
        text += f", {running} {show(coming.morning, now, zone)}"
    text += f", by {env.preserve_by}." if env.preserve_by != ask.me else "."
    if coming.evening <= ask.at:
        text += " The next evening is not in it."
    if env.leased(now) and env.lease_owner == ask.me and env.lease_until is not None:
        text += f" Your lease ends at {show_both(env.lease_until, now, zone)} all the same."
    data = {"preserved": {"night": env.preserve_night.isoformat(), "by": env.preserve_by}}
    undo = Button("Unpreserve", f"unpreserve {env.name}")
    return Reply(text, (Section(text, (undo,)),), data=data)


def _both(ask: Ask, lease: Lease) -> str:
    return show_both(lease.until, ask.installation.clock(), ask.installation.settings.night.tzinfo)
