"""What cannot be read is one clear error or is said loudly; it never makes a catalog smaller."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from daybreak.catalog.cache import Cache
from daybreak.catalog.loader import inspect, load
from daybreak.catalog.owners import Owners
from daybreak.cli.main import main
from daybreak.errors import CatalogError
from tests.monorepo import HEADER, Monorepo, package, pyproject


@pytest.fixture
def monorepo(tmp_path: Path) -> Monorepo:
    monorepo = Monorepo(tmp_path / "repo")
    monorepo.write(package("common") | package("geo", dependencies=("common",)))
    return monorepo


GEO = "packages/geo"
BAD = {
    "not TOML": ({f"{GEO}/pyproject.toml": "[project]\nname = \n"}, rf"{GEO}/pyproject\.toml:2: not TOML"),
    "not UTF-8": ({f"{GEO}/pyproject.toml": b"[project]\n# \xff"}, rf"{GEO}/pyproject\.toml:2: .*not UTF-8"),
    "not Python": ({"libs/x/setup.py": "setup(\n  name=)\n"}, r"libs/x/setup\.py:2: syntax error"),
    "not JSON": ({"web/package.json": '{\n  "name": \n}'}, r"web/package\.json:3: not JSON"),
    "no object": ({"web/package.json": "[]"}, r"web/package\.json:1: not a JSON object"),
    "not YAML": (
        {"infra/template.yaml": "AWSTemplateFormatVersion: x\nResources: {a: [}\n"},
        r"infra/template\.yaml:2: not YAML",
    ),
    "too large": ({"libs/x/pyproject.toml": "#" * (5 << 20)}, r"libs/x/pyproject\.toml:1: 5,242,880 bytes"),
    "unknown field": (
        {"libs/x/pyproject.toml": pyproject("x") + "[tool.daybreak]\ntyp = 'service'\n"},
        r"libs/x/pyproject\.toml:14: tool\.daybreak: 'typ' is no field; did you mean type\?",
    ),
    "wrong type": (
        {"libs/x/daybreak.toml": "type = 'servise'\n"},
        r"libs/x/daybreak\.toml:1: tool\.daybreak\.type: expected one of infra,",
    ),
    "unknown resource": (
        {"libs/x/daybreak.toml": "depends_on = ['acme_geos']\n"},
        r"tool\.daybreak\.depends_on: 'acme_geos' is no resource; did you mean acme_geo\?",
    ),
    "a workspace that is not YAML": (
        {"pnpm-workspace.yaml": "packages: [\n"},
        r"pnpm-workspace\.yaml:2: not YAML",
    ),
    "a workspace that is not JSON": ({"lerna.json": "{\n"}, r"lerna\.json:2: not JSON"),
    "missing seeds": ({"libs/x/daybreak.toml": "seeds = 'no.yaml'\n"}, r"seeds: 'no\.yaml' is not a file"),
}


@pytest.mark.parametrize(("files", "message"), BAD.values(), ids=BAD.keys())
def test_a_manifest_that_cannot_be_read_is_an_error_with_its_place(monorepo, files, message):
    with pytest.raises(CatalogError, match=message) as caught:
        load(monorepo.repo, monorepo.commit(files))
    assert caught.value.exit_code == 2


def test_modules_that_cannot_be_read_are_said_and_count_as_everything(monorepo):
    loaded = inspect(
        monorepo.repo,
        monorepo.commit(
            {
                f"{GEO}/src/acme_geo/rows.py": "ROWS = [" + "0,\n" * (2 << 20) + "]\n",
                "packages/common/src/acme_common/new.py": "x = f(\nimport acme_geo\n",
                f"{GEO}/tests/fixtures/bad/pyproject.toml": "not = = toml",
                "helm/templates/x.yaml": "AWSTemplateFormatVersion: {{ .Values.x }}\n  - [",
            }
        ),
    )
    notes = dict(loaded.notes)
    assert "read as text" in notes["packages/common/src/acme_common/new.py:1"]
    doubts = {each.where: each.what for each in loaded.catalog.uncertain}
    assert "are too much for a module" in doubts[f"{GEO}/src/acme_geo/rows.py"]
    owners = Owners(loaded.catalog.resources.values())
    assert owners.of("docs/anything.md") == {"acme_geo"}
    # The import that only a text search found closes a circle of strong edges: nobody is told to go on.
    assert {"acme_common", "acme_geo"} == set(loaded.catalog.impact(["acme_geo"]))


def test_a_hundred_megabytes_are_neither_read_nor_parsed(monorepo, capsys):
    monorepo.commit(
        {"daybreak.toml": "[monorepo]\nignore = ['*.md']\n", f"{GEO}/a.md": "1", "docs/a.md": "1"}
    )
    monorepo.git("checkout", "--quiet", "-b", "feature")
    with (monorepo.path / ".git/large").open("wb") as file:
        file.truncate(100 << 20)
    oid = monorepo.git("-c", "core.compression=1", "hash-object", "-w", ".git/large")

    def large(*paths: str) -> None:
        monorepo.git("reset", "--quiet", "--hard", "main")
        for path in paths:
            monorepo.git("update-index", "--add", "--cacheinfo", f"100644,{oid},{path}")
        monorepo.git("commit", "--quiet", "--allow-empty", "--message", "large")

    large("packages/geo/data.bin", "packages/geo/src/acme_geo/rows.py")
    script = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (100 << 20, 100 << 20));"
        "from daybreak.cli.main import main;"
        "sys.exit(main(['affected', '--base', 'main', '--json', '--repo', sys.argv[1]]))"
    )
    done = subprocess.run((sys.executable, "-c", script, monorepo.path), capture_output=True, check=True)
    found = json.loads(done.stdout)
    assert [each["name"] for each in found["affected"]] == ["acme_geo"]
    assert {each["where"] for each in found["uncertain"]} == {"packages/geo/src/acme_geo/rows.py"}

    words = ["affected", "--json", "--repo", str(monorepo.path)]
    for path in ("resources.py", "daybreak.toml", "pyproject.toml", "pnpm-workspace.yaml"):
        # One clear error.
        large(path)
        assert main(words) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert re.fullmatch(rf"daybreak: {path}[:1]*: 104,857,600 bytes are too much.*\n", err)

    # What may name anything ignores nothing, and says so.
    large(f"{GEO}/MANIFEST.in")
    monorepo.git("branch", "--force", "base")
    for path in (f"{GEO}/a.md", "docs/a.md"):
        monorepo.write({path: "2"})
        monorepo.git("add", path)
    monorepo.git("commit", "--quiet", "--message", "edit")
    assert main([*words, "--base", "base"]) == 0
    out, err = capsys.readouterr()
    assert [each["because"] for each in json.loads(out)["affected"]] == [[f"{GEO}/a.md"]]
    said = (
        f"{GEO}/MANIFEST.in: 104,857,600 bytes are too much for a manifest; what it may name is not ignored"
    )
    assert err == f"daybreak: warning: {said}\n"


def test_names_that_are_not_utf8_and_things_that_are_no_files(monorepo):
    folder = os.fsdecode(b"packages/ge\xff")
    monorepo.write(
        {f"{folder}/pyproject.toml": pyproject("odd"), f"{folder}/acme_odd.py": "import acme_common\n"}
    )
    monorepo.write({f'{folder}/in\n"side/pyproject.toml': pyproject("odder")})
    (monorepo.path / "libs").mkdir()
    (monorepo.path / "libs/pyproject.toml").symlink_to("../packages/geo/pyproject.toml")
    monorepo.git("add", "--all")
    monorepo.git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},packages/sub/pyproject.toml")
    monorepo.git("commit", "--quiet", "--message", "odd")
    for _ in range(2):
        catalog = load(monorepo.repo, "HEAD")
        assert set(catalog.resources) == {"acme_common", "acme_geo", "acme_odd", "acme_odder"}
        assert catalog["acme_odd"].root == folder
        assert catalog["acme_odd"].packages == ("acme_common",)
    owners = Owners(catalog.resources.values())
    assert owners.of(f"{folder}/acme_odd.py") == {"acme_odd"}
    assert owners.of(f'{folder}/in\n"side/pyproject.toml') == {"acme_odder"}


def test_a_cache_that_cannot_be_used_costs_time_and_nothing_else(monorepo, tmp_path, monkeypatch):
    home = tmp_path / "home"
    monkeypatch.setenv("DAYBREAK_HOME", str(home))
    expected = load(monorepo.repo, monorepo.commit())
    (file,) = (home / "cache").glob("*.sqlite")
    for spoiled in (b"not a database at all, for sure, and long enough" * 40, b""):
        for each in (home / "cache").iterdir():
            each.unlink()
        file.write_bytes(spoiled)
        assert load(monorepo.repo, "HEAD") == expected
    monkeypatch.setenv("DAYBREAK_HOME", str(monorepo.path / "packages/geo/pyproject.toml"))
    assert load(monorepo.repo, "HEAD") == expected


def test_a_cached_fact_that_is_no_json_is_read_again(tmp_path):
    cache = Cache(tmp_path)
    cache.put({"a": [1], "b": "x"})
    assert cache.many(["a", "b", "c"]) == {"a": [1], "b": "x"}
    cache.close()
    (file,) = tmp_path.glob("*.sqlite")
    with sqlite3.connect(file) as database:
        database.execute("UPDATE facts SET value = '{'")
    assert Cache(tmp_path).many(["a"]) == {}


def test_resources_py_may_import_and_print_and_still_only_declares(monorepo, capfd):
    text = (
        f"import os, sys\nprint(os.getcwd())\nsys.stderr.write('x')\n{HEADER}"
        'GEO = Resource(name="maps", type=rt.PACKAGE, dependent_paths=["packages/geo"])\n'
    )
    catalog = load(monorepo.repo, monorepo.commit({"resources.py": text}))
    assert capfd.readouterr() == ("", "")
    # The declaration took over what lies in its folder, with the edge that it does not mention.
    assert set(catalog.resources) == {"acme_common", "maps"}
    assert catalog["maps"].packages == ("acme_common",)
    assert catalog["maps"].evidence == {"acme_common": "packages/geo/pyproject.toml:10"}
