"""What a merge has to deploy and to test: what changed since main, and everything where that is not sure."""

from __future__ import annotations

from pathlib import Path

import pytest

from daybreak.catalog.loader import load
from daybreak.merge.impact import Impact, impact
from tests.monorepo import HEADER, Monorepo

CATALOG = HEADER + (
    'GEO = Resource(name="geo", type=rt.PACKAGE, dependent_paths=["geo"])\n'
    'APP = Resource(name="app", type=rt.SERVICE, packages_dependency=[GEO], dependent_paths=["app"])\n'
    'ALONE = Resource(name="alone", type=rt.SERVICE, dependent_paths=["alone"])\n'
)
FILES = {f"{name}/{file}": "" for name in ("geo", "app", "alone") for file in ("x.py", "tests/test_x.py")}
ALL = {"geo", "app", "alone"}


@pytest.fixture
def monorepo(tmp_path: Path) -> Monorepo:
    monorepo = Monorepo(tmp_path / "repo")
    monorepo.commit({**FILES, "resources.py": CATALOG, "README.md": "", "Makefile": ""})
    monorepo.git("checkout", "-q", "-b", "candidate")
    return monorepo


def found(monorepo: Monorepo, base: str = "main") -> Impact:
    return impact(monorepo.repo, base, load(monorepo.repo, "candidate"), "resources.py")


def test_what_is_affected_is_deployed_and_tested_and_nothing_else(monorepo: Monorepo) -> None:
    assert found(monorepo).nothing
    monorepo.commit({"geo/x.py": "1"})
    answer = found(monorepo)
    assert (answer.deployed, answer.tested, answer.whole) == ({"app"}, {"geo", "app"}, None)
    assert answer.because["app"] == ("depends on geo",)


def test_changed_tests_are_run_and_nothing_is_deployed_for_them(monorepo: Monorepo) -> None:
    monorepo.commit({"app/tests/test_x.py": "1"})
    answer = found(monorepo)
    assert (answer.deployed, answer.tested, answer.nothing) == (set(), {"app"}, False)


def test_a_changed_file_of_nobodys_means_everything_and_says_which(monorepo: Monorepo) -> None:
    monorepo.commit({"Makefile": "1", "app/x.py": "1"})
    answer = found(monorepo)
    assert (answer.deployed, answer.tested) == ({"app", "alone"}, ALL)
    assert answer.whole == "Makefile belongs to no resource"
    monorepo.commit({"README.md": "1", "a.cfg": "", "b.cfg": ""})
    assert found(monorepo).whole == "Makefile, README.md, a.cfg and 1 more belong to no resource"


def test_without_a_base_to_compare_with_everything_is_tested(monorepo: Monorepo) -> None:
    monorepo.git("checkout", "-q", "--orphan", "stranger")
    monorepo.commit({"other": ""})
    answer = found(monorepo, "stranger")
    assert (answer.deployed, answer.tested) == ({"app", "alone"}, ALL)
    assert answer.whole is not None
    assert "share no history" in answer.whole
