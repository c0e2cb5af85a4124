"""The demo's services as containers: which engine, and how they reach the demo's PostgreSQL."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Iterable
from contextlib import suppress

from sqlalchemy.engine import make_url

from examples.demo.airflow import ROOT, clean
from examples.demo.processes import Processes
from examples.standins.postgres import Postgres


class Containers:
    """The Docker Engine that ``DOCKER_HOST`` names, by default this machine's."""

    def __init__(self) -> None:
        self.url = os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"

    def want(self) -> None:
        """End the demo, before it begins, where there is no engine on this machine."""
        from daybreak.build.images.engine import connected
        from daybreak.errors import DaybreakError
        from daybreak.settings import EngineSettings

        if not self.url.startswith("unix://"):
            raise SystemExit(f"the demo's emulators are on this machine alone, and DOCKER_HOST is {self.url}")
        try:
            with connected(EngineSettings(url=self.url)) as client:
                client.ping()
        except DaybreakError as error:
            raise SystemExit(f"{error} Without an engine: make demo") from None

    def database(self, processes: Processes, postgres: Postgres) -> str:
        """The URL of the environments' databases over TCP: a container reaches no unix socket."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        folder = make_url(postgres.url("postgres")).query["host"]
        path = f"{folder}/.s.PGSQL.5432"
        processes.keep(
            "postgres-tcp", [sys.executable, "-m", "examples.standins.tcp", str(port), path],
            clean(os.environ), ROOT,
        )  # fmt: skip
        for _ in range(100):
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.1)
        return f"postgresql+psycopg2://postgres@127.0.0.1:{port}/{{database}}"

    def remove(self, environments: Iterable[str]) -> None:
        """Take away what the demo's environments left on the engine; images stay for the next demo."""
        from daybreak.build.images.engine import connected
        from daybreak.deploy.relays import ENVIRONMENT
        from daybreak.errors import DaybreakError
        from daybreak.settings import EngineSettings

        with suppress(DaybreakError), connected(EngineSettings(url=self.url)) as client:
            for name in environments:
                label = {"label": f"{ENVIRONMENT}={name}"}
                for container in client.containers.list(all=True, filters=label):
                    container.remove(force=True)
                client.networks.prune(filters=label)
