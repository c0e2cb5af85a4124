"""Two hundred pull requests while all goes wrong at once; and what happens without any one of the rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from sqlalchemy import Engine

from daybreak.merge.remote import LEASE_REF
from tests.merge.many.chances import USUAL
from tests.merge.many.people import OFTEN, Kind
from tests.merge.many.place import Place
from tests.merge.many.site import Site
from tests.merge.many.soak import Soak

#: Beside what goes wrong by chance, what is to have happened, or the soak says nothing.
HAPPENED = (
    "woke", "retried", "late push carried out", "late push refused", "lost_op",
    "cancelled", "held", "emergency", "poisoned",
)  # fmt: skip


def test_200_pull_requests_end_as_they_must_and_only_what_was_tested_lands(
    tmp_path: Path, sqlite_registry: Engine
) -> None:
    with Soak(tmp_path, sqlite_registry, seed=1).running() as soak:
        soak.go(200)
        assert soak.wrong() == []
    assert [each for each in (*USUAL, *HAPPENED) if not soak.happened[each]] == []


def main_is_compared(soak: Soak) -> Any:
    """A push is carried out whatever main is by then."""
    possible = Site._possible
    return patch.object(Site, "_possible", lambda site, lease, main: possible(site, lease, None))


def lease_is_compared(soak: Soak) -> Any:
    """A push is carried out whatever the lease is by then."""
    possible = Site._possible

    def only_main(site: Site, lease: Any, main: Any) -> bool:
        return possible(site, (site.refs_.get(LEASE_REF), lease[1]), main)

    return patch.object(Site, "_possible", only_main)


def chain_is_asked(soak: Soak) -> Any:
    """Nobody finds out whether a landing was carried out."""
    return patch.object(Site, "in_chain", lambda *_: False)


def what_runs_is_read_back(soak: Soak) -> Any:
    """What was deployed is believed."""
    return patch.object(Place, "runs", lambda *_: True)


def head_is_asked(soak: Soak) -> Any:
    """What was approved once is believed to be so still."""
    return patch.object(soak.merge.lane, "approved", lambda _: None)


def somebody_takes_over(soak: Soak) -> Any:
    """What died is left as it is."""
    return patch.object(soak, "_care", lambda: None)


QUIET: Mapping[str, float] = dict.fromkeys(USUAL, 0.0)
PULLS = 12
#: By rule: the trouble for which it is there.
RULES: Mapping[Callable[[Soak], Any], tuple[Mapping[str, float], Mapping[Kind, int]]] = {
    main_is_compared: ({"pushed to main": 0.02}, {}),
    lease_is_compared: ({"push late": 0.4, "push refused": 0.4}, {}),
    chain_is_asked: ({"answer lost": 0.3}, {}),
    what_runs_is_read_back: ({"half deployed": 0.4}, {}),
    head_is_asked: ({"webhook lost": 1.0}, {Kind.MOVED: 60}),
    somebody_takes_over: ({"killed": 0.01, "forgotten": 1.0}, {}),
}
each_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)


def troubled(folder: Path, registry: Engine, rule: Callable[[Soak], Any]) -> Soak:
    """With the one kind of trouble, and no other."""
    chances, often = RULES[rule]
    return Soak(folder, registry, 3, {**QUIET, **chances}, {**OFTEN, **often})


def right(soak: Soak) -> None:
    """All goes as it must.

    :raises AssertionError: naming the first thing that does not.
    """
    soak.go(PULLS)
    assert soak.wrong() == []


@each_rule
def test_without_any_one_of_the_rules_something_wrong_happens(
    tmp_path: Path, sqlite_registry: Engine, rule: Callable[[Soak], Any]
) -> None:
    soak = troubled(tmp_path, sqlite_registry, rule)
    with soak.running(), rule(soak), pytest.raises(AssertionError):
        right(soak)


@pytest.mark.deep
@each_rule
def test_with_all_rules_that_trouble_does_no_harm(
    tmp_path: Path, sqlite_registry: Engine, rule: Callable[[Soak], Any]
) -> None:
    soak = troubled(tmp_path, sqlite_registry, rule)
    with soak.running():
        right(soak)
