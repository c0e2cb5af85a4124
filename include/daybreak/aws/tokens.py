"""Under which token AWS was asked for what, kept so that a retry asks for the same operation.

A request whose answer was lost may have been done, may be under way, or may still be on its way there. The
same request under the same token is right in all three cases: AWS does it once. So the token must outlive the
process that made it: it is kept *before* AWS is asked, and forgotten when the operation is known to be over.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Mapping
from typing import Any

Kept = Mapping[str, Mapping[str, str]]


class Tokens:
    """The tokens of one step, by the thing that is changed; one operation at a time changes a thing.

    :param kept: what an earlier try kept.
    :param keep: writes all of them down; what it raises ends the call before AWS is asked. By default they
        live as long as this object.
    """

    def __init__(self, kept: Kept | None = None, keep: Callable[[Kept], object] = lambda _: None) -> None:
        self._kept, self._keep = dict(kept or {}), keep
        self._one = threading.Lock()

    def take(self, thing: str, request: str) -> str:
        """The token to ask under for ``request`` on ``thing``: a former try's, when it asked for just that.

        :param request: the operation, its parameters and what it was decided on, as a digest.
        """
        with self._one:
            found = self._kept.get(thing)
            if found is None or found["request"] != request:
                found = {"request": request, "token": f"daybreak-{uuid.uuid4().hex}"}
                self._keep({**self._kept, thing: found})
                self._kept[thing] = found
            return found["token"]

    def over(self, thing: str) -> None:
        """The operation on ``thing`` ended, however: the next one is another."""
        with self._one:
            left: dict[str, Any] = {key: value for key, value in self._kept.items() if key != thing}
            if len(left) < len(self._kept):
                self._keep(left)
                self._kept = left
