"""EMR: ListInstances, and clusters that say when they ended."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

Json = Mapping[str, Any]


def install(emr: ModuleType) -> None:
    """Into ministack's module."""
    if "ListInstances" not in emr._HANDLERS:
        emr._HANDLERS["ListInstances"] = lambda data: _list_instances(emr, data)
        emr._HANDLERS["TerminateJobFlows"] = _ended(emr, emr._HANDLERS["TerminateJobFlows"])


def _list_instances(emr: ModuleType, data: Json) -> Any:
    cluster = emr._clusters.get(data.get("ClusterId"))
    if cluster is None:
        message = f"Cluster id '{data.get('ClusterId')}' is not valid."
        return emr.error_response_json("InvalidRequestException", message, 400)
    gone = cluster["Status"]["State"].startswith("TERMINATED")
    state = "TERMINATED" if gone else "RUNNING"
    wanted_groups, wanted_states = data.get("InstanceGroupTypes"), data.get("InstanceStates")
    instances = []
    for group in cluster["InstanceGroups"]:
        if wanted_groups and group["InstanceGroupType"] not in wanted_groups:
            continue
        if data.get("InstanceGroupId") not in {None, group["Id"]}:
            continue
        for number in range(group["RunningInstanceCount"]):
            instances.append({
                "Id": f"ci-{group['Id'][3:]}{number}",
                "Ec2InstanceId": _instance_id(cluster["Id"], group["Id"], number),
                "PrivateIpAddress": f"10.0.0.{10 + number}",
                "InstanceGroupId": group["Id"],
                "InstanceType": group["InstanceType"],
                "Market": group["Market"],
                "Status": {"State": state, "StateChangeReason": {}, "Timeline": group["Status"]["Timeline"]},
            })  # fmt: skip
    if wanted_states and state not in wanted_states:
        instances = []
    return emr.json_response({"Instances": instances})


def _instance_id(cluster: str, group: str, number: int) -> str:
    return "i-" + hashlib.sha256(f"{cluster}/{group}/{number}".encode()).hexdigest()[:17]


def _ended(emr: ModuleType, terminate: Callable[[Json], Any]) -> Callable[[Json], Any]:
    def terminate_and_date(data: Json) -> Any:
        answer = terminate(data)
        for cluster_id in data.get("JobFlowIds", ()):
            cluster = emr._clusters.get(cluster_id)
            if cluster and cluster["Status"]["State"] == "TERMINATED":
                cluster["Status"]["Timeline"].setdefault("EndDateTime", emr._now_iso())
        return answer

    return terminate_and_date
