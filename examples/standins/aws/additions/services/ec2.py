"""EC2: ModifyInstanceAttribute, termination protection, DryRun."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

Params = Mapping[str, list[str]]
Action = Callable[[Params], Any]

_INSTANCE = re.compile(r"<instanceId>(i-\w+)</instanceId>")
#: What ModifyInstanceAttribute may set, by its parameter: the instance's own field.
_FIELDS = {
    "InstanceType.Value": "InstanceType",
    "DisableApiTermination.Value": "_disable_api_termination",
    "InstanceInitiatedShutdownBehavior.Value": "_shutdown_behavior",
    "UserData.Value": "UserData",
    "EbsOptimized.Value": "_ebs_optimized",
}
#: These need a stopped instance on AWS.
_WHEN_STOPPED = {"InstanceType", "UserData", "_ebs_optimized"}
_READ_BACK = {
    "disableApiTermination": ("_disable_api_termination", "false"),
    "instanceInitiatedShutdownBehavior": ("_shutdown_behavior", "stop"),
    "ebsOptimized": ("_ebs_optimized", "false"),
    "userData": ("UserData", ""),
}


def install(ec2: ModuleType) -> None:
    """Into ministack's module."""
    actions = ec2._ACTION_MAP
    if "ModifyInstanceAttribute" in actions:
        return
    actions["RunInstances"] = _run(ec2, actions["RunInstances"])
    actions["TerminateInstances"] = _terminate(ec2, actions["TerminateInstances"])
    actions["DescribeInstanceAttribute"] = _describe(ec2, actions["DescribeInstanceAttribute"])
    actions["ModifyInstanceAttribute"] = lambda params: _modify(ec2, params)
    for name, action in actions.items():
        actions[name] = _with_dry_run(ec2, action)


def _with_dry_run(ec2: ModuleType, action: Action) -> Action:
    def guarded(params: Params) -> Any:
        if ec2._p(params, "DryRun").lower() != "true":
            return action(params)
        for instance in ec2._parse_member_list(params, "InstanceId"):
            if instance not in ec2._instances:
                return _missing(ec2, instance)
        return ec2._error("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412)

    return guarded


def _run(ec2: ModuleType, action: Action) -> Action:
    def run(params: Params) -> Any:
        answer = action(params)
        if answer[0] == 200:
            for instance in _INSTANCE.findall(answer[2].decode()):
                protected = ec2._p(params, "DisableApiTermination").lower() == "true"
                ec2._instances[instance]["_disable_api_termination"] = "true" if protected else "false"
        return answer

    return run


def _terminate(ec2: ModuleType, action: Action) -> Action:
    def terminate(params: Params) -> Any:
        for instance in ec2._parse_member_list(params, "InstanceId"):
            record = ec2._instances.get(instance)
            if record and record.get("_disable_api_termination") == "true":
                return ec2._error(
                    "OperationNotPermitted",
                    f"The instance '{instance}' may not be terminated. Modify its "
                    "'disableApiTermination' instance "
                    "attribute and try again.",
                    400,
                )
        return action(params)

    return terminate


def _modify(ec2: ModuleType, params: Params) -> Any:
    instance = ec2._p(params, "InstanceId")
    record = ec2._instances.get(instance)
    if record is None:
        return _missing(ec2, instance)
    wanted = {field: ec2._p(params, name) for name, field in _FIELDS.items() if name in params}
    if ec2._p(params, "Attribute"):  # the older form: Attribute=instanceType&Value=…
        attribute = ec2._p(params, "Attribute")
        name = f"{attribute[0].upper()}{attribute[1:]}.Value"
        if name in _FIELDS:
            wanted[_FIELDS[name]] = ec2._p(params, "Value")
    if wanted.keys() & _WHEN_STOPPED and record["State"]["Name"] != "stopped":
        return ec2._error(
            "IncorrectInstanceState", f"The instance '{instance}' is not in the 'stopped' state.", 400
        )
    record.update(wanted)
    if groups := ec2._parse_member_list(params, "GroupId"):
        record["SecurityGroups"] = [
            {"GroupId": group, "GroupName": ec2._security_groups.get(group, {}).get("GroupName", group)}
            for group in groups
        ]
    if "SourceDestCheck.Value" in params:
        record["SourceDestCheck"] = ec2._p(params, "SourceDestCheck.Value").lower() == "true"
    return ec2._xml(200, "ModifyInstanceAttributeResponse", "<return>true</return>")


def _describe(ec2: ModuleType, action: Action) -> Action:
    def describe(params: Params) -> Any:
        instance, attribute = ec2._p(params, "InstanceId"), ec2._p(params, "Attribute")
        record = ec2._instances.get(instance)
        if record is None or attribute not in _READ_BACK:
            return action(params)
        field, default = _READ_BACK[attribute]
        value = ec2._esc(str(record.get(field) or default))
        inner = f"<instanceId>{instance}</instanceId><{attribute}><value>{value}</value></{attribute}>"
        return ec2._xml(200, "DescribeInstanceAttributeResponse", inner)

    return describe


def _missing(ec2: ModuleType, instance: str) -> Any:
    return ec2._error("InvalidInstanceID.NotFound", f"The instance ID '{instance}' does not exist", 400)
