"""``include/config/daybreak.yaml`` and ``DAYBREAK_*`` variables → typed settings, one error per wrong field.

Order of precedence: ``DAYBREAK_<FIELD>`` (nested: ``DAYBREAK_NIGHT__EVENING=19:30``), then the file, then the
defaults of `model`. ``${NAME}`` inside a value of the file is replaced by that environment variable, so that
secrets stay out of the file. Durations are minutes or seconds as their names say; local times are ``HH:MM``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from daybreak.errors import UsageError
from daybreak.settings.model import Settings

#: Where the settings are unless DAYBREAK_CONFIG says otherwise.
DEFAULT_FILE = Path(__file__).resolve().parent.parent.parent / "config" / "daybreak.yaml"


def load(path: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings.

    :param path: the file; by default ``$DAYBREAK_CONFIG``, else ``include/config/daybreak.yaml``.
    :raises UsageError: with one line for each wrong field: file, line, field, what is wrong.
    """
    environ = os.environ if environ is None else environ
    path = path or Path(environ.get("DAYBREAK_CONFIG") or DEFAULT_FILE)
    text = _read(path)
    try:
        node = yaml.compose(text)
        data = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise UsageError(f"{path}: not YAML: {error}") from error
    if not isinstance(data, dict):
        raise UsageError(f"{path}:1: expected fields such as `environments:`, found {type(data).__name__}")
    given = _given(environ)
    # What the environment says instead of the file may need a variable that is nowhere.
    data = _expand(data, environ, path, (), frozenset(given))
    _overlay(data, given)
    try:
        return Settings.model_validate(data)
    except ValidationError as error:
        raise UsageError(_explain(error, path, node)) from None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError(
            f"{path}: no such file. Set DAYBREAK_CONFIG, or write one (docs/settings.md)."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from error


def _expand(
    value: Any,
    environ: Mapping[str, str],
    path: Path,
    where: tuple[str, ...],
    given: frozenset[tuple[str, ...]],
) -> Any:
    def inner(item: Any, key: object) -> Any:
        return _expand(item, environ, path, (*where, str(key)), given)

    if where in given:
        return value
    if isinstance(value, dict):
        return {key: inner(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [inner(item, index) for index, item in enumerate(value)]
    if not isinstance(value, str):
        return value

    def replace(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in environ:
            raise UsageError(f"{path}: {'.'.join(where)}: the environment variable {name} is not set")
        return environ[name]

    return re.sub(r"\$\{(\w+)\}", replace, value)


_PREFIX = "DAYBREAK_"
#: Variables of ours that are not fields of the settings.
_NOT_FIELDS = {"DAYBREAK_CONFIG"}


def _given(environ: Mapping[str, str]) -> dict[tuple[str, ...], Any]:
    """Fields by their path that the environment says, sections before what is in them; empty is not said."""
    found = {}
    for name, raw in environ.items():
        if not name.startswith(_PREFIX) or name in _NOT_FIELDS or not raw:
            continue
        keys = tuple(name.removeprefix(_PREFIX).lower().split("__"))
        # Other variables of ours (DAYBREAK_ENVIRONMENT, DAYBREAK_COMMIT …) belong to resources, not
        # to the settings.
        if keys[0] in Settings.model_fields:
            found[keys] = _parsed(name, raw) if raw[0] in "[{" else raw
    return dict(sorted(found.items(), key=lambda each: len(each[0])))


def _parsed(name: str, raw: str) -> Any:
    try:
        return yaml.safe_load(raw)
    except (yaml.YAMLError, ValueError):
        # Neither the text nor what YAML says, which quotes it: there may be a secret in it.
        raise UsageError(f"{name}: begins with `{raw[0]}` and is neither JSON nor YAML") from None


def _overlay(data: dict[str, Any], given: Mapping[tuple[str, ...], Any]) -> None:
    for keys, value in given.items():
        branch = data
        for depth, key in enumerate(keys[:-1], 1):
            # A section may be there as `null`.
            if branch.get(key) is None:
                branch[key] = {}
            branch = branch[key]
            if not isinstance(branch, dict):
                field, whole = ".".join(keys[:depth]), _PREFIX + "__".join(keys[:depth]).upper()
                raise UsageError(
                    f"{_PREFIX}{'__'.join(keys).upper()}: {field} has no fields, it is a "
                    f"{'list' if isinstance(branch, list) else 'value'}: say all of it in {whole}"
                )
        branch[keys[-1]] = value


def _explain(error: ValidationError, path: Path, node: yaml.Node | None) -> str:
    lines = []
    for problem in error.errors(include_url=False, include_input=False):
        where = tuple(str(part) for part in problem["loc"] if part != "[key]")
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            message = "no such field"
        field = ".".join(where)
        lines.append(f"{path}:{_line(node, where)}: {field + ': ' if field else ''}{message}")
    return "\n".join(lines)


def _line(node: yaml.Node | None, where: tuple[str, ...]) -> int:
    line = 1
    for part in where:
        if isinstance(node, yaml.MappingNode):
            found = next(((k, v) for k, v in node.value if k.value == part), None)
            if found is None:
                break
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and part.isdigit() and int(part) < len(node.value):
            node = node.value[int(part)]
            line = node.start_mark.line + 1
        else:
            break
    return line
