"""What is added to ministack's services, put in place at a service's first request.

Not at start: importing CloudFormation imports all services, and most tests need a few.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Awaitable, Callable
from types import ModuleType
from typing import Any

from examples.standins.aws.additions.billing import Bills
from examples.standins.aws.additions.faults import Faults

#: Status, headers and body, as ministack's handlers answer.
Answer = tuple[int, dict[str, str], Any]
Handler = Callable[..., Awaitable[Answer]]
Addition = Callable[[ModuleType], None]


def install(faults: Faults, bills: Bills) -> None:
    """Put every addition in place; once, before the first request."""
    from ministack import app
    from ministack.core.router import SERVICE_PATTERNS

    from . import cloudformation, costs, dynamodb, ec2, elasticsearch, emr, tagging

    additions: dict[str, Addition] = {
        "cloudformation": functools.partial(cloudformation.install, faults=faults),
        "dynamodb": functools.partial(dynamodb.install, faults=faults),
        "ec2": ec2.install,
        "elasticmapreduce": emr.install,
        "opensearch": elasticsearch.install,
        "tagging": tagging.install,
    }
    for name, addition in additions.items():
        app.SERVICE_HANDLERS[name] = _with(str(app.SERVICE_REGISTRY[name]["module"]), addition)
    # The pattern comes first: without one ministack loads every model of botocore to find out what `ce` is.
    SERVICE_PATTERNS["ce"] = {"target_prefixes": ["AWSInsightsIndexService"]}
    app.SERVICE_HANDLERS["ce"] = costs.handler(bills)


def _with(module_name: str, addition: Addition) -> Handler:
    @functools.cache
    def module() -> ModuleType:
        found = importlib.import_module(f"ministack.services.{module_name}")
        addition(found)
        return found

    async def handler(*request: Any) -> Answer:
        answer: Answer = await module().handle_request(*request)
        return answer

    return handler
