"""What the environments look like to somebody: status, one's own, one in detail. Rows in, replies out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from daybreak.environment.calendar import Night
from daybreak.environment.decision import Decision, NightAction
from daybreak.environment.leases.waiting import ANY, Waiter
from daybreak.environment.machine import USABLE, Environment
from daybreak.talk.reply import Button, Reply, Section
from daybreak.talk.when import show, show_both, show_date, show_length

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from daybreak.environment.installation import Installation


@dataclass(frozen=True)
class Scene:
    """Everything that an answer may speak of, read once.

    :param me: the name of the one who reads, or ``None`` for a stranger.
    """

    rows: Sequence[Environment]
    waiters: Sequence[Waiter]
    night: Night
    decisions: Sequence[Decision]
    now: datetime
    zone: ZoneInfo
    me: str | None

    @classmethod
    def read(cls, installation: Installation, me: str | None) -> Scene:
        """Look at the registry."""
        now = installation.clock()
        night, decisions = installation.desk.tonight(now)
        rows = installation.environments.all()
        known = [each.name for each in installation.settings.environments]
        rows = [row for name in known for row in rows if row.name == name]
        zone = installation.settings.night.tzinfo
        return cls(rows, installation.waiting.all(), night, decisions, now, zone, me)

    def mine(self, env: Environment) -> bool:
        """Whether the reader has it."""
        return env.leased(self.now) and env.lease_owner == self.me

    def decision(self, env: Environment) -> Decision | None:
        """What tonight would do with it."""
        return next((each for each in self.decisions if each.environment == env.name), None)

    def waiting_for(self, name: str) -> list[str]:
        """Who waits for exactly that one, in order."""
        return [each.person for each in self.waiters if each.environment == name]


def status(scene: Scene) -> Reply:
    """All environments, a line each: the reader's own first, then the free, then the others."""
    if not scene.rows:
        return Reply("There are no environments; add `environments:` to daybreak.yaml.")
    ranked = sorted(scene.rows, key=lambda env: (not scene.mine(env), not free(scene, env)))
    count = sum(free(scene, env) for env in scene.rows)
    dev = sum(env.role == "dev" for env in scene.rows)
    anybody = [each.person for each in scene.waiters if each.environment == ANY]
    head = f"{count} of {dev} environments {'is' if count == 1 else 'are'} free."
    if anybody:
        head += f" Waiting for any: {', '.join(anybody)}."
    sections = (Section(head), *(Section(line(scene, env), buttons(scene, env)) for env in ranked))
    return _reply(sections, environments=[_data(scene, env) for env in ranked], waiting=anybody)


def detail(scene: Scene, name: str, events: Sequence[str]) -> Reply:
    """One environment, with the night's plan for it and what happened lately."""
    env = next(row for row in scene.rows if row.name == name)
    lines = [line(scene, env)]
    if env.commit:
        lines.append(f"commit {env.commit[:12]}, e2e {env.verdict or 'not run'}")
    if env.op_alive(scene.now):
        lines.append(f"at work: {env.op_step} of {env.op_holder}, for {env.op_actor}")
    if env.fault_code:
        lines.append(f"FAULTED: {env.fault_code}: {env.fault_message}")
    if plan := tonight(scene, env):
        lines.append(plan)
    if waiting := scene.waiting_for(name):
        lines.append(f"waiting for it: {', '.join(waiting)}")
    sections = [Section("\n".join(lines), buttons(scene, env))]
    if events:
        sections.append(Section("Lately:\n" + "\n".join(events)))
    return _reply(tuple(sections), environments=[_data(scene, env)])


def mine(scene: Scene) -> Reply:
    """What the reader has, and waits for."""
    own = [env for env in scene.rows if scene.mine(env)]
    sections = [
        Section(f"{line(scene, env)}. {tonight(scene, env)}".rstrip(), buttons(scene, env)) for env in own
    ]
    waits = [each for each in scene.waiters if each.person == scene.me]
    for each in waits:
        what = "any environment" if each.environment == ANY else each.environment
        since = show(each.since, scene.now, scene.zone)
        leave = Button("Wait no longer", f"leave {each.environment}")
        sections.append(Section(f"You wait for {what} since {since}.", (leave,)))
    if not own:
        sections.insert(0, Section("You have no environment.", (Button("Take one", "lock any", "primary"),)))
    return _reply(
        tuple(sections),
        environments=[_data(scene, env) for env in own],
        waiting=[each.environment for each in waits],
    )


def line(scene: Scene, env: Environment) -> str:
    """``dev-03 READY, dana's until 17:40 IST (4 h): load test``."""
    text = f"{env.name} {env.state}"
    if scene.mine(env):
        text += f", yours until {_until(scene, env)}"
    elif env.leased(scene.now):
        text += f", {env.lease_owner}'s until {_until(scene, env)}"
    elif free(scene, env):
        text += ", free"
    if env.leased(scene.now) and env.lease_reason:
        text += f": {env.lease_reason}"
    if env.preserved(scene.night.key) and env.preserve_night:
        text += f"; preserved through the night of {show_date(env.preserve_night)} by {env.preserve_by}"
    count = len(scene.waiting_for(env.name))
    if count:
        text += f"; {count} waiting"
    return text


def tonight(scene: Scene, env: Environment) -> str:
    """What the coming night does with it, and how to keep it from that."""
    decision = scene.decision(env)
    if decision is None or scene.now >= scene.night.evening:
        return ""
    at = show(scene.night.evening, scene.now, scene.zone)
    when = "tonight at" if at[0].isdigit() else "on"
    if decision.teardown:
        return f"It is torn down {when} {at}; say `preserve {env.name} tonight` to keep it."
    if decision.in_place:
        morning = show(scene.night.morning, scene.now, scene.zone)
        return f"It is emptied and rebuilt in place at {morning}."
    if decision.action in (NightAction.PRESERVE, NightAction.KEEP):
        return f"It stays up tonight: {decision.reason}."
    return ""


def buttons(scene: Scene, env: Environment) -> tuple[Button, ...]:
    """What the reader can do with it."""
    if scene.me is None:
        return ()
    if scene.mine(env):
        own = [
            Button("Release", f"release {env.name}", "danger", lease=env.lease_id),
            Button("Extend 2h", f"extend {env.name} for 2h", lease=env.lease_id),
        ]
        return (*own, *preserve_button(scene.night, env, scene.now))
    if env.leased(scene.now):
        waits = scene.me in scene.waiting_for(env.name)
        wait = Button("Wait no longer", f"leave {env.name}") if waits else Button("Wait", f"queue {env.name}")
        return (Button(f"Poke {env.lease_owner}", f"poke {env.name}"), wait)
    if free(scene, env):
        return (Button("Lock 4h", f"lock {env.name} for 4h", "primary"),)
    return ()


def preserve_button(night: Night, env: Environment, now: datetime) -> tuple[Button, ...]:
    """Keep tonight from it; good for that night only, and not once it began."""
    if env.preserved(night.key) or now >= night.evening:
        return ()
    return (Button("Preserve tonight", f"preserve {env.name} tonight", night=night.key),)


def free(scene: Scene, env: Environment) -> bool:
    """Whether it can be had now."""
    return (
        env.role == "dev"
        and env.state in USABLE
        and not env.leased(scene.now)
        and not env.op_alive(scene.now)
    )


def _until(scene: Scene, env: Environment) -> str:
    assert env.lease_until is not None
    return show_both(env.lease_until, scene.now, scene.zone)


def _reply(sections: tuple[Section, ...], **data: Any) -> Reply:
    return Reply("\n".join(section.text for section in sections), sections, data=data)


def _data(scene: Scene, env: Environment) -> dict[str, Any]:
    decision = scene.decision(env)
    lease = None
    if env.leased(scene.now) and env.lease_until is not None:
        lease = {
            "owner": env.lease_owner, "until": env.lease_until.isoformat(), "reason": env.lease_reason or "",
            "left": show_length(env.lease_until - scene.now), "mine": scene.mine(env),
        }  # fmt: skip
    preserved = None
    if env.preserved(scene.night.key) and env.preserve_night is not None:
        preserved = {
            "night": env.preserve_night.isoformat(), "by": env.preserve_by,
            "reason": env.preserve_reason or "",
        }  # fmt: skip
    return {
        "name": env.name, "state": env.state.value, "free": free(scene, env), "commit": env.commit,
        "verdict": env.verdict or "not_run", "lease": lease, "preserved": preserved,
        "waiting": scene.waiting_for(env.name),
        "tonight": {"action": decision.action.value, "reason": decision.reason} if decision else None,
    }  # fmt: skip
