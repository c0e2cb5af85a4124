"""What an artifact of each type looks like: one function for each, and one line in the table.

====================  =====================================================================================
PACKAGE               ``<name>.whl``, its ``requirements.txt`` if it has one
SERVICE               ``wheels/`` (its own and all first-party ones), ``requirements.txt``, ``runtime.json``,
                      ``image/``: its Dockerfile if it has one, and what that copies
LAMBDA                ``function.zip``: code, first-party and third-party packages
SPARK                 ``main.py``, ``packages.zip``
DATABASE              ``migrations/``
INFRA                 the template
COMMAND, FLINK        the tree of its paths, after ``options["build"]`` if there is one
any, with seeds       ``seeds/`` as well: the manifest and what lies beside it
====================  =====================================================================================
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from daybreak.build.images.dockerfile import DEPENDENCIES, copied
from daybreak.build.images.recipe import FOLDER, taken
from daybreak.build.locks import BUILD_TOOLS, LOCK, distribution, install, refuse_first_party
from daybreak.build.process import Shell, interpreter, uv
from daybreak.build.zipping import write_zip
from daybreak.catalog.graph import CatalogResource
from daybreak.catalog.resource import ResourceType
from daybreak.errors import UsageError

#: Files that say how to build; they are not part of what runs.
_BUILD_ONLY = {
    "pyproject.toml",
    LOCK,
    "requirements.in",
    "requirements-test.txt",
    "requirements-test.in",
    "Dockerfile",
}

#: What installers leave behind and differs from one run to the next.
_DEBRIS = (
    "**/__pycache__", ".lock",
    "*.dist-info/RECORD", "*.dist-info/INSTALLER", "*.dist-info/REQUESTED",
    "*.dist-info/direct_url.json", "*.dist-info/uv_cache.json",
)  # fmt: skip


@dataclass(frozen=True)
class Workbench:
    """What a builder is given.

    :param files: its files, relative to the monorepo's root.
    :param source: a folder with exactly these files.
    :param output: where the artifact is put together.
    :param packages: artifact folders of the packages that it needs, dependencies first.
    :param python: the Python version to build for.
    """

    resource: CatalogResource
    files: tuple[str, ...]
    source: Path
    output: Path
    packages: Mapping[str, Path]
    shell: Shell
    python: str

    @property
    def root(self) -> Path:
        """The resource's folder in the export."""
        return self.source / self.resource.root

    def option(self, name: str, default: str | None = None) -> str:
        """A text option; raises :class:`UsageError` naming the line when it is missing or something else."""
        value = self.resource.options.get(name, default)
        if not isinstance(value, str) or not value:
            raise UsageError(f"{self._where()}options[{name!r}]: expected a text, found {value!r}")
        return value

    def command(self, name: str) -> list[str] | None:
        """A command option (a list of texts), ``None`` when there is none."""
        value = self.resource.options.get(name)
        if value is None:
            return None
        if not isinstance(value, list) or not value or not all(isinstance(item, str) for item in value):
            raise UsageError(f"{self._where()}options[{name!r}]: expected a list of texts, found {value!r}")
        return value

    def existing(self, path: str, what: str) -> Path:
        """A path under the root; raises :class:`UsageError` when it is not there or leaves the root."""
        found = self.root / path
        if ".." in PurePosixPath(path).parts or not found.exists():
            raise UsageError(f"{self._where()}{what}: {self.resource.root}/{path} does not exist")
        return found

    def wheels(self) -> list[Path]:
        """The wheels of all packages that it needs, dependencies first."""
        return [wheel for folder in self.packages.values() for wheel in sorted(folder.glob("*.whl"))]

    def seeds(self) -> None:
        """Add ``seeds/`` to the output when the resource has seeds."""
        if self.resource.seeds is None:
            return
        manifest = self.source / self.resource.seeds
        target = self.output / "seeds"
        if PurePosixPath(self.resource.seeds).parent == PurePosixPath("."):
            target.mkdir()
            shutil.copy2(manifest, target)
        else:
            shutil.copytree(manifest.parent, target, symlinks=True)

    def _where(self) -> str:
        line = f"resources.py:{self.resource.line}: " if self.resource.line else ""
        return f"{line}{self.resource.name}: "


def _package(bench: Workbench) -> None:
    _wheel(bench, bench.output)
    lock = bench.root / LOCK
    if lock.is_file():
        shutil.copyfile(lock, bench.output / LOCK)


def _service(bench: Workbench) -> None:
    wheels = bench.output / "wheels"
    wheels.mkdir()
    command = bench.command("command")
    if command is None:
        bench.option("command")
    for wheel in bench.wheels():
        shutil.copyfile(wheel, wheels / wheel.name)
    _wheel(bench, wheels)
    lock = _lock(bench, wheels.glob("*.whl"))
    if lock is None:
        (bench.output / LOCK).write_text("", encoding="utf-8")
    else:
        shutil.copyfile(lock, bench.output / LOCK)
    runtime = {
        "schema": 1,
        "python": bench.python,
        "command": command,
        "health": bench.option("health", "/healthz"),
        "wheels": sorted(wheel.name for wheel in wheels.iterdir()),
        "image": describe_image(bench),
    }
    _write_json(bench.output / "runtime.json", runtime)


def describe_image(bench: Workbench) -> Mapping[str, Any]:
    """What an image is made by besides wheels and lock: options, and the team's Dockerfile, if any."""
    path = bench.option("dockerfile", "Dockerfile")
    if "dockerfile" in bench.resource.options:
        bench.existing(path, "options['dockerfile']")
    if (bench.root / path).is_file():
        folder = bench.output / FOLDER
        folder.mkdir()
        shutil.copyfile(bench.root / path, folder / "Dockerfile")
        sources = copied((folder / "Dockerfile").read_text(encoding="utf-8"))
        for name in bench.files:
            if taken(name, sources):
                target = folder / "context" / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(bench.source / name, target)
    return {
        "root": bench.resource.root,
        "dependencies": bench.option("dependencies", DEPENDENCIES),
        "os_packages": bench.command("os_packages") or [],
    }


def _lambda(bench: Workbench) -> None:
    content = bench.shell.folder / "bundle"
    _libraries(bench, content)
    _code(bench, content, leave_out=set())
    module = bench.option("handler").rpartition(".")[0].replace(".", "/")
    if not any((content / f"{module}{ending}").is_file() for ending in (".py", "/__init__.py")):
        raise UsageError(f"options['handler']: {module}.py is not in the bundle of {bench.resource.name}")
    write_zip(content, bench.output / "function.zip")


def _spark(bench: Workbench) -> None:
    main = bench.option("main", "main.py")
    shutil.copyfile(bench.existing(main, "options['main']"), bench.output / "main.py")
    content = bench.shell.folder / "bundle"
    _libraries(bench, content)
    _code(bench, content, leave_out={main})
    write_zip(content, bench.output / "packages.zip")


def _database(bench: Workbench) -> None:
    migrations = bench.existing(bench.option("migrations", "migrations"), "options['migrations']")
    if not any(migrations.glob("*.sql")):
        raise UsageError(f"options['migrations']: {bench.resource.root} has no *.sql file there")
    shutil.copytree(migrations, bench.output / "migrations", symlinks=True)


def _infra(bench: Workbench) -> None:
    template = bench.existing(bench.option("template"), "options['template']")
    shutil.copyfile(template, bench.output / template.name)


def _tree(bench: Workbench) -> None:
    command = bench.command("build")
    if command is not None:
        # A worker has the uv that came with Daybreak; whether there is one on PATH is luck.
        own = [uv(), *command[1:]] if command[0] == "uv" else command
        bench.shell.run(own, at=bench.root)
    shutil.copytree(bench.source, bench.output, symlinks=True, dirs_exist_ok=True)


#: The builder of each type. EMR clusters are made by their stack: there is nothing to build.
FORMATS: Mapping[ResourceType, Callable[[Workbench], None]] = {
    ResourceType.PACKAGE: _package,
    ResourceType.SERVICE: _service,
    ResourceType.LAMBDA: _lambda,
    ResourceType.SPARK: _spark,
    ResourceType.FLINK: _tree,
    ResourceType.DATABASE: _database,
    ResourceType.INFRA: _infra,
    ResourceType.EMR: _tree,
    ResourceType.COMMAND: _tree,
}


def _wheel(bench: Workbench, into: Path) -> None:
    bench.existing("pyproject.toml", "dependent_paths")
    made = bench.shell.folder / "wheel"
    # Build tools are pinned and hashed too: a wheel must not depend on the day on which it was built.
    own = bench.root / "requirements-build.txt"
    tools = own if own.is_file() else BUILD_TOOLS
    bench.shell.run(
        (
            uv(), "build", "--wheel", "--out-dir", str(made), "--python", interpreter(bench.python),
            "--build-constraints", str(tools), "--require-hashes", str(bench.root),
        ),
        at=bench.root,
    )  # fmt: skip
    for wheel in sorted(made.glob("*.whl")):
        shutil.copyfile(wheel, into / wheel.name)


def _lock(bench: Workbench, wheels: Any) -> Path | None:
    lock = bench.root / LOCK
    if not lock.is_file():
        return None
    refuse_first_party(lock, f"{bench.resource.root}/{LOCK}", map(distribution, wheels))
    return lock


def _libraries(bench: Workbench, into: Path) -> None:
    """Third-party packages of the lock and first-party wheels, unpacked into ``into``."""
    into.mkdir()
    wheels = bench.wheels()
    lock = _lock(bench, wheels)
    where = ("--target", str(into), "--python", interpreter(bench.python), "--no-compile-bytecode")
    install(bench.shell, where, [lock] if lock else [], wheels, at=bench.shell.folder)
    shutil.rmtree(into / "bin", ignore_errors=True)
    for pattern in _DEBRIS:
        for path in list(into.glob(pattern)):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def _code(bench: Workbench, into: Path, leave_out: set[str]) -> None:
    """The resource's own files under its root."""
    for path in bench.files:
        inside = PurePosixPath(path)
        if not inside.is_relative_to(bench.resource.root):
            continue
        name = str(inside.relative_to(bench.resource.root))
        if name in _BUILD_ONLY or name in leave_out or _is_seed(inside, bench.resource.seeds):
            continue
        target = into / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(bench.source / path, target)


def _is_seed(path: PurePosixPath, manifest: str | None) -> bool:
    """Whether ``path`` is the manifest or lies beside it: seeds have their own folder in the artifact."""
    if manifest is None:
        return False
    folder = PurePosixPath(manifest).parent
    return path == PurePosixPath(manifest) or (folder != PurePosixPath(".") and path.is_relative_to(folder))


def _write_json(path: Path, data: Mapping[str, Any] | Sequence[Any]) -> None:
    path.write_text(json.dumps(data, indent=2, sort_keys=True) + "\n", encoding="utf-8")
