"""The words in which a monorepo says what it is made of.

A monorepo's ``resources.py`` uses just these names::

    from daybreak.catalog import Resource, at, rt

    COMMON = Resource(name="common", type=rt.PACKAGE, dependent_paths=["packages/common"])
    TRIPS = Resource(name="trips", type=rt.SERVICE, packages_dependency=[COMMON],
                     actions={at.DEPLOY: True}, dependent_paths=["services/trips"])

The module is imported by that file in a process of its own: it stays free of third-party imports.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class ResourceType(StrEnum):
    """What a resource is; decides its builder, its driver and its default actions."""

    INFRA = "infra"
    DATABASE = "database"
    PACKAGE = "package"
    SERVICE = "service"
    LAMBDA = "lambda"
    EMR = "emr"
    SPARK = "spark"
    FLINK = "flink"
    COMMAND = "command"


class Action(StrEnum):
    """What can be done with a resource. BUILD, CREATE and DEPLOY are the BCD actions."""

    BUILD = "build"
    TEST = "test"
    CREATE = "create"
    DEPLOY = "deploy"
    SEED = "seed"


rt = ResourceType
at = Action

#: The order in which types come when nothing else orders them (change-impact: "Type order").
TYPE_ORDER: tuple[ResourceType, ...] = (
    rt.INFRA, rt.DATABASE, rt.PACKAGE, rt.SERVICE, rt.LAMBDA, rt.EMR, rt.SPARK, rt.FLINK, rt.COMMAND,
)  # fmt: skip

DEFAULT_ACTIONS: Mapping[ResourceType, frozenset[Action]] = {
    rt.INFRA: frozenset({at.BUILD, at.CREATE}),
    rt.DATABASE: frozenset({at.BUILD, at.CREATE, at.DEPLOY}),
    rt.PACKAGE: frozenset({at.BUILD, at.TEST}),
    rt.SERVICE: frozenset({at.BUILD, at.TEST, at.CREATE, at.DEPLOY}),
    rt.LAMBDA: frozenset({at.BUILD, at.TEST, at.DEPLOY}),
    rt.EMR: frozenset({at.CREATE}),
    rt.SPARK: frozenset({at.BUILD, at.TEST, at.DEPLOY}),
    rt.FLINK: frozenset({at.BUILD, at.TEST, at.DEPLOY}),
    rt.COMMAND: frozenset({at.BUILD, at.DEPLOY}),
}


@dataclass(frozen=True, eq=False)
class Resource:
    """One thing of the monorepo that can be built, created or deployed.

    :param name: unique, ``[a-z][a-z0-9_]*``; it also names the resource's group in the UI and its
        ``<NAME>_URL``.
    :param type: see :class:`ResourceType`.
    :param packages_dependency: packages whose wheels this resource needs.
    :param depends_on: anything else that must be there first (a database, a stack, another service).
    :param dependent_paths: gitignore-style patterns of the files that this resource is made of; the first one
        that is a folder is the resource's root.
    :param actions: switches single actions on or off; what is left out follows :data:`DEFAULT_ACTIONS`.
    :param enabled: ``False`` takes every action away; a change is still carried on to the dependents.
    :param test_paths: folders, relative to the root, with unit tests.
    :param seeds: path of a seed manifest (adds the SEED action).
    :param options: what only this type knows (``handler``, ``template``, ``command`` …, see
        docs/resource-contract.md).
    """

    name: str
    type: ResourceType
    packages_dependency: Sequence[Resource] = ()
    depends_on: Sequence[Resource] = ()
    ignore_dependency: Sequence[Resource] = ()
    dependent_paths: Sequence[str] = ()
    actions: Mapping[Action, bool] = field(default_factory=dict)
    enabled: bool = True
    test_paths: Sequence[str] = ("tests",)
    seeds: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
