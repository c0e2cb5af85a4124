"""Which build groups a run does not skip, and what a run's conf may say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daybreak.environment.calendar import Phase
from daybreak.environment.night.prepare import Request
from daybreak.errors import UsageError
from daybreak.orchestration.builds import between


@st.composite
def graphs(draw: st.DrawFn) -> tuple[dict[str, tuple[str, ...]], set[str]]:
    names = [f"r{n}" for n in range(draw(st.integers(1, 9)))]
    needs = {
        name: tuple(draw(st.sets(st.sampled_from(names[:at])))) if at else () for at, name in enumerate(names)
    }
    return needs, draw(st.sets(st.sampled_from(names)))


def _reaches(needs: dict[str, tuple[str, ...]], start: str, goal: str) -> bool:
    return start == goal or any(_reaches(needs, each, goal) for each in needs[start])


@given(graphs())
def test_exactly_the_wanted_and_what_lies_between_two_of_them_runs(drawn) -> None:
    needs, wanted = drawn
    obvious = {
        name
        for name in needs
        if any(_reaches(needs, name, low) for low in wanted)
        and any(_reaches(needs, high, name) for high in wanted)
    }
    assert between(wanted, needs) == obvious


@pytest.mark.parametrize(
    ("conf", "said"),
    [
        ({"enviroments": ["dev-01"]}, "no such field: enviroments"),
        ({"environments": "dev-01"}, "environments: expected a list"),
        ({"phases": ["evening"]}, "phases: 'evening' is not a valid Phase"),
    ],
)
def test_a_wrong_conf_is_named_by_its_field(conf: dict, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Request.of(conf)


def test_an_empty_conf_is_the_scheduled_night() -> None:
    assert Request.of({}) == Request(None, frozenset(Phase), wait=True, dry_run=False)
