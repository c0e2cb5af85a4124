"""Lambda functions: the environment's stack makes them, this driver gives them their code."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from daybreak.catalog.graph import CatalogResource
from daybreak.deploy.driver import Package, Target
from daybreak.deploy.facts import physical_id
from daybreak.errors import DeployFailed, UsageError

#: The tag that says which artifact a function runs: the content key and the hash of the code that it stands
#: for.
KEY_TAG = "daybreak:key"
#: AWS takes a larger zip only through S3.
LARGEST_ZIP = 50 * 1024 * 1024
#: Variables that Lambda sets itself; a function's credentials are those of its role.
_RESERVED = {
    "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
}  # fmt: skip
_UPDATE_SECONDS = 180.0


class LambdaDriver:
    """``options``: ``logical_id`` of the function in the environment's stack, ``handler``."""

    def create(self, resource: CatalogResource, package: Package, target: Target) -> None:
        """The stack did."""

    def deploy(self, resource: CatalogResource, package: Package, target: Target) -> Mapping[str, str]:
        """Upload the code, set handler and variables, then tag the function with the content key.

        The tag comes last: a deploy that was killed in between is not observed as done.

        :raises DeployFailed: when Lambda rejects the code, or the function is not there.
        """
        function = physical_id(resource, target, "logical_id")
        client = target.client("lambda")
        provided = self.provides(resource, target)
        present = _get(client, function)
        if present is None:
            raise DeployFailed(f"{resource.name}: {target.environment.name} has no function {function}")
        wanted = _configuration(resource, target, present["Configuration"])
        code = (package.folder / "function.zip").read_bytes()
        if len(code) > LARGEST_ZIP:
            raise UsageError(
                f"{resource.name}: function.zip has {len(code) >> 20} MB; Lambda takes {LARGEST_ZIP >> 20}. "
                f"Leave packages out of its lock that the runtime already has."
            )
        if _key(present) == package.key and not wanted:
            return provided
        if _key(present) != package.key:
            client.update_function_code(FunctionName=function, ZipFile=code)
            _settle(client, resource, function)
        if wanted:
            client.update_function_configuration(FunctionName=function, **wanted)
            _settle(client, resource, function)
        found = client.get_function(FunctionName=function)["Configuration"]
        client.tag_resource(
            Resource=found["FunctionArn"], Tags={KEY_TAG: f"{package.key}/{found['CodeSha256']}"}
        )
        return provided

    def observe(self, resource: CatalogResource, target: Target) -> str | None:
        """The key of the tag, when the code is still the one that was tagged (an upload by hand voids it)."""
        function = physical_id(resource, target, "logical_id")
        found = _get(target.client("lambda"), function)
        return None if found is None else _key(found)

    def provides(self, resource: CatalogResource, target: Target) -> Mapping[str, str]:
        """The function's name."""
        return {f"{resource.name.upper()}_FUNCTION": physical_id(resource, target, "logical_id")}

    def destroy(self, resource: CatalogResource, target: Target) -> None:
        """The function goes with its stack."""


def _get(client: Any, function: str) -> Any:
    try:
        return client.get_function(FunctionName=function)
    except client.exceptions.ResourceNotFoundException:
        return None


def _key(found: Mapping[str, Any]) -> str | None:
    key, _, code = found.get("Tags", {}).get(KEY_TAG, "").partition("/")
    return key if key and code == found["Configuration"]["CodeSha256"] else None


def _configuration(resource: CatalogResource, target: Target, present: Mapping[str, Any]) -> dict[str, Any]:
    """What must be changed in the function's configuration; what the template set beside it stays."""
    changes: dict[str, Any] = {}
    handler = resource.options.get("handler")
    if handler and handler != present.get("Handler"):
        changes["Handler"] = handler
    variables = dict(present.get("Environment", {}).get("Variables", {}))
    ours = {name: value for name, value in target.variables.items() if name not in _RESERVED}
    if {**variables, **ours} != variables:
        changes["Environment"] = {"Variables": {**variables, **ours}}
    return changes


def _settle(client: Any, resource: CatalogResource, function: str) -> None:
    """Wait until the last update is in use; a second one before that would be refused."""
    deadline = time.monotonic() + _UPDATE_SECONDS
    pause = 0.1
    while True:
        found = client.get_function_configuration(FunctionName=function)
        # Emulators leave the status out once it is over.
        status = found.get("LastUpdateStatus", "Successful")
        if status == "Successful" and found.get("State", "Active") != "Pending":
            return
        if status == "Failed" or found.get("State") == "Failed":
            reason = found.get("LastUpdateStatusReason") or found.get("StateReason") or "no reason given"
            raise DeployFailed(f"{resource.name}: Lambda did not take the update of {function}: {reason}")
        if time.monotonic() > deadline:
            raise DeployFailed(
                f"{resource.name}: the update of {function} was not over after {_UPDATE_SECONDS:g} s "
                f"({status})"
            )
        time.sleep(pause)
        pause = min(5.0, pause * 2)
