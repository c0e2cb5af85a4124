"""Faults: the right error in each protocol, as often as was asked, and nowhere else."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError, HTTPClientError

from examples.standins.aws.additions.calls import Call, Protocol
from examples.standins.aws.additions.faults import Faults
from examples.standins.aws.emulator import EmulatorFailed
from tests.standins.conftest import Account

pytestmark = pytest.mark.aws

_HARMLESS: dict[str, tuple[str, dict[str, Any]]] = {
    "dynamodb": ("list_tables", {}),
    "ec2": ("describe_instances", {}),
    "cloudformation": ("describe_stacks", {}),
    "lambda": ("list_functions", {}),
    "s3": ("list_buckets", {}),
    "sqs": ("list_queues", {}),
    "glue": ("get_databases", {}),
    "emr": ("list_clusters", {}),
    "events": ("list_rules", {}),
    "scheduler": ("list_schedules", {}),
    "logs": ("describe_log_groups", {}),
    "sts": ("get_caller_identity", {}),
    "iam": ("list_roles", {}),
    "es": ("list_domain_names", {}),
    "resourcegroupstaggingapi": ("get_resources", {}),
    "ce": ("get_cost_and_usage", {
        "TimePeriod": {"Start": "2026-01-01", "End": "2026-01-02"}, "Granularity": "DAILY",
        "Metrics": ["UnblendedCost"],
    }),
}  # fmt: skip


def _ask(account: Account, service: str) -> Any:
    operation, parameters = _HARMLESS[service]
    return getattr(account.client(service), operation)(**parameters)


def _refused(do: Callable[[], Any]) -> tuple[int, str]:
    with pytest.raises(ClientError) as error:
        do()
    answer = error.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]


@pytest.mark.parametrize(
    ("service", "status", "code"),
    [
        ("dynamodb", 400, "ThrottlingException"),
        ("ec2", 503, "RequestLimitExceeded"),
        ("cloudformation", 400, "Throttling"),
        ("lambda", 429, "TooManyRequestsException"),
        ("s3", 503, "SlowDown"),
        ("sqs", 400, "RequestThrottled"),
        ("glue", 400, "ThrottlingException"),
        ("emr", 400, "ThrottlingException"),
        ("events", 400, "ThrottlingException"),
        ("scheduler", 429, "ThrottlingException"),
        ("logs", 400, "ThrottlingException"),
        ("sts", 400, "Throttling"),
        ("iam", 400, "Throttling"),
        ("es", 429, "ThrottlingException"),
        ("resourcegroupstaggingapi", 400, "ThrottledException"),
        ("ce", 400, "LimitExceededException"),
    ],
)
def test_throttling_has_each_services_own_shape(
    account: Account, service: str, status: int, code: str
) -> None:
    account.inject("throttle", service, times=2)

    assert _refused(lambda: _ask(account, service)) == (status, code)
    assert _refused(lambda: _ask(account, service)) == (status, code)
    assert _ask(account, service)["ResponseMetadata"]["HTTPStatusCode"] == 200


@pytest.mark.parametrize("service", ["dynamodb", "ec2", "cloudformation", "lambda", "s3", "scheduler"])
def test_an_error_of_the_service_is_a_5xx(account: Account, service: str) -> None:
    account.inject("error5xx_before", service, times=1)
    status, code = _refused(lambda: _ask(account, service))
    assert status == 500
    assert code not in {"", "500", "Unknown"}


def test_an_error_before_leaves_nothing_and_an_error_after_leaves_the_effect(account: Account) -> None:
    sqs = account.client("sqs")
    account.inject("error5xx_before", "sqs", "CreateQueue", times=1)
    account.inject("error5xx_after", "sqs", "CreateQueue", skip=0, times=1, resource="second", status=503)

    assert _refused(lambda: sqs.create_queue(QueueName="first"))[0] == 500
    assert _refused(lambda: sqs.create_queue(QueueName="second"))[0] == 503

    (url,) = sqs.list_queues()["QueueUrls"]
    assert url.endswith("/second")


def test_a_connection_that_is_closed_has_no_answer_and_may_have_had_its_effect(account: Account) -> None:
    sqs = account.client("sqs")
    account.inject("hang_up_before", "sqs", "CreateQueue", resource="first", times=1)
    account.inject("hang_up_after", "sqs", "CreateQueue", resource="second", times=1)
    for name in ("first", "second"):
        with pytest.raises(HTTPClientError):
            sqs.create_queue(QueueName=name)

    (url,) = sqs.list_queues()["QueueUrls"]
    assert url.endswith("/second")


@pytest.mark.parametrize(
    ("service", "operation", "code", "status"),
    [
        ("resourcegroupstaggingapi", "GetResources", "AccessDeniedException", 400),
        ("s3", "ListBuckets", "AccessDenied", 403),
        ("ec2", "DescribeInstances", "UnauthorizedOperation", 403),
        ("cloudformation", "DescribeStacks", "ExpiredToken", 403),
        ("sqs", "ListQueues", "AWS.SimpleQueueService.PurgeQueueInProgress", 403),
        ("scheduler", "ListSchedules", "ConflictException", 409),
    ],
)
def test_any_error_can_be_said_in_the_services_own_shape(
    account: Account, service: str, operation: str, code: str, status: int
) -> None:
    account.inject("error", service, operation, code=code, status=status, reason="not today")
    with pytest.raises(ClientError, match="not today"):
        _ask(account, service)
    assert _refused(lambda: _ask(account, service)) == (status, code)


def test_a_table_that_was_deleted_may_still_be_there_for_a_while(account: Account) -> None:
    dynamodb = account.client("dynamodb")
    definition = {
        "TableName": "trips", "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
    }  # fmt: skip
    dynamodb.create_table(**definition)
    account.inject("linger", resource="trips", seconds=0.3, times=1)

    assert dynamodb.delete_table(TableName="trips")["TableDescription"]["TableStatus"] == "DELETING"
    assert dynamodb.describe_table(TableName="trips")["Table"]["TableStatus"] == "DELETING"
    taken = (400, "ResourceInUseException")
    assert _refused(lambda: dynamodb.create_table(**definition)) == taken
    assert _refused(lambda: dynamodb.delete_table(TableName="trips")) == taken

    while dynamodb.list_tables()["TableNames"]:
        time.sleep(0.02)
    dynamodb.create_table(**definition)
    dynamodb.delete_table(TableName="trips")
    assert dynamodb.list_tables()["TableNames"] == []


def test_a_fault_hits_only_its_action_account_and_resource(account: Account) -> None:
    account.inject("throttle", "sqs", "CreateQueue", resource="slow")
    sqs = account.client("sqs")

    sqs.create_queue(QueueName="fast")
    assert _refused(lambda: sqs.create_queue(QueueName="slow"))[1] == "RequestThrottled"
    sqs.list_queues()
    other = Account("999988887777", account.aws).client("sqs")
    other.create_queue(QueueName="slow")


def test_the_first_calls_pass_when_a_fault_skips_them(account: Account) -> None:
    account.inject("throttle", "ec2", skip=2, times=1)
    outcomes = []
    for _ in range(4):
        try:
            _ask(account, "ec2")
            outcomes.append("ok")
        except ClientError:
            outcomes.append("throttled")
    assert outcomes == ["ok", "ok", "throttled", "ok"]


def test_a_delayed_call_is_late_and_right(account: Account) -> None:
    account.inject("delay", "sts", seconds=0.3, times=1)
    started = time.monotonic()
    assert _ask(account, "sts")["Account"] == account.id
    assert time.monotonic() - started >= 0.3
    (call,) = account.aws.journal(account=account.id)
    assert call["seconds"] >= 0.3


def test_a_bucket_lets_its_tokens_through_and_then_refuses(account: Account) -> None:
    fault = account.inject("bucket", "ec2", capacity=3, refill=0.0)
    for _ in range(3):
        _ask(account, "ec2")
    assert _refused(lambda: _ask(account, "ec2")) == (503, "RequestLimitExceeded")
    assert next(each for each in account.aws.faults.listed() if each["id"] == fault)["fired"] == 1
    account.client("ec2", "us-west-2").describe_instances()  # another region has its own bucket


def test_a_bucket_fills_again_with_time_up_to_its_capacity() -> None:
    now = 0.0
    faults = Faults(clock=lambda: now)
    faults.add({"kind": "bucket", "service": "ec2", "capacity": 2, "refill": 0.5})
    call = Call("1", "r", "ec2", "DescribeInstances", Protocol.EC2, "POST")

    def passes() -> bool:
        return not faults.hits(call)

    assert [passes() for _ in range(3)] == [True, True, False]
    now = 2.0
    assert [passes() for _ in range(2)] == [True, False]
    now = 100.0
    assert [passes() for _ in range(3)] == [True, True, False]


def test_faults_are_taken_away_one_by_one_and_by_account(account: Account) -> None:
    one = account.inject("throttle", "ec2")
    account.inject("throttle", "sqs")
    account.aws.faults.remove(one)
    _ask(account, "ec2")
    account.aws.clear_faults("000000000000")
    assert _refused(lambda: _ask(account, "sqs"))[1] == "RequestThrottled"
    account.aws.clear_faults(account.id)
    _ask(account, "sqs")


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ({"kind": "explode"}, "explode"),
        ({"kind": "throttle", "tims": 3}, "tims"),
        ({"kind": "bucket"}, "capacity"),
        ({"kind": "error", "status": 403}, "code"),
        ({"kind": "stack_failure", "operation": "rename"}, "operation"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(account: Account, fault: dict[str, Any], says: str) -> None:
    with pytest.raises(EmulatorFailed, match=says):
        account.inject(**fault)
