"""The small world of `model`: what is in it, how often what may happen, and the rules that it keeps."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from daybreak.merge import protocol as p
from daybreak.merge.rules import AttemptState

START = "m0"


@dataclass(frozen=True)
class Attempt:
    state: AttemptState = AttemptState.PLANNED
    fence: int = 0
    token: int = 0
    base: str = ""
    candidate: str = ""
    lease: str = ""
    landing: str = ""
    cancelled: bool = False
    #: Somebody pushed to the pull request before it passed: its head is not what was approved.
    moved: bool = False
    #: How often a push of its candidate was carried out.
    carried_out: int = 0


@dataclass(frozen=True)
class Worker:
    """A process at work on an attempt: how far its program is, by what it was told so far."""

    attempt: int
    step: str
    told: tuple[Any, ...] = ()
    token: int = 0
    #: It goes on with the run's next step when this one ends.
    runs_on: bool = True


@dataclass(frozen=True)
class Budget:
    """How often what nobody wants may happen."""

    crashes: int = 0
    takeovers: int = 0
    retries: int = 0
    unclear: int = 0
    #: The remote refuses a push although it could carry it out.
    refusals: int = 0
    pushes: int = 0
    resets: int = 0
    cancels: int = 0
    heads: int = 0
    broken: int = 0
    failures: int = 0


@dataclass(frozen=True)
class World:
    attempts: tuple[Attempt, ...]
    workers: tuple[Worker, ...]
    left: Budget
    main: str = START
    #: The lease reference. A lease is named by the one that it replaced and itself: ``/1.2.5/2.7.3``.
    lease: str = ""
    runs: str = START
    lane: int | None = None
    fence: int = 0
    tokens: int = 0
    #: Pushes without an answer that the remote may still carry out.
    pending: frozenset[tuple[int, p.Push]] = frozenset()
    #: Candidates that passed on an environment that ran them.
    tested: frozenset[str] = frozenset()
    #: People moved main since whoever settles looked.
    unseen: bool = False


@dataclass(frozen=True)
class Rules:
    """What the outside keeps for the programs; each can be switched off, to see that it is needed."""

    main_is_compared: bool = True
    lease_is_compared: bool = True
    writes_need_the_token: bool = True
    rotation_is_carried_out: bool = True
    landing_is_written_first: bool = True
    chain_is_asked: bool = True
    read_back: bool = True
    cancel_is_compared: bool = True
    head_is_asked: bool = True
    settled: bool = True


class Violation(AssertionError):
    """Something that must never be."""


def changed(world: World, number: int, **columns: Any) -> World:
    return replace(
        world, attempts=put(world.attempts, number, replace(world.attempts[number], **columns))
    )  # fmt: skip


def put(items: tuple[Any, ...], number: int, item: Any) -> tuple[Any, ...]:
    return (*items[:number], item, *items[number + 1 :])


def without(world: World, number: int) -> World:
    return replace(world, workers=world.workers[:number] + world.workers[number + 1 :])


def spend(world: World, what: str) -> World:
    return replace(world, left=replace(world.left, **{what: getattr(world.left, what) - 1}))
