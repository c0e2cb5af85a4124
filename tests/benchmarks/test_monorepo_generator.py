"""The generated monorepo is what it says: the same bytes each time, an answer that its own files confirm."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

from benchmarks.monorepo_generator import Shape, generate
from daybreak.git.repository import Repository

SHAPE = Shape(packages=24, files=9, changed=3)


def test_its_manifests_and_its_diff_say_what_is_known_about_it(tmp_path: Path) -> None:
    made = generate(tmp_path / "one", SHAPE)
    repo = Repository(made.path)
    assert (made.path / "core/p0000/index.js").is_file()
    needs = {}
    for name, root in made.roots.items():
        project = tomllib.loads((made.path / root / "pyproject.toml").read_text())["project"]
        needs[name] = {each[5:] for each in project["dependencies"] if each.startswith("acme-")}
        files = list((made.path / root).rglob("*.*"))
        assert len(files) == SHAPE.files
    assert needs == {name: set(others) for name, others in made.dependencies.items()}
    assert sum(map(len, needs.values())) > SHAPE.packages / 2
    changed = {change.path for change in repo.diff_raw(made.base, made.head)}
    assert changed == set(made.changed)
    affected = {name for name, root in made.roots.items() if any(path.startswith(root) for path in changed)}
    assert len(affected) == SHAPE.changed
    grown = [change for change in repo.diff_raw(made.base, made.grown) if change.status == "A"]
    assert changed == {change.path for change in repo.diff_raw(made.base, made.grown)} - {
        change.path for change in grown
    }
    assert {change.path.rpartition("/")[0] for change in grown} == {
        path.rpartition("/")[0] for path in changed
    }
    while more := {name for name in needs if needs[name] & affected} - affected:
        affected |= more
    assert affected == made.affected
    again = generate(tmp_path / "two", SHAPE, checkout=False)
    assert (again.base, again.head, again.grown) == (made.base, made.head, made.grown)
    node = generate(tmp_path / "node", replace(SHAPE, python=False), checkout=False)
    paths = [entry.path for entry in Repository(node.path).ls_tree(node.base)]
    assert not [path for path in paths if path.endswith((".py", ".toml"))]
    assert len(paths) == SHAPE.packages * SHAPE.files + 7
    assert node.affected == made.affected
