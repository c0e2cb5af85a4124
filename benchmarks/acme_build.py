"""Building and unit-testing all of ``examples/acme`` with ``daybreak build``.

Cold is an empty store (uv's own cache of downloads stays warm). After a landing, the store has yesterday's
main; one package, a template, a migration and seeds changed since. Warm, the store has the same commit.
`built` counts what was really built. Targets: a warm store builds nothing, and costs a tenth of cold at most.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from benchmarks.harness import Benchmark, Target
from examples.acme_history import create_repository

DAYBREAK = Path(sys.executable).parent / "daybreak"


class Acme:
    """The monorepo, and one home after another."""

    def __init__(self, work: Path) -> None:
        self.work = work
        self.home = work / "home"
        self.yesterday, self.today = create_repository(work / "acme")
        (work / "daybreak.yaml").write_text(
            f"monorepo: {{url: {work / 'acme'}}}\nhome: {self.home}\n"
            f"build: {{workers: {os.cpu_count() or 2}, pass_environment: [UV_CACHE_DIR]}}\n"
        )

    def build(self, commit: str) -> Mapping[str, float]:
        """Build a commit; how many resources were really built."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("DAYBREAK_")}
        done = subprocess.run(
            [str(DAYBREAK), "build", "--json", "--commit", commit],
            env={**kept, "DAYBREAK_CONFIG": str(self.work / "daybreak.yaml")},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(f"acme_build: daybreak build failed:\n{done.stderr[-3000:]}")
        outcomes = [each["outcome"] for each in json.loads(done.stdout)["resources"]]
        return {"built": outcomes.count("built"), "resources": len(outcomes)}

    def cold(self) -> Mapping[str, float]:
        """Yesterday's main into an empty store."""
        shutil.rmtree(self.home, ignore_errors=True)
        return self.build(self.yesterday)

    def landing(self) -> Mapping[str, float]:
        """Today's main, on the store of yesterday's."""
        return self.build(self.today)

    def warm(self) -> Mapping[str, float]:
        """Today's main again."""
        return self.build(self.today)


def benchmark(work: Path) -> Benchmark:
    """Cold, after a landing, warm; in this order, each round anew."""
    acme = Acme(work)
    return Benchmark(
        "acme_build",
        (__doc__ or "").strip(),
        {"cold": acme.cold, "after a landing": acme.landing, "warm": acme.warm},
        [
            Target("resources built on a warm store", 0, lambda result: result.count("warm", "built")),
            Target("warm, relative to cold", 0.1, lambda result: result.ratio("warm")),
        ],
        rounds=3,
    )
