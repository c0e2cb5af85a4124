"""An engine over SSH: one connection of the machine's own ``ssh``, and a unix socket that leads through it.

The Docker library's own transport opens an SSH connection for each call, knows no time limit, and keeps what
ssh has to say to itself.
"""

from __future__ import annotations

import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING
from urllib.parse import urlsplit

from daybreak.build.images.engine import CALL_SECONDS, EngineDown

if TYPE_CHECKING:
    from docker import DockerClient

_CONNECT_SECONDS, _START_SECONDS, _LOOK_SECONDS = 15, 45, 0.02
#: Nobody answers a question here, and a line that went dead is not waited for.
_OPTIONS = (
    "-o", "BatchMode=yes", "-o", f"ConnectTimeout={_CONNECT_SECONDS}", "-o", "ServerAliveInterval=15",
    "-o", "ServerAliveCountMax=3", "-o", "ControlPersist=no",
)  # fmt: skip
#: What ssh says, and what that means for who reads it; the rest is said as it is.
_MEANING = (
    ("REMOTE HOST IDENTIFICATION HAS CHANGED",
     "the host key of {host} is not the one that this machine knows. Ask whoever runs {host} before you take "
     "the old one away (ssh-keygen -R)"),
    ("Host key verification failed",
     "the host key of {host} is not known on this machine. Compare it with what its owner says, then add it "
     "to ~/.ssh/known_hosts of the user that Daybreak runs as (ssh-keyscan)"),
    ("Permission denied",
     "{host} refuses the keys of this machine: put one that it knows, without a passphrase or in an agent, "
     "where the ssh of Daybreak's user looks for it (~/.ssh/config)"),
)  # fmt: skip


class Through:
    """A way to an engine.

    :param url: where clients of this process find it now.
    """

    def __init__(self, url: str, said: Path) -> None:
        self.url, self._said = url, said

    def share(self, client: DockerClient) -> None:
        """Let all calls of ``client`` take turns on few connections.

        The library keeps one open for each address that it ever asked; an SSH line carries ten, as a rule.
        """
        from docker.transport import UnixHTTPAdapter

        class Shared(UnixHTTPAdapter):  # type: ignore[misc]
            def get_connection(self, url: str, proxies: object = None) -> object:
                return super().get_connection("one for all", proxies)

        client.api.mount("http+docker://", Shared(f"http+{self.url}", timeout=CALL_SECONDS))

    def said(self) -> str:
        """What ssh, or the far `docker`, complained about last."""
        lines = self._said.read_text(errors="replace").strip().splitlines()
        return lines[-1].strip() if lines else ""


@contextmanager
def through(url: str) -> Iterator[Through]:
    """A way to the engine at ``ssh://[user@]host[:port]``, as long as the block lasts.

    :raises EngineDown: with what is wrong: a host key, a key of ours, a name, a line.
    """
    parts = urlsplit(url)
    host = str(parts.hostname)
    words = ["-p", str(parts.port)] if parts.port else []
    if parts.username:
        words += ["-l", parts.username]
    # The path of a unix socket may have 107 bytes.
    with tempfile.TemporaryDirectory(prefix="daybreak-ssh-") as name:
        folder = Path(name)
        control, door, said = folder / "control", folder / "docker.sock", folder / "said"
        said.touch()
        ssh = ["ssh", *_OPTIONS, "-o", f"ControlPath={control}", *words]
        with said.open("ab") as errors, socket.socket(socket.AF_UNIX) as listener:
            line = _open([*ssh, "-M", "-N", "--", host], control, errors, said, url, host)
            try:
                listener.bind(str(door))
                listener.listen(16)
                far = [*ssh, "-o", "ControlMaster=no", "--", host, "docker system dial-stdio"]
                calls: list[subprocess.Popen[bytes]] = []
                serving = threading.Thread(target=_serve, args=(listener, far, errors, calls), daemon=True)
                serving.start()
                try:
                    yield Through(f"unix://{door}", said)
                finally:
                    with suppress(OSError):
                        listener.shutdown(socket.SHUT_RDWR)
                    serving.join()
                    for call in calls:
                        call.kill()
                        call.wait()
            finally:
                line.terminate()
                line.wait()


def _open(
    command: list[str], control: Path, errors: IO[bytes], said: Path, url: str, host: str
) -> subprocess.Popen[bytes]:
    try:
        line = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
        )
    except OSError as error:
        raise EngineDown(f"{url} needs ssh on this machine: {error.strerror}") from None
    limit = time.monotonic() + _START_SECONDS
    while not control.exists():
        if line.poll() is not None or time.monotonic() > limit:
            line.kill()
            line.wait()
            text = said.read_text(errors="replace").strip()
            last = (text.splitlines() or ["ssh did not connect in time"])[-1]
            meant = next((meaning.format(host=host) for words, meaning in _MEANING if words in text), last)
            raise EngineDown(f"the Docker Engine {url} cannot be reached: {meant}")
        time.sleep(_LOOK_SECONDS)
    return line


def _serve(
    listener: socket.socket, command: list[str], errors: IO[bytes], calls: list[subprocess.Popen[bytes]]
) -> None:
    """Each caller gets a channel of its own, whose ends are the caller's socket itself."""
    while True:
        try:
            caller, _ = listener.accept()
        except OSError:
            return
        calls[:] = [call for call in calls if call.poll() is None]
        with caller:
            ends = caller.fileno()
            calls.append(
                subprocess.Popen(command, stdin=ends, stdout=ends, stderr=errors, start_new_session=True)
            )
