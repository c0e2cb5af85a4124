"""Anything else: the team's own commands for each verb."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daybreak.build import process
from daybreak.catalog.graph import CatalogResource
from daybreak.deploy import running
from daybreak.deploy.driver import Package, Target
from daybreak.deploy.masking import masked
from daybreak.errors import DeployFailed, UsageError

_TIMEOUT_SECONDS = 600.0


class CommandDriver:
    """``options``: argument lists ``create``, ``deploy``, ``observe``, ``destroy``; and
    ``timeout_seconds`` (600).

    A command runs in the resource's folder of a private copy of the artifact's tree. It sees the contract's
    variables, ``DAYBREAK_KEY`` and the allow-list of builds (``PATH`` without Daybreak's own virtual
    environment), nothing else. ``python`` as first word is a plain interpreter of Daybreak's version, without
    Daybreak's packages; a command that needs more brings it along (``options["build"]``).

    ``observe`` prints the content key that runs, nothing when nothing does; the deployed one is in
    ``DAYBREAK_KEY``. Without ``observe``, what counts is the last deploy that succeeded on this machine.
    """

    def create(self, resource: CatalogResource, package: Package, target: Target) -> None:
        """Run ``create`` when there is one.

        :raises DeployFailed: when it fails.
        """
        if "create" in resource.options:
            _Place.of(resource, target).run("create", self._unpack(resource, package, target), package.key)

    def deploy(self, resource: CatalogResource, package: Package, target: Target) -> Mapping[str, str]:
        """Run ``deploy``.

        :raises DeployFailed: with the end of its output.
        """
        place = _Place.of(resource, target)
        tree = self._unpack(resource, package, target)
        # From here on, what was deployed before is no longer certain.
        target.guard()
        place.record.unlink(missing_ok=True)
        place.run("deploy", tree, package.key)
        place.write({"key": package.key, "commit": package.commit, "nonce": target.nonce})
        for other in place.folder.iterdir():
            if other.is_dir() and other != tree:
                shutil.rmtree(other, ignore_errors=True)
        return {}

    def observe(self, resource: CatalogResource, target: Target) -> str | None:
        """What ``observe`` prints; without it, the key of the last successful deploy of this provisioning."""
        place = _Place.of(resource, target)
        found = place.deployed()
        if found is None or not place.tree(found).is_dir():
            return None
        return place.ask(place.tree(found), found) if "observe" in resource.options else found

    def provides(self, resource: CatalogResource, target: Target) -> Mapping[str, str]:
        """Nothing beside the contract's own variables."""
        return {}

    def destroy(self, resource: CatalogResource, target: Target) -> None:
        """Run ``destroy`` in the tree that was deployed.

        :raises DeployFailed: when it fails; it may be tried again.
        """
        place = _Place.of(resource, target)
        found = place.recorded()
        if found and "destroy" in resource.options:
            # What is cut off from here on runs no longer for sure, and is destroyed again by the next try.
            target.guard()
            place.write({**found, "destroying": True})
            place.run("destroy", place.tree(found["key"]), found["key"])
        target.guard()
        shutil.rmtree(place.folder, ignore_errors=True)

    def _unpack(self, resource: CatalogResource, package: Package, target: Target) -> Path:
        """A copy of its own: a command may write, and artifacts are shared."""
        tree = _Place.of(resource, target).tree(package.key)
        shutil.rmtree(tree, ignore_errors=True)
        tree.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.copytree(package.folder, tree, symlinks=True)
        return tree


@dataclass(frozen=True)
class _Place:
    """Where one resource of one environment keeps what was deployed."""

    resource: CatalogResource
    target: Target
    folder: Path

    @classmethod
    def of(cls, resource: CatalogResource, target: Target) -> _Place:
        folder = target.home.absolute() / "commands" / target.environment.name / resource.name
        return cls(resource, target, folder)

    @property
    def record(self) -> Path:
        return self.folder / "deployed.json"

    def tree(self, key: str) -> Path:
        return self.folder / key[:32]

    def recorded(self) -> dict[str, Any]:
        """What was deployed to this provisioning, if anything was."""
        try:
            data = json.loads(self.record.read_text(encoding="utf-8"))
            return {**data, "key": str(data["key"])} if data["nonce"] == self.target.nonce else {}
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return {}

    def deployed(self) -> str | None:
        """The key that runs; ``None`` also while nobody knows, once its end has begun."""
        found = self.recorded()
        return found["key"] if found and not found.get("destroying") else None

    def write(self, record: Mapping[str, object]) -> None:
        written = self.record.with_suffix(".new")
        written.write_text(json.dumps(record), encoding="utf-8")
        os.replace(written, self.record)

    def run(self, verb: str, tree: Path, key: str) -> None:
        self.target.guard()
        # What changes an environment comes to its end, also where this thread's work is to end soon.
        with process.unhurried():
            ended = self._call(verb, tree, key, None)
        if ended.timed_out or ended.code != 0:
            raise DeployFailed(
                f"{self.resource.name}: its `{verb}` command {ended.describe()}. Log: "
                f"{ended.log}\n{ended.tail()}"
            )

    def ask(self, tree: Path, key: str) -> str | None:
        answer = self.folder / "observed"
        ended = self._call("observe", tree, key, answer)
        if ended.timed_out or ended.code != 0:
            self.target.log(f"{self.resource.name}: its `observe` command {ended.describe()}")
            return None
        lines = answer.read_text(encoding="utf-8", errors="replace").split()
        return lines[-1] if lines else None

    def _call(self, verb: str, tree: Path, key: str, stdout: Path | None) -> running.Ended:
        argv = self.resource.options.get(verb)
        if not isinstance(argv, (list, tuple)) or not argv or not all(isinstance(each, str) for each in argv):
            where = f"resources.py:{self.resource.line}: " if self.resource.line else ""
            raise UsageError(f"{where}{self.resource.name}: options[{verb!r}] must be a list of texts")
        target = self.target
        log = target.home.absolute() / "logs" / "command" / target.environment.name / self.resource.name
        scratch = process.scratch(target.home)
        try:
            environment = process.environment(scratch)
            environment["PATH"] = running.plain_path(environment.get("PATH", os.defpath))
            environment |= {"PYTHONNOUSERSITE": "1", "DAYBREAK_KEY": key, **target.variables}
            return running.run(
                [running.plain_python() if argv[0] == "python" else argv[0], *argv[1:]],
                at=tree / self.resource.root,
                environment=environment,
                seconds=float(self.resource.options.get("timeout_seconds", _TIMEOUT_SECONDS)),
                log=log / f"{verb}.log",
                stdout=stdout,
            )
        except OSError as error:
            text = masked(str(error), target.variables)
            raise DeployFailed(f"{self.resource.name}: cannot start its `{verb}` command: {text}") from None
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
