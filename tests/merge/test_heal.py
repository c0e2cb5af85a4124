"""An environment that could not prove that it runs main: proven again, whatever comes between."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from daybreak.environment.machine import State
from daybreak.environment.state import Environments
from daybreak.git.command import GitError
from daybreak.merge import protocol as p
from daybreak.merge.attempts import Attempts
from daybreak.merge.care import heal
from daybreak.merge.gate import May
from daybreak.merge.rules import AttemptState as A
from tests.fixtures.registry import ManualClock
from tests.merge.conftest import Place
from tests.merge.test_care import Cared


class Killed(BaseException):
    """The process is gone."""


@pytest.fixture
def cared(tmp_path: Path, sqlite_registry: Engine, clock: ManualClock) -> Cared:
    return Cared(tmp_path, sqlite_registry, clock)


@pytest.fixture
def doubted(cared: Cared) -> Cared:
    """Its environment is shut, for long enough to be healed."""
    cared.pull_request(7)
    cared.go(cared.begin("pr-7-1"), p.enter, p.deploy)
    cared.place.deploys = False
    assert cared.go("pr-7-1", p.settle) is A.QUARANTINED
    cared.place.deploys = True
    cared.clock.advance(minutes=11)
    return cared


def healed(world: Cared) -> None:
    """What must be so when that came to its end."""
    env = world.environments.get("merge-01")
    assert (env.state, env.commit) == (State.READY, world.main)
    assert world.queue.attempt("pr-7-1").state is A.REVERTED
    world.idle()


def test_an_environment_in_doubt_is_opened_only_when_it_is_proven(cared: Cared) -> None:
    world = cared
    entry = world.pull_request(7)
    world.go(world.begin("pr-7-1"), p.enter, p.deploy)
    world.place.deploys = False
    assert world.go("pr-7-1", p.settle) is A.QUARANTINED
    assert world.look("pr-7-2", entry.id).may is May.WAIT
    assert heal(world.merge) == ""  # not at once: whatever broke it needs a moment
    world.clock.advance(minutes=11)
    assert "still nobody can prove that it runs main" in heal(world.merge)
    assert world.environments.get("merge-01").state is State.FAULTED
    # An admin opens it; nothing enters before it is proven, and what is not is shut again.
    world.environments.unfault("merge-01", by="dana", reason="looked at it")
    assert world.look("pr-7-2", entry.id).why == "merge-01 is to be proven to run main first, after pr-7-1"
    assert "still nobody" in heal(world.merge)
    assert world.environments.get("merge-01").fault_code == "quarantined"
    world.place.deploys = True
    assert heal(world.merge) == ""
    assert heal(world.merge, asked=True) == "merge-01 runs main again; closed: pr-7-1"
    env = world.environments.get("merge-01")
    assert (env.state, env.commit) == (State.READY, world.main)
    assert world.queue.attempt("pr-7-1").state is A.REVERTED
    assert heal(world.merge) == ""
    assert world.look("pr-7-2", entry.id).may is May.ENTER
    world.idle()


def test_what_somebody_shut_and_wants_healed_is_opened_when_it_is_proven(cared: Cared) -> None:
    environments = cared.environments
    environments.fault(environments.get("merge-01"), "reported", "disk", actor="noa")
    environments.fault(environments.get("merge-01"), "quarantined", "to be proven", actor="noa")
    cared.place.deploys = False
    assert "still nobody can prove" in heal(cared.merge, asked=True)
    assert environments.get("merge-01").state is State.FAULTED
    cared.place.deploys = True
    assert heal(cared.merge, asked=True) == "merge-01 runs main again; closed: nothing"
    env = environments.get("merge-01")
    assert (env.state, env.commit, env.op_token) == (State.READY, cared.main, None)


def test_it_is_healed_at_once_when_git_is_back(doubted: Cared) -> None:
    remote = Path(doubted.url)
    away = remote.rename(remote.with_name("away.git"))
    with pytest.raises(GitError):
        heal(doubted.merge)
    assert doubted.environments.get("merge-01").op_token is None
    away.rename(remote)
    assert heal(doubted.merge) == "merge-01 runs main again; closed: pr-7-1"
    healed(doubted)


@pytest.mark.parametrize(
    ("opened", "whose", "what"),
    [
        (False, Place, "deploy"), (False, Place, "runs"), (False, Environments, "unfault"),
        (False, Attempts, "close_quarantined"), (False, Environments, "finish"), (True, Place, "deploy"),
        (True, Environments, "finish"),
    ],
)  # fmt: skip
def test_whoever_heals_and_is_killed_is_gone_on_with_at_once(
    doubted: Cared, monkeypatch: pytest.MonkeyPatch, opened: bool, whose: type, what: str
) -> None:
    def dies(*_: object, **__: object) -> None:
        raise Killed

    if opened:
        doubted.environments.unfault("merge-01", by="dana", reason="looked at it")
    with monkeypatch.context() as patch:
        patch.setattr(whose, what, dies)
        with pytest.raises(Killed):
            heal(doubted.merge)
    assert heal(doubted.merge).startswith("merge-01 runs main again; closed: ")
    healed(doubted)


def test_what_another_works_on_is_left_to_them(doubted: Cared) -> None:
    doubted.environments.begin(
        "merge-01", step="rebuild", holder="nightly/night-1", actor="night", expect={State.FAULTED},
        deadline=timedelta(hours=1),
    )  # fmt: skip
    doubted.clock.advance(minutes=11)
    assert heal(doubted.merge, asked=True) == ""
    assert doubted.environments.get("merge-01").op_holder == "nightly/night-1"
