"""Guarded clients: who lost the op sends nothing, whenever in a call it was lost."""

from __future__ import annotations

from typing import Any

import boto3
import pytest

from daybreak.aws.guard import guarded
from daybreak.aws.retry import Policy, reads
from daybreak.aws.session import client, prepare
from daybreak.errors import LostOp
from examples.standins.aws.emulator import AwsEmulator

REGION = "us-east-1"


class Guard:
    """Lets so many requests through."""

    def __init__(self, passes: int = 99) -> None:
        self.passes, self.asked = passes, 0

    def __call__(self) -> None:
        self.asked += 1
        if self.asked > self.passes:
            raise LostOp("another try took over")


@pytest.fixture
def session(aws_account: str) -> boto3.Session:
    made = boto3.Session(aws_account, "x", region_name=REGION)
    prepare(made, Policy(attempts=3, base=0.001))
    return made


def _mutating(aws: AwsEmulator, account: str) -> list[str]:
    return [call["action"] for call in aws.journal(account=account) if call["mutating"]]


@pytest.mark.aws
def test_each_try_of_a_mutating_call_is_asked_for_and_reading_is_not(
    aws: AwsEmulator, aws_account: str, session: boto3.Session
) -> None:
    guard = Guard()
    sqs = guarded(client(session, "sqs", REGION, aws.endpoint_url), guard)
    aws.faults.inject("throttle", "sqs", "CreateQueue", account=aws_account, times=2)

    url = sqs.create_queue(QueueName="work")["QueueUrl"]
    assert guard.asked == 3
    assert [queue for page in sqs.get_paginator("list_queues").paginate() for queue in page["QueueUrls"]] == [
        url
    ]
    assert guard.asked == 3


@pytest.mark.aws
def test_who_loses_the_op_between_two_tries_sends_no_second_one(
    aws: AwsEmulator, aws_account: str, session: boto3.Session
) -> None:
    shared = client(session, "sqs", REGION, aws.endpoint_url)
    aws.faults.inject("throttle", "sqs", "CreateQueue", account=aws_account, times=1)

    with pytest.raises(LostOp):
        guarded(shared, Guard(passes=1)).create_queue(QueueName="work")
    assert _mutating(aws, aws_account) == ["CreateQueue"]  # the throttled one
    assert not shared.list_queues().get("QueueUrls")

    shared.create_queue(QueueName="others")  # the client that views are of has no guard
    assert len(shared.list_queues()["QueueUrls"]) == 1


@pytest.mark.aws
def test_two_views_of_one_client_have_each_their_own_guard(aws: AwsEmulator, session: boto3.Session) -> None:
    shared = client(session, "sqs", REGION, aws.endpoint_url)
    mine, lost = Guard(), Guard(passes=0)
    with pytest.raises(LostOp):
        guarded(shared, lost).create_queue(QueueName="a")
    guarded(shared, mine).create_queue(QueueName="a")
    assert (mine.asked, lost.asked) == (1, 1)


@pytest.mark.parametrize("service", ["s3", "lambda", "scheduler"])
def test_what_counts_as_reading_is_what_http_calls_safe(service: str) -> None:
    """RFC 9110, 9.2.1. Services with a REST protocol say it with the method; the others only by the name."""
    model: Any = boto3.Session("1", "2", region_name=REGION).client(service).meta.service_model
    wrong = {
        name
        for name in model.operation_names
        if reads(name) != (model.operation_model(name).http["method"] in {"GET", "HEAD"})
    }
    # A query that is too long for an address; and credentials, which are asked for once too often.
    assert wrong <= {"SelectObjectContent", "CreateSession"}


@pytest.mark.parametrize(
    "operation", ["GetterSet", "Listen", "BatchWriteItem", "ReceiveMessage", "AssumeRole", "StartQuery"]
)
def test_an_unknown_operation_counts_as_one_that_changes_something(operation: str) -> None:
    assert not reads(operation)
