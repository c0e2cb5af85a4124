"""Corners where a file belongs to more than the folder that it lies in."""

from __future__ import annotations

from pathlib import Path

import pytest

from daybreak.catalog.graph import Catalog
from daybreak.catalog.loader import load
from daybreak.catalog.owners import Owners
from daybreak.catalog.resource import at, rt
from tests.monorepo import Monorepo

PROJECT = '[project]\nname = "{}"\n'


@pytest.fixture
def monorepo(tmp_path: Path) -> Monorepo:
    return Monorepo(tmp_path / "repo")


def owners(catalog: Catalog, path: str) -> frozenset[str]:
    return Owners(catalog.resources.values()).of(path)


def test_a_component_in_another_is_no_part_of_it_unless_its_image_or_its_wheel_has_it(monorepo):
    files = {
        "a/pyproject.toml": PROJECT.format("a"), "a/a/__init__.py": "",
        "a/client/pyproject.toml": PROJECT.format("c"), "a/client/c.py": "",
        "a/a/plugin/pyproject.toml": PROJECT.format("p"), "a/a/plugin/p.py": "",
    }  # fmt: skip
    catalog = load(monorepo.repo, monorepo.commit(files))
    assert owners(catalog, "a/client/c.py") == {"c"}
    assert owners(catalog, "a/a/plugin/p.py") == {"a", "p"}
    image = {"a/Dockerfile": "FROM x\nCOPY pyproject.toml .\nCOPY . .\n"}
    catalog = load(monorepo.repo, monorepo.commit(image))
    assert owners(catalog, "a/client/c.py") == {"a", "c"}
    assert catalog["a"].evidence["c"] == "a/Dockerfile:3"
    assert catalog.uncertain == ()


def test_migrations_that_import_the_models_around_them_are_no_circle(monorepo):
    files = {
        "svc/pyproject.toml": PROJECT.format("svc"), "svc/app/__init__.py": "", "svc/app/models.py": "",
        "svc/alembic.ini": "[alembic]\nscript_location = migrations\n",
        "svc/migrations/env.py": "from app.models import Base\n", "svc/migrations/versions/1_a.py": "",
    }  # fmt: skip
    catalog = load(monorepo.repo, monorepo.commit(files))
    assert catalog.order() == ["svc_db", "svc"]
    # What they import still touches them, and it is said why.
    assert owners(catalog, "svc/app/models.py") == {"svc", "svc_db"}
    assert [each.where for each in catalog.uncertain] == ["svc/migrations/env.py:1"]


def test_code_behind_a_symbolic_link_needs_what_it_needs_where_it_lies(monorepo):
    monorepo.write(
        {
            "svc/pyproject.toml": PROJECT.format("svc"), "svc/main.py": "from shared import x\n",
            "deep/pyproject.toml": PROJECT.format("deep"), "deep/deep_mod.py": "",
            "libs/shared/x.py": "import deep_mod\n",
            "lib/pyproject.toml": PROJECT.format("lib"), "lib/data.json": "{}",
        }
    )  # fmt: skip
    (monorepo.path / "svc/shared").symlink_to("../libs/shared")
    (monorepo.path / "svc/data").symlink_to("../lib")
    catalog = load(monorepo.repo, monorepo.commit())
    assert owners(catalog, "libs/shared/x.py") == {"svc"}
    assert set(catalog["svc"].dependencies) == {"deep", "lib"}
    assert catalog["svc"].evidence == {"deep": "libs/shared/x.py:1", "lib": "svc/data:1"}


def test_what_a_component_says_of_itself_counts_more_than_what_is_seen(monorepo):
    said = """
        [project]
        name = "acme-trips"
        [tool.daybreak]
        name = "trips"
        type = "spark"
        paths = ["/schemas", "!*.md"]
        depends_on = ["maps"]
        ignore_dependency = ["old"]
        dynamic = []
        actions = { deploy = false }
        options = { main = "main.py" }
        """.replace("        ", "")
    files = {
        "trips/pyproject.toml": said, "trips/main.py": "import old_mod\n__import__(NAME)\n",
        "trips/tests/test_x.py": "", "schemas/trip.json": "", "schemas/README.md": "",
        "old/pyproject.toml": PROJECT.format("old"), "old/old_mod.py": "",
        "web/daybreak.toml": 'name = "maps"\ntype = "command"\n[options]\nbuild = ["make"]\n',
    }  # fmt: skip
    catalog = load(monorepo.repo, monorepo.commit(files))
    trips = catalog["trips"]
    assert (trips.type, trips.dependencies, trips.options) == (rt.SPARK, ("maps",), {"main": "main.py"})
    assert trips.evidence == {"maps": "trips/pyproject.toml:4"}
    assert trips.actions == {at.BUILD, at.TEST}
    assert catalog.uncertain == ()
    assert owners(catalog, "schemas/trip.json") == {"trips"}
    assert owners(catalog, "schemas/README.md") == set()
    assert (catalog["maps"].root, catalog["maps"].actions) == ("web", {at.BUILD, at.DEPLOY})


def test_resources_of_one_name_are_called_by_their_paths(monorepo):
    files = {f"{root}/pyproject.toml": PROJECT.format("same") for root in ("one", "two/deep")}
    catalog = load(monorepo.repo, monorepo.commit(files))
    assert {name: each.root for name, each in catalog.resources.items()} == {
        "one": "one",
        "two_deep": "two/deep",
    }


def test_only_blobs_that_were_never_seen_are_read(monorepo, tmp_path, monkeypatch):
    monkeypatch.setenv("DAYBREAK_HOME", str(tmp_path / "home"))
    files = {f"p{n}/pyproject.toml": PROJECT.format(f"p{n}") for n in range(4)}
    files |= {f"p{n}/m{n}.py": f"import m{n - 1}\n" for n in range(4)}
    monorepo.commit(files)
    before = load(monorepo.repo, "HEAD")
    monorepo.commit({"p3/m3.py": "import m0\n"})
    # What was read once is gone from the repository: only the new module can be asked for.
    for path in (*files, "p0/new"):
        if path not in {"p3/m3.py", "p0/new"}:
            oid = monorepo.git("rev-parse", f"HEAD:{path}")
            (monorepo.path / ".git/objects" / oid[:2] / oid[2:]).unlink()
    after = load(monorepo.repo, "HEAD")
    assert [before["p3"].dependencies, after["p3"].dependencies] == [("p2",), ("p0",)]


def test_a_dockerfile_is_doubted_until_it_says_or_is_told_what_its_context_is(monorepo):
    bare = {"svc/Dockerfile": "FROM x\nCOPY . /app\n", "docs/x.md": "", ".dockerignore": "docs\n"}
    catalog = load(monorepo.repo, monorepo.commit(bare))
    assert [each.where for each in catalog.uncertain] == ["svc/Dockerfile:2"]
    assert owners(catalog, "docs/x.md") == owners(catalog, "other") == {"svc"}
    catalog = load(monorepo.repo, monorepo.commit({"svc/daybreak.toml": 'docker_context = "."\n'}))
    assert catalog.uncertain == ()
    assert (owners(catalog, "docs/x.md"), owners(catalog, "other")) == (set(), {"svc"})
    catalog = load(monorepo.repo, monorepo.commit({"svc/daybreak.toml": 'docker_context = "svc"\n'}))
    assert (catalog.uncertain, owners(catalog, "other")) == ((), set())
    catalog = load(monorepo.repo, monorepo.commit({"svc/Dockerfile": b"FROM \xff\n"}))
    assert [each.what for each in catalog.uncertain] == ["the Dockerfile cannot be read"]


def test_a_requirements_file_and_what_it_includes_are_files_of_who_uses_them(monorepo):
    files = {
        "app/pyproject.toml": PROJECT.format("app"), "app/requirements.txt": "-r ../pins/base.txt\nclick\n",
        "pins/base.txt": "-c more.in\nidna==3.7 --hash=sha256:aa\n", "pins/more.in": "idna==3.7\n",
        "pins/other.txt": "idna==3.7\n", "geo/pyproject.toml": PROJECT.format("geo"),
    }  # fmt: skip
    catalog = load(monorepo.repo, monorepo.commit(files))
    assert catalog["app"].locks == ()
    for path in ("app/requirements.txt", "pins/base.txt", "pins/more.in"):
        assert owners(catalog, path) == {"app"}, path
    assert owners(catalog, "pins/other.txt") == set()


@pytest.mark.parametrize("place", ["pnpm-workspace.yaml", ".yarnrc.yml", "package.json"])
def test_versions_that_stand_in_the_workspace_are_files_of_who_takes_them_from_there(tmp_path, place):
    files = {
        "package.json": '{"private": true, "workspaces": ["libs/*"]}', place: "", "libs/note.txt": "",
        "libs/ui/package.json": '{"name": "ui", "devDependencies": {"vite": "catalog:web"}}',
        "libs/core/package.json": '{"name": "core", "dependencies": {"left-pad": "1"}}',
    }  # fmt: skip
    if place == "package.json":
        files[place] = '{"workspaces": {"packages": ["libs/*"], "catalogs": {"web": {"vite": "7"}}}}'
    elif place.startswith("pnpm"):
        files[place] = "packages: ['libs/*']\ncatalogs: {web: {vite: '7'}}\n"
    monorepo = Monorepo(tmp_path / "repo")
    catalog = load(monorepo.repo, monorepo.commit(files))
    assert Owners(catalog.resources.values()).of(place) == {"ui"}
