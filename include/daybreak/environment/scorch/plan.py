"""The plan of a scorch: exact identifiers, what is spared and why, and a digest. Pure data, JSON both ways.

Nothing is deleted that a plan does not list; a plan that is not believable is refused beforehand.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from typing import Any

from daybreak.environment.interlocks import Code
from daybreak.errors import Refused

SCHEMA = 1


class Kind(StrEnum):
    """What a store is; in the order in which they are scorched, log groups last."""

    SQL = "sql"
    DYNAMODB = "dynamodb"
    GLUE = "glue"
    S3 = "s3"
    SQS = "sqs"
    LOGS = "logs"


@dataclass(frozen=True)
class Item:
    """One thing to empty or delete.

    :param identifier: exact and unique within its kind.
    :param store: what people call it: the logical id in the template, or the database's resource.
    :param why: what selected it.
    :param detail: JSON; what execution needs to recognise it again (``id``), and to make it anew
        (``definition``). Kept in the plan so that a crash between the two loses nothing.
    """

    kind: Kind
    identifier: str
    store: str
    why: str
    detail: Mapping[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """How many things go: a database counts each table, view, routine … in it."""
        return len(self.detail["objects"]) if "objects" in self.detail else 1


@dataclass(frozen=True)
class Spared:
    """Something that is left alone, and why."""

    kind: str
    identifier: str
    code: Code
    reason: str

    def __str__(self) -> str:
        return f"{self.kind} {self.identifier}: {self.reason}"


@dataclass(frozen=True)
class ScorchPlan:
    """What a scorch of one environment would do.

    :param nonces: those that were accepted when it was made; a plan of an earlier provisioning is stale.
    :param protected: members of the stacks that stay.
    :param orphans: things that look like this environment's but are not selected positively; for people.
    :param refusals: why this plan may not be executed at all.
    """

    environment: str
    account: str
    region: str
    nonces: tuple[str, ...]
    items: tuple[Item, ...] = ()
    protected: tuple[Spared, ...] = ()
    orphans: tuple[Spared, ...] = ()
    refusals: tuple[Spared, ...] = ()

    @property
    def size(self) -> int:
        """What is compared with the cap and with other nights."""
        return sum(item.size for item in self.items)

    @cached_property
    def digest(self) -> str:
        """sha256 over where and exactly what; a confirmation names it."""
        content = [self.environment, self.account, self.region, sorted(self.nonces)]
        items = sorted([item.kind, item.identifier, _canonical(item.detail)] for item in self.items)
        return hashlib.sha256(_canonical([*content, items]).encode()).hexdigest()

    def of(self, kind: Kind) -> list[Item]:
        """The items of one kind, in the plan's order."""
        return [item for item in self.items if item.kind == kind]

    def despite(self, *codes: Code) -> ScorchPlan:
        """The same plan without the refusals of these codes."""
        return replace(self, refusals=tuple(each for each in self.refusals if each.code not in codes))

    def to_json(self) -> dict[str, Any]:
        """A JSON value; :meth:`from_json` takes it back."""
        return {
            "schema": SCHEMA,
            "digest": self.digest,
            "environment": self.environment,
            "account": self.account,
            "region": self.region,
            "nonces": list(self.nonces),
            "items": [
                {
                    "kind": item.kind,
                    "identifier": item.identifier,
                    "store": item.store,
                    "why": item.why,
                    "detail": dict(item.detail),
                }
                for item in self.items
            ],
            **{
                name: [
                    {"kind": s.kind, "identifier": s.identifier, "code": s.code, "reason": s.reason}
                    for s in getattr(self, name)
                ]
                for name in ("protected", "orphans", "refusals")
            },
        }  # fmt: skip

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ScorchPlan:
        """The plan as it was made.

        :raises Refused: ``plan_stale`` when it was changed since, or is of another version of Daybreak.
        """
        if data.get("schema") != SCHEMA:
            raise Refused("the plan is of another version of Daybreak; make a new one.", code=Code.PLAN_STALE)
        plan = cls(
            data["environment"],
            data["account"],
            data["region"],
            tuple(data["nonces"]),
            tuple(Item(**{**item, "kind": Kind(item["kind"])}) for item in data["items"]),
            *(
                tuple(Spared(**{**spared, "code": Code(spared["code"])}) for spared in data[name])
                for name in ("protected", "orphans", "refusals")
            ),
        )
        if plan.digest != data["digest"]:
            raise Refused(
                f"the plan for {plan.environment} was changed after it was made; make a new one.",
                code=Code.PLAN_STALE,
            )
        return plan

    def lines(self) -> list[str]:
        """The plan for people, one line for each thing."""
        counts = Counter({kind: sum(item.size for item in self.of(kind)) for kind in Kind})
        parts = ", ".join(f"{counts[kind]} {kind}" for kind in Kind if counts[kind]) or "nothing"
        lines = [
            f"scorch {self.environment} in {self.account}, {self.region}: {parts}; plan {self.digest[:12]}"
        ]
        for item in self.items:
            lines.append(f"  - {item.kind:<9} {item.identifier}  ({item.store}: {item.why})")
            lines += [f"      {name}" for name in sorted(item.detail.get("objects", ()))]
        for title, spared in (
            ("protected", self.protected), ("orphan", self.orphans), ("REFUSED", self.refusals),
        ):  # fmt: skip
            lines += [f"  {title}: {each} [{each.code}]" for each in spared]
        return lines


def too_large(size: int, cap: int, ratio: float, median: float | None) -> str | None:
    """Why a plan of this size is not to be believed; ``None`` when it is.

    :param median: of the sizes of the last ten nights; ``None`` or 0 when there were none, and then only the
        cap counts.
    """
    if size > cap:
        return f"it would delete {size} things, the cap (scorch.cap) is {cap}"
    if median and size > ratio * median:
        return (
            f"it would delete {size} things, over {ratio:g} times {median:g}, the median of the last nights"
        )
    return None


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def ordered(items: Iterable[Item]) -> tuple[Item, ...]:
    """By kind, then identifier: plans of the same things are equal."""
    order = list(Kind)
    return tuple(sorted(items, key=lambda item: (order.index(item.kind), item.identifier)))
