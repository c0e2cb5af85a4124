"""A plan is exact, survives being kept, and is not believed when it is too large."""

from __future__ import annotations

import copy
import json

import pytest

from daybreak.environment.interlocks import Code
from daybreak.environment.scorch import Item, Kind, ScorchPlan, Spared
from daybreak.environment.scorch.plan import ordered, too_large
from daybreak.environment.scorch.scope import alike
from daybreak.errors import Refused

TABLE = Item(
    Kind.DYNAMODB, "dev-1-cars", "Cars", "made anew", {"id": "t1", "definition": {"TableName": "dev-1-cars"}}
)
DATABASE = Item(
    Kind.SQL, "postgresql://db:5432/dev_1_trips", "trips", "declared",
    {"database": "dev_1_trips", "objects": {"table public.trips": 1, "view public.v": 2}},
)  # fmt: skip


def plan(*items: Item, nonces: tuple[str, ...] = ("n1",)) -> ScorchPlan:
    return ScorchPlan(
        "dev-1", "111122223333", "us-east-1", nonces, ordered(items),
        protected=(Spared("s3", "lake", Code.PROTECTED, "it is tagged"),),
        orphans=(Spared("sqs", "q", Code.UNTAGGED, "no tags"),),
        refusals=(Spared("plan", "dev-1", Code.PLAN_TOO_LARGE, "too many"),),
    )  # fmt: skip


def test_a_plan_survives_json() -> None:
    made = plan(TABLE, DATABASE)
    assert ScorchPlan.from_json(json.loads(json.dumps(made.to_json()))) == made


def test_databases_come_first_and_log_groups_last() -> None:
    logs, queue = Item(Kind.LOGS, "a", "a", ""), Item(Kind.SQS, "a", "a", "")
    assert [item.kind for item in ordered([logs, TABLE, queue, DATABASE])] == [
        "sql",
        "dynamodb",
        "sqs",
        "logs",
    ]


def test_the_digest_names_exactly_what_goes() -> None:
    made = plan(TABLE, DATABASE)
    assert made.digest == plan(DATABASE, TABLE).digest
    other = Item(Kind.DYNAMODB, "dev-1-cars", "Cars", "made anew", {**TABLE.detail, "id": "t2"})
    one_more = {**DATABASE.detail, "objects": {**DATABASE.detail["objects"], "table public.x": 3}}
    different = [
        plan(TABLE),
        plan(other, DATABASE),
        plan(TABLE, Item(Kind.SQL, DATABASE.identifier, "trips", "declared", one_more)),
        plan(TABLE, DATABASE, nonces=("n2",)),
    ]
    assert len({made.digest, *(each.digest for each in different)}) == 5


def test_a_plan_that_was_changed_after_it_was_made_is_refused() -> None:
    kept = plan(TABLE, DATABASE).to_json()
    forged = copy.deepcopy(kept)
    forged["items"][1]["identifier"] = "prod-cars"
    with pytest.raises(Refused) as caught:
        ScorchPlan.from_json(forged)
    assert caught.value.code == Code.PLAN_STALE
    with pytest.raises(Refused):
        ScorchPlan.from_json({**kept, "schema": 0})


def test_a_database_counts_each_of_its_objects() -> None:
    assert plan(TABLE, DATABASE).size == 3


@pytest.mark.parametrize(
    ("size", "median", "refused"),
    [
        (500, None, False),
        (501, None, True),
        (501, 1000, True),
        (15, 10, False),
        (16, 10, True),
        (3, 0, False),
        (0, 10, False),
    ],
)
def test_a_plan_over_the_cap_or_over_the_usual_is_not_believed(
    size: int, median: float | None, refused: bool
) -> None:
    assert bool(too_large(size, 500, 1.5, median)) == refused


def test_people_see_every_thing_with_its_reason() -> None:
    text = "\n".join(plan(TABLE, DATABASE).lines())
    for word in ("dev-1-cars", "table public.trips", "view public.v", "lake", "untagged", "REFUSED", "2 sql"):
        assert word in text


@pytest.mark.parametrize(
    ("name", "similar"),
    [
        ("dev-1-cars", True), ("dev_1_cars", True), ("/acme/dev-1", True), ("acme.dev-1", True),
        ("dev-10-cars", False),
        ("dev-1", True), ("dev1", False), ("xdev-1", False), ("dev", False), ("DEV-1", True), ("cars", False),
    ],
)  # fmt: skip
def test_names_are_compared_by_whole_words(name: str, similar: bool) -> None:
    assert alike(name, "dev-1") == similar
