"""What a scorch of one environment would delete right now, and what stands in its way. Changes nothing.

The night makes the plan that it carries out by the same :func:`make_plan`: what people see here is what would
go.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, NoReturn

from daybreak.aws.retry import AWS_ERRORS
from daybreak.catalog.loader import load
from daybreak.catalog.resource import ResourceType
from daybreak.deploy.driver import Target
from daybreak.environment.calendar import Phase, tonight
from daybreak.environment.installation import Installation
from daybreak.environment.interlocks import Code
from daybreak.environment.machine import Environment, describe_op
from daybreak.environment.scorch.execute import plan_scorch
from daybreak.environment.scorch.plan import ScorchPlan
from daybreak.environment.stacks.stack import Stacks
from daybreak.errors import DaybreakError, Refused

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Refusal:
    """One reason why nothing would be deleted now; ``code`` is that of the interlock or of the error."""

    code: str
    what: str
    reason: str


@dataclass(frozen=True)
class Outlook:
    """What a scorch would do now.

    :param commit: whose catalog declares the data stores.
    :param plan: ``None`` when nothing was looked at, because the account is not the environment's.
    :param usual: median size of the last nights' plans; ``None`` without history.
    :param unfinished: night and plan of scorches that were cut off; the next one goes on with them first.
    """

    environment: str
    commit: str
    plan: ScorchPlan | None
    refusals: tuple[Refusal, ...]
    usual: float | None
    unfinished: tuple[tuple[date, ScorchPlan], ...] = ()

    @property
    def executable(self) -> bool:
        """Whether the night could carry it out."""
        return self.plan is not None and not self.refusals

    @property
    def counts(self) -> dict[str, int]:
        """How many things would go, by kind."""
        found: Counter[str] = Counter()
        for item in self.plan.items if self.plan else ():
            found[item.kind.value] += item.size
        return dict(found)

    def to_json(self) -> dict[str, Any]:
        """Plain data. Nothing in it is secret: databases are named without credentials."""
        return {
            "environment": self.environment,
            "commit": self.commit,
            "executable": self.executable,
            "refusals": [vars(refusal) for refusal in self.refusals],
            "size": self.plan.size if self.plan else None,
            "counts": self.counts,
            "usual": self.usual,
            "plan": self.plan.to_json() if self.plan else None,
            "unfinished": [
                {"night": night.isoformat(), "digest": plan.digest, "size": plan.size}
                for night, plan in self.unfinished
            ],
        }


def make_plan(
    installation: Installation,
    target: Target,
    stacks: Stacks,
    databases: Sequence[str],
    *,
    nonces: Collection[str],
    night: date,
    leaving: Collection[str] = (),
) -> ScorchPlan:
    """Plan the scorch of one environment by the settings and by what is usual for it.

    :param databases: names of the catalog's DATABASE resources.
    :param nonces: those that are accepted on what is there.
    :param night: plans of earlier nights say what is usual.
    :param leaving: as :func:`plan_scorch` has it.
    :raises Refused: ``wrong_account``; all other refusals are in the plan.
    """
    settings = installation.settings
    return plan_scorch(
        target,
        databases,
        stacks,
        nonces=nonces,
        forbidden_urls=settings.forbidden_urls,
        cap=settings.scorch.cap,
        ratio=settings.scorch.ratio,
        median=installation.scorch_plans.usual_size(target.environment.name, Phase.REBUILD, before=night),
        leaving=leaving,
    )


def look(installation: Installation, name: str, ref: str | None = None) -> Outlook:
    """Look at an environment as the coming night would, without taking its op.

    :param ref: revision of the monorepo whose catalog declares the stores; by default its main branch.
    :raises UsageError: when the environment or the revision is unknown.
    :raises DaybreakError: when AWS cannot be asked. A SQL server that does not answer is a refusal.
    """
    settings, now = installation.settings, installation.clock()
    settings.environment(name)
    installation.register()
    row, night = installation.environments.get(name), tonight(settings.night, now).key
    repo = installation.mirror()
    catalog = load(repo, repo.rev_parse(ref or settings.monorepo.branch), settings.monorepo.catalog)
    databases = [each for each in catalog.order() if catalog[each].type is ResourceType.DATABASE]
    refusals = _vetoes(installation, row, now, night)
    plan: ScorchPlan | None = None
    try:
        plan = _plan(installation, row, databases, night)
    except Refused as refused:
        refusals.append(Refusal(refused.code, row.account, str(refused)))
    else:
        refusals += [
            Refusal(each.code, f"{each.kind} {each.identifier}", each.reason) for each in plan.refusals
        ]
    kept = installation.scorch_plans
    return Outlook(
        name,
        catalog.commit,
        plan,
        tuple(refusals),
        kept.usual_size(name, Phase.REBUILD, before=night),
        tuple((when, ScorchPlan.from_json(data)) for when, data in kept.unfinished(name, Phase.REBUILD)),
    )


def _vetoes(installation: Installation, row: Environment, now: datetime, night: date) -> list[Refusal]:
    """What the registry alone knows to stand in the way."""
    found = []
    if row.op_alive(now):
        found.append(Refusal("op_busy", row.name, describe_op(row, now)))
    if row.preserved(night):
        why = f" ({row.preserve_reason})" if row.preserve_reason else ""
        until = f"until the night of {row.preserve_night} by {row.preserve_by}{why}"
        found.append(Refusal("preserved", row.name, until))
    if switch := installation.switches.frozen():
        found.append(Refusal(Code.FROZEN, "every environment", f"by {switch.by} ({switch.reason})"))
    account = installation.settings.environment(row.name).account
    if not installation.switches.is_armed(account):
        found.append(Refusal(Code.NOT_ARMED, account, f"an admin has to run `daybreak arm {account}` first"))
    return found


def _plan(installation: Installation, row: Environment, databases: Sequence[str], night: date) -> ScorchPlan:
    environment, nonces = installation.settings.environment(row.name), installation.nonces(row.name)
    interlocks = installation.interlocks(row.name)
    try:
        target = Target(
            environment=environment,
            nonce=row.nonce or "",
            session=installation.session_for(environment),
            endpoint_url=installation.settings.aws.endpoint_url,
            stack={},
            home=installation.home,
            guard=_only_looking,
            log=log.info,
        )
        if nonces:
            stacks = Stacks(target, interlocks, nonces=nonces)
            return make_plan(installation, target, stacks, databases, nonces=nonces, night=night)
        interlocks.check_account(target)
    except AWS_ERRORS as error:
        raise DaybreakError(
            f"{row.name}: AWS cannot be asked: {str(error).rstrip('.')}. See the account's `profile` in "
            f"daybreak.yaml.",
            code="aws_unreachable",
        ) from None
    # Never provisioned: nothing can carry a nonce of ours, so there is nothing to select.
    return ScorchPlan(row.name, environment.account, environment.region, ())


def _only_looking() -> NoReturn:
    raise Refused("this only looks and must change nothing; please report it as a bug.", code="only_looking")
