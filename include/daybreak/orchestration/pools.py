"""The pools that the DAGs' tasks name: one table for the demo, the team's stack and the tests.

A pool is a door, never a lock: what must not overlap is kept apart by the registry. A deferred task holds no
slot, so a night that waits for its morning is in nobody's way.

``python -m daybreak.orchestration.pools [--beside FILE]`` prints the table as ``airflow pools import`` reads
it. With ``--beside`` the pools of an ``airflow pools export`` are left out: what an admin resized stays so.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Pool:
    """``slots`` tasks at a time pass the door ``name``."""

    name: str
    slots: int
    description: str


AWS = Pool("aws", 4, "calls to AWS")
BUILDS = Pool("builds", 2, "builds and unit tests")
E2E = Pool("e2e", 2, "e2e suites")
#: Never more than one slot: who enters the lane does so alone. The lane itself is kept by the registry.
MERGE_LANE = Pool("merge_lane", 1, "who enters the lane to main")

POOLS = (AWS, BUILDS, E2E, MERGE_LANE)


def importable(beside: Collection[str] = ()) -> Mapping[str, Mapping[str, Any]]:
    """What ``airflow pools import`` reads, without the pools named in ``beside``."""
    return {
        pool.name: {"slots": pool.slots, "description": pool.description, "include_deferred": False}
        for pool in POOLS
        if pool.name not in beside
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table as JSON."""
    parser = argparse.ArgumentParser(prog="python -m daybreak.orchestration.pools")
    parser.add_argument("--beside", type=Path, metavar="FILE", help="an `airflow pools export`")
    words = parser.parse_args(argv)
    present = json.loads(words.beside.read_text(encoding="utf-8")) if words.beside else {}
    print(json.dumps(importable(present), indent=1))


if __name__ == "__main__":
    main()
