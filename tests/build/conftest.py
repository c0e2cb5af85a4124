"""A small monorepo, a store and settings to build with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from daybreak.build.artifact import Artifacts
from daybreak.build.builder import BuildResult, build
from daybreak.build.checks import TestResult, test
from daybreak.build.runner import Progress, build_all
from daybreak.catalog.graph import Catalog
from daybreak.catalog.loader import load
from daybreak.change.key import content_keys
from daybreak.settings import BuildSettings
from daybreak.store import Store
from tests.monorepo import HEADER, Monorepo, package

PACKAGES = (
    'COMMON = Resource(name="common", type=rt.PACKAGE, dependent_paths=["packages/common"])\n'
    'GEO = Resource(name="geo", type=rt.PACKAGE, packages_dependency=[COMMON], '
    'dependent_paths=["packages/geo"])\n'
)


@dataclass
class Works:
    """A commit with its catalog and keys, and somewhere to build."""

    monorepo: Monorepo
    home: Path
    artifacts: Artifacts
    settings: BuildSettings = field(default_factory=BuildSettings)
    lines: list[str] = field(default_factory=list)
    catalog: Catalog = field(init=False)
    keys: dict[str, str] = field(init=False)

    def commit(self, files: Mapping[str, str | bytes] | None = None) -> None:
        self.monorepo.commit(files)
        self.catalog = load(self.monorepo.repo, "HEAD")
        self.keys = content_keys(self.monorepo.repo, self.catalog)

    def declare(self, text: str, files: Mapping[str, str | bytes] | None = None) -> None:
        """Commit the two packages, ``text`` as further resources, and ``files``."""
        self.commit({"resources.py": HEADER + PACKAGES + text, **(files or {})})

    def build(self, name: str) -> BuildResult:
        return build(self.monorepo.repo, self.catalog, name, self.keys, *self._rest())

    def test(self, name: str) -> TestResult:
        return test(self.monorepo.repo, self.catalog, name, self.keys, *self._rest())

    def all(self, *names: str) -> Iterator[Progress]:
        chosen = names or tuple(self.catalog.resources)
        return build_all(self.monorepo.repo, self.catalog, chosen, self.keys, *self._rest())

    def fetch(self, name: str) -> Path:
        return self.artifacts.fetch(name, self.keys[name], self.home)

    def _rest(self):
        return self.artifacts, self.home, self.settings, self.lines.append


@pytest.fixture
def works(tmp_path: Path) -> Works:
    monorepo = Monorepo(tmp_path / "repo")
    monorepo.write({**package("common"), **package("geo", dependencies=("common",))})
    works = Works(monorepo, tmp_path / "home", Artifacts(Store((tmp_path / "store").as_uri())))
    works.declare("")
    return works
