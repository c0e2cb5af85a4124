"""Schedules: off in the evening, and in the morning as they were.

EventBridge rules and EventBridge Scheduler schedules of the environment's own stacks. What they were is
written down once, before the first is switched off, and is never overwritten: else the second night would
remember "disabled" as the original. What a person had switched off stays off.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from botocore.exceptions import ClientError

from daybreak.aws.batches import batches, paginate
from daybreak.deploy.driver import Target
from daybreak.environment import tags
from daybreak.environment.interlocks import PROTECT_TAG
from daybreak.environment.stacks.stack import Stacks

RULE = "AWS::Events::Rule"
BUS = "AWS::Events::EventBus"
SCHEDULE = "AWS::Scheduler::Schedule"
GROUP = "AWS::Scheduler::ScheduleGroup"
_ENABLED = "ENABLED"
_DISABLED = "DISABLED"
#: What ``GetSchedule`` shows but ``UpdateSchedule`` does not take.
_READ_ONLY = frozenset({"Arn", "CreationDate", "LastModificationDate", "ResponseMetadata"})
_RULE_FIELDS = ("Name", "EventBusName", "Description", "ScheduleExpression", "EventPattern", "RoleArn")

Memo = Mapping[str, Any]


class Memos(Protocol):
    """Where it is written down what schedules were like; for one environment."""

    def get(self, identity: str) -> Memo | None:
        """The memo of one schedule; ``None`` when there is none."""

    def put_once(self, identity: str, memo: Memo) -> object:
        """Keep a memo, unless there is one."""

    def clear(self, environment: str) -> None:
        """Forget all memos of an environment."""


@dataclass(frozen=True)
class Report:
    """What changed: identities of schedules, and those that were left alone, with the reason."""

    changed: tuple[str, ...] = ()
    left: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class _Schedule:
    """One rule or schedule as it is now."""

    identity: str
    kind: str
    state: str
    raw: Mapping[str, Any]


def disable(target: Target, stacks: Stacks, memos: Memos) -> Report:
    """Memorise every schedule, then switch off those that are on. Repeatable at any point.

    All are memorised before the first is changed, so that a crash in between forgets nothing.

    :raises Refused: ``wrong_account`` or ``frozen``.
    """
    stacks.interlocks.check(target, destroys=False)
    schedules = list(_schedules(target, stacks))
    for schedule in schedules:
        memos.put_once(schedule.identity, {"kind": schedule.kind, "state": schedule.state})
    changed, left = [], []
    for schedule in schedules:
        if schedule.state == _DISABLED:
            continue
        if _is_protected(target, schedule):
            left.append((schedule.identity, f"it is tagged {PROTECT_TAG}"))
            continue
        _set_state(target, schedule, _DISABLED)
        changed.append(schedule.identity)
    return _reported(target, "switched off", Report(tuple(changed), tuple(left)))


def enable(target: Target, stacks: Stacks, memos: Memos) -> Report:
    """Make every schedule what its memo says, then forget the memos. Repeatable at any point.

    A schedule without a memo is new (this morning's stack made it) and stays as its template says.

    :raises Refused: ``wrong_account`` or ``frozen``.
    """
    stacks.interlocks.check(target, destroys=False)
    changed, left = [], []
    for schedule in _schedules(target, stacks):
        memo = memos.get(schedule.identity)
        if memo is None or memo["state"] == schedule.state:
            continue
        if schedule.state != _DISABLED:
            left.append((schedule.identity, "it was off, and a new template switched it on"))
            continue
        _set_state(target, schedule, memo["state"])
        changed.append(schedule.identity)
    # Only now: a crash before this line finds the memos again.
    memos.clear(target.environment.name)
    return _reported(target, "switched on", Report(tuple(changed), tuple(left)))


def _schedules(target: Target, stacks: Stacks) -> Iterator[_Schedule]:
    inventory = stacks.inventory()
    buses = [tags.last_part(member.physical_id) for member in inventory.of_type(BUS)]
    for member in inventory.of_type(RULE):
        rule = _rule(target, member.physical_id, buses)
        if rule is not None:
            yield _Schedule(rule["Arn"], RULE, rule["State"], rule)
    names = {tags.last_part(member.physical_id) for member in inventory.of_type(SCHEDULE)}
    groups = {tags.last_part(member.physical_id) for member in inventory.of_type(GROUP)}
    if not names and not groups:
        return
    client = target.client("scheduler")
    # A schedule's name is unique only in its group: another environment's group may hold one named as ours.
    for found in paginate(client, "list_schedules", "Schedules"):
        if found["GroupName"] in groups or (found["GroupName"] == "default" and found["Name"] in names):
            try:
                raw = client.get_schedule(Name=found["Name"], GroupName=found["GroupName"])
            except ClientError as error:
                if tags.is_gone(error):
                    continue
                raise
            yield _Schedule(raw["Arn"], SCHEDULE, raw["State"], raw)


def _rule(target: Target, physical_id: str, buses: Sequence[str]) -> Mapping[str, Any] | None:
    """The rule of a stack's member (``rule`` or ``bus|rule``), on its bus; ``None`` when it is gone."""
    bus, _, name = physical_id.rpartition("|")
    client = target.client("events")
    for candidate in [bus] if bus else [*buses, "default"]:
        try:
            found: Mapping[str, Any] = client.describe_rule(Name=tags.last_part(name), EventBusName=candidate)
        except ClientError as error:
            if not tags.is_gone(error):
                raise
        else:
            return found
    return None


def _set_state(target: Target, schedule: _Schedule, state: str) -> None:
    raw = schedule.raw
    if schedule.kind == RULE:
        client = target.client("events")
        if state in {_ENABLED, _DISABLED}:
            # Neither call touches the rule's targets, pattern or tags.
            change = client.disable_rule if state == _DISABLED else client.enable_rule
            change(Name=raw["Name"], EventBusName=raw["EventBusName"])
        else:  # ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS has no call of its own
            fields = {key: raw[key] for key in _RULE_FIELDS if key in raw}
            client.put_rule(**fields, State=state)
        return
    # UpdateSchedule resets every field that is left out: everything is put back as it was read.
    everything = {key: value for key, value in raw.items() if key not in _READ_ONLY}
    target.client("scheduler").update_schedule(**{**everything, "State": state})


def _is_protected(target: Target, schedule: _Schedule) -> bool:
    if schedule.kind != RULE:
        return False  # schedules have no tags of their own, only their groups have
    found = target.client("events").list_tags_for_resource(ResourceARN=schedule.identity)["Tags"]
    return any(tag["Key"] == PROTECT_TAG for tag in found)


def _reported(target: Target, verb: str, report: Report) -> Report:
    for batch in batches(report.changed, 20):
        target.log(f"{target.environment.name}: {verb}: {', '.join(batch)}")
    for identity, reason in report.left:
        target.log(f"{target.environment.name}: {identity} is left as it is: {reason}")
    return report
