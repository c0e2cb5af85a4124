"""CloudFormation: missing types, tags of buckets, what AWS refuses and ministack does not, failures,
durations.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import ModuleType
from typing import Any

from examples.standins.aws.additions.faults import Faults

from . import stack_types

#: Operations that are done once for each ClientRequestToken.
_ONCE = ("CreateStack", "UpdateStack", "DeleteStack")


def install(cloudformation: ModuleType, faults: Faults) -> None:
    """Into ministack's modules."""
    from ministack.services.cloudformation import handlers, provisioners, stacks

    stack_types.install(provisioners)
    _fail_on_demand(stacks, faults)
    _take_time(handlers, cloudformation, faults)
    actions = cloudformation._ACTION_HANDLERS
    actions["CreateStack"] = _refuse_stillborn(cloudformation, actions["CreateStack"])
    for name in _ONCE:
        actions[name] = _once(name, actions[name])


def _fail_on_demand(stacks: ModuleType, faults: Faults) -> None:
    """Each step on a resource of a stack asks first whether it shall fail."""
    create, update, delete = stacks._provision_resource, stacks._update_resource, stacks._delete_resource

    def ask(operation: str, stack: str, logical_id: str, type_: str) -> None:
        from ministack.core.responses import get_account_id

        reason = faults.stack_failure(get_account_id(), operation, stack, logical_id, type_)
        if reason is not None:
            raise ValueError(reason)

    def provision(type_: str, logical_id: str, properties: dict[str, Any], stack: str) -> Any:
        ask("create", stack, logical_id, type_)
        stack_types.refuse_taken(type_, properties)
        return create(type_, logical_id, properties, stack)

    def change(
        type_: str, physical_id: str, old: Any, new: Any, stack: str, logical_id: str, *more: Any
    ) -> Any:
        if old != new:
            ask("update", stack, logical_id, type_)
        return update(type_, physical_id, old, new, stack, logical_id, *more)

    def remove(
        type_: str, physical_id: str, properties: Any, stack: str | None = None, logical_id: str | None = None
    ) -> None:
        ask("delete", stack or "", logical_id or "", type_)
        delete(type_, physical_id, properties, stack, logical_id)

    stacks._provision_resource, stacks._update_resource, stacks._delete_resource = provision, change, remove


def _take_time(handlers: ModuleType, cloudformation: ModuleType, faults: Faults) -> None:
    """Operations on stacks stay in progress as long as a fault says."""

    def slow(operation: Callable[..., Awaitable[None]], status: str | None) -> Callable[..., Awaitable[None]]:
        async def wait_first(stack_name: str, stack_id: str, *rest: Any, **more: Any) -> None:
            from ministack.core.responses import get_account_id

            seconds = faults.stack_seconds(get_account_id(), stack_name)
            if seconds:
                if status and stack_name in cloudformation._stacks:
                    cloudformation._stacks[stack_name]["StackStatus"] = status
                await asyncio.sleep(seconds)
            await operation(stack_name, stack_id, *rest, **more)

        return wait_first

    handlers._deploy_stack_async = slow(handlers._deploy_stack_async, None)
    handlers._delete_stack_async = slow(handlers._delete_stack_async, "DELETE_IN_PROGRESS")


Action = Callable[[Mapping[str, list[str]]], Any]


def _refuse_stillborn(cloudformation: ModuleType, action: Action) -> Action:
    """A stack in ROLLBACK_COMPLETE keeps its name until it is deleted."""

    def create(params: Mapping[str, list[str]]) -> Any:
        name = params.get("StackName", [""])[0]
        stack = cloudformation._stacks.get(name)
        if stack is not None and stack["StackStatus"] == "ROLLBACK_COMPLETE":
            from ministack.services.cloudformation.helpers import _error

            return _error("AlreadyExistsException", f"Stack [{name}] already exists")
        return action(params)

    return create


def _once(name: str, action: Action) -> Action:
    """The same request again, after a lost answer, gets the answer of the first time."""
    answers: dict[tuple[str, str, str, str], Any] = {}

    def idempotent(params: Mapping[str, list[str]]) -> Any:
        from ministack.core.responses import get_account_id, get_region

        token, stack = (params.get(key, [""])[0] for key in ("ClientRequestToken", "StackName"))
        key = (str(get_account_id()), str(get_region()), stack, token)
        if token and key in answers:
            return answers[key]
        answer = action(params)
        if token and answer[0] == 200:
            answers[key] = answer
        return answer

    return idempotent
