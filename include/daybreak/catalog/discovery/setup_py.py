"""``setup.py`` by reading alone: what ``setup(…)`` is given, as far as its text decides it."""

from __future__ import annotations

import ast
from typing import Any

from daybreak.catalog.discovery.facts import STRONG, WEAK, Facts, Malformed
from daybreak.catalog.discovery.python_manifest import add_requirement, empty

#: Stands in a text for a part that only running the file would give; no requirement can hold it.
_UNKNOWN = "\0"


class _Undecided(Exception):
    """Only running the file would tell."""


def read(content: bytes) -> Facts:
    """Facts of a ``setup.py``; what is computed is ``unsure``."""
    facts = empty()
    try:
        module = ast.parse(content)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None) or 1
        raise Malformed(line, f"syntax error: {getattr(error, 'msg', error)}") from None
    names = _constants(module)
    call = next((node for node in ast.walk(module) if _is_setup(node)), None)
    facts["component"] = call is not None
    if call is None:
        return facts
    assert isinstance(call, ast.Call)
    for keyword in call.keywords:
        line = keyword.value.lineno
        if keyword.arg is None:
            facts["unsure"].append([line, "setup(**…) is computed"])
        elif keyword.arg == "name":
            _name(keyword.value, names, facts)
        elif keyword.arg in {"install_requires", "setup_requires"}:
            _requirements(keyword.value, names, facts, STRONG, keyword.arg)
        elif keyword.arg in {"extras_require", "tests_require"}:
            _requirements(keyword.value, names, facts, WEAK, keyword.arg)
        elif keyword.arg == "package_dir" and isinstance(keyword.value, ast.Dict):
            facts["where"] += [
                _text(value, names) for value in keyword.value.values if _is_text(value, names)
            ]
    # A list of requirements is read from a file: by which name, the text says.
    facts["files"] += sorted({
        node.value for node in ast.walk(module)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        and node.value.endswith((".txt", ".in")) and "require" in node.value
    })  # fmt: skip
    if facts["files"]:
        facts["unsure"] = []
    return facts


def _is_setup(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and (
        (isinstance(node.func, ast.Name) and node.func.id == "setup")
        or (isinstance(node.func, ast.Attribute) and node.func.attr == "setup")
    )


def _constants(module: ast.Module) -> dict[str, ast.expr]:
    """Module-level names that are assigned exactly once."""
    found: dict[str, ast.expr] = {}
    twice: set[str] = set()
    for node in ast.walk(module):
        targets = node.targets if isinstance(node, ast.Assign) else []
        if isinstance(node, ast.AnnAssign | ast.AugAssign):
            targets = [node.target]
        for target in targets:
            if isinstance(target, ast.Name):
                if target.id in found or isinstance(node, ast.AugAssign):
                    twice.add(target.id)
                value = getattr(node, "value", None)
                if isinstance(value, ast.expr):
                    found[target.id] = value
    return {name: value for name, value in found.items() if name not in twice}


def _name(node: ast.expr, names: dict[str, ast.expr], facts: Facts) -> None:
    if _is_text(node, names) and _UNKNOWN not in (name := _text(node, names)):
        facts["name"] = name
    else:
        facts["unsure"].append([node.lineno, "the distribution's name is computed"])


def _requirements(
    node: ast.expr, names: dict[str, ast.expr], facts: Facts, strength: int, keyword: str
) -> None:
    try:
        for said, line in _texts(node, names, 0):
            # `f"dagster{pin}"`: the name stands before what is computed.
            add_requirement(facts, said.partition(_UNKNOWN)[0], line, strength)
            if said.startswith(_UNKNOWN):
                raise _Undecided
    except _Undecided:
        facts["unsure"].append([node.lineno, f"{keyword} is computed"])


def _texts(node: ast.expr, names: dict[str, ast.expr], depth: int) -> list[tuple[str, int]]:
    """Every text of a list, tuple, set or dict of lists; raises :class:`_Undecided` for anything computed."""
    if depth > 20:
        raise _Undecided
    if isinstance(node, ast.Name) and node.id in names:
        return _texts(names[node.id], names, depth + 1)
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        return [each for item in node.elts for each in _texts(item, names, depth + 1)]
    if isinstance(node, ast.Dict):
        return [each for value in node.values for each in _texts(value, names, depth + 1)]
    if isinstance(node, ast.Starred):
        return _texts(node.value, names, depth + 1)
    if _is_text(node, names):
        return [(_text(node, names), node.lineno)]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return [*_texts(node.left, names, depth + 1), *_texts(node.right, names, depth + 1)]
    raise _Undecided


def _is_text(node: ast.expr, names: dict[str, ast.expr]) -> bool:
    try:
        _text(node, names)
    except _Undecided:
        return False
    return True


def _text(node: ast.expr, names: dict[str, ast.expr], depth: int = 0) -> str:
    """The text that an expression gives, :data:`_UNKNOWN` for parts; raises :class:`_Undecided`."""
    if depth > 20:
        raise _Undecided
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.Name) and node.id in names:
        return _text(names[node.id], names, depth + 1)
    if isinstance(node, ast.JoinedStr):
        return "".join(_part(value, names, depth) for value in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left = _text(node.left, names, depth + 1)
        return left + _or_unknown(node.right, names, depth)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
        return _text(node.left, names, depth + 1).replace("%s", _UNKNOWN)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return _method(node, node.func, names, depth)
    raise _Undecided


def _method(call: ast.Call, method: ast.Attribute, names: dict[str, ast.expr], depth: int) -> str:
    said = _text(method.value, names, depth + 1)
    arguments: list[Any] = [each.value for each in call.args if isinstance(each, ast.Constant)]
    if method.attr == "format":
        return said.partition("{")[0] + _UNKNOWN if "{" in said else said
    plain = all(isinstance(each, str) for each in arguments) and len(arguments) == len(call.args)
    if plain and method.attr == "replace" and len(arguments) == 2:
        return said.replace(*arguments)
    if plain and method.attr in {"lower", "strip"} and len(arguments) <= 1:
        return str(getattr(said, method.attr)(*arguments))
    raise _Undecided


def _part(node: ast.expr, names: dict[str, ast.expr], depth: int) -> str:
    inner = node.value if isinstance(node, ast.FormattedValue) else node
    return _or_unknown(inner, names, depth)


def _or_unknown(node: ast.expr, names: dict[str, ast.expr], depth: int) -> str:
    try:
        return _text(node, names, depth + 1)
    except _Undecided:
        return _UNKNOWN
