"""An account is put back as it was, and no other one is touched."""

from __future__ import annotations

import pytest

from tests.standins.conftest import Account
from tests.standins.stacks import bucket, instance, queue, table

pytestmark = pytest.mark.aws


def test_an_account_is_put_back_as_it_was_as_often_as_one_likes(account: Account) -> None:
    resources = {"Trips": table(), "Lake": bucket(account.id), "Work": queue(), "Host": instance()}
    account.create(resources)
    dynamodb, s3, ec2 = (account.client(name) for name in ("dynamodb", "s3", "ec2"))
    dynamodb.put_item(TableName="trips", Item={"id": {"S": "1"}})
    s3.put_object(Bucket=f"lake-{account.id}", Key="a", Body=b"1")

    def seen() -> object:
        instances = ec2.describe_instances()["Reservations"]
        return (
            dynamodb.describe_table(TableName="trips")["Table"]["TableId"],
            dynamodb.scan(TableName="trips")["Items"],
            [each["ETag"] for each in s3.list_objects_v2(Bucket=f"lake-{account.id}").get("Contents", [])],
            [(i["InstanceId"], i["State"]["Name"]) for each in instances for i in each["Instances"]],
            account.client("sqs").list_queues()["QueueUrls"],
        )

    before, snapshot = seen(), account.aws.snapshot(account.id)
    for _ in range(2):
        dynamodb.delete_table(TableName="trips")
        s3.delete_object(Bucket=f"lake-{account.id}", Key="a")
        ec2.terminate_instances(InstanceIds=[before[3][0][0]])  # type: ignore[index]
        account.client("sqs").create_queue(QueueName="late")
        account.client("logs").create_log_group(logGroupName="/late")
        account.aws.restore(snapshot)
        assert seen() == before
    assert account.client("logs").describe_log_groups()["logGroups"] == []
