"""What looks like this environment's but is not selected positively. Reported to people; never touched.

Two sources: tags that name the environment on something outside its stacks, and names that hold its name.
Names are good enough for a report, and for nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from daybreak.aws import retry
from daybreak.aws.batches import batches, paginate
from daybreak.deploy.driver import Target
from daybreak.environment import tags
from daybreak.environment.interlocks import ENV_TAG, NONCE_TAG, Code, Verdict
from daybreak.environment.scorch import dynamodb, glue, logs, s3, sqs
from daybreak.environment.scorch.plan import Kind
from daybreak.environment.scorch.scope import Planning, alike


def _paged(service: str, operation: str, key: str, field: str | None = None) -> Callable[[Target], list[str]]:
    def names(target: Target) -> list[str]:
        found = paginate(target.client(service), operation, key)
        return [item[field] if field else item for item in found]

    return names


_LISTS: tuple[tuple[Kind, str, Callable[[Target], Iterable[str]]], ...] = (
    (Kind.DYNAMODB, dynamodb.TYPE, _paged("dynamodb", "list_tables", "TableNames")),
    (Kind.GLUE, glue.TYPE, _paged("glue", "get_databases", "DatabaseList", "Name")),
    (Kind.S3, s3.TYPE, _paged("s3", "list_buckets", "Buckets", "Name")),
    (Kind.SQS, sqs.TYPE, _paged("sqs", "list_queues", "QueueUrls")),
    (Kind.LOGS, logs.TYPE, _paged("logs", "describe_log_groups", "logGroups", "logGroupName")),
)


def find(planning: Planning) -> None:
    """Note the orphans; a list that cannot be read is noted too, and does not stop the plan."""
    members = {tags.last_part(member.physical_id) for member in planning.inventory.members}
    seen = _tagged(planning, members)
    for kind, type_, names in _LISTS:
        try:
            for name in names(planning.target):
                last = tags.last_part(name)
                if last not in members | seen and alike(last, planning.name):
                    _named(planning, kind, type_, name)
        except retry.AWS_ERRORS as error:
            planning.orphan(kind, "all", Verdict(Code.TAGS_UNREADABLE, f"they cannot be listed: {error}"))
    for name, verdict in planning.inventory.foreign:
        planning.orphan("stack", name, verdict)


def _tagged(planning: Planning, members: set[str]) -> set[str]:
    seen: set[str] = set()
    found: dict[str, str] = {}
    try:
        client, filters = planning.target.client("resourcegroupstaggingapi"), [{"Key": ENV_TAG}]
        for mapping in paginate(client, "get_resources", "ResourceTagMappingList", TagFilters=filters):
            arn = mapping["ResourceARN"]
            labels = {tag["Key"]: tag["Value"] for tag in mapping["Tags"]}
            last = tags.last_part(arn)
            if last in members or arn.split(":")[2] == "cloudformation":
                continue
            seen.add(last)
            if labels[ENV_TAG] == planning.name:
                found[arn] = labels.get(NONCE_TAG, "none")
        terminated = _terminated(planning.target, found)
    except retry.AWS_ERRORS as error:
        planning.orphan("tagged", "all", Verdict(Code.TAGS_UNREADABLE, f"they cannot be listed: {error}"))
        return seen
    for arn, nonce in found.items():
        if tags.last_part(arn) not in terminated:
            reason = f"it is tagged {ENV_TAG}, nonce {nonce}, but is in no stack of {planning.name}"
            planning.orphan(arn.split(":")[2], arn, Verdict(Code.NOT_A_MEMBER, reason))
    return seen


def _terminated(target: Target, arns: Iterable[str]) -> set[str]:
    """Ids of instances that are gone; their tags can be seen for an hour more."""
    instances = {tags.last_part(arn) for arn in arns if ":instance/i-" in arn}
    if not instances:
        return set()
    alive = set()
    for batch in batches(sorted(instances), 200):
        filters = [
            {"Name": "instance-id", "Values": batch},
            {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]},
        ]
        reservations = paginate(target.client("ec2"), "describe_instances", "Reservations", Filters=filters)
        alive |= {each["InstanceId"] for reservation in reservations for each in reservation["Instances"]}
    return instances - alive


def _named(planning: Planning, kind: Kind, type_: str, name: str) -> None:
    try:
        labels = tags.read(planning.target, type_, name)
    except tags.Gone:
        return
    if labels is None:
        planning.orphan(kind, name, Verdict(Code.TAGS_UNREADABLE, "its tags cannot be read"))
    elif ENV_TAG not in labels:
        planning.orphan(kind, name, Verdict(Code.UNTAGGED, f"it has no {ENV_TAG}, only a name like ours"))
    elif labels[ENV_TAG] == planning.name:
        planning.orphan(kind, name, Verdict(Code.NOT_A_MEMBER, f"it is in no stack of {planning.name}"))
