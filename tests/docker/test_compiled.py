"""Byte code on a real engine: what is compiled, what is kept, and what a compilation that breaks leaves."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from daybreak.build.images.compiled import add_compiled
from daybreak.build.images.layers import Inside, clear, inside, under
from daybreak.build.process import CommandFailed, shell
from tests.docker.conftest import Yard

FINE, TEMPLATE = "def say():\n    return 1\n", "def {{ name }}():\n"


class Bench:
    """The library of a base that is being made, again and again."""

    def __init__(self, yard: Yard) -> None:
        self.yard = yard
        self.image = yard.client.images.get("python:3.13-slim").id
        self.python: Inside = inside(yard.client, self.image, yard.home)
        self.library = Path()

    def compile(self, modules: dict[str, str], timeout: float = 120) -> str:
        """What the log says."""
        yard = self.yard
        log = yard.home / "logs" / "compiled.log"
        with shell(yard.home, log, timeout=timeout, passed=()) as sh:
            root = clear(yard.home / "root")
            self.library = under(root, self.python.library)
            for name, text in modules.items():
                path = self.library / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            add_compiled(yard.client, yard.engine.url, self.image, self.python, root, yard.home, sh)
        return log.read_text()

    def made(self) -> list[str]:
        return sorted(path.relative_to(self.library).as_posix() for path in self.library.rglob("*.pyc"))

    def kept(self) -> list[Path]:
        return [path for path in (self.yard.home / "images/compiled").rglob("*") if path.is_file()]


def test_a_module_is_compiled_once_and_one_that_cannot_be_is_tried_once(yard: Yard) -> None:
    bench = Bench(yard)
    assert "Compiled 3 modules of 3" in bench.compile({"a.py": FINE, "deep/b.py": FINE, "t.py": TEMPLATE})
    assert bench.made() == ["__pycache__/a.cpython-313.pyc", "deep/__pycache__/b.cpython-313.pyc"]
    assert "Compiled 0 modules of 3" in bench.compile({"a.py": FINE, "deep/b.py": FINE, "t.py": TEMPLATE})
    assert bench.made() == ["__pycache__/a.cpython-313.pyc", "deep/__pycache__/b.cpython-313.pyc"]
    # By path and content: a traceback names the file.
    assert "Compiled 2 modules of 3" in bench.compile({"a.py": FINE, "c.py": FINE, "deep/b.py": FINE + "\n"})
    assert bench.made() == [f"{each}.cpython-313.pyc" for each in
                            ("__pycache__/a", "__pycache__/c", "deep/__pycache__/b")]  # fmt: skip
    assert yard.client.containers.list(all=True) == []


def test_what_nobody_used_for_long_is_taken_away(yard: Yard) -> None:
    bench = Bench(yard)
    bench.compile({"a.py": FINE, "b.py": FINE})
    long_ago = time.time() - 31 * 24 * 3600
    for path in bench.kept():
        os.utime(path, (long_ago, long_ago))
    bench.compile({"a.py": FINE})
    bench.compile({"c.py": FINE})
    assert len(bench.kept()) == 2  # of a and c


def test_a_compilation_that_is_over_its_time_keeps_nothing(yard: Yard) -> None:
    bench = Bench(yard)
    with pytest.raises(CommandFailed, match="could not be compiled") as failed:
        bench.compile({f"m{number}.py": FINE for number in range(200)}, timeout=0)
    assert failed.value.code == "timeout"
    assert bench.kept() == []
    assert "Compiled 1 modules of 1" in bench.compile({"m1.py": FINE})
