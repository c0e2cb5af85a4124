"""Lambda functions: the environment's stack makes them, this driver gives them their code."""

from __future__ import annotations

from collections.abc import Mapping

from daybreak.catalog.graph import CatalogResource
from daybreak.deploy.driver import Package, Target
from daybreak.errors import DaybreakError

#: The tag that says which artifact a function runs.
KEY_TAG = "daybreak:key"


class LambdaDriver:
    """``options``: ``logical_id`` of the function in the environment's stack, ``handler``."""

    def create(self, resource: CatalogResource, package: Package, target: Target) -> None:
        """The stack did."""

    def deploy(self, resource: CatalogResource, package: Package, target: Target) -> Mapping[str, str]:
        """Upload the code, wait until it is in use, then tag the function with the content key."""
        function = _function(resource, target)
        client = target.client("lambda")
        if self.observe(resource, target) == package.key:
            return {f"{resource.name.upper()}_FUNCTION": function}
        target.guard()
        client.update_function_code(
            FunctionName=function, ZipFile=(package.folder / "function.zip").read_bytes()
        )
        client.get_waiter("function_updated_v2").wait(
            FunctionName=function, WaiterConfig={"Delay": 1, "MaxAttempts": 120}
        )
        target.guard()
        client.update_function_configuration(FunctionName=function, Handler=resource.options["handler"])
        client.get_waiter("function_updated_v2").wait(
            FunctionName=function, WaiterConfig={"Delay": 1, "MaxAttempts": 120}
        )
        found = client.get_function(FunctionName=function)["Configuration"]
        target.guard()
        # The hash binds the tag to this very code: an upload by hand makes the tag void.
        client.tag_resource(
            Resource=found["FunctionArn"], Tags={KEY_TAG: f"{package.key}/{found['CodeSha256']}"}
        )
        return {f"{resource.name.upper()}_FUNCTION": function}

    def observe(self, resource: CatalogResource, target: Target) -> str | None:
        """The key of the tag, when the code is still the one that was tagged."""
        client = target.client("lambda")
        try:
            found = client.get_function(FunctionName=_function(resource, target))
        except client.exceptions.ResourceNotFoundException:
            return None
        key, _, code = found.get("Tags", {}).get(KEY_TAG, "").partition("/")
        return key if key and code == found["Configuration"]["CodeSha256"] else None

    def destroy(self, resource: CatalogResource, target: Target) -> None:
        """The function goes with its stack."""


def _function(resource: CatalogResource, target: Target) -> str:
    logical = str(resource.options.get("logical_id", ""))
    if logical not in target.stack:
        raise DaybreakError(
            f"{resource.name}: options['logical_id'] is {logical!r}, which is in none of the stacks of "
            f"{target.environment.name}",
            code="not_in_stack",
        )
    return target.stack[logical]
