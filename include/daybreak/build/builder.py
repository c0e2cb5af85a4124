"""Build one resource: from a clean export of its files, and nothing else, to an artifact under its key."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from daybreak.build.artifact import Artifacts
from daybreak.build.formats import FORMATS, Workbench
from daybreak.build.process import CommandFailed, Shell, shell
from daybreak.catalog.graph import Catalog, CatalogResource
from daybreak.catalog.resource import Action, ResourceType
from daybreak.change.key import inputs
from daybreak.disk import needs_room
from daybreak.errors import DaybreakError, UsageError
from daybreak.git.repository import Repository
from daybreak.locking import exclusive

if TYPE_CHECKING:
    from daybreak.settings import BuildSettings

Log = Callable[[str], None]


class BuildFailed(DaybreakError):
    """A resource could not be built; the message ends with the last lines of its log."""

    code = "build_failed"


class BuildStatus(StrEnum):
    """How a build ended well."""

    BUILT = "built"
    REUSED = "reused"


@dataclass(frozen=True)
class BuildResult:
    """One resource's artifact is in the store; ``seconds`` is what that took here."""

    resource: str
    key: str
    status: BuildStatus
    seconds: float


@needs_room()
def build(
    repo: Repository,
    catalog: Catalog,
    name: str,
    keys: Mapping[str, str],
    artifacts: Artifacts,
    home: Path,
    settings: BuildSettings,
    log: Log = print,
) -> BuildResult:
    """Make the artifact of ``name`` unless it exists.

    Several processes may build the same key: one works, the others wait and reuse. All output goes to
    ``<home>/logs/build/<name>/<key>.log`` and, in the end, to the same path in the store.

    :param keys: content keys of ``name`` and of all that it needs.
    :raises BuildFailed: with the last lines of the log.
    :raises DiskFull: this machine's disk is.
    :raises UsageError: when a package that it needs is not built.
    """
    started = time.monotonic()
    resource, key = catalog[name], keys[name]
    if Action.BUILD not in resource.actions:
        raise UsageError(f"{name} is not built: its BUILD action is off, or it is disabled")

    def result(status: BuildStatus) -> BuildResult:
        return BuildResult(name, key, status, time.monotonic() - started)

    if artifacts.exists(name, key):
        return result(_images(resource, key, catalog.commit, artifacts, home, settings, log))
    with exclusive(home.absolute() / "locks" / f"build-{name}-{key}.lock"):
        if artifacts.exists(name, key):
            return result(_images(resource, key, catalog.commit, artifacts, home, settings, log))
        log(f"{name}: building {key[:12]} of {catalog.commit[:12]}")
        packages = dependency_folders(catalog, name, keys, artifacts, home)
        where = f"logs/build/{name}/{key}.log"
        with shell(
            home, home.absolute() / where, timeout=settings.timeout_seconds, passed=settings.pass_environment
        ) as sh:
            try:
                output = _make(repo, catalog, resource, packages, sh, settings.python)
            except CommandFailed as error:
                raise BuildFailed(
                    f"{name} cannot be built: {error}. Log: {where}\n{sh.tail()}", code=error.code
                ) from None
            except UsageError as error:
                raise BuildFailed(f"{name} cannot be built: {error}") from None
            finally:
                artifacts.store.put(where, sh.log)
            artifacts.save(name, key, catalog.commit, output, {"type": resource.type.value})
    _images(resource, key, catalog.commit, artifacts, home, settings, log)
    return result(BuildStatus.BUILT)


def _images(
    resource: CatalogResource,
    key: str,
    commit: str,
    artifacts: Artifacts,
    home: Path,
    settings: BuildSettings,
    log: Log,
) -> BuildStatus:
    """Make the image of a service whose artifact there is, where images belong to builds."""
    if settings.images is None or resource.type is not ResourceType.SERVICE:
        return BuildStatus.REUSED
    from daybreak.build.images.builds import built

    folder = artifacts.fetch(resource.name, key, home)
    image = built(resource.name, folder, key, commit, artifacts.store, home, settings, log)
    return BuildStatus.BUILT if image.made else BuildStatus.REUSED


def dependency_folders(
    catalog: Catalog, name: str, keys: Mapping[str, str], artifacts: Artifacts, home: Path
) -> dict[str, Path]:
    """Local folders with the artifacts of all packages that ``name`` needs, dependencies first.

    :raises UsageError: naming the first one that has not been built.
    """
    folders = {}
    for package in catalog.package_closure(name):
        if not artifacts.exists(package, keys[package]):
            raise UsageError(
                f"{name} needs the package {package}, whose artifact {keys[package][:12]} does not exist. "
                f"Build it first: daybreak build {package}"
            )
        folders[package] = artifacts.fetch(package, keys[package], home)
    return folders


def _make(
    repo: Repository,
    catalog: Catalog,
    resource: CatalogResource,
    packages: Mapping[str, Path],
    sh: Shell,
    python: str,
) -> Path:
    source, output = sh.folder / "source", sh.folder / "output"
    source.mkdir()
    output.mkdir()
    files = inputs(repo, catalog)[resource.name].files
    repo.export_entries(files, source)
    bench = Workbench(resource, tuple(entry.path for entry in files), source, output, packages, sh, python)
    FORMATS[resource.type](bench)
    bench.seeds()
    return output
