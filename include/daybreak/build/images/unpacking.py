"""Simple wheels, unpacked in this process: what uv needs half a second for, in a few milliseconds.

First-party wheels are nearly always simple: for any Python 3, one folder, no data files. What is not simple,
or does not say that it fits, is left to uv, which knows every platform and says what is wrong.
"""

from __future__ import annotations

import re
import stat
import zipfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from installer import install
from installer.destinations import SchemeDictionaryDestination
from installer.sources import WheelFile
from installer.utils import parse_metadata_file

_TAGGED = re.compile(r"-(?:[a-z0-9.]+\.)?py3(?:\.[a-z0-9.]+)?-none-any\.whl$")
_FROM = re.compile(r">= *3\.(\d+)(?:\.0)?")


def simple(wheels: Sequence[Path], python: str) -> bool:
    """Whether all of ``wheels`` can be unpacked for a Python of the version ``python`` (``3.13``)."""
    return all(_simple(wheel, python) for wheel in wheels)


def unpack(wheel: Path, root: Path, *, library: str, scripts: str, executable: str) -> None:
    """Install a simple wheel.

    :param root: the folder here that holds what will be at ``/`` there.
    :param library, scripts: absolute folders there.
    :param executable: of the Python that will run the scripts.
    """
    # Wheels of one namespace may share a file: as with uv, the last one counts.
    destination = SchemeDictionaryDestination(
        {"purelib": library, "platlib": library, "scripts": scripts}, executable, "posix",
        destdir=str(root), overwrite_existing=True,
    )  # fmt: skip
    with WheelFile.open(wheel) as source:
        install(source, destination, {"INSTALLER": b"daybreak\n"})


def _simple(wheel: Path, python: str) -> bool:
    if not _TAGGED.search(wheel.name):
        return False
    with zipfile.ZipFile(wheel) as archive:
        if not all(map(_plain, archive.infolist())):
            return False
        try:
            source = WheelFile(archive)
            if not {"METADATA", "RECORD", "WHEEL"} <= set(source.dist_info_filenames):
                return False
        except ValueError:  # of no distribution, or of several
            return False
        said = parse_metadata_file(source.read_dist_info("METADATA"))["Requires-Python"]
    least = _FROM.fullmatch(said or ">=3.0")
    return least is not None and int(least.group(1)) <= int(python.partition(".")[2])


def _plain(entry: zipfile.ZipInfo) -> bool:
    """Whether an entry is a file or folder of the library, and what may run is said in full."""
    path, mode = PurePosixPath(entry.filename), entry.external_attr >> 16
    if not path.parts or path.is_absolute() or ".." in path.parts or path.parts[0].endswith(".data"):
        return False
    return entry.is_dir() or stat.S_ISREG(mode) or not mode & 0o111
