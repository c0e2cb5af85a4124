"""What the members of an attempt, together, can have broken: from where main was to the candidate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from daybreak.catalog.graph import Catalog
from daybreak.catalog.resource import Action
from daybreak.change.affected import affected, everything
from daybreak.environment.rollout import deployable
from daybreak.git.repository import Repository

#: How many files that belong to nobody are named.
_SHOWN = 3


@dataclass(frozen=True)
class Impact:
    """See the module.

    :param because: reasons for people, by name, of each resource that is affected.
    :param deployed: those that run in an environment by themselves, and may run differently now.
    :param tested: those whose unit tests count.
    :param whole: why everything counts as affected; ``None`` when it does not.
    """

    because: Mapping[str, tuple[str, ...]]
    deployed: frozenset[str]
    tested: frozenset[str]
    whole: str | None = None

    @property
    def nothing(self) -> bool:
        """Whether nothing that anybody runs or tests is affected."""
        return not self.because and self.whole is None


def impact(repo: Repository, base: str, catalog: Catalog, catalog_path: str) -> Impact:
    """What changed between ``base`` and the commit of ``catalog``. A file of nobody's affects everything.

    :param base: main as the candidate was made on it, never one member's own base: what two of them break
        together is only seen from there.
    """
    found = affected(repo, base, catalog, catalog_path, on_unknown_all=True)
    whole = found.fallback
    if found.unowned:
        more = f" and {len(found.unowned) - _SHOWN} more" if len(found.unowned) > _SHOWN else ""
        verb = "belongs" if len(found.unowned) == 1 else "belong"
        whole = f"{', '.join(found.unowned[:_SHOWN])}{more} {verb} to no resource"
        found = everything(catalog, whole, fallback=True)
    changed = found.because.keys() - found.tests_only
    return Impact(
        found.because,
        frozenset(name for name in changed if deployable(catalog[name])),
        frozenset(name for name in found.because if Action.TEST in catalog[name].actions),
        whole,
    )
