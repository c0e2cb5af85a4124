"""An account as it was: taken once, put back as often as one likes, in milliseconds.

ministack keeps what it knows of an account in dictionaries that are scoped by account, all over its modules.
A snapshot is a deep copy of those parts, made in one go, so that what was shared in them still is.
"""

from __future__ import annotations

import copy
import gc
from collections.abc import Iterator
from typing import Any

Parts = list[tuple[Any, dict[Any, Any]]]


class Snapshots:
    """Of whole accounts; nothing may be in progress in an account that is taken or put back."""

    def __init__(self) -> None:
        self._taken: dict[str, tuple[str, Parts]] = {}

    def take(self, account: str) -> str:
        """Remember the account as it is now; its snapshot's id."""
        parts = [(store, _own(store, account)) for store in _stores()]
        # The stores themselves are not copied: they are what is written back to.
        kept = {id(store): store for store, _ in parts}
        name = f"snapshot-{len(self._taken) + 1}"
        self._taken[name] = (account, copy.deepcopy([(store, own) for store, own in parts if own], kept))
        return name

    def restore(self, name: str) -> None:
        """Make the account what it was; all that came since is gone.

        :raises KeyError: when there is no such snapshot.
        """
        account, parts = self._taken[name]
        for store in _stores():
            for key in _own(store, account):
                del store._data[key]
        kept = {id(store): store for store, _ in parts}
        for store, own in copy.deepcopy(parts, kept):
            store._data.update(own)


def _stores() -> Iterator[Any]:
    from ministack.core.responses import AccountRegionScopedDict, AccountScopedDict

    scoped = (AccountRegionScopedDict, AccountScopedDict)
    return (each for each in gc.get_objects() if isinstance(each, scoped))


def _own(store: Any, account: str) -> dict[Any, Any]:
    return {key: value for key, value in list(store._data.items()) if key[0] == account}
