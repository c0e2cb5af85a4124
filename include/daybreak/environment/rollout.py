"""Bringing planned resources to run in one environment: each as soon as what it needs does, on a few threads.

A resource that fails costs itself and what needs it. Each that runs gets its row at once, so that another try
of the same run repeats only what is missing.
"""

from __future__ import annotations

import heapq
import logging
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from daybreak.catalog.graph import Catalog, CatalogResource
from daybreak.catalog.resource import Action, ResourceType
from daybreak.deploy.driver import Driver, Target
from daybreak.deploy.drivers import driver_for
from daybreak.deploy.migrations import MigrationFailed
from daybreak.environment.contract import variables
from daybreak.environment.machine import Op
from daybreak.environment.seeding.seed import seed
from daybreak.environment.stacks import infra
from daybreak.environment.working import Working
from daybreak.errors import DaybreakError, LostOp

log = logging.getLogger(__name__)

#: Resources of one environment that are deployed at once.
WORKERS = 4
#: Stacks first, then databases, then what uses both; within each, as the catalog says.
_WAVES: tuple[Callable[[ResourceType], bool], ...] = (
    lambda type_: type_ is ResourceType.INFRA,
    lambda type_: type_ is ResourceType.DATABASE,
    lambda type_: type_ not in (ResourceType.INFRA, ResourceType.DATABASE),
)
#: Codes of errors that another try cannot mend.
_FINAL = frozenset({"not_built", "not_planned", "usage", "catalog"})


def deployable(resource: CatalogResource) -> bool:
    """Whether the resource runs in an environment by itself: it has a driver, or is a stack's template."""
    if resource.type is ResourceType.INFRA:
        return Action.CREATE in resource.actions
    return driver_for(resource) is not None and Action.DEPLOY in resource.actions


def needs(catalog: Catalog, names: Collection[str]) -> dict[str, frozenset[str]]:
    """What of ``names`` each of them waits for, also by way of resources that are not among them.

    Dependencies first: a package has nothing to run, but what it needs must be there for its users.
    """
    wanted, reached, found = set(names), dict[str, frozenset[str]](), {}
    for name in catalog.order():
        waits = frozenset[str]().union(
            *({each} if each in wanted else reached[each] for each in catalog.dependencies(name))
        )
        reached[name] = waits
        if name in wanted:
            found[name] = waits
    return found


def in_order(
    waits: Mapping[str, Collection[str]], work: Callable[[str], None], workers: int = WORKERS
) -> dict[str, str]:
    """Do ``work`` for each name once all that it waits for is done; the longest chain goes first.

    :param waits: by name, dependencies first; every name that it waits for is a key too.
    :returns: why, for each name that was not done: what ``work`` raised, or which one it waited for in vain.
    :raises LostOp: when one raises it: nothing more is begun.
    """
    users: dict[str, list[str]] = {name: [] for name in waits}
    for name, before in waits.items():
        for each in before:
            users[each].append(name)
    chain: dict[str, int] = {}
    for name in reversed(list(waits)):
        chain[name] = 1 + max((chain[user] for user in users[name]), default=0)
    left = {name: len(set(before)) for name, before in waits.items()}
    ready = [(-chain[name], name) for name, count in left.items() if count == 0]
    heapq.heapify(ready)
    lost: dict[str, str] = {}
    running: dict[Future[None], str] = {}

    def over(name: str) -> None:
        for user in users[name]:
            if name in lost:
                lost.setdefault(user, _without(name))
            left[user] -= 1
            if left[user] == 0:
                heapq.heappush(ready, (-chain[user], user))

    with ThreadPoolExecutor(workers, thread_name_prefix="deploy") as pool:
        while ready or running:
            while ready and (len(running) < workers or ready[0][1] in lost):
                _, name = heapq.heappop(ready)
                if name in lost:
                    over(name)
                else:
                    running[pool.submit(work, name)] = name
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                name = running.pop(future)
                try:
                    future.result()
                except LostOp:
                    raise
                except DaybreakError as error:
                    lost[name] = str(error)
                over(name)
    return lost


def _without(name: str) -> str:
    return f"needs {name}, which was not deployed"


@dataclass
class Rollout:
    """What one try brought to run so far.

    :param actions: which of CREATE and DEPLOY are done.
    :param deployed: content keys by name of what was done, by an earlier try of this run too.
    :param urls: ``<RESOURCE>_URL`` and the like, also of dependencies that were there already.
    :param lost: why, for each that was not deployed; ``codes`` has the code of each that failed by itself.
    :param worth_a_retry: one of them may succeed when it is tried again.
    :param renews: codes of a failed migration for which the database is dropped and made anew. Only for an
        environment whose data nobody would miss.
    :param seeds: what brings dummy data along is filled with it, before it counts as deployed.
    """

    work: Working
    op: Op
    actions: Collection[Action] = (Action.CREATE, Action.DEPLOY)
    deployed: dict[str, str] = field(default_factory=dict)
    urls: dict[str, str] = field(default_factory=dict)
    lost: dict[str, str] = field(default_factory=dict)
    codes: dict[str, str] = field(default_factory=dict)
    worth_a_retry: bool = False
    renews: Collection[str] = ()
    seeds: bool = False

    def in_waves(self, names: Collection[str]) -> None:
        """:meth:`run` for each wave: stacks, databases, what uses both."""
        for wave in _WAVES:
            self.run([name for name in names if wave(self.work.catalog[name].type)])

    def run(self, names: Collection[str]) -> None:
        """Bring these planned resources to run; what needs something that was lost before is lost too.

        :raises LostOp: when somebody else took over the environment.
        """
        work, catalog = self.work, self.work.catalog
        self._facts = work.stacks(work.target(self.op)).facts()
        self._before = work.installation.deployments.current(work.environment)
        self._hear_of_neighbours(names)
        waits: dict[str, Collection[str]] = {}
        for name, before in needs(catalog, {*names, *self.lost}).items():
            broken = sorted(before & self.lost.keys())
            if broken and name in names:
                self.lost[name] = _without(broken[0])
            elif name in names:
                waits[name] = before
        self.lost |= in_order(waits, self._one)

    def _hear_of_neighbours(self, names: Collection[str]) -> None:
        """What dependencies provide that are there already."""
        catalog = self.work.catalog
        target = self.work.target(self.op, stack=self._facts)
        for each in sorted({each for name in names for each in _named_to(catalog, name)} - set(names)):
            driver = driver_for(catalog[each])
            if driver is not None and deployable(catalog[each]) and each not in self.lost:
                self.urls.update(driver.provides(catalog[each], target))

    def _one(self, name: str) -> None:
        try:
            self._bring(name)
        except DaybreakError as error:
            log.warning("%s: %s was not deployed: %s", self.work.environment, name, error)
            self.worth_a_retry |= error.code not in _FINAL
            self.codes[name] = error.code
            raise

    def _bring(self, name: str) -> None:
        work, resource = self.work, self.work.catalog[name]
        step = work.plan.step(name)
        key = step.key if step is not None else ""
        driver = driver_for(resource)
        before = self._before.get(name)
        if before is not None and (before.run_id, before.key) == (work.run_id, key) and driver is not None:
            target = self._target(resource)
            if driver.observe(resource, target) == key:
                log.info("%s: %s was deployed by an earlier try", work.environment, name)
                self.urls.update(driver.provides(resource, target))
                self.deployed[name] = key
                return
        if resource.type is ResourceType.INFRA:
            self._stack(resource)
        elif driver is not None:
            self._deploy(resource, driver)
        if self.seeds and resource.seeds:
            seed(work.package(resource).folder, resource, self._target(resource))
        if Action.DEPLOY in self.actions or resource.type is ResourceType.INFRA:
            work.deployments(self.op).record(work.environment, name, key, work.plan.commit, work.run_id)
        self.deployed[name] = key

    def _target(self, resource: CatalogResource) -> Target:
        work = self.work
        settings = work.installation.settings
        own = variables(
            settings, settings.environment(work.environment), work.plan.commit, work.catalog, resource,
            dict(self.urls),
        )  # fmt: skip
        return work.target(self.op, stack=self._facts, variables=own)

    def _deploy(self, resource: CatalogResource, driver: Driver) -> None:
        found, target = self.work.package(resource), self._target(resource)
        if Action.CREATE in self.actions:
            driver.create(resource, found, target)
        if Action.DEPLOY not in self.actions:
            return
        try:
            self.urls.update(driver.deploy(resource, found, target))
        except MigrationFailed as error:
            if error.code not in self.renews:
                raise
            log.warning("%s: %s is made anew: %s", self.work.environment, resource.name, error)
            self.work.interlocks().check(target, destroys=True)
            driver.destroy(resource, target)
            driver.create(resource, found, target)
            self.urls.update(driver.deploy(resource, found, target))

    def _stack(self, resource: CatalogResource) -> None:
        work, target = self.work, self.work.target(self.op)
        change = infra.ensure(work, target, resource, work.package(resource))
        log.info("%s: %s is %s", work.environment, resource.name, change)
        self._facts = work.stacks(target).facts()


def _named_to(catalog: Catalog, name: str) -> Collection[str]:
    """What may be named to the resource: its dependencies, and those of the packages that it is made of."""
    parts = (name, *catalog.package_closure(name))
    return {each for part in parts for each in catalog.dependencies(part)}
