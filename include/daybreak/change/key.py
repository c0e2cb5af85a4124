"""Content keys: the hash that names everything a resource is made of.

A key is a Merkle hash of git's own object ids, so nothing is read or checked out: the same inputs have the
same key in every commit, branch, environment and machine. The diff selects; the key decides whether to work.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from daybreak.catalog.graph import Catalog, CatalogResource, sort_actions
from daybreak.catalog.owners import Owners
from daybreak.catalog.rules import GlobalPath
from daybreak.change.closures import Closures
from daybreak.git.repository import SUBMODULE, Repository, TreeEntry

#: Raise it when this module hashes anything else than before.
KEY_SCHEMA = 2

#: Raise it when a builder makes something else from the same inputs.
BUILDER_VERSION = 2

DEFAULT_PYTHON = "3.11"

#: A lock of test requirements at the monorepo's root serves every resource that has none of its own.
TEST_LOCK = "requirements-test.txt"


@dataclass(frozen=True)
class Inputs:
    """The files of one resource at one commit.

    :param tests: take part in tests only, never in an artifact.
    :param shared: of ``global_paths``: they decide whether to build, and are in no artifact by themselves.
    """

    files: tuple[TreeEntry, ...]
    tests: tuple[TreeEntry, ...]
    shared: tuple[TreeEntry, ...] = ()


def inputs(repo: Repository, catalog: Catalog) -> dict[str, Inputs]:
    """The files of every resource of ``catalog``, by name."""
    owners = Owners(catalog.resources.values())
    files: dict[str, list[TreeEntry]] = {name: [] for name in catalog.resources}
    tests: dict[str, list[TreeEntry]] = {name: [] for name in catalog.resources}
    shared: dict[GlobalPath, list[TreeEntry]] = {each: [] for each in catalog.rules.global_paths}
    for entry in repo.ls_tree(catalog.commit):
        names = owners.of(entry.path)
        if entry.mode == SUBMODULE:
            names |= owners.of(entry.path, folder=True)
        for name in names:
            (tests if owners.is_test(name, entry.path) else files)[name].append(entry)
        for each, found in shared.items():
            if each.matches(entry.path):
                found.append(entry)

    def shared_by(resource: CatalogResource) -> tuple[TreeEntry, ...]:
        found = {
            entry.path: entry
            for each, entries in shared.items()
            if each.concerns(resource.type)
            for entry in entries
        }
        return tuple(found[path] for path in sorted(found))

    return {
        name: Inputs(tuple(files[name]), tuple(tests[name]), shared_by(resource))
        for name, resource in catalog.resources.items()
    }


def content_keys(repo: Repository, catalog: Catalog, *, python: str = DEFAULT_PYTHON) -> dict[str, str]:
    """The content key (64 hex digits) of every resource of ``catalog``.

    Files under a resource's test folders do not count: they change what is checked, not what is built.

    :param python: the Python version (``3.11``) that artifacts are built for.
    :raises CycleError: when there is no order to hash in.
    """
    found = inputs(repo, catalog)
    closures = Closures(repo, catalog.commit)
    keys: dict[str, str] = {}
    for name in catalog.order():
        resource = catalog[name]
        keys[name] = _sha256(
            {
                "schema": KEY_SCHEMA,
                "builder": BUILDER_VERSION,
                "python": python,
                "resource": _configuration(resource),
                "files": _leaves(found[name].files),
                "shared": _leaves(found[name].shared),
                "locks": closures.digests(resource),
                "dependencies": {other: keys[other] for other in resource.dependencies},
            }
        )
    return keys


def key_of_tests(repo: Repository, commit: str, key: str, found: Inputs) -> str:
    """The hash of what the unit tests of a resource see: its content, its tests, the lock they run with."""
    shared = repo.ls_tree(commit, (TEST_LOCK,))
    return _sha256({"key": key, "tests": _leaves(found.tests), "lock": _leaves(tuple(shared))})


def _configuration(resource: CatalogResource) -> Mapping[str, Any]:
    return {
        "name": resource.name,
        "type": resource.type.value,
        "root": resource.root,
        "packages": list(resource.packages),
        "actions": sort_actions(resource.actions),
        "seeds": resource.seeds,
        "options": dict(resource.options),
    }


def _leaves(entries: tuple[TreeEntry, ...]) -> list[list[str]]:
    return [[entry.mode, entry.oid, entry.path] for entry in entries]


def _sha256(data: Any) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
