"""The team's own commands: what they see, where they run, what is remembered."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from daybreak.build.process import stopping
from daybreak.catalog.graph import CatalogResource
from daybreak.catalog.resource import ResourceType
from daybreak.deploy.command import CommandDriver
from daybreak.errors import DeployFailed, LostOp, UsageError
from tests.deploy.conftest import Deploys, alive, eventually

DRIVER = CommandDriver()
WRITE = ["python", "-c", "import json, os; json.dump(dict(os.environ), open(os.environ['OUT'], 'w'))"]


def command(**options: Any) -> CatalogResource:
    return CatalogResource("search", ResourceType.COMMAND, root="search", options=options, line=12)


def test_a_command_sees_the_contract_and_nothing_of_the_orchestrator(
    deploys: Deploys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "secret")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    out = tmp_path / "out.json"
    target = deploys.target(OUT=str(out), DAYBREAK_ENVIRONMENT="dev-01")

    DRIVER.deploy(command(deploy=WRITE), deploys.package({"search/x": ""}), target)

    seen = json.loads(out.read_text())
    assert (seen["DAYBREAK_KEY"], seen["DAYBREAK_ENVIRONMENT"]) == ("k1", "dev-01")
    assert not {"AIRFLOW__CORE__FERNET_KEY", "PYTHONPATH", "VIRTUAL_ENV"} & set(seen)
    assert seen["HOME"] != os.environ.get("HOME")


def test_python_is_a_plain_interpreter_without_our_packages(deploys: Deploys) -> None:
    find = [
        "python",
        "-c",
        "import importlib.util as u; assert not u.find_spec('airflow') and not u.find_spec('daybreak')",
    ]
    DRIVER.deploy(command(deploy=find), deploys.package({"search/x": ""}), deploys.target())


def test_it_runs_in_a_private_copy_of_the_resources_folder(deploys: Deploys) -> None:
    package = deploys.package({"search/index.json": "{}", "shared/lib": ""})
    check = [
        "python",
        "-c",
        "import os; assert os.listdir('.') == ['index.json'] and os.path.exists('../shared/lib'); "
        "open('index.json', 'w')",
    ]
    DRIVER.deploy(command(deploy=check), package, deploys.target())
    assert (package.folder / "search/index.json").read_text() == "{}"


def test_what_was_deployed_is_remembered_for_this_provisioning_only(deploys: Deploys) -> None:
    resource = command(deploy=["true"])
    assert DRIVER.observe(resource, deploys.target()) is None
    for key in ("k1", "k2"):
        DRIVER.deploy(resource, deploys.package({"search/x": ""}, key), deploys.target())
        assert DRIVER.observe(resource, deploys.target()) == key
    assert DRIVER.observe(resource, deploys.target(nonce="n2")) is None
    assert DRIVER.observe(resource, deploys.target("dev-02")) is None


def test_observe_prints_what_runs(deploys: Deploys, tmp_path: Path) -> None:
    place = tmp_path / "running"
    resource = command(
        deploy=["sh", "-c", 'echo $DAYBREAK_KEY > "$PLACE"'],
        observe=["sh", "-c", 'echo noise >&2; cat "$PLACE"'],
    )
    target = deploys.target(PLACE=str(place))
    DRIVER.deploy(resource, deploys.package({"search/x": ""}), target)
    assert DRIVER.observe(resource, target) == "k1"

    place.write_text("something-by-hand\n")
    assert DRIVER.observe(resource, target) == "something-by-hand"
    place.unlink()
    assert DRIVER.observe(resource, target) is None


def test_a_failed_command_shows_its_output_without_secrets_and_is_not_observed(deploys: Deploys) -> None:
    DRIVER.deploy(command(deploy=["true"]), deploys.package({"search/x": ""}), deploys.target())
    target = deploys.target(DATABASE_URL="postgresql://u:topsecret@h/d")
    fails = command(deploy=["sh", "-c", "echo cannot reach $DATABASE_URL; exit 4"])

    with pytest.raises(
        DeployFailed, match=r"(?s)search: its `deploy` command ended with exit code 4.*cannot reach"
    ) as caught:
        DRIVER.deploy(fails, deploys.package({"search/x": ""}, "k2"), target)

    assert "topsecret" not in str(caught.value)
    logs = [path.read_text() for path in (deploys.home / "logs").rglob("*.log*")]
    assert logs
    assert not any("topsecret" in text for text in logs)
    assert DRIVER.observe(fails, target) is None


def test_a_command_that_hangs_is_killed_with_what_it_started(deploys: Deploys, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    hangs = command(deploy=["sh", "-c", f"sleep 300 & echo $! > {pid}; wait"], timeout_seconds=1)
    with pytest.raises(DeployFailed, match="its time was over"):
        DRIVER.deploy(hangs, deploys.package({"search/x": ""}), deploys.target())
    eventually(lambda: not alive(int(pid.read_text())))


def test_destroy_runs_in_the_deployed_tree_once(deploys: Deploys, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    resource = command(deploy=["true"], destroy=["sh", "-c", f"cat x >> {gone}"])
    DRIVER.deploy(resource, deploys.package({"search/x": "tree"}), deploys.target())
    for _ in range(2):
        DRIVER.destroy(resource, deploys.target())
    assert gone.read_text() == "tree"
    assert DRIVER.observe(resource, deploys.target()) is None


def test_what_was_killed_while_it_was_destroyed_does_not_count_as_running_and_is_destroyed_again(
    deploys: Deploys, tmp_path: Path
) -> None:
    ready, ran = tmp_path / "ready", tmp_path / "ran"
    destroy = f"echo x >> {ran}; test -e {ready} || kill -9 $PPID"
    resource = command(deploy=["true"], destroy=["sh", "-c", destroy])
    DRIVER.deploy(resource, deploys.package({"search/x": ""}), deploys.target())
    worker = os.fork()
    if not worker:
        DRIVER.destroy(resource, deploys.target())
        os._exit(0)
    assert os.WIFSIGNALED(os.waitpid(worker, 0)[1])
    assert DRIVER.observe(resource, deploys.target()) is None
    ready.touch()
    DRIVER.destroy(resource, deploys.target())
    DRIVER.destroy(resource, deploys.target())
    assert ran.read_text() == "x\nx\n"


def test_a_command_that_changes_the_environment_comes_to_its_end_though_its_work_is_to_stop(
    deploys: Deploys, tmp_path: Path
) -> None:
    gone = tmp_path / "gone"
    resource = command(deploy=["true"], destroy=["sh", "-c", f"sleep 2; touch {gone}"])
    DRIVER.deploy(resource, deploys.package({"search/x": ""}), deploys.target())
    stop = threading.Event()
    before = stopping.set(stop)
    try:
        stop.set()
        DRIVER.destroy(resource, deploys.target())
    finally:
        stopping.reset(before)
    assert gone.exists()


def test_a_program_that_does_not_exist_is_named(deploys: Deploys) -> None:
    with pytest.raises(DeployFailed, match=r"cannot start its `deploy` command: .*no-such-program"):
        DRIVER.deploy(
            command(deploy=["no-such-program"]), deploys.package({"search/x": ""}), deploys.target()
        )


def test_a_command_that_is_no_list_is_named_with_its_line(deploys: Deploys) -> None:
    with pytest.raises(UsageError, match=r"resources\.py:12: search: options\['deploy'\] must be a list"):
        DRIVER.deploy(command(deploy="make deploy"), deploys.package({"search/x": ""}), deploys.target())


def test_who_lost_the_op_runs_nothing(deploys: Deploys, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    deploys.lost = LostOp("another try works here")
    with pytest.raises(LostOp):
        DRIVER.deploy(
            command(deploy=["touch", str(ran)]), deploys.package({"search/x": ""}), deploys.target()
        )
    assert not ran.exists()
