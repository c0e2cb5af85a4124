"""Starting and stopping: one process group, no orphans, clear errors."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from examples.standins.aws import venv
from examples.standins.aws.emulator import AwsEmulator, EmulatorFailed

pytestmark = pytest.mark.aws
_REPOSITORY = Path(__file__).resolve().parents[2]


def _gone(pid: int, seconds: float = 10.0) -> bool:
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        try:
            os.killpg(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


def test_two_run_side_by_side_and_stop_without_a_trace(tmp_path: Path) -> None:
    with AwsEmulator().start(tmp_path / "a") as first, AwsEmulator().start(tmp_path / "b") as second:
        assert first.port != second.port
        assert first.control("GET", "health") == second.control("GET", "health") == {"status": "ok"}
        pids = first.pid, second.pid
        assert os.getpgid(first.pid) == first.pid
    assert all(_gone(pid) for pid in pids)
    with pytest.raises(EmulatorFailed, match="not running"):
        first.pid  # noqa: B018


def test_it_listens_on_this_machine_only(tmp_path: Path) -> None:
    with AwsEmulator().start(tmp_path) as aws:
        address = f"{int.from_bytes(socket.inet_aton('127.0.0.1'), 'little'):08X}:{aws.port:04X}"
        listening = [line.split()[1] for name in ("tcp", "tcp6")
                     for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
                     if line.split()[3] == "0A"]  # fmt: skip
        assert [each for each in listening if each.endswith(f":{aws.port:04X}")] == [address]


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(EmulatorFailed, match=str(port)):
            AwsEmulator().start(tmp_path, port)


def test_a_port_can_be_taken_again_at_once(tmp_path: Path) -> None:
    with AwsEmulator().start(tmp_path) as first:
        port = first.port
    with AwsEmulator().start(tmp_path, port) as second:
        assert second.endpoint_url == f"http://127.0.0.1:{port}"


def test_a_broken_start_shows_the_log(tmp_path: Path) -> None:
    emulator = AwsEmulator()
    # hypercorn's import fails: the launcher dies before it answers.
    (tmp_path / "hypercorn.py").write_text("raise RuntimeError('no server today')")
    with pytest.raises(EmulatorFailed, match="no server today"):
        emulator.start(tmp_path, environment={"PYTHONPATH": str(tmp_path)})
    emulator.stop()


def test_it_ends_when_its_starter_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from examples.standins.aws.emulator import AwsEmulator\n"
        "aws = AwsEmulator().start(Path(sys.argv[1])); print(aws.pid, flush=True); time.sleep(60)"
    )
    starter = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], cwd=_REPOSITORY, stdout=subprocess.PIPE, text=True
    )
    assert starter.stdout is not None
    pid = int(starter.stdout.readline())
    starter.kill()
    starter.wait()
    starter.stdout.close()
    assert _gone(pid)


def test_in_the_foreground_it_ends_by_a_signal(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "examples.standins.aws", "--home", str(tmp_path)],
        cwd=_REPOSITORY, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert "AWS on http://127.0.0.1:" in process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == 0
    process.stdout.close()


def test_the_callers_credentials_stay_out_of_the_emulator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the-real-one")
    with AwsEmulator().start(tmp_path) as aws:
        assert b"the-real-one" not in Path(f"/proc/{aws.pid}/environ").read_bytes()


def test_the_environment_is_made_once_and_again_when_the_lock_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[list[str]] = []
    monkeypatch.setattr(venv, "_run", ran.append)
    lock = tmp_path / "requirements.txt"
    lock.write_text("a==1")
    monkeypatch.setattr(venv, "LOCK", lock)

    for _ in range(2):
        assert venv.ensure(tmp_path / "venv") == tmp_path / "venv" / "bin" / "python"
    assert len(ran) == 2  # the environment, and its packages
    assert "--require-hashes" in ran[1]

    lock.write_text("a==2")
    venv.ensure(tmp_path / "venv")
    assert len(ran) == 4


def test_with_auth_a_role_is_held_to_its_policy_and_journalled_under_its_account(tmp_path: Path) -> None:
    root = "123456789012"
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": "dynamodb:*", "Resource": "*"},
            {"Effect": "Deny", "Action": "dynamodb:DeleteTable", "Resource": "*",
             "Condition": {"Null": {"aws:ResourceTag/daybreak:protect": "false"}}},
        ],
    }  # fmt: skip

    with AwsEmulator().start(tmp_path, environment={"AUTH": "true"}) as aws:

        def client(service: str, key: str, secret: str) -> Any:
            return boto3.client(
                service, endpoint_url=aws.endpoint_url, region_name="eu-west-1", aws_access_key_id=key,
                aws_secret_access_key=secret,
            )  # fmt: skip

        iam = client("iam", root, "local")
        iam.create_user(UserName="teardown")
        iam.put_user_policy(UserName="teardown", PolicyName="p", PolicyDocument=json.dumps(policy))
        made = iam.create_access_key(UserName="teardown")["AccessKey"]
        dynamodb = client("dynamodb", made["AccessKeyId"], made["SecretAccessKey"])
        for name, tags in (("open", []), ("kept", [{"Key": "daybreak:protect", "Value": ""}])):
            dynamodb.create_table(
                TableName=name, BillingMode="PAY_PER_REQUEST", Tags=tags,
                AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
                KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            )  # fmt: skip

        dynamodb.delete_table(TableName="open")
        with pytest.raises(ClientError) as denied:
            dynamodb.delete_table(TableName="kept")

        assert denied.value.response["Error"]["Code"] == "AccessDeniedException"
        assert dynamodb.list_tables()["TableNames"] == ["kept"]
        last = aws.journal(account=root)[-2]
        assert (last["action"], last["error"]) == ("DeleteTable", "AccessDeniedException")
