"""Who acts at the command line: the account of the process, whatever its variables say."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest
import yaml

from daybreak.cli.main import main
from daybreak.cli.saying import login, login_of
from daybreak.environment.installation import Installation
from daybreak.environment.machine import State
from daybreak.settings import load
from tests.environment.test_state import put


@pytest.fixture
def lying(monkeypatch: pytest.MonkeyPatch) -> str:
    """The variables say that it is Dana; who it is."""
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME", "SUDO_USER"):
        monkeypatch.setenv(name, "dana")
    monkeypatch.delenv("SUDO_UID", raising=False)
    return pwd.getpwuid(os.getuid()).pw_name


def test_who_freezes_and_who_locks_is_the_account_of_the_process(
    lying: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "daybreak.yaml"
    settings = {
        "home": str(tmp_path), "aws": {"accounts": {"123456789012": {}}},
        "environments": [{"name": "dev-01", "account": "123456789012"}],
        "people": [{"name": "dana", "admin": True}, {"name": "eve", "os": lying}],
    }  # fmt: skip
    config.write_text(yaml.safe_dump(settings))
    monkeypatch.setenv("DAYBREAK_CONFIG", str(config))
    assert main(["freeze", "--reason", "incident 42"]) == 0
    assert f"frozen by {lying}: incident 42" in capsys.readouterr().out
    assert main(["arm", "123456789012"]) == 0
    assert f"armed by {lying};" in capsys.readouterr().out
    installation = Installation.open(load())
    installation.register()
    put(installation.environments, State.READY)
    frozen, armed = installation.switches.frozen(), installation.switches.armed("123456789012")
    assert (frozen and frozen.by, armed and armed.by) == (lying, lying)
    assert main(["bobby", "lock", "dev-01", "for", "1h"]) == 0, capsys.readouterr()
    assert installation.environments.get("dev-01").lease_owner == "eve"


def test_root_is_who_called_sudo_and_nobody_else_is(lying: str) -> None:
    assert login() == lying
    root, other = pwd.getpwuid(0).pw_name, pwd.getpwuid(1).pw_name
    assert login_of(0, {"SUDO_UID": "1", "SUDO_USER": "dana"}) == other
    assert login_of(0, {"SUDO_UID": "-1"}) == root
    assert login_of(0, {}) == root
    assert login_of(1, {"SUDO_UID": "0"}) == other


@pytest.mark.parametrize("uid", [3_999_999_999, 2**40])
def test_an_account_without_a_name_is_its_number(uid: int) -> None:
    assert login_of(uid, {"LOGNAME": "dana"}) == f"uid:{uid}"
