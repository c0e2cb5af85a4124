"""The example company builds whole: cold once, then nothing."""

import shutil
from pathlib import Path

import pytest

from daybreak.build.artifact import Artifacts
from daybreak.build.runner import Outcome
from daybreak.build.venv import materialize
from daybreak.catalog.resource import Action, ResourceType
from daybreak.store import Store
from tests.build.conftest import Works
from tests.monorepo import Monorepo

ACME = Path(__file__).parents[2] / "examples" / "acme"


@pytest.fixture
def acme(tmp_path: Path) -> Works:
    shutil.copytree(ACME, tmp_path / "acme", ignore=shutil.ignore_patterns("__pycache__", ".pytest_cache"))
    works = Works(
        Monorepo(tmp_path / "acme"), tmp_path / "home", Artifacts(Store((tmp_path / "store").as_uri()))
    )
    works.commit()
    return works


def test_all_of_acme_is_built_and_tested_and_a_second_build_builds_nothing(acme):
    cold = list(acme.all())
    assert [progress.detail for progress in cold if progress.outcome is not Outcome.BUILT] == []
    builds = {name for name, resource in acme.catalog.resources.items() if Action.BUILD in resource.actions}
    assert {progress.resource for progress in cold} == builds
    tested = {progress.resource for progress in cold if progress.tests}
    assert tested == {
        name for name, resource in acme.catalog.resources.items() if Action.TEST in resource.actions
    }
    assert {progress.outcome for progress in acme.all()} == {Outcome.REUSED}
    for name, resource in acme.catalog.resources.items():
        if resource.type is ResourceType.SERVICE:
            assert (materialize(acme.fetch(name), acme.keys[name], acme.home) / "bin/python").exists()
