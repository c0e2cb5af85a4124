"""The verbs that judge an environment, start runs or stop everything."""

from __future__ import annotations

import hashlib
from typing import Any

from daybreak.environment.machine import Environment
from daybreak.errors import UsageError
from daybreak.talk.bobby.ask import Ask, NotAllowed
from daybreak.talk.reply import Button, Reply, Section
from daybreak.talk.verbs import EVERYTHING


def rebuild(ask: Ask) -> Reply:
    """Tear it down and build it anew, now: a run of `nightly` for this one alone."""
    ask.installation.leases.guard(ask.name, ask.me)
    conf = {
        "environments": [ask.name], "phases": ["teardown", "rebuild"], "wait": False, "dry_run": False,
        "by": ask.me, "reason": ask.command.reason or f"rebuild by {ask.me}",
    }  # fmt: skip
    run_id = ask.run_id("rebuild")
    where = ask.start("nightly", run_id, conf)
    text = f"{ask.name} is torn down and built anew from main: {where}"
    return Reply(text, data={"run": {"dag_id": "nightly", "run_id": run_id, "conf": conf, "url": where}})


def deploy(ask: Ask) -> Reply:
    """Build a revision and deploy it: a run of `bcd`, which asks the guard again, and at its end."""
    ask.installation.leases.guard(ask.name, ask.me)
    ref, *resources = ask.command.rest
    conf: dict[str, Any] = {
        "environment": ask.name, "ref": ref, "resources": resources, "by": ask.me,
        "reason": ask.command.reason,
    }  # fmt: skip
    if resources == [EVERYTHING]:
        conf |= {"resources": [], "everything": True}
    run_id = ask.run_id("bcd")
    where = ask.start("bcd", run_id, conf)
    what = ", ".join(resources) if resources else "all that it changes"
    text = f"{ref} goes to {ask.name} ({what}): {where}"
    return Reply(text, data={"run": {"dag_id": "bcd", "run_id": run_id, "conf": conf, "url": where}})


def fault(ask: Ask) -> Reply:
    """Say that it is broken: its holder, or, where nobody has it, anybody; an admin always."""
    row, now = ask.row, ask.installation.clock()
    if not ask.person.admin:
        ask.installation.leases.guard(ask.name, ask.me)
    ask.installation.environments.fault(
        row, "reported", ask.command.reason, actor=ask.me, request=ask.request
    )
    kept = f" It stays {row.lease_owner}'s." if row.leased(now) and row.lease_owner != ask.me else ""
    return Reply(
        f"{ask.name} is FAULTED: {ask.command.reason}. The next night rebuilds it; "
        f"`rebuild {ask.name}` does it now.{kept}"
    )


def unfault(ask: Ask) -> Reply:
    """An admin says that it is fine."""
    ask.installation.environments.unfault(ask.name, by=ask.me, reason=ask.command.reason, request=ask.request)
    ask.installation.desk.turns()
    return Reply(f"{ask.name} is READY again, because {ask.me} says so: {ask.command.reason}.")


def scorch(ask: Ask) -> Reply:
    """Delete what costs money and all data, now; first it shows the characters that confirm it."""
    row = ask.row
    expected = confirmation(row)
    if not ask.command.rest:
        owner = f" {row.lease_owner} has it." if row.leased(ask.installation.clock()) else ""
        text = (
            f"That deletes the ephemeral stack of {row.name} and all its data, now.{owner} "
            f"`daybreak scorch {row.name} --plan` shows what goes. "
            f"If that is meant: `scorch {row.name} confirm {expected}`"
        )
        again = Button(f"Scorch {row.name}", f"scorch {row.name} confirm {expected}", "danger")
        return Reply(text, (Section(text, (again,)),), data={"confirm": expected})
    if ask.command.rest[0].lower() != expected:
        raise UsageError(
            f"those are not the characters of {row.name} as it is now; it changed, or they are mistyped. "
            f"Nothing was deleted; `scorch {row.name}` shows them"
        )
    conf = {
        "environments": [row.name], "phases": ["teardown"], "wait": False, "dry_run": False,
        "by": ask.me, "reason": f"scorch by {ask.me}",
    }  # fmt: skip
    run_id = ask.run_id("scorch")
    where = ask.start("nightly", run_id, conf)
    back = f"It stays away until its next morning, or until `rebuild {row.name}`."
    return Reply(
        f"{row.name} is torn down now: {where}. {back}",
        data={"run": {"dag_id": "nightly", "run_id": run_id, "conf": conf, "url": where}},
    )


def confirmation(row: Environment) -> str:
    """Four characters that name the environment as it is: any change to it makes them void."""
    return hashlib.sha256(f"{row.name}/{row.version}/{row.nonce}".encode()).hexdigest()[:4]


def freeze(ask: Ask) -> Reply:
    """The kill switch."""
    ask.installation.switches.freeze(ask.me, ask.command.reason)
    found = ask.installation.switches.frozen()
    by, why = (found.by, found.reason) if found else (ask.me, ask.command.reason)
    return Reply(f"Frozen by {by}: {why}. Nothing is deleted anywhere until `thaw`.", public=True)


def thaw(ask: Ask) -> Reply:
    """Back to normal."""
    was = ask.installation.switches.frozen()
    ask.installation.switches.thaw()
    return Reply("Thawed: the night may delete again." if was else "It was not frozen.", public=bool(was))


def link(ask: Ask) -> Reply:
    """Without a code: give one to somebody who is known. With one: a stranger becomes known."""
    if ask.command.rest:
        person = ask.people.link_by_code(ask.actor.kind, ask.actor.external, ask.command.rest[0])
        return Reply(f"You are {person.name} here from now on.")
    if ask.actor.person is None:
        raise NotAllowed(
            "I do not know who you are here. Where I do (`daybreak bobby link` on your machine), say `link` "
            "for a code, and then `link <code>` here. An admin can add you to `people:` in daybreak.yaml."
        )
    code = ask.people.code_for(ask.actor.person)
    return Reply(
        f"You are {ask.actor.person.name}. Within ten minutes, say `link {code}` where I do not know you.",
        data={"code": code},
    )
