"""What a world is like after a night, in words that are the same for every night that was undisturbed."""

from __future__ import annotations

import json
import re
from typing import Any

from sqlalchemy import inspect, select, text

from daybreak.deploy.host import HostClient
from daybreak.environment.steps import Step
from daybreak.registry import tables
from tests.crash.world import World


def of(world: World) -> dict[str, Any]:
    """Cloud, database, services and registry; ids, tokens and instants are left out."""
    found = {"aws": _aws(world), "sql": _sql(world), "host": _host(world), "registry": _registry(world)}
    plain = json.dumps(found, sort_keys=True, default=str)
    # What was still to be built when the plan was pinned says something of the nights before.
    answer: dict[str, Any] = json.loads(re.sub(r'"build_needed": \w+', '"build_needed": null', plain))
    return answer


def difference(one: Any, other: Any, where: str = "") -> list[str]:
    """The places where two snapshots differ, for people."""
    if isinstance(one, dict) and isinstance(other, dict):
        keys = sorted({*one, *other})
        return [
            line
            for key in keys
            for line in difference(one.get(key, "-"), other.get(key, "-"), f"{where}/{key}")
        ]
    return [] if one == other else [f"{where}: {one} != {other}"]


def _aws(world: World) -> dict[str, Any]:
    formation = world.client("cloudformation")
    stacks = {
        stack["StackName"]: {
            "status": stack["StackStatus"],
            "tags": {tag["Key"]: tag["Value"] for tag in stack["Tags"]},
            "members": _members(formation, stack["StackName"]),
        }
        for stack in formation.describe_stacks()["Stacks"]
        if stack["StackStatus"] != "DELETE_COMPLETE"
    }
    return {
        "stacks": stacks,
        "dynamodb": _tables(world.client("dynamodb")),
        "s3": _buckets(world.client("s3"), world.account),
        "sqs": sorted(
            url.rsplit("/", 1)[1] for url in world.client("sqs").list_queues().get("QueueUrls", [])
        ),
        "rules": {rule["Name"]: rule["State"] for rule in world.client("events").list_rules()["Rules"]},
        "functions": _functions(world.client("lambda")),
        "ec2": _instances(world.client("ec2")),
        "emr": _clusters(world.client("emr")),
        "glue": sorted(each["Name"] for each in world.client("glue").get_databases()["DatabaseList"]),
    }


def _members(formation: Any, stack: str) -> list[str]:
    found = formation.describe_stack_resources(StackName=stack)["StackResources"]
    return sorted(member["LogicalResourceId"] for member in found)


def _plain(tags: dict[str, str]) -> dict[str, str]:
    """Without those that hold a stack's id."""
    return {key: value for key, value in tags.items() if not key.startswith("aws:")}


def _tables(client: Any) -> dict[str, Any]:
    return {
        name: sorted(json.dumps(item, sort_keys=True) for item in client.scan(TableName=name)["Items"])
        for name in client.list_tables()["TableNames"]
    }


def _buckets(client: Any, account: str) -> dict[str, Any]:
    return {
        name: sorted(
            (each["Key"], "" if each["Key"].endswith("current.json") else each["ETag"])
            for each in client.list_objects_v2(Bucket=name).get("Contents", [])
        )
        for name in (bucket["Name"] for bucket in client.list_buckets()["Buckets"])
        if account in name
    }


def _functions(client: Any) -> dict[str, Any]:
    return {
        each["FunctionName"]: {
            "code": each["CodeSha256"],
            "variables": sorted(each.get("Environment", {}).get("Variables", {})),
            "tags": _plain(client.list_tags(Resource=each["FunctionArn"]).get("Tags", {})),
        }
        for each in client.list_functions()["Functions"]
    }


def _instances(client: Any) -> dict[str, int]:
    found = [
        instance["State"]["Name"]
        for reservation in client.describe_instances()["Reservations"]
        for instance in reservation["Instances"]
    ]
    return {"running": sum(state in ("pending", "running") for state in found)}


def _clusters(client: Any) -> dict[str, Any]:
    alive = client.list_clusters(ClusterStates=["STARTING", "BOOTSTRAPPING", "RUNNING", "WAITING"])[
        "Clusters"
    ]
    return {
        cluster["Name"]: sorted(step["Name"] for step in client.list_steps(ClusterId=cluster["Id"])["Steps"])
        for cluster in alive
    } | {"alive": len(alive)}


def _sql(world: World) -> dict[str, Any]:
    engine = world.database()
    try:
        with engine.connect() as connection:
            names = inspect(connection).get_table_names()
            rows = {}
            for name in names:
                found = connection.execute(text(f'SELECT * FROM "{name}"')).mappings()
                rows[name] = sorted(
                    str({key: value for key, value in row.items() if not key.endswith("_at")})
                    for row in found
                )
            return rows
    finally:
        engine.dispose()


def _host(world: World) -> dict[str, Any]:
    return {
        each.service: {"health": each.health.value, "key": each.key}
        for each in HostClient(world.shared.home).list(world.name)
    }


#: What a step says of what it found, and a second try finds done.
_COUNTED = {"quiesce", "tear_down", "scorch", "infra", "schedules"}


def _registry(world: World) -> dict[str, Any]:
    installation = world.installation
    row = installation.environments.get(world.name)
    night = installation.nights.environments(environment=world.name)[0]
    steps = installation.nights.steps(night.run_id)
    open_runs = [run.run_id for run in installation.runs.unfinished()]
    with installation.engine.connect() as connection:

        def rows(table: Any, *columns: str, **where: Any) -> list[Any]:
            query = select(*(table.c[name] for name in columns)).filter_by(**where)
            return sorted(map(list, connection.execute(query)), key=str)

        return {
            "environment": [row.state, row.verdict, row.commit, row.fault_code, row.nonce, row.fence],
            "left over": [row.op_token, row.nonce_previous, row.op_holder, row.op_deadline],
            "night": [night.run_id, night.status, dict(night.detail)],
            "run": rows(tables.nights, "run_id", "night", "commit", "plan", run_id=night.run_id),
            "pinned": rows(tables.runs, "run_id", "kind", "commit", "plan", run_id=night.run_id),
            "is over": night.run_id not in open_runs,
            "steps": {f"{step.phase}/{step.step}": _step(step) for step in steps},
            "tried again": sum(step.tries - 1 for step in steps) <= 1,
            "tokens": [step.step for step in steps if step.tokens],
            "deployments": rows(tables.deployments, "resource", "key", "commit", "run_id"),
            "memos": rows(tables.schedule_memos, "identity", "memo"),
            "plans": sorted({str(status) for _, status in rows(tables.scorch_plans, "phase", "status")}),
            "uptime": [down is None for (down,) in rows(tables.uptime, "down_at")].count(True),
            "intervals": len(rows(tables.uptime, "id")),
        }


def _step(step: Step) -> list[Any]:
    return [step.status, {} if step.step in _COUNTED else dict(step.detail)]
