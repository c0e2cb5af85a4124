"""Log groups: deleted and made anew with their retention, key, class and tags, in 3 calls.

They go last, so that the night's own troubles can still be read. A group with metric or subscription filters
stays: its streams expire by its retention, and its filters are configuration.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from daybreak.aws import retry
from daybreak.aws.batches import paginate
from daybreak.environment import tags
from daybreak.environment.interlocks import Code, Verdict
from daybreak.environment.scorch.plan import Item, Kind
from daybreak.environment.scorch.scope import Execution, Planning

TYPE = "AWS::Logs::LogGroup"


def find(planning: Planning) -> None:
    """Plan every log group of ours that has streams."""
    client = planning.target.client("logs")
    for member, labels in planning.select(Kind.LOGS, TYPE):
        name = member.physical_id
        group = _describe(client, name)
        if group is None or not client.describe_log_streams(logGroupName=name, limit=1)["logStreams"]:
            continue
        subscriptions = client.describe_subscription_filters(logGroupName=name, limit=1)[
            "subscriptionFilters"
        ]
        if group.get("metricFilterCount") or subscriptions:
            planning.protect(
                Kind.LOGS, name, Verdict(Code.HAS_FILTERS, "it has metric or subscription filters")
            )
            continue
        definition = {
            "class": group.get("logGroupClass"),
            "key": group.get("kmsKeyId"),
            "retention": group.get("retentionInDays"),
            "tags": {key: value for key, value in labels.items() if not key.startswith("aws:")},
        }
        detail = {"id": group["creationTime"], "definition": definition}
        planning.items.append(Item(Kind.LOGS, name, member.logical_id, "all streams in it", detail))


def execute(items: Sequence[Item], run: Execution) -> None:
    """Recreate the planned groups; what a former try deleted, or did not make whole, is made good by the
    plan.
    """
    client = run.target.client("logs")
    for item in items:
        try:
            run.before()
            group = _describe(client, item.identifier)
            if group is None:
                if not run.is_member(TYPE, item.identifier):
                    run.skip(item, Verdict(Code.GONE, "it is gone, with its stack"))
                    continue
            elif group["creationTime"] != item.detail["id"]:
                if run.confirm(item, TYPE, item.identifier):
                    # Made by a former try of ours that may not have come to the end.
                    _restore(client, item.identifier, item.detail["definition"], group)
                run.skip(item, Verdict(Code.CHANGED, "it was made after the plan"))
                continue
            elif run.confirm(item, TYPE, item.identifier):
                client.delete_log_group(logGroupName=item.identifier)
            else:
                continue
            _create(client, item.identifier, item.detail["definition"])
            run.done(item)
        except tags.Gone:
            continue
        except retry.AWS_ERRORS as error:
            run.fail(item, error)


def _describe(client: Any, name: str) -> Mapping[str, Any] | None:
    groups = paginate(client, "describe_log_groups", "logGroups", logGroupNamePrefix=name)
    return next((group for group in groups if group["logGroupName"] == name), None)


def _create(client: Any, name: str, definition: Mapping[str, Any]) -> None:
    optional = {"kmsKeyId": definition["key"], "logGroupClass": definition["class"]}
    client.create_log_group(
        logGroupName=name,
        tags=dict(definition["tags"]),
        **{key: value for key, value in optional.items() if value},
    )
    _restore(client, name, definition, {})


def _restore(client: Any, name: str, definition: Mapping[str, Any], group: Mapping[str, Any]) -> None:
    """The retention, which ``CreateLogGroup`` does not take."""
    days = definition["retention"]
    if days and group.get("retentionInDays") != days:
        client.put_retention_policy(logGroupName=name, retentionInDays=days)
