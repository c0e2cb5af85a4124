"""Why a resource is selected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

_SHOWN = 5


class Rule(StrEnum):
    """By which rule."""

    FILE = "file"
    TEST = "test"
    LOCK = "lock"
    GLOBAL = "global path"
    CATALOG = "catalog"
    EDGE = "edge"
    FALLBACK = "fallback"


@dataclass(frozen=True)
class Reason:
    """One reason for one resource.

    :param text: for people, in a few words: a path, ``depends on geo``.
    :param path: the changed file.
    :param detail: what the rule adds: the pattern, the versions, the fields.
    :param dependency: for an edge: the resource that brought the change, ``evidence`` is where it is named.
    """

    rule: Rule
    text: str
    path: str = ""
    detail: str = ""
    dependency: str = ""
    evidence: str = ""


def shown(reasons: Sequence[Reason]) -> tuple[str, ...]:
    """The reasons for people; a long list is cut, and says so."""
    texts = tuple(dict.fromkeys(reason.text for reason in reasons))
    if len(texts) <= _SHOWN:
        return texts
    return (*texts[:_SHOWN], f"and {len(texts) - _SHOWN} more")
