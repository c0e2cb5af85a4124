"""Reading the tags of single resources, as they are now.

A reader returns the tags, or ``None`` when they cannot be read *or* the resource type has no reader: both
mean doubt, and on doubt nothing is deleted. "It is gone" is :class:`Gone`, which is success for a deletion.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from botocore.exceptions import ClientError

from daybreak.aws import retry
from daybreak.aws.batches import paginate
from daybreak.deploy.driver import Target
from daybreak.environment.interlocks import PROTECT_TAG

log = logging.getLogger(__name__)

Tags = Mapping[str, str]


class Gone(Exception):
    """The resource does not exist (any more)."""


_GONE = frozenset({
    "ResourceNotFoundException",
    "NoSuchBucket",
    "AWS.SimpleQueueService.NonExistentQueue",
    "QueueDoesNotExist",
    "EntityNotFoundException",
})  # fmt: skip


def is_gone(error: BaseException) -> bool:
    """Whether an error of AWS says that the resource does not exist."""
    return retry.error_code(error) in _GONE


def _pairs(tags: Iterable[Mapping[str, str]]) -> Tags:
    return {tag["Key"]: tag["Value"] for tag in tags}


def _arn(target: Target, service: str, resource: str) -> str:
    environment = target.environment
    partition = target.session.get_partition_for_region(environment.region)
    return f"arn:{partition}:{service}:{environment.region}:{environment.account}:{resource}"


def _dynamodb(target: Target, name: str) -> Tags:
    arn = _arn(target, "dynamodb", f"table/{name}")
    client = target.client("dynamodb")
    try:
        return _pairs(paginate(client, "list_tags_of_resource", "Tags", ResourceArn=arn))
    except ClientError as error:
        if retry.error_code(error) == "AccessDeniedException":  # also said of tables that do not exist
            client.describe_table(TableName=name)
        raise


def _s3(target: Target, name: str) -> Tags:
    try:
        return _pairs(target.client("s3").get_bucket_tagging(Bucket=name)["TagSet"])
    except ClientError as error:
        if retry.error_code(error) == "NoSuchTagSet":  # S3's way to say "none"
            return {}
        raise


def _sqs(target: Target, url: str) -> Tags:
    tags: Tags = target.client("sqs").list_queue_tags(QueueUrl=url).get("Tags", {})
    return tags


def _logs(target: Target, name: str) -> Tags:
    arn = _arn(target, "logs", f"log-group:{name}")
    tags: Tags = target.client("logs").list_tags_for_resource(resourceArn=arn)["tags"]
    return tags


def _glue(target: Target, name: str) -> Tags:
    tags: Tags = target.client("glue").get_tags(ResourceArn=_arn(target, "glue", f"database/{name}"))["Tags"]
    return tags


_READERS: Mapping[str, Callable[[Target, str], Tags]] = {
    "AWS::DynamoDB::Table": _dynamodb,
    "AWS::S3::Bucket": _s3,
    "AWS::SQS::Queue": _sqs,
    "AWS::Logs::LogGroup": _logs,
    "AWS::Glue::Database": _glue,
}


def readable(type_: str) -> bool:
    """Whether tags of this CloudFormation type are read one by one here."""
    return type_ in _READERS


def read(target: Target, type_: str, physical_id: str) -> Tags | None:
    """The tags of one resource now; ``None`` when they cannot be read.

    :raises Gone: when the resource does not exist.
    """
    reader = _READERS.get(type_)
    if reader is None:
        return None
    try:
        return reader(target, physical_id)
    except retry.AWS_ERRORS as error:
        if is_gone(error):
            raise Gone(physical_id) from error
        log.warning("%s: tags of %s %s: %s", target.environment.name, type_, physical_id, error)
        return None


def protected_ids(target: Target, types: Iterable[str]) -> frozenset[str] | None:
    """The last part of the ARN (or the EC2 id) of all in this region that is tagged ``daybreak:protect``.

    Two paged calls at most, whatever the number of resources. ``None`` when AWS does not say.
    """
    found: set[str] = set()
    try:
        tagging = target.client("resourcegroupstaggingapi")
        for mapping in paginate(
            tagging, "get_resources", "ResourceTagMappingList", TagFilters=[{"Key": PROTECT_TAG}]
        ):
            found.add(last_part(mapping["ResourceARN"]))
        if any(type_.startswith("AWS::EC2::") for type_ in types):
            filters: list[dict[str, Any]] = [{"Name": "key", "Values": [PROTECT_TAG]}]
            ec2 = target.client("ec2")
            found.update(tag["ResourceId"] for tag in paginate(ec2, "describe_tags", "Tags", Filters=filters))
    except retry.AWS_ERRORS as error:
        log.warning("%s: what is tagged %s: %s", target.environment.name, PROTECT_TAG, error)
        return None
    return frozenset(found)


def last_part(identifier: str) -> str:
    """The name at the end of an ARN, a queue's URL, or a plain id; log groups keep their slashes."""
    if ":log-group:" in identifier:
        return identifier.split(":log-group:", 1)[1].removesuffix(":*")
    if identifier.startswith("/"):  # a log group's name
        return identifier
    return identifier.rsplit("/", 1)[-1].rsplit(":", 1)[-1]
