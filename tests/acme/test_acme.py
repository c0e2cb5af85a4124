"""acme as its history makes it: yesterday, today, and the graph between its parts."""

from pathlib import Path

import pytest

from daybreak.catalog.loader import load
from daybreak.catalog.resource import ResourceType
from daybreak.change.key import content_keys
from daybreak.git.repository import Repository
from examples.acme_history import create_repository


@pytest.fixture(scope="module")
def history(tmp_path_factory) -> tuple[Repository, str, str]:
    folder = tmp_path_factory.mktemp("history") / "acme"
    yesterday, today = create_repository(folder)
    return Repository(folder), yesterday, today


def test_the_history_has_the_same_ids_wherever_it_is_made(history, tmp_path: Path):
    assert create_repository(tmp_path / "again") == history[1:]


def test_main_is_at_today_and_yesterday_is_its_parent(history):
    repo, yesterday, today = history
    assert repo.rev_parse("main") == today
    assert repo.rev_parse("main^") == yesterday


def test_the_packages_are_a_diamond(history):
    repo, _, today = history
    catalog = load(repo, today)
    assert set(catalog["mobility"].packages) == {"geo", "billing"}
    assert catalog["geo"].packages == catalog["billing"].packages == ("common",)
    assert catalog.closure(["mobility"]) == {"common", "geo", "billing", "mobility"}


def test_acme_has_every_type_that_a_night_deploys(history):
    repo, _, today = history
    found = {resource.type for resource in load(repo, today).resources.values()}
    assert found >= {
        ResourceType.INFRA, ResourceType.DATABASE, ResourceType.PACKAGE, ResourceType.SERVICE,
        ResourceType.LAMBDA, ResourceType.SPARK, ResourceType.COMMAND,
    }  # fmt: skip


def test_since_yesterday_only_what_stands_on_the_changes_has_a_new_key(history):
    repo, yesterday, today = history
    before, after = (content_keys(repo, load(repo, commit)) for commit in (yesterday, today))
    assert {name for name in after if before[name] == after[name]} == {
        "common", "billing", "infra_base", "geofences",
    }  # fmt: skip


def test_yesterday_lacks_the_second_migration_and_has_the_legacy_queue(history):
    repo, yesterday, today = history
    migrations = {
        commit: {Path(entry.path).name for entry in repo.ls_tree(commit, ["databases/fleet/migrations"])}
        for commit in (yesterday, today)
    }
    assert migrations[today] - migrations[yesterday] == {"0002_drivers.sql"}
    template = "infra/ephemeral/template.yaml"
    assert b"LegacyExportQueue" in repo.read(yesterday, template)
    assert b"LegacyExportQueue" not in repo.read(today, template)
