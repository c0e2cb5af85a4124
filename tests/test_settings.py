"""Settings: what is wrong is named by file, line and field; secrets stay out of the file."""

from __future__ import annotations

import re
import traceback
from pathlib import Path

import pytest

from daybreak.errors import UsageError
from daybreak.settings import Settings, load

ACCOUNT = 'aws: {accounts: {"111122223333": {}}}\n'


def written(folder: Path, text: str) -> Path:
    path = folder / "daybreak.yaml"
    path.write_text(text)
    return path


def refused(folder: Path, text: str, **environ: str) -> str:
    with pytest.raises(UsageError) as error:
        load(written(folder, text), environ)
    return str(error.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("night:\n  zone: Mars/Olympus\n", ":2: night.zone: 'Mars/Olympus' is not an IANA time zone"),
        ("night:\n  evenign: '20:00'\n", ":2: night.evenign: no such field"),
        ("environments:\n  - {name: dev-01, account: '12'}\n", ":2: environments.0.account: "),
        ("- a\n- b\n", ":1: expected fields"),
        ("night: [\n", "not YAML"),
        ("github:\n  repository: https://github.com/acme/acme\n", ":2: github.repository: "),
        (
            "environments:\n  - {name: dev-01, account: '999988887777'}\n",
            "environments.0.account: 999988887777 is not on the allow-list",
        ),
        (
            ACCOUNT + "environments:\n  - &e {name: dev-01, account: '111122223333'}\n  - *e\n",
            "environments.1.name: 'dev-01' is there twice",
        ),
    ],
)
def test_a_wrong_field_is_named_with_file_and_line(tmp_path: Path, text: str, said: str) -> None:
    message = refused(tmp_path, text)
    assert message.startswith(str(tmp_path / "daybreak.yaml"))
    assert said in message


def test_every_wrong_field_has_a_line_of_its_own(tmp_path: Path) -> None:
    assert len(refused(tmp_path, "schedule: maybe\nscorch: {cap: 0}\n").splitlines()) == 2


def test_a_missing_file_says_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Set DAYBREAK_CONFIG"):
        load(tmp_path / "none.yaml", {})


def test_a_variable_goes_before_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, "night: {evening: '20:00'}\n")
    assert load(path, {"DAYBREAK_NIGHT__EVENING": "19:30"}).night.evening.isoformat() == "19:30:00"


def test_a_secret_comes_from_the_environment_and_is_not_shown(tmp_path: Path) -> None:
    path = written(tmp_path, "registry: postgresql://u:${PW}@db/x\n")
    settings = load(path, {"PW": "hunter2"})
    assert settings.registry_url == "postgresql://u:hunter2@db/x"
    assert "hunter2" not in repr(settings)


def test_a_secret_that_is_not_set_is_named(tmp_path: Path) -> None:
    assert "registry: the environment variable PW is not set" in refused(tmp_path, "registry: a${PW}\n")


def test_what_a_variable_says_instead_of_the_file_needs_no_secret_of_the_file(tmp_path: Path) -> None:
    text = (
        "registry: postgresql+psycopg2://daybreak:${NOWHERE}@db/daybreak\naws: {endpoint_url: '${NOWHERE}'}\n"
    )
    given = {"DAYBREAK_REGISTRY": "postgresql+psycopg2://postgres/daybreak", "DAYBREAK_AWS": "{}"}
    assert load(written(tmp_path, text), given).registry_url == given["DAYBREAK_REGISTRY"]
    with pytest.raises(UsageError, match=r"aws\.endpoint_url: the environment variable NOWHERE is not set"):
        load(written(tmp_path, text), {"DAYBREAK_REGISTRY": given["DAYBREAK_REGISTRY"]})


def test_an_empty_variable_is_as_one_that_is_not_there(tmp_path: Path) -> None:
    path = written(tmp_path, "schedule: 'off'\nslack: {channel: C0123ABC}\n")
    found = load(path, {"DAYBREAK_SCHEDULE": "", "DAYBREAK_SLACK": "", "DAYBREAK_SLACK__CHANNEL": ""})
    assert found.slack is not None
    assert (found.schedule, found.slack.channel) == ("off", "C0123ABC")
    # So the file's own error is told.
    said = refused(tmp_path, "registry: a${PW}\n", DAYBREAK_REGISTRY="")
    assert "registry: the environment variable PW is not set" in said


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("SCORCH__FORBIDDEN", "[mysql://u:hunter2@db/x]]", r"begins with `\[` and is neither JSON nor YAML"),
        ("AWS", "{hunter2: 2026-99-99}", r"begins with `\{` and is neither JSON nor YAML"),
        ("ENVIRONMENTS__0__SQL", "hunter2", "environments has no fields, it is a list: say .* DAYBREAK_ENV"),
        (
            "REGISTRY__X",
            "hunter2",
            "registry has no fields, it is a value: say all of it in DAYBREAK_REGISTRY$",
        ),
        ("NIGHT__ZONE__X", "hunter2", r"night\.zone has no fields, it is a value: .* DAYBREAK_NIGHT__ZONE$"),
    ],
)
def test_a_variable_that_cannot_be_taken_is_named_and_not_shown(
    tmp_path: Path, name: str, value: str, said: str
) -> None:
    text = "registry: sqlite://\nenvironments: []\nnight: {zone: UTC}\n"
    with pytest.raises(UsageError, match=f"^DAYBREAK_{name}: {said}") as caught:
        load(written(tmp_path, text), {f"DAYBREAK_{name}": value})
    shown = "".join(traceback.format_exception(caught.value))
    assert "hunter2" not in shown


def test_a_field_goes_before_its_section_in_whatever_order_variables_come(tmp_path: Path) -> None:
    given = {"DAYBREAK_NIGHT__EVENING": "19:30", "DAYBREAK_NIGHT": "{evening: '18:00', morning: '05:00'}"}
    for order in (given, dict(reversed(given.items()))):
        night = load(written(tmp_path, "night: {ready: '08:00'}\n"), order).night
        assert (night.evening.isoformat(), night.morning.isoformat()) == ("19:30:00", "05:00:00")


def test_a_mistyped_environment_gets_a_suggestion_never_a_guess(tmp_path: Path) -> None:
    text = ACCOUNT + "environments:\n  - {name: dev-01, account: '111122223333'}\n"
    with pytest.raises(UsageError, match=r"'dev-1'; did you mean dev-01\?"):
        load(written(tmp_path, text), {}).environment("dev-1")


def test_the_example_in_the_docs_is_right(tmp_path: Path) -> None:
    page = Path(__file__).resolve().parents[1] / "docs" / "settings.md"
    example = re.search(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)
    assert example is not None
    names = ("REGISTRY_PASSWORD", "DEV_SQL_PASSWORD", "AIRFLOW_DB_PASSWORD", "AIRFLOW_BOT_PASSWORD")
    secrets = {**dict.fromkeys(names, "a"), "HOST_TOKEN": "sixteen letters, or more"}
    settings = load(written(tmp_path, example.group(1)), secrets)
    assert settings.environment("dev-01").database_url("fleet_db").endswith("/dev_01_fleet_db")


def test_slack_is_off_until_a_channel_is_named(tmp_path: Path) -> None:
    assert load(written(tmp_path, ""), {}).slack is None
    found = load(written(tmp_path, 'slack: {channel: "#dev-envs"}\n'), {}).slack
    assert found is not None
    assert (found.connection, found.channel) == ("slack_default", "#dev-envs")
    assert ":1: slack.channel" in refused(tmp_path, "slack: {channel: dev envs}\n")
    assert "slack.channel: Field required" in refused(tmp_path, "slack: {connection: mine}\n")


def test_a_section_that_is_null_in_the_file_is_filled_by_variables(tmp_path: Path) -> None:
    found = load(written(tmp_path, "slack: null\n"), {"DAYBREAK_SLACK__CHANNEL": "C0123ABC"}).slack
    assert found is not None
    assert found.channel == "C0123ABC"


def test_the_slots_of_the_pools_are_at_least_one(tmp_path: Path) -> None:
    pools = load(written(tmp_path, "pools: {aws: 8}\n"), {}).pools
    assert (pools.aws, pools.builds, pools.e2e) == (8, 2, 2)
    assert ":1: pools.builds" in refused(tmp_path, "pools: {builds: 0}\n")


def test_the_merge_environment_is_named_or_the_only_one(tmp_path: Path) -> None:
    def settings(*roles: str, merge: str = "{}") -> Settings:
        rows = [
            f'{{name: env-{n}, account: "111122223333", role: {role}}}' for n, role in enumerate(roles, 1)
        ]
        return load(written(tmp_path, f"{ACCOUNT}environments: [{', '.join(rows)}]\nmerge: {merge}\n"), {})

    assert settings("dev", "merge").merge_environment.name == "env-2"
    assert settings("merge", "merge", merge="{environment: env-2}").merge_environment.name == "env-2"
    with pytest.raises(UsageError, match="several environments have `role: merge`"):
        assert settings("merge", "merge").merge_environment
    with pytest.raises(UsageError, match="nothing can land: give one"):
        assert settings("dev").merge_environment
    with pytest.raises(UsageError, match=r"merge.environment: 'env-1' is no environment with `role: merge`"):
        settings("dev", "merge", merge="{environment: env-1}")
    with pytest.raises(UsageError, match=r":3: merge.batch: Input should be less than or equal to 8"):
        settings("merge", merge="{batch: 9}")
