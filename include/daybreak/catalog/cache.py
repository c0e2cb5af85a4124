"""What was read once: facts by blob id, in a folder of the user's, never in the user's repository.

A fact depends on nothing but the content of its blob and the code that read it: each state of that code has a
file of its own, so a fact never becomes wrong. A cache that cannot be used costs time and nothing else.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sqlite3
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

#: Files of code that nobody has run for so long are taken away.
_OLD_SECONDS = 30 * 86_400

#: A cache of this size is begun anew: hundreds of thousands of files.
_LIMIT_BYTES = 512 << 20

#: Fewer than what SQLite takes in one statement in any of its builds.
_CHUNK = 900


def folder() -> Path:
    """``$DAYBREAK_HOME/cache``, else the user's cache folder by the XDG base directory specification."""
    if home := os.environ.get("DAYBREAK_HOME"):
        return Path(home) / "cache"
    base = os.environ.get("XDG_CACHE_HOME") or ""
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "daybreak"


def _code() -> str:
    """A hash of all that makes a catalog, and of the Python whose parser reads modules."""
    state = [sys.version.encode()]
    here = os.path.dirname(os.path.abspath(__file__))
    for where in (here, os.path.join(here, "discovery")):
        for name in sorted(os.listdir(where)):
            if name.endswith(".py"):
                with open(os.path.join(where, name), "rb") as source:
                    state.append(source.read())
    # By which Python itself tells whether compiled code is that of a source.
    return importlib.util.source_hash(b"\0".join(state)).hex()


def _warn(what: str, error: Exception) -> None:
    # Imported when there is something to say: the start of the command line counts.
    import logging

    logging.getLogger(__name__).warning("discovery's cache %s: %s", what, error)


class Cache:
    """JSON values by name; ``place=None`` keeps nothing.

    Any number of processes may use one at a time.
    """

    def __init__(self, place: Path | None) -> None:
        self._database: sqlite3.Connection | None = None
        if place is not None:
            try:
                self._open(place)
            except (OSError, sqlite3.Error) as error:
                _warn(f"in {place} is not used", error)

    def get(self, key: str) -> Any | None:
        """The value under ``key``, ``None`` without one."""
        return self.many([key]).get(key)

    def text(self, key: str) -> str | None:
        """The value under ``key`` as JSON, not read yet; ``None`` without one."""
        if self._database is None:
            return None
        try:
            row = self._database.execute("SELECT value FROM facts WHERE key = ?", (key,)).fetchone()
        except sqlite3.Error as error:
            _warn("cannot be read", error)
            self._database = None
            return None
        return None if row is None else str(row[0])

    def many(self, keys: Sequence[str]) -> dict[str, Any]:
        """Those of ``keys`` that are known."""
        found: dict[str, Any] = {}
        if self._database is None:
            return found
        try:
            for start in range(0, len(keys), _CHUNK):
                part = keys[start : start + _CHUNK]
                marks = ",".join("?" * len(part))
                rows = self._database.execute(f"SELECT key, value FROM facts WHERE key IN ({marks})", part)  # noqa: S608
                keys_found, texts = zip(*known, strict=True) if (known := rows.fetchall()) else ((), ())
                # One call for all: of thousands of small texts the calls cost more than the reading.
                found.update(zip(keys_found, json.loads(f"[{','.join(texts)}]"), strict=True))
        except (sqlite3.Error, ValueError) as error:
            _warn("cannot be read", error)
            self._database = None
            return {}
        return found

    def put(self, values: Mapping[str, Any]) -> None:
        """Keep ``values``; what is there already is replaced."""
        if self._database is not None:
            encode = json.JSONEncoder(separators=(",", ":")).encode
            self.put_texts({key: encode(value) for key, value in values.items()})

    def put_texts(self, texts: Mapping[str, str]) -> None:
        """The same for what is JSON already."""
        if self._database is None or not texts:
            return
        try:
            with self._database:
                self._database.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", texts.items())
        except sqlite3.Error as error:
            _warn("cannot be written", error)
            self._database = None

    def drop(self, key: str) -> None:
        """Forget ``key``."""
        if self._database is not None:
            with suppress(sqlite3.Error), self._database:
                self._database.execute("DELETE FROM facts WHERE key = ?", (key,))

    def close(self) -> None:
        """Let go of the file."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def _open(self, place: Path) -> None:
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = place / f"discovery-{_code()}.sqlite"
        if not file.exists():
            for other in place.glob("discovery-*"):
                if time.time() - other.stat().st_mtime > _OLD_SECONDS:
                    other.unlink(missing_ok=True)
        if file.exists() and file.stat().st_size > _LIMIT_BYTES:
            file.unlink()
        try:
            self._database = self._connected(file)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise
            # Not a database: half written by a machine that died, or somebody else's.
            file.unlink()
            self._database = self._connected(file)

    def _connected(self, file: Path) -> sqlite3.Connection:
        database = sqlite3.connect(file, timeout=5, isolation_level="DEFERRED")
        try:
            # A lost write is read again from git.
            database.execute("PRAGMA synchronous = OFF")
            database.execute("PRAGMA journal_mode = WAL")
            database.execute(
                "CREATE TABLE IF NOT EXISTS facts (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID"
            )
        except BaseException:
            database.close()
            raise
        return database
