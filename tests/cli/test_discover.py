"""``daybreak discover``: what was found for people and machines, and drift with an exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from daybreak.catalog import snapshot
from daybreak.catalog.loader import load
from daybreak.cli.main import main
from daybreak.store import Store
from tests.monorepo import HEADER, Monorepo, package

DECLARED = (
    f'{HEADER}COMMON = Resource(name="common", type=rt.PACKAGE, dependent_paths=["packages/common"])\n'
    'GEO = Resource(name="geo", type=rt.PACKAGE, dependent_paths=["packages/geo"])\n'
)


@pytest.fixture
def monorepo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Monorepo:
    config = tmp_path / "daybreak.yaml"
    config.write_text(f"home: {tmp_path}/home\nstore: {(tmp_path / 'store').as_uri()}\n")
    monkeypatch.setenv("DAYBREAK_CONFIG", str(config))
    made = Monorepo(tmp_path / "repo")
    made.commit(package("common") | package("geo", dependencies=("common",)))
    return made


def test_what_was_found_is_printed_with_its_lines(monorepo, capsys):
    monorepo.commit({"packages/geo/src/acme_geo/plugins.py": "__import__(NAME)\n"})
    assert main(["discover", "--repo", str(monorepo.path)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[:4] == [
        "RESOURCE     TYPE     ROOT",
        "acme_common  package  packages/common",
        "acme_geo     package  packages/geo",
        "    needs acme_common  packages/geo/pyproject.toml:10",
    ]
    assert any(line.startswith("acme_geo  packages/geo/src/acme_geo/plugins.py:1 ") for line in said)
    assert main(["discover", "--repo", str(monorepo.path), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in answer["resources"]] == ["acme_common", "acme_geo"]
    assert [each["resource"] for each in answer["uncertain"]] == ["acme_geo"]
    assert answer["drift"] is None


def test_an_edge_that_resources_py_forgot_is_drift(monorepo, capsys):
    monorepo.commit({"resources.py": DECLARED})
    assert main(["discover", "--check", "--repo", str(monorepo.path)]) == 1
    said = capsys.readouterr()
    assert said.out == "+ geo: needs the package common  (packages/geo/pyproject.toml:10)\n"
    assert "1 differences between the declared catalog" in said.err
    monorepo.commit({"resources.py": DECLARED.replace('/geo"]', '/geo"], packages_dependency=[COMMON]')})
    assert main(["discover", "--check", "--repo", str(monorepo.path)]) == 0
    ignored = DECLARED.replace('/geo"]', '/geo"], ignore_dependency=[COMMON]')
    assert load(monorepo.repo, monorepo.commit({"resources.py": ignored}))["geo"].packages == ()
    assert main(["discover", "--check", "--repo", str(monorepo.path)]) == 0


def test_the_published_catalog_is_what_is_in_use(monorepo, tmp_path, capsys):
    assert main(["discover", "--check", "--repo", str(monorepo.path)]) == 2
    assert "nothing to compare with" in capsys.readouterr().err
    published = load(monorepo.repo, "HEAD")
    snapshot.publish(published, Store((tmp_path / "store").as_uri()), tmp_path / "home")
    assert main(["discover", "--check", "--repo", str(monorepo.path)]) == 0
    monorepo.remove("packages/geo")
    monorepo.commit(package("maps"))
    assert main(["discover", "--check", "--json", "--repo", str(monorepo.path)]) == 1
    answer = json.loads(capsys.readouterr().out)["drift"]
    assert answer["against"] == "published"
    assert [(each["sign"], each["resource"]) for each in answer["differences"]] == [
        ("-", "acme_geo"), ("+", "acme_maps"),
    ]  # fmt: skip
    assert main(["discover", "--check", "--against", "declared", "--repo", str(monorepo.path)]) == 2
