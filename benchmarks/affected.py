"""`daybreak affected` in a monorepo of 1,000 packages, 20,000 files, 20 of them changed, beside its peers.

`snapshot`: both commits' catalogs are known. `new head`: the base's is, nothing of the head's was ever seen;
it edits twenty modules. `new modules`: the same, and twenty modules are new, each with an import that its
package has not had. `cold`: nothing was
ever seen; every manifest is read, every module parsed for its imports. `manifests`: nothing was ever seen of
as many Node packages, where only manifests say anything. `git diff` is what nobody can do without. A peer
runs if it is installed (:mod:`benchmarks.peers`), answers about the same repository, and is not asked about
imports, locks or removed packages. `answer` counts the affected packages, `wrong` those missing or too many.
Target: no wrong answer, and the processor seconds that `benchmark` names.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from benchmarks import peers
from benchmarks.harness import Benchmark, Result, Target
from benchmarks.monorepo_generator import Generated, Shape, generate

DAYBREAK = str(Path(sys.executable).parent / "daybreak")


class Monorepo:
    """The generated repository, and every tool's way to ask about it."""

    def __init__(self, work: Path, shape: Shape) -> None:
        # Peers look at the working tree.
        self.generated: Generated = generate(work / "monorepo", shape, checkout=shape.python)
        self.path = self.generated.path
        self.cache = work / "cache"
        subprocess.run(("git", "-C", self.path, "branch", "base", self.generated.base), check=True)
        if shape.python:
            peers.prepare(self.generated)

    def run(self, command: Sequence[str], names: Callable[[str], set[str]]) -> Mapping[str, float]:
        """One call: how many packages it named, how many of them wrongly or not at all, and its memory."""
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environment = {**kept, **peers.ENVIRONMENT, "DAYBREAK_HOME": str(self.cache)}
        with TemporaryFile("w+") as output:
            process = subprocess.Popen(
                command, cwd=self.path, env=environment, stdout=output, stderr=subprocess.DEVNULL
            )
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            output.seek(0)
            text = output.read()
        if process.returncode:
            raise SystemExit(f"affected: {' '.join(command)} ended with {process.returncode}: {text[:500]}")
        # `acme_p0007` is ours, `@acme/p0007` Node's.
        found = {name[-5:] for name in names(text)}
        return {
            "answer": len(found),
            "wrong": len(found ^ self.generated.affected),
            "MB": usage.ru_maxrss / 1024,
        }

    def diff(self) -> Mapping[str, float]:
        """The changed files alone."""
        command = ("git", "diff", "--raw", "-z", "--no-renames", "base", "HEAD")
        return {**self.run(command, lambda _text: set()), "answer": 0, "wrong": 0}

    def daybreak(self, head: str = "HEAD") -> Mapping[str, float]:
        """Ours."""
        command = (DAYBREAK, "affected", "--base", "base", "--head", head, "--json")
        return self.run(command, lambda text: {each["name"] for each in json.loads(text)["affected"]})

    def know(self, kept: Path | None) -> None:
        """Let Daybreak's cache be what was kept, or nothing."""
        shutil.rmtree(self.cache, ignore_errors=True)
        if kept:
            shutil.copytree(kept, self.cache)


def of_size(name: str, what: str, work: Path, packages: int, limits: Mapping[str, float]) -> Benchmark:
    """The benchmark for a monorepo of so many packages; ``limits`` are processor seconds by case."""
    monorepo = Monorepo(work, Shape(packages=packages))
    node = Monorepo(work / "node", Shape(packages=packages, python=False))
    base_alone, everything = work / "base-alone", work / "everything"
    monorepo.daybreak("base")
    shutil.copytree(monorepo.cache, base_alone)
    monorepo.daybreak()
    shutil.copytree(monorepo.cache, everything)
    cases: dict[str, Callable[[], Mapping[str, float]]] = {
        "git diff": monorepo.diff,
        "daybreak, snapshot": monorepo.daybreak,
        "daybreak, new head": monorepo.daybreak,
        "daybreak, new modules": partial(monorepo.daybreak, monorepo.generated.grown),
        "daybreak, cold": monorepo.daybreak,
        "daybreak, manifests": node.daybreak,
    }
    before = {
        "daybreak, snapshot": partial(monorepo.know, everything),
        "daybreak, new head": partial(monorepo.know, base_alone),
        "daybreak, new modules": partial(monorepo.know, base_alone),
        "daybreak, cold": partial(monorepo.know, None),
        "daybreak, manifests": partial(node.know, None),
    }
    absent = []
    for peer in peers.PEERS:
        if version := peer.version:
            cases[f"{peer.name} {version}"] = partial(monorepo.run, peer.command, peer.names)
        else:
            absent.append(peer.name)
    if absent:
        what += f" Not installed here: {', '.join(absent)}."
    ours = [case for case in cases if case.startswith("daybreak")]

    def wrong(result: Result) -> float:
        return max(result.count(case, "wrong") for case in ours)

    targets: list[Any] = [
        Target("packages that Daybreak misses or names too many", 0, wrong),
        Target("MB with a snapshot", 80, lambda result: result.count("daybreak, snapshot", "MB")),
    ]
    for case, limit in limits.items():
        targets.append(
            Target(f"{case}, processor seconds", limit, lambda result, case=case: result.cpu(case))
        )
    return Benchmark(name, what, cases, targets, rounds=3, before=before)


def benchmark(work: Path) -> Benchmark:
    """1,000 packages, 20,000 files."""
    limits = {
        "daybreak, snapshot": 0.15, "daybreak, new head": 0.5, "daybreak, new modules": 0.5,
        "daybreak, manifests": 0.3,
    }  # fmt: skip
    return of_size("affected", (__doc__ or "").strip(), work, 1_000, limits)
