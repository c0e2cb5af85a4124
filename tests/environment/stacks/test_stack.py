"""Stacks come to be what their template says, from whatever state CloudFormation left them in."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest

from daybreak.environment.interlocks import Code
from daybreak.environment.stacks import template as templates
from daybreak.environment.stacks.formation import Formation, StackFailed
from daybreak.environment.stacks.stack import Change
from daybreak.errors import LostOp, Refused, UsageError
from tests.fixtures.cloud import Cloud, bucket, queue, table, template

pytestmark = pytest.mark.aws


def status(cloud: Cloud, name: str) -> str | None:
    stacks = cloud.client("cloudformation").describe_stacks()["Stacks"]
    return next((stack["StackStatus"] for stack in stacks if stack["StackName"] == name), None)


def tables(cloud: Cloud) -> list[str]:
    names: list[str] = cloud.client("dynamodb").list_tables()["TableNames"]
    return sorted(names)


def taken_bucket(cloud: Cloud) -> str:
    """A bucket name that somebody else in the world has: a stack with it fails, as on AWS."""
    name = cloud.bucket_name("taken")
    cloud.session("424242424242").client("s3", endpoint_url=cloud.endpoint_url).create_bucket(Bucket=name)
    return name


def raw_stack(cloud: Cloud, name: str, resources: dict[str, Any], tags: dict[str, str]) -> None:
    client = cloud.client("cloudformation")
    client.create_stack(
        StackName=name,
        TemplateBody=json.dumps({"Resources": resources}),
        Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
    )
    waiting = cloud.stacks(cloud.target())
    waiting.formation.settled(name)


def test_a_new_stack_is_made_with_our_tags_and_parameters(cloud: Cloud) -> None:
    stacks = cloud.stacks(cloud.target(parameters={"Size": "small", "NotDeclared": "x"}))
    body = template(
        {"Cars": table("dev-1-cars")},
        Outputs={
            "Who": {"Value": {"Fn::Sub": "${Environment}/${Nonce}/${Size}"}},
        },
    )
    body = json.dumps({**json.loads(body), "Parameters": {name: {"Type": "String"} for name in (
        "Environment", "Nonce", "Size")}})  # fmt: skip
    assert stacks.ensure("base", body) == Change.CREATED
    assert stacks.facts() == {"Cars": "dev-1-cars", "Who": "dev-1/n1/small"}
    found = cloud.client("cloudformation").describe_stacks(StackName="dev-1-base")["Stacks"][0]
    assert {tag["Key"]: tag["Value"] for tag in found["Tags"]} == {
        "daybreak:env": "dev-1", "daybreak:nonce": "n1",
    }  # fmt: skip


def test_the_same_again_changes_nothing(cloud: Cloud) -> None:
    stacks = cloud.make({"Cars": table("dev-1-cars")})
    assert stacks.ensure("base", template({"Cars": table("dev-1-cars")})) == Change.UNCHANGED


def test_an_update_deletes_what_main_no_longer_has(cloud: Cloud) -> None:
    stacks = cloud.make({"Cars": table("dev-1-cars"), "Old": table("dev-1-old"), "Q": queue("dev-1-q")})
    assert tables(cloud) == ["dev-1-cars", "dev-1-old"]
    assert (
        stacks.ensure("base", template({"Cars": table("dev-1-cars"), "New": table("dev-1-new")}))
        == Change.UPDATED
    )
    assert tables(cloud) == ["dev-1-cars", "dev-1-new"]
    assert "QueueUrls" not in {
        key for key, value in cloud.client("sqs").list_queues().items() if value and key == "QueueUrls"
    }
    assert sorted(stacks.facts()) == ["Cars", "New"]


def test_a_new_nonce_reaches_every_resource(cloud: Cloud) -> None:
    cloud.make({"Cars": table("dev-1-cars")})
    rotated = cloud.stacks(cloud.target(nonce="n2"), nonces=["n1"])
    assert rotated.ensure("base", template({"Cars": table("dev-1-cars")})) == Change.UPDATED
    client = cloud.client("dynamodb")
    arn = client.describe_table(TableName="dev-1-cars")["Table"]["TableArn"]
    tags = {tag["Key"]: tag["Value"] for tag in client.list_tags_of_resource(ResourceArn=arn)["Tags"]}
    assert tags["daybreak:nonce"] == "n2"


def test_an_old_nonce_is_accepted_only_while_the_caller_says_so(cloud: Cloud) -> None:
    cloud.make({"Cars": table("dev-1-cars")})
    with pytest.raises(Refused) as caught:
        cloud.stacks(cloud.target(nonce="n2")).ensure("base", template({"Cars": table("dev-1-x")}))
    assert caught.value.code == Code.OTHER_NONCE
    assert cloud.mutations == []


def test_a_creation_that_fails_says_which_resource_and_why(cloud: Cloud) -> None:
    stacks = cloud.stacks(cloud.target())
    with pytest.raises(
        StackFailed, match=r"dev-1-base is ROLLBACK_COMPLETE: Lake \(AWS::S3::Bucket\): .*exist"
    ):
        stacks.ensure("base", template({"Lake": bucket(taken_bucket(cloud)), "Cars": table("dev-1-cars")}))
    assert status(cloud, "dev-1-base") == "ROLLBACK_COMPLETE"


def test_a_stillborn_stack_is_deleted_and_made_anew(cloud: Cloud) -> None:
    stacks = cloud.stacks(cloud.target())
    with pytest.raises(StackFailed):
        stacks.ensure("base", template({"Lake": bucket(taken_bucket(cloud))}))
    assert stacks.ensure("base", template({"Cars": table("dev-1-cars")})) == Change.CREATED
    assert status(cloud, "dev-1-base") == "CREATE_COMPLETE"


def test_an_update_that_fails_is_rolled_back_and_the_next_one_goes_on(cloud: Cloud) -> None:
    stacks = cloud.make({"Cars": table("dev-1-cars")})
    with pytest.raises(StackFailed, match="Lake"):
        stacks.ensure("base", template({"Cars": table("dev-1-cars"), "Lake": bucket(taken_bucket(cloud))}))
    assert status(cloud, "dev-1-base") == "UPDATE_ROLLBACK_COMPLETE"
    assert tables(cloud) == ["dev-1-cars"]
    assert (
        stacks.ensure("base", template({"Cars": table("dev-1-cars"), "X": table("dev-1-x")}))
        == Change.UPDATED
    )


def test_the_shell_of_a_forgotten_change_set_is_replaced(cloud: Cloud) -> None:
    cloud.client("cloudformation").create_change_set(
        StackName="dev-1-base", ChangeSetName="c", ChangeSetType="CREATE",
        TemplateBody=json.dumps({"Resources": {"Cars": table("dev-1-cars")}}),
        Tags=[{"Key": "daybreak:env", "Value": "dev-1"}, {"Key": "daybreak:nonce", "Value": "n1"}],
    )  # fmt: skip
    assert status(cloud, "dev-1-base") == "REVIEW_IN_PROGRESS"
    stacks = cloud.stacks(cloud.target())
    assert stacks.ensure("base", template({"Cars": table("dev-1-cars")})) == Change.CREATED


@pytest.mark.parametrize(
    ("tags", "code"),
    [
        ({}, Code.UNTAGGED),
        ({"daybreak:env": "dev-10", "daybreak:nonce": "n1"}, Code.OTHER_ENVIRONMENT),
        ({"daybreak:env": "dev-1", "daybreak:nonce": "n0"}, Code.OTHER_NONCE),
        ({"daybreak:env": "dev-1", "daybreak:nonce": "n1", "daybreak:protect": "no"}, Code.PROTECTED),
    ],
)
@pytest.mark.parametrize("verb", ["ensure", "delete"])
def test_a_stack_that_is_not_ours_is_neither_changed_nor_deleted(
    cloud: Cloud, tags: dict[str, str], code: Code, verb: str
) -> None:
    raw_stack(cloud, "dev-1-ephemeral", {"Cars": table("dev-1-cars")}, tags)
    stacks = cloud.stacks(cloud.target())
    cloud.calls.clear()
    ensure = partial(stacks.ensure, "ephemeral", template({"X": table("dev-1-x")}))
    with pytest.raises(Refused) as caught:
        (ensure if verb == "ensure" else partial(stacks.delete, "ephemeral"))()
    assert caught.value.code == code
    assert cloud.mutations == []
    assert tables(cloud) == ["dev-1-cars"]
    assert [name for name, _ in stacks.inventory().foreign] == ["dev-1-ephemeral"]
    assert stacks.inventory().members == ()


def test_deleting_takes_the_stack_and_empties_its_buckets(cloud: Cloud) -> None:
    lake = cloud.bucket_name("lake")
    stacks = cloud.make({"Lake": bucket(lake, versioned=True), "Cars": table("dev-1-cars")}, kind="ephemeral")
    cloud.client("s3").put_object(Bucket=lake, Key="a", Body=b"1")
    cloud.client("s3").put_object(Bucket=lake, Key="a", Body=b"2")
    assert stacks.delete("ephemeral").retained == ()
    assert status(cloud, "dev-1-ephemeral") is None
    assert tables(cloud) == []
    assert lake not in [each["Name"] for each in cloud.client("s3").list_buckets()["Buckets"]]


def test_a_bucket_that_is_to_be_retained_keeps_its_objects(cloud: Cloud) -> None:
    lake = cloud.bucket_name("keep")
    stacks = cloud.make(
        {"Lake": bucket(lake, DeletionPolicy="Retain"), "C": table("dev-1-c")}, kind="ephemeral"
    )
    cloud.client("s3").put_object(Bucket=lake, Key="a", Body=b"1")
    stacks.delete("ephemeral")
    assert cloud.client("s3").get_object(Bucket=lake, Key="a")["Body"].read() == b"1"


def test_deleting_what_is_not_there_is_success(cloud: Cloud) -> None:
    assert not cloud.stacks(cloud.target()).delete("ephemeral").existed
    assert cloud.mutations == []


def test_a_twin_by_prefix_is_untouched(cloud: Cloud) -> None:
    twin = cloud.make({"Cars": table("dev-10-cars")}, name="dev-10", nonce="n10", kind="ephemeral")
    ours = cloud.make({"Cars": table("dev-1-cars")}, kind="ephemeral")
    ours.delete("ephemeral")
    assert tables(cloud) == ["dev-10-cars"]
    assert twin.facts() == {"Cars": "dev-10-cars"}


@pytest.mark.parametrize("verb", ["delete", "update"])
def test_a_protected_resource_keeps_its_stack_from_deleting_it(cloud: Cloud, verb: str) -> None:
    stacks = cloud.make({"Cars": table("dev-1-cars"), "Q": queue("dev-1-q")}, kind="ephemeral")
    client = cloud.client("dynamodb")
    arn = client.describe_table(TableName="dev-1-cars")["Table"]["TableArn"]
    client.tag_resource(ResourceArn=arn, Tags=[{"Key": "daybreak:protect", "Value": "true"}])
    without = partial(stacks.ensure, "ephemeral", template({"Q": queue("dev-1-q")}))
    with pytest.raises(Refused, match="dev-1-cars") as caught:
        (without if verb == "update" else partial(stacks.delete, "ephemeral"))()
    assert caught.value.code == Code.PROTECTED
    assert cloud.mutations == []
    assert tables(cloud) == ["dev-1-cars"]


@pytest.mark.parametrize(("switch", "code"), [("armed", Code.NOT_ARMED), ("frozen", Code.FROZEN)])
def test_interlocks_stand_before_deletion(cloud: Cloud, switch: str, code: Code) -> None:
    stacks = cloud.make({"Cars": table("dev-1-cars")}, kind="ephemeral")
    setattr(cloud.switches, switch, switch == "frozen")
    with pytest.raises(Refused) as caught:
        stacks.delete("ephemeral")
    assert (caught.value.code, cloud.mutations) == (code, [])


def test_a_lost_op_changes_nothing(cloud: Cloud) -> None:
    stacks = cloud.make({"Cars": table("dev-1-cars")}, kind="ephemeral")
    cloud.switches.lost = LostOp("another try runs")
    with pytest.raises(LostOp):
        stacks.delete("ephemeral")
    assert cloud.mutations == []


def test_facts_of_both_stacks_are_one_and_must_not_contradict(cloud: Cloud) -> None:
    stacks = cloud.make({"Cars": table("dev-1-cars")})
    stacks.ensure("ephemeral", template({"Trips": table("dev-1-trips")}))
    assert stacks.facts() == {"Cars": "dev-1-cars", "Trips": "dev-1-trips"}
    stacks.ensure("ephemeral", template({"Cars": table("dev-1-other")}))
    with pytest.raises(UsageError, match="both stacks have 'Cars'"):
        stacks.facts()


def test_waiting_ends(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    now = iter(range(0, 1000, 10))
    stacks = cloud.stacks(
        cloud.target(), poll=5, timeout=30, sleep=slept.append, clock=lambda: float(next(now))
    )
    slow = {"StackName": "dev-1-base", "StackStatus": "UPDATE_IN_PROGRESS"}
    monkeypatch.setattr(Formation, "stacks", lambda _self: {"dev-1-base": slow})
    with pytest.raises(StackFailed, match="still UPDATE_IN_PROGRESS after 30 s"):
        stacks.formation.settled("dev-1-base")
    assert slept == [0.25, 0.5]


def test_each_look_is_one_call_whatever_the_number_of_stacks(cloud: Cloud) -> None:
    for number in range(3):
        cloud.make({"Q": queue(f"q-{number}")}, name=f"env-{number}")
    stacks = cloud.make({"Cars": table("dev-1-cars")})
    stacks.formation.settled("dev-1-base")
    assert [call.operation for call in cloud.calls] == ["DescribeStacks"]


def test_templates_are_read_without_a_call() -> None:
    read = templates.read(
        "Parameters: {Environment: {Type: String}}\n"
        "Resources:\n"
        "  A: {Type: AWS::S3::Bucket, DeletionPolicy: Retain}\n"
        "  B:\n"
        "    Type: AWS::SQS::Queue\n"
        "    Properties: {QueueName: !Sub 'q-${Environment}', X: !GetAtt [A, Arn]}\n"
    )
    assert (read.parameters, read.resources, read.retained) == ({"Environment"}, {"A", "B"}, {"A"})
    assert read.named == {"B"}


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("a: [", "not YAML"),
        ("just text", "no `Resources`"),
        ("Resources: {}", "no `Resources`"),
        ("Resources: {A: {Type: T}}\n#" + "x" * 60_000, "CloudFormation takes 51200"),
    ],
)
def test_what_is_no_template_is_refused_before_any_call(body: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        templates.read(body, "base.yaml")


def fail(cloud: Cloud, operation: str, logical_id: str, times: int | None = None) -> None:
    cloud.emulator.inject(
        "stack_failure", "cloudformation", account=cloud.account, operation=operation, logical_id=logical_id,
        times=times, reason=f"{logical_id} is broken",
    )  # fmt: skip


def test_what_cannot_be_deleted_at_first_is_deleted_on_the_next_try(cloud: Cloud) -> None:
    stacks = cloud.make({"Cars": table("dev-1-cars"), "Q": queue("dev-1-q")}, kind="ephemeral")
    fail(cloud, "delete", "Cars", times=1)
    assert stacks.delete("ephemeral").retained == ()
    assert status(cloud, "dev-1-ephemeral") is None
    assert tables(cloud) == []


def test_what_can_never_be_deleted_is_left_behind_and_reported_unless_it_has_a_name(cloud: Cloud) -> None:
    worker = {"Type": "AWS::EC2::Instance", "Properties": {"ImageId": "ami-12345678"}}
    stacks = cloud.make({"Worker": worker, "Q": queue("dev-1-q")}, kind="ephemeral")
    fail(cloud, "delete", "Worker")
    assert stacks.delete("ephemeral").retained == ("Worker",)
    assert status(cloud, "dev-1-ephemeral") is None
    assert any("left Worker" in line for line in cloud.log)

    stacks = cloud.make({"Cars": table("dev-1-cars"), "Worker": worker}, kind="ephemeral")
    fail(cloud, "delete", "Cars")
    with pytest.raises(StackFailed, match="Cars is broken"):
        stacks.delete("ephemeral")
    # Left behind, the table would be in the way of every stack to come.
    assert [member.logical_id for member in stacks.inventory().members] == ["Cars", "Worker"]
    cloud.emulator.clear_faults(cloud.account)
    assert stacks.delete("ephemeral").retained == ()
    assert tables(cloud) == []


def test_a_stack_that_failed_to_go_yesterday_goes_today(cloud: Cloud) -> None:
    stacks = cloud.make({"Cars": table("dev-1-cars")}, kind="ephemeral")
    fail(cloud, "delete", "Cars", times=1)
    cloud.client("cloudformation").delete_stack(StackName="dev-1-ephemeral")
    stacks.formation.settled("dev-1-ephemeral")
    assert status(cloud, "dev-1-ephemeral") == "DELETE_FAILED"
    stacks.delete("ephemeral")
    assert status(cloud, "dev-1-ephemeral") is None
    assert tables(cloud) == []


def test_a_stack_that_failed_to_go_is_made_anew(cloud: Cloud) -> None:
    stacks = cloud.make({"Cars": table("dev-1-cars")}, kind="ephemeral")
    fail(cloud, "delete", "Cars", times=1)
    cloud.client("cloudformation").delete_stack(StackName="dev-1-ephemeral")
    stacks.formation.settled("dev-1-ephemeral")
    assert stacks.ensure("ephemeral", template({"Cars": table("dev-1-cars")})) == Change.CREATED


@pytest.mark.parametrize("rollbacks_that_fail", [1, 2])
def test_a_rollback_that_got_stuck_is_continued(cloud: Cloud, rollbacks_that_fail: int) -> None:
    def changed(period: str) -> dict[str, Any]:
        made = queue("dev-1-q")
        made["Properties"]["MessageRetentionPeriod"] = period
        return made

    stacks = cloud.make({"Q": changed("600")})
    fail(cloud, "create", "New", times=1)
    cloud.emulator.inject(
        "stack_failure", "cloudformation", account=cloud.account, operation="update", logical_id="Q",
        skip=1, times=rollbacks_that_fail,
    )  # fmt: skip
    later = {"Q": changed("700"), "New": {**table("dev-1-new"), "DependsOn": "Q"}}
    with pytest.raises(StackFailed, match="New is broken"):
        stacks.ensure("base", template(later))
    assert status(cloud, "dev-1-base") == "UPDATE_ROLLBACK_FAILED"
    assert stacks.ensure("base", template(later)) == Change.UPDATED
    assert tables(cloud) == ["dev-1-new"]


def test_a_second_try_waits_for_what_the_first_began(cloud: Cloud) -> None:
    cloud.emulator.inject(
        "stack_duration", "cloudformation", account=cloud.account, stack="dev-1-base", seconds=0.3
    )
    stacks = cloud.stacks(cloud.target())
    request = stacks._request("dev-1-base", templates.read(template({"Q": queue("dev-1-q")})), {}, {})
    cloud.client("cloudformation").create_stack(**request)  # and is killed
    assert status(cloud, "dev-1-base") == "CREATE_IN_PROGRESS"
    assert stacks.ensure("base", template({"Q": queue("dev-1-q")})) == Change.UNCHANGED


def test_throttling_is_waited_for(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daybreak.aws.retry.random.uniform", lambda _low, _high: 0.0)
    cloud.emulator.inject("throttle", "cloudformation", account=cloud.account, times=4)
    stacks = cloud.stacks(cloud.target())
    assert stacks.ensure("base", template({"Cars": table("dev-1-cars")})) == Change.CREATED
    assert [call.error for call in cloud.calls].count("Throttling") == 4
