"""What a build in Airflow is told of its plan."""

from __future__ import annotations

from pathlib import Path

import pytest

from daybreak.catalog.loader import load
from daybreak.change.key import content_keys
from daybreak.change.plan import Plan, plan
from daybreak.git.repository import Repository
from daybreak.orchestration.builds import keys_of
from daybreak.settings import BuildSettings
from tests.monorepo import HEADER, Monorepo, package

PYTHON = BuildSettings().python
RESOURCES = (
    f"{HEADER}"
    'COMMON = Resource(name="common", type=rt.PACKAGE, dependent_paths=["packages/common"])\n'
    'GEO = Resource(name="geo", type=rt.PACKAGE, packages_dependency=[COMMON], '
    'dependent_paths=["packages/geo"])\n'
)


@pytest.fixture
def monorepo(tmp_path: Path) -> Monorepo:
    made = Monorepo(tmp_path / "acme")
    made.commit({"resources.py": RESOURCES, **package("common"), **package("geo", dependencies=("common",))})
    return made


def keys(monorepo: Monorepo, planned: Plan) -> tuple[dict[str, str], dict[str, str]]:
    repository = Repository(monorepo.path)
    catalog = load(repository, planned.commit, "resources.py")
    return (
        keys_of(planned, repository, catalog, ["geo"], PYTHON),
        content_keys(repository, catalog, python=PYTHON),
    )


def test_a_build_knows_the_key_of_what_it_is_made_of_also_when_the_change_does_not_touch_it(
    monorepo: Monorepo,
) -> None:
    monorepo.commit({"packages/geo/src/acme_geo/more.py": "MORE = 1\n"})
    planned = plan(monorepo.repo, "HEAD~1", "HEAD", lambda name, _: name == "common", python=PYTHON)
    assert [step.name for step in planned.steps] == ["geo"]
    found, everything = keys(monorepo, planned)
    assert found == everything


def test_the_plan_of_a_night_is_taken_at_its_word(monorepo: Monorepo) -> None:
    planned = plan(monorepo.repo, None, "HEAD", lambda *_: False, python=PYTHON)
    found, _ = keys(monorepo, planned)
    assert found == {step.name: step.key for step in planned.steps}
