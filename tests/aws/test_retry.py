"""Patience with throttling: full jitter, bounded, only where it helps."""

from __future__ import annotations

import logging
import random

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
)

from daybreak.aws import retry


def error(code: str, status: int = 400, operation: str = "DescribeThings") -> ClientError:
    return ClientError(
        {"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": status}}, operation
    )


class Flaky:
    """Fails as told, then answers."""

    def __init__(self, *failures: Exception) -> None:
        self.failures, self.calls = list(failures), 0

    def __call__(self) -> str:
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)
        return "answer"


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("ThrottlingException", 400),  # DynamoDB, Glue, Logs: JSON
        ("ProvisionedThroughputExceededException", 400),
        ("RequestLimitExceeded", 503),  # EC2: query
        ("Throttling", 400),  # CloudFormation: query
        ("TooManyRequestsException", 429),  # Lambda: REST
        ("SlowDown", 503),  # S3: REST-XML
        ("RequestThrottled", 403),  # SQS
        ("SomethingNew", 429),  # whatever the code, 429 means it
    ],
)
def test_throttling_of_every_protocol_is_waited_for(code: str, status: int) -> None:
    flaky, slept = Flaky(error(code, status), error(code, status)), list[float]()
    assert retry.patiently(flaky, "x.Y", sleep=slept.append) == "answer"
    assert (flaky.calls, len(slept)) == (3, 2)


@pytest.mark.parametrize(
    "problem",
    [
        error("AccessDenied", 403),
        error("ValidationError"),
        error("LimitExceededException", 400, "CreateFunction"),  # a full quota
        error("InternalError", 500),
        ConnectionClosedError(endpoint_url="http://127.0.0.1:1"),
        ValueError("ours"),
    ],
)
def test_everything_else_is_raised_at_once(problem: Exception) -> None:
    flaky = Flaky(problem)
    with pytest.raises(type(problem)) as caught:
        retry.patiently(flaky, "x.Y", sleep=pytest.fail)
    assert (flaky.calls, caught.value) == (1, problem)


def test_too_many_table_changes_at_once_are_throttling_but_a_quota_is_not() -> None:
    assert retry.is_throttling(error("LimitExceededException", 400, "DeleteTable"))
    assert not retry.is_throttling(error("LimitExceededException", 400, "CreateLogGroup"))


@pytest.mark.parametrize("kind", [EndpointConnectionError, ConnectTimeoutError])
def test_what_was_never_sent_may_be_asked_again_also_where_it_changes_something(
    kind: type[ConnectTimeoutError | EndpointConnectionError],
) -> None:
    flaky = Flaky(kind(endpoint_url="http://127.0.0.1:1"))
    assert retry.patiently(flaky, "x.Y", sleep=lambda _: None) == "answer"
    assert flaky.calls == 2


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_transient_errors_are_retried_only_when_the_caller_says_that_it_is_safe(status: int) -> None:
    problem = error("InternalError", status)
    patient = retry.Policy(transient=True)
    assert retry.patiently(Flaky(problem), "x.Y", patient, sleep=lambda _: None) == "answer"
    with pytest.raises(ClientError):
        retry.patiently(Flaky(problem), "x.Y", sleep=pytest.fail)


def test_patience_ends_with_the_last_error_and_a_note() -> None:
    flaky = Flaky(*[error("Throttling") for _ in range(9)])
    with pytest.raises(ClientError) as caught:
        retry.patiently(flaky, "x.Y", retry.Policy(attempts=4), sleep=lambda _: None)
    assert flaky.calls == 4
    assert "gave up after 4 tries" in caught.value.__notes__[0]


def _waits(seed: int, tries: int, policy: retry.Policy) -> list[float]:
    slept: list[float] = []
    flaky = Flaky(*[error("Throttling") for _ in range(tries - 1)])
    retry.patiently(flaky, "x.Y", policy, sleep=slept.append, uniform=random.Random(seed).uniform)
    return slept


def test_waits_are_full_jitter_between_zero_and_a_doubling_capped_bound() -> None:
    policy = retry.Policy(attempts=8, base=0.5, cap=4.0)
    bounds = [0.5, 1.0, 2.0, 4.0, 4.0, 4.0, 4.0]
    nights = [_waits(seed, 8, policy) for seed in range(400)]
    for position, bound in enumerate(bounds):
        at = [night[position] for night in nights]
        assert all(0 <= wait <= bound for wait in at)
        # Full jitter spreads over the whole of it; equal jitter would leave the lower half empty.
        assert min(at) < 0.05 * bound
        assert max(at) > 0.95 * bound
        assert 0.42 * bound < sum(at) / len(at) < 0.58 * bound


def test_two_workers_do_not_wait_in_step() -> None:
    assert _waits(1, 6, retry.DEFAULT) != _waits(2, 6, retry.DEFAULT)


def test_the_log_says_what_was_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "daybreak.aws.retry"):
        retry.patiently(Flaky(error("SlowDown", 503)), "s3.DeleteObjects", sleep=lambda _: None)
    assert "s3.DeleteObjects: SlowDown; waiting" in caplog.text
    assert "try 2 of 8" in caplog.text


@pytest.mark.parametrize(
    ("operation", "reads"),
    [
        ("DescribeStacks", True),
        ("GetCallerIdentity", True),
        ("ListObjectVersions", True),
        ("HeadBucket", True),
        ("Scan", True),
        ("BatchGetItem", True),
        ("BatchWriteItem", False),
        ("DeleteTable", False),
        ("Listen", False),
        ("DetachVolume", False),
        ("UpdateSchedule", False),
        ("ReceiveMessage", False),
    ],
)
def test_what_only_reads_is_known_by_its_name(operation: str, reads: bool) -> None:
    assert retry.reads(operation) is reads
