"""Schedules go off in the evening and come back in the morning as they were, whatever happens between."""

from __future__ import annotations

from typing import Any

import pytest

from daybreak.environment import schedules
from daybreak.environment.stacks.stack import Stacks
from daybreak.errors import LostOp, Refused
from tests.fixtures.cloud import Cloud, queue, template

pytestmark = pytest.mark.aws


class Memory:
    """Memos in a dictionary; the registry's table keeps the same promises."""

    def __init__(self) -> None:
        self.memos: dict[str, schedules.Memo] = {}

    def get(self, identity: str) -> schedules.Memo | None:
        return self.memos.get(identity)

    def put_once(self, identity: str, memo: schedules.Memo) -> None:
        self.memos.setdefault(identity, memo)

    def clear(self, environment: str) -> None:
        self.memos.clear()


def rule(name: str, state: str = "ENABLED") -> dict[str, Any]:
    properties = {"Name": name, "ScheduleExpression": "rate(1 hour)", "State": state}
    return {"Type": "AWS::Events::Rule", "Properties": properties}


def schedule(name: str, **more: Any) -> dict[str, Any]:
    properties = {
        "Name": name,
        "ScheduleExpression": "cron(0 3 * * ? *)",
        "ScheduleExpressionTimezone": "Asia/Jerusalem",
        "Description": "nightly import",
        "FlexibleTimeWindow": {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 15},
        "Target": {
            "Arn": {"Fn::GetAtt": ["Work", "Arn"]},
            "RoleArn": "arn:aws:iam::111122223333:role/import",
            "Input": '{"day": 1}',
            "RetryPolicy": {"MaximumRetryAttempts": 3, "MaximumEventAgeInSeconds": 600},
        },
        **more,
    }
    return {"Type": "AWS::Scheduler::Schedule", "Properties": properties}


RESOURCES = {
    "Work": queue("dev-1-work"),
    "Tick": rule("dev-1-tick"),
    "Off": rule("dev-1-off", "DISABLED"),
    "Import": schedule("dev-1-import"),
}


def states(cloud: Cloud) -> dict[str, str]:
    rules = {each["Name"]: each["State"] for each in cloud.client("events").list_rules()["Rules"]}
    listed = cloud.client("scheduler").list_schedules()["Schedules"]
    return {**rules, **{each["Name"]: each["State"] for each in listed}}


def disable(cloud: Cloud, stacks: Stacks, memory: Memory) -> schedules.Report:
    return schedules.disable(stacks.target, stacks, memory)


def enable(cloud: Cloud, stacks: Stacks, memory: Memory) -> schedules.Report:
    return schedules.enable(stacks.target, stacks, memory)


def test_a_night_puts_back_what_was_and_a_person_s_no_stays(cloud: Cloud) -> None:
    stacks, memory = cloud.make(RESOURCES), Memory()
    before = states(cloud)
    assert before == {"dev-1-tick": "ENABLED", "dev-1-off": "DISABLED", "dev-1-import": "ENABLED"}
    off = disable(cloud, stacks, memory)
    assert set(states(cloud).values()) == {"DISABLED"}
    assert sorted(identity.rsplit("/", 1)[-1] for identity in off.changed) == ["dev-1-import", "dev-1-tick"]
    enable(cloud, stacks, memory)
    assert states(cloud) == before
    assert memory.memos == {}


def test_a_second_night_does_not_remember_disabled_as_the_original(cloud: Cloud) -> None:
    stacks, memory = cloud.make(RESOURCES), Memory()
    before = states(cloud)
    disable(cloud, stacks, memory)
    again = disable(cloud, stacks, memory)
    assert again.changed == ()
    enable(cloud, stacks, memory)
    assert states(cloud) == before


def test_updating_a_schedule_keeps_every_field(cloud: Cloud) -> None:
    stacks, memory = cloud.make(RESOURCES), Memory()

    def everything() -> dict[str, Any]:
        found = cloud.client("scheduler").get_schedule(Name="dev-1-import")
        return {key: value for key, value in found.items() if key not in {
            "ResponseMetadata", "LastModificationDate"}}  # fmt: skip

    before = everything()
    assert before["Target"]["RetryPolicy"]["MaximumRetryAttempts"] == 3
    disable(cloud, stacks, memory)
    assert everything() == {**before, "State": "DISABLED"}
    enable(cloud, stacks, memory)
    assert everything() == before


def test_a_crash_between_two_schedules_forgets_nothing(cloud: Cloud) -> None:
    stacks, memory = cloud.make(RESOURCES), Memory()
    before = states(cloud)
    passes = iter([None])

    def once() -> None:
        if next(passes, "no more") == "no more":
            raise LostOp("killed")

    object.__setattr__(stacks.target, "guard", once)
    with pytest.raises(LostOp):
        disable(cloud, stacks, memory)
    assert sorted(states(cloud).values()) == ["DISABLED", "DISABLED", "ENABLED"]
    object.__setattr__(stacks.target, "guard", cloud.guard)
    disable(cloud, stacks, memory)
    assert set(states(cloud).values()) == {"DISABLED"}
    enable(cloud, stacks, memory)
    assert states(cloud) == before


def test_schedules_of_others_are_untouched(cloud: Cloud) -> None:
    cloud.make({"Work": queue("dev-10-work"), "Tick": rule("dev-10-tick")}, name="dev-10", nonce="n10")
    scheduler, events = cloud.client("scheduler"), cloud.client("events")
    events.put_rule(Name="dev-1-tick-by-hand", ScheduleExpression="rate(1 day)")
    scheduler.create_schedule_group(Name="others")
    target = {"Arn": "arn:aws:sqs:us-east-1:111122223333:q", "RoleArn": "arn:aws:iam::111122223333:role/r"}
    scheduler.create_schedule(
        Name="dev-1-import", GroupName="others", ScheduleExpression="rate(1 day)", Target=target,
        FlexibleTimeWindow={"Mode": "OFF"},
    )  # fmt: skip
    stacks = cloud.make(RESOURCES)
    report = disable(cloud, stacks, Memory())
    assert sorted(identity.rsplit("/", 1)[-1] for identity in report.changed) == [
        "dev-1-import",
        "dev-1-tick",
    ]
    assert states(cloud)["dev-10-tick"] == states(cloud)["dev-1-tick-by-hand"] == "ENABLED"
    assert scheduler.get_schedule(Name="dev-1-import", GroupName="others")["State"] == "ENABLED"


def test_rules_on_a_bus_and_schedules_in_a_group_of_the_stack_are_found(cloud: Cloud) -> None:
    on_bus = {
        "Type": "AWS::Events::Rule",
        "Properties": {
            "Name": "dev-1-cars",
            "EventBusName": {"Ref": "Bus"},
            "EventPattern": {"source": ["car"]},
        },
    }
    stacks = cloud.make({
        "Work": queue("dev-1-work"),
        "Bus": {"Type": "AWS::Events::EventBus", "Properties": {"Name": "dev-1-bus"}},
        "Group": {"Type": "AWS::Scheduler::ScheduleGroup", "Properties": {"Name": "dev-1-group"}},
        "OnBus": on_bus,
        "InGroup": schedule("daily", GroupName={"Ref": "Group"}),
    })  # fmt: skip
    memory = Memory()
    events, scheduler = cloud.client("events"), cloud.client("scheduler")
    assert len(disable(cloud, stacks, memory).changed) == 2
    assert events.describe_rule(Name="dev-1-cars", EventBusName="dev-1-bus")["State"] == "DISABLED"
    assert scheduler.get_schedule(Name="daily", GroupName="dev-1-group")["State"] == "DISABLED"
    assert len(enable(cloud, stacks, memory).changed) == 2
    assert events.describe_rule(Name="dev-1-cars", EventBusName="dev-1-bus")["State"] == "ENABLED"


def test_a_protected_rule_keeps_ticking(cloud: Cloud) -> None:
    stacks = cloud.make(RESOURCES)
    arn = cloud.client("events").describe_rule(Name="dev-1-tick")["Arn"]
    cloud.client("events").tag_resource(ResourceARN=arn, Tags=[{"Key": "daybreak:protect", "Value": "yes"}])
    report = disable(cloud, stacks, Memory())
    assert [identity for identity, _ in report.left] == [arn]
    assert states(cloud)["dev-1-tick"] == "ENABLED"


def test_a_rule_that_main_added_in_the_night_stays_as_its_template_says(cloud: Cloud) -> None:
    stacks, memory = cloud.make(RESOURCES), Memory()
    disable(cloud, stacks, memory)
    stacks.ensure(
        "base", template({**RESOURCES, "New": rule("dev-1-new"), "Mute": rule("dev-1-mute", "DISABLED")})
    )
    enable(cloud, stacks, memory)
    assert states(cloud)["dev-1-new"] == "ENABLED"
    assert states(cloud)["dev-1-mute"] == "DISABLED"


def test_interlocks_stand_before_it(cloud: Cloud) -> None:
    stacks, memory = cloud.make(RESOURCES), Memory()
    cloud.switches.frozen = True
    with pytest.raises(Refused):
        disable(cloud, stacks, memory)
    assert cloud.mutations == []
    assert memory.memos == {}
