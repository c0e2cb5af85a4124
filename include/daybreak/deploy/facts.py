"""What a resource's ``options`` say about the environment's stacks, looked up."""

from __future__ import annotations

from daybreak.catalog.graph import CatalogResource
from daybreak.deploy.driver import Target
from daybreak.errors import DeployFailed, UsageError


def physical_id(resource: CatalogResource, target: Target, option: str) -> str:
    """The physical id of the thing that ``options[option]`` names by its logical id.

    :raises UsageError: when the option is missing.
    :raises DeployFailed: ``not_in_stack`` when none of the environment's stacks has it.
    """
    where = f"resources.py:{resource.line}: " if resource.line else ""
    logical = resource.options.get(option)
    if not isinstance(logical, str) or not logical:
        raise UsageError(
            f"{where}{resource.name}: options[{option!r}] must be the logical id of a stack's resource"
        )
    try:
        return target.stack[logical]
    except KeyError:
        raise DeployFailed(
            f"{where}{resource.name}: options[{option!r}] is {logical!r}, which none of the stacks of "
            f"{target.environment.name} has. Add it to a template, or correct the option.",
            code="not_in_stack",
        ) from None
