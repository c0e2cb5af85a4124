"""Which e2e suites a change needs: those that cover what it affects, and those that declare nothing.

A suite says what it covers in the ``pyproject.toml`` of its folder, as ``covers = ["trips"]`` in the section
``[tool.daybreak.e2e]`` (for all below it, the nearest one counts), or in a file itself, as
``pytestmark = pytest.mark.covers("trips")``.
"""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from daybreak.git.repository import Repository

_SETTINGS = "pyproject.toml"
_MARK = "covers"


@dataclass(frozen=True)
class Chosen:
    """What is run.

    :param without: files that are left out, by their paths in the suites' folder.
    :param why: for people.
    """

    without: frozenset[str]
    why: str


def declared(repo: Repository, commit: str, folder: str) -> dict[str, frozenset[str] | None]:
    """What each Python file under ``folder`` covers, by its path there; ``None``: it does not say.

    What cannot be read says nothing: on doubt a suite is run.
    """
    entries = {each.path: each.oid for each in repo.ls_tree(commit, [folder]) if each.type == "blob"}
    wanted = {path: oid for path, oid in entries.items() if path.endswith((".py", f"/{_SETTINGS}"))}
    contents = repo.read_blobs(wanted.values())
    start = len(folder.rstrip("/")) + 1
    folders: dict[str, frozenset[str] | None] = {}
    files: dict[str, frozenset[str] | None] = {}
    for path, oid in wanted.items():
        name, text = path[start:], contents[oid].decode(errors="replace")
        if name.rpartition("/")[2] == _SETTINGS:
            folders[name.rpartition("/")[0]] = _of_folder(text)
        else:
            files[name] = _of_file(text)
    return {name: covers if covers is not None else _above(name, folders) for name, covers in files.items()}


def choose(
    before: Mapping[str, frozenset[str] | None],
    after: Mapping[str, frozenset[str] | None],
    affected: Collection[str],
    deployed: Collection[str],
) -> Chosen:
    """Which files need not run.

    :param before: what was declared on main: whoever changes what a suite covers is still tested by it, and
        whoever brings the first suite that covers something is tested by all.
    :param after: what is declared now.
    :param affected: resources that a change affects.
    :param deployed: those of them that run in an environment by themselves.
    """
    for where, said in (("", after), (" on main", before)):
        known = frozenset[str]().union(*(covers for covers in said.values() if covers))
        if bare := sorted(set(deployed) - known):
            return Chosen(frozenset(), f"all suites: none{where} says that it covers {', '.join(bare)}")
    touched = frozenset(affected)
    without = {
        name
        for name, covers in after.items()
        if covers is not None
        and not covers & touched
        and not _ran_before(name, before, touched)
        and not name.endswith("conftest.py")
    }
    ran = sorted(name for name in after if name not in without and _is_test(name))
    return Chosen(frozenset(without), f"{len(ran)} of {sum(map(_is_test, after))} files of tests")


def _ran_before(name: str, before: Mapping[str, frozenset[str] | None], touched: frozenset[str]) -> bool:
    covers = before.get(name, frozenset())
    return covers is None or bool(covers & touched)


def _is_test(name: str) -> bool:
    file = name.rpartition("/")[2]
    return file.startswith("test_") or file.endswith("_test.py")


def _of_folder(text: str) -> frozenset[str] | None:
    try:
        covers = tomllib.loads(text)["tool"]["daybreak"]["e2e"]["covers"]
    except (tomllib.TOMLDecodeError, KeyError, TypeError):
        return None
    if not isinstance(covers, list) or not all(isinstance(each, str) for each in covers):
        return None
    return frozenset(covers) or None


def _of_file(text: str) -> frozenset[str] | None:
    if _MARK not in text:
        return None
    try:
        body = ast.parse(text).body
    except (SyntaxError, ValueError):
        return None
    found: set[str] = set()
    for statement in body:
        if isinstance(statement, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == "pytestmark" for target in statement.targets
        ):
            value = statement.value
            for each in value.elts if isinstance(value, ast.List | ast.Tuple) else [value]:
                found |= _of_mark(each)
    return frozenset(found) or None


def _of_mark(node: ast.expr) -> set[str]:
    """The words of ``pytest.mark.covers("trips", …)``."""
    if not (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == _MARK
        and ast.unparse(node.func.value).endswith("mark")
    ):
        return set()
    return {
        each.value for each in node.args if isinstance(each, ast.Constant) and isinstance(each.value, str)
    }


def _above(name: str, folders: Mapping[str, frozenset[str] | None]) -> frozenset[str] | None:
    folder = name.rpartition("/")[0]
    while True:
        if folder in folders and folders[folder] is not None:
            return folders[folder]
        if not folder:
            return None
        folder = folder.rpartition("/")[0]
