"""Queues: purged; the queue stays."""

from __future__ import annotations

from collections.abc import Sequence

from botocore.exceptions import ClientError

from daybreak.aws import retry
from daybreak.environment import tags
from daybreak.environment.scorch.plan import Item, Kind
from daybreak.environment.scorch.scope import Execution, Planning

TYPE = "AWS::SQS::Queue"
_BUSY = frozenset({"AWS.SimpleQueueService.PurgeQueueInProgress", "PurgeQueueInProgress"})
#: SQS allows one purge a minute.
_PAUSE, _PAUSES = 5.0, 14


def find(planning: Planning) -> None:
    """Plan every queue of ours: SQS's message counts are approximate, so an "empty" one is purged too."""
    for member, _ in planning.select(Kind.SQS, TYPE):
        planning.items.append(Item(Kind.SQS, member.physical_id, member.logical_id, "all messages in it"))


def execute(items: Sequence[Item], run: Execution) -> None:
    """Purge the planned queues."""
    for item in items:
        try:
            run.before()
            if run.confirm(item, TYPE, item.identifier):
                _purge(item.identifier, run)
                run.done(item)
        except tags.Gone:
            continue
        except retry.AWS_ERRORS as error:
            run.fail(item, error)


def _purge(url: str, run: Execution) -> None:
    for left in range(_PAUSES, -1, -1):
        try:
            run.target.client("sqs").purge_queue(QueueUrl=url)
        except ClientError as error:
            if retry.error_code(error) not in _BUSY or not left:
                raise
            # The purge under way spares what was sent after it began, so it is not ours.
            run.sleep(_PAUSE)
            run.before()
        else:
            return
