"""The night waits for its turn in the lane of the merge environment; on both databases."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import boto3
import pytest
import yaml
from sqlalchemy import Engine

from daybreak.environment.calendar import Phase
from daybreak.environment.decision import Decision, NightAction
from daybreak.environment.installation import Installation
from daybreak.environment.machine import DEAD_AFTER, LANE_STEP, USABLE, Op, OpBusy, State
from daybreak.environment.night.work import TURN, Stage, Turn, Work, run
from daybreak.environment.nights import LeftAlone, NightStatus
from daybreak.environment.state import Environments
from daybreak.environment.steps import StepStatus
from daybreak.merge.gate import busy
from daybreak.orchestration import gate
from daybreak.registry import connect
from examples.standins.aws.emulator import AwsEmulator
from tests.environment.test_state import put
from tests.fixtures.registry import ManualClock
from tests.merge.ground import installation_of, settings_of

pytestmark = pytest.mark.aws

NIGHT, RUN, LANE = date(2026, 3, 5), "scheduled__2026-03-05", "pr_e2e/7"
FIRST = Stage("scorch", Phase.REBUILD, USABLE, State.QUIESCING, 40, lambda *_: {}, first=True)


@pytest.fixture
def work(registry: Engine, clock: ManualClock, aws: AwsEmulator, aws_account: str, tmp_path: Path) -> Work:
    """The night decided to rebuild merge-01, which is READY."""
    installation = installation_of(settings_of(tmp_path, aws.endpoint_url, aws_account), registry, clock)
    installation.register()
    put(installation.environments, State.READY, "merge-01")
    decision = Decision("merge-01", NightAction.REBUILD, "", rebuild=True, in_place=True)
    installation.nights.open(NIGHT, RUN)
    installation.nights.claim(NIGHT, "merge-01", RUN, decision.to_json())
    return Work(installation, RUN, NIGHT, decision)


def landing(installation: Installation) -> Op:
    """A pull request enters the lane."""
    return installation.environments.begin(
        "merge-01", step=LANE_STEP, holder=LANE, actor="gandalf", expect=USABLE, deadline=timedelta(hours=4)
    )


def waiting(work: Work, *what: Callable[[], object]) -> Turn:
    """Waits by doing one thing after the other; one too many fails."""
    todo = list(what)
    return Turn(work.installation.clock() + TURN, lambda: todo.pop(0)())


def status(work: Work) -> tuple[State, NightStatus, list[StepStatus]]:
    installation = work.installation
    [row] = installation.nights.environments(run_id=RUN, environment="merge-01")
    steps = [step.status for step in installation.nights.steps(RUN)]
    return installation.environments.get("merge-01").state, row.status, steps


def test_an_attempt_in_the_lane_is_over_first_and_no_other_one_comes_between(work: Work) -> None:
    environments, op = work.installation.environments, landing(work.installation)
    waits: list[str] = []

    def still() -> None:
        environments.check(op)
        waits.append(busy(work.installation, "merge-01"))

    def over() -> None:
        environments.finish(op)
        waits.append(busy(work.installation, "merge-01"))

    run(work, FIRST, waiting(work, still, still, over))

    assert LANE in waits[0]
    assert waits[2] == f"merge-01 is rebuilt by the night {NIGHT} ({RUN})"
    assert status(work) == (State.QUIESCING, NightStatus.RUNNING, [StepStatus.DONE])


def test_an_attempt_that_ends_just_when_the_night_met_it_keeps_the_night_away_from_nothing(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    op, begin = landing(work.installation), Environments.begin

    def met(environments: Environments, *words: object, **more: object) -> Op:
        try:
            return begin(environments, *words, **more)  # type: ignore[arg-type]
        except OpBusy:
            environments.finish(op)
            raise

    monkeypatch.setattr(Environments, "begin", met)
    run(work, FIRST, waiting(work, lambda: None))
    assert status(work) == (State.QUIESCING, NightStatus.RUNNING, [StepStatus.DONE])


def test_when_its_patience_is_over_the_night_leaves_the_attempt_alone(work: Work, clock: ManualClock) -> None:
    environments, op = work.installation.environments, landing(work.installation)

    def half_an_hour() -> None:
        for _ in range(30):
            clock.advance(minutes=1)
            environments.heartbeat(op)

    with pytest.raises(LeftAlone, match=f"{LANE} .*works on it: step merge"):
        run(work, FIRST, waiting(work, half_an_hour, half_an_hour))

    environments.check(op)
    assert status(work) == (State.READY, NightStatus.DONE, [])


def test_an_attempt_of_which_nobody_hears_any_more_is_not_waited_for(work: Work, clock: ManualClock) -> None:
    landing(work.installation)
    clock.now += DEAD_AFTER + timedelta(seconds=1)
    run(work, FIRST, waiting(work))
    assert status(work)[0] is State.QUIESCING


def test_only_an_attempt_is_waited_for(work: Work) -> None:
    work.installation.environments.begin(
        "merge-01", step="deploy", holder="bcd/1", actor="dana", expect=USABLE, deadline=timedelta(hours=1)
    )
    with pytest.raises(LeftAlone, match="bcd/1"):
        run(work, FIRST, waiting(work))


def test_a_later_stage_waits_for_nobody(work: Work) -> None:
    """Its run had the environment, and somebody took it."""
    landing(work.installation)
    with pytest.raises(OpBusy, match=LANE):
        run(work, replace(FIRST, first=False), waiting(work))


@pytest.fixture
def opened(
    tmp_path: Path, sqlite_template: Path, monkeypatch: pytest.MonkeyPatch, clock: ManualClock
) -> Installation:
    """What the triggerer opens by itself, on SQLite; nothing is asked of AWS."""
    path = tmp_path / "daybreak.yaml"
    path.write_text(yaml.safe_dump({
        "registry": f"sqlite:///{tmp_path}/registry.db", "home": str(tmp_path),
        "aws": {"accounts": {"1" * 12: {}}},
        "environments": [{"name": "merge-01", "account": "1" * 12, "role": "merge"}],
    }))  # fmt: skip
    shutil.copy(sqlite_template, tmp_path / "registry.db")
    monkeypatch.setenv("DAYBREAK_CONFIG", str(path))
    monkeypatch.setattr(gate, "POLL", 0.01)
    settings = settings_of(tmp_path, "http://127.0.0.1:1", "1" * 12)
    registry = connect(f"sqlite:///{tmp_path}/registry.db")
    found = Installation(settings, registry, None, lambda _: boto3.Session())  # type: ignore[arg-type]
    found.register()
    put(found.environments, State.READY, "merge-01")
    return found


def fired(trigger: gate.TurnTrigger, looked: Callable[[], object] = lambda: None) -> str:
    """What it told the task, within ten seconds; ``looked`` is called before each look."""
    seen = trigger.seen

    def look() -> tuple[dict[str, str] | None, str]:
        looked()
        return seen()

    trigger.seen = look  # type: ignore[method-assign]

    async def first() -> str:
        return str((await anext(aiter(trigger.run()))).payload["why"])

    return asyncio.run(asyncio.wait_for(first(), 10))


def moment(installation: Installation, **later: float) -> str:
    return (installation.clock() + timedelta(**later)).isoformat()


def test_however_many_wait_in_one_process_they_share_the_registry_s_connections(
    opened: Installation, tmp_path: Path
) -> None:
    """A connection for each of hundreds would be more than PostgreSQL has."""
    op = landing(opened)
    waiting = [gate.TurnTrigger("merge-01", moment(opened, hours=1)) for _ in range(50)]
    assert [each.seen()[0] for each in waiting] == [None] * 50
    assert len({id(each._installation.engine) for each in waiting}) == 1
    # What waits from now on sees the settings as they are now.
    config = tmp_path / "daybreak.yaml"
    config.write_text(config.read_text().replace("registry.db", "other.db"))
    after = gate.TurnTrigger("merge-01", moment(opened, hours=1))
    assert after._installation.engine.url != waiting[0]._installation.engine.url
    opened.environments.finish(op)


def test_the_trigger_fires_when_the_lane_is_free(opened: Installation) -> None:
    op = landing(opened)
    looks: list[int] = []

    def looked() -> None:
        looks.append(1)
        if len(looks) == 2:
            raise ConnectionError("the registry is away for a moment")
        if len(looks) == 4:
            opened.environments.finish(op)

    assert fired(gate.TurnTrigger("merge-01", moment(opened, hours=1)), looked) == "the lane is free"
    assert len(looks) == 4


def test_the_trigger_fires_when_patience_is_over(opened: Installation) -> None:
    landing(opened)
    said = fired(gate.TurnTrigger("merge-01", moment(opened, seconds=0.2)))
    assert said.startswith(f"{LANE} is in the lane of merge-01 until ")


def test_the_trigger_comes_back_as_it_was_kept(opened: Installation) -> None:
    path, words = gate.TurnTrigger("merge-01", "2026-03-05T19:00:00+00:00").serialize()
    module, _, name = path.rpartition(".")
    assert module == gate.__name__
    again = getattr(gate, name)(**words)
    assert (again.environment, again.until) == ("merge-01", "2026-03-05T19:00:00+00:00")
