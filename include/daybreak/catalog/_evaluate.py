"""Run in a process of its own: evaluate ``resources.py`` and hand over what it declares as JSON.

Called as ``python -I _evaluate.py <include folder> <file descriptor> <file>``; the file is the team's code,
so this process has an empty environment and its parent a stopwatch. Only the standard library is used.
"""

from __future__ import annotations

import json
import os
import re
import resource as limits
import sys
import traceback
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

#: More than any real catalog takes, less than what hurts the machine.
_MEMORY_LIMIT_BYTES = 2 << 30

_NAME = re.compile(r"[a-z][a-z0-9_]*")


class Rejected(Exception):
    """The file says something that is not a catalog; ``line`` is where, if it is known."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


def evaluate(file: Path) -> list[dict[str, Any]]:
    """The declared resources in order of declaration; raises :class:`Rejected`."""
    from daybreak.catalog.resource import Resource

    lines: dict[int, int | None] = {}
    created: list[Resource] = []
    initialise = Resource.__init__

    def remember(self: Resource, *args: Any, **kwargs: Any) -> None:
        lines[id(self)] = line = _line_in(file.name, sys._getframe(1))
        try:
            initialise(self, *args, **kwargs)
        except TypeError as error:
            raise Rejected(f"{error}".replace("Resource.__init__()", "Resource(...)"), line) from None
        created.append(self)

    Resource.__init__ = remember  # type: ignore[method-assign]
    namespace = _execute(file)
    named = {id(found) for found in _module_level(namespace.values(), Resource)}
    for resource in created:
        if id(resource) not in named:
            raise Rejected(
                f"resource {resource.name!r} is not kept in a module-level name; write NAME = Resource(...)",
                lines[id(resource)],
            )
    known = {id(resource) for resource in created}
    return [_declared(resource, lines, known) for resource in created]


def _execute(file: Path) -> dict[str, Any]:
    # A real module, so that dataclasses and typing find it; its name keeps `if __name__ == "__main__"` off.
    module = sys.modules["resources"] = ModuleType("resources")
    module.__file__ = file.name
    namespace = vars(module)
    try:
        exec(compile(file.read_bytes(), file.name, "exec"), namespace)  # noqa: S102
    except Rejected:
        raise
    except SyntaxError as error:
        raise Rejected(f"syntax error: {error.msg}", error.lineno) from None
    except BaseException as error:
        inside = [
            frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file.name
        ]
        message = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise Rejected(message, inside[-1] if inside else None) from None
    return namespace


def _line_in(filename: str, frame: FrameType | None) -> int | None:
    while frame is not None and frame.f_code.co_filename != filename:
        frame = frame.f_back
    return frame.f_lineno if frame else None


def _module_level(values: Iterable[Any], wanted: type) -> Iterable[Any]:
    for value in values:
        if isinstance(value, wanted):
            yield value
        elif isinstance(value, Mapping):
            yield from (item for item in value.values() if isinstance(item, wanted))
        elif isinstance(value, list | tuple | set | frozenset):
            yield from (item for item in value if isinstance(item, wanted))


def _declared(resource: Any, lines: Mapping[int, int | None], known: set[int]) -> dict[str, Any]:
    from daybreak.catalog.resource import Action, ResourceType

    line = lines[id(resource)]
    if not isinstance(resource.name, str) or not _NAME.fullmatch(resource.name):
        raise Rejected(f"name: {resource.name!r} does not match [a-z][a-z0-9_]*", line)
    type_ = _member(ResourceType, resource.type, "type", resource.name, line)
    actions = {}
    if not isinstance(resource.actions, Mapping):
        raise Rejected(
            f"{resource.name}: actions: expected {{at.DEPLOY: True}}, found {resource.actions!r}", line
        )
    for action, on in resource.actions.items():
        member = _member(Action, action, "actions", resource.name, line)
        actions[member.value] = _checked(on, bool, f"actions[{member.value}]", resource.name, line)
    try:
        options = json.loads(json.dumps(dict(resource.options), sort_keys=True, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise Rejected(f"{resource.name}: options: {error}; use plain data only", line) from None
    seeds = resource.seeds
    if seeds is not None:
        _checked(seeds, str, "seeds", resource.name, line)

    def others(field: str) -> list[str]:
        found = []
        for position, other in enumerate(_list(getattr(resource, field), field, resource.name, line)):
            if id(other) not in known:
                raise Rejected(
                    f"{resource.name}: {field}[{position}]: {other!r} is not a resource of this file", line
                )
            if field == "packages_dependency" and other.type != ResourceType.PACKAGE:
                raise Rejected(
                    f"{resource.name}: {field}[{position}]: {other.name} is a {other.type}, not a package; "
                    f"name it in depends_on",
                    line,
                )
            found.append(other.name)
        return found

    def texts(field: str) -> list[str]:
        items = _list(getattr(resource, field), field, resource.name, line)
        return [_checked(item, str, f"{field}[{at}]", resource.name, line) for at, item in enumerate(items)]

    return {
        "name": resource.name,
        "type": type_.value,
        "packages": others("packages_dependency"),
        "depends_on": others("depends_on"),
        "ignore": others("ignore_dependency"),
        "paths": texts("dependent_paths"),
        "actions": actions,
        "enabled": _checked(resource.enabled, bool, "enabled", resource.name, line),
        "test_paths": texts("test_paths"),
        "seeds": seeds,
        "options": options,
        "line": line,
    }


def _list(value: Any, field: str, name: str, line: int | None) -> Sequence[Any]:
    # A string is a sequence too, of letters: the classic slip of a missing bracket.
    if isinstance(value, str) or not isinstance(value, list | tuple):
        raise Rejected(f"{name}: {field}: expected a list, found {value!r}", line)
    return value


def _checked(value: Any, wanted: type, field: str, name: str, line: int | None) -> Any:
    if not isinstance(value, wanted):
        raise Rejected(f"{name}: {field}: expected {wanted.__name__}, found {value!r}", line)
    return value


def _member(enum: Any, value: Any, field: str, name: str, line: int | None) -> Any:
    try:
        return enum(value)
    except ValueError:
        raise Rejected(f"{name}: {field}: {value!r} is none of {', '.join(enum)}", line) from None


def main(include: str, descriptor: str, file: str) -> None:
    """Write ``{"resources": […]}`` or ``{"error": …, "line": …}`` to the descriptor."""
    sys.path.insert(0, include)
    # Best effort: not every system can limit it. The parent's stopwatch ends the rest.
    with suppress(OSError, ValueError):
        limits.setrlimit(limits.RLIMIT_AS, (_MEMORY_LIMIT_BYTES, _MEMORY_LIMIT_BYTES))
    answer: dict[str, Any]
    try:
        answer = {"resources": evaluate(Path(file))}
    except Rejected as error:
        answer = {"error": str(error), "line": error.line}
    with os.fdopen(int(descriptor), "w", encoding="utf-8") as channel:
        json.dump(answer, channel)
    # Threads or exit handlers of the evaluated file have no say in how this ends.
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
