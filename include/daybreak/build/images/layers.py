"""Packages as layers of an image: installed on this machine for the image's Python, and copied.

So no index, no proxy and no password is ever named inside an image, an engine needs no way out, and a package
that was installed anywhere before comes from uv's cache.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daybreak.build.images.engine import printed
from daybreak.build.images.unpacking import simple, unpack
from daybreak.build.locks import install, normalised
from daybreak.build.process import Shell
from daybreak.errors import UsageError

if TYPE_CHECKING:
    from docker import DockerClient

#: Asked of an image once: what its Python is, where it looks, and what it has.
_ASK = """
import importlib.metadata, json, os, platform, sys, sysconfig
print(json.dumps({
    "python": "%d.%d" % sys.version_info[:2],
    "tag": sys.implementation.cache_tag,
    "executable": sys.executable,
    "library": sysconfig.get_path("purelib"),
    "scripts": sysconfig.get_path("scripts"),
    "machine": platform.machine(),
    "libc": platform.libc_ver(),
    "packages": sorted({(d.metadata["Name"], d.version) for d in importlib.metadata.distributions()
                        if d.metadata["Name"]}),
}))
"""
#: glibc versions that uv has a platform for, by minor number.
_GLIBC = (17, 28, *range(31, 41))


@dataclass(frozen=True)
class Inside:
    """The Python of an image.

    :param tag: in the names of its byte code (``cpython-313``).
    :param library, scripts: absolute folders.
    :param platform: as uv names it.
    :param packages: versions by normalised name.
    """

    python: str
    tag: str
    executable: str
    library: str
    scripts: str
    platform: str
    packages: Mapping[str, str]


def inside(client: DockerClient, image: str, home: Path) -> Inside:
    """What the Python in the image with the id ``image`` is like: asked once, kept in ``<home>/images``.

    :raises UsageError: when there is none.
    """
    from docker.errors import APIError, ContainerError

    kept = home.absolute() / "images" / "pythons" / f"{image.removeprefix('sha256:')}.json"
    if kept.exists():
        return _read(json.loads(kept.read_text(encoding="utf-8")))
    try:
        said = printed(client, image, ["-I", "-c", _ASK], entrypoint=["python"])
    except (ContainerError, APIError) as error:
        if isinstance(error, APIError) and not error.is_client_error():
            raise
        raise UsageError(f"the image {image[:19]} has no Python to put packages into: {error}") from None
    found = _read(json.loads(said))
    kept.parent.mkdir(parents=True, exist_ok=True)
    # A name of its own: two bases on one image may be asked about at once.
    with tempfile.NamedTemporaryFile(dir=kept.parent, prefix=f".{kept.name}.", delete=False) as file:
        try:
            file.write(said)
            file.flush()
            Path(file.name).replace(kept)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
    return found


def _read(found: Mapping[str, Any]) -> Inside:
    libc, version = found["libc"]
    machine = str(found["machine"])
    if libc == "glibc":
        minor = int(version.split(".")[1])
        platform = f"{machine}-manylinux_2_{max((each for each in _GLIBC if each <= minor), default=17)}"
    else:
        platform = f"{machine}-unknown-linux-musl"
    packages = {normalised(name): str(version) for name, version in found["packages"]}
    return Inside(
        found["python"], found["tag"], found["executable"], found["library"], found["scripts"], platform,
        packages,
    )  # fmt: skip


def fill(sh: Shell, root: Path, python: Inside, locks: Sequence[Path], wheels: Sequence[Path]) -> None:
    """Put packages into ``root``, at the paths at which the image's Python looks for them.

    :raises CommandFailed: when a hash, or a wheel for this Python and platform, is missing.
    """
    library, scripts = under(root, python.library), under(root, python.scripts)
    library.mkdir(parents=True)
    scripts.mkdir(parents=True)
    if not locks and simple(wheels, python.python):
        for wheel in wheels:
            unpack(wheel, root, library=python.library, scripts=python.scripts, executable=python.executable)
        return
    into = (
        "--target", str(library), "--python-version", python.python, "--python-platform", python.platform,
        "--only-binary", ":all:", "--no-compile-bytecode",
    )  # fmt: skip
    install(sh, into, locks, wheels, at=sh.folder)
    if (library / "bin").is_dir():
        scripts.rmdir()
        (library / "bin").rename(scripts)
        for script in scripts.iterdir():
            _starts_with(script, python.executable)
    for left in (".lock", "CACHEDIR.TAG", ".gitignore"):
        (library / left).unlink(missing_ok=True)


def under(root: Path, path: str) -> Path:
    """Where ``root`` holds what is at ``path`` in an image."""
    return root / path.strip("/")


def folders(root: Path, python: Inside) -> dict[str, Path]:
    """What :func:`fill` left in ``root``, by the folder in the image that it is for."""
    return {each: under(root, each) for each in (python.library, python.scripts)}


def _starts_with(script: Path, executable: str) -> None:
    """Scripts name the Python of this machine; in the image they are run by its own."""
    first, end, rest = script.read_bytes().partition(b"\n")
    if first.startswith(b"#!") and b"python" in first:
        script.write_bytes(f"#!{executable}".encode() + end + rest)
        return
    # The long form, where the path is too long for a kernel: a shell line inside a Python string.
    match = re.match(rb"#!/bin/sh\n'''exec' [^\n]*\n' '''\n", script.read_bytes())
    if match:
        script.write_bytes(f"#!{executable}\n".encode() + script.read_bytes()[match.end() :])


def installed(library: Path) -> dict[str, str]:
    """Versions by normalised name of what lies in a folder of packages."""
    found = {}
    for folder in library.glob("*.dist-info"):
        name, _, version = folder.name.removesuffix(".dist-info").partition("-")
        found[normalised(name)] = version
    return found


def part(lock: str, names: Collection[str]) -> str:
    """The lines of a lock that pin ``names`` (normalised), and its options."""
    kept = []
    for line in re.sub(r"\\\r?\n", " ", lock).splitlines():
        said = line.strip()
        name = re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", said)
        if said.startswith("-") or (name and normalised(name.group()) in names):
            kept.append(said)
    return "\n".join(kept) + "\n"


def sbom(resource: str, key: str, image: str, packages: Mapping[str, str]) -> bytes:
    """A CycloneDX 1.5 document (https://cyclonedx.org/docs/1.5/json/) of what an image has installed."""
    components = [
        {"type": "library", "name": name, "version": version, "purl": f"pkg:pypi/{name}@{version}"}
        for name, version in sorted(packages.items())
    ]
    said = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": {
                "type": "container", "name": resource, "version": key,
                "properties": [{"name": "dev.daybreak.image", "value": image}],
            }
        },
        "components": components,
    }  # fmt: skip
    return (json.dumps(said, indent=2) + "\n").encode()


def clear(folder: Path) -> Path:
    """An empty folder, whatever was there."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
