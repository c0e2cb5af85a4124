"""What a monorepo says about all of its resources: ``[monorepo]`` of the ``daybreak.toml`` at its root.

::

    [monorepo]
    global_paths = [".tool-versions", { path = "infra/shared", types = ["infra"] }]
    ignore = ["*.md", "docs"]

It stands in the monorepo, so that a laptop, the CI and the night read the same, of the same commit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from daybreak.catalog.patterns import Pattern, last_match, parse, subject
from daybreak.catalog.resource import ResourceType
from daybreak.errors import CatalogError

#: Where they are.
PLACE = "daybreak.toml"

_TABLE = "monorepo"


@dataclass(frozen=True)
class GlobalPath:
    """A pattern whose files are inputs of many.

    :param types: of which resources; empty: of all.
    """

    pattern: str
    types: tuple[ResourceType, ...] = ()

    @cached_property
    def _parsed(self) -> Pattern:
        return parse(self.pattern)

    def matches(self, path: str) -> bool:
        """Whether ``path`` is such a file."""
        return self._parsed.matches(subject(path))

    def concerns(self, type_: ResourceType) -> bool:
        """Whether it is an input of resources of that type."""
        return not self.types or type_ in self.types


@dataclass(frozen=True)
class Rules:
    """See the module.

    :param ignore: gitignore-style patterns, in order, of files whose change alone selects nothing.
    """

    global_paths: tuple[GlobalPath, ...] = ()
    ignore: tuple[str, ...] = ()

    @cached_property
    def _ignore(self) -> tuple[Pattern, ...]:
        return tuple(parse(pattern) for pattern in self.ignore)

    def ignores(self, path: str) -> bool:
        """Whether ``path`` is among ``ignore``."""
        decides = last_match(self._ignore, subject(path)) if self._ignore else None
        return decides is not None and not decides.negated

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "global_paths": [
                {"path": each.pattern, "types": [type_.value for type_ in each.types]}
                for each in self.global_paths
            ],
            "ignore": list(self.ignore),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Rules:
        """The inverse of :meth:`to_json`; else a ``KeyError``, ``TypeError`` or ``ValueError``."""
        return cls(
            tuple(
                GlobalPath(each["path"], tuple(map(ResourceType, each["types"])))
                for each in data["global_paths"]
            ),
            tuple(data["ignore"]),
        )


def read(content: bytes) -> Rules:
    """The rules in a ``daybreak.toml``; raises :class:`CatalogError` naming the field."""
    import tomllib

    try:
        table = tomllib.loads(content.decode()).get(_TABLE, {})
    except (ValueError, RecursionError) as error:
        raise CatalogError(f"{PLACE}: {error}") from None
    if not isinstance(table, Mapping):
        raise CatalogError(f"{PLACE}: {_TABLE}: expected a table, found {table!r}")
    unknown = sorted(table.keys() - {"global_paths", "ignore"})
    if unknown:
        raise CatalogError(f"{PLACE}: {_TABLE}.{unknown[0]}: no such field; there are: global_paths, ignore")
    global_paths = [
        _global(each, f"{_TABLE}.global_paths[{at}]") for at, each in enumerate(_list(table, "global_paths"))
    ]
    ignore = [_pattern(each, f"{_TABLE}.ignore[{at}]") for at, each in enumerate(_list(table, "ignore"))]
    return Rules(tuple(global_paths), tuple(ignore))


def _list(table: Mapping[str, Any], field: str) -> Sequence[Any]:
    value = table.get(field, [])
    if not isinstance(value, list):
        raise CatalogError(f"{PLACE}: {_TABLE}.{field}: expected a list, found {value!r}")
    return value


def _global(value: Any, field: str) -> GlobalPath:
    if isinstance(value, str):
        value = {"path": value}
    if not isinstance(value, Mapping) or not {"path"} <= value.keys() <= {"path", "types"}:
        raise CatalogError(
            f'{PLACE}: {field}: expected "path" or {{ path = "…", types = ["…"] }}, found {value!r}'
        )
    types = value.get("types", [])
    try:
        known = tuple(ResourceType(type_) for type_ in types)
    except (ValueError, TypeError):
        raise CatalogError(f"{PLACE}: {field}.types: {types!r}: none but {', '.join(ResourceType)}") from None
    pattern = _pattern(value["path"], field)
    if pattern.startswith("!"):
        raise CatalogError(f"{PLACE}: {field}: {pattern!r}: a global path cannot be an exclusion")
    return GlobalPath(pattern, known)


def _pattern(value: Any, field: str) -> str:
    if not isinstance(value, str) or parse(value).nothing:
        raise CatalogError(f"{PLACE}: {field}: {value!r} is no gitignore-style pattern")
    return value
