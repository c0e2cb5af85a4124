"""``make model``: the landing protocol with larger budgets than `make test` has time for."""

from __future__ import annotations

import sys
import time

from tests.merge.model import Explorer, begun, passed

BUDGETS = (
    (begun, {"crashes": 2, "unclear": 1, "pushes": 1}),
    (begun, {"takeovers": 1, "unclear": 1}),
    (begun, {"crashes": 1, "cancels": 1, "failures": 1, "broken": 1}),
    (begun, {"takeovers": 1, "heads": 1, "unclear": 1}),
    (passed, {"takeovers": 1, "unclear": 1, "resets": 1}),
    (passed, {"retries": 1, "unclear": 1}),
    (passed, {"takeovers": 1, "cancels": 1, "pushes": 1}),
)


def main() -> int:
    """Explore them one after another; a violation ends it with its traceback."""
    for begin, budget in BUDGETS:
        explorer, began = Explorer(limit=5_000_000), time.monotonic()
        explorer.explore(begin(**budget))
        words = ", ".join(f"{count} {name}" for name, count in budget.items())
        seconds = time.monotonic() - began
        print(f"{begin.__name__:<7} {words:<44} {explorer.seen:>9,} states, {seconds:5.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
