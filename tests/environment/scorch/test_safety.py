"""Every interlock of a scorch: its own code, and not one mutating call."""

from __future__ import annotations

from typing import Any

import pytest

from daybreak.environment import tags
from daybreak.environment.interlocks import Code
from daybreak.environment.scorch import Item, Kind, ScorchFailed, ScorchPlan, execute_scorch, plan_scorch
from daybreak.environment.stacks.stack import Stacks
from daybreak.errors import LostOp, Refused
from tests.environment.scorch.conftest import Execute, Plan
from tests.fixtures.cloud import Cloud, bucket, glue_database, log_group, queue, table, template

pytestmark = pytest.mark.aws


def everything(cloud: Cloud, name: str = "dev-1") -> dict[str, Any]:
    """One of each kind."""
    return {
        "Cars": table(f"{name}-cars"),
        "Lake": bucket(cloud.bucket_name(f"{name}-lake"), versioned=True),
        "Work": queue(f"{name}-work"),
        "Log": log_group(f"/acme/{name}"),
        "Metastore": glue_database(f"{name}_lake"),
    }


def fill(cloud: Cloud, name: str = "dev-1") -> None:
    cloud.client("dynamodb").put_item(TableName=f"{name}-cars", Item={"id": {"S": "1"}})
    cloud.client("s3").put_object(Bucket=cloud.bucket_name(f"{name}-lake"), Key="a", Body=b"1")
    sqs = cloud.client("sqs")
    sqs.send_message(QueueUrl=sqs.get_queue_url(QueueName=f"{name}-work")["QueueUrl"], MessageBody="m")
    cloud.client("logs").create_log_stream(logGroupName=f"/acme/{name}", logStreamName="s")
    cloud.client("glue").create_table(DatabaseName=f"{name}_lake", TableInput={"Name": "trips"})


def contents(cloud: Cloud, name: str = "dev-1") -> dict[str, int]:
    sqs = cloud.client("sqs")
    url = sqs.get_queue_url(QueueName=f"{name}-work")["QueueUrl"]
    count = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
    versions = cloud.client("s3").list_object_versions(Bucket=cloud.bucket_name(f"{name}-lake"))
    return {
        "dynamodb": cloud.client("dynamodb").scan(TableName=f"{name}-cars")["Count"],
        "s3": len(versions.get("Versions", [])),
        "sqs": int(count["Attributes"]["ApproximateNumberOfMessages"]),
        "logs": len(cloud.client("logs").describe_log_streams(logGroupName=f"/acme/{name}")["logStreams"]),
        "glue": len(cloud.client("glue").get_tables(DatabaseName=f"{name}_lake")["TableList"]),
    }


FULL = {"dynamodb": 1, "s3": 1, "sqs": 1, "logs": 1, "glue": 1}
EMPTY = dict.fromkeys(FULL, 0)


@pytest.fixture
def stacks(cloud: Cloud) -> Stacks:
    made = cloud.make(everything(cloud))
    fill(cloud)
    return made


def refused(cloud: Cloud, code: Code, execute: Execute, plan: ScorchPlan, stacks: Stacks, **more: Any) -> str:
    cloud.calls.clear()
    before = cloud.seen()
    with pytest.raises(Refused) as caught:
        execute(plan, stacks, **more)
    assert caught.value.code == code
    assert cloud.mutations == []
    assert cloud.seen() == before
    assert contents(cloud) == FULL
    return str(caught.value)


def test_every_declared_store_is_emptied(cloud: Cloud, stacks: Stacks, scorch: Execute) -> None:
    result = scorch(stacks)
    assert contents(cloud) == EMPTY
    assert dict(result.deleted) == FULL
    assert result.skipped == ()


def test_planning_changes_nothing(cloud: Cloud, stacks: Stacks, plan: Plan) -> None:
    made = plan(stacks)
    assert sorted(item.kind for item in made.items) == sorted(FULL)
    assert cloud.mutations == []


def test_planning_twice_gives_the_same_digest(stacks: Stacks, plan: Plan) -> None:
    assert plan(stacks).digest == plan(stacks).digest


def test_executing_twice_is_the_same_as_once(
    cloud: Cloud, stacks: Stacks, plan: Plan, execute: Execute
) -> None:
    made = plan(stacks)
    execute(made, stacks)
    execute(made, stacks)
    assert contents(cloud) == EMPTY


def test_a_clean_environment_s_plan_makes_it_no_dirtier(
    cloud: Cloud, stacks: Stacks, scorch: Execute
) -> None:
    scorch(stacks)
    scorch(stacks)
    assert contents(cloud) == EMPTY


def test_wrong_account(cloud: Cloud, stacks: Stacks, plan: Plan, execute: Execute) -> None:
    made = plan(stacks)
    elsewhere = cloud.stacks(cloud.target(credentials="999988887777"))
    refused(cloud, Code.WRONG_ACCOUNT, execute, made, elsewhere)
    with pytest.raises(Refused) as caught:
        plan(elsewhere)
    assert caught.value.code == Code.WRONG_ACCOUNT


def test_not_armed(cloud: Cloud, stacks: Stacks, plan: Plan, execute: Execute) -> None:
    cloud.switches.armed = False
    made = plan(stacks)  # a plan may always be made: it is what an admin looks at before arming
    refused(cloud, Code.NOT_ARMED, execute, made, stacks)


def test_frozen(cloud: Cloud, stacks: Stacks, plan: Plan, execute: Execute) -> None:
    made = plan(stacks)
    cloud.switches.frozen = True
    refused(cloud, Code.FROZEN, execute, made, stacks)


def test_freezing_in_the_middle_stops_before_the_next_thing(
    cloud: Cloud, stacks: Stacks, plan: Plan, execute: Execute, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = plan(stacks)

    def freeze(line: str) -> None:
        cloud.switches.frozen = "glue" in line

    object.__setattr__(stacks.target, "log", freeze)
    with pytest.raises(Refused) as caught:
        execute(made, stacks)
    assert caught.value.code == Code.FROZEN
    assert contents(cloud) == {**FULL, "dynamodb": 0, "glue": 0}


def test_a_lost_op_stops_before_the_first_mutation(
    cloud: Cloud, stacks: Stacks, plan: Plan, execute: Execute
) -> None:
    made = plan(stacks)
    cloud.switches.lost = LostOp("another try took over")
    with pytest.raises(LostOp):
        execute(made, stacks)
    assert cloud.mutations == []


def test_a_plan_over_the_cap(cloud: Cloud, stacks: Stacks, plan: Plan, execute: Execute) -> None:
    made = plan(stacks, cap=4)
    assert len(made.items) == 5  # people see all of it
    message = refused(cloud, Code.PLAN_TOO_LARGE, execute, made, stacks)
    assert made.digest in message


def test_a_plan_over_the_usual_size(cloud: Cloud, stacks: Stacks, plan: Plan, execute: Execute) -> None:
    refused(cloud, Code.PLAN_TOO_LARGE, execute, plan(stacks, median=3), stacks)
    assert plan(stacks, median=4).refusals == ()


def test_a_person_may_confirm_exactly_the_plan_that_they_saw(
    cloud: Cloud, stacks: Stacks, plan: Plan, execute: Execute
) -> None:
    made = plan(stacks, cap=4)
    refused(cloud, Code.PLAN_TOO_LARGE, execute, made, stacks, confirmed="another digest")
    execute(made, stacks, confirmed=made.digest)
    assert contents(cloud) == EMPTY


def test_a_plan_of_an_earlier_provisioning_is_stale(
    cloud: Cloud, stacks: Stacks, plan: Plan, execute: Execute
) -> None:
    made = plan(stacks)
    tomorrow = cloud.stacks(cloud.target(nonce="n2"))
    tomorrow.nonces = frozenset({"n2"})
    refused(cloud, Code.PLAN_STALE, execute, made, tomorrow)


def test_a_plan_of_another_environment_is_stale(
    cloud: Cloud, stacks: Stacks, plan: Plan, execute: Execute
) -> None:
    other = cloud.make(everything(cloud, "dev-10"), name="dev-10")
    refused(cloud, Code.PLAN_STALE, execute, plan(stacks), other)


def test_a_twin_by_prefix_is_neither_planned_nor_touched(
    cloud: Cloud, stacks: Stacks, plan: Plan, execute: Execute
) -> None:
    cloud.make(everything(cloud, "dev-10"), name="dev-10", nonce="n10")
    fill(cloud, "dev-10")
    made = plan(stacks)
    assert not [item.identifier for item in made.items if "dev-10" in item.identifier]
    assert not [each.identifier for each in made.orphans if "dev-10" in each.identifier]
    execute(made, stacks)
    assert contents(cloud, "dev-10") == FULL
    assert contents(cloud) == EMPTY


def _tag_table(cloud: Cloud, name: str, **changed: str) -> None:
    client = cloud.client("dynamodb")
    arn = client.describe_table(TableName=name)["Table"]["TableArn"]
    listed = [{"Key": f"daybreak:{key}", "Value": value} for key, value in changed.items()]
    client.tag_resource(ResourceArn=arn, Tags=listed)


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"protect": "true"}, Code.PROTECTED),
        ({"env": "dev-10"}, Code.OTHER_ENVIRONMENT),
        ({"nonce": "n0"}, Code.OTHER_NONCE),
    ],
)
def test_a_member_that_its_tags_do_not_select_stays_and_is_reported(
    cloud: Cloud, stacks: Stacks, plan: Plan, execute: Execute, changed: dict[str, str], code: Code
) -> None:
    _tag_table(cloud, "dev-1-cars", **changed)
    made = plan(stacks)
    assert [(each.identifier, each.code) for each in made.protected] == [("dev-1-cars", code)]
    execute(made, stacks)
    assert contents(cloud) == {**EMPTY, "dynamodb": 1}


@pytest.mark.parametrize("changed", [{"protect": "true"}, {"env": "dev-10"}, {"nonce": "n0"}])
def test_tags_are_read_again_just_before(
    cloud: Cloud, stacks: Stacks, plan: Plan, execute: Execute, changed: dict[str, str]
) -> None:
    made = plan(stacks)
    _tag_table(cloud, "dev-1-cars", **changed)
    result = execute(made, stacks)
    assert [each.identifier for each in result.skipped] == ["dev-1-cars"]
    assert contents(cloud) == {**EMPTY, "dynamodb": 1}


def test_an_untagged_member_stays_and_is_reported(
    cloud: Cloud, stacks: Stacks, plan: Plan, execute: Execute
) -> None:
    lake = cloud.bucket_name("dev-1-lake")
    cloud.client("s3").delete_bucket_tagging(Bucket=lake)
    made = plan(stacks)
    assert [(each.identifier, each.code) for each in made.protected] == [(lake, Code.UNTAGGED)]
    execute(made, stacks)
    assert contents(cloud) == {**EMPTY, "s3": 1}


def test_unreadable_tags_protect(
    cloud: Cloud, stacks: Stacks, plan: Plan, execute: Execute, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, read = plan(stacks), tags.read

    def denied(target: Any, type_: str, physical_id: str) -> Any:
        return None if type_ == "AWS::DynamoDB::Table" else read(target, type_, physical_id)

    monkeypatch.setattr(tags, "read", denied)
    assert [(each.kind, each.code) for each in plan(stacks).protected] == [("dynamodb", Code.TAGS_UNREADABLE)]
    result = execute(made, stacks)
    assert [each.code for each in result.skipped] == [Code.TAGS_UNREADABLE]
    assert contents(cloud) == {**EMPTY, "dynamodb": 1}


def test_what_carries_our_tags_but_is_no_member_is_an_orphan(
    cloud: Cloud, stacks: Stacks, plan: Plan, execute: Execute
) -> None:
    client = cloud.client("dynamodb")
    client.create_table(
        **table("stray")["Properties"],
        Tags=[{"Key": "daybreak:env", "Value": "dev-1"}, {"Key": "daybreak:nonce", "Value": "n1"}],
    )
    client.create_table(**table("dev-1-by-hand")["Properties"])
    cloud.client("sqs").create_queue(QueueName="unrelated")
    made = plan(stacks)
    found = {tags.last_part(each.identifier): each.code for each in made.orphans}
    assert found == {"stray": Code.NOT_A_MEMBER, "dev-1-by-hand": Code.UNTAGGED}
    execute(made, stacks)
    assert {"stray", "dev-1-by-hand"} <= set(client.list_tables()["TableNames"])


def test_what_left_the_stacks_after_the_plan_is_skipped(
    cloud: Cloud, stacks: Stacks, plan: Plan, execute: Execute
) -> None:
    made = plan(stacks)
    forged = ScorchPlan(
        made.environment, made.account, made.region, made.nonces,
        (Item(Kind.SQS, cloud.client("sqs").create_queue(QueueName="dev-1-x")["QueueUrl"], "X", "forged"),),
    )  # fmt: skip
    result = execute(forged, stacks)
    assert [each.code for each in result.skipped] == [Code.NOT_A_MEMBER]
    assert cloud.mutations == []


def test_a_resource_made_after_the_plan_is_not_deleted(
    cloud: Cloud, stacks: Stacks, plan: Plan, execute: Execute
) -> None:
    made = plan(stacks)
    stacks.ensure("base", template({**everything(cloud), "Late": table("dev-1-late")}))
    cloud.client("dynamodb").put_item(TableName="dev-1-late", Item={"id": {"S": "1"}})
    cloud.client("glue").create_table(DatabaseName="dev-1_lake", TableInput={"Name": "late"})
    execute(made, stacks)
    assert cloud.client("dynamodb").scan(TableName="dev-1-late")["Count"] == 1
    assert [
        each["Name"] for each in cloud.client("glue").get_tables(DatabaseName="dev-1_lake")["TableList"]
    ] == ["late"]


def test_one_thing_that_fails_does_not_stop_the_others_and_is_told(
    cloud: Cloud, stacks: Stacks, plan: Plan, execute: Execute
) -> None:
    made = plan(stacks)
    broken = [
        Item(
            item.kind,
            item.identifier,
            item.store,
            item.why,
            {**item.detail, "definition": {"TableName": "x"}},
        )
        if item.kind == Kind.DYNAMODB
        else item
        for item in made.items
    ]
    cloud.client("dynamodb").delete_table(TableName="dev-1-cars")
    with pytest.raises(ScorchFailed, match="dev-1-cars") as caught:
        execute_scorch(
            ScorchPlan(made.environment, made.account, made.region, made.nonces, tuple(broken)),
            stacks.target, stacks, nonces=stacks.nonces, sleep=cloud.slept.append,
        )  # fmt: skip
    assert dict(caught.value.result.deleted) == {kind: 1 for kind in FULL if kind != "dynamodb"}


def test_an_environment_without_stacks_has_an_empty_plan(cloud: Cloud, plan: Plan) -> None:
    made = plan_scorch(cloud.target(), (), cloud.stacks(cloud.target()), nonces=["n1"])
    assert (made.items, made.protected, made.refusals) == ((), (), ())


def test_a_stack_of_our_name_that_is_not_ours_is_reported_and_its_members_stay(
    cloud: Cloud, plan: Plan, execute: Execute
) -> None:
    cloud.make(everything(cloud), nonce="n0")
    fill(cloud)
    stacks = cloud.stacks(cloud.target(nonce="n1"))
    made = plan(stacks)
    assert made.items == ()
    assert ("stack", "dev-1-base", Code.OTHER_NONCE) in [(e.kind, e.identifier, e.code) for e in made.orphans]
    execute(made, stacks)
    assert contents(cloud) == FULL


def test_a_stray_instance_is_an_orphan_until_it_is_terminated(
    cloud: Cloud, stacks: Stacks, plan: Plan
) -> None:
    ec2 = cloud.client("ec2")
    tagged = [{"Key": "daybreak:env", "Value": "dev-1"}, {"Key": "daybreak:nonce", "Value": "n1"}]
    strays = ec2.run_instances(
        ImageId="ami-12345678", MinCount=2, MaxCount=2, InstanceType="t3.micro",
        TagSpecifications=[{"ResourceType": "instance", "Tags": tagged}],
    )["Instances"]  # fmt: skip
    lives, dies = (each["InstanceId"] for each in strays)
    ec2.terminate_instances(InstanceIds=[dies])
    found = [tags.last_part(each.identifier) for each in plan(stacks).orphans if "i-" in each.identifier]
    assert found == [lives]
    states = ec2.describe_instances(InstanceIds=[lives])["Reservations"][0]["Instances"][0]["State"]
    assert states["Name"] != "terminated"
