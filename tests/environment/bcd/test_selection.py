"""Which resources a BCD is about, and what they are called."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daybreak.catalog.graph import Catalog, CatalogResource, sort_actions
from daybreak.catalog.resource import DEFAULT_ACTIONS, Action, ResourceType
from daybreak.change.plan import Plan, PlannedResource
from daybreak.environment.bcd.request import Request
from daybreak.environment.bcd.revision import resolve
from daybreak.environment.bcd.selection import Selection, select
from daybreak.errors import UsageError
from tests.monorepo import Monorepo

rt = ResourceType
HERE = ("stack", "db", "fleet", "trips")


def _catalog() -> Catalog:
    def make(name: str, type_: rt, *depends_on: str, packages: tuple[str, ...] = ()) -> CatalogResource:
        return CatalogResource(name, type_, packages, depends_on, actions=DEFAULT_ACTIONS[type_])

    every = (
        make("stack", rt.INFRA), make("db", rt.DATABASE), make("common", rt.PACKAGE),
        make("tools", rt.PACKAGE), make("fleet", rt.SERVICE, "db", packages=("common",)),
        make("trips", rt.SERVICE, "fleet", "stack"),
        CatalogResource("off", rt.SERVICE, enabled=False),
    )  # fmt: skip
    return Catalog("c" * 40, {each.name: each for each in every})


CATALOG = _catalog()


def full(*unbuilt: str) -> Plan:
    steps = tuple(
        PlannedResource(
            name, CATALOG[name].type, f"{name}-2", tuple(sort_actions(CATALOG[name].actions)),
            CATALOG[name].dependencies, name in unbuilt, ("everything is selected",),
        )
        for name in CATALOG.order() if CATALOG[name].actions
    )  # fmt: skip
    return Plan("c" * 40, None, "digest", steps)


def choose(request: Request, **running: str) -> Selection:
    return select(full(), CATALOG, running, request)


NOW = {name: f"{name}-2" for name in HERE}


def steps(selection: Selection) -> dict[str, tuple[str, ...]]:
    return {step.name: step.actions for step in selection.plan.steps}


def test_by_default_it_is_what_runs_otherwise_or_not_at_all_with_its_packages() -> None:
    chosen = choose(Request("dev-01"), **{**NOW, "fleet": "fleet-1"})
    assert steps(chosen) == {
        "common": ("build", "test"),
        "fleet": ("build", "test", "create", "deploy"),
    }
    assert chosen.plan.step("fleet").because == ("fleet-1 runs there",)
    assert set(chosen.same) == {"stack", "db", "trips"}
    assert choose(Request("dev-01"), **NOW).plan.steps == ()
    assert choose(Request("dev-01")).to_deploy == ("stack", "db", "fleet", "trips")


def test_named_resources_are_all_it_is_about() -> None:
    chosen = choose(Request("dev-01", resources=("trips",)), **{**NOW, "trips": "1", "fleet": "1"})
    assert set(steps(chosen)) == {"trips"}
    assert choose(Request("dev-01", resources=("trips",)), **NOW).same == ("trips",)
    forced = choose(Request("dev-01", resources=("trips",), force=True), **NOW)
    assert forced.plan.step("trips").because == ("runs, and is forced",)
    assert choose(Request("dev-01", resources=("tools",)), **NOW).to_deploy == ()


def test_everything_builds_also_what_is_not_deployed() -> None:
    assert set(steps(choose(Request("dev-01", everything=True), **NOW))) == {"common", "tools"}


def test_a_name_that_is_wrong_or_cannot_be_deployed_alone_is_refused_with_what_to_do() -> None:
    with pytest.raises(UsageError, match="no resource is called 'flet'; did you mean fleet"):
        choose(Request("dev-01", resources=("flet",)), **NOW)
    with pytest.raises(UsageError, match="off is disabled at cccccccccccc"):
        choose(Request("dev-01", resources=("off",)), **NOW)
    with pytest.raises(UsageError, match="trips needs fleet, which does not run in dev-01; name it too"):
        choose(Request("dev-01", resources=("trips",)), stack="stack-2")
    with pytest.raises(UsageError, match="fleet: not built yet; leave `build` in the actions"):
        select(full("fleet"), CATALOG, {}, Request("dev-01", actions=(Action.DEPLOY,)))


def test_what_the_revision_lost_is_gone_only_for_the_whole_environment() -> None:
    running = {**NOW, "legacy": "1", "off": "1"}
    assert choose(Request("dev-01"), **running).gone == ("legacy", "off")
    assert choose(Request("dev-01", resources=("trips",)), **running).gone == ()


@given(
    st.dictionaries(st.sampled_from(HERE), st.sampled_from(["1", "2"])),
    st.sets(st.sampled_from(list(Action)[:4]), min_size=1),
)
def test_exactly_what_differs_is_touched_with_no_other_than_the_requested_actions(
    runs: dict[str, str], actions: set[Action]
) -> None:
    running = {name: f"{name}-{version}" for name, version in runs.items()}
    request = Request("dev-01", actions=tuple(sort_actions(actions)))
    chosen = choose(request, **running)
    differ = {name for name in HERE if running.get(name) != f"{name}-2"}
    touched = {Action.CREATE, Action.DEPLOY} & actions
    assert set(chosen.to_deploy) == {name for name in differ if CATALOG[name].actions & touched}
    assert {action for step in chosen.plan.steps for action in step.actions} <= actions
    assert set(chosen.same) == set(HERE) - differ


def test_a_revision_is_a_branch_a_pull_request_a_tag_or_a_commit(tmp_path: Path) -> None:
    monorepo = Monorepo(tmp_path / "acme")
    first = monorepo.commit({"a": "1"})
    monorepo.git("tag", "v1")
    second = monorepo.commit({"a": "2"})
    monorepo.git("branch", "dana/faster")
    monorepo.git("update-ref", "refs/pull/12/head", first)
    repo = monorepo.repo
    for said, commit in {
        "main": second, "dana/faster": second, "v1": first, "#12": first, "pr/12": first, "pull/12": first,
        first[:10]: first, second: second,
    }.items():  # fmt: skip
        assert resolve(repo, said) == commit
    with pytest.raises(UsageError, match=r"'dana/fster' is no revision.*did you mean dana/faster"):
        resolve(repo, "dana/fster")
    with pytest.raises(UsageError, match="no pull request #13"):
        resolve(repo, "#13")
    for wrong in ("main~1", "--all", "refs/heads/main:a", "HEAD"):
        with pytest.raises(UsageError, match="is no revision"):
            resolve(repo, wrong)
