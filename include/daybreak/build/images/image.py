"""Images of services: a base that holds the third-party packages, and the first-party wheels on top of it.

A base is named by the hash of what it is made of, so services with the same closure share one, and a change
of code installs nothing. An image is named by the content key of its artifact and the key of its base: a tag
never means two things. Where a registry is set, images are looked for there before they are built, and pushed
after.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from daybreak.build.images.compiled import add_compiled
from daybreak.build.images.dockerfile import INSTALLED, WHEELS, sources
from daybreak.build.images.engine import BASE, COMMIT, KEY, RESOURCE, explained
from daybreak.build.images.engine_build import Order, make
from daybreak.build.images.engine_layer import lay
from daybreak.build.images.layers import Inside, clear, fill, folders, inside, installed, part, under
from daybreak.build.images.recipe import Recipe, closure_of
from daybreak.build.images.tags import ImageFailed, created, find, had, named, push
from daybreak.build.locks import distribution, normalised, refuse_first_party
from daybreak.build.process import CommandFailed, Shell, shell
from daybreak.errors import UsageError
from daybreak.locking import exclusive

if TYPE_CHECKING:
    from docker import DockerClient

    from daybreak.settings import EngineSettings, ImageSettings

#: On a base that was made of another one: the key of the base that it stands for.
DEGRADED = "dev.daybreak.degraded"
#: Bases by label, whatever the repository is called.
BASE_KEY = "dev.daybreak.base.key"

_TIMEOUT_SECONDS = 900
#: In an image without the team's Dockerfile: nobody in particular.
_USER = "10001:10001"

_REMOVE = """
import importlib.metadata, importlib.util, pathlib, shutil, sys
for name in sys.argv[1:]:
    found = importlib.metadata.distribution(name)
    for each in found.files or ():
        path = pathlib.Path(found.locate_file(each))
        path.unlink(missing_ok=True)
        if path.suffix == ".py":
            pathlib.Path(importlib.util.cache_from_source(path)).unlink(missing_ok=True)
        if path.parent.name.endswith(".dist-info"):
            shutil.rmtree(path.parent, ignore_errors=True)
"""


@dataclass(frozen=True)
class Base:
    """A dependency layer on an engine.

    :param key: what was wanted; where the base is ``degraded``, that is not what it is made of.
    :param made: it was not there before.
    """

    key: str
    tag: str
    id: str
    degraded: bool = False
    made: bool = False


@dataclass(frozen=True)
class Image:
    """A service's image on an engine.

    :param packages: versions of the installed distributions by name, for the bill of materials; empty when
        the image was there already.
    """

    tag: str
    id: str
    degraded: bool = False
    made: bool = False
    packages: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Images:
    """The images of one engine.

    :param home: ``$DAYBREAK_HOME``, for logs, locks and what was learned of images.
    :param passed: variables that uv may see beside the allow-list (``build.pass_environment``).
    """

    client: DockerClient
    engine: EngineSettings
    settings: ImageSettings
    home: Path
    passed: Sequence[str] = ()
    log: Callable[[str], None] = print

    def base(self, recipe: Recipe) -> Base:
        """The dependency layer of a service, built unless it is there.

        When it cannot be built, the service's previous base and what differs stand in for it, ``degraded``.

        :raises ImageFailed: when there is no previous base, or that cannot be done either.
        :raises EngineDown, DiskFull: never degraded: nothing else would work then.
        """
        try:
            key = recipe.base_key(self._digests(recipe), self._platform())
        except ImageFailed as error:
            # Its own image is not to be had: the name stands for what cannot be looked at.
            key = hashlib.sha256(f"{recipe.closure.digest} of unknown".encode()).hexdigest()
            return self._degraded(recipe, key, error)
        tag = f"{self._prefix}/daybreak-base:{key}"
        with exclusive(self._lock(f"base-{key}")):
            found = self._find(tag)
            if found is not None:
                return Base(key, tag, found)
            self.log(f"{recipe.resource}: building its base {key[:12]}")
            try:
                with self._shell(f"base/{key}") as sh:
                    made = self._make_base(recipe, tag, key, sh)
            except ImageFailed as error:
                return self._degraded(recipe, key, error)
            self._push(tag)
            return Base(key, tag, made, made=True)

    def service(self, recipe: Recipe, key: str, commit: str, *, fresh: bool = False) -> Image:
        """The image of a service's artifact, built unless it is there.

        :param fresh: one on another base than today's does not do, so that a new runtime reaches services
            whose code nobody changes. Without it any whole image of this content key does: a revert builds
            nothing.
        :raises ImageFailed: with the end of the log.
        """
        if not fresh:
            there = self.of_key(recipe.resource, key) or self._fetched(recipe.resource, key)
            if there is not None:
                return there
        base = self.base(recipe) if recipe.dockerfile is None or recipe.split else None
        over = self._over(recipe, base)
        tag = f"{self._prefix}/{recipe.resource}:{key[:40]}-{over[:16]}"
        if base is not None and base.degraded:
            tag += "-degraded"
        with exclusive(self._lock(f"image-{recipe.resource}-{key}-{over[:16]}")):
            found = self._find(tag)
            if found is not None:
                return Image(tag, found, "-degraded" in tag)
            self.log(f"{recipe.resource}: building its image {key[:12]}")
            labels = {RESOURCE: recipe.resource, KEY: key, COMMIT: commit}
            if base is not None:
                labels |= {BASE: base.tag, **({DEGRADED: base.key} if base.degraded else {})}
            with self._shell(f"{recipe.resource}/{key}") as sh:
                made = self._make_service(recipe, base, tag, labels, sh)
            self._push(tag)
            if self.settings.registry is not None and not (base and base.degraded):
                # What another engine asks for: it need not know on which base it was built.
                whole = self._whole(recipe.resource, key)
                with explained(self.engine.url):
                    self.client.api.tag(made, *named(whole))
                self._push(whole)
        packages = self._packages(recipe, base, made)
        return Image(tag, made, base is not None and base.degraded, made=True, packages=packages)

    def packages(self, image: str) -> Mapping[str, str]:
        """Versions of the distributions that the image with that id has installed, asked of itself."""
        try:
            return self._inside(image).packages
        except UsageError as error:  # an image of something else
            self.log(str(error))
            return {}

    def _packages(self, recipe: Recipe, base: Base | None, made: str) -> Mapping[str, str]:
        """What an image has installed: known where nothing but copies made it, else asked of it."""
        if base is None or (recipe.split and not recipe.split.copies_only):
            return self.packages(made)
        packages = dict(self._inside(base.id).packages)
        if recipe.split is None or recipe.split.takes(INSTALLED):
            for wheel in recipe.wheels:
                packages[normalised(distribution(wheel))] = wheel.name.split("-")[1]
        return packages

    def refresh(self, recipe: Recipe) -> None:
        """Pull what base and image start from; one that cannot be pulled, but is here, stays what it is."""
        from docker.errors import APIError

        for name in (*recipe.images(self.settings.python), *recipe.beside()):
            with explained(self.engine.url):
                try:
                    self.client.images.pull(*named(name))
                except APIError as error:
                    self.log(f"{name} is used as it is here: {error.explanation}")

    def of_key(self, resource: str, key: str) -> Image | None:
        """The newest whole image of a content key that is on the engine."""
        found = [
            image for image in self.labelled({RESOURCE: resource, KEY: key}) if DEGRADED not in image.labels
        ]
        newest = max(found, key=created, default=None)
        return None if newest is None else Image(newest.tags[0] if newest.tags else newest.id, newest.id)

    def _fetched(self, resource: str, key: str) -> Image | None:
        """The whole image of a content key, from the registry."""
        if self.settings.registry is None:
            return None
        found = self._find(self._whole(resource, key))
        return None if found is None else Image(self._whole(resource, key), found)

    def _whole(self, resource: str, key: str) -> str:
        return f"{self._prefix}/{resource}:{key[:40]}"

    def labelled(self, labels: Mapping[str, str]) -> list[Any]:
        """Images with these labels; an empty value stands for any."""
        said = [f"{name}={value}" if value else name for name, value in labels.items()]
        with explained(self.engine.url):
            return list(self.client.images.list(filters={"label": said}))

    def _make_base(self, recipe: Recipe, tag: str, key: str, sh: Shell) -> str:
        labels = {BASE_KEY: key, BASE_KEY + ".first": recipe.resource}
        refuse_first_party(
            recipe.folder / "requirements.txt", "requirements.txt", map(distribution, recipe.wheels)
        )
        if recipe.split:
            recipe.context.mkdir(parents=True, exist_ok=True)
            order = Order(recipe.context, recipe.split.base, tag, labels, recipe.split.target, own=True)
            return make(self.client, self.engine, self.settings, order, sh)
        runtime = self._digests(recipe)[self.settings.python]
        python, context = self._inside(runtime), clear(sh.folder / "context")
        fill(sh, context, python, _locks(sh, recipe.lock), [])
        # Nobody may write beside the modules later, so that each start would compile them again.
        add_compiled(self.client, self.engine.url, runtime, python, context, self.home, sh)
        with self._system(recipe, runtime, tag, labels, sh) as below:
            return lay(
                self.client, self.engine.url, below, folders(context, python), named(tag), labels,
                scratch=sh.folder,
            )  # fmt: skip

    @contextmanager
    def _system(
        self, recipe: Recipe, runtime: str, tag: str, labels: Mapping[str, str], sh: Shell
    ) -> Iterator[str]:
        """What packages are laid on: the runtime, with OS packages where a service names some."""
        if not recipe.os_packages:
            yield runtime
            return
        text = (
            f"FROM {self.settings.python}\nRUN apt-get update && apt-get install --yes "
            f"--no-install-recommends {' '.join(recipe.os_packages)} && rm -rf /var/lib/apt/lists/*\n"
        )
        # Another machine may be making the same one, so this name is nobody else's. Without it the image
        # stays for what stands on it; one that a kill left behind is a base by its labels, and pruned.
        name = f"{tag}-{uuid4().hex[:12]}"
        order = Order(clear(sh.folder / "nothing"), text, name, labels, own=True)
        yield make(self.client, self.engine, self.settings, order, sh)
        with explained(self.engine.url):
            self.client.images.remove(name)

    def _degraded(self, recipe: Recipe, key: str, error: ImageFailed) -> Base:
        """The newest base that an image of the service has, and on it what the lock has and it has not."""
        older = [
            image for image in self.labelled({RESOURCE: recipe.resource, BASE: ""}) if image.labels[BASE]
        ]
        newest = max(older, key=created, default=None)
        previous = None if newest is None else self._find(str(newest.labels[BASE]))
        if newest is None or previous is None:
            raise error
        name = str(newest.labels[BASE])
        self.log(f"{recipe.resource}: its base {key[:12]} cannot be built, {name} stands in for it. {error}")
        tag = f"{self._prefix}/daybreak-base:{key}-degraded"
        with self._shell(f"base/{key}-degraded") as sh:
            python = self._inside(previous)
            wanted = {node.name: node.version for node in recipe.closure.nodes.values() if node.version}
            differs = {each for each, version in wanted.items() if python.packages.get(each) != version}
            context = sh.folder / "context"
            clear(context)
            fill(sh, context, python, _locks(sh, part(recipe.lock, differs)), [])
            new = installed(under(context, python.library))
            stale = sorted(new.keys() & python.packages.keys())
            user = self.client.images.get(previous).attrs["Config"].get("User") or "root"
            lines = [f"FROM {name}", "USER root"]
            if stale:
                (context / "remove.py").write_text(_REMOVE, encoding="utf-8")
                lines += ["COPY remove.py /tmp/remove.py", f"RUN python /tmp/remove.py {' '.join(stale)}"]
            # Each instruction costs the engine a layer.
            full = [each for each, folder in folders(context, python).items() if any(folder.iterdir())]
            lines += [*(f"COPY {each.strip('/')}/ {each}/" for each in full), f"USER {user}"]
            order = Order(context, "\n".join(lines) + "\n", tag, {DEGRADED: key})
            made = make(self.client, self.engine, self.settings, order, sh)
        return Base(key, tag, made, degraded=True, made=True)

    def _make_service(
        self, recipe: Recipe, base: Base | None, tag: str, labels: Mapping[str, str], sh: Shell
    ) -> str:
        context = sh.folder / "context"
        clear(context)
        if recipe.dockerfile is not None:
            if recipe.context.is_dir():
                shutil.copytree(recipe.context, context, dirs_exist_ok=True)
            shutil.copytree(recipe.folder / WHEELS, context / WHEELS, dirs_exist_ok=True)
            text = recipe.dockerfile
            if recipe.split and base is not None:
                text = recipe.split.service(base.tag)
                if recipe.split.takes(INSTALLED):
                    fill(sh, context / INSTALLED, self._inside(base.id), [], recipe.wheels)
            elif INSTALLED in sources(text):
                raise ImageFailed(
                    f"the Dockerfile of {recipe.resource} copies {INSTALLED}/, and has no stage "
                    f"`{recipe.dependencies}` whose Python that could be for"
                )
            order = Order(context, text, tag, labels, own=True)
            return make(self.client, self.engine, self.settings, order, sh)
        assert base is not None
        python = self._inside(base.id)
        fill(sh, context, python, [], recipe.wheels)
        return lay(
            self.client, self.engine.url, base.id,
            folders(context, python), named(tag), labels,
            user=_USER, command=recipe.command, scratch=sh.folder,
        )  # fmt: skip

    def _digests(self, recipe: Recipe) -> dict[str, str]:
        """Ids of the images that the base is made from; pulled when they are not there."""
        names = recipe.images(self.settings.python)
        return {name: self._had(name, recipe.resource) for name in names}

    def _had(self, name: str, resource: str) -> str:
        return had(self.client, self.engine.url, name, resource, self.log)

    def _over(self, recipe: Recipe, base: Base | None) -> str:
        """The key of what the service's image stands on."""
        others = {}
        for name in recipe.beside():
            try:
                others[name] = self._had(name, recipe.resource)
            except ImageFailed as error:  # BuildKit may need none of that stage; else the build says so
                self.log(str(error))
                others[name] = ""
        return recipe.over(None if base is None else base.key, others)

    def _platform(self) -> str:
        with explained(self.engine.url):
            said = self.client.version()
        return f"{said['Os']}/{said['Arch']}"

    def _find(self, tag: str) -> str | None:
        return find(self.client, self.engine.url, tag, self.settings.registry)

    def _push(self, tag: str) -> None:
        if self.settings.registry is not None:
            push(self.client, self.engine.url, tag)

    def _inside(self, image: str) -> Inside:
        with explained(self.engine.url):
            return inside(self.client, image, self.home)

    @property
    def _prefix(self) -> str:
        return self.settings.registry or "daybreak"

    def _lock(self, name: str) -> Path:
        return self.home.absolute() / "locks" / f"{name}.lock"

    def _shell(self, name: str) -> _Explained:
        return _Explained(self.home, f"logs/image/{name}.log", self.passed)


class _Explained:
    """A shell whose failed commands are an :class:`ImageFailed` with the end of the log."""

    def __init__(self, home: Path, log: str, passed: Sequence[str]) -> None:
        self._log = log
        self._context = shell(home, home.absolute() / log, timeout=_TIMEOUT_SECONDS, passed=passed)

    def __enter__(self) -> Shell:
        self._shell = self._context.__enter__()
        return self._shell

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        tail = self._shell.tail()
        self._context.__exit__(kind, error, trace)
        if isinstance(error, CommandFailed):
            raise ImageFailed(f"{error}. Log: {self._log}\n{tail}") from None


def _locks(sh: Shell, lock: str) -> list[Path]:
    """The lock as a file for uv, when it pins anything."""
    if not closure_of(lock).nodes:
        return []
    path = sh.folder / "requirements.txt"
    path.write_text(lock, encoding="utf-8")
    return [path]
