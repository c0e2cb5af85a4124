"""Simple wheels, installed by unpacking them: what uv needs half a second for, in a few milliseconds.

First-party wheels are nearly always simple: pure Python, one folder, no data files. What is not simple, or
does not say that it fits, is left to uv, which knows it all and says what is wrong.
https://packaging.python.org/en/latest/specifications/binary-distribution-format/
"""

from __future__ import annotations

import base64
import configparser
import hashlib
import os
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

_TAGGED = re.compile(r"-(?:[a-z0-9.]+\.)?py3(?:\.[a-z0-9.]+)?-none-any\.whl$")
_FROM = re.compile(r"Requires-Python: *>= *3\.(\d+)(?:\.0)?$", re.MULTILINE)
_START = """#!{executable}
import sys
from {module} import {first}
if __name__ == "__main__":
    sys.argv[0] = sys.argv[0].removesuffix(".exe")
    sys.exit({whole}())
"""


def simple(wheels: Sequence[Path], python: str) -> bool:
    """Whether all of ``wheels`` can be unpacked for a Python of the version ``python`` (``3.13``)."""
    return all(_simple(wheel, python) for wheel in wheels)


def unpack(wheel: Path, library: Path, scripts: Path, *, executable: str, apart: str) -> None:
    """Install a simple wheel.

    :param library, scripts: folders here.
    :param executable: of the Python that will run the scripts.
    :param apart: the way from the library to the scripts where both will be, for the list of files.
    """
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            if entry.is_dir():
                continue
            target = library / entry.filename
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(archive.read(entry))
            target.chmod(0o755 if entry.external_attr >> 16 & 0o100 else 0o644)
        info = library / _info(archive)
    added = [(info / "INSTALLER", "daybreak\n"), *_scripts(info, scripts, executable)]
    with (info / "RECORD").open("a", encoding="utf-8") as record:
        for path, text in added:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            name = f"{info.name}/{path.name}" if path.parent == info else f"{apart}/{path.name}"
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            record.write(f"{name},sha256={digest},{len(text.encode())}\n")
    for script, _ in added[1:]:
        script.chmod(0o755)


def apart(library: str, scripts: str) -> str:
    """The way from a library to its scripts, as a wheel's list of files says it."""
    return PurePosixPath(os.path.relpath(scripts, library)).as_posix()


def _simple(wheel: Path, python: str) -> bool:
    if not _TAGGED.search(wheel.name):
        return False
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            parts = PurePosixPath(name).parts
            if not parts or ".." in parts or name.startswith("/") or parts[0].endswith(".data"):
                return False
        info = _info(archive)
        about = {Path(name).name for name in archive.namelist() if name.startswith(f"{info}/")}
        if not {"METADATA", "RECORD", "WHEEL"} <= about:
            return False
        said = archive.read(f"{info}/METADATA").decode("utf-8", "replace").partition("\n\n")[0]
    least = _FROM.search(said)
    if least is None:
        return "Requires-Python" not in said
    return int(least.group(1)) <= int(python.partition(".")[2])


def _info(archive: zipfile.ZipFile) -> str:
    """The name of the folder that says what the wheel is; empty when there is not exactly one."""
    found = {name.partition("/")[0] for name in archive.namelist()}
    folders = [name for name in found if name.endswith(".dist-info")]
    return folders[0] if len(folders) == 1 else ""


def _scripts(info: Path, scripts: Path, executable: str) -> list[tuple[Path, str]]:
    path = info / "entry_points.txt"
    if not path.is_file():
        return []
    # Names are told apart by case, and a colon divides module and function.
    said = configparser.RawConfigParser(delimiters=("=",))
    said.optionxform = str  # type: ignore[assignment,method-assign]
    said.read_string(path.read_text(encoding="utf-8"))
    found = []
    for group in ("console_scripts", "gui_scripts"):
        for name, value in said.items(group) if said.has_section(group) else ():
            module, _, whole = value.partition(":")
            first = whole.strip().partition(".")[0]
            text = _START.format(
                executable=executable, module=module.strip(), first=first, whole=whole.strip()
            )
            found.append((scripts / name, text))
    return found
