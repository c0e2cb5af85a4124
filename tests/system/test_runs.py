"""More runs in the demo's world: refused ones, a dry one, and a night in which one environment is broken."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import jwt
import pytest
from sqlalchemy import create_engine, text

from daybreak.errors import UsageError
from daybreak.orchestration.rest import AirflowUnreachable, Rest, Run
from tests.system.conftest import DAG, Demo

pytestmark = pytest.mark.system

BROKEN = "dev-03"
#: A package that main did not have.
NEWCOMER = {
    "packages/tolls/pyproject.toml": """\
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "acme-tolls"
version = "1.0.0"
requires-python = ">=3.11"

[tool.setuptools.packages.find]
where = ["src"]
""",
    "packages/tolls/src/acme_tolls/__init__.py": "",
}


@dataclass(frozen=True)
class Quiet:
    """Runs that may change nothing, and what AWS saw while they ran."""

    unknown_field: Run
    unknown_environment: Run
    dry: Run
    mutating: list[str]
    before: dict[str, Any]
    after: dict[str, Any]


@pytest.fixture(scope="module")
def quiet(demo: Demo) -> Quiet:
    """The refused runs and the dry one, side by side."""
    before, since = demo.status(), max(call["n"] for call in demo.aws.journal())
    confs: dict[str, dict[str, Any]] = {
        "unknown-field": {"enviroments": ["dev-01"]},
        "unknown-environment": {"environments": ["dev-1"], "wait": False},
        "dry": {"dry_run": True, "wait": False, "environments": ["dev-01", "merge-01"]},
    }
    for run_id, conf in confs.items():
        demo.rest.trigger(DAG, run_id, conf)
    runs = [demo.follow(run_id) for run_id in confs]
    calls = demo.aws.journal(since, account=demo.account)
    mutating = [f"{call['service']}.{call['action']}" for call in calls if call["mutating"]]
    return Quiet(*runs, mutating, before, demo.status())


def test_a_dry_run_decides_and_touches_nothing(demo: Demo, quiet: Quiet) -> None:
    assert quiet.dry.state == "success"
    assert quiet.mutating == []
    ended = {each.task_id: each.state for each in demo.tasks("dry")}
    assert ended["decide"] == "success"
    groups = ("environment.", "evening.", "common.", "trips.")
    assert {state for task, state in ended.items() if task.startswith(groups)} == {"skipped"}
    for name, row in quiet.after.items():
        was = quiet.before[name]
        assert [row[field] for field in ("state", "since", "commit", "lease")] == [
            was[field] for field in ("state", "since", "commit", "lease")
        ]


@pytest.mark.parametrize(
    ("run_id", "message"),
    [
        ("unknown-field", "conf: no such field: enviroments; there are: by, dry_run, environments, phases"),
        (
            "unknown-environment",
            "no environment is called dev-1; there are: dev-01, dev-02, dev-03",
        ),
    ],
)
def test_a_wrong_conf_fails_before_anything_is_changed(
    demo: Demo, quiet: Quiet, run_id: str, message: str
) -> None:
    assert (quiet.unknown_field.state, quiet.unknown_environment.state) == ("failed", "failed")
    assert quiet.mutating == []
    assert message in demo.log(run_id, "decide")
    # At once: what is wrong with the call is not tried again, and nothing that follows ran.
    tasks = demo.tasks(run_id)
    [decide] = [each for each in tasks if each.task_id == "decide"]
    assert (decide.state, decide.try_number) == ("failed", 1)
    assert [each.task_id for each in tasks if each.state == "success"] == []


def test_a_wrong_param_makes_no_run_and_gives_airflows_words(demo: Demo) -> None:
    with pytest.raises(UsageError, match=r"phases.*'tear-down' is not one of"):
        demo.rest.trigger(DAG, "bad-phase", {"phases": ["tear-down"]})
    with pytest.raises(UsageError, match="bad-phase"):
        demo.rest.run(DAG, "bad-phase")


def test_a_second_trigger_of_the_same_work_finds_the_run(demo: Demo, quiet: Quiet) -> None:
    again = demo.rest.trigger(DAG, "dry", {"dry_run": False})
    assert (again.state, again.conf["dry_run"], again.triggered_by) == ("success", True, "bot")


@pytest.mark.parametrize("secret", ["its own", "another one"])
def test_a_token_that_is_void_is_renewed(demo: Demo, quiet: Quiet, secret: str) -> None:
    rest = Rest(demo.record["urls"]["airflow"], **demo.record["bot"])
    rest.run(DAG, "dry")
    good = rest._client.configuration.access_token
    claims = jwt.decode(good, options={"verify_signature": False})
    if secret == "its own":
        secret, claims["exp"] = (demo.folder / "airflow" / "secret").read_text(), int(time.time()) - 60
    algorithm = jwt.get_unverified_header(good)["alg"]
    rest._client.configuration.access_token = jwt.encode(claims, secret.ljust(64, "."), algorithm)

    assert rest.run(DAG, "dry").state == "success"
    assert jwt.decode(rest._client.configuration.access_token, options={"verify_signature": False})[
        "exp"
    ] > int(time.time())


def test_a_refused_login_and_an_unknown_dag_are_named(demo: Demo) -> None:
    url, bot = demo.record["urls"]["airflow"], demo.record["bot"]
    with pytest.raises(AirflowUnreachable, match="refused the login of 'bot': 401"):
        Rest(url, bot["username"], "wrong").is_paused(DAG)
    with pytest.raises(UsageError, match=r"Airflow refused it: .*nightly-ish"):
        demo.rest.trigger("nightly-ish", "dry", {})
    with pytest.raises(UsageError, match=r"nightly-ish"):
        demo.rest.is_paused("nightly-ish")
    assert demo.rest.is_paused(DAG) is False


def test_task_instances_are_read_page_by_page(
    demo: Demo, quiet: Quiet, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = demo.tasks("dry")
    monkeypatch.setattr("daybreak.orchestration.rest._PAGE", 7)
    assert len(at_once) > 21
    assert demo.tasks("dry") == at_once


def test_a_run_can_be_given_a_note(demo: Demo, quiet: Quiet) -> None:
    demo.rest.set_note(DAG, "dry", "nothing **to** see")
    assert demo.rest.run(DAG, "dry").note == "nothing **to** see"


@dataclass(frozen=True)
class SecondNight:
    """The night after the demo's, with somebody else's database in one environment."""

    run: Run
    builds: tuple[list[Any], list[Any]]
    status: dict[str, dict[str, Any]]


def _builds(demo: Demo) -> list[Any]:
    engine = create_engine(demo.record["registry"])
    with engine.connect() as registry:
        return list(registry.execute(text("SELECT * FROM builds ORDER BY resource, key")))


@pytest.fixture(scope="module")
def second(demo: Demo, quiet: Quiet) -> Iterator[SecondNight]:
    """Somebody restored a dump of another environment over BROKEN's database, somebody pushed a new package;
    then the night comes.
    """
    _push(demo, NEWCOMER)
    builds = _builds(demo)
    engine = demo.database(BROKEN)
    with engine.begin() as sql:
        sql.execute(text("UPDATE daybreak_marker SET environment = 'dev-01'"))
        sql.execute(text("CREATE TABLE restored_by_hand (note TEXT)"))
    run = demo.night("second", reason="system tests", environments=["dev-01", "dev-02", BROKEN])
    yield SecondNight(run, (builds, _builds(demo)), demo.status())
    engine.dispose()


def _push(demo: Demo, files: Mapping[str, str]) -> None:
    """To main, past the queue."""
    demo.git("pull", "-q", "--ff-only", "origin", "main")
    for name, content in files.items():
        path = demo.folder / "acme" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    demo.git("add", "--all")
    demo.git("-c", "user.name=Dana", "-c", "user.email=dana@acme.test", "commit", "-qm", "Tolls")
    demo.git("push", "-q", "origin", "main")


def test_a_second_night_builds_only_what_is_new_on_main(demo: Demo, second: SecondNight) -> None:
    before, after = second.builds
    # The run began before the graph showed it: no group of this run is its own.
    [new] = [each for each in after if each not in before]
    assert (new.resource, new.status, new.run_id) == ("acme_tolls", "built", "second")
    assert len(after) == len(before) + 1
    [newcomers] = [each for each in demo.tasks("second") if each.task_id == "newcomers.build"]
    assert newcomers.state == "success"
    resources = json.loads((demo.folder / "home" / "graph.json").read_text())["resources"]
    groups = tuple(f"{each['name']}." for each in resources)
    groups = tuple(group for group in groups if group != "acme_tolls.")
    built = [each for each in demo.tasks("second") if each.task_id.startswith(groups)]
    assert {each.state for each in built} == {"skipped"}
    assert len(built) > 12


def test_a_foreign_database_is_refused_and_its_environment_ends_faulted(
    demo: Demo, second: SecondNight
) -> None:
    broken = second.status[BROKEN]
    assert (broken["state"], broken["fault"]["code"]) == ("FAULTED", "marker_mismatch")
    assert "dev_03_fleet_db" in broken["fault"]["message"]
    # What is somebody else's is still there.
    with demo.database(BROKEN).connect() as sql:
        assert sql.execute(text("SELECT count(*) FROM restored_by_hand")).scalar() == 0
        assert sql.execute(text("SELECT count(*) FROM vehicles")).scalar() == 3


def test_the_others_are_ready_and_the_run_is_red_and_says_why(demo: Demo, second: SecondNight) -> None:
    row = second.status["dev-01"]
    assert (row["state"], row["verdict"]) == ("READY", "passed"), row
    assert second.status["dev-02"]["decision"]["action"] == "preserve"
    assert second.run.state == "failed"
    said = demo.log("second", "report")
    assert "3 environments, 1 rebuilt, 1 preserved, 1 faulted" in said
    assert "dev_03_fleet_db" in said
    states = {(each.task_id, each.name): each.state for each in demo.tasks("second")}
    assert states["environment.verdict", BROKEN] == "failed"
    assert states["environment.verdict", "dev-01"] == "success"


def test_the_doctor_finds_nothing_to_mend_in_the_demo(demo: Demo) -> None:
    found = json.loads(demo.daybreak("doctor", "--json"))
    assert {each["area"] for each in found} >= {"registry", "store", "airflow", "airflow pools"}
    # What it says beside that: the stand-in of GitHub protects no branch, and Airflow alone has the secret
    # and the connections.
    said = {each["area"]: each["said"] for each in found if each["state"] != "ok"}
    assert said.keys() == {"schedule", "github pushing", "github webhook", "airflow connections"}
    assert said["airflow connections"] == (
        "the bot may not look at them; the settings name aws_demo, github_demo, slack_demo"
    )
    assert said["schedule"] == "off: a night begins only by hand"
    assert "fail" not in {each["state"] for each in found}
    assert any(each["area"] == "clock" and "AWS" in each["said"] for each in found)
