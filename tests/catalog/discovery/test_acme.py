"""acme: discovered and declared are one; by discovery alone it can be made sense of, too."""

from __future__ import annotations

from pathlib import Path

import pytest

from daybreak.catalog import declared, merge
from daybreak.catalog.discovery.component import Found
from daybreak.catalog.discovery.tree import Tree
from daybreak.catalog.loader import load
from daybreak.catalog.resource import ResourceType as rt
from daybreak.git.repository import Repository
from examples.acme_history import create_repository
from tests.monorepo import Monorepo


@pytest.fixture(scope="module")
def acme(tmp_path_factory) -> Repository:
    folder = tmp_path_factory.mktemp("acme") / "repo"
    create_repository(folder)
    return Repository(folder)


def test_what_is_discovered_says_nothing_else_than_what_acme_declares(acme):
    tree = Tree(acme.listing("main"))
    items = declared.evaluate(acme.read("main", "resources.py"), "resources.py", 20)
    alone = merge.combined(Found({}), items, tree, "resources.py").resources
    together = load(acme, "main")
    assert together.uncertain == ()
    assert together.resources == alone
    assert together["geo"].evidence == {"common": "resources.py:6"}


def test_acme_without_its_resources_py_is_seen_as_it_is(acme, tmp_path: Path):
    clone = tmp_path / "clone"
    acme.export("main", (), clone)
    (clone / "resources.py").unlink()
    monorepo = Monorepo(clone)
    catalog = load(monorepo.repo, monorepo.commit())
    assert {name: (each.root, each.type) for name, each in catalog.resources.items()} == {
        "acme_common": ("packages/common", rt.PACKAGE),
        "acme_geo": ("packages/geo", rt.PACKAGE),
        "acme_billing": ("packages/billing", rt.PACKAGE),
        "acme_mobility": ("packages/mobility", rt.PACKAGE),
        "acme_fleet": ("services/fleet", rt.SERVICE),
        "acme_telemetry": ("services/telemetry", rt.SERVICE),
        "acme_trips": ("services/trips", rt.SERVICE),
        "fleet": ("databases/fleet", rt.DATABASE),
        "base": ("infra/base", rt.INFRA),
        "ephemeral": ("infra/ephemeral", rt.INFRA),
    }
    assert catalog["acme_trips"].packages == ("acme_common", "acme_mobility")
    assert catalog["acme_trips"].evidence["acme_mobility"] == "services/trips/pyproject.toml:9"
    whole = load(acme, "main")
    for name in ("common", "geo", "billing", "mobility", "trips"):
        # What is discovered is what is declared, as far as it can be seen.
        seen, said = catalog[f"acme_{name}"], whole[name]
        expected = {f"acme_{each}" for each in said.packages}
        assert set(seen.packages) == expected
        assert seen.actions == said.actions
        assert seen.root == said.root
    assert catalog["acme_trips"].options == {"command": ["python", "-m", "acme_trips"]}
