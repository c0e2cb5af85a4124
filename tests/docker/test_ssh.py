"""An engine over SSH: a real sshd with keys of the test's own; and what is said when it lets nobody in."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from daybreak.build.images.engine import EngineDown, connected
from daybreak.build.images.image import Images
from daybreak.settings import EngineSettings
from tests.docker.conftest import Yard, pinned
from tests.docker.test_driver import DRIVER, HELLO, Deployer, asked
from tests.docker.test_image import DOCKERFILE, own
from tests.fixtures.engine import Engine

_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


@dataclass
class Sshd:
    """An sshd on 127.0.0.1 that knows one key, and an ``ssh`` that knows its host key and has that key."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def start(self, docker_host: str) -> None:
        """Start it; whoever logs in finds the engine ``docker_host``."""
        at = self.folder
        (at / "sshd_config").write_text(
            f"ListenAddress 127.0.0.1:{self.port}\nHostKey {at}/host\nAuthorizedKeysFile {at}/user.pub\n"
            f"PidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n"
            f"KbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n"
            f"SetEnv DOCKER_HOST={docker_host}\n"
        )
        with (at / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [str(shutil.which("sshd", path=_PATH)), "-D", "-e", "-f", str(at / "sshd_config")],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        for _ in range(500):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            assert self.process.poll() is None, self.log
            time.sleep(0.02)
        raise AssertionError(self.log)

    def client(self, *, key: str = "user", host: str = "host") -> None:
        """What the machine's ssh knows and has from now on."""
        known = (self.folder / f"{host}.pub").read_text() if host else ""
        line = f"[127.0.0.1]:{self.port} {known}" if known else ""
        (self.folder / "known").write_text(line)
        (self.folder / "ssh_config").write_text(
            f"IdentityFile {self.folder / key}\nIdentitiesOnly yes\n"
            f"UserKnownHostsFile {self.folder / 'known'}\n"
            "GlobalKnownHostsFile /dev/null\nPreferredAuthentications publickey\n"
        )

    def cut(self) -> None:
        """End it, and whom it serves, as a machine that is switched off."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        for pid in map(int, children):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.kill()

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(20)


@pytest.fixture
def sshd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sshd]:
    if shutil.which("sshd", path=_PATH) is None:
        pytest.skip("sshd is not installed (.ci/run installs it)")
    if os.geteuid() == 0:
        # Where sshd shuts its own helper in, on Debian made by the service that nobody starts here.
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    made = Sshd(tmp_path / "ssh", port)
    made.folder.mkdir()
    for name in ("host", "other", "user", "stranger"):
        words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(made.folder / name)]
        subprocess.run(words, check=True)
    # ssh asks the user database for its home, not HOME: it is told where its configuration is.
    wrapper = tmp_path / "bin" / "ssh"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {made.folder}/ssh_config "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{wrapper.parent}{os.pathsep}{os.environ['PATH']}")
    made.client()
    yield made
    made.stop()


@pytest.mark.parametrize(
    ("known", "means"),
    [
        ({"host": ""}, r"the host key of 127\.0\.0\.1 is not known on this machine.*known_hosts"),
        ({"host": "other"}, r"the host key of 127\.0\.0\.1 is not the one that this machine knows"),
        ({"key": "stranger"}, r"127\.0\.0\.1 refuses the keys of this machine"),
    ],
    ids=["unknown host key", "changed host key", "refused key"],
)
def test_who_is_not_let_in_is_told_why(sshd: Sshd, known: dict[str, str], means: str) -> None:
    sshd.start("unix:///nowhere/docker.sock")
    sshd.client(**known)
    with pytest.raises(EngineDown, match=means), connected(EngineSettings(url=sshd.url)):
        pass


def test_a_far_machine_that_is_not_there_or_has_no_engine_is_told(
    sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(EngineDown, match=r"cannot be reached: .*Connection refused"):
        connected(EngineSettings(url=sshd.url)).__enter__()
    sshd.start("unix:///nowhere/docker.sock")
    with pytest.raises(EngineDown, match=r"does not answer.*dial unix /nowhere/docker\.sock"):
        connected(EngineSettings(url=sshd.url)).__enter__()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EngineDown, match="needs ssh on this machine"):
        connected(EngineSettings(url=sshd.url)).__enter__()


@pytest.mark.deep
def test_an_engine_over_ssh_builds_and_runs_services(engine: Engine, sshd: Sshd, yard: Yard) -> None:
    sshd.start(engine.url)
    deployer = Deployer(yard, engine={"url": sshd.url})
    yard.artifact("hello", "a1", lock=pinned("markupsafe"))
    address = deployer.deploy(HELLO, "a1")
    assert asked(address)["CODE"] == "a1"
    assert deployer.observe() == "a1"
    assert deployer.deploy(HELLO, "a2") == address
    assert asked(address)["CODE"] == "a2"
    DRIVER.destroy(HELLO, deployer.target())
    assert yard.client.containers.list(all=True) == []
    # One for each time that somebody connected, not for each call.
    assert sshd.log.count("Accepted publickey") == 4

    # A Dockerfile of the team's, by BuildKit where the machine has it: over the same line.
    far = EngineSettings(url=sshd.url)
    with connected(far) as client:
        images = Images(client, far, yard.settings, yard.home)
        made = images.service(own(yard, "hello", "a3", text=DOCKERFILE), "a3", "c" * 40)
    assert yard.says(made.tag, "say-hello") == "a3\n"
    assert sshd.log.count("Accepted publickey") == 5

    # The line is cut in the middle of a call: said at once, not waited for. Not before: on a busy machine the
    # handshake takes longer than that, and fails with another error.
    sleeping = ["sleep", "60"]
    with (
        pytest.raises(EngineDown, match="does not answer"),
        connected(EngineSettings(url=sshd.url)) as client,
        cut_in(1.5, sshd) as began,
    ):
        client.containers.run("python:3.13-slim", sleeping, remove=True, network_mode="none", init=True)
    assert time.monotonic() - began < 40


@contextlib.contextmanager
def cut_in(seconds: float, sshd: Sshd) -> Iterator[float]:
    """Cut the line so many seconds from now; yields the time."""
    cut = threading.Timer(seconds, sshd.cut)
    cut.start()
    try:
        yield time.monotonic()
    finally:
        cut.join()
