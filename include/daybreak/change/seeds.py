"""From changed files to the resources that they change first, each with its reasons."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from operator import attrgetter
from typing import Any

from daybreak.catalog.graph import Catalog, CatalogResource
from daybreak.catalog.owners import Owners
from daybreak.catalog.rules import PLACE
from daybreak.change.reasons import Reason, Rule
from daybreak.errors import UsageError
from daybreak.git.repository import SUBMODULE, Change, Repository

#: What two declarations of a resource are compared by; neither the line nor the evidence of an edge counts.
_FIELDS = (
    "type", "packages", "depends_on", "paths", "root", "actions", "enabled", "test_paths", "has_tests",
    "seeds", "options", "locks",
)  # fmt: skip
_declaration = attrgetter(*_FIELDS)

#: Manifests at the root that no resource owns, with the tables that only a catalog is made from.
_CATALOG_TABLES = {
    "pyproject.toml": {"project", "dependency-groups", "tool.uv", "tool.poetry", "tool.daybreak"},
    "package.json": {
        "name", "version", "private", "description", "workspaces", "dependencies", "devDependencies",
        "optionalDependencies", "peerDependencies", "packageManager",
    },
}  # fmt: skip

#: A larger manifest is not read.
_LIMIT_BYTES = 4 << 20

_STATUS = {"A": "added", "D": "deleted", "T": "another type of file"}


def _differences(old: CatalogResource, new: CatalogResource) -> list[str]:
    """What two declarations of a resource differ in, in words; of what it needs, by name."""
    said = [f"no longer needs {name}" for name in old.dependencies if name not in new.dependencies]
    said += [f"needs {name} now" for name in new.dependencies if name not in old.dependencies]
    differ = [field for field in _FIELDS if getattr(old, field) != getattr(new, field)]
    return said + [field for field in differ if not said or field not in ("packages", "depends_on")]


class Seeds:
    """What is found, of all sides of a change set.

    :ivar reasons: by resource, of base or of head, and by what is said.
    :ivar tests: reasons that concern its tests alone.
    :ivar unowned: changed paths that mean nothing to anybody.
    :ivar warnings: what could not be read, and what was assumed.
    """

    def __init__(self, repo: Repository, head: Catalog, catalog_path: str) -> None:
        self.reasons: dict[str, dict[str, Reason]] = {}
        self.tests: dict[str, dict[str, Reason]] = {}
        self.unowned: set[str] = set()
        self.warnings: list[str] = []
        self._repo = repo
        self._head = head
        self._owners = Owners(head.resources.values())
        self._catalog_path = catalog_path

    def add(self, before: Catalog, changes: Sequence[Change]) -> None:
        """Everything that differs between the catalog ``before`` with its commit, and head."""
        self._catalogs(before)
        paths = {change.path for change in changes}
        locks = self._locks(before, paths)
        quiet: Collection[str] = ()
        if before.rules.ignore and self._head.rules.ignore:
            from daybreak.change.ignored import ignored

            quiet = ignored(self._repo, before.commit, before, self._head, paths, self.warnings)
        # Most changes leave the catalog as it is; then there is one side to ask.
        same = before.resources is self._head.resources and before.rules == self._head.rules
        sides = [(self._head, self._owners)]
        if not same:
            sides.insert(0, (before, Owners(before.resources.values())))
        for change in changes:
            if change.path in quiet:
                continue
            known = change.path in locks or self._is_catalog(before, change)
            for catalog, owners in sides:
                known |= self._file(catalog, owners, change)
                known |= self._global(catalog, change)
            if not known:
                self.unowned.add(change.path)

    def _locks(self, before: Catalog, paths: Collection[str]) -> set[str]:
        """Seed whose closures differ; all locks of both sides."""
        locks = {
            use.path
            for catalog in (before, self._head)
            for each in catalog.resources.values()
            for use in each.locks
        }
        if not locks.isdisjoint(paths):
            from daybreak.change.closures import lock_seeds

            for name, reason in lock_seeds(self._repo, before.commit, before, self._head, paths):
                self._because(name, reason)
                if "cannot be read" in reason.detail and reason.text not in self.warnings:
                    self.warnings.append(reason.text)
        return locks

    def _because(self, name: str, reason: Reason) -> None:
        kind = self.tests if reason.rule is Rule.TEST else self.reasons
        kind.setdefault(name, {}).setdefault(reason.text, reason)

    def _catalogs(self, before: Catalog) -> None:
        """What the two catalogs declare differently; removed names too, for the sake of their dependents."""
        old, new = before.resources, self._head.resources
        for name in sorted(old.keys() | new.keys()) if old is not new else ():
            if name not in old:
                self._because(name, Reason(Rule.CATALOG, "new in the catalog"))
            elif name not in new:
                self._because(name, Reason(Rule.CATALOG, "removed from the catalog"))
            elif old[name] is not new[name] and _declaration(old[name]) != _declaration(new[name]):
                fields = ", ".join(_differences(old[name], new[name]))
                self._because(
                    name, Reason(Rule.CATALOG, f"declared differently in the catalog: {fields}", "", fields)
                )
        for each in set(before.rules.global_paths) ^ set(self._head.rules.global_paths):
            for name, resource in new.items():
                if each.concerns(resource.type):
                    text = f"global path {each.pattern} came or went in {PLACE}"
                    self._because(name, Reason(Rule.GLOBAL, text, PLACE, each.pattern))

    def _file(self, catalog: Catalog, owners: Owners, change: Change) -> bool:
        submodule = SUBMODULE in (change.old_mode, change.new_mode)
        names = (
            owners.of(change.path, folder=True) | owners.of(change.path)
            if submodule
            else owners.of(change.path)
        )
        status = _STATUS.get(change.status, "changed" if change.old_oid != change.new_oid else "another mode")
        for name in sorted(names):
            rule = Rule.TEST if owners.is_test(name, change.path) else Rule.FILE
            pattern = owners.pattern(name, change.path) or ""
            self._because(name, Reason(rule, change.path, change.path, f"{status}; pattern {pattern!r}"))
        return bool(names)

    def _global(self, catalog: Catalog, change: Change) -> bool:
        known = False
        for each in catalog.rules.global_paths:
            if each.matches(change.path):
                known = True
                for name, resource in catalog.resources.items():
                    if each.concerns(resource.type):
                        reason = Reason(
                            Rule.GLOBAL, f"{change.path} (global path)", change.path, each.pattern
                        )
                        self._because(name, reason)
        return known

    def _is_catalog(self, before: Catalog, change: Change) -> bool:
        """Whether the file, as far as it changed, only says what the catalogs have been compared for."""
        if change.path in (self._catalog_path, PLACE):
            return True
        if change.path not in _CATALOG_TABLES or change.status != "M":
            return False
        sides = [self._beside(commit, change.path) for commit in (before.commit, self._head.commit)]
        return None not in sides and sides[0] == sides[1]

    def _beside(self, commit: str, path: str) -> Mapping[str, Any] | None:
        """A manifest without the tables that a catalog is made from."""
        import json
        import tomllib

        try:
            content = self._repo.read(commit, path, _LIMIT_BYTES).decode()
            data = json.loads(content) if path.endswith(".json") else tomllib.loads(content)
        except (UsageError, ValueError, RecursionError):
            return None
        if not isinstance(data, dict):
            return None
        tool = data.get("tool")
        for name in _CATALOG_TABLES[path]:
            data.pop(name, None)
            if isinstance(tool, dict):
                tool.pop(name.removeprefix("tool."), None)
        return data
