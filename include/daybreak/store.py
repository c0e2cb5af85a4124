"""The store: artifacts, catalog snapshots and logs, in a folder or in S3, by one small set of verbs.

A put is atomic on both: a reader sees the old content, the new one, or nothing, never a half.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, S3Store

from daybreak.disk import DiskFull, needs_room, says_no_room
from daybreak.errors import DaybreakError, UsageError

_CHUNK_BYTES = 8 << 20


class StoreError(DaybreakError):
    """The store did not do what was asked."""

    code = "store"


class NotInStore(StoreError):
    """There is nothing at that path of the store."""

    code = "not_in_store"


class Store:
    """A place for immutable files under slash-separated paths.

    :param url: ``file:///folder`` (made when missing) or ``s3://bucket/prefix``: who asks, and where, are
        in the usual AWS variables.
    :param patience: seconds in which S3 must have answered; by default minutes, as work that may wait can.
    :raises UsageError: for another scheme.
    """

    def __init__(self, url: str, *, patience: float | None = None) -> None:
        parts = urlsplit(url)
        self.url = url
        self._objects: LocalStore | S3Store
        if parts.scheme == "file" and not parts.netloc and parts.path.startswith("/"):
            folder = Path(unquote(parts.path))
            with self._explained("open", ""):
                self._objects = LocalStore(folder, mkdir=True)
        elif parts.scheme == "s3" and parts.netloc:
            self._objects = _s3(url, patience)
        else:
            raise UsageError(f"store: {url!r} is neither file:///folder nor s3://bucket/prefix")

    def __repr__(self) -> str:
        return f"Store({self.url!r})"

    def put(self, path: str, content: bytes | Path) -> None:
        """Write ``content`` (bytes, or a local file) at ``path``, replacing what is there."""
        with self._explained("write", path):
            obstore.put(self._objects, path, content)

    def put_if_absent(self, path: str, content: bytes) -> bool:
        """Write ``content`` unless something is at ``path``; of several writers exactly one gets ``True``."""
        with self._explained("write", path):
            try:
                obstore.put(self._objects, path, content, mode="create")
            except AlreadyExistsError:
                return False
        return True

    def get(self, path: str) -> bytes:
        """The content at ``path``; raises :class:`NotInStore`."""
        with self._explained("read", path):
            return obstore.get(self._objects, path).bytes().to_bytes()

    def get_file(self, path: str, to: Path) -> None:
        """Write the content at ``path`` to the local file ``to`` in pieces; raises :class:`NotInStore`."""
        with self._explained("read", path):
            pieces = obstore.get(self._objects, path).stream(min_chunk_size=_CHUNK_BYTES)
            with needs_room(to), to.open("wb") as file:
                for piece in pieces:
                    file.write(piece)

    def exists(self, path: str) -> bool:
        """Whether something is at ``path``."""
        try:
            with self._explained("look for", path):
                obstore.head(self._objects, path)
        except NotInStore:
            return False
        return True

    def list(self, prefix: str = "") -> list[str]:
        """All paths below the folder ``prefix``, sorted; none when there is no such folder."""
        with self._explained("list", prefix):
            pages = obstore.list(self._objects, prefix or None)
            return sorted(item["path"] for page in pages for item in page)

    @contextmanager
    def _explained(self, verb: str, path: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise NotInStore(f"{path} is not in the store {self.url}") from None
        except (BaseError, OSError, ValueError) as error:
            # The first line is for people; what follows is obstore's debug output.
            reason = str(error).strip().partition("\n")[0]
            said = f"cannot {verb} {path or 'it'} in the store {self.url}: {reason}"
            raise StoreError(said, code=DiskFull.code if says_no_room(reason) else None) from error


def _s3(url: str, patience: float | None) -> S3Store:
    # A plain-HTTP endpoint is an emulator on this machine or in this stack; it was named on purpose. It is
    # said here, since options of the client, as a patience is one, replace what AWS_ALLOW_HTTP says.
    client: dict[str, Any] = {"allow_http": os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://")}
    chosen: dict[str, Any] = {"client_options": client}
    if patience is not None:
        client |= {"timeout": f"{patience:g}s", "connect_timeout": f"{min(patience, 2):g}s"}
        chosen["retry_config"] = {"max_retries": 1, "retry_timeout": timedelta(seconds=patience)}
    return S3Store.from_url(url, **chosen)
