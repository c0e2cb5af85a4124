"""Resource groups tagging: the types that ministack leaves out, and pages."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

_PAGE = 100
Tags = list[dict[str, str]]


def install(tagging: ModuleType) -> None:
    """Into ministack's module."""
    tagging._COLLECTORS.update({
        "ec2": _ec2,
        "logs": _logs,
        "elasticmapreduce": _emr,
        "es": _es,
        "cloudformation": _stacks,
        "states": _states,
    })  # fmt: skip
    every = tagging._HANDLERS["GetResources"]

    def get_resources(data: Mapping[str, Any]) -> Any:
        status, headers, body = every(data)
        found = json.loads(body)
        if status != 200 or data.get("ResourceARNList"):
            return status, headers, body
        listed = sorted(found["ResourceTagMappingList"], key=lambda each: str(each["ResourceARN"]))
        size = int(data.get("ResourcesPerPage") or _PAGE)
        token = data.get("PaginationToken")
        start = int(base64.b64decode(token)) if token else 0
        rest = start + size < len(listed)
        return tagging._json(
            {
                "ResourceTagMappingList": listed[start : start + size],
                "PaginationToken": base64.b64encode(str(start + size).encode()).decode() if rest else "",
            }
        )

    tagging._HANDLERS["GetResources"] = get_resources


def _arn(service: str, resource: str) -> str:
    from ministack.core.responses import get_account_id, get_region

    return f"arn:aws:{service}:{get_region()}:{get_account_id()}:{resource}"


def _pairs(tags: Mapping[str, str]) -> Tags:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def _ec2() -> Iterator[tuple[str, Tags]]:
    from ministack.services import ec2

    for identifier, tags in list(ec2._tags.items()):
        if tags:
            yield _arn("ec2", f"{ec2._guess_resource_type(identifier)}/{identifier}"), list(tags)


def _logs() -> Iterator[tuple[str, Tags]]:
    from ministack.services import cloudwatch_logs

    for name, group in list(cloudwatch_logs._log_groups.items()):
        if group.get("tags"):
            yield _arn("logs", f"log-group:{name}"), _pairs(group["tags"])


def _emr() -> Iterator[tuple[str, Tags]]:
    from ministack.services import emr

    for cluster in list(emr._clusters.values()):
        if cluster.get("Tags"):
            yield cluster["ClusterArn"], list(cluster["Tags"])


def _es() -> Iterator[tuple[str, Tags]]:
    from ministack.core.responses import get_region
    from ministack.services import opensearch

    for arn, tags in list(opensearch._tags.items()):
        if f":{get_region()}:" in arn and tags:
            yield arn, _pairs(tags) if isinstance(tags, dict) else list(tags)


def _stacks() -> Iterator[tuple[str, Tags]]:
    from ministack.services import cloudformation

    for stack in list(cloudformation._stacks.values()):
        if stack.get("Tags") and stack["StackStatus"] != "DELETE_COMPLETE":
            yield stack["StackId"], list(stack["Tags"])


def _states() -> Iterator[tuple[str, Tags]]:
    from ministack.services import stepfunctions

    for arn, tags in list(stepfunctions._tags.items()):
        if tags:
            yield arn, [{"Key": each["key"], "Value": each["value"]} for each in tags]
