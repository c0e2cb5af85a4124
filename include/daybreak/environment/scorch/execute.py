"""Making a plan, and executing it behind the interlocks."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from daybreak.deploy.driver import Target
from daybreak.environment.interlocks import Code, Verdict
from daybreak.environment.scorch import dynamodb, glue, logs, orphans, s3, sql, sqs
from daybreak.environment.scorch.plan import Item, Kind, ScorchPlan, Spared, ordered, too_large
from daybreak.environment.scorch.scope import Execution, Planning
from daybreak.environment.stacks.stack import Stacks
from daybreak.errors import DaybreakError, Refused


@dataclass(frozen=True)
class ScorchResult:
    """What a scorch did.

    :param deleted: how many things went, by kind.
    :param skipped: what was planned but left alone, with the reason.
    """

    digest: str
    deleted: Mapping[str, int] = field(default_factory=dict)
    skipped: tuple[Spared, ...] = ()
    seconds: float = 0.0

    @property
    def total(self) -> int:
        """How many things went."""
        return sum(self.deleted.values())


class ScorchFailed(DaybreakError):
    """Some things could not be scorched; ``result`` says what was. The same plan can be executed again."""

    code = "scorch_failed"

    def __init__(self, message: str, result: ScorchResult) -> None:
        super().__init__(message)
        self.result = result


def plan_scorch(
    target: Target,
    catalog_databases: Sequence[str],
    stacks: Stacks,
    *,
    nonces: Collection[str],
    forbidden_urls: Collection[str] = (),
    cap: int = 500,
    ratio: float = 1.5,
    median: float | None = None,
    leaving: Collection[str] = (),
) -> ScorchPlan:
    """Look at every declared store of an environment and say what a scorch would do. Changes nothing.

    :param catalog_databases: names of the catalog's DATABASE resources.
    :param nonces: the accepted nonces.
    :param forbidden_urls: databases that are never touched: the registry's, Airflow's.
    :param median: of ``ScorchPlan.size`` in the last ten nights; ``None`` without history.
    :param leaving: names of stacks that will be gone before the plan is carried out: their members are
        neither planned nor counted, and nobody looks for orphans beside them.
    :raises Refused: ``wrong_account``. All other refusals are in the plan, so that people see all of it.
    """
    stacks.interlocks.check_account(target)
    planning = Planning(target, frozenset(nonces), stacks.inventory().without(leaving))
    sql.find(planning, catalog_databases, forbidden_urls)
    for kind in (dynamodb, glue, s3, sqs, logs):
        kind.find(planning)
    if not leaving:
        orphans.find(planning)
    size = sum(item.size for item in planning.items)
    if reason := too_large(size, cap, ratio, median):
        planning.refuse("plan", target.environment.name, Verdict(Code.PLAN_TOO_LARGE, reason))
    return ScorchPlan(
        target.environment.name,
        target.environment.account,
        target.environment.region,
        tuple(sorted(nonces)),
        ordered(planning.items),
        tuple(planning.protected),
        tuple(planning.orphans),
        tuple(planning.refusals),
    )


def check_scorch(
    plan: ScorchPlan,
    target: Target,
    stacks: Stacks,
    *,
    nonces: Collection[str],
    confirmed: str | None = None,
) -> None:
    """Whether a plan may be executed now; changes nothing.

    :param confirmed: as in :func:`execute_scorch`.
    :raises Refused: by the interlock that forbids it.
    """
    stacks.interlocks.check(target, destroys=True)
    _require_current(plan, target, nonces)
    for refusal in plan.refusals:
        if refusal.code == Code.PLAN_TOO_LARGE and confirmed == plan.digest:
            continue
        hint = f" Confirm plan {plan.digest} if it is right." if refusal.code == Code.PLAN_TOO_LARGE else ""
        raise Refused(
            f"{target.environment.name} is not scorched: {refusal.kind} {refusal.identifier}: "
            f"{refusal.reason}.{hint}",
            code=refusal.code,
        )


def execute_scorch(
    plan: ScorchPlan,
    target: Target,
    stacks: Stacks,
    *,
    nonces: Collection[str],
    forbidden_urls: Collection[str] = (),
    confirmed: str | None = None,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> ScorchResult:
    """Delete what the plan lists, re-reading each just before; what appeared since stays. Repeatable.

    :param confirmed: the digest of a plan that a person looked at and found right although it is too large.
    :raises Refused: by an interlock; nothing more is changed.
    :raises LostOp: by ``target.guard``.
    :raises ScorchFailed: when some things could not be done; all others were.
    """
    began = clock()
    check_scorch(plan, target, stacks, nonces=nonces, confirmed=confirmed)
    run = Execution(target, frozenset(nonces), stacks.inventory(), stacks.interlocks, sleep)
    steps: tuple[tuple[Kind, Callable[[list[Item], Execution], None]], ...] = (
        (Kind.SQL, lambda items, scope: sql.execute(items, scope, forbidden_urls)),
        (Kind.DYNAMODB, dynamodb.execute),
        (Kind.GLUE, glue.execute),
        (Kind.S3, s3.execute),
        (Kind.SQS, sqs.execute),
        (Kind.LOGS, logs.execute),
    )
    for kind, step in steps:
        step(plan.of(kind), run)
    result = ScorchResult(
        plan.digest,
        {kind.value: count for kind, count in run.deleted.items()},
        tuple(run.skipped),
        clock() - began,
    )
    if run.failed:
        raise ScorchFailed(
            f"{target.environment.name}: {len(run.failed)} of {len(plan.items)} could not be scorched: "
            + "; ".join(str(each) for each in run.failed[:3]),
            result,
        )
    return result


def _require_current(plan: ScorchPlan, target: Target, nonces: Collection[str]) -> None:
    here = (target.environment.name, target.environment.account, target.environment.region)
    if (plan.environment, plan.account, plan.region) != here or not set(plan.nonces) & set(nonces):
        raise Refused(
            f"the plan is for {plan.environment} in {plan.account}, {plan.region} with nonce "
            f"{', '.join(plan.nonces)}; {here[0]} has been provisioned anew since, or is another one. Make a "
            f"new plan.",
            code=Code.PLAN_STALE,
        )
