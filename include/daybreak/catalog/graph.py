"""The graph of one commit's resources: who depends on whom, and in which order to go.

Everything here is data: what ``resources.py`` said has been evaluated and checked elsewhere
(:mod:`daybreak.catalog.loader`); a :class:`Catalog` travels as JSON.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

from daybreak.catalog.cycles import components, shortest_cycle
from daybreak.catalog.resource import TYPE_ORDER, Action, ResourceType
from daybreak.catalog.rules import Rules
from daybreak.errors import CatalogError, CycleError, UsageError

#: Version of the JSON form of a catalog.
SCHEMA = 3

_RANK = {type_: rank for rank, type_ in enumerate(TYPE_ORDER)}
_TYPES = {type_.value: type_ for type_ in ResourceType}
_ACTIONS = {action.value: action for action in Action}


@dataclass(frozen=True)
class LockUse:
    """A lock file that pins third-party distributions of a resource.

    :param path: of the lock, relative to the monorepo's root.
    :param roots: where the resource's closure begins: names in the lock, an extra in brackets
        (``uvicorn[standard]``); empty: everything in the lock is the resource's.
    """

    path: str
    roots: tuple[str, ...] = ()


@dataclass(frozen=True)
class Uncertain:
    """Something that reading files cannot decide; the resource counts as depending on all of it.

    :param where: ``file:line``, or ``file``.
    :param what: what could not be decided, and what was assumed.
    """

    resource: str
    where: str
    what: str


@dataclass(frozen=True)
class CatalogResource:
    """One resource of a catalog, with everything that has a default filled in.

    :param packages: names of the packages whose wheels it needs.
    :param depends_on: names of what else must be there first.
    :param paths: gitignore-style patterns of its files, relative to the monorepo's root.
    :param root: its folder, relative to the monorepo's root; ``"."`` is the monorepo itself.
    :param actions: what is really done with it; empty when it is disabled.
    :param test_paths: folders with unit tests, relative to ``root``.
    :param has_tests: one of ``test_paths`` exists at this commit.
    :param seeds: path of its seed manifest, relative to the monorepo's root.
    :param options: what only its type knows.
    :param line: where ``resources.py`` declares it.
    :param evidence: by the name of a dependency, where the edge comes from: ``file:line``.
    :param locks: what pins its third-party distributions.
    """

    name: str
    type: ResourceType
    packages: tuple[str, ...] = ()
    depends_on: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    root: str = "."
    actions: frozenset[Action] = frozenset()
    enabled: bool = True
    test_paths: tuple[str, ...] = ()
    has_tests: bool = False
    seeds: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    line: int | None = None
    evidence: Mapping[str, str] = field(default_factory=dict, hash=False)
    locks: tuple[LockUse, ...] = ()

    @cached_property
    def dependencies(self) -> tuple[str, ...]:
        """Names of all that it depends on directly, sorted."""
        return tuple(sorted({*self.packages, *self.depends_on}))

    @property
    def test_folders(self) -> tuple[str, ...]:
        """The folders with its unit tests, relative to the monorepo's root."""
        return tuple(path if self.root == "." else f"{self.root}/{path}" for path in self.test_paths)

    def to_json(self) -> dict[str, Any]:
        """The JSON form, in a stable order."""
        return {
            "name": self.name,
            "type": self.type.value,
            "packages": list(self.packages),
            "depends_on": list(self.depends_on),
            "paths": list(self.paths),
            "root": self.root,
            "actions": sort_actions(self.actions),
            "enabled": self.enabled,
            "test_paths": list(self.test_paths),
            "has_tests": self.has_tests,
            "seeds": self.seeds,
            "options": dict(self.options),
            "line": self.line,
            "evidence": dict(sorted(self.evidence.items())),
            "locks": [{"path": lock.path, "roots": list(lock.roots)} for lock in self.locks],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> CatalogResource:
        """The inverse of :meth:`to_json`; raises :class:`CatalogError` for anything else."""
        try:
            return cls(
                name=data["name"],
                type=_TYPES[data["type"]],
                packages=tuple(data["packages"]),
                depends_on=tuple(data["depends_on"]),
                paths=tuple(data["paths"]),
                root=data["root"],
                actions=frozenset(map(_ACTIONS.__getitem__, data["actions"])),
                enabled=data["enabled"],
                test_paths=tuple(data["test_paths"]),
                has_tests=data["has_tests"],
                seeds=data["seeds"],
                options=data["options"],
                line=data["line"],
                evidence=data["evidence"],
                locks=tuple([LockUse(lock["path"], tuple(lock["roots"])) for lock in data["locks"]]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise CatalogError(f"a stored catalog cannot be read ({error!r}); publish it again") from error


@dataclass(frozen=True)
class Catalog:
    """All resources of one commit.

    A catalog with a cycle can be made and looked at; whatever needs an order raises :class:`CycleError`.

    :raises CatalogError: when a resource depends on one that is not there.
    """

    commit: str
    resources: dict[str, CatalogResource]
    uncertain: tuple[Uncertain, ...] = ()
    rules: Rules = field(default_factory=Rules)

    def __post_init__(self) -> None:
        for resource in self.resources.values():
            for name in resource.dependencies:
                if name not in self.resources:
                    where = f"resources.py:{resource.line}: " if resource.line else ""
                    raise CatalogError(f"{where}{resource.name} depends on {name!r}, which is no resource")

    def __getitem__(self, name: str) -> CatalogResource:
        """The resource called ``name``; raises :class:`UsageError` with a suggestion."""
        try:
            return self.resources[name]
        except KeyError:
            import difflib

            near = difflib.get_close_matches(name, self.resources, 1)
            hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(sorted(self.resources))}"
            raise UsageError(f"no resource is called {name!r}; {hint}") from None

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of what the catalog says; neither the commit nor line numbers (evidence) count."""
        import hashlib

        content: list[dict[str, Any]] = [self.rules.to_json()]
        for _, resource in sorted(self.resources.items()):
            content.append(resource.to_json())
            del content[-1]["line"], content[-1]["evidence"]
        return hashlib.sha256(_dumps(content)).hexdigest()

    def at(self, commit: str) -> Catalog:
        """The same catalog for another commit, sharing all that it has."""
        other = copy(self)
        object.__setattr__(other, "commit", commit)
        return other

    def dependencies(self, name: str) -> tuple[str, ...]:
        """Names of what ``name`` depends on directly, sorted."""
        return self[name].dependencies

    def dependents(self, name: str) -> tuple[str, ...]:
        """Names of what depends on ``name`` directly, sorted."""
        return self._dependents[self[name].name]

    def closure(self, names: Iterable[str]) -> frozenset[str]:
        """``names`` with everything that they need, directly or not."""
        return reach(names, self.dependencies)

    def impact(self, names: Iterable[str]) -> frozenset[str]:
        """``names`` with everything that needs them, directly or not."""
        return reach(names, self.dependents)

    def generations(self) -> list[list[str]]:
        """Names by topological generation, each sorted by type order, then by name.

        Everything in a generation depends only on earlier ones. :raises CycleError: with :meth:`cycles`.
        """
        return [list(generation) for generation in self._generations]

    def order(self) -> list[str]:
        """All names, dependencies first; the same catalog always gives the same order."""
        return [name for generation in self._generations for name in generation]

    def cycles(self) -> list[list[str]]:
        """For each set of resources that reach each other one shortest cycle, its first name repeated."""
        edges = {name: resource.dependencies for name, resource in self.resources.items()}
        return [shortest_cycle(members, edges) for members in components(edges)]

    def evidence(self, name: str, dependency: str) -> str:
        """Where it is said that ``name`` depends on ``dependency``: ``file:line``, or nothing."""
        resource = self.resources[name]
        said = resource.evidence.get(dependency, "")
        return said or (f"resources.py:{resource.line}" if resource.line else "")

    def drawn(self, path: Sequence[str]) -> str:
        """A way along the edges, for people: ``a -(a/pyproject.toml:7)-> b -(b/src/x.py:3)-> a``."""
        text = path[0]
        for name, other in pairwise(path):
            evidence = self.evidence(name, other)
            text += f" -({evidence})-> {other}" if evidence else f" -> {other}"
        return text

    def package_closure(self, name: str) -> list[str]:
        """The packages whose wheels ``name`` needs, also through other packages, dependencies first."""
        needed = reach(self[name].packages, lambda package: self[package].packages)
        return [package for package in self.order() if package in needed]

    def to_json(self) -> dict[str, Any]:
        """The JSON form; resources are sorted by name."""
        return {**self.content(), "digest": self.digest}

    def content(self) -> dict[str, Any]:
        """All of the JSON form from which :meth:`from_json` makes the catalog again."""
        return {
            "schema": SCHEMA,
            "commit": self.commit,
            "resources": [resource.to_json() for _, resource in sorted(self.resources.items())],
            "rules": self.rules.to_json(),
            "uncertain": [asdict(each) for each in self.uncertain],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Catalog:
        """The inverse of :meth:`to_json`; raises :class:`CatalogError` for anything else."""
        if data.get("schema") != SCHEMA:
            raise CatalogError(
                f"a stored catalog has schema {data.get('schema')!r}, not {SCHEMA}; publish it again"
            )
        resources = [CatalogResource.from_json(item) for item in data["resources"]]
        try:
            return cls(
                commit=data["commit"],
                resources={resource.name: resource for resource in resources},
                uncertain=tuple(Uncertain(**each) for each in data["uncertain"]),
                rules=Rules.from_json(data["rules"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise CatalogError(f"a stored catalog cannot be read ({error!r}); publish it again") from error

    @cached_property
    def _dependents(self) -> dict[str, tuple[str, ...]]:
        found: dict[str, list[str]] = {name: [] for name in self.resources}
        for name in sorted(self.resources):
            for dependency in self.resources[name].dependencies:
                found[dependency].append(name)
        return {name: tuple(names) for name, names in found.items()}

    @cached_property
    def _generations(self) -> tuple[tuple[str, ...], ...]:
        waiting = {name: len(resource.dependencies) for name, resource in self.resources.items()}
        ready = [name for name, count in waiting.items() if count == 0]
        generations: list[tuple[str, ...]] = []
        while ready:
            generation = tuple(sorted(ready, key=self._rank))
            generations.append(generation)
            ready = []
            for name in generation:
                del waiting[name]
                for dependent in self._dependents[name]:
                    waiting[dependent] -= 1
                    if waiting[dependent] == 0:
                        ready.append(dependent)
        if waiting:
            circles = "; ".join(self.drawn(cycle) for cycle in self.cycles())
            raise CycleError(f"resources depend on each other in a circle: {circles}. Remove one edge of it.")
        return tuple(generations)

    def _rank(self, name: str) -> tuple[int, str]:
        return _RANK[self.resources[name].type], name


def sort_actions(actions: Iterable[Action]) -> list[Action]:
    """Actions in the order in which they are taken."""
    wanted = frozenset(actions)
    return [action for action in Action if action in wanted]


def reach(names: Iterable[str], step: Callable[[str], Iterable[str]]) -> frozenset[str]:
    """Everything that can be reached from ``names`` (inclusive) by ``step(name) -> names``."""
    seen = set(names)
    queue = deque(seen)
    while queue:
        for name in step(queue.popleft()):
            if name not in seen:
                seen.add(name)
                queue.append(name)
    return frozenset(seen)


def _dumps(data: Any) -> bytes:
    return json.dumps(data, sort_keys=True, separators=(",", ":")).encode()
