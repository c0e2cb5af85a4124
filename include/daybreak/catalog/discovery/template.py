"""What CloudFormation and SAM templates and Compose files say, with the line of each thing.

The nodes of the YAML are looked at, never constructed: ``!Ref``, ``!Sub`` and any other tag are only names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from daybreak.catalog.discovery.facts import Facts, Malformed, text

#: What `aws cloudformation package` uploads from the local disk, by property.
_LOCAL = frozenset(
    {"CodeUri", "Code", "ContentUri", "Content", "DefinitionUri", "DefinitionS3Location", "TemplateURL",
     "Location", "BodyS3Location", "SchemaUri", "DefinitionSchemaS3Location", "SourceBundle",
     "ScriptLocation", "ImageUri", "DockerContext"}
)  # fmt: skip
_FUNCTIONS = frozenset({"AWS::Serverless::Function", "AWS::Lambda::Function"})

#: What makes a YAML or JSON file a template; looked for before it is parsed.
_SIGN = re.compile(rb"AWSTemplateFormatVersion|AWS::Serverless|Type[\"']?\s*:\s*[\"']?AWS::\w+::")


def read(content: bytes) -> Facts:
    """Facts of a template; nothing for any other YAML.

    ``functions``: ``[logical id, line, code path, handler]``; ``paths``: ``[path, line]`` of anything else
    that lies on the local disk.
    """
    if not _SIGN.search(content):
        return {}
    root = _compose(content)
    found = _child(root, "Resources")
    if found is None or found.id != "mapping":
        return {}
    facts: Facts = {"template": True, "functions": [], "paths": []}
    defaults = _child(_child(_child(root, "Globals"), "Function"), "CodeUri")
    for logical, resource in _items(found):
        type_, properties = _scalar(_child(resource, "Type")), _child(resource, "Properties")
        local: list[list[Any]] = []
        for name, value in _items(properties):
            if name in _LOCAL:
                local += [[path, line, name] for path, line in _paths(value)]
        local += [[path, line, "Metadata"] for path, line in _metadata(_child(resource, "Metadata"))]
        if type_ == "AWS::Serverless::Function" and not local and defaults is not None:
            local = [[path, line, "CodeUri"] for path, line in _paths(defaults)]
        handler = _scalar(_child(properties, "Handler"))
        for path, line, name in local:
            if type_ in _FUNCTIONS and name in {"CodeUri", "Code"}:
                facts["functions"].append([logical, line, path, handler])
            else:
                facts["paths"].append([path, line])
    return facts


def compose(content: bytes) -> Facts:
    """Facts of a Compose file: ``builds``, ``[context, Dockerfile, line]`` relative to the file."""
    facts: Facts = {"builds": []}
    services = _child(_compose(content), "services")
    for _, service in _items(services):
        build = _child(service, "build")
        if build is None:
            continue
        context = _scalar(build) if build.id == "scalar" else _scalar(_child(build, "context")) or "."
        dockerfile = None if build.id == "scalar" else _scalar(_child(build, "dockerfile"))
        if context is not None and "://" not in context:
            facts["builds"].append([context, dockerfile or "Dockerfile", build.start_mark.line + 1])
    return facts


def other(content: bytes) -> Facts:
    """A Compose file that cannot be read tells nothing about a context; a template that cannot is wrong."""
    try:
        return compose(content)
    except Malformed:
        return {"builds": []}


READERS: Mapping[str, Callable[[bytes], Facts]] = {"template": read, "compose": other}


def _compose(content: bytes) -> Any:
    import yaml

    try:
        return yaml.compose(text(content), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise Malformed(mark.line + 1 if mark else 1, f"not YAML: {problem}") from None
    except ValueError as error:
        raise Malformed(1, f"not YAML: {error}") from None


def _items(node: Any) -> Iterator[tuple[str, Any]]:
    if node is not None and node.id == "mapping":
        for key, value in node.value:
            if key.id == "scalar":
                yield key.value, value


def _child(node: Any, name: str) -> Any:
    return next((value for key, value in _items(node) if key == name), None)


def _scalar(node: Any) -> str | None:
    # A tag such as !Ref makes a scalar something else than its text.
    plain = node is not None and node.id == "scalar" and node.tag.startswith("tag:yaml.org")
    return node.value if plain else None


def _paths(node: Any) -> Iterator[tuple[str, int]]:
    said = _scalar(node)
    if said is not None:
        if said and "://" not in said and not said.startswith(("arn:", "/")):
            yield said, node.start_mark.line + 1
        return
    for name, value in _items(node):
        if name in {"ImageUri", "Location", "DockerContext"}:
            yield from _paths(value)


def _metadata(node: Any) -> Iterator[tuple[str, int]]:
    """SAM's image functions: the Docker context stands in the metadata."""
    yield from _paths(_child(node, "DockerContext"))
