"""Buckets: every object, version and unfinished upload goes; the bucket, its settings and its policy stay."""

from __future__ import annotations

from collections.abc import Sequence

from daybreak.aws import retry
from daybreak.environment import buckets, tags
from daybreak.environment.scorch.plan import Item, Kind
from daybreak.environment.scorch.scope import Execution, Planning

TYPE = "AWS::S3::Bucket"


def find(planning: Planning) -> None:
    """Plan every bucket of ours that is not empty."""
    client = planning.target.client("s3")
    for member, _ in planning.select(Kind.S3, TYPE):
        page = client.list_object_versions(Bucket=member.physical_id, MaxKeys=1)
        uploads = client.list_multipart_uploads(Bucket=member.physical_id, MaxUploads=1)
        if page.get("Versions") or page.get("DeleteMarkers") or uploads.get("Uploads"):
            planning.items.append(
                Item(Kind.S3, member.physical_id, member.logical_id, "all objects and versions in it")
            )


def execute(items: Sequence[Item], run: Execution) -> None:
    """Empty the planned buckets."""
    for item in items:
        try:
            run.before()
            if run.confirm(item, TYPE, item.identifier):
                buckets.empty(run.target, item.identifier, run.before)
                run.done(item)
        except tags.Gone:
            continue
        except (*retry.AWS_ERRORS, buckets.S3Failed) as error:
            run.fail(item, error)
