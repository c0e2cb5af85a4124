"""Which reader a lock file has, by its name."""

from __future__ import annotations

import re
from collections.abc import Callable

from daybreak.change.locks.resolved import Lock, LockError

_REQUIREMENTS = re.compile(r".*requirements.*\.txt")


def read(path: str, content: bytes, other: Callable[[str], bytes | None]) -> Lock:
    """The graph in the lock file ``path``.

    :param other: the content of another file of the same commit, for a lock that includes one.
    :raises LockError: when it is malformed, or of a kind that nobody knows here.
    """
    name = path.rpartition("/")[2]
    try:
        if name == "uv.lock" or name.endswith((".uv.lock", ".py.lock")):
            from daybreak.change.locks import uv

            return uv.read(content)
        if name == "poetry.lock":
            from daybreak.change.locks import poetry

            return poetry.read(content)
        if name in ("package-lock.json", "npm-shrinkwrap.json"):
            from daybreak.change.locks import npm

            return npm.read(content)
        if _REQUIREMENTS.fullmatch(name) or name.endswith(".txt"):
            from daybreak.change.locks import requirements

            return requirements.read(path, content, other)
    except LockError as error:
        raise LockError(f"{path}: {error}") from None
    except RecursionError:
        raise LockError(f"{path}: nested too deeply") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        # tomllib and json name the place; a missing field is another version of the format, or not a lock.
        raise LockError(f"{path}: {type(error).__name__}: {error}") from None
    raise LockError(f"{path}: no lock file that Daybreak can read")
