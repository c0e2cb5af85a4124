"""A real Airflow on the demo's PostgreSQL: api-server, scheduler, dag-processor, triggerer, LocalExecutor."""

from __future__ import annotations

import json
import os
import secrets
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import httpx

from daybreak.errors import DaybreakError
from daybreak.orchestration.pools import POOLS
from daybreak.orchestration.rest import Rest
from examples.demo.processes import Processes

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
#: Logs are read from the folder: the servers for them would listen on all interfaces, at fixed ports.
COMPONENTS = {
    "api-server": (),
    "scheduler": ("--skip-serve-logs",),
    "dag-processor": (),
    "triggerer": ("--skip-serve-logs",),
}
#: Who may come in, with which role: people as admin, what triggers runs as bot.
USERS = {"admin": "admin", "bot": "user"}


def passwords(folder: Path) -> dict[str, str]:
    """The passwords of the users of the Airflow under ``folder``: made once, kept."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "passwords.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    chosen = {user: known.get(user) or secrets.token_urlsafe(9) for user in USERS}
    path.touch(mode=0o600)
    path.write_text(json.dumps(chosen))
    return chosen


class Airflow:
    """One Airflow under ``folder``, on ``port``."""

    def __init__(self, folder: Path, port: int, database: str, more: Mapping[str, str]) -> None:
        self.folder, self.port = folder, port
        self.url = f"http://127.0.0.1:{port}"
        self.passwords = passwords(folder)
        self.env = {**clean(os.environ), **self._settings(database), **more}
        self.rest = Rest(self.url, "bot", self.passwords["bot"])

    def _settings(self, database: str) -> dict[str, str]:
        secret = self.folder / "secret"
        if not secret.exists():
            secret.touch(mode=0o600)
            secret.write_text(secrets.token_hex(32))
        key = secret.read_text()
        return {
            "AIRFLOW_HOME": str(self.folder),
            "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": "5",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(
                f"{user}:{role}" for user, role in USERS.items()
            ),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(self.folder / "passwords.json"),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": database.replace("+psycopg2", "+asyncpg"),
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__SECRET_KEY": key,
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API_AUTH__JWT_SECRET": key,
            # 13.8 s against 6.0 s for a chain of ten empty tasks.
            "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.1",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",
            # What a killed scheduler had queued is looked for soon; by default every 300 s.
            "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "20",
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "10",
            # The graph follows the catalog so soon. Each file is half a second of a processor each time.
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "20",
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO",
        }

    def migrate(self, processes: Processes) -> None:
        """Begin with Airflow's tables; :meth:`start` waits for them."""
        processes.start("db-migrate", [str(BIN / "airflow"), "db", "migrate"], self.env, ROOT)

    def start(self, processes: Processes) -> None:
        """The four components."""
        processes.finish("db-migrate")
        # What the scheduler has imported, the processes of its tasks need not.
        local = self.folder / "config" / "airflow_local_settings.py"
        local.parent.mkdir(exist_ok=True)
        local.write_text(
            "from daybreak.orchestration.warm import before_forking\n\nWARM = before_forking()\n"
        )
        for component, flags in COMPONENTS.items():
            processes.keep(component, [str(BIN / "airflow"), component, *flags], self.env, ROOT)

    def wait(self, processes: Processes, seconds: float = 180) -> None:
        """Until all components are healthy, and the DAG and the pools are there."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if dead := processes.dead():
                raise SystemExit(f"{dead[0]} ended:\n{processes.tail(dead[0])}")
            if self._healthy():
                self._pools()
                return
            time.sleep(0.5)
        raise SystemExit(f"Airflow is not healthy after {seconds:.0f} s; its logs are in {processes.logs}")

    def _healthy(self) -> bool:
        parts = ("metadatabase", "scheduler", "triggerer", "dag_processor")
        try:
            health = httpx.get(f"{self.url}/api/v2/monitor/health", timeout=5, trust_env=False).json()
            return all(health[part]["status"] == "healthy" for part in parts) and self._knows("nightly")
        except (httpx.HTTPError, KeyError, ValueError):
            return False

    def _pools(self) -> None:
        """Over the REST API: `airflow pools import` costs seconds before anything is up."""
        from airflow_client.client.api.pool_api import PoolApi
        from airflow_client.client.exceptions import ConflictException
        from airflow_client.client.models.pool_body import PoolBody

        admin = Rest(self.url, "admin", self.passwords["admin"])
        for pool in POOLS:
            body = PoolBody(
                name=pool.name, slots=pool.slots, description=pool.description, include_deferred=False
            )
            with suppress(ConflictException):  # of the last demo here
                admin.ask(PoolApi, "post_pool", pool_body=body)

    def _knows(self, dag_id: str) -> bool:
        try:
            self.rest.is_paused(dag_id)
        except DaybreakError:
            return False
        return True


def clean(environ: Mapping[str, str]) -> dict[str, str]:
    """Nothing of the caller's Airflow, Daybreak or AWS."""
    dropped = ("AIRFLOW", "DAYBREAK", "AWS_", "PYTHONDONTWRITEBYTECODE")
    return {name: value for name, value in environ.items() if not name.startswith(dropped)}
