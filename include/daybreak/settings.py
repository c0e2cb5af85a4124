"""``include/config/daybreak.yaml`` and ``DAYBREAK_*`` variables → typed settings, one error per wrong field.

Order of precedence: ``DAYBREAK_<FIELD>`` (nested: ``DAYBREAK_NIGHT__EVENING=19:30``), then the file, then the
defaults below. ``${NAME}`` inside a value of the file is replaced by that environment variable, so that
secrets stay out of the file. Durations are minutes or seconds as their names say; local times are ``HH:MM``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import date, time
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, available_timezones

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator

from daybreak.errors import UsageError

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

#: Where the settings are unless DAYBREAK_CONFIG says otherwise.
DEFAULT_FILE = Path(__file__).resolve().parent.parent / "config" / "daybreak.yaml"


def _zone(value: str) -> str:
    if value not in available_timezones():
        raise ValueError(f"{value!r} is not an IANA time zone, for example 'Asia/Jerusalem'")
    return value


def _url(value: SecretStr) -> SecretStr:
    if not re.match(r"[a-z][a-z0-9+]*://", value.get_secret_value()):
        raise ValueError("not a SQLAlchemy URL, for example 'postgresql+psycopg2://user:secret@host/airflow'")
    return value


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Monorepo(_Model):
    """Where the team's code lives."""

    url: str = "."
    branch: str = "main"
    catalog: str = "resources.py"
    e2e: str = "e2e"


class Holidays(_Model):
    """Days without work: a country's public holidays, plus ``dates``, minus ``working_dates``."""

    country: str | None = None
    subdivision: str | None = None
    dates: frozenset[date] = frozenset()
    working_dates: frozenset[date] = frozenset()


class NightPolicy(_Model):
    """When environments go and come back (environments.md, "The night")."""

    zone: Annotated[str, AfterValidator(_zone)] = "UTC"
    evening: time = time(20, 0)
    morning: time = time(6, 0)
    ready: time = time(8, 30)
    teardown_cutoff: time = time(23, 30)
    build_cutoff: time = time(10, 0)
    workweek: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri")
    holidays: Holidays = Holidays()
    weekend_keep: int = Field(2, ge=0)
    step_attempts: int = Field(2, ge=1, le=10)
    retry_seconds: float = Field(15, ge=0)

    @property
    def tzinfo(self) -> ZoneInfo:
        """The policy's zone."""
        return ZoneInfo(self.zone)


class Workload(_Model):
    """AWS credentials of an account's deployed processes and e2e suites; never the orchestrator's."""

    access_key_id: str
    secret_access_key: SecretStr


class Account(_Model):
    """One AWS account on the allow-list. ``connection`` is used inside Airflow, ``profile`` by the CLI."""

    connection: str = "aws_default"
    profile: str | None = None
    workload: Workload | None = None


class Aws(_Model):
    """The allow-list of accounts, and what all of them share."""

    endpoint_url: str | None = None
    accounts: Mapping[Annotated[str, Field(pattern=r"^\d{12}$")], Account] = Field(default_factory=dict)
    max_attempts: int = Field(8, ge=1, le=20)


class EnvironmentSettings(_Model):
    """One shared development environment.

    ``sql`` is a SQLAlchemy URL with ``{database}`` where the database's name goes; the name is
    ``<environment>_<resource>`` with dashes turned into underscores.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length=40)]
    account: Annotated[str, Field(pattern=r"^\d{12}$")]
    region: str = "us-east-1"
    role: Literal["dev", "merge"] = "dev"
    sql: SecretStr | None = None
    parameters: Mapping[str, str] = Field(default_factory=dict)
    hourly_cost: float = Field(0.0, ge=0)

    def database_name(self, resource: str) -> str:
        """The name of this environment's database for ``resource``."""
        return f"{self.name}_{resource}".replace("-", "_")

    def database_url(self, resource: str) -> str:
        """The SQLAlchemy URL of this environment's database for ``resource``. Secret: never log it."""
        if self.sql is None:
            raise UsageError(
                f"environment {self.name} has no `sql` URL, but resource {resource} is a database. "
                f"Add `sql:` to it in daybreak.yaml."
            )
        return self.sql.get_secret_value().replace("{database}", self.database_name(resource))


class ScorchSettings(_Model):
    """When a deletion plan is too large to be believed, and which databases are never touched.

    ``forbidden`` are SQLAlchemy URLs, Airflow's own first of all; the registry's always belongs to them.
    """

    cap: int = Field(500, ge=1)
    ratio: float = Field(1.5, ge=1)
    forbidden: tuple[Annotated[SecretStr, AfterValidator(_url)], ...] = ()


class BuildSettings(_Model):
    """How builds run. ``pass_environment`` is the allow-list of variables that builds and tests may see."""

    workers: int = Field(2, ge=1, le=64)
    python: str = "3.11"
    timeout_seconds: int = Field(900, ge=1)
    pass_environment: tuple[str, ...] = ()


class Pools(_Model):
    """Slots of Airflow's pools: how much of each kind of work goes on at once.

    ``aws`` bounds the stages of environments, ``builds`` builds and unit tests, ``e2e`` the suites.
    """

    aws: int = Field(4, ge=1)
    builds: int = Field(2, ge=1)
    e2e: int = Field(2, ge=1)


class Airflow(_Model):
    """How what is not a task reaches Airflow's REST API: the bots, the CLI, a run's note.

    :param url: base URL, with its path prefix where there is one.
    :param username: of the user ``bot``, whose role may trigger runs and write notes; a token lives for a day
        and is fetched again.
    """

    url: Annotated[str, Field(pattern=r"^https?://\S+$")]
    username: str = "bot"
    password: SecretStr


class Slack(_Model):
    """Where people are told. ``connection`` is Airflow's, of type Slack API: a bot token with `chat:write`.

    ``channel`` is a name with its ``#``, or an id; the bot must be a member of it.
    """

    connection: str = "slack_default"
    channel: Annotated[str, Field(pattern=r"^(#\S{1,80}|[CDG][A-Z0-9]{2,})$")]


class LeaseSettings(_Model):
    """Limits on how long and how many environments a person may hold."""

    max_hours: float = Field(12, gt=0)
    per_person: int = Field(2, ge=1)


class Settings(_Model):
    """Everything that Daybreak is told from outside."""

    monorepo: Monorepo = Monorepo()
    home: Path = Path(".daybreak")
    store: str = ""
    registry: SecretStr = SecretStr("")
    schedule: Literal["on", "off"] = "on"
    aws: Aws = Aws()
    night: NightPolicy = NightPolicy()
    environments: tuple[EnvironmentSettings, ...] = ()
    scorch: ScorchSettings = ScorchSettings()
    build: BuildSettings = BuildSettings()
    lease: LeaseSettings = LeaseSettings()
    pools: Pools = Pools()
    airflow: Airflow | None = None
    slack: Slack | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        seen: set[str] = set()
        for position, environment in enumerate(self.environments):
            if environment.name in seen:
                raise ValueError(f"environments.{position}.name: {environment.name!r} is there twice")
            seen.add(environment.name)
            if environment.account not in self.aws.accounts:
                raise ValueError(
                    f"environments.{position}.account: {environment.account} is not on the allow-list "
                    "aws.accounts"
                )
        return self

    def environment(self, name: str) -> EnvironmentSettings:
        """The settings of one environment; an unknown name is a :class:`UsageError` with a hint."""
        for environment in self.environments:
            if environment.name == name:
                return environment
        import difflib

        names = [environment.name for environment in self.environments]
        near = difflib.get_close_matches(name, names, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(names) or 'none'}"
        raise UsageError(f"no environment is called {name!r}; {hint}")

    @property
    def store_url(self) -> str:
        """Where artifacts live; by default a folder under ``home``."""
        return self.store or (self.home.absolute() / "store").as_uri()

    @property
    def registry_url(self) -> str:
        """The registry's SQLAlchemy URL; by default SQLite under ``home``. Secret: never log it."""
        return self.registry.get_secret_value() or f"sqlite:///{self.home.absolute() / 'registry.db'}"

    @property
    def forbidden_urls(self) -> tuple[str, ...]:
        """Databases that are never scorched: the registry's, and `scorch.forbidden`. Secret: never log."""
        return (self.registry_url, *(url.get_secret_value() for url in self.scorch.forbidden))


def load(path: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings.

    :param path: the file; by default ``$DAYBREAK_CONFIG``, else ``include/config/daybreak.yaml``.
    :raises UsageError: with one line for each wrong field: file, line, field, what is wrong.
    """
    environ = os.environ if environ is None else environ
    path = path or Path(environ.get("DAYBREAK_CONFIG") or DEFAULT_FILE)
    text = _read(path)
    try:
        node = yaml.compose(text)
        data = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise UsageError(f"{path}: not YAML: {error}") from error
    if not isinstance(data, dict):
        raise UsageError(f"{path}:1: expected fields such as `environments:`, found {type(data).__name__}")
    data = _expand(data, environ, path, ())
    _overlay(data, environ)
    try:
        return Settings.model_validate(data)
    except ValidationError as error:
        raise UsageError(_explain(error, path, node)) from None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError(
            f"{path}: no such file. Set DAYBREAK_CONFIG, or write one (docs/settings.md)."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from error


def _expand(value: Any, environ: Mapping[str, str], path: Path, where: tuple[str, ...]) -> Any:
    if isinstance(value, dict):
        return {key: _expand(item, environ, path, (*where, str(key))) for key, item in value.items()}
    if isinstance(value, list):
        return [_expand(item, environ, path, (*where, str(index))) for index, item in enumerate(value)]
    if not isinstance(value, str):
        return value

    def replace(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in environ:
            raise UsageError(f"{path}: {'.'.join(where)}: the environment variable {name} is not set")
        return environ[name]

    return re.sub(r"\$\{(\w+)\}", replace, value)


#: Variables of ours that are not fields of the settings.
_NOT_FIELDS = {"DAYBREAK_CONFIG"}


def _overlay(data: dict[str, Any], environ: Mapping[str, str]) -> None:
    for name, raw in environ.items():
        if not name.startswith("DAYBREAK_") or name in _NOT_FIELDS:
            continue
        keys = name.removeprefix("DAYBREAK_").lower().split("__")
        # Other variables of ours (DAYBREAK_ENVIRONMENT, DAYBREAK_COMMIT …) belong to resources, not
        # to the settings.
        if keys[0] not in Settings.model_fields:
            continue
        branch = data
        for key in keys[:-1]:
            # A section may be there as `null`.
            branch[key] = branch.get(key) or {}
            branch = branch[key]
        branch[keys[-1]] = yaml.safe_load(raw) if raw[:1] in "[{" else raw


def _explain(error: ValidationError, path: Path, node: yaml.Node | None) -> str:
    lines = []
    for problem in error.errors(include_url=False, include_input=False):
        where = tuple(str(part) for part in problem["loc"] if part != "[key]")
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            message = "no such field"
        field = ".".join(where)
        lines.append(f"{path}:{_line(node, where)}: {field + ': ' if field else ''}{message}")
    return "\n".join(lines)


def _line(node: yaml.Node | None, where: tuple[str, ...]) -> int:
    line = 1
    for part in where:
        if isinstance(node, yaml.MappingNode):
            found = next(((k, v) for k, v in node.value if k.value == part), None)
            if found is None:
                break
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and part.isdigit() and int(part) < len(node.value):
            node = node.value[int(part)]
            line = node.start_mark.line + 1
        else:
            break
    return line
