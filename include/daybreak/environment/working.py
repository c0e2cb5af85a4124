"""One environment as one run works on it: what the run pinned, and how the environment is reached.

Nights and deploys by hand are such work; what differs between them stands in `night.work` and `bcd.work`.
"""

from __future__ import annotations

import functools
import logging
from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping
from typing import Any

from daybreak.aws.tokens import Tokens
from daybreak.build.artifact import Artifacts
from daybreak.catalog.graph import Catalog, CatalogResource
from daybreak.catalog.resource import Action, ResourceType
from daybreak.catalog.snapshot import stored
from daybreak.change.plan import Plan
from daybreak.deploy.driver import Package, Target
from daybreak.deploy.drivers import driver_for
from daybreak.deploy.fingerprint import observe_all
from daybreak.environment.contract import variables
from daybreak.environment.e2e import E2EResult, run_e2e
from daybreak.environment.e2e_image import Housed
from daybreak.environment.installation import Installation
from daybreak.environment.interlocks import Interlocks
from daybreak.environment.machine import Op
from daybreak.environment.memos import ScheduleMemos
from daybreak.environment.records import Begin, Deployments, ScorchPlans
from daybreak.environment.stacks import infra
from daybreak.environment.stacks.stack import Stacks
from daybreak.errors import DaybreakError

log = logging.getLogger(__name__)


class Working:
    """See the module.

    ``run_id`` is the run whose pinned plan counts; ``tokens`` are those of the step at work.
    """

    installation: Installation
    run_id: str
    tokens: Tokens

    @property
    @abstractmethod
    def environment(self) -> str:
        """The environment's name."""

    @functools.cached_property
    def plan(self) -> Plan:
        """The plan that this run pinned."""
        return Plan.from_json(self.installation.runs.get(self.run_id).plan)

    @functools.cached_property
    def catalog(self) -> Catalog:
        """The catalog of the commit that this run pinned."""
        return stored(self.installation.store, self.plan.commit)

    @property
    def nonces(self) -> list[str]:
        """The nonces that may stand on what is there: the present one and, mid-rotation, the one before."""
        return self.installation.nonces(self.environment)

    def interlocks(self) -> Interlocks:
        """What is asked before each mutation of the account."""
        return self.installation.interlocks(self.environment)

    def check(self, op: Op) -> None:
        """Asked before each mutation of the world.

        :raises LostOp: when nothing must be changed any more.
        """
        self.installation.environments.check(op)

    def target(self, op: Op, **more: Any) -> Target:
        """The environment as drivers reach it, while ``op`` is at work."""
        guard = functools.partial(self.check, op)
        return self.installation.target(self.environment, guard, tokens=self.tokens, **more)

    def stacks(self, target: Target) -> Stacks:
        """The environment's stacks."""
        return Stacks(target, self.interlocks(), nonces=self.nonces)

    # What a step writes down beside the environment's row, each only while ``op`` is at work.

    def memos(self, op: Op) -> ScheduleMemos:
        """How the schedules were."""
        here = self.installation
        return ScheduleMemos(here.engine, self.environment, here.clock, self._writing(op))

    def deployments(self, op: Op) -> Deployments:
        """What was deployed where."""
        return Deployments(self.installation.engine, self.installation.clock, self._writing(op))

    def scorch_plans(self, op: Op) -> ScorchPlans:
        """Deletion plans."""
        return ScorchPlans(self.installation.engine, self.installation.clock, self._writing(op))

    def _writing(self, op: Op) -> Begin:
        return functools.partial(self.installation.environments.fenced, op)

    # What the plan says

    def package(self, resource: CatalogResource) -> Package:
        """The planned artifact of ``resource``, on this machine.

        :raises DaybreakError: ``not_planned``, or ``not_built`` naming the build that is missing.
        """
        step = self.plan.step(resource.name)
        if step is None:
            raise DaybreakError(
                f"{resource.name} is not in the plan of run {self.run_id}", code="not_planned"
            )
        artifacts = Artifacts(self.installation.store)
        if not artifacts.exists(resource.name, step.key):
            raise DaybreakError(self._unbuilt(resource, artifacts), code="not_built")
        folder = artifacts.fetch(resource.name, step.key, self.installation.home)
        return Package(resource.name, step.key, self.plan.commit, folder)

    def _unbuilt(self, resource: CatalogResource, artifacts: Artifacts) -> str:
        """Which build keeps ``resource`` from being deployed: its own, or the first one that it needs."""
        keys = {step.name: step.key for step in self.plan.steps if Action.BUILD in step.actions}
        needed = self.catalog.closure([resource.name])
        order = (name for name in self.catalog.order() if name in needed and name in keys)
        first = next((name for name in order if not artifacts.exists(name, keys[name])), resource.name)
        key = keys.get(first, "")[:12]
        if first == resource.name:
            return f"{first} was not built (key {key}); see its build in this run"
        return f"{resource.name} needs {first}, which was not built (key {key}); see its build in this run"

    # What runs

    def running(self, catalog: Catalog) -> dict[str, str]:
        """The content key of everything that runs in the environment, read back.

        What has no driver to ask is believed from its row; a stack of ``catalog`` only while its template is
        that of its row. What is not in ``catalog`` is believed too.
        """
        observed = observe_all(catalog, self._look_at(catalog))
        found = {name: key for name, key in observed.items() if key is not None}
        for name, deployment in self.installation.deployments.current(self.environment).items():
            if name in observed or deployment.key is None:
                continue
            if name not in catalog.resources or self._is_stack(catalog[name], deployment.key):
                found[name] = deployment.key
        return found

    def _is_stack(self, resource: CatalogResource, key: str) -> bool:
        """Whether the stack has the template of that artifact: a step that was killed wrote no row."""
        if resource.type is not ResourceType.INFRA:
            return True
        try:
            folder = Artifacts(self.installation.store).fetch(resource.name, key, self.installation.home)
            here = self.installation.target(self.environment, nothing_changes)
            return infra.runs(self.stacks(here), resource, folder)
        except DaybreakError as error:
            log.info("%s: %s cannot be looked at: %s", self.environment, resource.name, error)
            return False

    def _look_at(self, catalog: Catalog) -> Callable[[CatalogResource], Target]:
        """For a driver that only looks."""
        settings = self.installation.settings
        environment = settings.environment(self.environment)
        facts = self.stacks(self.installation.target(self.environment, nothing_changes)).facts()

        def target(resource: CatalogResource) -> Target:
            own = variables(settings, environment, catalog.commit, catalog, resource, {})
            return self.installation.target(self.environment, nothing_changes, stack=facts, variables=own)

        return target

    def urls(self, op: Op) -> dict[str, str]:
        """What everything that runs there provides, whoever deployed it."""
        target = self.target(op)
        target = self.target(op, stack=self.stacks(target).facts())
        urls: dict[str, str] = {}
        for resource in self.catalog.resources.values():
            driver = driver_for(resource)
            if driver is not None and Action.DEPLOY in resource.actions:
                urls.update(driver.provides(resource, target))
        return urls

    def e2e(self, op: Op, urls: Mapping[str, str], *, without: Collection[str] = ()) -> E2EResult:
        """Run the suites of the pinned commit against the environment; raises as ``run_e2e`` does.

        What failed is tried once more. Without an AWS that answers there is no verdict.

        :param urls: ``<RESOURCE>_URL`` and the like of what is deployed.
        :param without: as ``run_e2e`` has it.
        :raises AWS_ERRORS: when AWS did not answer after a try that failed.
        """
        installation, settings = self.installation, self.installation.settings
        environment = settings.environment(self.environment)
        return run_e2e(
            installation.mirror(),
            self.plan.commit,
            settings.monorepo.e2e,
            variables(settings, environment, self.plan.commit, self.catalog, None, urls),
            installation.home,
            settings.build,
            installation.home / "logs" / "e2e" / self.run_id.replace("/", "_") / self.environment,
            without=without,
            reach=functools.partial(self.interlocks().check_account, self.target(op)),
            houses=self._houses(),
        )

    def _houses(self) -> dict[str, Housed]:
        """The planned services in whose images their suites run, where the settings say so."""
        images = self.installation.settings.build.images
        if images is None or "e2e" not in images.tests:
            return {}
        artifacts = Artifacts(self.installation.store)
        return {
            resource.name: Housed(resource, self.package(resource))
            for resource in self.catalog.resources.values()
            if resource.type is ResourceType.SERVICE
            and (step := self.plan.step(resource.name)) is not None
            and artifacts.exists(resource.name, step.key)
        }


def nothing_changes() -> None:
    """The guard of who only looks."""
