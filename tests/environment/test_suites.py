"""Which e2e suites a change needs."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from daybreak.environment.suites import choose, declared
from tests.monorepo import Monorepo

TRIPS = frozenset({"trips"})


def test_a_suite_says_what_it_covers_in_its_folder_or_in_the_file(tmp_path: Path) -> None:
    monorepo = Monorepo(tmp_path / "repo")
    commit = monorepo.commit({
        "e2e/pyproject.toml": "[tool.pytest.ini_options]\n",
        "e2e/test_all.py": "",
        "e2e/conftest.py": "",
        "e2e/trips/pyproject.toml": '[tool.daybreak.e2e]\ncovers = ["trips"]\n',
        "e2e/trips/test_a.py": "",
        "e2e/trips/deep/test_b.py": "",
        "e2e/trips/test_own.py": 'from pytest import mark\npytestmark = [mark.slow, mark.covers("geo")]\n',
        "e2e/odd/pyproject.toml": "[tool.daybreak.e2e]\ncovers = 3\n",
        "e2e/odd/test_c.py": "covers = (",
        "e2e/other.txt": "covers",
        "e2e2/test_d.py": "",
    })  # fmt: skip
    assert declared(monorepo.repo, commit, "e2e") == {
        "test_all.py": None, "conftest.py": None, "trips/test_a.py": TRIPS, "trips/deep/test_b.py": TRIPS,
        "trips/test_own.py": frozenset({"geo"}), "odd/test_c.py": None,
    }  # fmt: skip
    assert declared(monorepo.repo, commit, "nowhere") == {}


def test_what_covers_something_affected_runs_and_what_does_not_say() -> None:
    after = {"test_all.py": None, "test_trips.py": TRIPS, "test_geo.py": frozenset({"geo"})}
    chosen = choose(after, after, {"trips", "common"}, {"trips"})
    assert chosen.without == {"test_geo.py"}
    assert chosen.why == "2 of 3 files of tests"


def test_what_is_deployed_and_covered_by_nobody_is_tested_by_all() -> None:
    after = {"test_all.py": None, "test_trips.py": TRIPS}
    chosen = choose(after, after, {"trips", "fleet"}, {"trips", "fleet"})
    assert (chosen.without, chosen.why) == (frozenset(), "all suites: none says that it covers fleet")


def test_whoever_brings_the_first_suite_that_covers_something_is_tested_by_all_of_main() -> None:
    """Main's rule is that all run; a pull request's own suite does not take it away."""
    main = {"test_all.py": None, "test_geo.py": frozenset({"geo"})}
    chosen = choose(main, {**main, "test_tame.py": TRIPS}, {"trips"}, {"trips"})
    assert (chosen.without, chosen.why) == (
        frozenset(), "all suites: none on main says that it covers trips",
    )  # fmt: skip


def test_who_changes_what_a_suite_covers_is_still_tested_by_it() -> None:
    tame = {"test_trips.py": frozenset({"geo"}), "test_more.py": TRIPS}
    assert choose({"test_trips.py": TRIPS}, tame, {"trips"}, {"trips"}).without == frozenset()
    assert choose({"test_trips.py": None}, tame, {"trips"}, {"trips"}).without == frozenset()
    assert choose(tame, tame, {"trips"}, {"trips"}).without == {"test_trips.py"}


_covers = st.none() | st.frozensets(st.sampled_from("abcd"), min_size=1)
_files = st.dictionaries(st.sampled_from([f"test_{n}.py" for n in range(5)]), _covers)


@given(_files, _files, st.frozensets(st.sampled_from("abcd")), st.data())
def test_nothing_that_covers_something_affected_is_ever_left_out(
    before: dict[str, frozenset[str] | None], after: dict[str, frozenset[str] | None],
    affected: frozenset[str], data: st.DataObject,
) -> None:  # fmt: skip
    deployed = data.draw(st.frozensets(st.sampled_from(sorted(affected)))) if affected else frozenset()
    chosen = choose(before, after, affected, deployed)
    for name in chosen.without:
        covers = after[name]
        assert covers is not None
        assert not covers & affected
    for said in (before, after) if chosen.without else ():
        assert deployed <= frozenset().union(*(covers or frozenset() for covers in said.values()))
