"""Shortcuts for planning and executing a scorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from daybreak.environment.scorch import ScorchPlan, ScorchResult, execute_scorch, plan_scorch
from daybreak.environment.stacks.stack import Stacks
from tests.fixtures.cloud import Cloud

Plan = Callable[..., ScorchPlan]
Execute = Callable[..., ScorchResult]


@pytest.fixture
def plan(cloud: Cloud) -> Plan:
    """Plan a scorch of what ``stacks`` describe."""

    def make(stacks: Stacks, databases: tuple[str, ...] = (), **more: Any) -> ScorchPlan:
        return plan_scorch(stacks.target, databases, stacks, **{"nonces": stacks.nonces, **more})

    return make


@pytest.fixture
def execute(cloud: Cloud) -> Execute:
    """Execute a plan as it comes back from where it was kept; waiting takes no time."""

    def run(plan: ScorchPlan, stacks: Stacks, **more: Any) -> ScorchResult:
        kept = ScorchPlan.from_json(plan.to_json())
        options = {"nonces": stacks.nonces, "sleep": cloud.slept.append, **more}
        return execute_scorch(kept, stacks.target, stacks, **options)

    return run


@pytest.fixture
def scorch(plan: Plan, execute: Execute) -> Execute:
    """Plan and execute at once."""
    return lambda stacks, databases=(), **more: execute(plan(stacks, databases, **more), stacks, **more)
