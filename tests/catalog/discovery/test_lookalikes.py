"""Monorepos that nobody prepared, each as hard as the public one that it looks like."""

from __future__ import annotations

from pathlib import Path

from daybreak.catalog.graph import Catalog
from daybreak.catalog.loader import inspect, load
from daybreak.catalog.owners import Owners
from daybreak.catalog.resource import ResourceType as rt
from tests.catalog.discovery import lookalikes
from tests.monorepo import Monorepo


def discovered(tmp_path: Path, files: lookalikes.Files) -> Catalog:
    monorepo = Monorepo(tmp_path / "repo")
    catalog = load(monorepo.repo, monorepo.commit(files))
    for resource in catalog.resources.values():
        assert resource.evidence.keys() == set(resource.dependencies)
        for where in resource.evidence.values():
            path, _, line = where.rpartition(":")
            assert 1 <= int(line) <= files[path].count("\n") + 1, where
    return catalog


def edges(catalog: Catalog) -> dict[str, set[str]]:
    return {name: set(resource.dependencies) for name, resource in catalog.resources.items()}


def test_poetry_with_development_dependencies_that_close_circles(tmp_path):
    catalog = discovered(tmp_path, lookalikes.poetry_family())
    assert edges(catalog) == {
        "langchain_cli": set(),
        "langchain_core": set(),
        "langchain_langchain": {"langchain_core", "langchain_standard_tests", "langchain_text_splitters"},
        "langchain_openai": {"langchain_core", "langchain_standard_tests"},
        "langchain_standard_tests": {"langchain_core"},
        "langchain_text_splitters": {"langchain_core"},
    }
    assert catalog.order()[0] == "langchain_cli"
    assert catalog["langchain_openai"].evidence["langchain_core"] == "libs/partners/openai/pyproject.toml:5"
    # The circle is broken where it is weakest, and a change on the other side still touches core.
    (doubt,) = catalog.uncertain
    assert (doubt.resource, doubt.where) == ("langchain_core", "libs/core/pyproject.toml:5")
    owners = Owners(catalog.resources.values())
    assert owners.of("libs/standard-tests/langchain_standard_tests/unit.py") == {
        "langchain_core", "langchain_standard_tests",
    }  # fmt: skip
    assert owners.of("libs/cli/langchain_cli/project_template/pyproject.toml") == {"langchain_cli"}
    assert owners.of("pyproject.toml") == set()


def test_one_namespace_over_many_distributions(tmp_path):
    catalog = discovered(tmp_path, lookalikes.namespace_family())
    assert edges(catalog) == {
        "azure_core": set(),
        "azure_nspkg": set(),
        "azure_keyvault_secrets": {"azure_core"},
        "azure_keyvault_keys": {"azure_core"},
        "azure_storage_blob": {"azure_core"},
        "pylint_guidelines": set(),
    }
    # A sample shows what needs its package: it orders nothing, and the files that it uses count.
    (doubt,) = catalog.uncertain
    assert doubt.where == "sdk/core/azure-core/samples/transport.py:1"
    assert Owners(catalog.resources.values()).of(
        "sdk/storage/azure-storage-blob/azure/storage/blob/_x.py"
    ) == {
        "azure_core",
        "azure_storage_blob",
    }


def test_names_with_computed_pins_and_examples_that_use_everything(tmp_path):
    catalog = discovered(tmp_path, lookalikes.pinned_family())
    assert edges(catalog) == {
        "dagster": {"dagster_pipes"},
        "dagster_pipes": set(),
        "dagster_test": {"dagster"},
        "dagster_aws": {"dagster", "dagster_pyspark"},
        "dagster_pyspark": {"dagster"},
        "everything": {"dagster", "dagster_aws", "dagster_pyspark"},
    }
    assert catalog["dagster_aws"].evidence["dagster"] == "python_modules/libraries/dagster-aws/setup.py:6"
    assert catalog.impact(["everything"]) == {"everything"}
    assert [each.resource for each in catalog.uncertain] == ["dagster"]
    catalog.order()


def test_a_workspace_with_a_root_project_and_a_namespace_shared_with_its_core(tmp_path):
    catalog = discovered(tmp_path, lookalikes.provider_family())
    core, sql, postgres = (
        f"apache_airflow_{name}" for name in ("core", "providers_common_sql", "providers_postgres")
    )
    assert edges(catalog) == {
        "apache_airflow": {core, sql},
        core: {"apache_airflow_task_sdk"},
        "apache_airflow_task_sdk": set(),
        sql: {core},
        postgres: {core, sql},
    }
    catalog.order()
    assert catalog[postgres].packages == (core, sql)
    assert [lock.path for lock in catalog[sql].locks] == ["uv.lock"]
    owners = Owners(catalog.resources.values())
    assert owners.of("airflow-core/src/airflow/models.py") == {core}
    assert owners.of("scripts/ci/check.py") == {"apache_airflow"}
    # What no package has is nobody's, and said to be so: it may concern all.
    assert owners.of("conftest.py") == owners.of("README.md") == set()
    assert core in owners.of("providers/common/sql/src/airflow/providers/common/sql/hooks.py")


def test_one_package_with_computed_imports_of_itself(tmp_path):
    catalog = discovered(tmp_path, lookalikes.platform())
    assert edges(catalog) == {"homeassistant": set()}
    assert catalog.uncertain == ()
    assert catalog["homeassistant"].has_tests
    owners = Owners(catalog.resources.values())
    assert owners.of("tests/fixtures/project/pyproject.toml") == {"homeassistant"}


def test_node_workspaces_with_fixtures_that_are_packages(tmp_path):
    catalog = discovered(tmp_path, lookalikes.yarn_family())
    assert edges(catalog) == {
        "babel_core": {"babel_parser"},
        "babel_parser": set(),
        "babel_helper_fixtures": {"babel_core"},
        "backstage_plugin_catalog": {"babel_core"},
        "babel_codemod_one": set(),
        "backend": {"backstage_plugin_catalog"},
    }
    backend = catalog["backend"]
    assert backend.type is rt.SERVICE
    assert [lock.path for lock in backend.locks] == ["yarn.lock"]
    assert {each.resource for each in catalog.uncertain} == {"babel_core", "backend"}
    owners = Owners(catalog.resources.values())
    assert "backend" in owners.of("babel.config.js")
    assert "backend" in owners.of("packages/keep.md")
    assert "backend" not in owners.of("docs/site/package.json")
    assert "babel_core" in owners.of("packages/babel-core/test/fixtures/broken/package.json")


def test_services_and_scripts_without_a_single_manifest(tmp_path):
    catalog = discovered(tmp_path, lookalikes.script_pile())
    assert {name: each.type for name, each in catalog.resources.items()} == {
        "pay": rt.SERVICE, "pay_api": rt.SERVICE, "mail": rt.SERVICE, "db": rt.DATABASE, "queue": rt.INFRA,
        "fn": rt.LAMBDA,
    }  # fmt: skip
    owners = Owners(catalog.resources.values())
    # Code outside all components is followed, also through other such code.
    assert owners.of("libs/shared/rounding.py") >= {"pay", "pay_api", "fn"}
    assert owners.of("libs/legacy/tables.py") >= {"pay", "fn"}
    # Only what is not decided reaches everything: which module mail imports, and which image it stands on.
    assert owners.of("libs/unused/__init__.py") == {"mail"}
    assert {each.where for each in catalog.uncertain} == {
        "services/mail/Dockerfile:2",
        "services/mail/main.py:2",
    }
    assert edges(catalog)["pay_api"] == {"pay"}
    assert edges(catalog)["fn"] == {"queue"}
    assert catalog["fn"].options == {"logical_id": "Fn", "handler": "app.handler"}
    assert catalog["pay"].options == {"command": ["python", "main.py"]}
    # A stack that costs money is made when somebody says which kind it is.
    assert catalog["queue"].actions == frozenset()


def test_the_same_tree_is_read_once_and_gives_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setenv("DAYBREAK_HOME", str(tmp_path / "home"))
    monorepo = Monorepo(tmp_path / "repo")
    first = inspect(monorepo.repo, monorepo.commit(lookalikes.provider_family()))
    again = inspect(monorepo.repo, monorepo.commit())
    assert again.catalog.commit != first.catalog.commit
    assert again.catalog.digest == first.catalog.digest
    assert list((tmp_path / "home/cache").iterdir())
    assert monorepo.git("status", "--porcelain") == ""
