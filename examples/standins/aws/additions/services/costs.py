"""Cost Explorer: GetCostAndUsage by service and tag, daily or monthly."""

from __future__ import annotations

import itertools
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from examples.standins.aws.additions.billing import Bills, Cost

#: AWS's figures of these days may still change.
_PROVISIONAL = timedelta(days=2)
_PAGE = 500
_MAX_GROUPS = 2


class _Invalid(ValueError):
    """A request that Cost Explorer refuses."""


def handler(bills: Bills) -> Callable[..., Awaitable[tuple[int, dict[str, str], bytes]]]:
    """A handler like those of ministack's services."""

    async def handle(_method: str, _path: str, headers: Mapping[str, str], body: bytes, _query: Any) -> Any:
        from ministack.core.responses import get_account_id

        action = headers.get("x-amz-target", "").rsplit(".", 1)[-1]
        if action != "GetCostAndUsage":
            return _answer(400, {"__type": "InvalidAction", "message": f"{action} is not here"})
        try:
            return _answer(
                200, cost_and_usage(json.loads(body), bills.of(get_account_id()), datetime.now(UTC).date())
            )
        except (_Invalid, KeyError, ValueError) as error:
            return _answer(400, {"__type": "ValidationException", "message": str(error)})

    return handle


def _answer(status: int, body: Mapping[str, Any]) -> tuple[int, dict[str, str], bytes]:
    return status, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(body).encode()


def cost_and_usage(data: Mapping[str, Any], costs: Sequence[Cost], today: date) -> dict[str, Any]:
    """What GetCostAndUsage answers to ``data``."""
    start, end = (date.fromisoformat(data["TimePeriod"][edge]) for edge in ("Start", "End"))
    if start >= end:
        raise _Invalid("Start date (and hour) should be before end date (and hour)")
    groups, metrics = data.get("GroupBy") or [], data["Metrics"]
    if len(groups) > _MAX_GROUPS:
        raise _Invalid("Only up to two dimensions or tags can be grouped by")
    chosen = [cost for cost in costs if _matches(data.get("Filter"), cost)]
    periods = list(_periods(start, end, data.get("Granularity", "MONTHLY")))
    first = int(data.get("NextPageToken") or 0)
    results = []
    for begin, until in periods[first : first + _PAGE]:
        within = [cost for cost in chosen if begin <= cost.day < until]
        results.append({
            "TimePeriod": {"Start": begin.isoformat(), "End": until.isoformat()},
            "Total": {} if groups else _amounts(within, metrics),
            "Groups": _grouped(within, groups, metrics),
            "Estimated": until > today - _PROVISIONAL,
        })  # fmt: skip
    answer: dict[str, Any] = {
        "ResultsByTime": results,
        "GroupDefinitions": groups,
        "DimensionValueAttributes": [],
    }
    if first + _PAGE < len(periods):
        answer["NextPageToken"] = str(first + _PAGE)
    return answer


def _periods(start: date, end: date, granularity: str) -> Iterator[tuple[date, date]]:
    if granularity not in {"DAILY", "MONTHLY"}:
        raise _Invalid(f"granularity {granularity} is not here; use DAILY or MONTHLY")
    while start < end:
        if granularity == "DAILY":
            until = start + timedelta(days=1)
        else:
            until = min(end, (start.replace(day=1) + timedelta(days=32)).replace(day=1))
        yield start, until
        start = until


def _grouped(
    costs: Sequence[Cost], groups: Sequence[Mapping[str, str]], metrics: Sequence[str]
) -> list[dict[str, Any]]:
    if not groups:
        return []

    def keys(cost: Cost) -> tuple[str, ...]:
        return tuple(_key(cost, group) for group in groups)

    return [
        {"Keys": list(found), "Metrics": _amounts(list(rows), metrics)}
        for found, rows in itertools.groupby(sorted(costs, key=keys), key=keys)
    ]


def _key(cost: Cost, group: Mapping[str, str]) -> str:
    match group["Type"], group["Key"]:
        case "DIMENSION", "SERVICE":
            return cost.service
        case "TAG", tag:
            return f"{tag}${cost.tags.get(tag, '')}"
    raise _Invalid(f"grouping by {group['Type']} {group['Key']} is not here")


def _amounts(costs: Sequence[Cost], metrics: Sequence[str]) -> dict[str, Any]:
    amount = f"{sum(cost.amount for cost in costs):.10f}"
    return {metric: {"Amount": amount, "Unit": "USD"} for metric in metrics}


def _matches(wanted: Mapping[str, Any] | None, cost: Cost) -> bool:
    if not wanted:
        return True
    ((operator, value),) = wanted.items()
    match operator:
        case "And":
            return all(_matches(each, cost) for each in value)
        case "Or":
            return any(_matches(each, cost) for each in value)
        case "Not":
            return not _matches(value, cost)
        case "Tags":
            found = cost.tags.get(value["Key"])
        case "Dimensions" if value["Key"] == "SERVICE":
            found = cost.service
        case _:
            raise _Invalid(f"filtering by {operator} is not here")
    if "ABSENT" in value.get("MatchOptions", ()):
        return found is None
    return found in value.get("Values", ())
