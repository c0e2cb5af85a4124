"""``python -m examples.demo --port 8080 [--once]``; `make demo` calls it."""

from __future__ import annotations

import argparse
import fcntl
import os
import shutil
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from examples.acme_history import create_repository
from examples.demo import watch, yesterday
from examples.demo.airflow import BIN, ROOT, Airflow, clean, passwords
from examples.demo.containers import Containers
from examples.demo.github import Github
from examples.demo.processes import Processes, end, family
from examples.demo.pulls import Pulls
from examples.demo.record import Record
from examples.demo.slack import Slack
from examples.demo.world import ACCOUNT, ENVIRONMENTS, Layout, aws_connection, waiting, write_settings
from examples.standins.aws.emulator import AwsEmulator
from examples.standins.postgres import Postgres

#: What ends a demo: Ctrl-C, a service manager, a closed terminal.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> int:
    """Run the demo; 0 when every environment ended as its decision says."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--port", type=int, default=8080, help="Airflow's port (default: 8080)")
    parser.add_argument("--once", action="store_true", help="stop everything at the end")
    parser.add_argument(
        "--wait", action="store_true",
        help="wait for the morning as a real night does: ten hours, or until night.morning of daybreak.yaml",
    )  # fmt: skip
    parser.add_argument(
        "--no-pulls", dest="pulls", action="store_false", help="only the night, no pull requests after it"
    )
    parser.add_argument(
        "--runtime", choices=("process", "docker"), default="process",
        help="docker: services are containers of the engine of DOCKER_HOST, by default this machine's",
    )  # fmt: skip
    words = parser.parse_args()
    # Also where a shell started us in the background with SIGINT ignored.
    for number in SIGNALS:
        signal.signal(number, _interrupted)
    try:
        return Demo(words.port, wait=words.wait, pulls=words.pulls, runtime=words.runtime).run(
            once=words.once
        )
    except KeyboardInterrupt as interrupt:
        print("stopped; `make demo` starts again", flush=True)
        return 128 + int(interrupt.args[0])


def _interrupted(number: int, _frame: object) -> None:
    # One is enough: a second must not end the ending.
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt(number)


class Demo:
    """One demo on one port."""

    def __init__(
        self, port: int, *, wait: bool = False, pulls: bool = True, runtime: str = "process"
    ) -> None:
        self.docker = Containers() if runtime == "docker" else None
        self.port, self.wait, self.pulls = port, wait, pulls
        self.layout = Layout(ROOT / ".demo" / str(port))
        self.layout.home.mkdir(parents=True, exist_ok=True)
        self.record = Record(self.layout.folder / "run.json")
        self.processes = Processes(self.layout.folder / "logs", self._changed)
        self.postgres = Postgres(self.layout.folder / "pg")
        self.emulator = AwsEmulator()
        self.slack = Slack(self.layout.folder)
        self.github = Github(self.layout.folder)
        self.started = time.monotonic()

    def run(self, *, once: bool) -> int:
        """Start all, run one night, say how it ended."""
        with self._alone():
            self._end_what_was_left()
            self._want_port()
            if self.docker is not None:
                self.docker.want()
            try:
                airflow = self._start()
                return self._night(airflow, once=once)
            finally:
                for number in SIGNALS:
                    signal.signal(number, signal.SIG_IGN)
                print("stopping everything …", flush=True)
                if self.docker is not None:
                    self.docker.remove(name for name, _ in ENVIRONMENTS)
                self.processes.stop()
                self.emulator.stop()
                self.postgres.stop()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One demo in a folder; the kernel gives the place free when its demo is killed."""
        with (self.layout.folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise SystemExit(
                    f"a demo on port {self.port} runs already; "
                    f"say another port: make demo PORT={self.port + 1}"
                ) from None
            yield

    def _end_what_was_left(self) -> None:
        """A demo that was killed could not stop what it started; its record names it."""
        left = self.record.left()
        left.pop("postgres", None)  # it is taken over
        if family(left.values()):
            self._step("ending what a killed demo left")
            end(left.values(), grace=10)
        # The emulator forgets everything when it ends, so each demo begins with a world of its own, and
        # nothing of the last one is revived.
        for name in ("acme", "aws", "home/host"):
            shutil.rmtree(self.layout.folder / name, ignore_errors=True)

    def _want_port(self) -> None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                raise SystemExit(
                    f"port {self.port} is taken; say another one: make demo PORT={self.port + 1}"
                )

    def _start(self) -> Airflow:
        """Everything up to a healthy Airflow, and the environments as they are in the evening."""
        self._step("PostgreSQL, the AWS emulator, the stand-ins of Slack and GitHub")
        routes = f"http://127.0.0.1:{self.port}/daybreak"
        self.slack.start(self.processes, ROOT, clean(os.environ), f"{routes}/slack")
        self.github.start(self.processes, ROOT, clean(os.environ), f"{routes}/github")
        self.postgres.start()
        self.processes.note("postgres", self.postgres.pid)
        self.emulator.start(self.layout.folder / "aws")
        self.processes.note("aws", self.emulator.pid)
        # Airflow keeps its history; the registry and the environments' databases begin anew.
        stale = [f"{name.replace('-', '_')}_fleet_db" for name, _ in ENVIRONMENTS]
        self.postgres.drop("daybreak", *stale)
        self.postgres.create("airflow", "daybreak")

        sql = self.postgres.url("{database}")
        if self.docker is not None:
            sql = self.docker.database(self.processes, self.postgres)
        self._step("the acme monorepo, the registry and the settings")
        monorepo = self.layout.folder / "acme"
        before, _ = create_repository(monorepo)
        self.slack.wait(self.processes)
        self.github.wait(self.processes)
        self.github.publish(monorepo)
        bot = passwords(self.layout.folder / "airflow")["bot"]
        write_settings(
            self.layout, database=self.postgres.url, endpoint=self.emulator.endpoint_url,
            monorepo=f"{self.github.url}.git",
            airflow={"url": f"http://127.0.0.1:{self.port}", "username": "bot", "password": bot},
            slack=self.slack.settings(), github=self.github.settings(),
            night=waiting(datetime.now(UTC)) if self.wait else {}, sql=sql,
            engine=None if self.docker is None else self.docker.url,
        )  # fmt: skip
        os.environ.update(self.layout.environ())
        self.installation = self._open()
        self.installation.register()
        self.installation.switches.arm(ACCOUNT, "make demo")
        airflow = Airflow(
            self.layout.folder / "airflow", self.port, self.postgres.url("airflow"),
            {**self.layout.environ(), **aws_connection(self.layout), **self.slack.connection(),
             **self.github.connection()},
        )  # fmt: skip
        self._write(airflow)
        self.processes.keep(
            "host", [str(BIN / "daybreak"), "host", "--home", str(self.layout.home)], airflow.env, ROOT
        )
        self._step("Airflow's database; meanwhile four environments from yesterday's main, used and dirty")
        airflow.migrate(self.processes)
        yesterday.build(self.installation, before)
        yesterday.dirty(self.installation)
        self._step("Airflow: api-server, scheduler, dag-processor, triggerer")
        airflow.start(self.processes)
        airflow.wait(self.processes)
        return airflow

    def _night(self, airflow: Airflow, *, once: bool) -> int:
        self._step(f"Airflow is up at {airflow.url}; people talk to Bobby in Slack: {self.slack.url}")
        for line in self.slack.tell():
            print(f"  {line}", flush=True)
        self._step("the night begins")
        run_id = f"demo-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}"
        airflow.rest.trigger(watch.DAG, run_id, {"wait": self.wait, "reason": "make demo"})
        state = watch.follow(airflow.rest, run_id, self._tend, seconds=86_400 if self.wait else 1800)
        wrong = watch.not_as_decided(self.installation, run_id)
        print()
        for line in watch.table(self.installation, run_id):
            print(f"  {line}")
        print()
        for line in wrong:
            print(f"  not as decided: {line}")
        if self.pulls and state == "success":
            wrong += self._pull_requests()
        if not once:
            login = f"login: admin / {airflow.passwords['admin']}"
            print(
                f"{login}   Slack: {self.slack.url}   GitHub: {self.github.url}   (Ctrl-C stops everything)"
            )
        report = self.installation.nights.get(run_id).report
        print(f"{report['headline'] if report else f'run {run_id} {state}'}; {airflow.url}", flush=True)
        while not once:
            time.sleep(1)
            self._tend()
        return 0 if state == "success" and not wrong else 1

    def _pull_requests(self) -> list[str]:
        """What people want on main after the night; what did not end as it was to."""
        self._step(f"pull requests at {self.github.url}/pulls; Gandalf lands what passes on merge-01")
        pulls = Pulls(self.installation, self.github, self.layout.folder / "acme", self._tend)
        pulls.tell()
        print()
        for line in pulls.table():
            print(f"  {line}")
        print()
        wrong = pulls.wrong()
        for line in wrong:
            print(f"  not as it should: {line}")
        return wrong

    def _tend(self) -> None:
        """Start again what ended, and say so; what cannot be had again ends the demo."""
        for line in self.processes.tend():
            self._step(line)
        if self.emulator.ended:
            raise SystemExit(f"the AWS emulator ended, and with it this world; see {self.emulator.log_path}")

    def _open(self):
        from daybreak.environment.installation import Installation
        from daybreak.settings import load

        return Installation.open(load(self.layout.config))

    def _changed(self) -> None:
        self.record.write(self.processes.marks)

    def _write(self, airflow: Airflow) -> None:
        """What people and scripts need to look around in this world."""
        self.record.write(
            self.processes.marks,
            urls={
                "airflow": airflow.url,
                "aws": self.emulator.endpoint_url,
                "slack": self.slack.url,
                "github": self.github.url,
            },
            login={"username": "admin", "password": airflow.passwords["admin"]},
            bot={"username": "bot", "password": airflow.passwords["bot"]},
            registry=self.postgres.url("daybreak"),
            environ=self.layout.environ(),
        )

    def _step(self, text: str) -> None:
        print(f"· {time.monotonic() - self.started:3.0f} s  {text}", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
