"""The journal: every call once, named as the API names it, without secrets."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.standins.conftest import REGION, Account

pytestmark = pytest.mark.aws


def test_calls_of_all_protocols_have_their_names(account: Account) -> None:
    bucket, arn = f"lake-{account.id}", account.arn("scheduler", "schedule-group/default")
    s3 = account.client("s3")
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_object(Bucket=bucket, Key="a b/c", Body=b"1")
    s3.copy_object(Bucket=bucket, Key="d", CopySource={"Bucket": bucket, "Key": "a b/c"})
    s3.head_object(Bucket=bucket, Key="d")
    s3.list_objects_v2(Bucket=bucket)
    s3.list_objects(Bucket=bucket)
    s3.list_object_versions(Bucket=bucket)
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "d"}]})
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    upload = s3.create_multipart_upload(Bucket=bucket, Key="m")["UploadId"]
    s3.upload_part(Bucket=bucket, Key="m", PartNumber=1, UploadId=upload, Body=b"1")
    s3.list_parts(Bucket=bucket, Key="m", UploadId=upload)
    s3.abort_multipart_upload(Bucket=bucket, Key="m", UploadId=upload)
    account.client("scheduler").list_tags_for_resource(ResourceArn=arn)
    account.client("lambda").list_functions()
    with pytest.raises(ClientError):
        account.client("lambda").get_function_configuration(FunctionName="none")
    with pytest.raises(ClientError):
        account.client("lambda").invoke(FunctionName="none")
    account.client("es").list_domain_names()
    account.client("opensearch").list_domain_names()
    account.client("sts").get_caller_identity()
    account.client("ec2").describe_instances()
    account.client("dynamodb").list_tables()
    account.client("resourcegroupstaggingapi").get_resources()

    assert account.calls() == [
        ("s3", "CreateBucket"),
        ("s3", "PutObject"),
        ("s3", "CopyObject"),
        ("s3", "HeadObject"),
        ("s3", "ListObjectsV2"),
        ("s3", "ListObjects"),
        ("s3", "ListObjectVersions"),
        ("s3", "DeleteObjects"),
        ("s3", "PutBucketTagging"),
        ("s3", "CreateMultipartUpload"),
        ("s3", "UploadPart"),
        ("s3", "ListParts"),
        ("s3", "AbortMultipartUpload"),
        ("scheduler", "ListTagsForResource"),
        ("lambda", "ListFunctions"),
        ("lambda", "GetFunctionConfiguration"),
        ("lambda", "Invoke"),
        ("es", "ListDomainNames"),
        ("opensearch", "ListDomainNames"),
        ("sts", "GetCallerIdentity"),
        ("ec2", "DescribeInstances"),
        ("dynamodb", "ListTables"),
        ("resourcegroupstaggingapi", "GetResources"),
    ]


def _only(account: Account, since: int = 0) -> dict[str, Any]:
    (call,) = account.aws.journal(since, account=account.id)
    return call


def test_a_call_says_what_it_was_about_and_how_it_ended(account: Account) -> None:
    with pytest.raises(ClientError):
        account.client("ec2").terminate_instances(InstanceIds=["i-1", "i-2"])
    call = _only(account)
    assert call["resources"] == ["i-1", "i-2"]
    assert (call["status"], call["error"]) == (400, "InvalidInstanceID.NotFound")
    assert (call["mutating"], call["fault"], call["region"]) == (True, None, REGION)
    assert call["at"].endswith("+00:00")


@pytest.mark.parametrize(
    ("service", "operation", "parameters", "resources", "mutating"),
    [
        ("dynamodb", "describe_table", {"TableName": "trips"}, ["trips"], False),
        ("dynamodb", "batch_write_item", {"RequestItems": {"trips": [
            {"PutRequest": {"Item": {"id": {"S": "1"}}}}]}}, ["trips"], True),
        ("s3", "delete_object", {"Bucket": "lake", "Key": "a/b c"}, ["lake/a/b c"], True),
        ("lambda", "list_tags", {"Resource": "arn:aws:lambda:eu-west-1:1:function:f"},
         ["arn:aws:lambda:eu-west-1:1:function:f"], False),
        ("lambda", "update_function_code", {"FunctionName": "f", "ZipFile": b"PK"}, ["f"], True),
        ("glue", "batch_delete_table", {"DatabaseName": "lake", "TablesToDelete": ["a", "b"]},
         ["lake", "a", "b"], True),
        ("cloudformation", "delete_stack", {"StackName": "dev-01-base"}, ["dev-01-base"], True),
        ("emr", "terminate_job_flows", {"JobFlowIds": ["j-1"]}, ["j-1"], True),
        ("scheduler", "delete_schedule", {"Name": "nightly", "GroupName": "dev"}, ["nightly", "dev"], True),
        ("logs", "delete_log_group", {"logGroupName": "/a/b"}, ["/a/b"], True),
        ("events", "disable_rule", {"Name": "hourly"}, ["hourly"], True),
        ("ec2", "stop_instances", {"InstanceIds": ["i-1"], "DryRun": True}, ["i-1"], False),
        ("es", "delete_elasticsearch_domain", {"DomainName": "search"}, ["search"], True),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)  # fmt: skip
def test_resources_and_mutations_are_recognised(
    account: Account, service: str, operation: str, parameters: Any, resources: list[str], mutating: bool
) -> None:
    try:
        getattr(account.client(service), operation)(**parameters)
    except ClientError:
        pass  # that there is no such thing does not matter here
    call = _only(account)
    assert sorted(call["resources"]) == sorted(resources)
    assert call["mutating"] is mutating


def test_secrets_and_contents_stay_out(account: Account) -> None:
    secret = "hunter2-hunter2"
    account.client("secretsmanager").create_secret(Name="db", SecretString=secret)
    account.client("dynamodb").list_tables()
    body = {"Parameters": {"Password": {"Type": "String", "NoEcho": True}},
            "Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}}  # fmt: skip
    account.client("cloudformation").create_stack(
        StackName="stack", TemplateBody=json.dumps(body),
        Parameters=[{"ParameterKey": "Password", "ParameterValue": secret}],
    )  # fmt: skip
    account.client("ssm").put_parameter(Name="db", Value=secret, Type="SecureString")
    sqs = account.client("sqs")
    sqs.send_message(QueueUrl=sqs.create_queue(QueueName="q")["QueueUrl"], MessageBody=secret)

    calls = account.aws.journal(account=account.id)
    assert {call["action"] for call in calls} >= {
        "CreateSecret",
        "CreateStack",
        "PutParameter",
        "SendMessage",
    }
    assert secret not in json.dumps(calls)


def test_reading_goes_on_from_a_number_and_clearing_does_not_renumber(account: Account) -> None:
    account.client("sts").get_caller_identity()
    first = _only(account)["n"]
    account.client("sqs").list_queues()
    assert _only(account, since=first)["service"] == "sqs"

    account.aws.clear_journal()
    assert account.aws.journal(account=account.id) == []
    account.client("sts").get_caller_identity()
    assert _only(account)["n"] > first + 1


def test_an_injected_fault_is_named_in_the_journal(account: Account) -> None:
    fault = account.inject("throttle", "sqs", times=1)
    with pytest.raises(ClientError):
        account.client("sqs").list_queues()
    call = _only(account)
    assert (call["fault"], call["status"], call["error"]) == (fault, 400, "RequestThrottled")
