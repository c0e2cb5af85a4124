"""What only the base has: to be destroyed, and no longer to be named."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from daybreak.catalog.graph import Catalog, CatalogResource
from daybreak.catalog.resource import Action, ResourceType
from daybreak.errors import UsageError
from daybreak.git.repository import Repository

#: Names that say nothing about a module.
_ORDINARY = frozenset({"src", "lib", "tests", "test", "docs", "app", "setup", "conftest", "__init__", "main"})


@dataclass(frozen=True)
class Removed:
    """A resource of the base that head does not have.

    :param destroy: something of it was created or deployed, and is to be destroyed.
    :param dependents: who needed it at the base.
    :param still_named: where a dependent still names it at head, each ``file:line: what it says``.
    """

    name: str
    type: ResourceType
    destroy: bool
    dependents: tuple[str, ...]
    still_named: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "name": self.name,
            "type": self.type.value,
            "actions": ["destroy"] if self.destroy else [],
            "dependents": list(self.dependents),
            "still_named": list(self.still_named),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Removed:
        """The inverse of :meth:`to_json`."""
        return cls(
            data["name"],
            ResourceType(data["type"]),
            bool(data["actions"]),
            tuple(data["dependents"]),
            tuple(data["still_named"]),
        )


def removed(repo: Repository, before: Catalog, head: Catalog, catalog_path: str) -> list[Removed]:
    """The resources of ``before`` that ``head`` has no more, by name."""
    found = []
    present: _Present | None = None
    for name in sorted(before.resources.keys() - head.resources.keys()):
        resource = before.resources[name]
        dependents = before.dependents(name)
        named: dict[str, None] = {}
        for dependent in dependents:
            file, _, line = before.resources[dependent].evidence.get(name, "").rpartition(":")
            # A catalog that names what it does not declare cannot be evaluated in the first place.
            if dependent in head.resources and line.isdigit() and file != catalog_path:
                present = present or _Present(repo, head)
                known = set(head.resources[dependent].evidence.values())
                words = _words(repo, before, resource)
                for place in _still_named(repo, before, present, words, file, int(line), known):
                    named[place] = None
        destroy = not resource.actions.isdisjoint({Action.CREATE, Action.DEPLOY})
        found.append(Removed(name, resource.type, destroy, dependents, tuple(named)))
    return found


class _Present:
    """The names that something of head goes by."""

    def __init__(self, repo: Repository, head: Catalog) -> None:
        self.repo = repo
        self.commit = head.commit
        entries = {entry.path: entry for entry in repo.ls_tree(head.commit)}
        self._paths = entries.keys()
        manifests = [
            entries[path]
            for resource in head.resources.values()
            for file in ("pyproject.toml", "package.json")
            if (path := file if resource.root == "." else f"{resource.root}/{file}") in entries
        ]
        contents = repo.read_blobs(entry.oid for entry in manifests)
        self._distributions = {
            _normalised(name)
            for entry in manifests
            for name in _distributions(entry.path, contents[entry.oid])
        }

    def has(self, word: str) -> bool:
        """A folder, a module or a distribution: what was removed has come back under another roof."""
        if "/" in word:
            return any(path.startswith(f"{word}/") for path in self._paths)
        module = (f"/{word}/__init__.py", f"/{word}.py")
        return _normalised(word) in self._distributions or any(path.endswith(module) for path in self._paths)


def _still_named(
    repo: Repository,
    before: Catalog,
    present: _Present,
    words: list[set[str]],
    file: str,
    number: int,
    known: set[str],
) -> list[str]:
    """Where ``file`` has at head the words by which its line ``number`` named something at the base.

    :param words: the surest first; of several kinds in the line the first counts.
    :param known: lines of head that mean something else by now.
    """
    old, new = _lines(repo, before.commit, file), _lines(repo, present.commit, file)
    if not 0 < number <= len(old):
        return []
    for kind in words:
        said = {word for word in kind if _has(old[number - 1], word)}
        if said:
            gone = [word for word in said if not present.has(word)]
            return [
                f"{file}:{at}: {line.strip()}"
                for at, line in enumerate(new, 1)
                if f"{file}:{at}" not in known
                and not line.lstrip().startswith(("#", "//", ";"))
                and any(_has(line, word) for word in gone)
            ]
    return []


def _words(repo: Repository, catalog: Catalog, resource: CatalogResource) -> list[set[str]]:
    """By what a resource is named: its folder, its distribution, its modules, its name."""
    root = resource.root
    if root == ".":
        return [{resource.name, resource.name.replace("_", "-")}]
    entries = repo.ls_folders(catalog.commit, [root, f"{root}/src"])
    blobs = {entry.path: entry.oid for entry in entries if entry.type == "blob"}
    manifests = [path for path in (f"{root}/pyproject.toml", f"{root}/package.json") if path in blobs]
    contents = repo.read_blobs(blobs[path] for path in manifests)
    distributions = {name for path in manifests for name in _distributions(path, contents[blobs[path]])}
    folders = [entry.path for entry in entries if entry.type == "tree"]
    modules = {path.rpartition("/")[2] for path in folders if path.startswith(f"{root}/src/")}
    modules |= {
        inside.path.split("/")[-2]
        for inside in repo.ls_folders(catalog.commit, folders)
        if inside.path.endswith("/__init__.py")
    }
    modules |= {path.rpartition("/")[2].removesuffix(".py") for path in blobs if path.endswith(".py")}
    return [
        {root},
        distributions | {name.replace("-", "_") for name in distributions},
        modules - _ORDINARY,
        {resource.name, resource.name.replace("_", "-")},
    ]


def _distributions(path: str, content: bytes) -> set[str]:
    """The names that a manifest gives to what it describes."""
    import json
    import tomllib

    try:
        if path.endswith(".json"):
            names = [json.loads(content).get("name")]
        else:
            data = tomllib.loads(content.decode())
            names = [data.get("project", {}).get("name"), data.get("tool", {}).get("poetry", {}).get("name")]
    except (ValueError, AttributeError):
        return set()
    return {name for name in names if isinstance(name, str) and name}


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _has(line: str, word: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", line, re.IGNORECASE) is not None


def _lines(repo: Repository, commit: str, path: str) -> list[str]:
    try:
        return repo.read(commit, path).decode(errors="replace").splitlines()
    except UsageError:
        return []


def error_text(found: Iterable[Removed]) -> str | None:
    """What to say when something is still named; ``None`` when all is well."""
    lines = [f"{place} (the resource {each.name} is removed)" for each in found for place in each.still_named]
    return "\n".join(lines) if lines else None
