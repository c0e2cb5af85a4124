"""``python -m benchmarks [NAME …] [--rounds N]``; `make bench` calls it.

Prints Markdown on standard output and writes ``.bench/<name>.json``. Exit code 1 when a target is missed.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.harness import as_json, as_markdown

#: A module of this package each, with a function ``benchmark(work)``; ``work`` is a folder of its own.
NAMES = ("cli_start", "dag_import", "acme_build", "affected", "affected_large", "merge_queue", "images")
RESULTS = Path(__file__).resolve().parent.parent / ".bench"


def main(argv: Sequence[str] | None = None, results: Path = RESULTS) -> int:
    """Run the named benchmarks, by default all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(NAMES)} (default: all)")
    parser.add_argument("--rounds", type=int, help="instead of each benchmark's own number")
    words = parser.parse_args(argv)
    if unknown := sorted(set(words.names) - set(NAMES)):
        parser.error(f"no benchmark is called {', '.join(unknown)}; there are: {', '.join(NAMES)}")
    results.mkdir(exist_ok=True)
    missed = 0
    for name in words.names or NAMES:
        with TemporaryDirectory(prefix="daybreak-bench-") as work:
            chosen = importlib.import_module(f"benchmarks.{name}").benchmark(Path(work))
            result = chosen.run(lambda line: print(line, file=sys.stderr, flush=True), words.rounds)
        data = as_json(chosen, result)
        (results / f"{name}.json").write_text(json.dumps(data, indent=1) + "\n")
        print(as_markdown(chosen, result) + "\n", flush=True)
        missed += sum(not target["holds"] for target in data["targets"])
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
