"""What a night did to AWS that it must not: make a thing twice, delete what no plan lists."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

#: What creates a thing, and what takes it away again.
_PAIRS = {
    "CreateStack": {"DeleteStack"}, "CreateTable": {"DeleteTable", "BatchDeleteTable"},
    "CreateBucket": {"DeleteBucket"}, "CreateLogGroup": {"DeleteLogGroup"}, "CreateQueue": {"DeleteQueue"},
}  # fmt: skip
_MAKES = {deletion: creation for creation, deletions in _PAIRS.items() for deletion in deletions}

Call = Mapping[str, Any]


def done(calls: Iterable[Call]) -> list[Call]:
    """The calls that changed something."""
    return [call for call in calls if call["mutating"] and call["status"] < 400]


def doubled(calls: Iterable[Call]) -> list[str]:
    """Things that were made although they were there. The same request again, under its token, is none."""
    there: dict[tuple[str, str], str] = {}
    wrong = []
    for call in calls:
        action, token = call["action"], str(call["params"].get("ClientRequestToken"))
        if action in _PAIRS:
            for thing in _things(call):
                key = (action, thing)
                if key in there and (token == "None" or there[key] != token):
                    wrong.append(f"{action} {thing} twice")
                there[key] = token
        elif action in _MAKES:
            for thing in _things(call):
                there.pop((_MAKES[action], thing), None)
    return wrong


def unplanned(
    calls: Iterable[Call], plans: Iterable[Mapping[str, Any]], ours: Mapping[str, set[str]]
) -> list[str]:
    """Deletions of what no plan lists.

    :param ours: what goes with the environment's own ephemeral stack: names by service.
    """
    listed: dict[str, set[str]] = defaultdict(set)
    for plan in plans:
        for item in plan["items"]:
            name = item["identifier"]
            listed[item["kind"]].add(name.rsplit("/", 1)[-1] if item["kind"] == "sqs" else name)
    wrong = []
    for call in calls:
        if call["action"].startswith(("Delete", "BatchDelete", "Terminate", "Purge", "Abort")):
            allowed = listed[call["service"]] | ours.get(call["service"], set())
            wrong += [
                f"{call['action']} {name} is in no plan" for name in _things(call) if name not in allowed
            ]
    return wrong


def _things(call: Call) -> list[str]:
    """What a call is about, exactly."""
    names = [str(name) for name in call["resources"]]
    match call["service"]:
        case "cloudformation":
            # By its id, arn:…:stack/<name>/<uuid>, or by its name.
            return [name.split("/")[1] if name.startswith("arn:") else name for name in names]
        case "glue":
            return [f"{names[0]}.{table}" for table in names[1:]] or names
        case "s3":
            return sorted({name.split("/")[0] for name in names})
        case "sqs":
            return [name.rsplit("/", 1)[-1] for name in names]
    return names
