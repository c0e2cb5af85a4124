"""What Daybreak is told from outside: one model for each section of the settings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, time
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from daybreak.errors import UsageError
from daybreak.settings.engines import EngineSettings, ImageSettings

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

#: What an environment cannot be called: it stands for one in a command.
RESERVED = ("any", "all")


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
    ``<environment>_<resource>`` with dashes turned into underscores. ``runtime`` is where its services run:
    as processes of this machine's host, or as containers of ``engine``.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length=40)]
    account: Annotated[str, Field(pattern=r"^\d{12}$")]
    region: str = "us-east-1"
    role: Literal["dev", "merge"] = "dev"
    sql: SecretStr | None = None
    parameters: Mapping[str, str] = Field(default_factory=dict)
    hourly_cost: float = Field(0.0, ge=0)
    runtime: Literal["process", "docker"] = "process"
    engine: EngineSettings = EngineSettings()

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
    """How builds run. ``pass_environment`` is the allow-list of variables that builds and tests may see.

    Proxies they see without it, but for user and password.

    With ``images`` each service's image is made by its build; without, an engine makes what it is to run.
    """

    workers: int = Field(2, ge=1, le=64)
    python: str = "3.11"
    timeout_seconds: int = Field(900, ge=1)
    pass_environment: tuple[str, ...] = ()
    images: ImageSettings | None = None


class HostSettings(_Model):
    """Where services of the `process` driver run, when that is not the machine of every task.

    :param address: ``name:port`` of the machine whose ``daybreak host`` serves; services there are reached
        under the same name.
    :param token: who knows it may start programs on that machine. It travels as it is: keep the network
        between the machines private.
    """

    address: Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?:[0-9]{1,5}$")]
    token: Annotated[SecretStr, Field(min_length=16)]

    @property
    def name(self) -> str:
        """The machine."""
        return self.address.partition(":")[0]

    @property
    def port(self) -> int:
        """Where its host listens."""
        return int(self.address.partition(":")[2])


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
    """Where people are told, and how Slack is reached.

    ``connection`` is Airflow's, of type Slack API: the bot token is its password, ``signing_secret`` and
    ``base_url`` stand in its extra. ``channel`` is a name with its ``#``, or an id; the bot must be a member
    of it. The secrets below are for `daybreak bots`, which knows no Airflow: give them as
    ``DAYBREAK_SLACK__TOKEN`` and ``DAYBREAK_SLACK__APP_TOKEN``.
    """

    connection: str = "slack_default"
    channel: Annotated[str, Field(pattern=r"^(#\S{1,80}|[CDG][A-Z0-9]{2,})$")]
    token: SecretStr | None = None
    app_token: SecretStr | None = None
    base_url: Annotated[str, Field(pattern=r"^https?://\S+/$")] = "https://slack.com/api/"


class Github(_Model):
    """Which repository on GitHub pull requests are of, and how GitHub is reached.

    ``connection`` is Airflow's, of type GitHub: a token as its password, or an App's key in its extra, where
    ``webhook_secret`` stands too; its host is the API's base URL. ``login`` is who that is; an App has to be
    told: ``name[bot]``. ``token`` and ``base_url`` are for what knows no Airflow: give the token as
    ``DAYBREAK_GITHUB__TOKEN``.
    """

    connection: str = "github_default"
    repository: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+/[A-Za-z0-9._-]+$")]
    login: str | None = None
    token: SecretStr | None = None
    base_url: Annotated[str, Field(pattern=r"^https?://\S+[^/\s]$")] = "https://api.github.com"


class MergeSettings(_Model):
    """What may land on main, and where it is tested before.

    ``environment`` has the role ``merge``; it may be left out where just one has. ``required_reviews`` are
    approvals of the very commit, none of them by its author. A pull request with one of ``blocking_labels``
    waits; one from a fork is refused unless ``forks`` says ``allow``: its code runs on the environment.
    ``batch`` is how many are tested together at the most. ``style`` is what a pull request becomes on main:
    a merge commit, one commit (``squash``), or its own commits anew (``rebase``). ``channel`` hears of each
    landing; by default the one of ``slack``.
    """

    environment: str | None = None
    required_reviews: int = Field(1, ge=0, le=10)
    blocking_labels: tuple[str, ...] = ("do-not-merge", "wip")
    forks: Literal["refuse", "allow"] = "refuse"
    batch: int = Field(8, ge=1, le=8)
    style: Literal["merge", "squash", "rebase"] = "merge"
    channel: Annotated[str, Field(pattern=r"^(#\S{1,80}|[CDG][A-Z0-9]{2,})$")] | None = None


class PersonSettings(_Model):
    """A person, and who that is elsewhere; ``name`` is what leases and events carry, for ever.

    ``slack`` is a user id, never a display name. ``airflow`` and ``os`` (the login on a machine with the
    CLI) are ``name`` unless they are given; what is not given can be linked later (`/bobby link`).
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=64)]
    email: Annotated[str, Field(pattern=r"^\S+@\S+$", max_length=255)] | None = None
    slack: Annotated[str, Field(pattern=r"^[UW][A-Z0-9]{2,}$")] | None = None
    github: str | None = None
    airflow: str | None = None
    os: str | None = None
    admin: bool = False

    @property
    def known_as(self) -> Mapping[str, str]:
        """Who the person is, by field; a GitHub login in lower case, since GitHub knows no other."""
        said = {
            "name": self.name, "email": self.email, "slack": self.slack, "github": self.github,
            "airflow": self.airflow or self.name, "os": self.os or self.name,
        }  # fmt: skip
        if self.github:
            said["github"] = self.github.lower()
        return {field: value for field, value in said.items() if value}


class LeaseSettings(_Model):
    """Limits on how long and how many environments a person may hold, and when people are told.

    ``max_hours`` is from a lease's beginning to its end, extensions included. ``turn_minutes`` is how long an
    environment is kept for somebody who waited for it; ``notice_minutes`` before it is torn down.
    """

    max_hours: float = Field(12, gt=0)
    default_hours: float = Field(4, gt=0)
    per_person: int = Field(2, ge=1)
    turn_minutes: float = Field(30, gt=0)
    notice_minutes: tuple[int, ...] = (60, 15)
    preserve_nights: int = Field(14, ge=1)

    @model_validator(mode="after")
    def _within(self) -> LeaseSettings:
        if self.default_hours > self.max_hours:
            raise ValueError(
                f"default_hours {self.default_hours:g} is more than max_hours {self.max_hours:g}"
            )
        return self


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
    merge: MergeSettings = MergeSettings()
    people: tuple[PersonSettings, ...] = ()
    pools: Pools = Pools()
    host: HostSettings | None = None
    airflow: Airflow | None = None
    slack: Slack | None = None
    github: Github | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        seen: set[str] = set()
        for position, environment in enumerate(self.environments):
            if environment.name in seen:
                raise ValueError(f"environments.{position}.name: {environment.name!r} is there twice")
            seen.add(environment.name)
            if environment.name in RESERVED:
                raise ValueError(f"environments.{position}.name: {environment.name!r} is a word of Bobby's")
            if environment.account not in self.aws.accounts:
                raise ValueError(
                    f"environments.{position}.account: {environment.account} is not on the allow-list "
                    "aws.accounts"
                )
        if self.merge.environment is not None:
            roles = {each.name: each.role for each in self.environments}
            if roles.get(self.merge.environment) != "merge":
                able = ", ".join(name for name, role in roles.items() if role == "merge") or "none"
                raise ValueError(
                    f"merge.environment: {self.merge.environment!r} is no environment with `role: merge`; "
                    f"there are: {able}"
                )
        known: dict[tuple[str, str], int] = {}
        for position, person in enumerate(self.people):
            for kind, value in person.known_as.items():
                first = known.setdefault((kind, value.lower()), position)
                if first != position:
                    raise ValueError(
                        f"people.{position}.{kind}: {value!r} is {self.people[first].name}'s already"
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
    def merge_environment(self) -> EnvironmentSettings:
        """Where pull requests are tested before they land.

        :raises UsageError: when none has the role, or several have and none is named.
        """
        if self.merge.environment is not None:
            return self.environment(self.merge.environment)
        able = [each for each in self.environments if each.role == "merge"]
        if not able:
            raise UsageError("nothing can land: give one of `environments:` in daybreak.yaml `role: merge`")
        if len(able) > 1:
            names = ", ".join(each.name for each in able)
            raise UsageError(
                f"several environments have `role: merge` ({names}); name one: `merge.environment`"
            )
        return able[0]

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
