"""The probe, part two: the other calls that Daybreak makes, service by service."""

from __future__ import annotations

import io
import json
import secrets
import zipfile
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.standins import stacks
from tests.standins.conftest import REGION, Account

pytestmark = pytest.mark.aws


def _code(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


# Accounts


def test_an_access_key_of_twelve_digits_is_an_account(account: Account) -> None:
    assert account.client("sts").get_caller_identity()["Account"] == account.id


def test_accounts_and_regions_do_not_see_each_other(account: Account) -> None:
    other = Account(str(10**11 + secrets.randbelow(10**11)), account.aws)
    account.client("sqs").create_queue(QueueName="mine")

    assert not other.client("sqs").list_queues().get("QueueUrls")
    assert not account.client("sqs", "us-west-2").list_queues().get("QueueUrls")


# EC2


@pytest.fixture
def instances(account: Account) -> list[str]:
    answer = account.client("ec2").run_instances(
        ImageId="ami-12345678",
        InstanceType="t3.micro",
        MinCount=3,
        MaxCount=3,
        TagSpecifications=[
            {"ResourceType": "instance", "Tags": [{"Key": "daybreak:env", "Value": "dev-01"}]}
        ],
    )
    return [each["InstanceId"] for each in answer["Instances"]]


def _states(account: Account) -> dict[str, str]:
    pages = account.client("ec2").get_paginator("describe_instances").paginate()
    return {
        each["InstanceId"]: each["State"]["Name"]
        for page in pages
        for reservation in page["Reservations"]
        for each in reservation["Instances"]
    }


def test_instances_are_terminated_by_a_list(account: Account, instances: list[str]) -> None:
    account.client("ec2").terminate_instances(InstanceIds=instances)
    assert _states(account) == dict.fromkeys(instances, "terminated")


def test_one_unknown_id_poisons_the_whole_list(account: Account, instances: list[str]) -> None:
    with pytest.raises(ClientError) as refused:
        account.client("ec2").terminate_instances(InstanceIds=[*instances, "i-0123456789abcdef0"])

    assert _code(refused) == "InvalidInstanceID.NotFound"
    assert set(_states(account).values()) == {"running"}


def test_termination_protection_is_set_read_and_obeyed(account: Account, instances: list[str]) -> None:
    ec2 = account.client("ec2")
    ec2.modify_instance_attribute(InstanceId=instances[0], DisableApiTermination={"Value": True})
    read = ec2.describe_instance_attribute(InstanceId=instances[0], Attribute="disableApiTermination")
    assert read["DisableApiTermination"] == {"Value": True}

    with pytest.raises(ClientError) as refused:
        ec2.terminate_instances(InstanceIds=instances)
    assert _code(refused) == "OperationNotPermitted"
    assert set(_states(account).values()) == {"running"}

    ec2.modify_instance_attribute(InstanceId=instances[0], DisableApiTermination={"Value": False})
    ec2.terminate_instances(InstanceIds=instances)
    assert set(_states(account).values()) == {"terminated"}


def test_an_instance_changes_its_type_only_when_stopped(account: Account, instances: list[str]) -> None:
    ec2, one = account.client("ec2"), instances[0]
    with pytest.raises(ClientError) as refused:
        ec2.modify_instance_attribute(InstanceId=one, InstanceType={"Value": "t3.large"})
    assert _code(refused) == "IncorrectInstanceState"

    ec2.stop_instances(InstanceIds=[one])
    ec2.modify_instance_attribute(InstanceId=one, InstanceType={"Value": "t3.large"})
    ec2.start_instances(InstanceIds=[one])
    found = ec2.describe_instances(InstanceIds=[one])["Reservations"][0]["Instances"][0]
    assert (found["InstanceType"], found["State"]["Name"]) == ("t3.large", "running")


@pytest.mark.parametrize("operation", ["terminate_instances", "stop_instances"])
def test_a_dry_run_says_that_it_would_and_does_not(
    account: Account, instances: list[str], operation: str
) -> None:
    with pytest.raises(ClientError) as answer:
        getattr(account.client("ec2"), operation)(InstanceIds=instances, DryRun=True)

    assert _code(answer) == "DryRunOperation"
    assert answer.value.response["ResponseMetadata"]["HTTPStatusCode"] == 412
    assert set(_states(account).values()) == {"running"}


def test_instances_are_found_by_their_tags(account: Account, instances: list[str]) -> None:
    ec2 = account.client("ec2")
    ec2.create_tags(Resources=instances[:1], Tags=[{"Key": "daybreak:protect", "Value": ""}])

    protected = ec2.describe_tags(Filters=[{"Name": "key", "Values": ["daybreak:protect"]}])["Tags"]
    assert [tag["ResourceId"] for tag in protected] == instances[:1]
    wanted = [{"Name": "tag:daybreak:env", "Values": ["dev-01"]}]
    assert len(ec2.describe_instances(Filters=wanted)["Reservations"][0]["Instances"]) >= 1


# EMR


@pytest.fixture
def cluster(account: Account) -> str:
    answer = account.client("emr").run_job_flow(
        Name="spark", ReleaseLabel="emr-7.1.0", JobFlowRole="r", ServiceRole="s",
        Tags=[{"Key": "daybreak:env", "Value": "dev-01"}],
        Instances={
            "KeepJobFlowAliveWhenNoSteps": True,
            "InstanceGroups": [
                {"InstanceRole": "MASTER", "InstanceType": "m5.xlarge", "InstanceCount": 1},
                {"InstanceRole": "CORE", "InstanceType": "m5.2xlarge", "InstanceCount": 2},
            ],
        },
    )  # fmt: skip
    return str(answer["JobFlowId"])


def test_steps_run_to_their_end(account: Account, cluster: str) -> None:
    emr = account.client("emr")
    step = {
        "Name": "trips",
        "ActionOnFailure": "CONTINUE",
        "HadoopJarStep": {"Jar": "command-runner.jar", "Args": ["spark-submit", "s3://lake/main.py"]},
    }
    (step_id,) = emr.add_job_flow_steps(JobFlowId=cluster, Steps=[step])["StepIds"]

    found = emr.describe_step(ClusterId=cluster, StepId=step_id)["Step"]
    assert found["Status"]["State"] == "COMPLETED"
    assert found["Config"]["Args"] == ["spark-submit", "s3://lake/main.py"]
    assert [each["Id"] for each in emr.list_steps(ClusterId=cluster)["Steps"]] == [step_id]


def test_instances_of_a_cluster_are_listed(account: Account, cluster: str) -> None:
    emr = account.client("emr")
    listed = emr.list_instances(ClusterId=cluster)["Instances"]
    assert sorted(each["InstanceType"] for each in listed) == ["m5.2xlarge", "m5.2xlarge", "m5.xlarge"]
    assert len({each["Ec2InstanceId"] for each in listed}) == 3
    core = emr.list_instances(ClusterId=cluster, InstanceGroupTypes=["CORE"])["Instances"]
    assert {each["InstanceType"] for each in core} == {"m5.2xlarge"}

    emr.terminate_job_flows(JobFlowIds=[cluster])
    assert emr.list_instances(ClusterId=cluster, InstanceStates=["RUNNING"])["Instances"] == []


def test_terminated_clusters_say_since_when_and_leave_the_active_list(account: Account, cluster: str) -> None:
    emr = account.client("emr")
    assert [each["Id"] for each in emr.list_clusters(ClusterStates=["WAITING"])["Clusters"]] == [cluster]

    emr.terminate_job_flows(JobFlowIds=[cluster])

    assert emr.list_clusters(ClusterStates=["WAITING", "RUNNING"])["Clusters"] == []
    timeline = emr.describe_cluster(ClusterId=cluster)["Cluster"]["Status"]["Timeline"]
    assert timeline["EndDateTime"] >= timeline["CreationDateTime"]


def test_a_protected_cluster_is_not_terminated(account: Account, cluster: str) -> None:
    emr = account.client("emr")
    emr.set_termination_protection(JobFlowIds=[cluster], TerminationProtected=True)
    with pytest.raises(ClientError):
        emr.terminate_job_flows(JobFlowIds=[cluster])
    assert emr.describe_cluster(ClusterId=cluster)["Cluster"]["Status"]["State"] == "WAITING"


# Search, under its older and its newer name


def test_domains_of_the_legacy_api_are_made_tagged_and_deleted(account: Account) -> None:
    es = account.client("es")
    made = es.create_elasticsearch_domain(
        DomainName="search", ElasticsearchVersion="7.10",
        ElasticsearchClusterConfig={"InstanceType": "m5.large.elasticsearch", "InstanceCount": 2},
    )["DomainStatus"]  # fmt: skip
    es.add_tags(ARN=made["ARN"], TagList=[{"Key": "daybreak:env", "Value": "dev-01"}])

    (found,) = es.describe_elasticsearch_domains(DomainNames=["search"])["DomainStatusList"]
    assert found["ElasticsearchVersion"] == "7.10"
    assert found["ElasticsearchClusterConfig"]["InstanceCount"] == 2
    assert es.list_tags(ARN=made["ARN"])["TagList"] == [{"Key": "daybreak:env", "Value": "dev-01"}]
    modern = account.client("opensearch").describe_domain(DomainName="search")["DomainStatus"]
    assert modern["EngineVersion"] == "Elasticsearch_7.10"

    es.delete_elasticsearch_domain(DomainName="search")
    assert es.list_domain_names()["DomainNames"] == []


# DynamoDB


def _make_table(account: Account, name: str = "trips", **more: Any) -> Any:
    client = account.client("dynamodb")
    client.create_table(
        TableName=name, BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}], **more,
    )  # fmt: skip
    return client


def test_items_are_written_in_batches_and_a_table_is_made_anew(account: Account) -> None:
    client = _make_table(account, Tags=[{"Key": "daybreak:env", "Value": "dev-01"}])
    for start in (0, 25):
        puts = [{"PutRequest": {"Item": {"id": {"S": str(start + n)}}}} for n in range(25)]
        assert client.batch_write_item(RequestItems={"trips": puts})["UnprocessedItems"] == {}
    assert client.scan(TableName="trips", Select="COUNT")["Count"] == 50

    client.delete_table(TableName="trips")
    _make_table(account)
    assert client.scan(TableName="trips", Select="COUNT")["Count"] == 0
    assert client.list_tags_of_resource(ResourceArn=account.arn("dynamodb", "table/trips"))["Tags"] == []


def test_deletion_protection_keeps_a_table(account: Account) -> None:
    client = _make_table(account, DeletionProtectionEnabled=True)
    with pytest.raises(ClientError) as refused:
        client.delete_table(TableName="trips")
    assert _code(refused) == "ValidationException"
    assert client.list_tables()["TableNames"] == ["trips"]


def test_a_batch_larger_than_25_is_refused(account: Account) -> None:
    client = _make_table(account)
    puts = [{"PutRequest": {"Item": {"id": {"S": str(n)}}}} for n in range(26)]
    with pytest.raises(ClientError) as refused:
        client.batch_write_item(RequestItems={"trips": puts})
    assert _code(refused) == "ValidationException"


# S3


def test_versions_and_markers_are_deleted_by_lists(account: Account) -> None:
    s3, name = account.client("s3"), f"lake-{account.id}"
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    for body in (b"1", b"2"):
        s3.put_object(Bucket=name, Key="apps/trips/main.py", Body=body)
    s3.delete_object(Bucket=name, Key="apps/trips/main.py")

    listed = s3.list_object_versions(Bucket=name)
    assert (len(listed["Versions"]), len(listed["DeleteMarkers"])) == (2, 1)
    doomed = [{"Key": each["Key"], "VersionId": each["VersionId"]}
              for each in listed["Versions"] + listed["DeleteMarkers"]]  # fmt: skip
    assert "Errors" not in s3.delete_objects(Bucket=name, Delete={"Objects": doomed, "Quiet": True})

    assert "Versions" not in s3.list_object_versions(Bucket=name)
    s3.delete_bucket(Bucket=name)


def test_bucket_names_are_global(account: Account) -> None:
    other = Account(str(10**11 + secrets.randbelow(10**11)), account.aws)
    name, place = f"lake-{account.id}", {"LocationConstraint": REGION}
    account.client("s3").create_bucket(Bucket=name, CreateBucketConfiguration=place)
    with pytest.raises(ClientError) as taken:
        other.client("s3").create_bucket(Bucket=name, CreateBucketConfiguration=place)
    assert _code(taken) == "BucketAlreadyExists"


def test_large_objects_arrive_whole(account: Account) -> None:
    s3, name = account.client("s3"), f"lake-{account.id}"
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    body = secrets.token_bytes(9 * 2**20)
    s3.upload_fileobj(io.BytesIO(body), name, "large")  # in parts
    assert s3.get_object(Bucket=name, Key="large")["Body"].read() == body


# Glue


def test_tables_are_deleted_in_one_call_and_unknown_ones_are_reported(account: Account) -> None:
    glue = account.client("glue")
    glue.create_database(DatabaseInput={"Name": "lake"}, Tags={"daybreak:env": "dev-01"})
    for n in range(3):
        glue.create_table(DatabaseName="lake", TableInput={"Name": f"t{n}", "Parameters": {"a": "b"}})
    pages = glue.get_paginator("get_tables").paginate(DatabaseName="lake", PaginationConfig={"PageSize": 2})
    assert [table["Name"] for page in pages for table in page["TableList"]] == ["t0", "t1", "t2"]

    answer = glue.batch_delete_table(DatabaseName="lake", TablesToDelete=["t0", "t1", "none"])

    assert [(each["TableName"], each["ErrorDetail"]["ErrorCode"]) for each in answer["Errors"]] == [
        ("none", "EntityNotFoundException")
    ]
    assert [table["Name"] for table in glue.get_tables(DatabaseName="lake")["TableList"]] == ["t2"]
    assert glue.get_tags(ResourceArn=account.arn("glue", "database/lake"))["Tags"] == {
        "daybreak:env": "dev-01"
    }


# Queues and logs


def test_a_purged_queue_is_empty(account: Account) -> None:
    sqs = account.client("sqs")
    url = sqs.create_queue(QueueName="events", tags={"daybreak:env": "dev-01"})["QueueUrl"]
    sqs.send_message_batch(QueueUrl=url, Entries=[{"Id": str(n), "MessageBody": "x"} for n in range(10)])

    sqs.purge_queue(QueueUrl=url)

    assert "Messages" not in sqs.receive_message(QueueUrl=url)
    read = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages", "QueueArn"])
    assert read["Attributes"] == {
        "ApproximateNumberOfMessages": "0",
        "QueueArn": account.arn("sqs", "events"),
    }


def test_log_groups_are_made_anew_with_their_retention_and_tags(account: Account) -> None:
    logs = account.client("logs")
    for _ in range(2):
        logs.create_log_group(logGroupName="/daybreak/trips", tags={"daybreak:env": "dev-01"})
        logs.put_retention_policy(logGroupName="/daybreak/trips", retentionInDays=7)
        (group,) = logs.describe_log_groups(logGroupNamePrefix="/daybreak/")["logGroups"]
        assert group["retentionInDays"] == 7
        logs.delete_log_group(logGroupName="/daybreak/trips")
    assert logs.describe_log_groups()["logGroups"] == []


# Schedules


def test_a_rule_is_disabled_and_enabled_and_keeps_the_rest(account: Account) -> None:
    events = account.client("events")
    events.put_rule(Name="hourly", ScheduleExpression="rate(1 hour)", State="ENABLED", Description="d")
    events.put_targets(Rule="hourly", Targets=[{"Id": "1", "Arn": account.arn("sqs", "events")}])
    before = events.describe_rule(Name="hourly")

    events.disable_rule(Name="hourly")
    assert events.describe_rule(Name="hourly")["State"] == "DISABLED"
    events.enable_rule(Name="hourly")

    after = events.describe_rule(Name="hourly")
    for answer in (before, after):
        answer.pop("ResponseMetadata")
    assert after == before
    assert len(events.list_targets_by_rule(Rule="hourly")["Targets"]) == 1


def test_updating_a_schedule_resets_what_is_left_out(account: Account) -> None:
    scheduler = account.client("scheduler")
    target = {"Arn": account.arn("sqs", "events"), "RoleArn": f"arn:aws:iam::{account.id}:role/worker"}
    must = {"Name": "nightly", "ScheduleExpression": "rate(1 day)", "Target": target,
            "FlexibleTimeWindow": {"Mode": "OFF"}}  # fmt: skip
    scheduler.create_schedule(**must, Description="keep me", ScheduleExpressionTimezone="Asia/Jerusalem")
    assert scheduler.get_schedule(Name="nightly")["Description"] == "keep me"

    scheduler.update_schedule(**must, State="DISABLED")

    found = scheduler.get_schedule(Name="nightly")
    assert found["State"] == "DISABLED"
    assert not found.get("Description")
    assert found.get("ScheduleExpressionTimezone", "UTC") == "UTC"


# Functions


def _zip(source: str) -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        archive.writestr("index.py", source)
    return raw.getvalue()


def test_a_functions_code_is_replaced_and_its_key_is_a_tag(account: Account) -> None:
    account.create({each: stacks.everything(account.id)[each] for each in ("Role", "Function")})
    client, arn = account.client("lambda"), account.arn("lambda", "function:scorer")
    before = client.get_function_configuration(FunctionName="scorer")["CodeSha256"]

    client.update_function_code(
        FunctionName="scorer", ZipFile=_zip("def handler(event, context):\n    return 'new'\n")
    )
    client.get_waiter("function_updated_v2").wait(FunctionName="scorer")
    client.tag_resource(Resource=arn, Tags={"daybreak:key": "abc"})

    found = client.get_function(FunctionName="scorer")
    assert found["Configuration"]["CodeSha256"] != before
    assert found["Tags"]["daybreak:key"] == "abc"
    assert json.load(client.invoke(FunctionName="scorer")["Payload"]) == "new"


def test_a_function_has_boto3_and_reaches_its_own_account(account: Account) -> None:
    source = (
        "import boto3\n"
        "def handler(event, context):\n"
        "    return boto3.client('sts').get_caller_identity()['Account']\n"
    )
    resources = {each: stacks.everything(account.id)[each] for each in ("Role", "Function")}
    resources["Function"]["Properties"]["Code"]["ZipFile"] = source
    account.create(resources)
    answer = account.client("lambda").invoke(FunctionName="scorer")
    assert json.load(answer["Payload"]) == account.id


# Costs


def test_costs_are_answered_by_day_environment_and_service(account: Account) -> None:
    today = datetime.now(UTC).date()
    days = [today - timedelta(days=n) for n in range(10, 0, -1)]
    ec2, search = "Amazon Elastic Compute Cloud - Compute", "Amazon OpenSearch Service"
    account.aws.bill(account.id, [
        {"day": day.isoformat(), "service": service, "amount": amount, "tags": {"daybreak:env": environment}}
        for day in days for service, amount in ((ec2, 1.5), (search, 4))
        for environment in ("dev-01", "dev-02")
    ])  # fmt: skip
    account.aws.bill(account.id, [{"day": days[0].isoformat(), "service": ec2, "amount": 100}])
    ask = {
        "TimePeriod": {"Start": days[0].isoformat(), "End": today.isoformat()}, "Granularity": "DAILY",
        "Metrics": ["UnblendedCost"],
    }  # fmt: skip
    client = account.client("ce")

    grouped = client.get_cost_and_usage(
        **ask, GroupBy=[{"Type": "TAG", "Key": "daybreak:env"}, {"Type": "DIMENSION", "Key": "SERVICE"}]
    )["ResultsByTime"]
    assert len(grouped) == 10
    first = {
        tuple(each["Keys"]): float(each["Metrics"]["UnblendedCost"]["Amount"])
        for each in grouped[0]["Groups"]
    }
    assert first == {
        ("daybreak:env$", ec2): 100.0,
        ("daybreak:env$dev-01", ec2): 1.5, ("daybreak:env$dev-01", search): 4.0,
        ("daybreak:env$dev-02", ec2): 1.5, ("daybreak:env$dev-02", search): 4.0,
    }  # fmt: skip
    assert [each["Estimated"] for each in grouped] == [False] * 8 + [True] * 2

    one = client.get_cost_and_usage(**ask, Filter={"Tags": {"Key": "daybreak:env", "Values": ["dev-01"]}})
    assert {float(each["Total"]["UnblendedCost"]["Amount"]) for each in one["ResultsByTime"]} == {5.5}
    other = Account(str(10**11 + secrets.randbelow(10**11)), account.aws).client("ce")
    empty = other.get_cost_and_usage(**ask)["ResultsByTime"]
    assert {float(each["Total"]["UnblendedCost"]["Amount"]) for each in empty} == {0.0}
