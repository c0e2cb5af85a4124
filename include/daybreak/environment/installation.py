"""One installation of Daybreak: its settings, registry, store, mirror of the monorepo and AWS sessions.

The CLI makes one from the settings alone; inside Airflow the sessions come from Airflow's connections
(``orchestration/connections.py``). Everything below Airflow takes an `Installation` and asks nothing else.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import boto3
from sqlalchemy.engine import Engine

from daybreak import git, registry
from daybreak.aws import session as aws_session
from daybreak.deploy.driver import Target
from daybreak.deploy.host import HostClient
from daybreak.environment.interlocks import Interlocks
from daybreak.environment.leases.desk import Desk
from daybreak.environment.leases.lease import Leases
from daybreak.environment.leases.votes import Votes
from daybreak.environment.leases.waiting import Waiting
from daybreak.environment.nights import Nights
from daybreak.environment.records import Builds, Deployments, Runs, ScorchPlans, Switches
from daybreak.environment.state import Environments
from daybreak.git.repository import Repository
from daybreak.registry.clock import Clock, utc_now
from daybreak.registry.inbox import Inbox
from daybreak.registry.outbox import Outbox
from daybreak.settings import EnvironmentSettings, ImageSettings, Settings
from daybreak.store import Store

log = logging.getLogger(__name__)

#: Seconds: longer than a restart of the registry's server takes, failover of a managed one included.
PATIENCE = 60.0

SessionFor = Callable[[EnvironmentSettings], boto3.Session]


@dataclass(frozen=True)
class Installation:
    """See the module."""

    settings: Settings
    engine: Engine
    store: Store
    session_for: SessionFor
    clock: Clock = field(default=utc_now)

    @classmethod
    def open(
        cls, settings: Settings, session_for: SessionFor | None = None, *, patience: float = 0
    ) -> Installation:
        """Connect to what the settings name; the registry's tables are brought up to date.

        :param session_for: by default a session of the account's ``profile``.
        :param patience: see :func:`daybreak.registry.connect`; :data:`PATIENCE` for what works for hours.
        """
        settings.home.mkdir(parents=True, exist_ok=True)
        engine = registry.connect(settings.registry_url, patience=patience)
        registry.migrate(engine)

        def by_profile(environment: EnvironmentSettings) -> boto3.Session:
            account = settings.aws.accounts[environment.account]
            return aws_session.session(account, environment.region, max_attempts=settings.aws.max_attempts)

        return cls(settings, engine, Store(settings.store_url), session_for or by_profile)

    @property
    def home(self) -> Path:
        """``$DAYBREAK_HOME`` of this machine."""
        return self.settings.home.absolute()

    def mirror(self) -> Repository:
        """The monorepo, fetched anew."""
        return git.mirror(self.settings.monorepo.url, self.home / "mirror.git")

    @cached_property
    def host(self) -> HostClient:
        """What owns the services of the `process` driver."""
        return HostClient(self.home, self.settings.host)

    @cached_property
    def environments(self) -> Environments:
        """Rows and ops of the environments; the settings' environments have a row from here on."""
        return Environments(self.engine, self.clock)

    @cached_property
    def nights(self) -> Nights:
        """Nights and their steps."""
        return Nights(self.engine, self.clock)

    @cached_property
    def leases(self) -> Leases:
        """Who has which environment."""
        return Leases(self.environments, self.settings.lease, self.settings.night.tzinfo)

    @cached_property
    def waiting(self) -> Waiting:
        """Who waits for which environment."""
        return Waiting(self.engine, self.clock)

    @cached_property
    def votes(self) -> Votes:
        """Who wants what kept over the days off."""
        return Votes(self.engine, self.clock)

    @cached_property
    def desk(self) -> Desk:
        """Taking any, waiting, turns, notices."""
        return Desk(self)

    @cached_property
    def runs(self) -> Runs:
        """Pinned plans."""
        return Runs(self.engine, self.clock)

    @cached_property
    def builds(self) -> Builds:
        """What was built."""
        return Builds(self.engine, self.clock)

    @cached_property
    def deployments(self) -> Deployments:
        """What was deployed where."""
        return Deployments(self.engine, self.clock)

    @cached_property
    def scorch_plans(self) -> ScorchPlans:
        """Deletion plans and their usual size."""
        return ScorchPlans(self.engine, self.clock)

    @cached_property
    def switches(self) -> Switches:
        """Armed accounts and the freeze."""
        return Switches(self.engine, self.clock)

    @cached_property
    def inbox(self) -> Inbox:
        """Requests from outside."""
        return Inbox(self.engine, self.clock)

    @cached_property
    def outbox(self) -> Outbox:
        """What people are to be told."""
        return Outbox(self.engine, self.clock)

    def nonces(self, environment: str) -> list[str]:
        """The nonces that may stand on what is there: the present one and, mid-rotation, the one before."""
        row = self.environments.get(environment)
        return [nonce for nonce in (row.nonce, row.nonce_previous) if nonce]

    def interlocks(self, environment: str) -> Interlocks:
        """What is asked before each mutation of the environment's account."""
        return Interlocks(
            allowed=set(self.settings.aws.accounts),
            armed=self.switches.is_armed,
            frozen=self.switches.is_frozen,
            recorded_account=self.environments.get(environment).account,
        )

    def target(
        self, environment: str, guard: Callable[[], None], *, stack: dict[str, str] | None = None, **more: Any
    ) -> Target:
        """The environment as drivers reach it.

        :param guard: stops whoever lost the environment, see :class:`daybreak.deploy.driver.Target`.
        """
        settings = self.settings.environment(environment)
        return Target(
            environment=settings,
            nonce=self.environments.get(environment).nonce or "",
            session=self.session_for(settings),
            endpoint_url=self.settings.aws.endpoint_url,
            stack=stack or {},
            home=self.home,
            host=self.settings.host,
            guard=guard,
            log=partial(log.info, "%s: %s", environment),
            images=self.settings.build.images or ImageSettings(),
            **more,
        )

    def register(self) -> None:
        """Give every environment of the settings its row."""
        for environment in self.settings.environments:
            self.environments.ensure(environment)
