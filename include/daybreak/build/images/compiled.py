"""Byte code of packages: compiled by an image's own Python, each module once.

It is kept on this machine by image, path and content, so a base is made from nothing every time, and what it
shares with earlier ones costs a link.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from daybreak.build.images.in_image import HOME, Job, run
from daybreak.build.images.layers import Inside, clear, under
from daybreak.build.process import SOURCE_DATE_EPOCH, CommandFailed, Shell
from daybreak.disk import DiskFull, says_no_room

if TYPE_CHECKING:
    from docker import DockerClient

#: Run by the image's Python. A module that does not compile, a template or one for another Python, leaves an
#: empty file. Valid by time and size, as Python does it by itself: what is changed in a container counts.
_COMPILE = """
import concurrent.futures, multiprocessing, pathlib, py_compile, sys
source, made, library = map(pathlib.Path, sys.argv[1:])
def one(path):
    name = path.relative_to(source)
    target = (made / name).with_suffix(".pyc")
    try:
        py_compile.compile(str(path), str(target), str(library / name), doraise=True,
                           invalidation_mode=py_compile.PycInvalidationMode.TIMESTAMP)
    except py_compile.PyCompileError as error:
        if isinstance(error.exc_value, MemoryError):
            raise
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
with concurrent.futures.ProcessPoolExecutor(mp_context=multiprocessing.get_context("fork")) as pool:
    list(pool.map(one, sorted(source.rglob("*.py")), chunksize=8))
"""
_UNUSED_SECONDS = 30 * 24 * 3600
#: Byte code is about as large as its modules; the largest closures have some hundred MB.
_MAX_BYTES = 2 * 1024**3


def add_compiled(
    client: DockerClient, url: str, image: str, python: Inside, root: Path, home: Path, sh: Shell
) -> None:
    """Put byte code beside the modules of ``root``, for files that are laid with :data:`SOURCE_DATE_EPOCH`.

    :param image: id of the image whose Python compiles; ``python`` is what it is like.
    :param root: as :func:`daybreak.build.images.layers.fill` left it.
    :raises CommandFailed: when the container breaks.
    :raises EngineDown, EngineRefused, DiskFull: as :func:`daybreak.build.images.engine.explained`.
    """
    library = under(root, python.library)
    store = home.absolute() / "images" / "compiled"
    kept = store / image.removeprefix("sha256:")
    kept.mkdir(parents=True, exist_ok=True)
    modules = {path.relative_to(library): path for path in library.rglob("*.py") if path.is_file()}
    wanted = {name: kept / _key(name, path) for name, path in modules.items()}
    new = {name: wanted[name] for name in modules if not _used(wanted[name])}
    if new:
        _compile(client, url, image, python, library, new, sh)
        _sweep(store)
    with sh.log.open("a", encoding="utf-8") as log:
        log.write(f"Compiled {len(new)} modules of {len(modules)}\n")
    for name, compiled in wanted.items():
        if not compiled.stat().st_size:
            continue
        target = library / name.parent / "__pycache__" / f"{name.stem}.{python.tag}.pyc"
        target.parent.mkdir(exist_ok=True)
        target.unlink(missing_ok=True)  # a wheel may bring some, for other times
        os.link(compiled, target)


def _compile(
    client: DockerClient, url: str, image: str, python: Inside, library: Path, new: Mapping[Path, Path],
    sh: Shell,
) -> None:  # fmt: skip
    """Compile the modules ``new`` of ``library``; the files that they become, by name."""
    source, made = clear(sh.folder / "source"), clear(sh.folder / "made")
    for name in new:
        copy = source / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(library / name, copy)
        os.utime(copy, (SOURCE_DATE_EPOCH, SOURCE_DATE_EPOCH))
    there = {f"{HOME}/source": source, f"{HOME}/made": made}
    job = Job(
        [_COMPILE, *there, python.library], HOME, there, {"PYTHONWARNINGS": "ignore"},
        sh.deadline - time.monotonic(), {made: f"{HOME}/made"}, result_bytes=_MAX_BYTES,
    )  # fmt: skip
    ran = run(client, url, image, job, sh.folder)
    said = ran.output.decode("utf-8", "replace")
    with sh.log.open("a", encoding="utf-8") as log:
        log.write(said)
    if ran.code and says_no_room(said):
        raise DiskFull(f"the disk of the Docker Engine {url} is full: {said[-500:].strip()}")
    compiled = {(made / name).with_suffix(".pyc"): kept for name, kept in new.items()}
    if ran.code or not all(each.is_file() for each in compiled):
        raise CommandFailed(
            f"modules could not be compiled in {image[:19]}: exit code {ran.code}"
            f"{', out of memory' if ran.out_of_memory else ''}",
            code="timeout" if ran.timed_out else None,
        )
    for each, kept in compiled.items():
        each.replace(kept)


def _key(name: Path, path: Path) -> str:
    return hashlib.sha256(f"{name.as_posix()}\0".encode() + path.read_bytes()).hexdigest()


def _used(path: Path) -> bool:
    """Whether it is there, as from now on used again."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    return True


def _sweep(store: Path) -> None:
    """Take away what nobody used for long."""
    limit = time.time() - _UNUSED_SECONDS
    for folder in store.iterdir():
        for path in folder.iterdir():
            with suppress(FileNotFoundError):  # another base may be sweeping
                if path.stat().st_mtime < limit:
                    path.unlink()
