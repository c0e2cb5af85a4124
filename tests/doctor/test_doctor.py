"""The doctor sees what is wrong, says what to do next, and one broken thing does not hide the others."""

from __future__ import annotations

import json
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from daybreak import registry
from daybreak.cli.main import main
from daybreak.doctor import airflow, cloud, local
from daybreak.doctor.finding import Finding, examine
from daybreak.environment.records import Switches
from daybreak.registry.clock import utc_now
from daybreak.registry.outbox import CHANNEL, Notice, Outbox
from daybreak.settings import Settings
from examples.standins.aws.emulator import AwsEmulator
from tests.monorepo import Monorepo

NOBODY = "http://127.0.0.1:9"


def settings(home: Path, **more: Any) -> Settings:
    return Settings.model_validate({"home": home, **more})


def said(found: list[Finding]) -> dict[str, Finding]:
    return {each.area: each for each in found}


def test_a_check_that_breaks_is_a_finding_and_the_next_one_is_asked(tmp_path: Path) -> None:
    def broken(_: Settings) -> list[Finding]:
        raise RuntimeError("first line\nsecond line")

    def well(_: Settings) -> list[Finding]:
        return [Finding("well", "ok", "fine")]

    found = list(examine(settings(tmp_path), {"broken": broken, "well": well}))
    assert [(each.area, each.state, each.said) for each in found] == [
        ("broken", "fail", "RuntimeError: first line"),
        ("well", "ok", "fine"),
    ]


def test_a_registry_without_tables_says_which_command_makes_them(tmp_path: Path) -> None:
    [found] = examine(settings(tmp_path), {"registry": local.registry})
    assert found.state == "fail"
    assert "daybreak registry migrate" in found.said


def test_sqlite_is_a_warning_because_it_serves_one_machine(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    registry.migrate(registry.connect(chosen.registry_url))
    found, _ = examine(chosen, {"registry": local.registry})
    assert (found.state, "PostgreSQL" in found.next) == ("warn", True)


def test_messages_that_reach_nobody_are_told_with_why_and_sent_again_by_a_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = settings(tmp_path, slack={"channel": "#dev"})
    engine = registry.connect(chosen.registry_url)
    registry.migrate(engine)
    assert (local.messages(engine, chosen).state, local.messages(engine, chosen).said) == (
        "ok", "everything was sent",
    )  # fmt: skip

    # Nobody sends; the message waits since an hour.
    began = utc_now() - timedelta(hours=1)
    Outbox(engine, lambda: began).put(Notice("night/1", CHANNEL, {"kind": "message"}))
    late = local.messages(engine, chosen)
    assert (late.state, "1 wait since" in late.said, "`caretaker`" in late.next) == ("warn", True, True)
    assert local.messages(engine, settings(tmp_path)).state == "ok", "without Slack nobody is to be told"

    # Slack refuses it for good; somebody invites the bot.
    outbox = Outbox(engine)
    [outgoing] = outbox.claim()
    outbox.failed(outgoing, "Slack says not_in_channel", final=True)
    lost = local.messages(engine, chosen)
    assert lost.said == "1 were given up, the last for channel: Slack says not_in_channel"
    config = tmp_path / "daybreak.yaml"
    config.write_text(json.dumps({"home": str(tmp_path), "slack": {"channel": "#dev"}}))
    monkeypatch.setenv("DAYBREAK_CONFIG", str(config))
    assert main(["registry", "messages"]) == 0
    assert "failed  channel  night/1  Slack says not_in_channel" in capsys.readouterr().out
    assert main(["registry", "messages", "--again", "--json"]) == 0
    [waits] = json.loads(capsys.readouterr().out)
    assert (waits["key"], waits["status"]) == ("night/1", "waiting")
    [outgoing] = outbox.claim()
    outbox.sent(outgoing, None)
    assert main(["registry", "messages"]) == 0
    assert capsys.readouterr().out == "nothing waits, and nothing was given up\n"


@pytest.mark.postgres
def test_the_registrys_clock_is_compared_with_ours(tmp_path: Path, fresh_postgres: str) -> None:
    chosen = settings(tmp_path, registry=fresh_postgres)
    registry.migrate(registry.connect(chosen.registry_url))
    found = said(list(examine(chosen, {"registry": local.registry})))
    assert (found["registry"].state, found["clock"].state) == ("ok", "ok")


def test_a_clock_that_is_off_fails_whichever_way() -> None:
    now = datetime.now(UTC)
    for theirs in (now + timedelta(minutes=1), now - timedelta(minutes=1)):
        found = local.skew("the registry", theirs)
        assert (found.state, "differ by 60 s" in found.said) == ("fail", True)


def test_the_store_is_written_and_read(tmp_path: Path) -> None:
    [found] = examine(settings(tmp_path), {"store": local.store})
    assert found.state == "ok"
    locked = tmp_path / "file"
    locked.write_text("")
    [found] = examine(settings(tmp_path, store=f"file://{locked}/store"), {"store": local.store})
    assert found.state == "fail"


def test_the_monorepo_is_fetched_and_its_catalog_read(tmp_path: Path) -> None:
    monorepo = Monorepo(tmp_path / "monorepo")
    commit = monorepo.commit({"resources.py": "", "a/x": "x"})
    chosen = settings(tmp_path, monorepo={"url": str(monorepo.path)})
    [found] = examine(chosen, {"monorepo": local.monorepo})
    assert (found.state, found.said) == ("fail", f"main is {commit[:12]}; 0 resources")
    monorepo.commit({"a/pyproject.toml": "[project]\nname = 'a'\nversion = '1'\n"})
    well, untested = examine(chosen, {"monorepo": local.monorepo})
    assert (well.state, untested.state, "`monorepo.e2e`" in untested.next) == ("ok", "warn", True)
    monorepo.commit({"e2e/test_it.py": ""})
    assert len(list(examine(chosen, {"monorepo": local.monorepo}))) == 1
    chosen = settings(tmp_path, monorepo={"url": str(monorepo.path), "branch": "trunk"})
    [found] = examine(chosen, {"monorepo": local.monorepo})
    assert (found.state, "'trunk'" in found.said) == ("fail", True)


@pytest.mark.aws
def test_who_we_are_in_an_account_and_that_it_is_not_armed(
    tmp_path: Path, aws: AwsEmulator, aws_account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = _with_profile(tmp_path, monkeypatch, aws, signs_as=aws_account, listed=aws_account)
    registry.migrate(registry.connect(chosen.registry_url))
    found = list(examine(chosen, {"aws": cloud.accounts}))
    area = f"aws {aws_account}"
    assert [(each.area, each.state) for each in found if each.area != "clock"] == [
        (area, "ok"),
        (area, "warn"),
    ]
    assert f"daybreak arm {aws_account}" in found[-1].next
    Switches(registry.connect(chosen.registry_url), utc_now).arm(aws_account, "dana")
    assert {each.state for each in examine(chosen, {"aws": cloud.accounts})} == {"ok"}


@pytest.mark.aws
def test_credentials_of_another_account_fail(
    tmp_path: Path, aws: AwsEmulator, aws_account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = _with_profile(tmp_path, monkeypatch, aws, signs_as="999988887777", listed=aws_account)
    [found] = [each for each in examine(chosen, {"aws": cloud.accounts}) if each.state == "fail"]
    assert "999988887777" in found.said
    assert aws_account in found.next


def test_an_aws_that_does_not_answer_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "111122223333")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    chosen = settings(tmp_path, aws={"accounts": {"111122223333": {}}, "endpoint_url": NOBODY})
    [found] = examine(chosen, {"aws": cloud.accounts})
    assert (found.state, "Could not connect" in found.said) == ("fail", True)


@pytest.mark.postgres
def test_each_sql_server_is_entered_and_a_secret_is_never_said(tmp_path: Path, postgres_url: str) -> None:
    account = {"accounts": {"111122223333": {}}}
    good = postgres_url.replace("/postgres?", "/{database}?")
    bad = "postgresql+psycopg2://daybreak:s3cret@127.0.0.1:9/{database}"
    environments = [
        {"name": "dev-01", "account": "111122223333", "sql": good},
        {"name": "dev-02", "account": "111122223333", "sql": bad},
        {"name": "dev-03", "account": "111122223333"},
    ]
    found = said(
        list(examine(settings(tmp_path, aws=account, environments=environments), {"sql": cloud.sql}))
    )
    assert {area: each.state for area, each in found.items()} == {"sql dev-01": "ok", "sql dev-02": "fail"}
    assert "s3cret" not in str(found)


def test_without_airflow_in_the_settings_it_is_a_warning(tmp_path: Path) -> None:
    [found] = examine(settings(tmp_path), {"airflow": airflow.airflow})
    assert (found.state, "docs/settings.md" in found.next) == ("warn", True)


def test_an_airflow_that_does_not_answer_fails_and_the_password_is_not_said(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    chosen = settings(tmp_path, airflow={"url": url, "password": "s3cret"})
    [found] = examine(chosen, {"airflow": airflow.airflow})
    assert (found.state, url in found.said, "s3cret" in str(found)) == ("fail", True, False)


def test_json_is_pure_and_the_exit_code_says_whether_something_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "daybreak.yaml"
    config.write_text(f"home: {tmp_path / 'home'}\n")
    monkeypatch.setenv("DAYBREAK_CONFIG", str(config))
    assert main(["doctor", "--only", "home", "--only", "store", "--json"]) == 0
    assert [each["area"] for each in json.loads(capsys.readouterr().out)] == ["home", "store"]
    assert main(["doctor", "--only", "settings"]) == 1
    out = capsys.readouterr().out
    assert "no environments" in out
    assert "0 ok, 0 to think about, 1 to mend" in out


def _with_profile(
    folder: Path, monkeypatch: pytest.MonkeyPatch, aws: AwsEmulator, *, signs_as: str, listed: str
) -> Settings:
    credentials = folder / "credentials"
    credentials.write_text(f"[dev]\naws_access_key_id = {signs_as}\naws_secret_access_key = x\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(credentials))
    accounts = {"accounts": {listed: {"profile": "dev"}}, "endpoint_url": aws.endpoint_url}
    return settings(folder, aws=accounts)
