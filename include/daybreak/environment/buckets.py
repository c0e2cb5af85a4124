"""Emptying a bucket, by whoever made sure that it may be emptied: a scorch, or a stack that goes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from daybreak.aws.batches import batches, paginate
from daybreak.deploy.driver import Target
from daybreak.errors import DaybreakError

_BATCH = 1000


class S3Failed(DaybreakError):
    """S3 did not delete some objects."""

    code = "s3_failed"


def empty(target: Target, bucket: str, before: Callable[[], None] = lambda: None) -> int:
    """Delete everything in a bucket, 1000 a call; returns how many versions and markers went.

    The caller has made sure that the bucket may be emptied.

    :param before: asked before each deletion, beside the client's own guard.
    :raises S3Failed: when S3 refuses some (object lock, policy); the others are gone.
    """
    client = target.client("s3")
    deleted = 0
    while True:
        refused: list[Mapping[str, Any]] = []
        gone = 0
        # Deleting while listing may skip what stands behind a marker that is gone: pass until nothing goes.
        for batch in batches(_versions(client, bucket), _BATCH):
            before()
            answer = client.delete_objects(Bucket=bucket, Delete={"Objects": batch, "Quiet": True})
            refused += answer.get("Errors", ())
            gone += len(batch) - len(answer.get("Errors", ()))
        if not gone:
            break
        deleted += gone
    for upload in paginate(client, "list_multipart_uploads", "Uploads", Bucket=bucket):
        before()
        client.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
    if refused:
        first = refused[0]
        raise S3Failed(
            f"bucket {bucket}: {len(refused)} objects could not be deleted, the first is {first['Key']!r}: "
            f"{first.get('Code')} {first.get('Message')}"
        )
    return deleted


def _versions(client: Any, bucket: str) -> Iterator[dict[str, str]]:
    for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket):
        for each in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
            yield {"Key": each["Key"], "VersionId": each["VersionId"]}
