"""The morning of one environment: scorch, infra, data, deploy, seed, schedules, e2e."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

from sqlalchemy.exc import OperationalError

from daybreak.build.artifact import Artifacts
from daybreak.catalog.graph import CatalogResource
from daybreak.catalog.resource import Action, ResourceType
from daybreak.deploy import connecting
from daybreak.deploy.driver import Package, Target
from daybreak.deploy.drivers import driver_for
from daybreak.deploy.marker import rotate_marker
from daybreak.environment import schedules
from daybreak.environment.calendar import Phase
from daybreak.environment.contract import variables
from daybreak.environment.e2e import run_e2e
from daybreak.environment.interlocks import Code
from daybreak.environment.machine import STEP_STATES, USABLE, Op, State
from daybreak.environment.night.evening import stop_schedules, stop_services
from daybreak.environment.night.work import Stage, Work
from daybreak.environment.records import PlanStatus, ScheduleMemos
from daybreak.environment.scorch.execute import ScorchResult, execute_scorch, plan_scorch
from daybreak.environment.scorch.plan import ScorchPlan
from daybreak.environment.seed import seed
from daybreak.environment.stack import Kind, Stacks
from daybreak.errors import DaybreakError, LostOp

log = logging.getLogger(__name__)

#: Spared, and yet nothing of yesterday's data is in it, or nothing that anybody would miss in a new day.
_NO_DATA_LEFT = frozenset({Code.GONE, Code.HAS_FILTERS})


def _stacks(work: Work, target: Target) -> Stacks:
    return Stacks(target, work.interlocks(), nonces=work.nonces)


def _resources(work: Work, *types: ResourceType) -> list[CatalogResource]:
    """The enabled resources of these types, dependencies first."""
    return [work.catalog[name] for name in work.catalog.order() if work.catalog[name].type in types]


def package(work: Work, resource: CatalogResource) -> Package:
    """The planned artifact of ``resource``, on this machine."""
    step = work.plan.step(resource.name)
    if step is None:
        raise DaybreakError(f"{resource.name} is not in the plan of run {work.run_id}", code="not_planned")
    artifacts = Artifacts(work.installation.store)
    if not artifacts.exists(resource.name, step.key):
        raise DaybreakError(_unbuilt(work, resource, artifacts), code="not_built")
    folder = artifacts.fetch(resource.name, step.key, work.installation.home)
    return Package(resource.name, step.key, work.plan.commit, folder)


def _unbuilt(work: Work, resource: CatalogResource, artifacts: Artifacts) -> str:
    """Which build keeps ``resource`` from being deployed: its own, or the first one that it needs."""
    keys = {step.name: step.key for step in work.plan.steps if Action.BUILD in step.actions}
    needed = work.catalog.closure([resource.name])
    order = (name for name in work.catalog.order() if name in needed and name in keys)
    first = next((name for name in order if not artifacts.exists(name, keys[name])), resource.name)
    key = keys.get(first, "")[:12]
    if first == resource.name:
        return f"{first} was not built (key {key}); see its build in this run"
    return f"{resource.name} needs {first}, which was not built (key {key}); see its build in this run"


def _scorch(work: Work, op: Op) -> Mapping[str, Any]:
    installation = work.installation
    environments = installation.environments
    if environments.get(work.environment).state is State.QUIESCING:
        # In place: nothing was torn down in the evening.
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
    stacks = _stacks(work, target)

    def execute(found: ScorchPlan, night: date) -> ScorchResult:
        def record(status: PlanStatus) -> None:
            installation.environments.check(op)
            installation.scorch_plans.record(
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
    found = plan_scorch(
        target,
        [resource.name for resource in _resources(work, ResourceType.DATABASE)],
        stacks,
        nonces=work.nonces,
        forbidden_urls=settings.forbidden_urls,
        cap=settings.scorch.cap,
        ratio=settings.scorch.ratio,
        median=installation.scorch_plans.usual_size(work.environment, Phase.REBUILD, before=work.night),
    )
    for line in found.lines():
        log.info("%s: %s", work.environment, line)
    result = execute(found, work.night)
    spared = [each for each in (*found.protected, *result.skipped) if each.code not in _NO_DATA_LEFT]
    return {"deleted": dict(result.deleted), "spared": [str(each) for each in spared]}


def _infra(work: Work, op: Op) -> Mapping[str, Any]:
    environments = work.installation.environments
    # A provisioning gets its name once a run, so that a retry goes on with what it created.
    environments.rotate_nonce(op, nonce=_nonce(work))
    target = work.target(op)
    stacks = _stacks(work, target)
    changes = {}
    by_stack = {str(r.options.get("stack")): r for r in _resources(work, ResourceType.INFRA)}
    for kind in Kind:
        resource = by_stack.get(kind.value)
        if resource is None:
            continue
        template = _template(package(work, resource), resource)
        changes[kind.value] = stacks.ensure(kind, template, dict(target.environment.parameters)).value
    work.installation.environments.check(op)
    return changes


def _nonce(work: Work) -> str:
    return hashlib.sha256(f"{work.run_id}/{work.environment}".encode()).hexdigest()[:16]


def _template(found: Package, resource: CatalogResource) -> str:
    name = Path(str(resource.options["template"])).name
    path = next((each for each in sorted(found.folder.rglob("*")) if each.name == name), None)
    if path is None:
        raise DaybreakError(f"{resource.name}: the artifact has no template {name}", code="no_template")
    return path.read_text()


def _data(work: Work, op: Op) -> Mapping[str, Any]:
    target = work.target(op)
    done = {}
    for resource in _resources(work, ResourceType.DATABASE):
        found = package(work, resource)
        driver = driver_for(resource)
        assert driver is not None
        if work.nonces[1:]:
            _rotate_marker(work, target, resource)
        driver.create(resource, found, target)
        driver.deploy(resource, found, target)
        work.installation.environments.check(op)
        work.installation.deployments.record(
            work.environment, resource.name, found.key, found.commit, work.run_id
        )
        done[resource.name] = found.key[:12]
    work.installation.environments.update(op, nonce_previous=None)
    return done


def _rotate_marker(work: Work, target: Target, resource: CatalogResource) -> None:
    engine = connecting.engine(target.environment.database_url(resource.name))
    try:
        with engine.begin() as connection:
            target.guard()
            rotate_marker(connection, work.environment, target.nonce, work.nonces)
    except OperationalError:
        log.info("%s: no database of %s yet", work.environment, resource.name)
    finally:
        engine.dispose()


def _deploy(work: Work, op: Op) -> Mapping[str, Any]:
    installation = work.installation
    target = work.target(op)
    facts = _stacks(work, target).facts()
    urls: dict[str, str] = {}
    deployed: dict[str, str] = {}
    lost: dict[str, str] = {}

    def one(name: str) -> None:
        resource = work.catalog[name]
        driver = driver_for(resource)
        if driver is None or resource.type is ResourceType.DATABASE or Action.DEPLOY not in resource.actions:
            return
        broken = [each for each in resource.dependencies if each in lost]
        if broken:
            lost[name] = f"needs {broken[0]}, which was not deployed"
            return
        own = variables(
            installation.settings, target.environment, work.plan.commit, work.catalog, resource, dict(urls)
        )
        try:
            found = package(work, resource)
            here = work.target(op, stack=facts, variables=own)
            driver.create(resource, found, here)
            urls.update(driver.deploy(resource, found, here))
            installation.environments.check(op)
        except LostOp:
            raise
        except DaybreakError as error:
            lost[name] = str(error)
            log.warning("%s: %s", work.environment, error)
            return
        installation.deployments.record(work.environment, name, found.key, found.commit, work.run_id)
        deployed[name] = found.key[:12]

    for generation in work.catalog.generations():
        with ThreadPoolExecutor(4, thread_name_prefix=f"deploy-{work.environment}") as pool:
            list(pool.map(one, generation))
    if lost and not (deployed and work.last_try):
        raise DaybreakError(
            "; ".join(f"{name}: {why}" for name, why in sorted(lost.items())), code="deploy_failed"
        )
    # Without one service the others are still of use; the verdict is DEGRADED and says what is missing.
    return {"deployed": deployed, "urls": urls, "lost": lost}


def _seed(work: Work, op: Op) -> Mapping[str, Any]:
    target = work.target(op)
    target = work.target(op, stack=_stacks(work, target).facts())
    rows: dict[str, Any] = {}
    for name in work.catalog.order():
        resource = work.catalog[name]
        if resource.seeds and resource.enabled:
            rows.update(seed(package(work, resource).folder, resource, target))
    return {"rows": rows}


def _schedules(work: Work, op: Op) -> Mapping[str, Any]:
    return {"enabled": start_schedules(work, op)}


def start_schedules(work: Work, op: Op) -> int:
    """Re-enable what the evening disabled; returns how many."""
    target = work.target(op)
    memos = ScheduleMemos(work.installation.engine, work.environment, work.installation.clock)
    return len(schedules.enable(target, _stacks(work, target), memos).changed)


def _e2e(work: Work, op: Op) -> Mapping[str, Any]:
    installation = work.installation
    settings = installation.settings
    urls = _urls(work)
    environment = settings.environment(work.environment)
    result = run_e2e(
        installation.mirror(),
        work.plan.commit,
        settings.monorepo.e2e,
        variables(settings, environment, work.plan.commit, work.catalog, None, urls),
        installation.home,
        settings.build,
        installation.home / "logs" / "e2e" / work.run_id.replace("/", "_") / work.environment,
    )
    return {
        "verdict": str(result.verdict),
        "tests": result.tests,
        "failures": [list(failure) for failure in result.failures][:50],
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
    """The stage as this environment needs it: one that is rebuilt in place is quieted first."""
    return SCORCH_IN_PLACE if stage is SCORCH and work.decision.in_place else stage
