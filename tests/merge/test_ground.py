"""The lane on a real environment: real git, builds, deploys, e2e suites; the cloud is the emulator's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from daybreak.aws import retry
from daybreak.aws.tokens import Tokens
from daybreak.environment.stacks.formation import Formation
from daybreak.errors import CatalogError
from daybreak.git.merging import MergeConflict, tree_of
from daybreak.merge import protocol as p
from daybreak.merge.batch import Batch
from daybreak.merge.rules import AttemptState as A
from daybreak.merge.rules import EntryState as E
from daybreak.merge.run import Merge
from examples.standins.aws.emulator import AwsEmulator
from tests.fixtures.registry import ManualClock
from tests.merge.ground import Grounded
from tests.merge.small import QUEUE, RESOURCES, TEMPLATE
from tests.monorepo import package

COMMON = """
COMMON = Resource(name="common", type=rt.PACKAGE, dependent_paths=["packages/common"])
"""


@pytest.fixture
def grounded(
    tmp_path: Path, sqlite_registry: Engine, clock: ManualClock, aws: AwsEmulator, aws_account: str
) -> Grounded:
    return Grounded(tmp_path, sqlite_registry, clock, aws.endpoint_url, aws_account)


def test_a_day_of_the_lane(grounded: Grounded) -> None:
    """Everything that becomes of an entry, one after another on one environment."""
    world, queue = grounded, grounded.queue

    # The first one finds an environment that runs nothing: all of it is brought there; what it did not
    # change is not tested by its own suite.
    good = world.change(1, left="better")
    state, found = world.tried("pr-1-1")
    assert (state, found.verdict, found.failures) == (A.CONFIRMED, "passed", ()), found
    assert (set(found.deployed), set(found.affected), found.tests) == ({"left", "right"}, {"left"}, 2)
    assert world.ran() == {"left", "together"}
    assert queue.get(good.id).state is E.LANDED
    assert tree_of(world.repository, world.main) == tree_of(world.repository, found.commit)
    world.idle()

    # A page alone is neither deployed nor tested.
    before = world.installation.deployments.current("merge-01")
    page = world.propose(2, {"docs/page.md": "A better page.\n"})
    state, found = world.tried("pr-2-1")
    assert (state, found.verdict, found.affected, found.tests) == (A.CONFIRMED, "passed", {}, 0)
    assert set(found.skipped) == {"left", "right"}
    assert found.skipped["right"] == (before["right"].key, "pr-1-1")
    assert world.ran() == set()
    assert world.installation.deployments.current("merge-01") == before
    assert queue.get(page.id).state is E.LANDED
    world.idle()

    # What breaks a suite is rejected with the name of the test, and main's is back.
    bad = world.change(3, right="bad")
    landed = world.main
    state, found = world.tried("pr-3-1")
    assert (state, world.main, world.said("right")) == (A.REVERTED, landed, "old")
    rejected = queue.get(bad.id)
    assert (rejected.state, rejected.reason_code) == (E.REJECTED, "tests_failed")
    assert "test_right::test_right_is_good: AssertionError: right says bad" in str(rejected.reason)
    assert [name for name, _ in found.failures] == ["right.test_right::test_right_is_good"]
    assert world.ran() == {"right", "together"}
    world.idle()

    # So is what does not deploy.
    dead = world.change(4, left="undeployable")
    assert world.go(world.begin("pr-4-1")) is A.REVERTED
    rejected = queue.get(dead.id)
    assert (rejected.state, rejected.reason_code) == (E.REJECTED, "does_not_deploy")
    assert "left: its `deploy` command ended with exit code 1" in str(rejected.reason)
    assert world.said("left") == "better"
    world.idle()

    # Two that break only together: the batch fails, the first half lands, and the second is found out.
    one, two = world.change(5, left="new"), world.change(6, right="new")
    # (So many singles failed that no batch would be made; this one is.)
    state, found = world.tried("pr-5-1", Batch((one, two)))
    assert (state, set(found.affected)) == (A.REVERTED, {"left", "right"})
    assert [name for name, _ in found.failures] == ["test_together::test_both_are_not_new_at_once"]
    assert {queue.get(each.id).state for each in (one, two)} == {E.QUEUED}
    assert world.tried("pr-5-2")[0] is A.CONFIRMED
    assert world.tried("pr-6-2")[0] is A.REVERTED
    assert (queue.get(one.id).state, queue.get(two.id).state) == (E.LANDED, E.REJECTED)
    assert (world.said("left"), world.said("right")) == ("new", "old")
    world.idle()

    # A test that fails once and then passes is no verdict, but it is written down.
    world.change(7, left="flaky")
    state, found = world.tried("pr-7-1")
    assert (state, found.flaky) == (A.CONFIRMED, ("left.test_left::test_left_is_good",))

    # Somebody changed by hand what runs there: the next one finds out, and it is as main wants it again.
    (world.state / "right").write_text(json.dumps({"key": "x", "value": "by hand"}))
    world.propose(8, {"docs/page.md": "Another page.\n"})
    assert world.go(world.begin("pr-8-1")) is A.CONFIRMED
    assert world.said("right") == "old"

    # What a change takes away is gone; when it is rejected, it is back.
    gone = RESOURCES[: RESOURCES.index("RIGHT")]
    world.propose(9, {"resources.py": gone, "left/value.txt": "bad\n"})
    state, found = world.tried("pr-9-1")
    assert state is A.REVERTED, found
    assert world.said("right") == "old"
    world.idle()


@pytest.mark.deep
def test_a_stack_goes_with_the_change_that_takes_it_away(grounded: Grounded) -> None:
    """Made, kept when that change is rejected, gone when it lands."""
    world, queue = grounded, grounded.queue
    world.propose(10, {"resources.py": QUEUE, "infra/template.yaml": TEMPLATE})
    assert world.go(world.begin("pr-10-1")) is A.CONFIRMED, queue.attempt("pr-10-1").reason
    assert world.stacks() == ["merge-01-ephemeral"]
    world.propose(11, {"resources.py": RESOURCES, "left/value.txt": "bad\n"}, gone=["infra"])
    assert world.go(world.begin("pr-11-1")) is A.REVERTED
    assert world.stacks() == ["merge-01-ephemeral"]
    world.idle()
    world.propose(12, {"resources.py": RESOURCES}, gone=["infra"])
    assert world.go(world.begin("pr-12-1")) is A.CONFIRMED, queue.attempt("pr-12-1").reason
    assert world.stacks() == []
    world.idle()


def test_what_cannot_be_read_or_merged_is_refused_before_the_lane_and_nothing_is_half_done(
    grounded: Grounded,
) -> None:
    """A broken catalog, and a conflict with what landed meanwhile: the entry's reason names the file."""
    world, merge = grounded, Merge(grounded.installation)
    world.propose(1, {"resources.py": f"{RESOURCES}\nLEFT = Resource(\n"})
    late = world.change(2, left="mine")
    world.work.git("checkout", "--quiet", "main")
    world.work.commit({"left/value.txt": "theirs\n"})
    world.work.git("push", "--quiet", world.url, "main")
    for number, error, said in ((1, CatalogError, "resources.py"), (2, MergeConflict, "left/value.txt")):
        [entry] = [each for each in world.queue.open() if each.pr == number]
        with pytest.raises(error, match=said) as caught:
            merge.pin(f"pr-{number}-1", number, entry.sha)
        refused = merge.refuse(entry, caught.value.code, str(caught.value), "gandalf")
        assert (refused.state, said in str(refused.reason)) == (E.REJECTED, True)
    assert late.state is E.QUEUED
    assert world.installation.runs.unfinished() == []
    assert world.work.git("-C", world.url, "for-each-ref", "refs/heads/daybreak/") == ""
    assert world.installation.deployments.current("merge-01") == {}


def test_suites_that_fail_while_aws_is_away_reject_nobody(
    grounded: Grounded, monkeypatch: pytest.MonkeyPatch, aws: AwsEmulator
) -> None:
    monkeypatch.setattr(retry, "DEFAULT", retry.Policy(attempts=2, base=0.01))
    world = grounded
    [account] = world.installation.settings.aws.accounts
    entry = world.change(1, right="bad")
    assert world.go(world.begin("pr-1-1"), p.enter, p.deploy) is A.DEPLOYED
    # What the suites need is gone; what is asked before them was there.
    aws.inject("hang_up_before", "sts", account=account)
    assert world.go("pr-1-1", p.test) is A.TIMED_OUT
    aws.clear_faults(account)
    assert "Connection was closed" in str(world.queue.attempt("pr-1-1").reason)
    assert world.go("pr-1-1", p.land, p.settle) is A.REVERTED
    assert world.queue.get(entry.id).state is E.QUEUED
    # Once AWS answers, they are believed.
    assert world.go(world.begin("pr-1-2")) is A.REVERTED
    assert world.queue.get(entry.id).state is E.REJECTED
    world.idle()


def test_unit_tests_that_the_world_keeps_from_running_reject_nobody(grounded: Grounded) -> None:
    """As with a store that is away, or a full disk."""
    world = grounded
    files = {**package("common"), "resources.py": f"{RESOURCES}{COMMON}"}
    entry = world.propose(1, files)
    assert world.go(world.begin("pr-1-1"), p.enter, p.deploy) is A.DEPLOYED
    in_the_way = world.installation.home / "store/artifacts/common"
    in_the_way.parent.mkdir(exist_ok=True)
    in_the_way.touch()
    assert world.go("pr-1-1", p.test) is A.TIMED_OUT
    assert "unit tests of common: " in str(world.queue.attempt("pr-1-1").reason)
    assert world.go("pr-1-1", p.land, p.settle) is A.REVERTED
    assert world.queue.get(entry.id).state is E.QUEUED
    in_the_way.unlink()
    assert world.go(world.begin("pr-1-2")) is A.CONFIRMED


@pytest.mark.parametrize("arrived", [True, False], ids=["arrived", "lost"])
def test_a_deploy_that_is_killed_asks_aws_again_under_the_same_token(
    grounded: Grounded, monkeypatch: pytest.MonkeyPatch, aws: AwsEmulator, arrived: bool
) -> None:
    """Killed after CloudFormation was asked, or between the keeping of the token and the asking."""

    class Killed(BaseException):
        """Nothing catches it."""

    world = grounded
    [account] = world.installation.settings.aws.accounts
    take, settled = Tokens.take, Formation.settled

    def taken(tokens: Tokens, thing: str, request: str) -> str:
        take(tokens, thing, request)
        raise Killed

    def waited(formation: Formation, name: str) -> dict[str, Any] | None:
        if world.queue.attempt("pr-10-1").tokens:
            raise Killed
        return settled(formation, name)

    world.propose(10, {"resources.py": QUEUE, "infra/template.yaml": TEMPLATE})
    world.go(world.begin("pr-10-1"), p.enter)
    with monkeypatch.context() as patch:
        patch.setattr(Formation, "settled", waited) if arrived else patch.setattr(Tokens, "take", taken)
        with pytest.raises(Killed):
            world.go("pr-10-1", p.deploy)
    kept = world.queue.attempt("pr-10-1").tokens["merge-01-ephemeral"]["token"]
    assert world.go("pr-10-1", p.deploy) is A.DEPLOYED, world.queue.attempt("pr-10-1").reason
    asked = [
        call["params"]["ClientRequestToken"]
        for call in aws.journal(account=account)
        if call["action"] == "CreateStack"
    ]
    assert asked == [kept]
    assert world.stacks() == ["merge-01-ephemeral"]
    assert world.queue.attempt("pr-10-1").tokens == {}
