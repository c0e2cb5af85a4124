"""A full disk, said as what it is: one code, and the file that could not be written."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from daybreak.errors import DaybreakError

#: No space, no quota, a file that may not grow, a disk that turned read-only.
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})
#: A disk that gets full within one write takes a part of it without an error; CPython, which compiles, says
#: so (``_write_atomic`` in Lib/importlib/_bootstrap_external.py).
_PARTLY = "didn't write the full pyc file"


class DiskFull(DaybreakError):
    """Nothing more can be written; the message names the file."""

    code = "disk_full"


@contextmanager
def needs_room(where: Path | None = None) -> Iterator[None]:
    """Around, or as a decorator of, what writes much.

    :param where: what is written; a failed ``write`` does not know its file, only a failed ``open`` does.
    :raises DiskFull: instead of an :class:`OSError` that says so.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        raise DiskFull(
            f"{error.strerror}: {error.filename or where or 'a file'}; make room, then try again"
        ) from error


def says_no_room(text: str) -> bool:
    """Whether these are the words of another program's error of a full disk."""
    said = text.lower()  # Go writes its errors small
    return _PARTLY in said or any(os.strerror(number).lower() in said for number in _NO_ROOM)
