"""Why a resource is affected: the shortest chain from a changed file to it, edge by edge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from daybreak.change.affected import Affected
from daybreak.change.reasons import Reason, Rule


@dataclass(frozen=True)
class Link:
    """One edge: ``resource`` depends on the one before it in the chain, as ``evidence`` says."""

    resource: str
    evidence: str


@dataclass(frozen=True)
class Chain:
    """``seed`` changed by itself, for ``reason``; each link brought the change one further.

    :param others: how many more reasons the last resource has.
    """

    seed: str
    reason: Reason
    links: tuple[Link, ...]
    others: int

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "rule": self.reason.rule.value,
            "text": self.reason.text,
            "path": self.reason.path or None,
            "detail": self.reason.detail or None,
            "seed": self.seed,
            "edges": [{"resource": link.resource, "evidence": link.evidence or None} for link in self.links],
            "other_reasons": self.others,
        }

    def lines(self) -> list[str]:
        """For people, one step a line."""
        width = max(len(name) for name in (self.seed, *(link.resource for link in self.links)))
        said = _first(self.seed, self.reason, width)
        for link in self.links:
            place = f"  {link.evidence}" if link.evidence else ""
            said.append(f"  which is needed by  {link.resource:<{width}}{place}".rstrip())
        return said


def _first(seed: str, reason: Reason, width: int) -> list[str]:
    name = f"{seed:<{width}}"
    match reason.rule:
        case Rule.FILE | Rule.TEST:
            what, _, pattern = reason.detail.partition("; ")
            tests = "a test of" if reason.rule is Rule.TEST else "belongs to"
            return [f"{reason.path}  ({what})", f"  {tests:<18}  {name}  {pattern}".rstrip()]
        case Rule.LOCK:
            return [f"{reason.path}  ({reason.detail})", f"  {'pins packages of':<18}  {name}".rstrip()]
        case Rule.GLOBAL:
            return [
                f"{reason.path}  (global path {reason.detail!r})",
                f"  {'counts for':<18}  {name}".rstrip(),
            ]
        case _:
            return [f"{seed}: {reason.text}"]


def why(found: Affected, name: str) -> Chain | None:
    """The shortest chain to ``name``, a resource of head; ``None`` when it is not affected.

    :raises UsageError: when there is no such resource.
    """
    resource = found.head[name].name
    if resource not in found.reasons:
        return None
    links: list[Link] = []
    here = resource
    while here in found.parents:
        before = found.parents[here]
        evidence = next(
            (reason.evidence for reason in found.reasons[here] if reason.dependency == before), ""
        )
        links.append(Link(here, evidence))
        here = before
    own = [reason for reason in found.reasons[here] if reason.rule is not Rule.EDGE]
    # What is selected for its tests alone carries nothing on; of the rest, a file says most.
    best = min(own, key=lambda reason: (reason.rule is Rule.TEST, reason.rule is Rule.CATALOG))
    return Chain(here, best, tuple(reversed(links)), len(found.reasons[resource]) - 1)
