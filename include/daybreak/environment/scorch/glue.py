"""Glue metastore: the tables of the environment's databases go, at most 100 a call.

Tables that a template declares are made anew, without their partitions; all others were yesterday's.
CloudFormation gives Glue databases no tags, so the tags of the stack that holds the database count, with the
database's own on top.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from botocore.exceptions import ClientError

from daybreak.aws import retry
from daybreak.aws.batches import batches, paginate
from daybreak.environment import tags
from daybreak.environment.interlocks import PROTECT_TAG, Code, Verdict, judge
from daybreak.environment.scorch.plan import Item, Kind
from daybreak.environment.scorch.scope import Execution, Planning
from daybreak.environment.stacks.formation import Member

TYPE = "AWS::Glue::Database"
TABLE_TYPE = "AWS::Glue::Table"
_BATCH = 100
#: What ``CreateTable`` takes, of what ``GetTables`` gives.
_INPUT = (
    "Name", "Description", "Owner", "Retention", "StorageDescriptor", "PartitionKeys", "ViewOriginalText",
    "ViewExpandedText", "TableType", "Parameters", "TargetTable",
)  # fmt: skip


def find(planning: Planning) -> None:
    """Plan every table of our databases."""
    declared = {member.physical_id for member in planning.inventory.of_type(TABLE_TYPE)}
    for member in planning.inventory.of_type(TYPE):
        name = member.physical_id
        try:
            verdict = _judge(planning.target, member, planning.name, planning.nonces)
            if verdict is not None:
                planning.protect(Kind.GLUE, name, verdict)
                continue
            tables = _tables(planning.target, name)
        except tags.Gone:
            planning.protect(Kind.GLUE, name, Verdict(Code.GONE, f"{member.stack} has it, AWS does not"))
            continue
        for table, found in tables.items():
            identifier = f"{name}.{table}"
            if PROTECT_TAG in found.get("Parameters", {}):
                planning.protect(
                    Kind.GLUE, identifier, Verdict(Code.PROTECTED, f"its parameters have {PROTECT_TAG}")
                )
                continue
            detail: dict[str, Any] = {"id": _id(found), "database": name, "table": table}
            if table in declared or f"{name}|{table}" in declared:
                # An empty text is what "not set" reads as, and is refused when it is written.
                detail["definition"] = {key: found[key] for key in _INPUT if found.get(key) not in (None, "")}
            why = "declared; made anew without partitions" if "definition" in detail else "a table in it"
            planning.items.append(Item(Kind.GLUE, identifier, member.logical_id, why, detail))


def execute(items: Sequence[Item], run: Execution) -> None:
    """Delete the planned tables, database by database."""
    by_database: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        by_database[item.detail["database"]].append(item)
    for name, planned in by_database.items():
        try:
            _execute(name, planned, run)
        except tags.Gone:
            continue
        except retry.AWS_ERRORS as error:
            for item in planned:
                run.fail(item, error)


def _execute(name: str, planned: Sequence[Item], run: Execution) -> None:
    run.before()
    member = next((each for each in run.inventory.of_type(TYPE) if each.physical_id == name), None)
    verdict = (
        Verdict(Code.NOT_A_MEMBER, "its database left the stacks since the plan")
        if member is None
        else _judge(run.target, member, run.target.environment.name, run.nonces)
    )
    if verdict is not None:
        for item in planned:
            run.skip(item, verdict)
        return
    present, doomed = _tables(run.target, name), []
    for item in planned:
        found = present.get(item.detail["table"])
        if found is None:
            if "definition" in item.detail:
                _create(run, item)
            continue
        if _id(found) != item.detail["id"]:
            run.skip(item, Verdict(Code.CHANGED, "it was made after the plan"))
        elif PROTECT_TAG in found.get("Parameters", {}):
            run.skip(item, Verdict(Code.PROTECTED, f"its parameters have {PROTECT_TAG}"))
        else:
            doomed.append(item)
    for batch in batches(doomed, _BATCH):
        _delete(name, batch, run)


def _delete(name: str, batch: Sequence[Item], run: Execution) -> None:
    run.before()
    client = run.target.client("glue")
    names = [item.detail["table"] for item in batch]
    answer = client.batch_delete_table(DatabaseName=name, TablesToDelete=names)
    problems = {
        error["TableName"]: error["ErrorDetail"]
        for error in answer.get("Errors", ())
        if error["ErrorDetail"].get("ErrorCode") != "EntityNotFoundException"
    }
    for item in batch:
        problem = problems.get(item.detail["table"])
        if problem:
            run.fail(item, RuntimeError(f"{problem.get('ErrorCode')}: {problem.get('ErrorMessage')}"))
            continue
        if "definition" in item.detail:
            _create(run, item)
        run.done(item)


def _create(run: Execution, item: Item) -> None:
    run.before()
    run.target.client("glue").create_table(
        DatabaseName=item.detail["database"], TableInput=dict(item.detail["definition"])
    )


def _judge(target: Any, member: Member, environment: str, nonces: Any) -> Verdict | None:
    own = tags.read(target, TYPE, member.physical_id)
    return judge(None if own is None else {**member.stack_tags, **own}, environment, nonces)


def _tables(target: Any, name: str) -> dict[str, Mapping[str, Any]]:
    try:
        found = list(paginate(target.client("glue"), "get_tables", "TableList", DatabaseName=name))
    except ClientError as error:
        if tags.is_gone(error):
            raise tags.Gone(name) from error
        raise
    return {table["Name"]: table for table in found}


def _id(table: Mapping[str, Any]) -> str:
    return str(table["CreateTime"].timestamp())
