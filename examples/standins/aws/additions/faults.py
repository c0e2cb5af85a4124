"""What shall go wrong, and when it does: the rules behind ``/_daybreak/faults``."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from .calls import Call


class Kind(StrEnum):
    """Kinds of faults."""

    THROTTLE = "throttle"
    ERROR_BEFORE = "error5xx_before"
    ERROR_AFTER = "error5xx_after"
    ERROR = "error"
    HANG_UP_BEFORE = "hang_up_before"
    HANG_UP_AFTER = "hang_up_after"
    DELAY = "delay"
    BUCKET = "bucket"
    STACK_FAILURE = "stack_failure"
    STACK_DURATION = "stack_duration"
    LINGER = "linger"


#: What hits no call, but is asked for where the thing is done.
_ASKED_FOR = frozenset({Kind.STACK_FAILURE, Kind.STACK_DURATION, Kind.LINGER})


class UnknownFault(ValueError):
    """The request for a fault does not make sense; the message says why."""


@dataclass
class Fault:
    """One rule.

    :param service: name of boto3's client; ``None`` matches all.
    :param action: API operation; ``None`` matches all.
    :param resource: only calls that name it.
    :param skip: how many matching calls pass before the first one is hit.
    :param times: how many calls are hit; ``None`` all.
    :param seconds: of a delay, of each operation on a stack, or that a deleted table is still there.
    :param status: of a 5xx or another error.
    :param code: of an error.
    :param capacity: tokens of a bucket, for each account and region; one call takes one.
    :param refill: tokens that come back each second.
    :param stack: only this stack, by name.
    :param logical_id: the resource of a stack that fails.
    :param resource_type: the type of resource that fails.
    :param operation: ``create``, ``update`` or ``delete`` of that resource.
    :param reason: what CloudFormation's event, or the error's message, says.
    """

    id: str
    kind: Kind
    service: str | None = None
    action: str | None = None
    account: str | None = None
    resource: str | None = None
    skip: int = 0
    times: int | None = None
    seconds: float = 0.0
    status: int = 500
    code: str | None = None
    capacity: float = 0.0
    refill: float = 0.0
    stack: str | None = None
    logical_id: str | None = None
    resource_type: str | None = None
    operation: str = "create"
    reason: str = (
        'Resource handler returned message: "Injected failure" (HandlerErrorCode: GeneralServiceException)'
    )
    fired: int = 0
    _buckets: dict[tuple[str, str], tuple[float, float]] = field(default_factory=dict, repr=False)

    def told(self) -> dict[str, Any]:
        """For the control endpoint."""
        return {name: value for name, value in asdict(self).items() if not name.startswith("_")}

    def matches(self, call: Call) -> bool:
        """Whether it concerns this call."""
        return (
            self.service in {None, call.service}
            and self.action in {None, call.action}
            and self.account in {None, call.account}
            and (self.resource is None or any(self.resource in each for each in call.resources))
        )

    def spend(self) -> bool:
        """Count a matching call; whether it is one of those to hit."""
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.times is not None and self.fired >= self.times:
            return False
        self.fired += 1
        return True

    def take_token(self, call: Call, now: float) -> bool:
        """One token of the caller's bucket, if there is one."""
        key = call.account, call.region
        tokens, since = self._buckets.get(key, (self.capacity, now))
        tokens = min(self.capacity, tokens + (now - since) * self.refill)
        enough = tokens >= 1
        self._buckets[key] = (tokens - 1 if enough else tokens, now)
        if not enough:
            self.fired += 1
        return enough


_SETTABLE = {name for name in Fault.__dataclass_fields__ if name not in {"id", "fired", "_buckets"}}


class Faults:
    """All rules. Stacks fail in worker threads too, so it is locked."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._lock = threading.Lock()
        self._faults: dict[str, Fault] = {}
        self._numbers = itertools.count(1)
        self._clock = clock

    def add(self, wanted: Mapping[str, Any]) -> Fault:
        """:raises UnknownFault: an unknown kind or field."""
        if unknown := sorted(wanted.keys() - _SETTABLE):
            raise UnknownFault(f"unknown field {unknown[0]!r}; known: {', '.join(sorted(_SETTABLE))}")
        try:
            kind = Kind(wanted.get("kind", ""))
        except ValueError:
            raise UnknownFault(f"unknown kind {wanted.get('kind')!r}; known: {', '.join(Kind)}") from None
        if wanted.get("operation", "create") not in {"create", "update", "delete"}:
            raise UnknownFault("operation is create, update or delete")
        if kind is Kind.BUCKET and not wanted.get("capacity"):
            raise UnknownFault("a bucket needs a capacity of at least 1")
        if kind is Kind.ERROR and not wanted.get("code"):
            raise UnknownFault("an error needs the code that the service shall say")
        with self._lock:
            fault = Fault(**{**wanted, "id": f"f{next(self._numbers)}", "kind": kind})
            self._faults[fault.id] = fault
        return fault

    def remove(self, fault: str | None, account: str | None) -> None:
        """One by its id, all of an account, or all."""
        with self._lock:
            self._faults = {
                key: each
                for key, each in self._faults.items()
                if (fault is not None and key != fault) or (account is not None and each.account != account)
            }

    def told(self) -> list[dict[str, Any]]:
        """For the control endpoint."""
        with self._lock:
            return [fault.told() for fault in self._faults.values()]

    def hits(self, call: Call) -> list[Fault]:
        """The faults that hit this call; each is counted."""
        with self._lock:
            return list(self._hits(call))

    def _hits(self, call: Call) -> Iterator[Fault]:
        for fault in self._faults.values():
            if fault.kind in _ASKED_FOR or not fault.matches(call):
                continue
            if fault.kind is Kind.BUCKET:
                if not fault.take_token(call, self._clock()):
                    yield fault
            elif fault.spend():
                yield fault

    def stack_failure(
        self, account: str, operation: str, stack: str, logical_id: str, type_: str
    ) -> str | None:
        """The reason why this resource of a stack fails now, if it shall."""
        with self._lock:
            for fault in self._faults.values():
                if (
                    fault.kind is Kind.STACK_FAILURE
                    and fault.operation == operation
                    and fault.account in {None, account}
                    and fault.stack in {None, stack}
                    and fault.logical_id in {None, logical_id}
                    and fault.resource_type in {None, type_}
                    and fault.spend()
                ):
                    return fault.reason
        return None

    def stack_seconds(self, account: str, stack: str) -> float:
        """How long an operation on this stack shall take on top."""
        with self._lock:
            return sum(
                fault.seconds
                for fault in self._faults.values()
                if fault.kind is Kind.STACK_DURATION
                and fault.account in {None, account}
                and fault.stack in {None, stack}
                and fault.spend()
            )

    def linger_seconds(self, account: str, resource: str) -> float:
        """How long this thing shall still be there after its deletion was asked for."""
        with self._lock:
            return sum(
                fault.seconds
                for fault in self._faults.values()
                if fault.kind is Kind.LINGER
                and fault.account in {None, account}
                and (fault.resource is None or fault.resource in resource)
                and fault.spend()
            )
