"""The catalog's own files: what is declared otherwise is selected, and what only reads otherwise is not."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from daybreak.catalog.graph import Catalog, CatalogResource, LockUse
from daybreak.catalog.loader import load
from daybreak.catalog.resource import Action
from daybreak.catalog.resource import ResourceType as rt
from daybreak.change.affected import affected, between
from daybreak.change.changes import ChangeSet
from tests.change.world import repository

#: What each field of a declaration may be changed to.
OTHER: dict[str, Any] = {
    "type": rt.SERVICE, "packages": ("geo",), "depends_on": ("geo",), "paths": ("app", "x"), "root": "app/x",
    "actions": frozenset({Action.BUILD}), "enabled": False, "test_paths": ("spec",), "has_tests": True,
    "seeds": "seeds/x.yaml", "options": {"handler": "x"}, "locks": (LockUse("uv.lock", ("app",)),),
}  # fmt: skip

#: Where it is said, and what it is called: a change of its name is another resource.
BESIDE = {"name", "line", "evidence"}


def test_every_field_of_a_declaration_is_known_here() -> None:
    assert {each.name for each in fields(CatalogResource)} == OTHER.keys() | BESIDE


@pytest.mark.parametrize("field", OTHER)
def test_a_resource_that_is_declared_otherwise_in_any_field_is_selected_with_its_dependents(
    field: str,
) -> None:
    with repository([{}, {"x": ("100644", b"")}]) as (repo, (base, head)):
        app = CatalogResource("app", rt.PACKAGE, paths=("app",), root="app")
        others = {
            "geo": CatalogResource("geo", rt.PACKAGE, paths=("geo",), root="geo"),
            "web": CatalogResource("web", rt.PACKAGE, packages=("app",), paths=("web",), root="web"),
        }
        before = Catalog(base, {"app": app, **others})
        after = Catalog(head, {"app": replace(app, **{field: OTHER[field]}), **others})
        found = between(repo, ChangeSet(base, head, {base: ()}), [before], after)
        assert set(found.because) == {"app", "web"}


def test_where_a_declaration_stands_is_no_part_of_it() -> None:
    with repository([{}, {"x": ("100644", b"")}]) as (repo, (base, head)):
        app = CatalogResource("app", rt.PACKAGE, packages=("geo",), paths=("app",), root="app", line=3)
        geo = CatalogResource("geo", rt.PACKAGE, paths=("geo",), root="geo")
        moved = replace(app, line=7, evidence={"geo": "resources.py:7"})
        before, after = (Catalog(base, {"app": app, "geo": geo}), Catalog(head, {"app": moved, "geo": geo}))
        assert between(repo, ChangeSet(base, head, {base: ()}), [before], after).because == {}


ROOT = '[tool.uv.workspace]\nmembers = ["pkg/*"]\n[tool.ruff]\nline-length = 100\n'
NODE = '{"private": true, "workspaces": ["web/*"], "scripts": {"test": "vitest"}}'
TREE = {
    "pyproject.toml": ROOT, "package.json": NODE, "pkg/geo/pyproject.toml": '[project]\nname = "geo"\n',
    "web/ui/package.json": '{"name": "ui"}',
}  # fmt: skip


@pytest.mark.parametrize(
    ("path", "content", "unowned"),
    [
        # What a catalog is made of has been compared; nothing of it differs.
        ("pyproject.toml", ROOT.replace('"pkg/*"', '"pkg/*", "tools/*"'), False),
        ("pyproject.toml", "# more\n" + ROOT, False),
        ("package.json", NODE.replace('"web/*"', '"web/*", "tools/*"'), False),
        # All else means something to nobody knows whom.
        ("pyproject.toml", ROOT.replace("100", "120"), True),
        ("pyproject.toml", ROOT.replace("[tool.ruff]\nline-length = 100\n", ""), True),
        ("package.json", NODE.replace("vitest", "jest"), True),
        ("package.json", None, True),
        ("pyproject.toml", None, True),
    ],
)
def test_a_manifest_at_the_root_is_a_file_of_nobodys_unless_only_the_catalog_is_made_of_what_differs(
    path: str, content: str | None, unowned: bool
) -> None:
    trees = [TREE, {name: text for name, text in {**TREE, path: content}.items() if text is not None}]
    made = [{name: ("100644", text.encode()) for name, text in tree.items()} for tree in trees]
    with repository(made) as (repo, (base, head)):
        found = affected(repo, base, load(repo, head))
        assert found.unowned == ((path,) if unowned else ())
