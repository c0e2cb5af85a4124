"""Wheels that are unpacked here, beside what uv makes of the same ones."""

from __future__ import annotations

import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from daybreak.build.images.unpacking import simple, unpack
from daybreak.build.process import uv

METADATA = "Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{more}\nwords\n"
WHEEL = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def wheel(
    folder: Path, name: str, files: Mapping[str, str], *, more: str = "", tags: str = "py3-none-any",
    kind: int = stat.S_IFREG,
) -> Path:  # fmt: skip
    path, info = folder / f"{name}-1.0-{tags}.whl", f"{name}-1.0.dist-info"
    said = {f"{info}/METADATA": METADATA.format(name=name, more=more), f"{info}/WHEEL": WHEEL, **files}
    with zipfile.ZipFile(path, "w") as archive:
        for each, text in said.items():
            entry = zipfile.ZipInfo(each, (1980, 1, 1, 0, 0, 0))
            entry.external_attr = (kind | (0o755 if each.endswith(".sh") else 0o644)) << 16
            archive.writestr(entry, text)
        archive.writestr(f"{info}/RECORD", "".join(f"{each},,\n" for each in [*said, f"{info}/RECORD"]))
    return path


def tree(folder: Path, apart_from: frozenset[str] = frozenset()) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in apart_from and "__pycache__" not in path.parts
    }


def test_what_is_unpacked_is_what_uv_installs(tmp_path: Path) -> None:
    console = "[console_scripts]\nsay = hello.words:Speaker.say\nShout=hello:main\n"
    entry = f"{console}\n[gui_scripts]\nshow=hello:main\n"
    made = [
        wheel(tmp_path, "hello", {
            "hello/__init__.py": "def main(): print('loud')\n", "hello/deep/x.json": "{}", "hello/run.sh": "",
            "hello/words.py": "class Speaker:\n    @staticmethod\n    def say(): print('quiet')\n",
            "hello-1.0.dist-info/entry_points.txt": entry,
        }, more="Requires-Python: >=3.9\n"),
        wheel(tmp_path, "plain", {"plain.py": "X = 1\n"}, tags="py2.py3-none-any"),
    ]  # fmt: skip
    venv = tmp_path / "venv"
    subprocess.run([uv(), "venv", "-q", "--no-project", "--python", sys.executable, str(venv)], check=True)
    [library] = (venv / "lib").glob("python*/site-packages")
    before = tree(library)
    scripts, executable = venv / "bin", str(venv / "bin" / "python")
    there = {path.name for path in scripts.iterdir()}
    pip = [uv(), "pip", "install", "-q", "--no-index", "--no-deps", "--python", executable]
    subprocess.run([*pip, *map(str, made)], check=True)

    assert simple(made, "3.11")
    root = tmp_path / "root"
    for each in made:
        unpack(each, root, library=str(library), scripts=str(scripts), executable=executable)
    ours, bin_ = root / library.relative_to("/"), root / scripts.relative_to("/")

    # RECORD, INSTALLER and uv's own notes differ; everything else is the same, byte by byte.
    noted = frozenset({"RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json"})
    theirs = {name: data for name, data in tree(library, noted).items() if name not in before}
    assert tree(ours, noted) == theirs
    assert (ours / "hello/run.sh").stat().st_mode & 0o777 == 0o755
    assert {path.name for path in bin_.iterdir()} == {path.name for path in scripts.iterdir()} - there

    # As Python sees it: the scripts run, and what is listed is there.
    shutil.rmtree(library / "hello")
    shutil.rmtree(library / "hello-1.0.dist-info")
    shutil.copytree(ours, library, dirs_exist_ok=True)
    shutil.copytree(bin_, scripts, dirs_exist_ok=True)
    said = [subprocess.run([str(scripts / name)], capture_output=True, text=True, check=True).stdout
            for name in ("say", "Shout", "show")]  # fmt: skip
    assert said == ["quiet\n", "loud\n", "loud\n"]
    ask = (
        "import importlib.metadata as m; d = m.distribution('hello')\n"
        "gone = [str(f) for f in d.files if not f.locate().is_file()]\n"
        "print(d.version, gone, sum('bin/' in str(f) for f in d.files), d.read_text('INSTALLER').strip())"
    )
    told = subprocess.run([executable, "-c", ask], capture_output=True, text=True, check=True).stdout
    assert told == "1.0 [] 3 daybreak\n"


@pytest.mark.parametrize(
    ("files", "more", "tags"),
    [
        ({}, "", "cp313-cp313-manylinux_2_17_x86_64"),
        ({}, "", "py2-none-any"),
        ({}, "Requires-Python: >=3.12\n", "py3-none-any"),
        ({}, "Requires-Python: <4,>=3.9\n", "py3-none-any"),
        ({"odd-1.0.data/scripts/x": "#!python\n"}, "", "py3-none-any"),
        ({"../outside.py": ""}, "", "py3-none-any"),
        ({"/outside.py": ""}, "", "py3-none-any"),
        ({"other-2.0.dist-info/METADATA": ""}, "", "py3-none-any"),
    ],
)
def test_what_is_not_simple_is_left_to_uv(
    tmp_path: Path, files: dict[str, str], more: str, tags: str
) -> None:
    assert not simple([wheel(tmp_path, "odd", files, more=more, tags=tags)], "3.11")
    assert simple([wheel(tmp_path, "even", {"even.py": ""})], "3.11")


@pytest.mark.parametrize("kind", [0, stat.S_IFLNK])
def test_what_may_run_and_is_no_plain_file_is_left_to_uv(tmp_path: Path, kind: int) -> None:
    """uv makes a file of no kind one that runs; pip and PyPA's installer do not."""
    assert not simple([wheel(tmp_path, "odd", {"odd/run.sh": ""}, kind=kind)], "3.11")
    assert simple([wheel(tmp_path, "even", {"even/run.sh": ""})], "3.11")


def test_of_a_file_that_two_wheels_have_the_last_one_counts(tmp_path: Path) -> None:
    for name in ("first", "second"):
        made = wheel(tmp_path, name, {"shared/__init__.py": f"FROM = {name!r}\n", f"shared/{name}.py": ""})
        unpack(made, tmp_path / "root", library="/lib", scripts="/bin", executable="/bin/python")
    shared = tmp_path / "root/lib/shared"
    assert sorted(path.name for path in shared.iterdir()) == ["__init__.py", "first.py", "second.py"]
    assert (shared / "__init__.py").read_text() == "FROM = 'second'\n"
