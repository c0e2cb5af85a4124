"""What two catalogs say differently: whether the one in use still is what the tree says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from daybreak.catalog.graph import Catalog, CatalogResource

#: Compared as a whole, in the order in which they are told.
_FIELDS = ("type", "root", "enabled", "actions", "test_paths", "seeds", "options")


@dataclass(frozen=True)
class Difference:
    """One thing that ``after`` says and ``before`` does not, or the other way round.

    :param sign: ``+`` only in after, ``-`` only in before, ``~`` different.
    :param where: evidence, ``file:line``, when there is any.
    """

    sign: str
    resource: str
    what: str
    where: str = ""

    def to_json(self) -> dict[str, str]:
        """The JSON form."""
        return asdict(self)

    def __str__(self) -> str:
        where = f"  ({self.where})" if self.where else ""
        return f"{self.sign} {self.resource}: {self.what}{where}"


def drift(before: Catalog, after: Catalog) -> list[Difference]:
    """All differences, by resource; evidence and lines of declarations do not count."""
    found: list[Difference] = []
    for name in sorted(before.resources.keys() | after.resources.keys()):
        old, new = before.resources.get(name), after.resources.get(name)
        if old is None and new is not None:
            found.append(Difference("+", name, f"{new.type} in {new.root}"))
        elif new is None and old is not None:
            found.append(Difference("-", name, f"{old.type} in {old.root}"))
        elif old is not None and new is not None:
            found += _changed(old, new)
    if before.rules != after.rules:
        found.append(Difference("~", "monorepo", "the rules for all of it (daybreak.toml) are others"))
    return found


def _changed(old: CatalogResource, new: CatalogResource) -> Iterator[Difference]:
    name = old.name
    for kind in ("packages", "depends_on"):
        before, after = set(getattr(old, kind)), set(getattr(new, kind))
        verb = "needs the package" if kind == "packages" else "depends on"
        for other in sorted(before ^ after):
            sign, side = ("+", new) if other in after else ("-", old)
            yield Difference(sign, name, f"{verb} {other}", side.evidence.get(other, ""))
    for path in sorted(set(old.paths) ^ set(new.paths)):
        yield Difference("+" if path in new.paths else "-", name, f"is made of {path}")
    if old.paths != new.paths and set(old.paths) == set(new.paths):
        yield Difference("~", name, "its paths stand in another order")
    for lock in sorted({*old.locks} ^ {*new.locks}, key=lambda each: (each.path, each.roots)):
        roots = f" for {', '.join(lock.roots)}" if lock.roots else ""
        yield Difference("+" if lock in new.locks else "-", name, f"is pinned by {lock.path}{roots}")
    one, other_one = _plain(old), _plain(new)
    for field in _FIELDS:
        if one[field] != other_one[field]:
            yield Difference("~", name, f"{field}: {_said(one[field])} is now {_said(other_one[field])}")


def _plain(resource: CatalogResource) -> Mapping[str, Any]:
    return resource.to_json()


def _said(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(str, value))}]"
    return str(value)
