"""A soak can be had again: all of it follows from its seed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from daybreak.registry import connect, migrate
from tests.merge.many.chances import USUAL
from tests.merge.many.soak import Soak

ROOT = Path(__file__).resolve().parents[3]


def history(folder: Path) -> list[str]:
    """Of a small soak in which GitHub is away most often, in a registry of its own."""
    folder.mkdir()
    engine = connect(f"sqlite:///{folder / 'registry.db'}")
    migrate(engine)
    try:
        with Soak(folder, engine, 5, {**USUAL, "GitHub away": 0.9}).running() as soak:
            soak.go(14)
            return soak.history()
    finally:
        engine.dispose()


def test_the_same_seed_gives_the_same_history(tmp_path: Path) -> None:
    found = []
    # In processes of their own: what is random there, and the order of sets, is not the same.
    for salt in ("1", "2"):
        words = [sys.executable, "-m", "tests.merge.many.test_seed", str(tmp_path / salt)]
        path = os.pathsep.join((str(ROOT / "include"), str(ROOT)))
        environ = {**os.environ, "PYTHONHASHSEED": salt, "PYTHONPATH": path}
        done = subprocess.run(words, env=environ, capture_output=True, text=True, cwd=ROOT, check=False)
        assert done.returncode == 0, done.stderr
        found.append(done.stdout.splitlines())
    assert found[0] == found[1]
    assert len(found[0]) > 50


if __name__ == "__main__":
    for each in history(Path(sys.argv[1])):
        print(repr(each))
