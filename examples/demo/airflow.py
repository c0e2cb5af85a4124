"""A real Airflow on the demo's PostgreSQL: api-server, scheduler, dag-processor, triggerer, LocalExecutor."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from daybreak.orchestration.pools import importable
from examples.demo.processes import Processes

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer")


class Airflow:
    """One Airflow under ``folder``, on ``port``."""

    def __init__(self, folder: Path, port: int, database: str, more: Mapping[str, str]) -> None:
        self.folder, self.port = folder, port
        self.url = f"http://127.0.0.1:{port}"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.password = self._password()
        self.env = {**_clean(os.environ), **self._settings(database), **more}
        self.client = httpx.Client(base_url=self.url, timeout=30)

    def _password(self) -> str:
        path = self.folder / "passwords.json"
        if not path.exists():
            path.touch(mode=0o600)
            path.write_text(json.dumps({"admin": secrets.token_urlsafe(9)}))
        return str(json.loads(path.read_text())["admin"])

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
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin",
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
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "10",
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "5",
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO",
        }

    def run(self, *command: str) -> None:
        """One ``airflow …`` command, to its end."""
        done = subprocess.run(
            [str(BIN / "airflow"), *command], env=self.env, cwd=ROOT, capture_output=True, text=True,
            start_new_session=True,
            check=False,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(f"airflow {' '.join(command)} failed:\n{(done.stdout + done.stderr)[-3000:]}")

    def migrate(self) -> None:
        """Airflow's tables, and the pools that the DAGs use."""
        self.run("db", "migrate")
        pools = self.folder / "pools.json"
        pools.write_text(json.dumps(importable()))
        self.run("pools", "import", str(pools))

    def start(self, processes: Processes) -> None:
        """Start the four components."""
        for component in COMPONENTS:
            processes.start(component, [str(BIN / "airflow"), component], self.env, ROOT)

    def wait(self, processes: Processes, seconds: float = 180) -> None:
        """Until all components are healthy and the DAG is there."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if dead := processes.dead():
                raise SystemExit(f"{dead[0]} ended:\n{processes.tail(dead[0])}")
            if self._healthy():
                return
            time.sleep(0.5)
        raise SystemExit(f"Airflow is not healthy after {seconds:.0f} s; its logs are in {processes.logs}")

    def _healthy(self) -> bool:
        try:
            health = self.client.get("/api/v2/monitor/health").json()
            good = all(
                health[part]["status"] == "healthy"
                for part in ("metadatabase", "scheduler", "triggerer", "dag_processor")
            )
            return good and self.get("/dags/nightly", missing={}).get("dag_id") == "nightly"
        except (httpx.HTTPError, KeyError, ValueError):
            return False

    def get(self, path: str, missing: Any = None) -> Any:
        """GET below ``/api/v2``; ``missing`` stands for a 404."""
        answer = self.client.get(f"/api/v2{path}", headers=self._token())
        if answer.status_code == 404 and missing is not None:
            return missing
        answer.raise_for_status()
        return answer.json()

    def trigger(self, conf: Mapping[str, Any], run_id: str) -> None:
        """POST a run of ``nightly``."""
        answer = self.client.post(
            "/api/v2/dags/nightly/dagRuns",
            headers=self._token(),
            json={"dag_run_id": run_id, "logical_date": None, "conf": dict(conf)},
        )
        answer.raise_for_status()

    def _token(self) -> dict[str, str]:
        if not hasattr(self, "_bearer"):
            answer = self.client.post("/auth/token", json={"username": "admin", "password": self.password})
            answer.raise_for_status()
            self._bearer = answer.json()["access_token"]
        return {"Authorization": f"Bearer {self._bearer}"}


def _clean(environ: Mapping[str, str]) -> dict[str, str]:
    dropped = ("AIRFLOW", "DAYBREAK", "AWS_", "PYTHONDONTWRITEBYTECODE")
    return {name: value for name, value in environ.items() if not name.startswith(dropped)}
