"""Clients: shared, patient, journalled. A small server answers as AWS does when it is asked too often."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
import pytest
from botocore.exceptions import ClientError

from daybreak.aws import journal, retry
from daybreak.aws.batches import batches, paginate
from daybreak.aws.session import client, prepare
from examples.standins.aws.emulator import AwsEmulator

JSON_THROTTLE = (400, '{"__type":"com.amazonaws.dynamodb.v20120810#ThrottlingException","message":"Rate"}')
EC2_THROTTLE = (
    503,
    "<Response><Errors><Error><Code>RequestLimitExceeded</Code><Message>Rate</Message></Error></Errors>"
    "<RequestID>1</RequestID></Response>",
)
CFN_THROTTLE = (
    400,
    "<ErrorResponse><Error><Type>Sender</Type><Code>Throttling</Code><Message>Rate exceeded</Message></Error>"
    "</ErrorResponse>",
)
LAMBDA_THROTTLE = (429, '{"Type":"User","message":"Rate Exceeded"}')
S3_THROTTLE = (503, "<Error><Code>SlowDown</Code><Message>Reduce your rate</Message></Error>")
_NO_STACKS = "<DescribeStacksResponse><DescribeStacksResult/></DescribeStacksResponse>"
DENIED = (400, '{"__type":"AccessDeniedException","message":"no"}')


@dataclass
class Answers:
    """What the server says, in order; the last is repeated."""

    url: str = ""
    queue: list[tuple[int, str]] = field(default_factory=list)
    requests: int = 0

    def next(self) -> tuple[int, str]:
        self.requests += 1
        return self.queue.pop(0) if len(self.queue) > 1 else self.queue[0]


@pytest.fixture
def server() -> Iterator[Answers]:
    answers = Answers()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, body = answers.next()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            if status == 429:
                self.send_header("x-amzn-ErrorType", "TooManyRequestsException")
            self.end_headers()
            self.wfile.write(body.encode())

        do_GET = do_POST = do_PUT = do_DELETE = _answer

        def log_message(self, *_: object) -> None:
            pass

    web = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    answers.url = f"http://127.0.0.1:{web.server_port}"
    yield answers
    web.shutdown()
    thread.join()
    web.server_close()


def session() -> boto3.Session:
    made = boto3.Session(aws_access_key_id="1", aws_secret_access_key="2", region_name="us-east-1")
    prepare(made, retry.Policy(attempts=4, base=0))
    return made


@pytest.mark.parametrize(
    ("service", "operation", "throttle", "good"),
    [
        ("dynamodb", "list_tables", JSON_THROTTLE, '{"TableNames":[]}'),
        ("ec2", "describe_vpcs", EC2_THROTTLE, "<DescribeVpcsResponse/>"),
        ("cloudformation", "describe_stacks", CFN_THROTTLE, _NO_STACKS),
        ("lambda", "list_functions", LAMBDA_THROTTLE, '{"Functions":[]}'),
        ("s3", "list_buckets", S3_THROTTLE, "<ListAllMyBucketsResult/>"),
    ],
)
def test_throttling_on_the_wire_is_waited_for(
    server: Answers,
    service: str,
    operation: str,
    throttle: tuple[int, str],
    good: str,
) -> None:
    server.queue = [throttle, throttle, (200, good)]
    calls: list[journal.Call] = []
    with journal.listening(calls.append):
        getattr(client(session(), service, "us-east-1", server.url), operation)()
    assert server.requests == 3
    assert [(call.service, call.attempt, call.error is None) for call in calls] == [
        (service, 1, False), (service, 2, False), (service, 3, True),
    ]  # fmt: skip


def test_botocore_adds_no_retries_of_its_own(server: Answers) -> None:
    server.queue = [JSON_THROTTLE]
    with pytest.raises(ClientError, match="ThrottlingException"):
        client(session(), "dynamodb", "us-east-1", server.url).list_tables()
    assert server.requests == 4


def test_a_refusal_costs_one_request(server: Answers) -> None:
    server.queue = [DENIED]
    with pytest.raises(ClientError):
        client(session(), "dynamodb", "us-east-1", server.url).list_tables()
    assert server.requests == 1


def test_an_outage_is_waited_for_by_what_reads_and_not_by_what_changes_something(server: Answers) -> None:
    server.queue = [(500, "{}"), (503, "{}"), (200, '{"TableNames":[]}')]
    dynamodb = client(session(), "dynamodb", "us-east-1", server.url)
    assert dynamodb.list_tables()["TableNames"] == []
    server.queue, server.requests = [(500, "{}")], 0
    with pytest.raises(ClientError):
        dynamodb.delete_table(TableName="cars")
    assert server.requests == 1


def test_pages_are_patient_too(server: Answers) -> None:
    server.queue = [
        (200, '{"TableNames":["aaa"],"LastEvaluatedTableName":"aaa"}'), JSON_THROTTLE,
        (200, '{"TableNames":["b"]}'),
    ]  # fmt: skip
    tables = paginate(client(session(), "dynamodb", "us-east-1", server.url), "list_tables", "TableNames")
    assert list(tables) == ["aaa", "b"]


def test_waiters_are_patient_too(server: Answers) -> None:
    server.queue = [JSON_THROTTLE, (200, '{"Table":{"TableStatus":"ACTIVE"}}')]
    waiter = client(session(), "dynamodb", "us-east-1", server.url).get_waiter("table_exists")
    waiter.wait(TableName="cars", WaiterConfig={"Delay": 0, "MaxAttempts": 1})
    assert server.requests == 2


def test_a_client_is_made_once_for_each_session_service_region_and_endpoint() -> None:
    one, two = session(), session()
    first = client(one, "sqs", "us-east-1", "http://127.0.0.1:1")
    assert client(one, "sqs", "us-east-1", "http://127.0.0.1:1") is first
    assert client(one, "sqs", "eu-west-1", "http://127.0.0.1:1") is not first
    assert client(one, "sqs", "us-east-1", "http://127.0.0.1:2") is not first
    assert client(two, "sqs", "us-east-1", "http://127.0.0.1:1") is not first


def test_threads_that_ask_at_once_share_one_client() -> None:
    shared, found = session(), list[object]()
    threads = [
        threading.Thread(target=lambda: found.append(client(shared, "glue", "us-east-1"))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len({id(each) for each in found}) == 1


def test_other_clients_of_the_same_session_are_left_alone(server: Answers) -> None:
    shared = session()
    client(shared, "dynamodb", "us-east-1", server.url)
    calls: list[journal.Call] = []
    server.queue = [(200, '{"TableNames":[]}')]
    with journal.listening(calls.append):
        shared.client("dynamodb", endpoint_url=server.url).list_tables()
    assert not calls


@pytest.mark.parametrize(
    ("count", "size", "lengths"), [(0, 3, []), (1, 3, [1]), (6, 3, [3, 3]), (7, 3, [3, 3, 1])]
)
def test_batches_hold_everything_once_in_order(count: int, size: int, lengths: list[int]) -> None:
    made = list(batches(iter(range(count)), size))
    assert [len(batch) for batch in made] == lengths
    assert [item for batch in made for item in batch] == list(range(count))


def test_a_batch_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        list(batches([1], 0))


@pytest.mark.aws
@pytest.mark.parametrize(
    ("service", "operation"),
    [
        ("dynamodb", "list_tables"),
        ("ec2", "describe_instances"),
        ("cloudformation", "describe_stacks"),
        ("lambda", "list_functions"),
        ("s3", "list_buckets"),
        ("sqs", "list_queues"),
        ("glue", "get_databases"),
        ("logs", "describe_log_groups"),
        ("events", "list_rules"),
        ("scheduler", "list_schedules"),
        ("emr", "list_clusters"),
        ("sts", "get_caller_identity"),
    ],
)
def test_the_emulator_s_throttling_of_every_service_is_waited_for(
    aws: AwsEmulator, aws_account: str, service: str, operation: str
) -> None:
    aws.inject("throttle", service, account=aws_account, times=2)
    made = boto3.Session(aws_access_key_id=aws_account, aws_secret_access_key="2", region_name="us-east-1")
    prepare(made, retry.Policy(attempts=3, base=0))
    calls: list[journal.Call] = []
    with journal.listening(calls.append):
        getattr(client(made, service, "us-east-1", aws.endpoint_url), operation)()
    assert [call.error is None for call in calls] == [False, False, True]
