"""What Daybreak must know of a CloudFormation template before it sends it: read here, without a call."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from daybreak.errors import UsageError

#: CloudFormation takes no longer body in a call.
MAX_BYTES = 51_200


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short functions (``!Ref``, ``!Sub`` …), whose values do not matter here."""


def _function(loader: _Loader, _suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_scalar(node)  # type: ignore[arg-type]


_Loader.add_multi_constructor("!", _function)


@dataclass(frozen=True)
class Template:
    """A template's body and the names in it.

    :param retained: logical ids with ``DeletionPolicy: Retain`` (or ``Snapshot``): their data stays.
    :param named: logical ids of what the template gives a name, which nothing else can have meanwhile.
    """

    body: str
    parameters: frozenset[str]
    resources: frozenset[str]
    retained: frozenset[str]
    named: frozenset[str]


NOTHING = Template("", frozenset(), frozenset(), frozenset(), frozenset())


def read(body: str | Mapping[str, Any], name: str = "template") -> Template:
    """Read a template; boto3 hands JSON ones back as mappings.

    :raises UsageError: when it is no template, or too long for a call.
    """
    text = body if isinstance(body, str) else ""
    if len(text.encode()) > MAX_BYTES:
        raise UsageError(
            f"{name}: {len(text.encode())} bytes, CloudFormation takes {MAX_BYTES} in a call; split it."
        )
    try:
        # A subclass of SafeLoader: it makes only plain values.
        data = yaml.load(body, Loader=_Loader) if isinstance(body, str) else body  # noqa: S506
    except yaml.YAMLError as error:
        raise UsageError(f"{name}: not YAML: {error}") from error
    resources = data.get("Resources") if isinstance(data, Mapping) else None
    if not isinstance(resources, Mapping) or not resources:
        raise UsageError(f"{name}: no `Resources`, so it is no CloudFormation template")
    return Template(
        text,
        frozenset(data.get("Parameters") or ()),
        frozenset(resources),
        frozenset(
            logical
            for logical, resource in resources.items()
            if isinstance(resource, Mapping) and resource.get("DeletionPolicy") in {"Retain", "Snapshot"}
        ),
        frozenset(logical for logical, resource in resources.items() if _is_named(resource)),
    )


def same(there: str | Mapping[str, Any], body: str) -> bool:
    """Whether CloudFormation has just this template; boto3 hands JSON ones back as mappings."""
    if isinstance(there, str):
        return there.strip() == body.strip()
    try:
        return bool(json.loads(body) == there)
    except ValueError:
        return False


def _is_named(resource: Any) -> bool:
    """AWS calls such properties ``Name``, ``TableName``, ``DBInstanceIdentifier`` …"""
    properties = resource.get("Properties") if isinstance(resource, Mapping) else None
    return isinstance(properties, Mapping) and any(
        str(key).endswith(("Name", "Identifier")) for key in properties
    )
