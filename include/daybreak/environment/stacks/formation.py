"""CloudFormation's operations: asked for once whatever becomes of the answer, then waited for."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from daybreak.aws import retry
from daybreak.aws.batches import paginate
from daybreak.deploy.driver import Target
from daybreak.environment.stacks import events
from daybreak.errors import DaybreakError

#: Seconds before the second look; doubles up to ``poll``. Small stacks and no-op waits end at once.
_FIRST_POLL = 0.25
#: AWS had this request before.
_ASKED_BEFORE = "TokenAlreadyExistsException"

Stack = Mapping[str, Any]


class StackFailed(DaybreakError):
    """CloudFormation could not do it; the message holds the reasons of the resources that failed."""

    code = "stack_failed"


@dataclass(frozen=True)
class Member:
    """A resource of one of the environment's own stacks."""

    stack: str
    logical_id: str
    type: str
    physical_id: str
    stack_tags: Mapping[str, str] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class Formation:
    """CloudFormation, as one environment's step uses it.

    :param poll: most seconds between two looks; each is one paged ``DescribeStacks``.
    :param timeout: seconds after which waiting ends with :class:`StackFailed`; the stack goes on by itself.
    """

    target: Target
    poll: float = 5.0
    timeout: float = 5400.0
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic

    @property
    def client(self) -> Any:
        """boto3's."""
        return self.target.client("cloudformation")

    def stacks(self) -> dict[str, dict[str, Any]]:
        """Every stack that is there, by its name."""
        found = paginate(self.client, "describe_stacks", "Stacks")
        return {stack["StackName"]: stack for stack in found if stack["StackStatus"] != "DELETE_COMPLETE"}

    def settled(self, name: str) -> dict[str, Any] | None:
        """The stack once nothing is in progress; ``None`` when there is none.

        :raises StackFailed: when that takes too long.
        """
        limit, pause = self.clock() + self.timeout, min(self.poll, _FIRST_POLL)
        while True:
            stack = self.stacks().get(name)
            status = stack["StackStatus"] if stack else "DELETE_COMPLETE"
            if not status.endswith("_IN_PROGRESS") or status == "REVIEW_IN_PROGRESS":
                return stack
            if self.clock() >= limit:
                raise StackFailed(f"stack {name} is still {status} after {self.timeout:.0f} s")
            self.sleep(pause)
            pause = min(self.poll, 2 * pause)

    def done(self, name: str, operation: str, seen: Stack | None, **request: Any) -> dict[str, Any] | None:
        """Ask for an operation on a stack and wait for its end; the stack as it is then.

        A retry that saw the same stack and asks for the same gets the token of the try before: if that one's
        request reached AWS, nothing is done twice.

        :param operation: boto3's name, ``create_stack``.
        :param seen: the stack that this was decided on, as it was read; ``None`` when there was none.
        :raises ClientError: when CloudFormation refuses the request.
        :raises StackFailed: as :meth:`settled`; the token is kept, because the operation goes on.
        """
        tokens = self.target.tokens
        token = tokens.take(name, _digest(operation, seen, request))
        try:
            getattr(self.client, operation)(ClientRequestToken=token, **request)
        except ClientError as error:
            if retry.is_transient(error) or retry.is_throttling(error):
                raise  # nobody knows whether it was done
            if retry.error_code(error) != _ASKED_BEFORE:
                tokens.over(name)
                raise
        stack = self.settled(name)
        tokens.over(name)
        return stack

    def require(self, name: str, stack: Stack | None, good: Collection[str]) -> None:
        """Check how an operation ended.

        :raises StackFailed: when the stack's status is none of ``good``; with the reasons.
        """
        status = stack["StackStatus"] if stack else "gone"
        if status in good:
            return
        reasons = self.reasons(name) or [str((stack or {}).get("StackStatusReason") or "no reason given")]
        raise StackFailed(f"stack {name} is {status}: {'; '.join(reasons[:3])}")

    def reasons(self, name: str) -> list[str]:
        """Why the last operation failed, resource by resource."""
        return events.failures(self.client, name)

    def resources_with(self, stack: Stack, status: str) -> list[str]:
        """Logical ids of the stack's resources in that status."""
        found = paginate(
            self.client, "list_stack_resources", "StackResourceSummaries", StackName=stack["StackId"]
        )
        return sorted(each["LogicalResourceId"] for each in found if each["ResourceStatus"] == status)

    def members(self, stack: Stack) -> list[Member]:
        """What is in the stack, and in the stacks that are nested in it."""
        found = []
        labels = {tag["Key"]: tag["Value"] for tag in stack.get("Tags", ())}
        for resource in paginate(
            self.client, "list_stack_resources", "StackResourceSummaries", StackName=stack["StackId"]
        ):
            physical = resource.get("PhysicalResourceId")
            if not physical or resource["ResourceStatus"] == "DELETE_COMPLETE":
                continue
            if resource["ResourceType"] == "AWS::CloudFormation::Stack":
                nested = {"StackId": physical, "StackName": stack["StackName"], "Tags": stack.get("Tags", ())}
                found += self.members(nested)
            logical, type_ = resource["LogicalResourceId"], resource["ResourceType"]
            found.append(Member(stack["StackName"], logical, type_, physical, labels))
        return found


def _digest(operation: str, seen: Stack | None, request: Mapping[str, Any]) -> str:
    """What was asked for, and on what stack: one that was changed since makes it another request."""
    based_on = [
        str((seen or {}).get(key)) for key in ("StackId", "StackStatus", "LastUpdatedTime", "DeletionTime")
    ]
    words = json.dumps([operation, based_on, request], sort_keys=True)
    return hashlib.sha256(words.encode()).hexdigest()
