"""Images as builds make them: the bases of a commit, before its artifacts, and the image of an artifact."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from daybreak.build.formats import Workbench, describe_image
from daybreak.build.images.engine import connected
from daybreak.build.images.image import Base, Image, Images
from daybreak.build.images.layers import sbom
from daybreak.build.images.recipe import Recipe
from daybreak.build.locks import LOCK
from daybreak.build.process import shell
from daybreak.catalog.graph import Catalog
from daybreak.catalog.resource import Action, ResourceType
from daybreak.change.key import inputs
from daybreak.errors import UsageError
from daybreak.git.repository import Repository

if TYPE_CHECKING:
    from collections.abc import Callable

    from daybreak.settings import BuildSettings
    from daybreak.store import Store


def services(catalog: Catalog) -> list[str]:
    """The resources that images are made of."""
    return [
        name
        for name in catalog.order()
        if catalog[name].type is ResourceType.SERVICE and Action.BUILD in catalog[name].actions
    ]


def ensure(
    repo: Repository,
    catalog: Catalog,
    name: str,
    home: Path,
    settings: BuildSettings,
    log: Callable[[str], None] = print,
    *,
    pull: bool = False,
) -> Base | None:
    """The base of a service at the catalog's commit, built unless it is there.

    :param pull: look whether the images that it and the service's image start from have become others.
    :returns: ``None`` for a service whose Dockerfile has no stage of dependencies.
    :raises ImageFailed, EngineDown, DiskFull: as :meth:`daybreak.build.images.image.Images.base`.
    """
    if settings.images is None:
        raise UsageError("no base images are built: `build.images` is not in daybreak.yaml")
    resource = catalog[name]
    log_file = home.absolute() / "logs" / "image" / "base" / f"{name}.log"
    with shell(home, log_file, timeout=settings.timeout_seconds, passed=settings.pass_environment) as sh:
        source, output = sh.folder / "source", sh.folder / "output"
        source.mkdir()
        output.mkdir()
        files = inputs(repo, catalog)[name].files
        repo.export_entries(files, source)
        bench = Workbench(
            resource, tuple(entry.path for entry in files), source, output, {}, sh, settings.python
        )
        (output / "wheels").mkdir()
        lock = bench.root / LOCK
        (output / LOCK).write_bytes(lock.read_bytes() if lock.is_file() else b"")
        runtime = {"command": [], "health": "", "image": describe_image(bench)}
        (output / "runtime.json").write_text(json.dumps(runtime), encoding="utf-8")
        recipe = Recipe.read(name, output)
        whole = recipe.dockerfile is not None and recipe.split is None
        if whole and not pull:
            return None
        engine = settings.images.engine
        with connected(engine) as client:
            images = Images(client, engine, settings.images, home, settings.pass_environment, log)
            if pull:
                images.refresh(recipe)
            return None if whole else images.base(recipe)


def built(
    resource: str,
    folder: Path,
    key: str,
    commit: str,
    store: Store,
    home: Path,
    settings: BuildSettings,
    log: Callable[[str], None],
) -> Image:
    """The image of an artifact on the engine that builds, its bill of materials in the store.

    :raises ImageFailed, EngineDown, DiskFull: as :meth:`Images.service`.
    """
    assert settings.images is not None
    engine = settings.images.engine
    with connected(engine) as client:
        images = Images(client, engine, settings.images, home, settings.pass_environment, log)
        image = images.service(Recipe.read(resource, folder), key, commit, fresh=True)
        name = image.tag.rpartition(":")[2]
        bill = f"images/{resource}/{name}/sbom.json"
        # Also of an image that is there: who built it may have been killed before it wrote this.
        if image.made or not store.exists(bill):
            packages = image.packages if image.packages is not None else images.packages(image.id)
            store.put(bill, sbom(resource, key, image.id, packages))
    if image.degraded:
        log(f"{resource}: its base is degraded")
    return image
