"""Monorepos of any size with a known answer, written by ``git fast-import``.

Every package is a Python distribution and a Node package at once (``pyproject.toml`` and ``package.json``
say the same), so that all tools are asked about the same graph. Three commits: ``base``; ``head``, that
edits one module in each of a few packages; ``grown``, another child of ``base``, that also adds a module to
each of them, with an import that is new to it. Which packages that touches is computed here from the graph
that was drawn, by nothing of Daybreak's. The same shape always gives the same commit ids.

    python -m benchmarks.monorepo_generator /tmp/big --packages 1000 --files 20
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

#: Files that a package has besides its modules: manifests, README, entry points, one test.
_OTHER_FILES = 7
_WHO = b"bench <bench@example.com> 1767225600 +0000"
_GROUPS = ("core", "data", "platform", "web", "tools")


@dataclass(frozen=True)
class Shape:
    """What to generate.

    :param packages: how many.
    :param files: how many files each has.
    :param changed: in how many packages ``head`` edits a module.
    :param declared: manifests name the dependencies; without, only the imports do.
    :param python: without, they are Node packages alone: only manifests say anything.
    :param lines: of a module, about.
    """

    packages: int = 1000
    files: int = 20
    changed: int = 20
    declared: bool = True
    python: bool = True
    lines: int = 60
    seed: int = 20


@dataclass(frozen=True)
class Generated:
    """A repository and what is known about it.

    :param dependencies: by package, those that it needs directly; names are those of the folders, ``p0007``.
    :param roots: by package, its folder.
    :param changed: paths that differ between ``base`` and ``head``.
    :param affected: packages with a changed file, and all that need them.
    """

    path: Path
    base: str
    head: str
    grown: str
    dependencies: Mapping[str, tuple[str, ...]]
    roots: Mapping[str, str]
    changed: tuple[str, ...]
    affected: frozenset[str]


def generate(path: Path, shape: Shape = Shape(), *, checkout: bool = True) -> Generated:
    """Make the repository in the new folder ``path``.

    :param checkout: also write the working tree of ``head``; peers need it, Daybreak does not.
    """
    dependencies = _graph(shape)
    roots = {name: f"{_GROUPS[at % len(_GROUPS)]}/{name}" for at, name in enumerate(dependencies)}
    random_ = random.Random(shape.seed + 1)
    edited = sorted(random_.sample(sorted(dependencies), min(shape.changed, len(dependencies))))
    changed = {f"{roots[name]}/{_module(name, 0, shape)}": module(name, 0, dependencies, shape, edited=True)
               for name in edited}  # fmt: skip
    # An import that its package has not had: an edge is new, and nothing affected lies behind it.
    first = {"p0000"} - set(edited)
    more = {name: tuple(sorted({*needed, *first} - {name})) for name, needed in dependencies.items()}
    added = {f"{roots[name]}/{_module(name, shape.files, shape)}": module(name, 0, more, shape)
             for name in edited}  # fmt: skip
    path.mkdir(parents=True)
    _git(path, "init", "--quiet", "--initial-branch=main")
    process = subprocess.Popen(
        ("git", "-C", str(path), "fast-import", "--quiet"), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    assert process.stdin is not None
    with process.stdin as stream:
        _commit(stream, 1, "main", "base", _files(dependencies, roots, shape))
        _commit(stream, 2, "main", "head", changed.items())
        _commit(stream, 3, "grown", "grown", {**changed, **added}.items(), parent=1)
    if process.wait():
        raise RuntimeError("git fast-import failed")
    if checkout:
        _git(path, "reset", "--quiet", "--hard", "main")
    return Generated(
        path, *_git(path, "rev-parse", "main^", "main", "grown").split(), dependencies, roots,
        tuple(sorted(changed)), _dependents(edited, dependencies),
    )  # fmt: skip


def _module(name: str, number: int, shape: Shape) -> str:
    return f"src/acme_{name}/m{number:02}.{'py' if shape.python else 'ts'}"


def module(
    name: str, number: int, dependencies: Mapping[str, tuple[str, ...]], shape: Shape, *, edited: bool = False
) -> str:
    """The text of one module; the first one imports all that its package needs."""
    lines = [f'"""Module {number} of {name}."""', "", "from __future__ import annotations", "", "import json"]
    lines += ["import os.path", "from collections.abc import Iterable", ""]
    if number == 0:
        lines += [f"from acme_{other}.m01 import work_01 as {other}" for other in dependencies[name]]
    elif number > 1:
        lines += [f"from acme_{name} import m01", "from .m01 import work_01"]
    if edited:
        lines += ["", f"EDITED = {name!r}"]
    step = 0
    while len(lines) < shape.lines:
        function = f"work_{number:02}" if step == 0 else f"step_{step}"
        lines += [
            "", "", f"def {function}(rows: Iterable[dict[str, float]], limit: int = {step + 7}) -> str:",
            f'    """What {function} of {name} makes of rows."""',
            '    kept = [row for row in rows if row.get("weight", 0.0) > limit and row["name"]]',
            "    if not kept:",
            f'        return os.path.join("{name}", str(limit))',
            "    total = sum(row.get(key, 0.0) * factor for row in kept for key, factor in row.items())",
            '    return json.dumps({"total": total, "rows": len(kept)}, sort_keys=True)',
        ]  # fmt: skip
        step += 1
    return "\n".join(lines) + "\n"


def _graph(shape: Shape) -> dict[str, tuple[str, ...]]:
    """A layered graph: a package needs up to three of those in the layers below, mostly near ones."""
    random_ = random.Random(shape.seed)
    names = [f"p{number:04}" for number in range(shape.packages)]
    layer = max(1, shape.packages // 8)
    found: dict[str, tuple[str, ...]] = {}
    for at, name in enumerate(names):
        below = names[max(0, (at // layer - 2) * layer) : at // layer * layer]
        count = min(len(below), random_.choice((0, 1, 1, 2, 3)))
        found[name] = tuple(sorted(random_.sample(below, count)))
    return found


def _dependents(changed: list[str], dependencies: Mapping[str, tuple[str, ...]]) -> frozenset[str]:
    found = set(changed)
    # Names are in topological order: one pass sees every dependency before its dependents.
    for name, needed in dependencies.items():
        if found.intersection(needed):
            found.add(name)
    return frozenset(found)


def _files(
    dependencies: Mapping[str, tuple[str, ...]], roots: Mapping[str, str], shape: Shape
) -> Iterator[tuple[str, str]]:
    groups = [f"{group}/*" for group in _GROUPS[: len(dependencies)]]
    members = json.dumps(groups)
    yield "README.md", "# A monorepo\n"
    yield ".gitignore", "node_modules/\n.venv/\n.turbo/\n.nx/\n.moon/cache/\n"
    if shape.python:
        yield "pyproject.toml", f"[tool.uv.workspace]\nmembers = {members}\n"
    yield "package.json", _json({"name": "acme", "private": True, "packageManager": "npm@10.0.0",
                                 "workspaces": groups})  # fmt: skip
    yield "pnpm-workspace.yaml", "packages:\n" + "".join(f"  - '{group}'\n" for group in groups)
    yield "turbo.json", _json({"tasks": {"build": {"dependsOn": ["^build"]}, "test": {}}})
    yield "nx.json", _json({"targetDefaults": {"build": {"dependsOn": ["^build"]}}})
    yield "docs/index.md", "# Documentation\n"
    for name, needed in dependencies.items():
        yield from ((f"{roots[name]}/{file}", text) for file, text in _package(name, needed, shape))
        for number in range(shape.files - _OTHER_FILES):
            yield (
                f"{roots[name]}/{_module(name, number, shape)}",
                module(name, number, dependencies, shape),
            )


def _package(name: str, needed: tuple[str, ...], shape: Shape) -> Iterator[tuple[str, str]]:
    declared = needed if shape.declared else ()
    yield "README.md", f"# acme-{name}\n"
    yield "package.json", _json(
        {
            "name": f"@acme/{name}", "version": "1.0.0", "main": "index.js",
            "scripts": {"build": "node -e 0", "test": "node -e 0"},
            "dependencies": {f"@acme/{other}": "1.0.0" for other in declared},
        }
    )  # fmt: skip
    yield "index.js", f'module.exports = "{name}";\n'
    yield "src/index.js", f'module.exports = require("../index.js") + "{name}";\n'
    if not shape.python:
        yield from ((f"src/{each}.ts", f"export const {each} = 1;\n") for each in ("a", "b", "c"))
        return
    wanted = "".join(f'    "acme-{other}",\n' for other in declared)
    sources = "".join(f"acme-{other} = {{ workspace = true }}\n" for other in declared)
    yield (
        "pyproject.toml",
        (
            f'[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n\n'
            f'[project]\nname = "acme-{name}"\nversion = "1.0.0"\nrequires-python = ">=3.11"\n'
            f'dependencies = [\n    "attrs>=23",\n{wanted}]\n\n[tool.uv.sources]\n{sources}'
        ),
    )
    yield f"src/acme_{name}/__init__.py", f'"""Package {name}."""\n\nfrom .m00 import work_00\n'
    yield (
        f"tests/test_{name}.py",
        (
            f"import acme_{name}\n\n\ndef test_work() -> None:\n"
            f'    assert acme_{name}.work_00([]).startswith("{name}")\n'
        ),
    )


def _commit(
    stream: IO[bytes], mark: int, branch: str, message: str, files: Iterable[tuple[str, str]], parent: int = 0
) -> None:
    head = f"commit refs/heads/{branch}\nmark :{mark}\n"
    stream.write(head.encode() + b"committer %s\ndata %d\n%s\n" % (_WHO, len(message), message.encode()))
    stream.write(f"from :{parent}\n".encode() if parent else b"")
    for name, text in files:
        content = text.encode()
        stream.write(b"M 100644 inline %s\ndata %d\n%s\n" % (name.encode(), len(content), content))


def _json(data: object) -> str:
    return json.dumps(data, indent=2) + "\n"


def _git(path: Path, *arguments: str) -> str:
    command = ("git", "-C", str(path), *arguments)
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def main() -> None:
    """Generate one and print what is known about it."""
    words = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    words.add_argument("path", type=Path)
    for field in ("packages", "files", "changed", "seed"):
        words.add_argument(f"--{field}", type=int, default=getattr(Shape, field))
    words.add_argument("--undeclared", action="store_true", help="only imports tell the dependencies")
    words.add_argument("--no-checkout", action="store_true", help="leave the working tree empty")
    said = words.parse_args()
    shape = Shape(said.packages, said.files, said.changed, not said.undeclared, seed=said.seed)
    made = generate(said.path, shape, checkout=not said.no_checkout)
    print(f"{made.path}: base {made.base}, head {made.head}")
    print(f"{len(made.changed)} changed files, {len(made.affected)} affected packages")


if __name__ == "__main__":
    main()
