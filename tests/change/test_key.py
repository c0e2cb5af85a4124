"""Content keys: equal inputs, equal keys; and a change reaches exactly the dependents."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daybreak.catalog.graph import Catalog
from daybreak.catalog.loader import load
from daybreak.catalog.resource import Action, ResourceType
from daybreak.change import key
from daybreak.change.key import content_keys, inputs, key_of_tests
from tests.change.test_locks import UV
from tests.change.world import repository
from tests.monorepo import HEADER, Monorepo, package

NAMES = ("common", "geo", "billing", "app", "alone")
NEEDS = {"common": (), "geo": ("common",), "billing": ("common",), "app": ("geo", "billing"), "alone": ()}
REACHED = {
    "common": {"common", "geo", "billing", "app"}, "geo": {"geo", "app"}, "billing": {"billing", "app"},
    "app": {"app"}, "alone": {"alone"},
}  # fmt: skip


def resources() -> str:
    lines = [HEADER]
    for name in NAMES:
        needs = ", ".join(other.upper() for other in NEEDS[name])
        lines.append(
            f'{name.upper()} = Resource(name="{name}", type=rt.PACKAGE, packages_dependency=[{needs}], '
            f'dependent_paths=["packages/{name}"])\n'
        )
    return "".join(lines)


def make(path: Path) -> Monorepo:
    monorepo = Monorepo(path)
    monorepo.write({"resources.py": resources(), "README.md": "acme"})
    for name in NAMES:
        monorepo.write(package(name, dependencies=NEEDS[name]))
    monorepo.commit()
    return monorepo


@pytest.fixture
def monorepo(tmp_path: Path) -> Monorepo:
    return make(tmp_path / "repo")


def keys(monorepo: Monorepo, **options) -> dict[str, str]:
    return content_keys(monorepo.repo, load(monorepo.repo, "HEAD"), **options)


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {name for name in before if before[name] != after[name]}


EDITS = st.tuples(
    st.sampled_from(NAMES),
    st.sampled_from(["src/new.py", "src/acme/deep/x.txt", ".hidden", "setup.sh", "t\u00f6.md"]),
    st.binary(min_size=1, max_size=20),
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edits=st.lists(EDITS, min_size=1, max_size=3))
def test_an_edit_changes_the_keys_of_its_resource_and_dependents_and_a_revert_gives_them_back(
    tmp_path_factory, edits
):
    monorepo = make(tmp_path_factory.mktemp("repo"))
    before = keys(monorepo)
    for name, file, content in edits:
        monorepo.write({f"packages/{name}/{file}": b"edited " + content})
    monorepo.commit()
    expected = set().union(*(REACHED[name] for name, _, _ in edits))
    assert changed(before, keys(monorepo)) == expected
    monorepo.git("revert", "--no-edit", "HEAD")
    assert keys(monorepo) == before


def test_the_executable_bit_counts(monorepo):
    before = keys(monorepo)
    (monorepo.path / "packages/geo/pyproject.toml").chmod(0o755)
    monorepo.commit()
    assert changed(before, keys(monorepo)) == REACHED["geo"]


def test_another_commit_of_a_submodule_counts_for_who_names_its_folder():
    text = HEADER + (
        'LIB = Resource(name="lib", type=rt.PACKAGE, dependent_paths=["vendor/lib/"])\n'
        'OTHER = Resource(name="other", type=rt.PACKAGE, dependent_paths=["other"])\n'
    )
    files = {"resources.py": ("100644", text.encode()), "other/x": ("100644", b"")}
    with repository([{**files, "vendor/lib": ("160000", digit * 40)} for digit in (b"1", b"2")]) as found:
        repo, commits = found
        before, after = (content_keys(repo, load(repo, commit)) for commit in commits)
    assert changed(before, after) == {"lib"}


def test_a_moved_file_counts(monorepo):
    before = keys(monorepo)
    monorepo.git("mv", "packages/geo/src/acme_geo/__init__.py", "packages/geo/src/acme_geo/other.py")
    monorepo.commit()
    assert changed(before, keys(monorepo)) == REACHED["geo"]


def test_files_of_nobody_and_another_commit_do_not_count(monorepo):
    before = keys(monorepo)
    monorepo.commit({"README.md": "other", "packages/geography.txt": "prefix of a name"})
    assert keys(monorepo) == before


def test_comments_in_the_catalog_do_not_count_but_options_do(monorepo):
    before = keys(monorepo)
    monorepo.commit({"resources.py": "# a comment\n\n" + resources()})
    assert keys(monorepo) == before
    monorepo.commit(
        {"resources.py": resources().replace('"packages/geo"]', '"packages/geo"], options={"x": 1}')}
    )
    assert changed(before, keys(monorepo)) == REACHED["geo"]


def test_a_test_changes_what_is_checked_and_not_what_is_built(monorepo):
    def tested(name: str) -> str:
        catalog = load(monorepo.repo, "HEAD")
        found = inputs(monorepo.repo, catalog)[name]
        return key_of_tests(monorepo.repo, catalog.commit, keys(monorepo)[name], found)

    before, before_geo, before_app = keys(monorepo), tested("geo"), tested("app")
    monorepo.commit({"packages/geo/tests/test_more.py": "def test_more():\n    pass\n"})
    assert keys(monorepo) == before
    assert tested("geo") != before_geo
    assert tested("app") == before_app
    monorepo.commit({"requirements-test.txt": "# a lock for all\n"})
    assert tested("app") != before_app


def test_another_python_is_another_key_for_all(monorepo):
    assert changed(keys(monorepo), keys(monorepo, python="3.13")) == set(NAMES)


def test_all_that_decides_what_is_made_is_part_of_a_key(monorepo, monkeypatch):
    catalog = load(monorepo.repo, "HEAD")
    before = content_keys(monorepo.repo, catalog)
    others = {
        "type": {"type": ResourceType.COMMAND},
        # With the same files and the same tests.
        "root": {"root": "packages", "test_paths": ("geo/tests",)},
        "actions": {"actions": frozenset({Action.BUILD})},
        "seeds": {"seeds": "seeds/m.yaml"},
        "options": {"options": {"x": 1}},
        "whose wheel it is": {"packages": (), "depends_on": ("common",)},
        "what it needs": {"packages": ("common", "alone")},
    }
    for what, fields in others.items():
        geo = replace(catalog["geo"], **fields)
        other = Catalog(catalog.commit, {**catalog.resources, "geo": geo})
        assert changed(before, content_keys(monorepo.repo, other)) == REACHED["geo"], what
    for name in ("KEY_SCHEMA", "BUILDER_VERSION"):
        with monkeypatch.context() as context:
            context.setattr(key, name, 99)
            assert changed(before, keys(monorepo)) == set(NAMES), name


def test_what_a_lock_gives_a_resource_counts_for_it_and_a_lock_that_cannot_be_read_for_all():
    files = {
        f"packages/{name}/pyproject.toml": f'[project]\nname = "acme-{name}"\n' for name in ("app", "geo")
    }
    locks = [UV, UV.replace('"8.1.0"', '"8.2.0"'), UV.replace("sha256:ee", "sha256:e0"), "[", "[["]
    trees = [
        {path: ("100644", text.encode()) for path, text in {**files, "uv.lock": text_of_lock}.items()}
        for text_of_lock in locks
    ]
    with repository(trees) as (repo, commits):
        plain, click, numpy, broken, other = (content_keys(repo, load(repo, commit)) for commit in commits)
    assert changed(plain, click) == {"acme_app"}
    assert changed(plain, numpy) == {"acme_app", "acme_geo"}
    assert changed(plain, broken) == changed(broken, other) == {"acme_app", "acme_geo"}


def test_what_must_be_there_first_counts_as_well(tmp_path):
    monorepo = Monorepo(tmp_path / "repo")
    text = HEADER + (
        'DB = Resource(name="db", type=rt.DATABASE, dependent_paths=["db"])\n'
        'APP = Resource(name="app", type=rt.SERVICE, depends_on=[DB], dependent_paths=["app"])\n'
    )
    monorepo.commit({"resources.py": text, "db/migrations/1.sql": "", "app/x.py": ""})
    before = keys(monorepo)
    monorepo.commit({"db/migrations/2.sql": ""})
    assert changed(before, keys(monorepo)) == {"db", "app"}


def test_seeds_are_part_of_their_resource(tmp_path):
    monorepo = Monorepo(tmp_path / "repo")
    text = HEADER + (
        'APP = Resource(name="app", type=rt.SERVICE, dependent_paths=["app"], seeds="seeds/app/m.yaml")\n'
        'OTHER = Resource(name="other", type=rt.SERVICE, dependent_paths=["other"])\n'
    )
    monorepo.commit(
        {
            "resources.py": text,
            "app/x": "",
            "other/x": "",
            "seeds/app/m.yaml": "",
            "seeds/app/r.csv": "",
        }
    )
    before = keys(monorepo)
    monorepo.commit({"seeds/app/r.csv": "1,2\n"})
    assert changed(before, keys(monorepo)) == {"app"}
