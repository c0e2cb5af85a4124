"""Symbolic links: what a link in a resource's tree leads to, belongs to the resource.

Links are read as git stores them, never through a file system. A link that leads out of the repository, or
is absolute, leads nowhere here.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import replace

from daybreak.catalog.graph import CatalogResource
from daybreak.catalog.owners import Owners
from daybreak.catalog.patterns import literal

#: As many as Linux follows before it says ELOOP.
_MOST_LINKS = 40


def with_targets(
    resources: Mapping[str, CatalogResource], links: Mapping[str, str]
) -> dict[str, CatalogResource]:
    """The resources, with the targets of the links in their trees among their paths.

    :param links: by its path, what each symbolic link of the commit says.
    """
    if not links:
        return dict(resources)
    owners = Owners(resources.values())
    places = sorted(links)
    targets: dict[str, set[str]] = {}
    for link in places:
        for name in owners.of(link):
            _follow(link, links, places, targets.setdefault(name, set()))
    found = dict(resources)
    for name, wanted in targets.items():
        new = sorted(path for path in wanted if name not in owners.whole(path))
        if new:
            patterns = tuple(literal(path) if path != "." else path for path in new)
            found[name] = replace(resources[name], paths=(*resources[name].paths, *patterns))
    return found


def _follow(link: str, links: Mapping[str, str], places: list[str], targets: set[str]) -> None:
    """Add to ``targets`` where ``link`` leads, and where the links lead that are found there."""
    waiting = [link]
    while waiting:
        for target in resolve(waiting.pop(), links):
            if target in targets:
                continue
            targets.add(target)
            inside = "" if target == "." else f"{target}/"
            at = bisect_left(places, inside)
            while at < len(places) and places[at].startswith(inside):
                waiting.append(places[at])
                at += 1


def resolve(link: str, links: Mapping[str, str]) -> list[str]:
    """The links that are passed from ``link`` on, and what is found behind the last one."""
    passed: list[str] = []
    here = link.split("/")[:-1]
    ahead = links[link].split("/")[::-1]
    if links[link].startswith("/"):
        return []
    while ahead:
        part = ahead.pop()
        if part in ("", "."):
            continue
        if part == "..":
            if not here:
                return passed
            here.pop()
            continue
        here.append(part)
        path = "/".join(here)
        if path in links:
            passed.append(path)
            if links[path].startswith("/") or len(passed) > _MOST_LINKS:
                return passed
            here.pop()
            ahead.extend(links[path].split("/")[::-1])
    return [*passed, "/".join(here) or "."]
