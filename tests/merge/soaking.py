"""``python -m tests.merge.soaking``: pull requests through the lane while all goes wrong."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from daybreak.registry import connect, migrate
from examples.standins.github.server import GithubStandin
from tests.merge.soak import Soak


def main() -> int:
    """Several repositories one after another, each with another seed; 1 when something was wrong."""
    parser = argparse.ArgumentParser(prog="make soak ENGINE=1", description=__doc__)
    parser.add_argument("--pulls", type=int, default=200, help="in all (200)")
    parser.add_argument("--each", type=int, default=20, help="of one repository (20)")
    parser.add_argument("--seed", type=int, default=1, help="of the first repository (1)")
    words = parser.parse_args()
    bad, began = 0, time.monotonic()
    for number, left in enumerate(range(words.pulls, 0, -words.each)):
        seed, count = words.seed + number, min(words.each, left)
        wrong = soaked(count, seed)
        bad += bool(wrong)
        print(f"{'WRONG' if wrong else 'ok':<6} {wrong or ''}", flush=True)
    print(f"{words.pulls} pull requests, {bad} rounds went wrong, {time.monotonic() - began:.0f} s")
    return 1 if bad else 0


def soaked(count: int, seed: int) -> list[str]:
    """What is wrong after so many pull requests."""
    with tempfile.TemporaryDirectory(prefix="dbs-") as name:
        folder = Path(name)
        registry = connect(f"sqlite:///{folder / 'registry.db'}")
        migrate(registry)
        with GithubStandin(folder / "github") as site, Soak(folder, registry, site, seed).running() as soak:
            soak.go(count)
            happened = ", ".join(f"{times} {what}" for what, times in sorted(soak.happened.items()))
            print(f"seed {seed}, {len(soak.pulls)} pull requests: {happened}", flush=True)
            return soak.wrong()


if __name__ == "__main__":
    sys.exit(main())
