"""Resource types of stacks that ministack does not have, or has differently from AWS."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from . import ec2 as our_ec2
from . import elasticsearch
from . import emr as our_emr

Properties = Mapping[str, Any]
#: Physical id, and attributes for ``Fn::GetAtt``.
Made = tuple[str, dict[str, Any]]

_TAGGED = (
    "AWS::EC2::Instance", "AWS::EMR::Cluster", "AWS::Elasticsearch::Domain", "AWS::S3::Bucket",
)  # fmt: skip
#: A change of these makes a new instance or cluster. (Stack tags and the like are changed in place.)
_INSTANCE_IN_PLACE = {"Tags", "InstanceType", "UserData", "DisableApiTermination", "SecurityGroupIds"}
_CLUSTER_IN_PLACE = {"Tags", "VisibleToAllUsers", "StepConcurrencyLevel", "AutoTerminationPolicy"}


def install(provisioners: ModuleType) -> None:
    """Into ministack's table of types."""
    from ministack.services import ec2, emr

    our_ec2.install(ec2)
    our_emr.install(emr)
    for type_ in _TAGGED:
        provisioners._STACK_TAG_PROPERTY[type_] = ("Tags", "list")
    provisioners._RESOURCE_HANDLERS.update({
        "AWS::EC2::Instance": _instance(provisioners, ec2),
        "AWS::EMR::Cluster": _cluster(provisioners, emr),
        "AWS::Elasticsearch::Domain": _domain(provisioners),
        "AWS::S3::Bucket": _bucket(provisioners),
    })  # fmt: skip


def _handlers(
    create: Callable[..., Made], update: Callable[..., Made], delete: Callable[..., None]
) -> dict[str, Any]:
    return {"create": create, "update": update, "update_with_logical_id": True, "delete": delete}


def _changed(old: Properties, new: Properties) -> set[str]:
    return {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}


def _texts(values: Properties) -> dict[str, list[str]]:
    """Properties as EC2's query parameters."""
    return {name: [str(value)] for name, value in values.items() if value is not None}


# Instances


def _instance(provisioners: ModuleType, ec2: ModuleType) -> dict[str, Any]:
    def attributes(instance: str) -> dict[str, Any]:
        record = ec2._instances[instance]
        return {
            "InstanceId": instance,
            "AvailabilityZone": record["Placement"]["AvailabilityZone"],
            "PrivateIp": record["PrivateIpAddress"],
            "PublicIp": record["PublicIpAddress"],
            "PrivateDnsName": record["PrivateDnsName"],
            "PublicDnsName": record["PublicDnsName"],
            "VpcId": record["VpcId"],
        }

    def create(_logical_id: str, properties: Properties, _stack: str) -> Made:
        ec2._ensure_defaults_initialized()
        wanted = _texts(
            {
                name: properties.get(name)
                for name in ("ImageId", "InstanceType", "KeyName", "SubnetId", "UserData", "PrivateIpAddress")
            }
        )
        wanted |= {"MinCount": ["1"], "MaxCount": ["1"]}
        wanted["DisableApiTermination"] = [str(properties.get("DisableApiTermination", False))]
        for number, group in enumerate(properties.get("SecurityGroupIds") or (), 1):
            wanted[f"SecurityGroupId.{number}"] = [group]
        if profile := properties.get("IamInstanceProfile"):
            wanted["IamInstanceProfile.Name"] = [profile]
        before = set(ec2._instances.keys())
        _check(ec2._ACTION_MAP["RunInstances"](wanted))
        (instance,) = set(ec2._instances.keys()) - before
        ec2._tags[instance] = [dict(tag) for tag in properties.get("Tags") or ()]
        return instance, attributes(instance)

    def update(instance: str, old: Properties, new: Properties, stack: str, logical_id: str) -> Made:
        if instance not in ec2._instances or _changed(old, new) - _INSTANCE_IN_PLACE:
            made = create(logical_id, new, stack)
            provisioners._delete_predecessor(delete, instance, old)
            return made
        record = ec2._instances[instance]
        record["InstanceType"] = new.get("InstanceType", record["InstanceType"])
        record["UserData"] = new.get("UserData", record["UserData"])
        record["_disable_api_termination"] = str(new.get("DisableApiTermination", False)).lower()
        if new.get("SecurityGroupIds"):
            record["SecurityGroups"] = [
                {"GroupId": group, "GroupName": group} for group in new["SecurityGroupIds"]
            ]
        provisioners._reconcile_tag_list(ec2._tags.setdefault(instance, []), dict(old), dict(new))
        return instance, attributes(instance)

    def delete(instance: str, _properties: Properties) -> None:
        if instance in ec2._instances:
            _check(ec2._ACTION_MAP["TerminateInstances"]({"InstanceId.1": [instance]}))

    return _handlers(create, update, delete)


# Clusters


def _cluster(provisioners: ModuleType, emr: ModuleType) -> dict[str, Any]:
    def create(_logical_id: str, properties: Properties, _stack: str) -> Made:
        layout = properties["Instances"]
        groups = [
            {
                "InstanceRole": role,
                "Name": group.get("Name", role.title()),
                "InstanceType": group["InstanceType"],
                "InstanceCount": int(group["InstanceCount"]),
                "Market": group.get("Market", "ON_DEMAND"),
            }
            for role, name in (("MASTER", "MasterInstanceGroup"), ("CORE", "CoreInstanceGroup"))
            if (group := layout.get(name))
        ]
        instances = {key: layout[key] for key in ("Ec2SubnetId", "Ec2KeyName") if key in layout}
        instances["TerminationProtected"] = str(layout.get("TerminationProtected", False)).lower() == "true"
        # A stack's cluster stays until it is deleted, unless it is told otherwise.
        instances["KeepJobFlowAliveWhenNoSteps"] = (
            str(layout.get("KeepJobFlowAliveWhenNoSteps", True)).lower() == "true"
        )
        if groups:
            instances["InstanceGroups"] = groups
        request = {
            name: properties[name]
            for name in (
                "Name",
                "ReleaseLabel",
                "LogUri",
                "ServiceRole",
                "JobFlowRole",
                "Applications",
                "Steps",
                "BootstrapActions",
                "StepConcurrencyLevel",
                "VisibleToAllUsers",
            )
            if name in properties
        }
        tags = [dict(tag) for tag in properties.get("Tags") or ()]
        answer = _check(emr._HANDLERS["RunJobFlow"]({**request, "Instances": instances, "Tags": tags}))
        cluster = json.loads(answer)["JobFlowId"]
        return cluster, {"MasterPublicDNS": emr._clusters[cluster]["MasterPublicDnsName"]}

    def update(cluster: str, old: Properties, new: Properties, stack: str, logical_id: str) -> Made:
        record = emr._clusters.get(cluster)
        if record is None or _changed(old, new) - _CLUSTER_IN_PLACE:
            made = create(logical_id, new, stack)
            provisioners._delete_predecessor(delete, cluster, old)
            return made
        provisioners._reconcile_tag_list(record["Tags"], dict(old), dict(new))
        record["StepConcurrencyLevel"] = int(new.get("StepConcurrencyLevel", 1))
        return cluster, {"MasterPublicDNS": record["MasterPublicDnsName"]}

    def delete(cluster: str, _properties: Properties) -> None:
        _check(emr._HANDLERS["TerminateJobFlows"]({"JobFlowIds": [cluster]}))

    return _handlers(create, update, delete)


# Search domains under their older name


def _domain(provisioners: ModuleType) -> dict[str, Any]:
    modern = provisioners._RESOURCE_HANDLERS["AWS::OpenSearchService::Domain"]

    def as_modern(properties: Properties) -> dict[str, Any]:
        return {"EngineVersion": "Elasticsearch_1.5", **elasticsearch.to_modern(properties)}

    def create(logical_id: str, properties: Properties, stack: str) -> Made:
        made: Made = modern["create"](logical_id, as_modern(properties), stack)
        return made

    def update(domain: str, old: Properties, new: Properties, stack: str, logical_id: str) -> Made:
        made: Made = modern["update"](domain, as_modern(old), as_modern(new), stack, logical_id)
        return made

    return _handlers(create, update, modern["delete"])


# Buckets


def _bucket(provisioners: ModuleType) -> dict[str, Any]:
    theirs = provisioners._RESOURCE_HANDLERS["AWS::S3::Bucket"]

    def create(logical_id: str, properties: Properties, stack: str) -> Made:
        name, attributes = theirs["create"](logical_id, properties, stack)
        _tag_bucket(provisioners, name, {}, properties)
        return name, attributes

    def update(name: str, old: Properties, new: Properties, stack: str) -> Made:
        name, attributes = theirs["update"](name, old, new, stack)
        _tag_bucket(provisioners, name, old, new)
        return name, attributes

    def delete(name: str, properties: Properties) -> None:
        from ministack.services import s3

        bucket = s3._buckets.get(name)
        if bucket is not None and (bucket["objects"] or s3._bucket_has_versions(name)):
            raise ValueError(
                'Resource handler returned message: "The bucket you tried to delete is not empty '
                "(Service: S3, "
                'Status Code: 409)" (HandlerErrorCode: GeneralServiceException)'
            )
        theirs["delete"](name, properties)

    return {**theirs, "create": create, "update": update, "delete": delete}


def _tag_bucket(provisioners: ModuleType, name: str, old: Properties, new: Properties) -> None:
    from ministack.services import s3

    tags = dict(s3._bucket_tags.get(name) or {})
    provisioners._reconcile_tag_map(tags, dict(old), dict(new))
    if tags:
        s3._bucket_tags[name] = tags


# Names that are taken


def refuse_taken(type_: str, properties: Properties) -> None:
    """A stack does not adopt what somebody else made under the same name.

    :raises ValueError: with CloudFormation's reason.
    """
    find = _EXISTING.get(type_)
    if find is None:
        return
    name = find(properties)
    if name:
        raise ValueError(
            f"Resource handler returned message: \"Resource of type '{type_}' with identifier '{name}' "
            "already "
            'exists." (HandlerErrorCode: AlreadyExists)'
        )


def _named(module: str, store: str, property_: str) -> Callable[[Properties], str | None]:
    def find(properties: Properties) -> str | None:
        import importlib

        name = properties.get(property_)
        records = getattr(importlib.import_module(f"ministack.services.{module}"), store)
        return str(name) if name and name in records else None

    return find


def _queue(properties: Properties) -> str | None:
    from ministack.services import sqs

    name = properties.get("QueueName")
    return str(name) if name and any(str(url).endswith(f"/{name}") for url in sqs._queues) else None


def _glue_database(properties: Properties) -> str | None:
    from ministack.services import glue

    name = properties.get("DatabaseName") or properties["DatabaseInput"].get("Name")
    return str(name) if name and name in glue._databases else None


def _rule(properties: Properties) -> str | None:
    from ministack.services import eventbridge

    name = properties.get("Name")
    key = eventbridge._rule_key(name, properties.get("EventBusName") or "default") if name else None
    return str(name) if key in eventbridge._rules else None


_EXISTING: dict[str, Callable[[Properties], str | None]] = {
    "AWS::DynamoDB::Table": _named("dynamodb", "_tables", "TableName"),
    "AWS::Lambda::Function": _named("lambda_svc", "_functions", "FunctionName"),
    "AWS::Logs::LogGroup": _named("cloudwatch_logs", "_log_groups", "LogGroupName"),
    "AWS::IAM::Role": _named("iam", "_roles", "RoleName"),
    "AWS::SQS::Queue": _queue,
    "AWS::Glue::Database": _glue_database,
    "AWS::Events::Rule": _rule,
}


def _check(answer: Any) -> bytes:
    """The body of a handler's answer.

    :raises ValueError: it was an error.
    """
    status, _headers, body = answer
    raw = body if isinstance(body, bytes) else str(body).encode()
    if status >= 400:
        raise ValueError(f"Resource handler returned message: {raw.decode()}")
    return raw
