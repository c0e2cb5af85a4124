"""DynamoDB: a table is deleted and made anew with the same definition: 2 calls, whatever the number of items.

What makes that safe: the definition is in the plan, so a crash between the two is made good from it; the
``TableId`` is in the plan, so a table that was made after it is never deleted. A table with a stream is
emptied instead, because a new table has a new stream, and whoever reads the old one (a Lambda's event source
mapping) would go silent.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from botocore.exceptions import ClientError

from daybreak.aws import retry
from daybreak.aws.batches import batches, paginate
from daybreak.environment import tags
from daybreak.environment.interlocks import Code, Verdict
from daybreak.environment.scorch.plan import Item, Kind
from daybreak.environment.scorch.scope import Execution, Planning
from daybreak.errors import DaybreakError

TYPE = "AWS::DynamoDB::Table"
#: Seconds between two looks at a table, from the first to the last, and how many looks.
_FIRST_POLL, _POLL, _POLLS = 0.1, 2.0, 450
_BATCH, _ROUNDS = 25, 12


class TableStuck(DaybreakError):
    """A table did not reach its state, or did not take the deletions."""

    code = "table_stuck"


def find(planning: Planning) -> None:
    """Plan every table of ours."""
    client = planning.target.client("dynamodb")
    for member, labels in planning.select(Kind.DYNAMODB, TYPE):
        table = _describe(client, member.physical_id)
        if table is None:
            continue
        if table.get("DeletionProtectionEnabled"):
            planning.protect(
                Kind.DYNAMODB, member.physical_id, Verdict(Code.PROTECTED, "deletion protection is on")
            )
        elif table.get("Replicas"):
            planning.protect(
                Kind.DYNAMODB, member.physical_id, Verdict(Code.PROTECTED, "it is a global table")
            )
        else:
            detail = {
                "id": table["TableId"],
                "definition": definition(table, labels),
                **_extras(client, table),
            }
            why = "emptied (it has a stream)" if _has_stream(table) else "made anew"
            planning.items.append(Item(Kind.DYNAMODB, member.physical_id, member.logical_id, why, detail))


def definition(table: Mapping[str, Any], labels: tags.Tags) -> dict[str, Any]:
    """``CreateTable``'s arguments for a table just like the one that ``DescribeTable`` shows."""
    on_demand = table.get("BillingModeSummary", {}).get("BillingMode") == "PAY_PER_REQUEST"
    made: dict[str, Any] = {
        "TableName": table["TableName"],
        "AttributeDefinitions": table["AttributeDefinitions"],
        "KeySchema": table["KeySchema"],
        "BillingMode": "PAY_PER_REQUEST" if on_demand else "PROVISIONED",
        "Tags": [{"Key": key, "Value": labels[key]} for key in sorted(labels) if not key.startswith("aws:")],
    }
    if not on_demand:
        made["ProvisionedThroughput"] = _throughput(table)
    if indexes := table.get("LocalSecondaryIndexes"):
        made["LocalSecondaryIndexes"] = [_pick(i, "IndexName", "KeySchema", "Projection") for i in indexes]
    if indexes := table.get("GlobalSecondaryIndexes"):
        made["GlobalSecondaryIndexes"] = [
            _pick(i, "IndexName", "KeySchema", "Projection", "OnDemandThroughput")
            | ({} if on_demand else {"ProvisionedThroughput": _throughput(i)})
            for i in indexes
        ]
    made |= _pick(table, "OnDemandThroughput")
    if _has_stream(table):
        made["StreamSpecification"] = dict(table["StreamSpecification"])
    if table_class := table.get("TableClassSummary", {}).get("TableClass"):
        made["TableClass"] = table_class
    encryption = table.get("SSEDescription", {})
    if encryption.get("Status") in {"ENABLED", "ENABLING", "UPDATING"}:
        made["SSESpecification"] = {"Enabled": True, "SSEType": encryption.get("SSEType", "KMS")}
        key = encryption.get("KMSMasterKeyArn", "")
        if key and not key.endswith("alias/aws/dynamodb"):
            made["SSESpecification"]["KMSMasterKeyId"] = key
    return made


def execute(items: Sequence[Item], run: Execution) -> None:
    """Delete all, wait for all, create all: a table's own seconds are spent at the same time."""
    client = run.target.client("dynamodb")
    missing: list[Item] = []
    for item in items:
        try:
            if _remove(client, item, run):
                missing.append(item)
        except tags.Gone:
            missing.append(item)
        except (*retry.AWS_ERRORS, TableStuck) as error:
            run.fail(item, error)
    for item in missing:
        try:
            if not run.is_member(TYPE, item.identifier):
                run.skip(item, Verdict(Code.GONE, "it is gone, with its stack"))
                continue
            _wait(client, item.identifier, run, gone=True)
            run.before()
            client.create_table(**item.detail["definition"])
        except (*retry.AWS_ERRORS, TableStuck) as error:
            run.fail(item, error)
        else:
            run.done(item)
    failed = {each.identifier for each in run.failed}
    skipped = {each.identifier for each in run.skipped}
    for item in missing:
        if item.identifier not in failed | skipped:
            try:
                _wait(client, item.identifier, run, gone=False)
                _restore(client, item, run)
            except (*retry.AWS_ERRORS, TableStuck) as error:
                run.fail(item, error)


def _remove(client: Any, item: Item, run: Execution) -> bool:
    """Whether the table is (being) deleted and must be made anew."""
    run.before()
    table = _describe(client, item.identifier)
    if table is None or (table["TableId"] == item.detail["id"] and table["TableStatus"] == "DELETING"):
        return True
    if table["TableId"] != item.detail["id"]:
        if run.confirm(item, TYPE, item.identifier):
            # Made by a former try of ours that may not have come to the end.
            _wait(client, item.identifier, run, gone=False)
            _restore(client, item, run)
            run.skip(item, Verdict(Code.CHANGED, "it was made after the plan"))
        return False
    if not run.confirm(item, TYPE, item.identifier):
        return False
    if table.get("DeletionProtectionEnabled"):
        run.skip(item, Verdict(Code.PROTECTED, "deletion protection is on"))
        return False
    if _has_stream(table):
        _empty(client, table, run)
        run.done(item)
        return False
    client.delete_table(TableName=item.identifier)
    return True


def _restore(client: Any, item: Item, run: Execution) -> None:
    """Time to live and point-in-time recovery, which ``CreateTable`` does not take."""
    name = item.identifier
    if item.detail["ttl"] and not _ttl(client, name):
        run.before()
        specification = {"Enabled": True, "AttributeName": item.detail["ttl"]}
        client.update_time_to_live(TableName=name, TimeToLiveSpecification=specification)
    if item.detail["pitr"] and not _pitr(client, name):
        run.before()
        client.update_continuous_backups(
            TableName=name, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
        )


def _extras(client: Any, table: Mapping[str, Any]) -> dict[str, Any]:
    return {"ttl": _ttl(client, table["TableName"]), "pitr": _pitr(client, table["TableName"])}


def _ttl(client: Any, name: str) -> str | None:
    found = client.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    return found.get("AttributeName") if found["TimeToLiveStatus"] in {"ENABLED", "ENABLING"} else None


def _pitr(client: Any, name: str) -> bool:
    found = client.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
    status = found.get("PointInTimeRecoveryDescription", {}).get("PointInTimeRecoveryStatus")
    return bool(status == "ENABLED")


def _empty(client: Any, table: Mapping[str, Any], run: Execution) -> None:
    name, keys = table["TableName"], [key["AttributeName"] for key in table["KeySchema"]]
    scan = paginate(
        client,
        "scan",
        "Items",
        TableName=name,
        ConsistentRead=True,
        ProjectionExpression=", ".join(f"#k{at}" for at in range(len(keys))),
        ExpressionAttributeNames={f"#k{at}": key for at, key in enumerate(keys)},
    )
    for batch in batches(scan, _BATCH):
        run.before()
        requests: Any = {name: [{"DeleteRequest": {"Key": key}} for key in batch]}
        for attempt in range(_ROUNDS):
            requests = client.batch_write_item(RequestItems=requests).get("UnprocessedItems")
            if not requests:
                break
            run.sleep(random.uniform(0, min(20.0, 0.1 * 2**attempt)))  # noqa: S311 (jitter)
        else:
            raise TableStuck(
                f"table {name}: DynamoDB leaves deletions unprocessed; is its capacity too small?"
            )


def _wait(client: Any, name: str, run: Execution, *, gone: bool) -> None:
    for look in range(_POLLS):
        table = _describe(client, name)
        if (table is None) if gone else (table is not None and table["TableStatus"] == "ACTIVE"):
            return
        run.sleep(min(_POLL, _FIRST_POLL * 2 ** min(look, 10)))
        # Whoever took over may have made it anew: then it will never be gone.
        run.target.guard()
    raise TableStuck(f"table {name} is still not {'gone' if gone else 'active'} after {_POLL * _POLLS:.0f} s")


def _describe(client: Any, name: str) -> Mapping[str, Any] | None:
    try:
        table: Mapping[str, Any] = client.describe_table(TableName=name)["Table"]
    except ClientError as error:
        if tags.is_gone(error):
            return None
        raise
    return table


def _has_stream(table: Mapping[str, Any]) -> bool:
    return bool(table.get("StreamSpecification", {}).get("StreamEnabled"))


def _throughput(of: Mapping[str, Any]) -> dict[str, int]:
    return _pick(of["ProvisionedThroughput"], "ReadCapacityUnits", "WriteCapacityUnits")


def _pick(source: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: source[key] for key in keys if key in source}
