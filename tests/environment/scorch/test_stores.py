"""Each kind of AWS store is emptied completely, with few calls, and is afterwards as its template made it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from daybreak.environment import buckets
from daybreak.environment.interlocks import Code
from daybreak.environment.scorch import Kind, ScorchFailed, dynamodb
from daybreak.environment.stacks.stack import Stacks
from tests.environment.scorch.conftest import Execute, Plan
from tests.fixtures.cloud import Cloud, bucket, glue_database, log_group, queue, table

pytestmark = pytest.mark.aws

RICH = {
    "AttributeDefinitions": [
        {"AttributeName": "id", "AttributeType": "S"},
        {"AttributeName": "at", "AttributeType": "N"},
        {"AttributeName": "owner", "AttributeType": "S"},
    ],
    "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}, {"AttributeName": "at", "KeyType": "RANGE"}],
    "GlobalSecondaryIndexes": [
        {
            "IndexName": "by-owner",
            "KeySchema": [{"AttributeName": "owner", "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "KEYS_ONLY"},
        }
    ],
    "LocalSecondaryIndexes": [
        {
            "IndexName": "by-owner-too",
            "KeySchema": [
                {"AttributeName": "id", "KeyType": "HASH"},
                {"AttributeName": "owner", "KeyType": "RANGE"},
            ],
            "Projection": {"ProjectionType": "ALL"},
        }
    ],
    "TableClass": "STANDARD_INFREQUENT_ACCESS",
    "Tags": [{"Key": "team", "Value": "fleet"}],
}


def described(cloud: Cloud, name: str) -> dict[str, Any]:
    client = cloud.client("dynamodb")
    found = client.describe_table(TableName=name)["Table"]
    tags = client.list_tags_of_resource(ResourceArn=found["TableArn"])["Tags"]
    ttl = client.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    backups = client.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
    for index in (*found.get("LocalSecondaryIndexes", ()), *found.get("GlobalSecondaryIndexes", ())):
        provisioned = "BillingModeSummary" not in found and "ProvisionedThroughput" in index
        capacity = index["ProvisionedThroughput"]["ReadCapacityUnits"] if provisioned else None
        kept = {key: index[key] for key in ("IndexName", "KeySchema", "Projection")}
        index.clear()
        index.update(kept, capacity=capacity)
    return {
        **{key: found.get(key) for key in (
            "AttributeDefinitions", "KeySchema", "LocalSecondaryIndexes", "GlobalSecondaryIndexes",
            "BillingModeSummary", "TableClassSummary", "StreamSpecification", "SSEDescription")},
        "class": found.get("TableClassSummary", {}).get("TableClass"),
        "TableClassSummary": None,
        "capacity": {key: value for key, value in found["ProvisionedThroughput"].items() if "Units" in key}
        if not found.get("BillingModeSummary") else None,
        "tags": {tag["Key"]: tag["Value"] for tag in tags if not tag["Key"].startswith("aws:")},
        "ttl": ttl,
        "pitr": backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"],
    }  # fmt: skip


def rich(cloud: Cloud, **more: Any) -> Stacks:
    stacks = cloud.make({"Cars": table("dev-1-cars", **{**RICH, **more})})
    client = cloud.client("dynamodb")
    client.update_time_to_live(
        TableName="dev-1-cars", TimeToLiveSpecification={"Enabled": True, "AttributeName": "expires"}
    )
    client.update_continuous_backups(
        TableName="dev-1-cars", PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
    )
    return stacks


def put(cloud: Cloud, count: int) -> None:
    items = [{"PutRequest": {"Item": {"id": {"S": str(n)}, "at": {"N": "1"}}}} for n in range(count)]
    for at in range(0, count, 25):
        cloud.client("dynamodb").batch_write_item(RequestItems={"dev-1-cars": items[at : at + 25]})


@pytest.mark.parametrize(
    "more",
    [
        {},
        {
            "BillingMode": "PROVISIONED",
            "ProvisionedThroughput": {"ReadCapacityUnits": 3, "WriteCapacityUnits": 2},
            "GlobalSecondaryIndexes": [
                {
                    **RICH["GlobalSecondaryIndexes"][0],
                    "ProvisionedThroughput": {  # type: ignore[dict-item]
                        "ReadCapacityUnits": 4,
                        "WriteCapacityUnits": 1,
                    },
                }
            ],
        },
    ],
    ids=["on-demand", "provisioned"],
)
def test_a_table_is_made_anew_just_as_it_was(cloud: Cloud, scorch: Execute, more: dict[str, Any]) -> None:
    stacks = rich(cloud, **more)
    put(cloud, 60)
    before = described(cloud, "dev-1-cars")
    assert before["tags"]["daybreak:env"] == "dev-1"
    assert before["pitr"] == "ENABLED"
    cloud.calls.clear()
    scorch(stacks)
    assert described(cloud, "dev-1-cars") == before
    assert cloud.client("dynamodb").scan(TableName="dev-1-cars")["Count"] == 0
    # However many items: one deletion and one creation, then what CreateTable does not take.
    assert Counter(cloud.mutations) == {
        "dynamodb.DeleteTable": 1, "dynamodb.CreateTable": 1, "dynamodb.UpdateTimeToLive": 1,
        "dynamodb.UpdateContinuousBackups": 1,
    }  # fmt: skip


class Killed(BaseException):
    """As a kill: nothing catches it."""


@pytest.mark.parametrize("after", ["DeleteTable", "CreateTable", "UpdateTimeToLive"])
def test_a_crash_at_any_point_is_made_good_from_the_plan(
    cloud: Cloud, plan: Plan, execute: Execute, after: str
) -> None:
    stacks = rich(cloud)
    put(cloud, 3)
    before = described(cloud, "dev-1-cars")
    made = plan(stacks)

    def guard() -> None:
        if any(call.operation == after for call in cloud.calls):
            raise Killed

    object.__setattr__(stacks.target, "guard", guard)
    with pytest.raises(Killed):
        execute(made, stacks)
    object.__setattr__(stacks.target, "guard", cloud.guard)
    execute(made, stacks)
    assert described(cloud, "dev-1-cars") == before
    assert cloud.client("dynamodb").scan(TableName="dev-1-cars")["Count"] == 0


def test_a_table_made_after_the_plan_keeps_its_items(cloud: Cloud, plan: Plan, execute: Execute) -> None:
    stacks = rich(cloud)
    made = plan(stacks)
    execute(made, stacks)
    put(cloud, 2)  # today's seeds
    result = execute(made, stacks)
    assert [each.code for each in result.skipped] == [Code.CHANGED]
    assert cloud.client("dynamodb").scan(TableName="dev-1-cars")["Count"] == 2


def test_a_table_with_a_stream_is_emptied_and_keeps_its_stream(cloud: Cloud, scorch: Execute) -> None:
    stacks = rich(cloud, StreamSpecification={"StreamViewType": "NEW_IMAGE"})
    client = cloud.client("dynamodb")
    stream = client.describe_table(TableName="dev-1-cars")["Table"].get("LatestStreamArn")
    assert stream
    put(cloud, 60)
    cloud.calls.clear()
    scorch(stacks)
    assert client.scan(TableName="dev-1-cars")["Count"] == 0
    assert client.describe_table(TableName="dev-1-cars")["Table"]["LatestStreamArn"] == stream
    assert Counter(cloud.mutations) == {"dynamodb.BatchWriteItem": 3}


def test_deletion_protection_protects(cloud: Cloud, plan: Plan) -> None:
    stacks = rich(cloud, DeletionProtectionEnabled=True)
    cloud.client("dynamodb").update_table(TableName="dev-1-cars", DeletionProtectionEnabled=True)
    made = plan(stacks)
    assert made.items == ()
    assert [(each.identifier, each.code) for each in made.protected] == [("dev-1-cars", Code.PROTECTED)]


def test_a_table_that_its_stack_lost_is_reported(cloud: Cloud, plan: Plan) -> None:
    stacks = rich(cloud)
    cloud.client("dynamodb").delete_table(TableName="dev-1-cars")
    assert [(each.identifier, each.code) for each in plan(stacks).protected] == [("dev-1-cars", Code.GONE)]


def test_what_create_table_does_not_take_is_left_out_of_the_definition() -> None:
    made = dynamodb.definition(
        {
            "TableName": "t",
            "KeySchema": [],
            "AttributeDefinitions": [],
            "TableArn": "a",
            "ItemCount": 3,
            "BillingModeSummary": {
                "BillingMode": "PAY_PER_REQUEST",
                "LastUpdateToPayPerRequestDateTime": "x",
            },
            "ProvisionedThroughput": {"ReadCapacityUnits": 0, "WriteCapacityUnits": 0},
            "SSEDescription": {"Status": "ENABLED", "SSEType": "KMS", "KMSMasterKeyArn": "arn:key/1"},
            "OnDemandThroughput": {"MaxReadRequestUnits": 9, "MaxWriteRequestUnits": 9},
        },
        {"aws:cloudformation:stack-name": "s", "team": "fleet"},
    )
    assert made == {
        "TableName": "t", "KeySchema": [], "AttributeDefinitions": [], "BillingMode": "PAY_PER_REQUEST",
        "Tags": [{"Key": "team", "Value": "fleet"}],
        "SSESpecification": {"Enabled": True, "SSEType": "KMS", "KMSMasterKeyId": "arn:key/1"},
        "OnDemandThroughput": {"MaxReadRequestUnits": 9, "MaxWriteRequestUnits": 9},
    }  # fmt: skip


def test_versions_markers_and_unfinished_uploads_go_by_the_thousand(cloud: Cloud, scorch: Execute) -> None:
    lake = cloud.bucket_name("dev-1-lake")
    stacks = cloud.make({"Lake": bucket(lake, versioned=True)})
    client = cloud.client("s3")
    for number in range(1100):
        client.put_object(Bucket=lake, Key=f"k{number % 400}", Body=b"")
    client.delete_object(Bucket=lake, Key="k1")
    client.create_multipart_upload(Bucket=lake, Key="big")
    assert scorch(stacks).deleted == {"s3": 1}
    left = client.list_object_versions(Bucket=lake)
    assert (left.get("Versions"), left.get("DeleteMarkers")) == (None, None)
    assert not client.list_multipart_uploads(Bucket=lake).get("Uploads")
    calls = Counter(cloud.mutations)
    assert calls.keys() == {"s3.DeleteObjects", "s3.AbortMultipartUpload"}
    assert calls["s3.DeleteObjects"] <= 4  # 1101 of them, 1000 a call


def test_an_unversioned_bucket_is_emptied_and_an_empty_one_is_not_planned(
    cloud: Cloud, plan: Plan, scorch: Execute
) -> None:
    one, two = cloud.bucket_name("dev-1-one"), cloud.bucket_name("dev-1-two")
    stacks = cloud.make({"One": bucket(one), "Two": bucket(two)})
    cloud.client("s3").put_object(Bucket=one, Key="a/ü b", Body=b"1")
    assert [item.identifier for item in plan(stacks).of(Kind.S3)] == [one]
    scorch(stacks)
    assert "Contents" not in cloud.client("s3").list_objects_v2(Bucket=one)


def test_objects_that_s3_will_not_delete_are_named(
    cloud: Cloud, scorch: Execute, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = cloud.bucket_name("dev-1-lake")
    stacks = cloud.make({"Lake": bucket(lake)})
    cloud.client("s3").put_object(Bucket=lake, Key="locked", Body=b"1")
    client = stacks.target.client("s3")
    refusal = {"Errors": [{"Key": "locked", "Code": "AccessDenied", "Message": "object lock"}]}
    monkeypatch.setattr(type(client), "delete_objects", lambda *_, **__: refusal)
    with pytest.raises(ScorchFailed, match="'locked': AccessDenied object lock"):
        scorch(stacks)
    with pytest.raises(buckets.S3Failed):
        buckets.empty(stacks.target, lake)


def test_glue_tables_go_a_hundred_a_call_and_databases_stay(cloud: Cloud, scorch: Execute) -> None:
    stacks = cloud.make({"Metastore": glue_database("dev_1_lake")})
    client = cloud.client("glue")
    for number in range(130):
        client.create_table(DatabaseName="dev_1_lake", TableInput={"Name": f"t{number}"})
    assert scorch(stacks).deleted == {"glue": 130}
    assert Counter(cloud.mutations) == {"glue.BatchDeleteTable": 2}
    assert client.get_tables(DatabaseName="dev_1_lake")["TableList"] == []


def test_a_protected_glue_table_and_databases_of_others_stay(
    cloud: Cloud, plan: Plan, execute: Execute
) -> None:
    stacks = cloud.make({"Metastore": glue_database("dev_1_lake")})
    client = cloud.client("glue")
    client.create_database(DatabaseInput={"Name": "dev_1_lake_by_hand"})
    for database in ("dev_1_lake", "dev_1_lake_by_hand"):
        client.create_table(DatabaseName=database, TableInput={"Name": "trips"})
    client.create_table(
        DatabaseName="dev_1_lake", TableInput={"Name": "keep", "Parameters": {"daybreak:protect": "yes"}}
    )
    made = plan(stacks)
    assert [each.identifier for each in made.protected] == ["dev_1_lake.keep"]
    assert [each.identifier for each in made.orphans] == ["dev_1_lake_by_hand"]
    execute(made, stacks)
    names = {
        database: [each["Name"] for each in client.get_tables(DatabaseName=database)["TableList"]]
        for database in ("dev_1_lake", "dev_1_lake_by_hand")
    }
    assert names == {"dev_1_lake": ["keep"], "dev_1_lake_by_hand": ["trips"]}


def test_a_glue_table_that_the_template_declares_is_made_anew_without_partitions(
    cloud: Cloud, scorch: Execute
) -> None:
    declared = {
        "Type": "AWS::Glue::Table",
        "DependsOn": "Metastore",
        "Properties": {
            "CatalogId": {"Ref": "AWS::AccountId"},
            "DatabaseName": "dev_1_lake",
            "TableInput": {
                "Name": "trips",
                "TableType": "EXTERNAL_TABLE",
                "Parameters": {"classification": "parquet"},
                "PartitionKeys": [{"Name": "day", "Type": "string"}],
                "StorageDescriptor": {
                    "Columns": [{"Name": "id", "Type": "string"}],
                    "Location": "s3://lake/trips",
                },
            },
        },
    }
    stacks = cloud.make({"Metastore": glue_database("dev_1_lake"), "Trips": declared})
    client = cloud.client("glue")
    client.create_partition(
        DatabaseName="dev_1_lake", TableName="trips", PartitionInput={"Values": ["2026-03-05"]}
    )
    before = client.get_table(DatabaseName="dev_1_lake", Name="trips")["Table"]
    scorch(stacks)
    after = client.get_table(DatabaseName="dev_1_lake", Name="trips")["Table"]
    for key in ("StorageDescriptor", "PartitionKeys", "TableType", "Parameters"):
        assert after.get(key) == before.get(key)
    assert client.get_partitions(DatabaseName="dev_1_lake", TableName="trips")["Partitions"] == []


def test_a_purge_under_way_is_waited_for(
    cloud: Cloud, scorch: Execute, monkeypatch: pytest.MonkeyPatch
) -> None:
    from botocore.exceptions import ClientError

    stacks = cloud.make({"Work": queue("dev-1-work")})
    client = stacks.target.client("sqs")
    real, answers = client.purge_queue, [1, 1]

    def busy(_: Any, **arguments: Any) -> Any:
        if answers:
            answers.pop()
            code = "AWS.SimpleQueueService.PurgeQueueInProgress"
            raise ClientError({"Error": {"Code": code, "Message": "60 s"}}, "PurgeQueue")
        return real(**arguments)

    monkeypatch.setattr(type(client), "purge_queue", busy)
    assert scorch(stacks).deleted == {"sqs": 1}
    assert cloud.slept == [5.0, 5.0]


def test_a_log_group_is_made_anew_with_its_retention_and_tags(cloud: Cloud, scorch: Execute) -> None:
    stacks = cloud.make({"Log": log_group("/acme/dev-1", 14), "Quiet": log_group("/acme/dev-1/quiet")})
    client = cloud.client("logs")
    client.create_log_stream(logGroupName="/acme/dev-1", logStreamName="yesterday")
    assert scorch(stacks).deleted == {"logs": 1}
    group = client.describe_log_groups(logGroupNamePrefix="/acme/dev-1")["logGroups"][0]
    assert group["retentionInDays"] == 14
    assert client.describe_log_streams(logGroupName="/acme/dev-1")["logStreams"] == []
    tags = client.list_tags_for_resource(resourceArn=group["arn"].removesuffix(":*"))["tags"]
    assert (tags["daybreak:env"], tags["daybreak:nonce"]) == ("dev-1", "n1")


def test_a_log_group_lost_in_a_crash_is_made_again(cloud: Cloud, plan: Plan, execute: Execute) -> None:
    stacks = cloud.make({"Log": log_group("/acme/dev-1", 14)})
    client = cloud.client("logs")
    client.create_log_stream(logGroupName="/acme/dev-1", logStreamName="yesterday")
    made = plan(stacks)
    client.delete_log_group(logGroupName="/acme/dev-1")
    execute(made, stacks)
    assert (
        client.describe_log_groups(logGroupNamePrefix="/acme/dev-1")["logGroups"][0]["retentionInDays"] == 14
    )


def test_a_log_group_that_a_former_try_made_without_its_retention_gets_it(
    cloud: Cloud, plan: Plan, execute: Execute
) -> None:
    stacks = cloud.make({"Log": log_group("/acme/dev-1", 14)})
    client = cloud.client("logs")
    client.create_log_stream(logGroupName="/acme/dev-1", logStreamName="yesterday")
    made = plan(stacks)

    def guard() -> None:
        if any(call.operation == "CreateLogGroup" for call in cloud.calls):
            raise Killed

    object.__setattr__(stacks.target, "guard", guard)
    with pytest.raises(Killed):
        execute(made, stacks)
    object.__setattr__(stacks.target, "guard", cloud.guard)
    execute(made, stacks)
    (group,) = client.describe_log_groups(logGroupNamePrefix="/acme/dev-1")["logGroups"]
    assert group["retentionInDays"] == 14


def test_a_log_group_with_filters_stays(cloud: Cloud, plan: Plan) -> None:
    stacks = cloud.make({"Log": log_group("/acme/dev-1")})
    client = cloud.client("logs")
    client.create_log_stream(logGroupName="/acme/dev-1", logStreamName="s")
    client.put_metric_filter(
        logGroupName="/acme/dev-1", filterName="errors", filterPattern="ERROR",
        metricTransformations=[{"metricName": "e", "metricNamespace": "acme", "metricValue": "1"}],
    )  # fmt: skip
    made = plan(stacks)
    assert [each.code for each in made.protected] == [Code.HAS_FILTERS]
    assert made.items == ()
