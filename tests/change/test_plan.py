"""Plans: what a change touches, in order, and the same bytes each time."""

import itertools
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daybreak.catalog.loader import load
from daybreak.catalog.resource import Action
from daybreak.change.affected import affected
from daybreak.change.key import content_keys
from daybreak.change.plan import Plan, plan
from daybreak.errors import NoBaseError
from tests.change.test_key import NAMES, NEEDS, REACHED, make, resources
from tests.monorepo import HEADER, Monorepo


@pytest.fixture
def monorepo(tmp_path: Path) -> Monorepo:
    return make(tmp_path / "repo")


def nothing(_resource: str, _key: str) -> bool:
    return False


def everything(_resource: str, _key: str) -> bool:
    return True


def chosen(found: Plan) -> dict[str, list[str]]:
    return {step.name: [action.value for action in step.actions] for step in found.steps}


def test_without_a_base_everything_is_planned_and_built_only_if_missing(monorepo):
    all_new = plan(monorepo.repo, None, "HEAD", nothing)
    assert {step.name for step in all_new.steps} == set(NAMES)
    assert all(step.build_needed for step in all_new.steps)
    again = plan(monorepo.repo, None, "HEAD", everything)
    assert chosen(again) == chosen(all_new)
    assert not any(step.build_needed for step in again.steps)
    assert again.base is None


def test_a_change_selects_its_resource_and_the_dependents_with_reasons(monorepo):
    base = monorepo.git("rev-parse", "HEAD")
    monorepo.commit({"packages/geo/src/acme_geo/x.py": ""})
    found = plan(monorepo.repo, base, "HEAD", everything)
    assert chosen(found) == {"geo": ["build", "test"], "app": ["build", "test"]}
    assert found.step("geo").because == ("packages/geo/src/acme_geo/x.py",)
    assert found.step("app").because == ("depends on geo",)
    assert found.step("common") is None


def test_upstream_builds_that_do_not_exist_yet_are_added(monorepo):
    base = monorepo.git("rev-parse", "HEAD")
    monorepo.commit({"packages/app/src/acme_app/x.py": ""})
    found = plan(monorepo.repo, base, "HEAD", lambda name, key: name == "geo")
    assert chosen(found) == {"common": ["build"], "billing": ["build"], "app": ["build", "test"]}
    assert found.step("common").because == ("its artifact is needed and does not exist yet",)


def test_a_change_of_tests_alone_tests_that_resource_and_stops_there(monorepo):
    base = monorepo.git("rev-parse", "HEAD")
    monorepo.commit({"packages/common/tests/test_more.py": ""})
    assert chosen(plan(monorepo.repo, base, "HEAD", everything)) == {"common": ["test"]}


def test_the_change_is_what_the_branch_did_and_not_what_main_did_since(monorepo):
    monorepo.git("checkout", "-q", "-b", "feature")
    monorepo.commit({"packages/alone/x": "1"})
    monorepo.git("checkout", "-q", "main")
    monorepo.commit({"packages/common/x": "1"})
    assert set(chosen(plan(monorepo.repo, "main", "feature", everything))) == {"alone"}


def test_a_rename_across_packages_touches_both(monorepo):
    base = monorepo.git("rev-parse", "HEAD")
    monorepo.git("mv", "packages/alone/src/acme_alone/__init__.py", "packages/app/src/acme_app/moved.py")
    monorepo.commit()
    assert set(chosen(plan(monorepo.repo, base, "HEAD", everything))) == {"alone", "app"}


def test_dependents_at_the_base_of_a_removed_resource_are_selected(monorepo):
    base = monorepo.git("rev-parse", "HEAD")
    text = resources().replace("packages_dependency=[GEO, BILLING]", "packages_dependency=[BILLING]")
    monorepo.remove("packages/geo")
    monorepo.commit(
        {"resources.py": "".join(line for line in text.splitlines(True) if not line.startswith("GEO"))}
    )
    found = plan(monorepo.repo, base, "HEAD", everything)
    assert set(chosen(found)) == {"app"}
    assert "depends on geo" in found.step("app").because
    (gone,) = found.removed
    # A package was built and never deployed: nothing is to be destroyed.
    assert (gone.name, gone.destroy, gone.dependents, gone.still_named) == ("geo", False, ("app",), ())


def test_a_disabled_resource_has_no_step_but_carries_the_change_on(monorepo):
    monorepo.commit({"resources.py": resources().replace('name="geo",', 'name="geo", enabled=False,')})
    base = monorepo.git("rev-parse", "HEAD")
    monorepo.commit({"packages/geo/x": ""})
    assert set(chosen(plan(monorepo.repo, base, "HEAD", everything))) == {"app"}


def test_a_new_and_a_redeclared_resource_are_selected(monorepo):
    base = monorepo.git("rev-parse", "HEAD")
    text = resources().replace('name="alone",', 'name="alone", options={"x": 1},')
    monorepo.commit(
        {
            "resources.py": text
            + 'NEW = Resource(name="new", type=rt.COMMAND, dependent_paths=["README.md"])\n'
        }
    )
    found = plan(monorepo.repo, base, "HEAD", everything)
    assert set(chosen(found)) == {"alone", "new"}
    assert "new in the catalog" in found.step("new").because
    assert found.unowned == ()


def test_a_comment_in_the_catalog_selects_nothing(monorepo):
    base = monorepo.git("rev-parse", "HEAD")
    monorepo.commit({"resources.py": resources() + "# nothing\n"})
    assert plan(monorepo.repo, base, "HEAD", nothing).steps == ()


def test_a_changed_file_of_nobody_is_reported(monorepo):
    base = monorepo.git("rev-parse", "HEAD")
    monorepo.commit({"tools/x.sh": ""})
    assert plan(monorepo.repo, base, "HEAD", everything).unowned == ("tools/x.sh",)


def test_a_base_whose_catalog_cannot_be_read_selects_everything(monorepo):
    base = monorepo.commit({"resources.py": "nonsense ("})
    monorepo.commit({"resources.py": resources()})
    found = plan(monorepo.repo, base, "HEAD", everything)
    assert set(chosen(found)) == set(NAMES)
    assert all("catalog of the base" in step.because[0] for step in found.steps)
    # For want of a better answer, and that is said.
    assert "catalog of the base cannot be read: resources.py:1" in found.fallback


def test_no_base_is_never_an_empty_answer(monorepo):
    with pytest.raises(NoBaseError, match=r"'upstream' is not in this clone\. Name another --base"):
        plan(monorepo.repo, "upstream", "HEAD", everything)
    monorepo.git("checkout", "-q", "--orphan", "other")
    monorepo.commit({"other": ""})
    with pytest.raises(NoBaseError, match=r"share no history in this clone\. Name another --base;"):
        plan(monorepo.repo, "main", "HEAD", everything)


def test_a_plan_travels_as_json_and_is_the_same_bytes_twice(monorepo):
    base = monorepo.git("rev-parse", "HEAD")
    monorepo.commit({"packages/common/x": ""})
    first, second = (plan(monorepo.repo, base, "HEAD", nothing) for _ in range(2))
    assert first.dumps() == second.dumps()
    assert Plan.from_json(json.loads(first.dumps())) == first
    assert first.step("common").actions == (Action.BUILD, Action.TEST)


TOUCHED = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(touched=TOUCHED, built=st.sets(st.sampled_from(NAMES)), in_tests=st.booleans())
def test_every_plan_is_in_topological_order_and_misses_no_changed_key(
    tmp_path_factory, touched, built, in_tests
):
    monorepo = make(tmp_path_factory.mktemp("repo"))
    repo = monorepo.repo
    base = monorepo.git("rev-parse", "HEAD")
    before = content_keys(repo, load(repo, base))
    monorepo.commit({f"packages/{name}/{'tests' if in_tests else 'src'}/x": "x" for name in touched})
    head = load(repo, "HEAD")
    after = content_keys(repo, head)
    found = affected(repo, base, head)
    assert set(found.because) >= {name for name in NAMES if before[name] != after[name]}
    steps = plan(repo, base, "HEAD", lambda name, key: name in built).steps
    place = {step.name: at for at, step in enumerate(steps)}
    for name, other in itertools.product(place, repeat=2):
        if other in NEEDS[name]:
            assert place[other] < place[name]
    wanted = set(touched) if in_tests else set().union(*(REACHED[name] for name in touched))
    assert wanted <= set(place)
    for step in steps:
        needed = {name for name in NAMES if step.name in REACHED[name]} - {step.name}
        assert all(name in built or name in place for name in needed)


def test_planning_imports_nothing_heavy(tmp_path):
    monorepo = Monorepo(tmp_path / "repo")
    monorepo.commit({"resources.py": HEADER})
    script = (
        "import sys; from pathlib import Path; from daybreak.git.repository import Repository;"
        "from daybreak.change.plan import plan;"
        "plan(Repository(Path(sys.argv[1])), None, 'HEAD', lambda name, key: False);"
        "print(sorted({name.split('.')[0] for name in sys.modules}"
        " & {'airflow', 'boto3', 'botocore', 'sqlalchemy', 'pydantic', 'yaml', 'obstore'}))"
    )
    done = subprocess.run(
        (sys.executable, "-c", script, str(monorepo.path)), capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
