"""The night's turn in the lane, executed by Airflow in one process: it waits without a worker."""

from __future__ import annotations

import json
import threading
from datetime import timedelta

import pytest

from daybreak.environment.machine import LANE_STEP, USABLE, State
from daybreak.environment.nights import NightStatus
from daybreak.environment.steps import StepStatus
from examples.standins.aws.emulator import AwsEmulator
from tests.dags.test_bcd import airflow
from tests.dags.test_pr_e2e import Team, team  # noqa: F401 - a fixture

RUN = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
from daybreak.orchestration.night import Stage
deferred, defer = [], Stage.defer
def counted(self, *, trigger, **words):
    deferred.append(trigger.serialize()[1])
    defer(self, trigger=trigger, **words)
Stage.defer = counted
dag = DagBag(sys.argv[1]).dags["nightly"]
dag.deadline = None  # `dag.test()` of 3.3.2 cannot look a deadline up
run = dag.test(logical_date=None, run_conf=json.loads(sys.argv[2]))
ended = {ti.task_id: str(ti.state) for ti in run.get_task_instances()}
print("ANSWER" + json.dumps({
    "run_id": run.run_id, "state": str(run.state), "tasks": ended, "deferred": deferred,
}), flush=True)
"""


@pytest.mark.deep
def test_the_night_waits_deferred_until_the_pull_request_in_the_lane_is_done(
    team: Team,  # noqa: F811
    aws: AwsEmulator,
) -> None:
    installation = team.installation
    [environment] = installation.settings.environments
    installation.switches.arm(environment.account, "test")
    op = installation.environments.begin(
        "merge-01", step=LANE_STEP, holder="pr_e2e/7", actor="gandalf", expect=USABLE,
        deadline=timedelta(hours=1),
    )  # fmt: skip
    freed: list[float] = []
    ended = threading.Event()

    def lands() -> None:
        with installation.environments.beating(op):
            while not ended.wait(0.1):
                rows = installation.nights.environments(environment="merge-01")
                if [row for row in rows if row.status is NightStatus.RUNNING]:
                    ended.wait(4)  # it looked, and was put off
                    break
        freed.append(installation.clock().timestamp())
        installation.environments.finish(op)

    lane = threading.Thread(target=lands)
    lane.start()
    conf = {"environments": ["merge-01"], "wait": False, "reason": "{{ 1 + 1 }}"}
    try:
        [night] = airflow(team.home, RUN, json.dumps(conf), **team.environ)
    finally:
        ended.set()
        lane.join()

    assert night["state"] == "success", night
    assert [each["environment"] for each in night["deferred"]] == ["merge-01"]
    assert night["tasks"]["environment.e2e"] == "success"
    env = installation.environments.get("merge-01")
    assert (env.state, env.verdict, env.commit) == (State.READY, "passed", team.base)
    steps = installation.nights.steps(night["run_id"])
    assert {step.status for step in steps} == {StepStatus.DONE}
    assert steps[0].started_at.timestamp() >= freed[0]
