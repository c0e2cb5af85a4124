"""What builds made, in the store, under the content key of what it was made from.

``artifacts/<resource>/<key>/manifest.json`` is written last and never again: an artifact is there with all
its files or not at all, and of two machines that build the same key at once the first to finish counts.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from daybreak.build.process import scratch
from daybreak.catalog.resource import Action
from daybreak.change.plan import Plan
from daybreak.disk import needs_room
from daybreak.errors import DaybreakError
from daybreak.locking import exclusive
from daybreak.store import Store

SCHEMA = 1


class DamagedArtifact(DaybreakError):
    """What the store gave back is not what was saved."""

    code = "damaged_artifact"


@dataclass(frozen=True)
class File:
    """One file of an artifact; ``link`` is the target of a symbolic link, which has no content of its own."""

    path: str
    sha256: str = ""
    size: int = 0
    executable: bool = False
    link: str | None = None


@dataclass(frozen=True)
class Manifest:
    """What an artifact holds. ``commit`` is the first commit that it was built from."""

    resource: str
    key: str
    commit: str
    files: tuple[File, ...]
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Artifacts:
    """The artifacts in a store."""

    store: Store

    def exists(self, resource: str, key: str) -> bool:
        """Whether the artifact is there, complete."""
        return self.store.exists(_manifest_path(resource, key))

    def missing(self, planned: Plan) -> list[str]:
        """The resources that are planned to be built and are not, in the plan's order."""
        return [
            step.name
            for step in planned.steps
            if Action.BUILD in step.actions and not self.exists(step.name, step.key)
        ]

    def save(
        self, resource: str, key: str, commit: str, folder: Path, meta: Mapping[str, Any] | None = None
    ) -> Manifest:
        """Keep everything in ``folder``; does nothing when the artifact is there already."""
        files = []
        for path in sorted(_leaves(folder)):
            name = path.relative_to(folder).as_posix()
            if path.is_symlink():
                files.append(File(name, link=os.readlink(path)))
                continue
            executable = bool(path.stat().st_mode & 0o100)
            file = File(name, _sha256(path), path.stat().st_size, executable)
            # By content: a second builder with other bytes cannot damage what the first one's manifest names.
            self.store.put(_file_path(resource, key, file), path)
            files.append(file)
        manifest = Manifest(resource, key, commit, tuple(files), dict(meta or {}))
        self.store.put_if_absent(_manifest_path(resource, key), _dumps(manifest))
        return manifest

    def manifest(self, resource: str, key: str) -> Manifest:
        """What the artifact holds; raises :class:`daybreak.store.NotInStore`."""
        data = json.loads(self.store.get(_manifest_path(resource, key)))
        if data["schema"] != SCHEMA:
            raise DamagedArtifact(f"the artifact of {resource} has schema {data['schema']}; build it again")
        files = tuple(File(**item) for item in data["files"])
        return Manifest(data["resource"], data["key"], data["commit"], files, data["meta"])

    @needs_room()
    def fetch(self, resource: str, key: str, home: Path) -> Path:
        """The artifact as a local folder, ``<home>/artifacts/<resource>/<key>``; downloaded once, verified.

        Callers only read it: it is shared. :raises DaybreakError: when it is not there or damaged.
        """
        folder = home.absolute() / "artifacts" / resource / key
        if folder.is_dir():
            return folder
        with exclusive(home.absolute() / "locks" / f"artifact-{resource}-{key}.lock"):
            if folder.is_dir():
                return folder
            fresh = scratch(home)
            try:
                for file in self.manifest(resource, key).files:
                    self._fetch_file(resource, key, file, fresh)
                folder.parent.mkdir(parents=True, exist_ok=True)
                fresh.chmod(0o755)
                fresh.rename(folder)
            finally:
                shutil.rmtree(fresh, ignore_errors=True)
        return folder

    def _fetch_file(self, resource: str, key: str, file: File, into: Path) -> None:
        target = into / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        if file.link is not None:
            target.symlink_to(file.link)
            return
        self.store.get_file(_file_path(resource, key, file), target)
        if _sha256(target) != file.sha256:
            raise DamagedArtifact(
                f"{file.path} of {resource} {key[:12]} is not what was saved. Remove "
                f"artifacts/{resource}/{key} from the store and build again."
            )
        target.chmod(0o755 if file.executable else 0o644)


def _manifest_path(resource: str, key: str) -> str:
    return f"artifacts/{resource}/{key}/manifest.json"


def _file_path(resource: str, key: str, file: File) -> str:
    return f"artifacts/{resource}/{key}/{file.sha256[:16]}/{Path(file.path).name}"


def _dumps(manifest: Manifest) -> bytes:
    data = {
        "schema": SCHEMA,
        "resource": manifest.resource,
        "key": manifest.key,
        "commit": manifest.commit,
        "files": [vars(file) for file in manifest.files],
        "meta": manifest.meta,
    }
    return (json.dumps(data, indent=2, sort_keys=True) + "\n").encode()


def _leaves(folder: Path) -> list[Path]:
    found = []
    for parent, folders, names in os.walk(folder):
        at = Path(parent)
        found += [at / name for name in names]
        found += [at / name for name in folders if (at / name).is_symlink()]
    return found


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
