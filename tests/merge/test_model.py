"""The landing protocol, explored; and each of its rules switched off, to see that it is needed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.merge.model import Explorer, begun, passed
from tests.merge.model_world import Rules, Violation, World


def two(**budget: int) -> World:
    """Two attempts that want the lane at the same time."""
    return begun(attempts=2, **budget)


Begin = Callable[..., World]


@pytest.mark.parametrize(
    ("begin", "budget"),
    [
        (begun, {"crashes": 1, "unclear": 1, "failures": 1}),
        (begun, {"takeovers": 1, "broken": 1}),
        (begun, {"retries": 1}),
        (begun, {"cancels": 1, "crashes": 2}),
        (begun, {"heads": 1, "crashes": 1}),
        (passed, {"takeovers": 1, "unclear": 1}),
        (passed, {"retries": 1, "resets": 1}),
        (passed, {"unclear": 1, "resets": 1, "crashes": 1}),
        (passed, {"pushes": 1, "unclear": 1, "crashes": 1}),
        (begun, {"pushes": 1, "crashes": 1}),
        (begun, {"refusals": 7}),
        (passed, {"refusals": 4, "unclear": 1}),
        (two, {"crashes": 1}),
    ],
    ids=lambda value: value.__name__ if callable(value) else "-".join(value),
)
def test_whatever_happens_only_what_was_tested_lands_once_and_everything_ends(
    begin: Begin, budget: dict[str, int]
) -> None:
    explorer = Explorer()
    explorer.explore(begin(**budget))
    assert explorer.seen > 300  # it went somewhere


@pytest.mark.parametrize(
    ("rule", "begin", "budget", "what"),
    [
        ("main_is_compared", begun, {"pushes": 1, "resets": 1}, "and was made on"),
        ("lease_is_compared", passed, {"unclear": 1, "crashes": 1}, "carried out"),
        ("writes_need_the_token", begun, {"takeovers": 1}, "the environment runs"),
        ("rotation_is_carried_out", passed, {"unclear": 1}, "carried out: 1"),
        ("landing_is_written_first", passed, {"crashes": 1, "unclear": 1}, "carried out: 1"),
        ("chain_is_asked", passed, {"unclear": 1, "resets": 1}, "twice"),
        ("read_back", begun, {"broken": 1}, "without having passed|main is"),
        ("cancel_is_compared", passed, {"cancels": 1}, "after it was cancelled"),
        ("head_is_asked", begun, {"heads": 1}, "after its head moved"),
        ("settled", begun, {"crashes": 1}, "for ever|never given back"),
    ],
)
def test_without_any_one_of_its_rules_something_wrong_happens(
    rule: str, begin: Begin, budget: dict[str, int], what: str
) -> None:
    with pytest.raises(Violation, match=what):
        Explorer(Rules(**{rule: False})).explore(begin(**budget))


def test_a_lease_that_the_remote_does_not_take_is_met_and_told() -> None:
    explorer = Explorer()
    explorer.explore(begun(refusals=3))
    assert explorer.errors == {"lease_refused"}
