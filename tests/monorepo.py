"""A small git repository that a test writes and commits to."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from daybreak.git.repository import Repository

_IDENTITY = {
    "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.com",
    "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@example.com",
    "GIT_AUTHOR_DATE": "2026-03-06T20:00:00Z", "GIT_COMMITTER_DATE": "2026-03-06T20:00:00Z",
    "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1",
}  # fmt: skip

HEADER = "from daybreak.catalog import Resource, at, rt\n"


class Monorepo:
    """A working tree with a git repository in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        self.git("init", "--quiet", "--initial-branch=main")

    @property
    def repo(self) -> Repository:
        return Repository(self.path)

    def git(self, *arguments: str) -> str:
        done = subprocess.run(
            ("git", *arguments),
            cwd=self.path,
            env={**os.environ, **_IDENTITY},
            capture_output=True,
            check=True,
        )
        return os.fsdecode(done.stdout).strip()

    def write(self, files: Mapping[str, str | bytes]) -> None:
        for name, content in files.items():
            path = self.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)

    def remove(self, name: str) -> None:
        path = self.path / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    def commit(self, files: Mapping[str, str | bytes] | None = None) -> str:
        self.write(files or {})
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "change")
        return self.git("rev-parse", "HEAD")


def package(name: str, *, dependencies: tuple[str, ...] = (), body: str = "") -> dict[str, str]:
    """Files of a package ``acme-<name>`` in ``packages/<name>`` with one passing test."""
    wanted = ", ".join(f'"acme-{other}"' for other in dependencies)
    imports = "".join(f"import acme_{other}\n" for other in dependencies)
    root = f"packages/{name}"
    return {
        f"{root}/pyproject.toml": pyproject(name, wanted),
        f"{root}/src/acme_{name}/__init__.py": f"{imports}NAME = {name!r}\n{body}",
        f"{root}/tests/test_{name}.py": f"import acme_{name}\n\n\ndef test_name():\n"
        f"    assert acme_{name}.NAME == {name!r}\n",
    }


def pyproject(name: str, wanted: str = "", *, distribution: str = "") -> str:
    """A ``pyproject.toml`` of ``distribution``, by default ``acme-<name>``, with a fast build backend."""
    distribution = distribution or f"acme-{name}"
    module = distribution.replace("-", "_")
    return (
        '[build-system]\nrequires = ["flit_core>=3.2"]\nbuild-backend = "flit_core.buildapi"\n\n'
        f'[project]\nname = "{distribution}"\nversion = "1.0"\ndescription = "-"\n'
        f'requires-python = ">=3.11"\ndependencies = [{wanted}]\n\n'
        f'[tool.flit.module]\nname = "{module}"\n'
    )
