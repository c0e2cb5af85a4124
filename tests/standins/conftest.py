"""Plain boto3 clients of the test's own account, without Daybreak's session and retries between."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from botocore.config import Config

from examples.standins.aws.emulator import AwsEmulator

REGION = "eu-west-1"
TAGS = {"daybreak:env": "dev-01", "daybreak:nonce": "n1"}
_CONFIG = Config(retries={"mode": "standard", "total_max_attempts": 1}, read_timeout=20)
_SESSION = boto3.Session()  # one: it keeps the service models that it read


@dataclass(frozen=True)
class Account:
    """One account on the emulator."""

    id: str
    aws: AwsEmulator

    def client(self, service: str, region: str = REGION) -> Any:
        return _SESSION.client(
            service, region_name=region, endpoint_url=self.aws.endpoint_url, config=_CONFIG,
            aws_access_key_id=self.id, aws_secret_access_key="local",
        )  # fmt: skip

    def arn(self, service: str, resource: str) -> str:
        return f"arn:aws:{service}:{REGION}:{self.id}:{resource}"

    def calls(self) -> list[tuple[str, str]]:
        return [(call["service"], call["action"]) for call in self.aws.journal(account=self.id)]

    def inject(self, kind: str, service: str | None = None, action: str | None = None, **details: Any) -> str:
        return self.aws.inject(kind, service, action, account=self.id, **details)

    # Stacks

    def start(self, operation: str, resources: Mapping[str, Any], name: str = "stack", **more: Any) -> None:
        tags = [{"Key": key, "Value": value} for key, value in more.pop("tags", TAGS).items()]
        getattr(self.client("cloudformation"), operation)(
            StackName=name, TemplateBody=json.dumps({"Resources": resources}), Tags=tags,
            Capabilities=["CAPABILITY_NAMED_IAM"], **more,
        )  # fmt: skip

    def settled(self, name: str = "stack") -> str:
        """The stack's status once nothing is in progress; ``gone`` when it was deleted."""
        client = self.client("cloudformation")
        for _ in range(500):
            stacks = client.describe_stacks()["Stacks"]
            status = next((each["StackStatus"] for each in stacks if each["StackName"] == name), "gone")
            if not status.endswith("_IN_PROGRESS"):
                return str(status)
            time.sleep(0.02)
        raise AssertionError(f"{name} is still {status}")

    def create(self, resources: Mapping[str, Any], name: str = "stack", **more: Any) -> str:
        self.start("create_stack", resources, name, **more)
        return self.settled(name)

    def update(self, resources: Mapping[str, Any], name: str = "stack", **more: Any) -> str:
        self.start("update_stack", resources, name, **more)
        return self.settled(name)

    def delete(self, name: str = "stack", **more: Any) -> str:
        self.client("cloudformation").delete_stack(StackName=name, **more)
        return self.settled(name)

    def members(self, name: str = "stack") -> dict[str, str]:
        """Physical ids by logical id."""
        answer = self.client("cloudformation").describe_stack_resources(StackName=name)
        return {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in answer["StackResources"]}

    def reasons(self, status: str, name: str = "stack") -> list[str]:
        """What the events with this status say."""
        answer = self.client("cloudformation").describe_stack_events(StackName=name)
        return [each.get("ResourceStatusReason", "") for each in answer["StackEvents"]
                if each["ResourceStatus"] == status]  # fmt: skip


@pytest.fixture
def account(aws: AwsEmulator, aws_account: str) -> Account:
    return Account(aws_account, aws)


@pytest.fixture
def client(account: Account) -> Callable[..., Any]:
    return account.client
