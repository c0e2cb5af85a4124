"""`daybreak affected`, `why`, `plan`, `graph`, `owners`, `unowned`: what is printed, and how they end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from daybreak.cli.main import main
from tests.monorepo import HEADER, Monorepo

CATALOG = HEADER + (
    'GEO = Resource(name="geo", type=rt.PACKAGE, dependent_paths=["pkg/geo"])\n'
    'ON = Resource(name="trips", type=rt.SERVICE, packages_dependency=[GEO], dependent_paths=["svc/trips"])\n'
    'OFF = Resource(name="off", type=rt.SERVICE, packages_dependency=[GEO], enabled=False, '
    'dependent_paths=["svc/off"])\n'
    'ALONE = Resource(name="alone", type=rt.LAMBDA, dependent_paths=["fn/alone"])\n'
)
FILES = {"resources.py": CATALOG, "README.md": "", "docs/a.md": "", "docs/b.md": "", "svc/a.md": ""} | {
    f"{root}/{file}": ""
    for root in ("pkg/geo", "svc/trips", "svc/off", "fn/alone")
    for file in ("x.py", "tests/test_x.py")
}


@pytest.fixture
def monorepo(tmp_path: Path, monkeypatch) -> Monorepo:
    monkeypatch.delenv("DAYBREAK_CONFIG", raising=False)
    monorepo = Monorepo(tmp_path / "repo")
    monorepo.commit(FILES)
    monorepo.git("checkout", "-q", "-b", "feature")
    monkeypatch.chdir(monorepo.path)
    return monorepo


def answer(capsys, *words: str, code: int = 0) -> dict:
    assert main([*words, "--json"]) == code
    out, err = capsys.readouterr()
    assert not err or err.startswith("daybreak: ")
    return json.loads(out)


def test_affected_as_json_is_the_schema_of_the_design(monorepo, capsys):
    head = monorepo.commit({"pkg/geo/x.py": "1", "fn/alone/tests/test_x.py": "1", "docs/a.md": "1"})
    assert answer(capsys, "affected") == {
        "schema": 1,
        "base": monorepo.git("rev-parse", "main"),
        "head": head,
        "affected": [
            {"name": "alone", "type": "lambda", "enabled": True, "depends_on": [], "actions": ["test"],
             "because": ["fn/alone/tests/test_x.py"]},
            {"name": "geo", "type": "package", "enabled": True, "depends_on": [],
             "actions": ["build", "test"], "because": ["pkg/geo/x.py"]},
            {"name": "off", "type": "service", "enabled": False, "depends_on": ["geo"], "actions": [],
             "because": ["depends on geo"]},
            {"name": "trips", "type": "service", "enabled": True, "depends_on": ["geo"],
             "actions": ["build", "test", "create", "deploy"], "because": ["depends on geo"]},
        ],
        "removed": [],
        "unowned": ["docs/a.md"],
        "uncertain": [],
        "fallback": None,
    }  # fmt: skip


def test_for_people_it_is_a_table_and_no_line_is_broken_by_a_path(monorepo, capsys):
    monorepo.commit({"pkg/geo/new\nline.py": "1", "docs/\udcff": ""})
    assert main(["affected"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "resource  type     actions                   because",
        "geo       package  build test                pkg/geo/new line.py",
        "off       service  disabled                  depends on geo",
        "trips     service  build test create deploy  depends on geo",
        "unowned: docs/\\udcff",
        "3 of 4 resources are affected",
    ]


def test_exit_codes(monorepo, capsys):
    monorepo.commit({"docs/a.md": "1"})
    assert main(["affected", "--strict"]) == 4
    assert main(["affected", "--base", "nowhere"]) == 3
    assert "branches here: feature, main" in capsys.readouterr().err
    assert main(["affected", "--head", "nowhere"]) == 2
    assert main(["affected", "--repo", "/nowhere"]) == 2
    assert main(["affected", "--uncommitted", "--head", "main"]) == 2
    assert main(["why", "geoo"]) == 2
    assert "did you mean geo?" in capsys.readouterr().err
    circle = CATALOG.replace('name="geo",', 'name="geo", depends_on=LATER,').replace(
        HEADER, HEADER + "LATER = []\n"
    )
    monorepo.commit({"resources.py": circle + "LATER.append(ON)\n"})
    assert {each["name"] for each in answer(capsys, "affected")["affected"]} >= {"geo", "trips"}
    assert main(["plan"]) == 5
    assert "geo -(resources.py:3)-> trips -(resources.py:4)-> geo" in capsys.readouterr().err
    monorepo.commit({"resources.py": "x = ("})
    assert main(["affected"]) == 2


def test_without_a_base_everything_is_selected_loudly_if_that_is_asked_for(monorepo, capsys):
    assert main(["affected", "--base", "nowhere", "--on-unknown", "all", "--json"]) == 0
    out, err = capsys.readouterr()
    assert "warning: EVERYTHING is selected" in err
    data = json.loads(out)
    assert [each["name"] for each in data["affected"]] == ["alone", "geo", "off", "trips"]
    assert "nowhere" in data["fallback"]
    assert data["base"] is None
    assert main(["plan", "--base", "nowhere", "--on-unknown", "all"]) == 0


def test_uncommitted_edits_are_of_the_working_tree_and_said_to_be(monorepo, capsys):
    monorepo.write({"fn/alone/x.py": "edited"})
    assert answer(capsys, "affected")["affected"] == []
    found = answer(capsys, "affected", "--uncommitted")
    assert [each["name"] for each in found["affected"]] == ["alone"]
    assert (found["uncommitted"], found["head"]) == (True, monorepo.git("rev-parse", "HEAD"))


def test_why_is_a_chain_from_the_file_to_the_resource(monorepo, capsys):
    monorepo.commit({"pkg/geo/x.py": "1", "pkg/geo/y.py": "1"})
    assert main(["why", "trips"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "pkg/geo/x.py  (changed)",
        "  belongs to          geo    pattern 'pkg/geo'",
        "  which is needed by  trips  resources.py:3",
        "So for trips: build, test, create, deploy.",
    ]
    assert main(["why", "geo"]) == 0
    assert "(1 more reason: the same with --all)" in capsys.readouterr().out
    assert main(["why", "alone"]) == 0
    assert "alone is not affected" in capsys.readouterr().out
    chain = answer(capsys, "why", "off")["chain"]
    assert (chain["path"], chain["seed"]) == ("pkg/geo/x.py", "geo")
    assert chain["edges"] == [{"resource": "off", "evidence": "resources.py:4"}]
    monorepo.commit({"docs/a.md": "1"})
    assert main(["why", "trips"]) == 0
    assert capsys.readouterr().out.endswith("create, deploy.\nunowned: docs/a.md\n")
    found = answer(capsys, "why", "alone")
    assert (found["affected"], found["unowned"]) == (False, ["docs/a.md"])


def test_a_plan_is_in_order_and_leaves_out_what_a_store_has(monorepo, capsys, tmp_path):
    monorepo.commit({"svc/trips/x.py": "1"})
    plan = answer(capsys, "plan")
    assert [(step["name"], step["actions"]) for step in plan["steps"]] == [
        ("geo", ["build"]),
        ("trips", ["build", "test", "create", "deploy"]),
    ]
    store = tmp_path / "store"
    key = plan["steps"][0]["key"]
    from daybreak.build.artifact import Artifacts
    from daybreak.store import Store

    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "x.whl").write_text("x")
    Artifacts(Store(f"file://{store}")).save("geo", key, plan["commit"], tmp_path / "made")
    assert [step["name"] for step in answer(capsys, "plan", "--store", f"file://{store}")["steps"]] == [
        "trips"
    ]


def test_graphs_are_drawn_with_what_is_affected_in_colour(monorepo, capsys):
    monorepo.commit({"svc/trips/x.py": "1"})
    assert main(["graph", "--base", "main"]) == 0
    drawn = capsys.readouterr().out.splitlines()
    assert drawn[0] == "flowchart LR"
    assert "    r_geo --> r_trips" in drawn
    assert "    class r_trips affected" in drawn
    assert "    class r_off disabled" in drawn
    monorepo.commit({"docs/new.md": ""})
    assert main(["graph", "--base", "main", "trips"]) == 0
    assert capsys.readouterr().err == "daybreak: warning: docs/new.md belongs to nobody\n"
    assert main(["graph", "alone", "--format", "dot"]) == 0
    dot = capsys.readouterr().out
    assert '"alone" [label="alone\\nlambda"];' in dot
    assert "geo" not in dot
    assert main(["graph", "--format", "json", "trips"]) == 0
    (geo, trips) = json.loads(capsys.readouterr().out)["resources"]
    assert trips["depends_on"] == [{"name": "geo", "evidence": "resources.py:3"}]
    assert geo["name"] == "geo"


def test_owners_of_paths_are_seen_from_the_folder_that_is_named(monorepo, capsys, monkeypatch):
    monkeypatch.chdir(monorepo.path / "svc")
    found = answer(capsys, "owners", "trips/tests/new.py", "../README.md", "a.md")["paths"]
    assert [(each["path"], each["owner"]) for each in found] == [
        ("svc/trips/tests/new.py", "trips"), ("README.md", None), ("svc/a.md", None),
    ]  # fmt: skip
    assert found[0]["resources"] == [{"name": "trips", "pattern": "svc/trips", "test": True}]
    assert main(["owners", "a.md"]) == 0
    assert capsys.readouterr().out == "svc/a.md\n  belongs to nobody\n"


def test_unowned_files_are_listed_and_whole_folders_are_one_line(monorepo, capsys):
    assert main(["unowned", "--strict"]) == 4
    assert capsys.readouterr().out.splitlines() == ["README.md", "docs/  (2 files)", "svc/a.md"]
    assert answer(capsys, "unowned")["unowned"] == ["README.md", "docs/a.md", "docs/b.md", "svc/a.md"]
    rules = '[monorepo]\nignore = ["*.md"]\n'
    monorepo.commit({"daybreak.toml": rules})
    assert main(["unowned", "--strict"]) == 0


def test_a_package_that_is_gone_and_still_declared_is_an_error_with_its_line(tmp_path, monkeypatch, capsys):
    # Nobody prepared this one for Daybreak: what there is, is discovered.
    monorepo = Monorepo(tmp_path / "plain")
    app = '[project]\nname = "acme-app"\nversion = "1"\ndependencies = [\n  "acme-geo",\n]\n'
    monorepo.commit(
        {
            "pyproject.toml": '[tool.uv.workspace]\nmembers = ["pkg/*"]\n',
            "pkg/geo/pyproject.toml": '[project]\nname = "acme-geo"\nversion = "1"\n',
            "pkg/app/pyproject.toml": app + "[tool.uv.sources]\nacme-geo = { workspace = true }\n",
        }
    )
    monorepo.git("checkout", "-q", "-b", "feature")
    monorepo.remove("pkg/geo")
    monorepo.commit()
    monkeypatch.chdir(monorepo.path)
    found = answer(capsys, "affected", code=2)
    assert found["affected"][0]["because"][0].endswith("no longer needs acme_geo")
    (gone,) = found["removed"]
    assert (gone["name"], gone["dependents"]) == ("acme_geo", ["acme_app"])
    assert 'pkg/app/pyproject.toml:5: "acme-geo",' in gone["still_named"]
    assert main(["plan"]) == 2
    assert "pkg/app/pyproject.toml:5" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["affected", "why geo", "graph", "owners x", "unowned"])
def test_these_commands_import_nothing_heavy(monorepo, command):
    script = (
        "import sys; from daybreak.cli.main import main;"
        f"code = main({command.split()!r});"
        "heavy = {'airflow', 'boto3', 'botocore', 'sqlalchemy', 'pydantic', 'yaml', 'obstore', 'asyncio'};"
        "print(code, sorted(heavy & {name.split('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    done = subprocess.run((sys.executable, "-c", script), capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "0 []"


@pytest.mark.parametrize("words", ["affected", "graph --format json"])
def test_a_reader_that_has_enough_is_no_error(monorepo, words):
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "daybreak.cli.main", *words.split()]
    with open(write, "wb") as closed:
        done = subprocess.run(command, stdout=closed, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_graph_that_mermaid_would_not_draw_says_what_to_do(monorepo, capsys):
    lines = [HEADER]
    for number in range(34):
        needs = ", ".join(f"R{other}" for other in range(number))
        lines.append(
            f'R{number} = Resource(name="r{number}", type=rt.PACKAGE, packages_dependency=[{needs}], '
            f'dependent_paths=["pkg/r{number}"])\n'
        )
    files = {f"pkg/r{number}/x.py": "" for number in range(34)}
    monorepo.commit({**files, "resources.py": "".join(lines)})
    monorepo.git("branch", "-f", "main")
    monorepo.commit({"pkg/r32/x.py": "1"})
    assert main(["graph", "--base", "main"]) == 0
    out, err = capsys.readouterr()
    first, second, *_ = out.splitlines()
    assert first.startswith("%% 561 edges, ")
    assert "--only-affected" in first
    assert '{"maxEdges": 561, "maxTextSize": ' in first
    assert second == "flowchart LR"
    assert err == f"daybreak: warning: {first[3:]}\n"
    assert main(["graph", "--base", "main", "--only-affected"]) == 0
    out, err = capsys.readouterr()
    assert (out.count(" --> "), out.count('"r'), err) == (1, 2, "")
    assert main(["graph", "--only-affected"]) == 2
    assert "needs --base" in capsys.readouterr().err
