"""What the files of the kinds are given: while a plan is made, and while it is executed."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field

from daybreak.deploy.driver import Target
from daybreak.environment import tags
from daybreak.environment.interlocks import Code, Interlocks, Verdict, judge
from daybreak.environment.scorch.plan import Item, Kind, Spared
from daybreak.environment.stacks.formation import Member
from daybreak.environment.stacks.stack import Inventory


@dataclass
class Planning:
    """Collects what the kinds find. Only reading calls are made here."""

    target: Target
    nonces: Collection[str]
    inventory: Inventory
    items: list[Item] = field(default_factory=list)
    protected: list[Spared] = field(default_factory=list)
    orphans: list[Spared] = field(default_factory=list)
    refusals: list[Spared] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The environment's name."""
        return self.target.environment.name

    def select(self, kind: Kind, type_: str) -> Iterator[tuple[Member, tags.Tags]]:
        """Members of a type whose own tags select them positively; the others are noted as protected."""
        for member in self.inventory.of_type(type_):
            try:
                found = tags.read(self.target, type_, member.physical_id)
            except tags.Gone:
                self.protect(
                    kind, member.physical_id, Verdict(Code.GONE, f"{member.stack} has it, AWS does not")
                )
                continue
            verdict = judge(found, self.name, self.nonces)
            if verdict is None and found is not None:
                yield member, found
            elif verdict is not None:
                self.protect(kind, member.physical_id, verdict)

    def protect(self, kind: Kind, identifier: str, verdict: Verdict) -> None:
        """Note a member that stays."""
        self.protected.append(Spared(kind, identifier, verdict.code, verdict.reason))

    def orphan(self, kind: str, identifier: str, verdict: Verdict) -> None:
        """Note something that only looks like ours."""
        self.orphans.append(Spared(kind, identifier, verdict.code, verdict.reason))

    def refuse(self, kind: str, identifier: str, verdict: Verdict) -> None:
        """Note what forbids the whole plan."""
        self.refusals.append(Spared(kind, identifier, verdict.code, verdict.reason))


@dataclass
class Execution:
    """Counts what was done. Every mutation is preceded by :meth:`before`."""

    target: Target
    nonces: Collection[str]
    inventory: Inventory
    interlocks: Interlocks
    sleep: Callable[[float], None] = time.sleep
    deleted: Counter[Kind] = field(default_factory=Counter)
    skipped: list[Spared] = field(default_factory=list)
    failed: list[Spared] = field(default_factory=list)

    def before(self) -> None:
        """The kill switch, and whether the environment's op is still ours.

        :raises Refused: ``frozen``.
        :raises LostOp: when somebody took over.
        """
        self.interlocks.check_frozen(self.target)
        self.target.guard()

    def confirm(self, item: Item, type_: str, physical_id: str) -> bool:
        """Re-read, just before it goes: still a member, and its tags still select it? Else it is skipped.

        :raises Gone: when it does not exist.
        """
        if not self.is_member(type_, physical_id):
            self.skip(item, Verdict(Code.NOT_A_MEMBER, "it left the stacks since the plan"))
            return False
        found = tags.read(self.target, type_, physical_id)
        verdict = judge(found, self.target.environment.name, self.nonces)
        if verdict is not None:
            self.skip(item, verdict)
        return verdict is None

    def is_member(self, type_: str, physical_id: str) -> bool:
        """Whether the environment's own stacks hold it now."""
        return any(member.physical_id == physical_id for member in self.inventory.of_type(type_))

    def done(self, item: Item, count: int = 1) -> None:
        """Count, and say so."""
        self.deleted[item.kind] += count
        self.target.log(f"{self.target.environment.name}: scorched {item.kind} {item.identifier}")

    def skip(self, item: Item, verdict: Verdict) -> None:
        """Note something planned that was left alone."""
        self.skipped.append(Spared(item.kind, item.identifier, verdict.code, verdict.reason))
        self.target.log(
            f"{self.target.environment.name}: left {item.kind} {item.identifier}: {verdict.reason}"
        )

    def fail(self, item: Item, error: BaseException) -> None:
        """Note what could not be done; the other items go on."""
        self.failed.append(
            Spared(item.kind, item.identifier, Code.FAILED, f"{type(error).__name__}: {error}")
        )


def alike(name: str, environment: str) -> bool:
    """Whether a name holds an environment's name as whole words; only for reports, never for deleting.

    ``dev-1-cars``, ``dev_1_cars`` and ``/acme/dev-1`` are like ``dev-1``; ``dev-10-cars`` is not.
    """
    words = [word for word in re.split(r"[^a-z0-9]+", name.lower()) if word]
    ours = environment.split("-")
    return any(words[at : at + len(ours)] == ours for at in range(len(words) - len(ours) + 1))
