"""The morning of one environment: scorch, infra, data, deploy, seed, schedules, e2e."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from math import ceil
from typing import Any

from sqlalchemy.exc import OperationalError

from daybreak.catalog.graph import CatalogResource
from daybreak.catalog.resource import ResourceType
from daybreak.deploy import connecting
from daybreak.deploy.driver import Target
from daybreak.deploy.drivers import driver_for
from daybreak.deploy.marker import is_blank, rotate_marker
from daybreak.environment import schedules
from daybreak.environment.calendar import Phase
from daybreak.environment.interlocks import Code
from daybreak.environment.machine import STEP_STATES, USABLE, Op, State
from daybreak.environment.night.evening import stop_schedules, stop_services
from daybreak.environment.night.work import Stage, Work
from daybreak.environment.records import PlanStatus
from daybreak.environment.rollout import Rollout, deployable
from daybreak.environment.scorch.execute import ScorchResult, check_scorch, execute_scorch
from daybreak.environment.scorch.outlook import make_plan
from daybreak.environment.scorch.plan import ScorchPlan
from daybreak.environment.seeding.seed import seed
from daybreak.environment.stacks import infra
from daybreak.environment.stacks.stack import Kind, Stacks
from daybreak.errors import DaybreakError
from daybreak.settings import Limits

log = logging.getLogger(__name__)

#: Spared, and yet nothing of yesterday's data is in it, or nothing that anybody would miss in a new day.
_NO_DATA_LEFT = frozenset({Code.GONE, Code.HAS_FILTERS})


def _resources(work: Work, *types: ResourceType) -> list[CatalogResource]:
    """The enabled resources of these types, dependencies first."""
    return [work.catalog[name] for name in work.catalog.order() if work.catalog[name].type in types]


def _scorch(work: Work, op: Op) -> Mapping[str, Any]:
    installation = work.installation
    environments = installation.environments
    if environments.get(work.environment).state is State.QUIESCING:
        # In place: nothing was torn down in the evening. What forbids the scorch is said before anything was
        # switched off for it.
        target = work.target(op)
        stacks = work.stacks(target)
        stacks.check_ours(*Kind)
        if work.nonces:
            check_scorch(_plan(work, target, stacks), target, stacks, nonces=work.nonces)
        stop_schedules(work, op)
        stop_services(work, op)
        environments.update(op, to=State.SCORCHING)
    # Never provisioned: nothing can carry a nonce of ours, so nothing may be deleted.
    said = _delete_data(work, op) if work.nonces else {"deleted": {}, "spared": []}
    if environments.get(work.environment).state is State.SCORCHING:
        environments.update(op, to=State.PROVISIONING)
    return said


def _delete_data(work: Work, op: Op) -> Mapping[str, Any]:
    installation = work.installation
    settings = installation.settings
    target = work.target(op)
    stacks = work.stacks(target)

    def execute(found: ScorchPlan, night: date) -> ScorchResult:
        def record(status: PlanStatus) -> None:
            work.scorch_plans(op).record(
                night,
                work.environment,
                Phase.REBUILD,
                run_id=work.run_id,
                digest=found.digest,
                size=found.size,
                plan=found.to_json(),
                status=status,
            )

        # Before the first deletion: between a table's delete and its create, only the plan knows it.
        # Whatever stops it in the middle, a freeze too, leaves it STARTED, and the next try goes on with it.
        record(PlanStatus.REFUSED if found.refusals else PlanStatus.STARTED)
        result = execute_scorch(
            found, target, stacks, nonces=work.nonces, forbidden_urls=settings.forbidden_urls
        )
        record(PlanStatus.EXECUTED)
        return result

    for night, cut_off in installation.scorch_plans.unfinished(work.environment, Phase.REBUILD):
        left = ScorchPlan.from_json(cut_off)
        if set(left.nonces) & set(work.nonces):
            log.info("%s: going on with plan %s, which was cut off", work.environment, left.digest[:12])
            execute(left, night)
    found = _plan(work, target, stacks)
    for line in found.lines():
        log.info("%s: %s", work.environment, line)
    result = execute(found, work.night)
    spared = [each for each in (*found.protected, *result.skipped) if each.code not in _NO_DATA_LEFT]
    return {"deleted": dict(result.deleted), "spared": [str(each) for each in spared]}


def _plan(work: Work, target: Target, stacks: Stacks) -> ScorchPlan:
    databases = [resource.name for resource in _resources(work, ResourceType.DATABASE)]
    return make_plan(work.installation, target, stacks, databases, nonces=work.nonces, night=work.night)


def _infra(work: Work, op: Op) -> Mapping[str, Any]:
    installation = work.installation
    # A provisioning gets its name once a run, so that a retry goes on with what it created.
    installation.environments.rotate_nonce(op, nonce=_nonce(work))
    target = work.target(op)
    changes = {}
    by_stack = {str(r.options.get("stack")): r for r in _resources(work, ResourceType.INFRA)}
    for kind in Kind:
        resource = by_stack.get(kind.value)
        if resource is None:
            continue
        found = work.package(resource)
        changes[kind.value] = infra.ensure(work, target, resource, found).value
        work.deployments(op).record(work.environment, resource.name, found.key, found.commit, work.run_id)
    installation.environments.check(op)
    return changes


def _nonce(work: Work) -> str:
    return hashlib.sha256(f"{work.run_id}/{work.environment}".encode()).hexdigest()[:16]


def _data(work: Work, op: Op) -> Mapping[str, Any]:
    target = work.target(op)
    done = {}
    for resource in _resources(work, ResourceType.DATABASE):
        found = work.package(resource)
        driver = driver_for(resource)
        assert driver is not None
        if work.nonces[1:]:
            _rotate_marker(work, target, resource)
        driver.create(resource, found, target)
        driver.deploy(resource, found, target)
        work.deployments(op).record(work.environment, resource.name, found.key, found.commit, work.run_id)
        done[resource.name] = found.key[:12]
    work.installation.environments.update(op, nonce_previous=None)
    return done


def _rotate_marker(work: Work, target: Target, resource: CatalogResource) -> None:
    engine = connecting.engine(target.environment.database_url(resource.name))
    try:
        with engine.begin() as connection:
            if is_blank(connection):
                return  # its creation was killed; the driver goes on with it
            target.guard()
            rotate_marker(connection, work.environment, target.nonce, work.nonces)
    except OperationalError:
        log.info("%s: no database of %s yet", work.environment, resource.name)
    finally:
        engine.dispose()


def _deploy(work: Work, op: Op) -> Mapping[str, Any]:
    done = Rollout(work, op)
    done.run(
        [
            name
            for name, resource in work.catalog.resources.items()
            if deployable(resource) and resource.type not in (ResourceType.INFRA, ResourceType.DATABASE)
        ]
    )
    if done.lost and not (done.deployed and work.last_try):
        raise DaybreakError(
            "; ".join(f"{name}: {why}" for name, why in sorted(done.lost.items())), code="deploy_failed"
        )
    # Without one service the others are still of use; the verdict is DEGRADED and says what is missing.
    deployed = {name: key[:12] for name, key in done.deployed.items()}
    return {"deployed": deployed, "urls": done.urls, "lost": done.lost}


def _seed(work: Work, op: Op) -> Mapping[str, Any]:
    target = work.target(op)
    target = work.target(op, stack=work.stacks(target).facts())
    rows: dict[str, Any] = {}
    for name in work.catalog.order():
        resource = work.catalog[name]
        if resource.seeds and resource.enabled:
            rows.update(seed(work.package(resource).folder, resource, target))
    return {"rows": rows}


def _schedules(work: Work, op: Op) -> Mapping[str, Any]:
    return {"enabled": start_schedules(work, op)}


def start_schedules(work: Work, op: Op) -> int:
    """Re-enable what the evening disabled; returns how many."""
    target = work.target(op)
    return len(schedules.enable(target, work.stacks(target), work.memos(op)).changed)


def _e2e(work: Work, op: Op) -> Mapping[str, Any]:
    result = work.e2e(op, _urls(work))
    return {
        "verdict": str(result.verdict),
        "tests": result.tests,
        "failures": [list(failure) for failure in result.failures][:50],
        "flaky": list(result.flaky[:50]),
    }


def _urls(work: Work) -> dict[str, str]:
    for step in work.installation.nights.steps(work.run_id, environment=work.environment):
        if step.step == "deploy":
            return dict(step.detail.get("urls", {}))
    return {}


_IN_PLACE = USABLE | {State.FAULTED, State.QUIESCING, State.SCORCHING}

SCORCH = Stage("scorch", Phase.REBUILD, {State.ABSENT, State.PROVISIONING}, State.PROVISIONING, 30, _scorch)
SCORCH_IN_PLACE = Stage(
    "scorch", Phase.REBUILD, _IN_PLACE | STEP_STATES, State.QUIESCING, 40, _scorch, first=True
)
#: Of an environment that stayed up.
RESUME = Stage("resume", Phase.REBUILD, USABLE, None, 20, _schedules)
INFRA = Stage("infra", Phase.REBUILD, {State.PROVISIONING}, None, 90, _infra, State.DEPLOYING)
DATA = Stage("data", Phase.REBUILD, {State.DEPLOYING}, None, 30, _data)
DEPLOY = Stage("deploy", Phase.REBUILD, {State.DEPLOYING}, None, 60, _deploy, State.SEEDING)
SEED = Stage("seed", Phase.REBUILD, {State.SEEDING}, None, 30, _seed)
SCHEDULES = Stage("schedules", Phase.REBUILD, {State.SEEDING}, None, 20, _schedules, State.VERIFYING)
E2E = Stage("e2e", Phase.REBUILD, {State.VERIFYING}, None, 60, _e2e)

STAGES = (SCORCH, INFRA, DATA, DEPLOY, SEED, SCHEDULES, E2E)


def stage_for(work: Work, stage: Stage) -> Stage:
    """The stage as this environment needs it: one that is rebuilt in place is quieted first; suites have the
    time that the team gives them.
    """
    if stage is SCORCH and work.decision.in_place:
        return SCORCH_IN_PLACE
    if stage is E2E:
        limit = Limits(work.installation.settings.build).e2e
        return replace(E2E, minutes=ceil(limit / timedelta(minutes=1)))
    return stage
