"""A service's output in a file that never grows beyond a bound."""

from __future__ import annotations

import os
from pathlib import Path


class RotatingLog:
    """Appends bytes; at ``limit`` bytes the file becomes ``.1``, the older ones move up, the oldest goes.

    The host writes it (services write into a pipe), so rotating loses nothing and needs no help of theirs.
    """

    def __init__(self, path: Path, *, limit: int = 5_000_000, keep: int = 3) -> None:
        self.path, self._limit, self._keep = path, limit, keep
        self._descriptor: int | None = None
        self._size = 0

    def write(self, data: bytes) -> None:
        """Append; what does not fit any more begins the next file, if possible with a whole line."""
        if self._descriptor is None:
            self._open()
        while data:
            room = self._limit - self._size
            if len(data) <= room:
                part = len(data)
            else:
                part = data.rfind(b"\n", 0, max(0, room)) + 1
                if part == 0 and self._size == 0:
                    part = room  # a line longer than a file
            self._append(data[:part])
            data = data[part:]
            if data:
                self._rotate()

    def tail(self, lines: int) -> str:
        """The last ``lines`` lines, the newest rotated file included."""
        text = b""
        for path in (self.path, self._rotated(1)):
            if text.count(b"\n") > lines:
                break
            try:
                text = path.read_bytes() + text
            except FileNotFoundError:
                break
        return "\n".join(text.decode("utf-8", "replace").splitlines()[-lines:] if lines > 0 else [])

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def delete(self) -> None:
        """Remove the file and its rotated ones."""
        self.close()
        for path in (self.path, *(self._rotated(number) for number in range(1, self._keep + 1))):
            path.unlink(missing_ok=True)

    def _rotated(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")

    def _append(self, data: bytes) -> None:
        assert self._descriptor is not None
        view = memoryview(data)
        while view:
            written = os.write(self._descriptor, view)
            self._size += written
            view = view[written:]

    def _open(self) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._descriptor = os.open(self.path, flags, 0o600)
        self._size = os.fstat(self._descriptor).st_size

    def _rotate(self) -> None:
        self.close()
        for number in range(self._keep, 1, -1):
            if self._rotated(number - 1).exists():
                os.replace(self._rotated(number - 1), self._rotated(number))
        os.replace(self.path, self._rotated(1))
        self._open()
