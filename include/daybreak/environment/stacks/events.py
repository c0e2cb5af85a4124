"""Why a stack's latest operation failed, in CloudFormation's own words, resource by resource."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from botocore.exceptions import ClientError

from daybreak.aws.batches import paginate

_STARTED = frozenset({"CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS"})


def failures(client: Any, name: str) -> list[str]:
    """``Lake (AWS::S3::Bucket): … already exists``; oldest first, without mere consequences of others.

    :param name: the stack's *name*: it must still exist.
    """
    lines = list(dict.fromkeys(reversed(list(_resources(client, name)))))
    return lines or list(dict.fromkeys(_validations(client, name)))


def stuck(client: Any, name: str) -> list[str]:
    """Logical ids whose latest rollback failed: what a continued rollback may have to skip."""
    found = set()
    for event in paginate(client, "describe_stack_events", "StackEvents", StackName=name):
        if event["LogicalResourceId"] == name:
            if event["ResourceStatus"] == "UPDATE_ROLLBACK_IN_PROGRESS":
                break
        elif event["ResourceStatus"].endswith("_FAILED"):
            found.add(event["LogicalResourceId"])
    return sorted(found)


def _resources(client: Any, name: str) -> Iterator[str]:
    for event in paginate(client, "describe_stack_events", "StackEvents", StackName=name):
        status, reason = event["ResourceStatus"], event.get("ResourceStatusReason") or "no reason given"
        if event["LogicalResourceId"] == name:
            if status in _STARTED:  # events come newest first; what follows is of an earlier operation
                return
        elif status.endswith("_FAILED") and "cancelled" not in reason.lower():
            yield _line(event, reason)


def _validations(client: Any, name: str) -> Iterator[str]:
    """CloudFormation checks a template before it begins; those findings are in a list of their own."""
    try:
        events = list(
            paginate(
                client, "describe_events", "OperationEvents", StackName=name, Filters={"FailedEvents": True}
            )
        )
    except ClientError:  # not in every region, and our role may lack it; the stack's own reason then serves
        return
    latest = max(events, key=lambda event: event["Timestamp"], default=None)
    for event in events:
        if latest and event["OperationId"] == latest["OperationId"] and "ValidationStatusReason" in event:
            yield _line(event, event["ValidationStatusReason"])


def _line(event: dict[str, Any], reason: str) -> str:
    return f"{event['LogicalResourceId']} ({event['ResourceType']}): {reason}"
