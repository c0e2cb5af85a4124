"""The same as `affected` with 5,000 packages and 100,000 files; targets as there, for this size."""

from __future__ import annotations

from pathlib import Path

from benchmarks.affected import of_size
from benchmarks.harness import Benchmark


def benchmark(work: Path) -> Benchmark:
    """5,000 packages, 100,000 files."""
    limits = {"daybreak, snapshot": 0.3, "daybreak, new head": 1.0, "daybreak, new modules": 1.0}
    return of_size("affected_large", (__doc__ or "").strip(), work, 5_000, limits)
