"""The host's folder: what is where, with which rights.

``<home>/host.json`` says which process serves and where its socket is; ``<home>/host/`` (0700) holds the
lock, the desired state and the services' logs, all 0600, because environments of services carry database
passwords.
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daybreak.errors import UsageError

#: ``sun_path`` holds 108 bytes on Linux and 104 on macOS, with the closing NUL.
_LONGEST_SOCKET = 100


@dataclass(frozen=True)
class HostFiles:
    """Paths of one host."""

    home: Path

    @property
    def folder(self) -> Path:
        """The private folder."""
        return self.home / "host"

    @property
    def address(self) -> Path:
        """Where clients read the socket's path."""
        return self.home / "host.json"

    @property
    def lock(self) -> Path:
        """Held (flock) by the one running host and its reaper."""
        return self.folder / "host.lock"

    @property
    def state(self) -> Path:
        """What should run, and which service has which port."""
        return self.folder / "state.json"

    def log(self, environment: str, service: str) -> Path:
        """The present log of a service; rotated ones end in ``.1``, ``.2`` …"""
        return self.folder / "logs" / environment / f"{service}.log"

    def prepare(self) -> None:
        """Make the private folder."""
        self.home.mkdir(parents=True, exist_ok=True)
        self.folder.mkdir(mode=0o700, exist_ok=True)
        self.folder.chmod(0o700)

    def socket(self) -> Path:
        """Where to listen: ``<home>/host.sock``, or a new private temporary folder where that is too long."""
        path = self.home.absolute() / "host.sock"
        if len(os.fsencode(path)) <= _LONGEST_SOCKET:
            return path
        # mkdtemp: private, and nobody can have put something of theirs there before.
        return Path(tempfile.mkdtemp(prefix="daybreak-")) / "host.sock"


def write_private(path: Path, data: Any) -> None:
    """Replace ``path`` by ``data`` as JSON: whole or not at all, readable by this user only."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # NamedTemporaryFile makes 0600.
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        try:
            json.dump(data, file, indent=1, sort_keys=True)
            file.flush()
            os.fsync(file.fileno())
            os.replace(file.name, path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in ``path``, ``None`` when there is no such file.

    :raises UsageError: when it holds something else.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{path} cannot be read ({error}). Delete it: the next deploy puts the services back."
        ) from None
    if not isinstance(data, dict):
        raise UsageError(f"{path} holds no JSON object. Delete it: the next deploy puts the services back.")
    return data


def take_lock(path: Path, patience_seconds: float) -> int:
    """Become the one host of this home; the returned descriptor holds the lock until its last copy is closed.

    A host that was killed leaves the lock to its reaper for the moment that it takes to end the services,
    hence the patience.

    :raises UsageError: when another host keeps it.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + patience_seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:
            if time.monotonic() >= deadline:
                os.close(descriptor)
                raise UsageError(
                    f"a host for {path.parent.parent} is already running. Use it, or stop it first "
                    f"(its process id is in {path.parent.parent / 'host.json'})."
                ) from None
            time.sleep(0.05)
