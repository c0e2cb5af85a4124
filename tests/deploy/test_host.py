"""The host owns services: health, restarts, ports, secrets, and no orphan whatever happens to it."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from daybreak.cli.main import main as command_line
from daybreak.deploy.host import Health, HostClient, HostDown, ServiceSpec, ServiceUnhealthy
from daybreak.deploy.host.log import RotatingLog
from daybreak.deploy.host.service import Timing
from daybreak.errors import LostOp, UsageError
from tests.deploy.conftest import HOST, SERVICE, RunningHost, alive, eventually

MakeSpec = Callable[..., ServiceSpec]
CRASH = "import sys; print('cannot find the database', flush=True); sys.exit(3)"
#: A service that forks a worker which ignores SIGTERM and outlives its parent.
WITH_WORKER = (
    """
import os, signal, time
if os.fork() == 0:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with open("worker.pid.tmp", "w") as file: file.write(str(os.getpid()))
    os.rename("worker.pid.tmp", "worker.pid")
    while True: time.sleep(1)
"""
    + SERVICE
)
#: Looks for a variable in all environments that it may read.
CURIOUS = """
import contextlib, os, pathlib
seen = {}
for process in pathlib.Path("/proc").glob("[0-9]*"):
    with contextlib.suppress(OSError):
        seen[process.name] = (process / "environ").read_bytes()
looked_for = (os.environ["LOOKS_FOR"] + "=").encode()
os.environ["FOUND"] = " ".join(pid for pid, what in seen.items() if looked_for in what)
os.environ["READ"] = str(str(os.getpid()) in seen)
"""


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return bytes(answer.read())


def worker_of(spec: ServiceSpec) -> int:
    path = Path(spec.cwd) / "worker.pid"
    eventually(path.exists)
    return int(path.read_text())


def test_a_service_becomes_healthy_on_the_port_that_the_host_chose(
    host: RunningHost, make_spec: MakeSpec
) -> None:
    put = host.client.put("dev-01", "trips", make_spec())
    assert put.health is Health.STARTING

    status = host.client.wait_healthy("dev-01", "trips", 20)

    assert status.port == host.client.port("dev-01", "trips") == put.port
    assert get(f"{status.url}/healthz") == b"ok"
    assert host.client.list() == (status,)


def test_a_service_sees_its_own_variables_and_nothing_of_the_host(
    host: RunningHost, make_spec: MakeSpec
) -> None:
    host.client.put("dev-01", "trips", make_spec(DATABASE_URL="postgresql://u:secret@h/d"))
    status = host.client.wait_healthy("dev-01", "trips", 20)

    environment = json.loads(get(f"{status.url}/env"))

    # LC_CTYPE is what Python itself sets in a C locale.
    assert set(environment) - {"LC_CTYPE"} == {"DATABASE_URL", "PORT", "PATH", "LANG"}
    assert environment["PORT"] == str(status.port)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc")
def test_a_service_cannot_read_what_the_host_was_started_with(tmp_path: Path, make_spec: MakeSpec) -> None:
    name = f"SECRET_{uuid4().hex}"
    # Root may read everything; in a container it may not, and nobody else may anywhere.
    prefix = ("setpriv", "--bounding-set=-all", "--inh-caps=-all") if os.geteuid() == 0 else ()
    running = RunningHost(tmp_path / "home", environment={name: "must not leak"}, prefix=prefix)
    running.start()
    try:
        running.client.put("dev-01", "trips", make_spec(program=CURIOUS + SERVICE, LOOKS_FOR=name))
        found = json.loads(get(f"{running.client.wait_healthy('dev-01', 'trips', 20).url}/env"))
        assert found["FOUND"] == "", "the host, or its reaper"
        assert found["READ"] == "True", "it can read what is its own"
    finally:
        running.end()


def test_the_same_spec_again_restarts_nothing_and_another_key_does(
    host: RunningHost, make_spec: MakeSpec
) -> None:
    host.client.put("dev-01", "trips", make_spec())
    first = host.client.wait_healthy("dev-01", "trips", 20)

    assert host.client.put("dev-01", "trips", make_spec()).pid == first.pid

    host.client.put("dev-01", "trips", make_spec("k2"))
    second = host.client.wait_healthy("dev-01", "trips", 20)
    assert (second.key, second.port) == ("k2", first.port)
    assert second.pid != first.pid
    assert first.pid is not None
    assert not alive(first.pid)


def test_what_is_secret_is_readable_by_its_user_only(host: RunningHost, make_spec: MakeSpec) -> None:
    host.client.put("dev-01", "trips", make_spec(DATABASE_URL="postgresql://u:secret@h/d"))
    host.client.wait_healthy("dev-01", "trips", 20)

    def mode(path: Path) -> int:
        return stat.S_IMODE(path.stat().st_mode)

    assert "secret" in (host.home / "host/state.json").read_text()
    assert mode(host.home / "host") == 0o700
    for name in ("host/state.json", "host/logs/dev-01/trips.log", "host.json", "host.sock"):
        assert mode(host.home / name) == 0o600, name
    assert "secret" not in str(host.client.list())


def test_a_crashed_service_is_started_again_with_its_workers_gone(
    host: RunningHost, make_spec: MakeSpec
) -> None:
    spec = make_spec(program=WITH_WORKER)
    host.client.put("dev-01", "trips", spec)
    first = host.client.wait_healthy("dev-01", "trips", 20)
    worker = worker_of(spec)
    assert first.pid is not None

    subprocess.run(["kill", "-9", str(first.pid)], check=True)

    eventually(lambda: not alive(worker))
    again = eventually(
        lambda: (
            (s := host.client.status("dev-01", "trips"))
            and s.health is Health.HEALTHY
            and s.restarts == 1
            and s
        )
    )
    assert again


def test_a_crash_loop_is_visible_and_its_error_shows_the_log(host: RunningHost, make_spec: MakeSpec) -> None:
    host.client.put("dev-01", "trips", make_spec(program=CRASH))

    with pytest.raises(
        ServiceUnhealthy, match=r"(?s)dev-01/trips keeps crashing.*code 3.*cannot find the database"
    ):
        host.client.wait_healthy("dev-01", "trips", 60)

    status = host.client.status("dev-01", "trips")
    assert status is not None
    assert status.health is Health.CRASH_LOOP
    assert status.restarts >= 2


def test_a_program_that_does_not_exist_is_a_crash_loop_with_its_name(
    host: RunningHost, tmp_path: Path
) -> None:
    host.client.put("dev-01", "trips", ServiceSpec(key="k", argv=("no-such-program",), cwd=str(tmp_path)))

    with pytest.raises(ServiceUnhealthy, match="cannot start no-such-program: No such file"):
        host.client.wait_healthy("dev-01", "trips", 60)


def test_a_service_that_never_becomes_healthy_fails_the_wait(host: RunningHost, make_spec: MakeSpec) -> None:
    host.client.put("dev-01", "trips", make_spec(HEALTHY="by file", SAY="hello from the log"))

    with pytest.raises(ServiceUnhealthy, match=r"(?s)not healthy within 1.5 s.*503.*hello from the log"):
        host.client.wait_healthy("dev-01", "trips", 1.5)


def test_a_healthy_service_turns_unhealthy_and_back(host: RunningHost, make_spec: MakeSpec) -> None:
    spec = make_spec(HEALTHY="by file")
    flag = Path(spec.cwd) / "healthy"
    flag.touch()
    host.client.put("dev-01", "trips", spec)
    healthy = host.client.wait_healthy("dev-01", "trips", 20)

    flag.unlink()
    eventually(lambda: (s := host.client.status("dev-01", "trips")) and s.health is Health.UNHEALTHY)
    flag.touch()
    back = host.client.wait_healthy("dev-01", "trips", 20)

    assert back.pid == healthy.pid


def test_rollback_puts_the_last_healthy_spec_back(host: RunningHost, make_spec: MakeSpec) -> None:
    host.client.put("dev-01", "trips", make_spec("good"))
    host.client.wait_healthy("dev-01", "trips", 20)
    host.client.put("dev-01", "trips", make_spec("bad", CRASH))
    host.client.put("dev-01", "trips", make_spec("worse", CRASH))

    assert host.client.rollback("dev-01", "trips") is not None

    assert host.client.wait_healthy("dev-01", "trips", 20).key == "good"
    assert host.client.rollback("dev-01", "trips") is None


def test_sigterm_stops_every_service_and_what_it_forked(host: RunningHost, make_spec: MakeSpec) -> None:
    spec = make_spec(program=WITH_WORKER)
    host.client.put("dev-01", "trips", spec)
    pid = host.client.wait_healthy("dev-01", "trips", 20).pid
    worker = worker_of(spec)

    assert host.end() == 0

    assert pid is not None
    assert not alive(pid)
    eventually(lambda: not alive(worker))
    assert not (host.home / "host.sock").exists()


def test_a_killed_host_leaves_no_orphan_and_the_next_one_revives_its_services(
    host: RunningHost, make_spec: MakeSpec
) -> None:
    spec = make_spec(program=WITH_WORKER)
    host.client.put("dev-01", "trips", spec)
    first = host.client.wait_healthy("dev-01", "trips", 20)
    worker = worker_of(spec)
    assert first.pid is not None

    host.end(signal.SIGKILL)

    eventually(lambda: not alive(first.pid or 0))
    eventually(lambda: not alive(worker))
    with pytest.raises(HostDown):
        host.client.list()
    host.start()
    again = host.client.wait_healthy("dev-01", "trips", 20)
    assert (again.key, again.port) == (first.key, first.port)


def test_removed_services_are_gone_and_stay_gone_but_keep_their_port(
    host: RunningHost, make_spec: MakeSpec
) -> None:
    for service in ("trips", "fleet"):
        host.client.put("dev-01", service, make_spec())
    host.client.put("dev-02", "trips", make_spec())
    trips = host.client.wait_healthy("dev-01", "trips", 20)

    assert host.client.remove("dev-01", "trips") == 1
    assert host.client.remove("dev-01") == 1
    assert host.client.remove("dev-01") == 0
    host.end()
    host.start()

    assert [(s.environment, s.service) for s in host.client.list()] == [("dev-02", "trips")]
    assert trips.pid is not None
    assert not alive(trips.pid)
    assert host.client.port("dev-01", "trips") == trips.port


def test_a_stranger_on_the_port_moves_the_service(host: RunningHost, make_spec: MakeSpec) -> None:
    port = host.client.port("dev-01", "trips")
    with socket.create_server(("127.0.0.1", port)):
        status = host.client.put("dev-01", "trips", make_spec())
        assert status.port != port
        assert host.client.wait_healthy("dev-01", "trips", 20).port == status.port
    assert host.client.port("dev-01", "trips") == status.port


def test_a_fixed_port_that_is_taken_is_an_error(host: RunningHost, make_spec: MakeSpec) -> None:
    import dataclasses

    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        with pytest.raises(Exception, match=f"port {port} of dev-01/trips is taken"):
            host.client.put("dev-01", "trips", dataclasses.replace(make_spec(), port=port))


def test_two_services_never_share_a_port(host: RunningHost) -> None:
    ports = {host.client.port(f"dev-{n:02}", service) for n in range(5) for service in ("a", "b")}
    assert len(ports) == 10


def test_logs_rotate_and_their_tail_reaches_over_the_seam(host: RunningHost, make_spec: MakeSpec) -> None:
    chatty = "for n in range(3000): print('line', n, flush=True)\n" + SERVICE
    host.client.put("dev-01", "trips", make_spec(program=chatty, SAY="the end"))
    host.client.wait_healthy("dev-01", "trips", 20)

    files = sorted((host.home / "host/logs/dev-01").iterdir())
    assert [file.name for file in files][:2] == ["trips.log", "trips.log.1"]
    assert all(file.stat().st_size <= 20_000 for file in files)
    tail = host.client.logs("dev-01", "trips", 301).splitlines()
    assert tail[-1] == "serving with the end"
    assert tail[:300] == [f"line {n}" for n in range(2700, 3000)]


def test_a_second_host_of_the_same_home_is_refused(host: RunningHost) -> None:
    impatient = (
        "from daybreak.deploy.host import files, serving\n"
        "serving.take_lock = lambda p, patience_seconds: files.take_lock(p, 0)\n"
    )
    code = impatient + HOST
    second = subprocess.run(
        [sys.executable, "-c", code, str(host.home)], capture_output=True, text=True, timeout=60
    )
    assert second.returncode == 1
    assert "is already running" in second.stderr
    assert host.client.ping()


def test_a_long_home_still_gets_a_socket(tmp_path: Path, make_spec: MakeSpec) -> None:
    running = RunningHost(tmp_path / ("long-" * 15) / ("longer-" * 12))
    running.start()
    try:
        running.client.put("dev-01", "trips", make_spec())
        assert running.client.wait_healthy("dev-01", "trips", 20).health is Health.HEALTHY
    finally:
        path = Path(json.loads((running.home / "host.json").read_text())["socket"])
        running.end()
    assert not path.parent.exists()


def test_without_a_host_the_client_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(HostDown, match="start it with `daybreak host --home "):
        HostClient(tmp_path).list()


def test_a_broken_state_file_is_refused_by_name(host: RunningHost) -> None:
    host.end()
    (host.home / "host/state.json").write_text("{ not json")
    ended = subprocess.run(
        [sys.executable, "-m", "daybreak.deploy.host", "--home", str(host.home)],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert ended.returncode == UsageError.exit_code
    assert "state.json cannot be read" in ended.stderr


def test_names_cannot_leave_the_log_folder(host: RunningHost, make_spec: MakeSpec) -> None:
    with pytest.raises(Exception, match="cannot name a service"):
        host.client.put("..", "trips", make_spec())


def test_backoff_doubles_up_to_its_cap() -> None:
    timing = Timing(backoff_first=0.5, backoff_cap=60)
    assert [timing.backoff(n) for n in (1, 2, 3, 8, 500)] == [0.5, 1, 2, 60, 60]


def test_a_log_never_grows_beyond_its_bound_whatever_is_written_at_once(tmp_path: Path) -> None:
    log = RotatingLog(tmp_path / "a.log", limit=100, keep=2)
    for piece in (b"x" * 30 + b"\n", b"".join(b"line %03d\n" % n for n in range(40)), b"y" * 250, b"\nend\n"):
        log.write(piece)
    log.close()

    names = ["a.log", "a.log.1", "a.log.2"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert all((tmp_path / name).stat().st_size <= 100 for name in names)
    assert log.tail(1) == "end"


def test_a_health_check_knows_by_the_exit_code_whether_a_host_serves(
    host: RunningHost, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command_line(["host", "--ping", "--home", str(host.home)]) == 0
    assert str(host.client.ping()) in capsys.readouterr().out
    assert command_line(["host", "--ping", "--home", str(tmp_path / "elsewhere")]) == 1
    assert "start it with `daybreak host" in capsys.readouterr().err


def test_who_looked_before_somebody_else_changed_a_service_changes_nothing(
    host: RunningHost, make_spec: MakeSpec
) -> None:
    """A process that slept between its last check and its request meets what came after."""
    client = host.client
    first = client.put("dev-01", "trips", make_spec(key="k1"), seen=0)
    seen = client.generations("dev-01")
    client.remove("dev-01")
    client.put("dev-01", "trips", make_spec(key="k2"))

    assert client.remove("dev-01", seen=seen) == 0
    with pytest.raises(LostOp):
        client.put("dev-01", "trips", make_spec(key="k1"), seen=seen["trips"])
    with pytest.raises(LostOp):
        client.rollback("dev-01", "trips", seen=first.generation)
    (status,) = client.list("dev-01")
    assert status.key == "k2"
    assert client.generations("dev-01") == {"trips": status.generation}

    host.end()
    host.start()  # what was put keeps its generation
    assert client.remove("dev-01", seen={"trips": status.generation}) == 1
