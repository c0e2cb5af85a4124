"""The tools that `daybreak affected` is measured beside: what each wants to find, is asked and answers.

    npm install --prefix .bench/peers turbo nx pnpm lage @moonrepo/cli
    python3 -m venv .bench/peers/python && .bench/peers/python/bin/pip install difftrace

One that is not there is left out of the table, and named below it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.monorepo_generator import Generated

HOME = Path(__file__).resolve().parent.parent / ".bench" / "peers"
_NODE = HOME / "node_modules"

ENVIRONMENT = {
    "TURBO_SCM_BASE": "base", "TURBO_SCM_HEAD": "HEAD", "MOON_BASE": "base", "MOON_HEAD": "HEAD",
    "TURBO_TELEMETRY_DISABLED": "1", "NX_DAEMON": "false", "DO_NOT_TRACK": "1", "CI": "1",
    # The repository names npm as its package manager; pnpm would go no further, nor link what is in it.
    "pnpm_config_pm_on_fail": "ignore", "pnpm_config_link_workspace_packages": "true",
}  # fmt: skip


@dataclass(frozen=True)
class Peer:
    """One tool.

    :param program: the file that is run, below :data:`HOME`.
    :param package: where its version is said: a `package.json`, or the folder of a Python environment's
        distributions with ``difftrace-<version>.dist-info`` in it.
    :param names: from what it prints to the names of the affected packages.
    """

    name: str
    program: str
    package: str
    words: tuple[str, ...]
    names: Callable[[str], set[str]]

    @property
    def command(self) -> tuple[str, ...]:
        """What is run."""
        return (str(HOME / self.program), *self.words)

    @property
    def version(self) -> str | None:
        """Its version, ``None`` when it is not installed."""
        if not (HOME / self.program).exists():
            return None
        if self.package.endswith(".json"):
            return str(json.loads((HOME / self.package).read_text())["version"])
        folder = next(HOME.glob(f"{self.package}/{self.name}-*.dist-info"))
        return folder.name.removesuffix(".dist-info").rpartition("-")[2]


def _turbo(text: str) -> set[str]:
    return {each["name"] for each in json.loads(text)["packages"]["items"]}


def _lage(text: str) -> set[str]:
    scope: list[str] = json.loads(text.splitlines()[0])["data"]["scope"]
    return set(scope)


def _list(text: str) -> set[str]:
    return {each["name"] for each in json.loads(text)}


def _moon(text: str) -> set[str]:
    return {each["id"] for each in json.loads(text)["projects"]}


PEERS = (
    Peer("turbo", "node_modules/.bin/turbo", "node_modules/turbo/package.json",
         ("ls", "--affected", "--output=json"), _turbo),
    Peer("pnpm", "node_modules/.bin/pnpm", "node_modules/pnpm/package.json",
         ("list", "-r", "--depth", "-1", "--filter", "...[base]", "--json"), _list),
    Peer("moon", "node_modules/.bin/moon", "node_modules/@moonrepo/cli/package.json",
         ("query", "projects", "--affected", "--downstream", "deep"), _moon),
    Peer("lage", "node_modules/.bin/lage", "node_modules/lage/package.json",
         ("info", "build", "--since", "base", "--reporter", "json"), _lage),
    Peer("nx", "node_modules/.bin/nx", "node_modules/nx/package.json",
         ("show", "projects", "--affected", "--base=base", "--head=HEAD", "--json"),
         lambda text: set(json.loads(text))),
    Peer("difftrace", "python/bin/difftrace", "python/lib/python*/site-packages",
         ("--base", "base", "--names"), lambda text: set(text.split())),
)  # fmt: skip


def prepare(generated: Generated) -> None:
    """Write into the working tree what peers want to have lying there, and no commit has."""
    if _NODE.is_dir():
        (generated.path / "node_modules").symlink_to(_NODE)
    for path, text in _files(generated):
        (generated.path / path).parent.mkdir(exist_ok=True)
        (generated.path / path).write_text(text)
    # As few patterns as a team would write: git compares every file with each.
    ignored = "node_modules\n.moon\nmoon.yml\nlage.config.js\npackage-lock.json\nuv.lock\n"
    (generated.path / ".git/info/exclude").write_text(ignored)


def _files(generated: Generated) -> Iterator[tuple[str, str]]:
    yield "lage.config.js", 'module.exports = { pipeline: { build: ["^build"] }, npmClient: "npm" };\n'
    yield "package-lock.json", _package_lock(generated)
    yield "uv.lock", _uv_lock(generated)
    groups = sorted({root.partition("/")[0] for root in generated.roots.values()})
    globs = "".join(f"  - '{group}/*'\n" for group in groups)
    yield ".moon/workspace.yml", f"projects:\n{globs}vcs:\n  defaultBranch: main\n"
    # What moon would read from package.json with a plugin that it downloads.
    for name, root in generated.roots.items():
        yield f"{root}/moon.yml", f"dependsOn: {json.dumps(generated.dependencies[name])}\n"


def _package_lock(generated: Generated) -> str:
    """What `npm install` would write: turbo warns without one."""
    packages: dict[str, Mapping[str, Any]] = {
        "": {"name": "acme", "workspaces": sorted(generated.roots.values())}
    }
    for name, root in generated.roots.items():
        needs = {f"@acme/{other}": "1.0.0" for other in generated.dependencies[name]}
        packages[root] = {"name": f"@acme/{name}", "version": "1.0.0", "dependencies": needs}
        packages[f"node_modules/@acme/{name}"] = {"resolved": root, "link": True}
    return json.dumps({"name": "acme", "lockfileVersion": 3, "packages": packages})


def _uv_lock(generated: Generated) -> str:
    """What `uv lock` would write of the members: difftrace reads nothing else."""
    members = json.dumps([f"acme-{name}" for name in generated.roots])
    lines = ["version = 1", 'requires-python = ">=3.11"', "", "[manifest]", f"members = {members}"]
    for name, root in generated.roots.items():
        needs = ", ".join(f'{{ name = "acme-{other}" }}' for other in generated.dependencies[name])
        lines += ["", "[[package]]", f'name = "acme-{name}"', 'version = "1.0.0"']
        lines += [f'source = {{ editable = "{root}" }}', f"dependencies = [{needs}]"]
    return "\n".join(lines) + "\n"
