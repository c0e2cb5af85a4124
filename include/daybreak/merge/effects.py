"""What the programs of `protocol` ask for, and what they are told: by whoever carries it out, which is
`merge/lane.py`, or `tests/merge/model.py` for every way that it can go.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from daybreak.merge.rules import AttemptState


class Answer(StrEnum):
    """What the remote said to a push. ``UNCLEAR``: nothing, and it may still carry it out."""

    DONE = "done"
    REFUSED = "refused"
    UNCLEAR = "unclear"


class Verdict(StrEnum):
    """How the tests of a candidate ended."""

    PASSED = "passed"
    FAILED = "failed"
    TIMED_OUT = "timed_out"


@dataclass(frozen=True)
class Tested:
    """A verdict, and in words what failed."""

    verdict: Verdict
    said: str = ""


@dataclass(frozen=True)
class Deployed:
    """Whether a deploy went well.

    :param said: why it did not, in words.
    :param broken: it is the candidate that cannot be deployed, twice, for a reason of its own: a build that
        fails, a service that is not healthy. What the environment did to it is not.
    """

    done: bool
    said: str = ""
    broken: bool = False


@dataclass(frozen=True)
class Unwanted:
    """A member was taken back or held while the candidate was deployed or tested: it cannot land any more.

    :param code: of why, and in words.
    """

    code: str
    said: str


@dataclass(frozen=True)
class Changed:
    """A member that is not any more what was approved, or does not merge; and why, in words."""

    member: int
    said: str


@dataclass(frozen=True)
class Left:
    """A member that does not merge with those before it, so that the candidate is without it.

    :param said: with whom it conflicts, in words.
    :param alone: with main itself, whatever becomes of the others.
    """

    member: int
    said: str
    alone: bool = False


@dataclass(frozen=True)
class Built:
    """A candidate, and whom it is without."""

    candidate: str
    left: tuple[Left, ...] = ()


@dataclass(frozen=True)
class View:
    """An attempt as a try of one of its steps found it.

    :param fence: under which it has the lane.
    :param lease: the lease under which `base` was read.
    :param landing: the lease that the landing push brings; written before that push.
    :param lands: whether it is to land, or only to try.

    What is not known yet is empty.
    """

    run_id: str
    state: AttemptState
    fence: int
    base: str = ""
    candidate: str = ""
    lease: str = ""
    landing: str = ""
    lands: bool = True


@dataclass(frozen=True)
class Refs:
    """Two references of the remote, read together; ``None`` where there is no lease yet."""

    main: str
    lease: str | None


# Effects: what is asked, and (in the docstring) the result.


@dataclass(frozen=True)
class Claim:
    """Make this try the only one that may write. → `View`, or ``None``: it is not ours, or somebody's at
    work.

    :param takes_lane: enter the lane (PLANNED → LEASED), with a new fence.
    :param takes_over: also from a holder that is silent, or whose deadline passed; with a new fence when it
        was another holder.
    """

    takes_lane: bool = False
    takes_over: bool = False


@dataclass(frozen=True)
class Write:
    """Go on, if this try still is the one that may. → whether it was.

    :param said: code and message of why, for what ends here.
    :param blamed: the member at whose door it lies, if at one's.
    :param left: members that are none any more.
    """

    state: AttemptState
    to: AttemptState
    base: str | None = None
    candidate: str | None = None
    lease: str | None = None
    landing: str | None = None
    said: tuple[str, str] | None = None
    blamed: int | None = None
    left: tuple[Left, ...] = ()


@dataclass(frozen=True)
class ReadRefs:
    """→ `Refs`."""


@dataclass(frozen=True)
class FenceOf:
    """→ the fence that a lease names."""

    lease: str


@dataclass(frozen=True)
class InChain:
    """→ whether ``lease`` is ``tip``, or was replaced on the way to it."""

    lease: str
    tip: str


@dataclass(frozen=True)
class NewLease:
    """→ a lease that names this fence, with ``parent`` as the one that it replaces; nowhere yet."""

    fence: int
    parent: str | None


@dataclass(frozen=True)
class Push:
    """Move the lease, and main with it where it is given, from exactly these values. → `Answer`."""

    lease: tuple[str | None, str]
    main: tuple[str, str] | None = None


@dataclass(frozen=True)
class Build:
    """→ `Built`: the members merged onto ``base``; or `Changed`, when the first of them conflicts with it."""

    base: str


@dataclass(frozen=True)
class StillApproved:
    """→ ``None``, or `Changed`, for a member that is not as it was approved."""


@dataclass(frozen=True)
class Deploy:
    """Make the environment run ``commit``, from artifacts that are there. → `Deployed`; or `Unwanted`,
    for what an attempt is to land: then nobody knows how far it came.
    """

    commit: str


@dataclass(frozen=True)
class Test:
    """Test the candidate on the environment. → `Tested`, or `Unwanted`."""

    commit: str


@dataclass(frozen=True)
class Runs:
    """→ whether the environment, read back, runs exactly ``commit`` with all that was planned."""

    commit: str


@dataclass(frozen=True)
class Release:
    """Give the lane back. → nothing."""


Effect = (
    Claim | Write | ReadRefs | FenceOf | InChain | NewLease | Push | Build | StillApproved | Deploy | Test
    | Runs | Release
)  # fmt: skip
#: A program that returns the state in which it left the attempt, or ``None``: it was not its turn.
Program = Generator[Effect, Any, AttemptState | None]
