"""A resource of type ``infra`` brought into its environment: the stack that it is the template of."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from daybreak.catalog.graph import CatalogResource
from daybreak.deploy.driver import Package, Target
from daybreak.environment.stacks.stack import Change, Kind, Stacks
from daybreak.errors import DaybreakError, UsageError

if TYPE_CHECKING:
    from daybreak.environment.working import Working


def stack_of(resource: CatalogResource) -> Kind:
    """Which of the environment's stacks the resource is the template of.

    :raises UsageError: when its options do not say so.
    """
    said = resource.options.get("stack")
    if said not in list(Kind):
        where = f"resources.py:{resource.line}: " if resource.line else ""
        raise UsageError(
            f"{where}{resource.name}: options['stack'] is {said!r}; there are: {', '.join(Kind)}"
        )
    return Kind(str(said))


def ensure(work: Working, target: Target, resource: CatalogResource, found: Package) -> Change:
    """Make the stack be what the artifact's template says; raises as :meth:`Stacks.ensure` does."""
    template = _template(found.folder, resource)
    return work.stacks(target).ensure(stack_of(resource), template, dict(target.environment.parameters))


def runs(stacks: Stacks, resource: CatalogResource, folder: Path) -> bool:
    """Whether the stack is there, whole, with just the template of the artifact in ``folder``."""
    return stacks.has(stack_of(resource), _template(folder, resource))


def _template(folder: Path, resource: CatalogResource) -> str:
    name = Path(str(resource.options["template"])).name
    path = next((each for each in sorted(folder.rglob("*")) if each.name == name), None)
    if path is None:
        raise DaybreakError(f"{resource.name}: the artifact has no template {name}", code="no_template")
    return path.read_text()
