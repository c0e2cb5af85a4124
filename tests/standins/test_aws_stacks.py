"""The probe, part one: what CloudFormation does with the stacks that Daybreak makes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.standins import stacks
from tests.standins.conftest import REGION, TAGS, Account

pytestmark = pytest.mark.aws


def test_a_stack_with_every_type_is_created_with_real_resources(account: Account) -> None:
    assert account.create(stacks.everything(account.id)) == "CREATE_COMPLETE"

    ids = account.members()
    assert (
        account.client("dynamodb").describe_table(TableName=ids["Table"])["Table"]["TableStatus"] == "ACTIVE"
    )
    instances = account.client("ec2").describe_instances(InstanceIds=[ids["Instance"]])["Reservations"]
    assert instances[0]["Instances"][0]["SubnetId"] == ids["Subnet"]
    cluster = account.client("emr").describe_cluster(ClusterId=ids["Cluster"])["Cluster"]
    assert cluster["Status"]["State"] == "WAITING"
    domain = account.client("es").describe_elasticsearch_domain(DomainName=ids["Search"])["DomainStatus"]
    assert domain["ElasticsearchVersion"] == "7.10"
    assert account.client("events").describe_rule(Name=ids["Rule"])["State"] == "ENABLED"
    schedule = account.client("scheduler").get_schedule(Name=ids["Schedule"], GroupName="dev-01")
    assert schedule["State"] == "ENABLED"
    answer = account.client("lambda").invoke(FunctionName=ids["Function"], Payload=b'{"trip": 7}')
    assert json.load(answer["Payload"]) == {"echo": {"trip": 7}, "account": account.id}


def test_deleting_a_stack_deletes_all_of_it(account: Account) -> None:
    account.create(stacks.everything(account.id))
    ids = account.members()

    assert account.delete() == "gone"

    assert account.client("dynamodb").list_tables()["TableNames"] == []
    ec2 = account.client("ec2").describe_instances(InstanceIds=[ids["Instance"]])["Reservations"]
    assert ec2[0]["Instances"][0]["State"]["Name"] == "terminated"
    cluster = account.client("emr").describe_cluster(ClusterId=ids["Cluster"])["Cluster"]
    assert cluster["Status"]["State"] == "TERMINATED"
    assert account.client("es").list_domain_names()["DomainNames"] == []
    assert account.client("events").list_rules()["Rules"] == []
    assert account.client("glue").get_databases()["DatabaseList"] == []


def _tags(account: Account) -> dict[str, dict[str, str]]:
    """The tags of each member, by each service's own call."""
    ids = account.members()

    def pairs(tags: list[dict[str, str]]) -> dict[str, str]:
        return {tag["Key"]: tag["Value"] for tag in tags}

    def client(service: str) -> Any:
        return account.client(service)

    instance = client("ec2").describe_instances(InstanceIds=[ids["Instance"]])["Reservations"][0][
        "Instances"
    ][0]
    search = client("es").describe_elasticsearch_domain(DomainName=ids["Search"])["DomainStatus"]["ARN"]
    return {
        "Table": pairs(client("dynamodb").list_tags_of_resource(
            ResourceArn=account.arn("dynamodb", "table/trips"))["Tags"]),
        "Bucket": pairs(client("s3").get_bucket_tagging(Bucket=ids["Bucket"])["TagSet"]),
        "Queue": client("sqs").list_queue_tags(QueueUrl=ids["Queue"])["Tags"],
        "Function": client("lambda").list_tags(Resource=account.arn("lambda", "function:scorer"))["Tags"],
        "Logs": client("logs").list_tags_for_resource(
            resourceArn=account.arn("logs", "log-group:/daybreak/scorer"))["tags"],
        "Role": pairs(client("iam").list_role_tags(RoleName="worker")["Tags"]),
        "Vpc": pairs(client("ec2").describe_vpcs(VpcIds=[ids["Vpc"]])["Vpcs"][0]["Tags"]),
        "Instance": pairs(instance["Tags"]),
        "Cluster": pairs(client("emr").describe_cluster(ClusterId=ids["Cluster"])["Cluster"]["Tags"]),
        "Search": pairs(client("es").list_tags(ARN=search)["TagList"]),
        "Group": pairs(client("scheduler").list_tags_for_resource(
            ResourceArn=account.arn("scheduler", "schedule-group/dev-01"))["Tags"]),
    }  # fmt: skip


def test_stack_tags_reach_every_member_that_aws_tags(account: Account) -> None:
    account.create(stacks.everything(account.id))

    for logical_id, tags in _tags(account).items():
        assert TAGS.items() <= tags.items(), logical_id
        assert tags["aws:cloudformation:logical-id"] == logical_id


def test_new_stack_tags_reach_members_without_replacing_them(account: Account) -> None:
    account.create(stacks.everything(account.id))
    before = account.members()

    rotated = {**TAGS, "daybreak:nonce": "n2"}
    assert account.update(stacks.everything(account.id), tags=rotated) == "UPDATE_COMPLETE"

    assert account.members() == before
    for logical_id, tags in _tags(account).items():
        assert tags["daybreak:nonce"] == "n2", logical_id


def test_glue_databases_and_event_rules_get_no_stack_tags(account: Account) -> None:
    account.create(stacks.everything(account.id))

    glue = account.client("glue").get_tags(ResourceArn=account.arn("glue", "database/lake"))
    rule = account.client("events").list_tags_for_resource(ResourceARN=account.arn("events", "rule/hourly"))
    assert glue["Tags"] == {}
    assert rule["Tags"] == []


def test_members_are_found_by_tag_over_pages(account: Account) -> None:
    account.create(stacks.everything(account.id))
    account.client("dynamodb").create_table(
        TableName="stray", BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        Tags=[{"Key": "daybreak:env", "Value": "dev-02"}],
    )  # fmt: skip
    pages = account.client("resourcegroupstaggingapi").get_paginator("get_resources")

    def arns(page: int, **filters: Any) -> list[str]:
        found = pages.paginate(PaginationConfig={"PageSize": page}, **filters)
        return [each["ResourceARN"] for answer in found for each in answer["ResourceTagMappingList"]]

    wanted = [{"Key": "daybreak:env", "Values": ["dev-01"]}]
    every, paged = arns(100, TagFilters=wanted), arns(3, TagFilters=wanted)
    assert sorted(every) == sorted(paged)
    assert len(set(paged)) == len(paged)
    services = {arn.split(":")[2] for arn in every}
    assert services >= {
        "dynamodb",
        "s3",
        "sqs",
        "lambda",
        "logs",
        "ec2",
        "elasticmapreduce",
        "es",
        "scheduler",
        "cloudformation",
    }
    assert not any("stray" in arn for arn in every)
    instances = arns(100, TagFilters=wanted, ResourceTypeFilters=["ec2:instance"])
    assert [arn.rsplit("/", 1)[-1] for arn in instances] == [account.members()["Instance"]]


def test_an_update_that_changes_nothing_is_refused(account: Account) -> None:
    account.create({"Queue": stacks.queue()})

    with pytest.raises(ClientError, match="No updates are to be performed") as error:
        account.update({"Queue": stacks.queue()})
    assert error.value.response["Error"]["Code"] == "ValidationError"


def test_what_leaves_the_template_is_deleted_by_the_update(account: Account) -> None:
    account.create({"Queue": stacks.queue(), "Table": stacks.table()})

    assert account.update({"Queue": stacks.queue()}) == "UPDATE_COMPLETE"

    assert account.client("dynamodb").list_tables()["TableNames"] == []
    assert set(account.members()) == {"Queue"}


def test_a_bucket_with_objects_fails_the_deletion_and_can_be_retained(account: Account) -> None:
    account.create({"Bucket": stacks.bucket(account.id), "Queue": stacks.queue()})
    s3, name = account.client("s3"), f"lake-{account.id}"
    s3.put_object(Bucket=name, Key="trip", Body=b"1")

    assert account.delete() == "DELETE_FAILED"
    assert any("not empty" in reason for reason in account.reasons("DELETE_FAILED"))
    summaries = account.client("cloudformation").list_stack_resources(StackName="stack")[
        "StackResourceSummaries"
    ]
    assert {each["LogicalResourceId"]: each["ResourceStatus"] for each in summaries} == {
        "Bucket": "DELETE_FAILED"
    }

    assert account.delete(RetainResources=["Bucket"]) == "gone"
    assert s3.list_objects_v2(Bucket=name)["KeyCount"] == 1


def test_old_versions_alone_keep_a_bucket_from_being_deleted(account: Account) -> None:
    versioned = stacks.bucket(account.id)
    versioned["Properties"]["VersioningConfiguration"] = {"Status": "Enabled"}
    account.create({"Bucket": versioned})
    s3, name = account.client("s3"), f"lake-{account.id}"
    s3.put_object(Bucket=name, Key="trip", Body=b"1")
    s3.delete_object(Bucket=name, Key="trip")
    assert "Contents" not in s3.list_objects_v2(Bucket=name)

    assert account.delete() == "DELETE_FAILED"

    listed = s3.list_object_versions(Bucket=name)
    doomed = [{"Key": each["Key"], "VersionId": each["VersionId"]}
              for each in listed["Versions"] + listed["DeleteMarkers"]]  # fmt: skip
    s3.delete_objects(Bucket=name, Delete={"Objects": doomed})
    assert account.delete() == "gone"


def test_retaining_is_refused_before_a_deletion_failed(account: Account) -> None:
    account.create({"Queue": stacks.queue()})

    with pytest.raises(ClientError, match="DELETE_FAILED"):
        account.delete(RetainResources=["Queue"])


@pytest.mark.parametrize(
    ("type_", "resource", "call", "request_"),
    [
        ("Table", stacks.table(), ("dynamodb", "create_table"), {
            "TableName": "trips", "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        }),
        ("Queue", stacks.queue(), ("sqs", "create_queue"), {"QueueName": "events"}),
        ("Logs", stacks.one("AWS::Logs::LogGroup", LogGroupName="/x"), ("logs", "create_log_group"),
         {"logGroupName": "/x"}),
        ("Database", stacks.one("AWS::Glue::Database", CatalogId={"Ref": "AWS::AccountId"},
                                DatabaseInput={"Name": "lake"}),
         ("glue", "create_database"), {"DatabaseInput": {"Name": "lake"}}),
    ],
    ids=["table", "queue", "log-group", "glue-database"],
)  # fmt: skip
def test_a_stack_does_not_adopt_what_is_there_under_the_same_name(
    account: Account, type_: str, resource: dict[str, Any], call: tuple[str, str], request_: dict[str, Any]
) -> None:
    getattr(account.client(call[0]), call[1])(**request_)

    assert account.create({type_: resource}) == "ROLLBACK_COMPLETE"

    assert any("already exists" in reason for reason in account.reasons("CREATE_FAILED"))
    with pytest.raises(ClientError, match="exist"):  # and the rollback left it alone
        getattr(account.client(call[0]), call[1])(**{**request_, **_different(type_)})


def _different(type_: str) -> dict[str, Any]:
    return {"Attributes": {"DelaySeconds": "7"}} if type_ == "Queue" else {}


def test_a_bucket_name_that_somebody_has_fails_the_stack(account: Account) -> None:
    account.client("s3").create_bucket(
        Bucket=f"lake-{account.id}", CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    assert account.create({"Bucket": stacks.bucket(account.id)}) == "ROLLBACK_COMPLETE"


def test_a_failed_creation_is_rolled_back_and_keeps_its_name(account: Account) -> None:
    account.inject("stack_failure", logical_id="Table", reason="no capacity today", times=1)

    resources = {"Queue": stacks.queue(), "Table": {**stacks.table(), "DependsOn": "Queue"}}
    assert account.create(resources) == "ROLLBACK_COMPLETE"

    assert account.reasons("CREATE_FAILED") == ["no capacity today"]
    assert not account.client("sqs").list_queues().get("QueueUrls")
    with pytest.raises(ClientError) as taken:
        account.create(resources)
    assert taken.value.response["Error"]["Code"] == "AlreadyExistsException"
    with pytest.raises(ClientError, match="ROLLBACK_COMPLETE"):
        account.update(resources)
    assert account.delete() == "gone"
    assert account.create(resources) == "CREATE_COMPLETE"


def test_a_failed_update_goes_back_to_what_was(account: Account) -> None:
    account.create({"Queue": stacks.queue()})
    account.inject("stack_failure", resource_type="AWS::DynamoDB::Table")

    status = account.update({"Queue": stacks.queue(), "Bucket": stacks.bucket(account.id),
                             "Table": {**stacks.table(), "DependsOn": "Bucket"}})  # fmt: skip

    assert status == "UPDATE_ROLLBACK_COMPLETE"
    assert set(account.members()) == {"Queue"}
    assert account.client("s3").list_buckets()["Buckets"] == []


def test_a_failed_rollback_is_continued(account: Account) -> None:
    account.create({"Queue": stacks.queue()})
    slower = stacks.queue()
    slower["Properties"]["DelaySeconds"] = 5
    # The queue changes, the table fails, and on the way back the queue fails too.
    account.inject("stack_failure", logical_id="Table", times=1)
    account.inject("stack_failure", logical_id="Queue", operation="update", skip=1, times=1)

    resources = {"Queue": slower, "Table": {**stacks.table(), "DependsOn": "Queue"}}
    if account.update(resources) != "UPDATE_ROLLBACK_FAILED":
        pytest.fail("the rollback did not fail")

    account.client("cloudformation").continue_update_rollback(StackName="stack")
    assert account.settled() == "UPDATE_ROLLBACK_COMPLETE"


def test_a_resource_that_cannot_be_deleted_fails_the_deletion(account: Account) -> None:
    account.create({"Queue": stacks.queue(), "Table": stacks.table()})
    account.inject("stack_failure", logical_id="Table", operation="delete", times=1)

    assert account.delete() == "DELETE_FAILED"
    assert set(account.members()) == {"Table"}
    assert account.delete() == "gone"


def test_an_operation_stays_in_progress_as_long_as_it_shall(account: Account) -> None:
    fault = account.inject("stack_duration", seconds=30.0)
    account.start("create_stack", {"Queue": stacks.queue()})

    (stack,) = account.client("cloudformation").describe_stacks(StackName="stack")["Stacks"]
    assert stack["StackStatus"] == "CREATE_IN_PROGRESS"
    assert not account.client("sqs").list_queues().get("QueueUrls")

    account.aws.faults.remove(fault)
    account.inject("stack_duration", stack="other", seconds=0.2)
    assert account.create({"Queue": stacks.queue("second")}, "other") == "CREATE_COMPLETE"


def test_a_request_with_the_same_token_is_done_once(account: Account) -> None:
    client = account.client("cloudformation")
    request = {"StackName": "stack", "TemplateBody": json.dumps({"Resources": {"Queue": stacks.queue()}})}

    first = client.create_stack(**request, ClientRequestToken="t-1")
    account.settled()
    again = client.create_stack(**request, ClientRequestToken="t-1")
    assert again["StackId"] == first["StackId"]

    with pytest.raises(ClientError) as taken:
        client.create_stack(**request, ClientRequestToken="t-2")
    assert taken.value.response["Error"]["Code"] == "AlreadyExistsException"


def test_a_changed_image_replaces_an_instance_and_a_changed_type_does_not(account: Account) -> None:
    account.create({"Instance": stacks.instance()})
    (before,) = account.members().values()

    larger = stacks.instance()
    larger["Properties"]["InstanceType"] = "t3.large"
    account.update({"Instance": larger})
    assert account.members() == {"Instance": before}

    larger["Properties"]["ImageId"] = "ami-87654321"
    assert account.update({"Instance": larger}) == "UPDATE_COMPLETE"
    (after,) = account.members().values()
    states = {
        each["InstanceId"]: (each["State"]["Name"], each["InstanceType"])
        for answer in account.client("ec2").describe_instances()["Reservations"]
        for each in answer["Instances"]
    }
    assert states[before][0] == "terminated"
    assert states[after] == ("running", "t3.large")


def test_a_protected_instance_or_cluster_fails_the_deletion(account: Account) -> None:
    account.create({"Instance": stacks.instance(DisableApiTermination=True)})
    assert account.delete() == "DELETE_FAILED"

    cluster = stacks.cluster()
    cluster["Properties"]["Instances"]["TerminationProtected"] = True
    account.create({"Cluster": cluster}, "second")
    assert account.delete("second") == "DELETE_FAILED"


def test_outputs_read_the_new_types(account: Account) -> None:
    body = {
        "Resources": {"Instance": stacks.instance(), "Cluster": stacks.cluster()},
        "Outputs": {
            "Address": {"Value": {"Fn::GetAtt": ["Instance", "PrivateIp"]}},
            "Master": {"Value": {"Fn::GetAtt": ["Cluster", "MasterPublicDNS"]}},
        },
    }
    client = account.client("cloudformation")
    client.create_stack(StackName="stack", TemplateBody=json.dumps(body))
    assert account.settled() == "CREATE_COMPLETE"

    (stack,) = client.describe_stacks(StackName="stack")["Stacks"]
    outputs = {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}
    assert outputs["Address"].startswith("10.")
    assert outputs["Master"]
