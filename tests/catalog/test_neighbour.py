"""A tree in which nothing differs that a catalog is made of, or modules alone, is not read from the start."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from daybreak.catalog import discovery
from daybreak.catalog.loader import Loaded, inspect
from tests.monorepo import HEADER, Monorepo, package, pyproject

GEO, WEB = "packages/geo", "services/web"
LISTED = '[project]\nname = "acme-web"\nversion = "1"\ndynamic = ["dependencies"]\n'
LISTED += '[tool.setuptools.dynamic]\ndependencies = { file = ["deps.lst"] }\n'
STACK = "{F: {Type: 'AWS::Serverless::Function', Properties: {CodeUri: ../tools, Handler: loose.h}}}"
TREE = {
    **package("common"), **package("geo", dependencies=("common",)), **package("maps"),
    f"{WEB}/pyproject.toml": LISTED, f"{WEB}/deps.lst": "acme-geo\n-c ../pins.in\n",
    "services/pins.in": "idna==3.7\n",
    f"{WEB}/web.py": "import os\n\n\ndef main():\n    return 1\n",
    f"{WEB}/Dockerfile": "FROM python:3.11\nCOPY web.py .\nCMD [\"python\", \"web.py\"]\n",
    f"{WEB}/.dockerignore": "*.md\n", "shared/a.css": "a {}\n", "docs/index.md": "# Docs\n",
    "tools/loose.py": "import json\n", "db/migrations/0001_one.sql": "SELECT 1;\n",
    "infra/template.yaml": "AWSTemplateFormatVersion: '2010-09-09'\nResources: {}\n",
    "daybreak.toml": "[monorepo]\nignore = ['docs']\n", "resources.py": HEADER,
    "web/package.json": '{"name": "front", "dependencies": {}}\n', "web/index.ts": "export {}\n",
}  # fmt: skip

#: Edits that no catalog can show.
QUIET = {
    "a function": (f"{WEB}/web.py", lambda said: said.replace("return 1", "return 2")),
    "documentation": ("docs/index.md", lambda said: said + "More.\n"),
    "a comment in a manifest": (f"{GEO}/pyproject.toml", lambda said: said + "# more\n"),
    "another base image": (f"{WEB}/Dockerfile", lambda said: said.replace("3.11\n", "3.11 \n")),
    "a module of no package": ("tools/loose.py", lambda said: said + "X = 1\n"),
    "what a migration does": ("db/migrations/0001_one.sql", lambda said: said.replace("1;", "2;")),
    "a source that is not Python": ("web/index.ts", lambda said: said + "// more\n"),
}  # fmt: skip

#: Edits that one can; those of modules alone are no reason to read all of the tree (`test_nearly`).
LOUD: dict[str, tuple[str, Callable[[str], str | None]]] = {
    "an import": (f"{WEB}/web.py", lambda said: said + "import acme_maps\n"),
    "the line of an import": (f"{GEO}/src/acme_geo/__init__.py", lambda said: f"\n{said}"),
    "an import of loose code": ("tools/loose.py", lambda said: said + "import acme_geo\n"),
    "a dependency": (f"{GEO}/pyproject.toml", lambda said: said.replace("acme-common", "acme-maps")),
    "a list that only a manifest knows": (f"{WEB}/deps.lst", lambda said: said + "acme-maps\n"),
    "a list that another includes": ("services/pins.in", lambda said: said + "acme-maps\n"),
    "a copied folder": (f"{WEB}/Dockerfile", lambda said: said + "COPY shared /s\n"),
    "the context": (f"{WEB}/.dockerignore", lambda said: said + "x\n"),
    "a function of a stack": ("infra/template.yaml", lambda said: said.replace("{}", STACK)),
    "rules for all": ("daybreak.toml", lambda said: said.replace("docs", "other")),
    "a declaration": (
        "resources.py",
        lambda said: said + 'M = Resource(name="m", type=rt.PACKAGE, dependent_paths=["packages/maps"])\n',
    ),
    "a Node dependency": ("web/package.json", lambda said: said.replace("{}", '{"x": "1"}')),
    "a new module": (f"{GEO}/src/acme_geo/more.py", lambda _said: "import acme_maps\n"),
    "a new package": ("packages/new/pyproject.toml", lambda _said: pyproject("new")),
    "a new migration": ("db/migrations/0000_zero.sql", lambda _said: "SELECT 0;\n"),
    "a deleted module": ("packages/maps/src/acme_maps/__init__.py", lambda _said: None),
    "a deleted file": ("shared/a.css", lambda _said: None),
}  # fmt: skip


NEAR = ("an import", "the line of an import", "a new module")


@pytest.fixture
def monorepo(tmp_path: Path) -> Monorepo:
    monorepo = Monorepo(tmp_path / "repo")
    monorepo.write(TREE)
    (monorepo.path / f"{WEB}/link").symlink_to("../../shared")
    return monorepo


def edit(monorepo: Monorepo, path: str, change: Callable[[str], str | None]) -> None:
    file = monorepo.path / path
    said = change(file.read_text() if file.exists() else "")
    monorepo.write({path: said}) if said is not None else file.unlink(missing_ok=True)


def read_afresh(monorepo: Monorepo, home: Path) -> Loaded:
    """By a cache that knows nothing."""
    with pytest.MonkeyPatch.context() as context:
        context.setenv("DAYBREAK_HOME", str(home))
        return inspect(monorepo.repo, "HEAD")


def test_a_commit_in_which_no_fact_differs_is_not_read(monorepo, tmp_path, monkeypatch):
    monkeypatch.setenv("DAYBREAK_HOME", str(tmp_path / "home"))
    monorepo.commit()
    before = inspect(monorepo.repo, "HEAD")
    for path, change in QUIET.values():
        edit(monorepo, path, change)
    (monorepo.path / "web/index.ts").chmod(0o755)
    monorepo.commit()
    expected = read_afresh(monorepo, tmp_path / "other")
    monkeypatch.setattr(discovery, "discover", lambda *_words: pytest.fail("the tree was read"))
    for _ in range(2):
        found = inspect(monorepo.repo, "HEAD")
        assert found.catalog.resources is before.catalog.resources
        assert found == expected
    # Also from a tree that was never read itself.
    edit(monorepo, *QUIET["documentation"])
    monorepo.commit()
    assert inspect(monorepo.repo, "HEAD").catalog.resources is before.catalog.resources


def test_a_commit_in_which_a_fact_differs_is_read(monorepo, tmp_path, monkeypatch):
    monkeypatch.setenv("DAYBREAK_HOME", str(tmp_path / "home"))
    monorepo.commit()
    inspect(monorepo.repo, "HEAD")
    read: list[str] = []
    real = discovery.discover
    for name, (path, change) in LOUD.items():
        edit(monorepo, path, change)
        monorepo.commit()
        with monkeypatch.context() as context:
            context.setattr(
                discovery, "discover", lambda *words, name=name: read.append(name) or real(*words)
            )
            found = inspect(monorepo.repo, "HEAD")
        assert found == read_afresh(monorepo, tmp_path / f"other {name}"), name
    assert read == [name for name in LOUD if name not in NEAR]


def test_a_link_that_leads_elsewhere_is_read(monorepo, tmp_path, monkeypatch):
    monkeypatch.setenv("DAYBREAK_HOME", str(tmp_path / "home"))
    monorepo.commit()
    assert "/shared" in inspect(monorepo.repo, "HEAD").catalog["acme_web"].paths
    (monorepo.path / f"{WEB}/link").unlink()
    (monorepo.path / f"{WEB}/link").symlink_to("../../docs")
    monorepo.commit()
    found = inspect(monorepo.repo, "HEAD")
    assert "/docs" in found.catalog["acme_web"].paths
    assert found == read_afresh(monorepo, tmp_path / "other")


@pytest.mark.deep
@pytest.mark.timeout(3600)
def test_whatever_is_edited_the_answer_is_that_of_a_cache_that_knows_nothing(monorepo, tmp_path, monkeypatch):
    monkeypatch.setenv("DAYBREAK_HOME", str(tmp_path / "home"))
    choice = random.Random(4)
    # What declares the missing, or nothing at all, is an error; here answers are compared.
    loud = [each for name, each in LOUD.items() if name != "a declaration"]
    for number in range(400):
        for path, change in choice.sample([*QUIET.values(), *QUIET.values(), *loud], choice.randint(1, 2)):
            edit(monorepo, path, change)
        if choice.random() < 0.2:
            monorepo.write(TREE)
        monorepo.commit()
        assert inspect(monorepo.repo, "HEAD") == read_afresh(monorepo, tmp_path / f"fresh{number}")
