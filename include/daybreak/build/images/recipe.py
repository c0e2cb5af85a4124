"""What an image is made of, read from a service's artifact; and the key of its base."""

from __future__ import annotations

import fnmatch
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from daybreak.build.images.dockerfile import Split, started_from
from daybreak.build.locks import LOCK
from daybreak.change.locks import Closure, read
from daybreak.errors import UsageError

#: Raise it when a base image becomes something else of the same inputs.
BASE_VERSION = 2

#: In a service's artifact: its Dockerfile, and ``context/`` with what that copies.
FOLDER = "image"


@dataclass(frozen=True)
class Recipe:
    """An artifact as images see it.

    :param folder: the artifact: ``wheels/``, ``requirements.txt``, ``runtime.json``, ``image/``.
    :param root: the resource's folder in the monorepo.
    :param dependencies: the stage of the Dockerfile that has the third-party packages.
    :param os_packages: of the distribution, where Daybreak makes the Dockerfile itself.
    """

    resource: str
    folder: Path
    root: str
    command: tuple[str, ...]
    health: str
    dependencies: str
    os_packages: tuple[str, ...]

    @classmethod
    def read(cls, resource: str, folder: Path) -> Recipe:
        """The recipe of an artifact; raises :class:`UsageError` for one that no image can be made of."""
        runtime = json.loads((folder / "runtime.json").read_text(encoding="utf-8"))
        image = runtime.get("image")
        if image is None:
            raise UsageError(f"the artifact of {resource} was built for no image; build it again")
        return cls(
            resource, folder, str(image["root"]), tuple(runtime["command"]), str(runtime["health"]),
            str(image["dependencies"]), tuple(image["os_packages"]),
        )  # fmt: skip

    @property
    def context(self) -> Path:
        """What the team's Dockerfile copies, at the paths of the monorepo."""
        return self.folder / FOLDER / "context"

    @property
    def wheels(self) -> list[Path]:
        """The first-party wheels."""
        return sorted((self.folder / "wheels").glob("*.whl"))

    @property
    def lock(self) -> str:
        """The locked third-party packages; may be empty."""
        path = self.folder / LOCK
        return path.read_text(encoding="utf-8") if path.exists() else ""

    @cached_property
    def closure(self) -> Closure:
        """The lock, resolved."""
        return closure_of(self.lock)

    @cached_property
    def dockerfile(self) -> str | None:
        """The team's own, if there is one."""
        path = self.folder / FOLDER / "Dockerfile"
        return path.read_text(encoding="utf-8") if path.exists() else None

    @cached_property
    def split(self) -> Split | None:
        """The team's Dockerfile in two parts, when it has a stage of dependencies."""
        return None if self.dockerfile is None else Split.of(self.dockerfile, self.dependencies)

    def images(self, python: str) -> tuple[str, ...]:
        """What the base is made from: the Dockerfile's images, or ``python``; nothing where there is none."""
        if self.dockerfile is None:
            return (python,)
        return self.split.images if self.split else ()

    def beside(self) -> tuple[str, ...]:
        """What the Dockerfile starts from that is in no base: in later stages, or all where it is not cut."""
        found = started_from(self.dockerfile or "")
        return tuple(each for each in found if self.split is None or each not in self.split.images)

    def base_key(self, digests: Mapping[str, str], platform: str) -> str:
        """SHA-256 (hex) of everything that the dependency layer is made of.

        The same closure on the same runtime is the same base, whichever service asks.

        :param digests: of :meth:`images`, by name.
        :param platform: as the engine names its own (``linux/amd64``).
        """
        split = self.split
        made: Any = ["packages", sorted(self.os_packages)] if split is None else split.normal(self._content)
        said = {
            "version": BASE_VERSION,
            "platform": platform,
            "runtime": sorted(digests.items()),
            "made": made,
            "closure": self.closure.digest,
        }
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()

    def over(self, base: str | None, digests: Mapping[str, str]) -> str:
        """SHA-256 (hex) of what the service's image stands on.

        :param base: the key of its base, where it has one.
        :param digests: of :meth:`beside`, by name.
        """
        if base is not None and not digests:
            return base
        said = json.dumps([base, sorted(digests.items())])
        return hashlib.sha256(said.encode()).hexdigest()

    def _content(self, source: str) -> str:
        """The digest of what ``source`` names in the context; the lock counts by what it resolves to."""
        pattern = source.removeprefix("./").strip("/")
        if pattern == f"{self.root}/{LOCK}":
            return "lock"
        digest = hashlib.sha256()
        for path in sorted(self.context.rglob("*")):
            name = path.relative_to(self.context).as_posix()
            if path.is_file() and taken(name, [pattern]):
                digest.update(f"{name}\0".encode())
                digest.update(path.read_bytes())
        return digest.hexdigest()


def taken(path: str, sources: Iterable[str]) -> bool:
    """Whether COPY of one of ``sources`` takes the file ``path``."""
    return any(
        source in {"", "."}
        or path == source
        or path.startswith(f"{source}/")
        or fnmatch.fnmatchcase(path, source)
        for source in sources
    )


def closure_of(lock: str) -> Closure:
    """The closure of a lock's text."""
    return read(LOCK, lock.encode(), lambda path: None).closure(())
