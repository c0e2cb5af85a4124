"""What a Python module imports, by its syntax tree; nothing is executed.

``STRONG`` is an import that runs when the module is imported; within a function, under ``TYPE_CHECKING`` or
in a ``try`` that forgives its absence it is ``WEAK``: it counts as much, and may close a circle.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

from daybreak.catalog.discovery.facts import STRONG, WEAK, Facts

_DYNAMIC = (b"import_module", b"__import__", b"import_string", b"find_spec", b"run_module", b"exec_module",
            b"import_from_string")  # fmt: skip
_LINE = re.compile(
    r"(?:^|[;:])[ \t]*(?:from[ \t]+(\.*)([\w.]*)[ \t]+import[ \t]*(\([^)]*\)|[^\n;]*)|import[ \t]+([^\n;]+))",
    re.MULTILINE,
)
_OPTIONAL = frozenset({"ImportError", "ModuleNotFoundError", "Exception"})

#: What may stand before the word of an import statement: all that follows a line's start, `;`, `:` or `\\`.
_BEFORE = re.compile(rb"(?:^|[;:\\\r])[ \t\f]*(?:from\b[^#\"'()]*)?$")
#: Where a statement of the module itself begins, and what goes on with an earlier one all the same.
_TOP = re.compile(rb"^(?!(?:else|elif|except|finally)\b)[A-Za-z_@]", re.MULTILINE)


def read(content: bytes) -> Facts:
    """Facts of one module.

    ``i``: ``[module, level, names, line, strength]``; ``d``: ``[line, text, prefix or None]``, dynamic
    imports; ``n``: the module only makes its package a namespace; ``e``: where its syntax is not understood.
    """
    # Four looks instead of seven: most modules have nothing of it.
    dynamic = (
        b"import_" in content or b"run_module" in content or b"find_spec" in content
        or b"exec_module" in content
    ) and any(word in content for word in _DYNAMIC)  # fmt: skip
    if b"import" not in content and not dynamic:
        return {}
    try:
        module = _parsed(content, dynamic=dynamic)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return _by_lines(content, getattr(error, "lineno", None) or 1, dynamic=dynamic)
    facts: Facts = {"i": list(imports(module.body))}
    if dynamic:
        facts["d"] = list(dynamic_imports(module))
    if b"extend_path" in content or b"declare_namespace" in content:
        facts["n"] = True
    return facts


def _parsed(content: bytes, *, dynamic: bool) -> ast.Module:
    """The module's syntax tree, without the statements behind its last import.

    Python reads from left to right, so a part that ends before a statement of the module and is valid by
    itself means there what it means in the whole; mostly it is a small one. Any other cut (in a text of
    several lines, in brackets) is no valid module, and then all of it is read.
    """
    last = max(content.rfind(word) for word in _DYNAMIC) if dynamic else 0
    last = max(last, _last_import(content))
    if following := _TOP.search(content, content.find(b"\n", last) + 1 or len(content)):
        try:
            return ast.parse(content[: following.start()])
        except (SyntaxError, ValueError):
            pass
    return ast.parse(content)


def _last_import(content: bytes) -> int:
    """Where the last word is that can be the ``import`` of a statement; behind it is none for sure."""
    at = content.rfind(b"import")
    while at > 0:
        start = content.rfind(b"\n", 0, at) + 1
        if _BEFORE.search(content[start:at]) or content.endswith((b"\\\n", b"\\\r\n"), 0, start):
            return at
        at = content.rfind(b"import", 0, at)
    return max(at, 0)


def imports(body: list[ast.stmt], strength: int = STRONG) -> Iterator[list[Any]]:
    """Import statements only stand in statements: expressions are never walked."""
    for node in body:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield [alias.name, 0, [], node.lineno, strength]
        elif isinstance(node, ast.ImportFrom):
            if node.module != "__future__":
                yield [
                    node.module or "",
                    node.level,
                    [each.name for each in node.names],
                    node.lineno,
                    strength,
                ]
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from imports(node.body, WEAK)
        elif isinstance(node, ast.If):
            yield from imports(node.body, WEAK if _type_checking(node.test) else strength)
            yield from imports(node.orelse, strength)
        elif isinstance(node, ast.Try | ast.TryStar):
            forgiven = any(_forgives(handler) for handler in node.handlers)
            yield from imports(node.body, WEAK if forgiven else strength)
            for handler in node.handlers:
                yield from imports(handler.body, WEAK if forgiven else strength)
            yield from imports([*node.orelse, *node.finalbody], strength)
        elif isinstance(node, ast.Match):
            for case in node.cases:
                yield from imports(case.body, strength)
        else:
            for name in ("body", "orelse"):
                if inner := getattr(node, name, None):
                    yield from imports(inner, strength)


def _type_checking(test: ast.expr) -> bool:
    name = test.attr if isinstance(test, ast.Attribute) else test.id if isinstance(test, ast.Name) else ""
    return name == "TYPE_CHECKING"


def _forgives(handler: ast.ExceptHandler) -> bool:
    types = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return handler.type is None or any(
        isinstance(each, ast.Name | ast.Attribute)
        and (each.id if isinstance(each, ast.Name) else each.attr) in _OPTIONAL
        for each in types
    )


def dynamic_imports(module: ast.Module) -> Iterator[list[Any]]:
    """Calls that import what they are told, with as much of the name as is written there."""
    for node in ast.walk(module):
        if not isinstance(node, ast.Call):
            continue
        function = node.func
        name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        if name not in {"import_module", "__import__", "import_string", "run_module", "import_from_string"}:
            continue
        first = node.args[0] if node.args else next((each.value for each in node.keywords), None)
        prefix = _prefix(first)
        # `import_module(name, package)` may also name anything absolutely: only a leading dot stays inside.
        if prefix is not None and prefix.startswith("."):
            yield [node.lineno, "", "."]
            continue
        said = ast.unparse(node)
        yield [node.lineno, said if len(said) <= 80 else f"{said[:77]}...", prefix]


def _prefix(node: ast.expr | None) -> str | None:
    """What the module's name begins with, whole names only; ``"."`` for the own package."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr) and node.values:
        return _whole(_prefix(node.values[0]))
    if isinstance(node, ast.FormattedValue):
        return (
            "." if isinstance(node.value, ast.Name) and node.value.id in {"__name__", "__package__"} else None
        )
    if isinstance(node, ast.Name) and node.id in {"__name__", "__package__"}:
        return "."
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _whole(_prefix(node.left))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
        return _whole((_prefix(node.left) or "").partition("%")[0])
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format":
        return _whole((_prefix(node.func.value) or "").partition("{")[0])
    return None


def _whole(said: str | None) -> str | None:
    """Up to the last dot: what follows may be part of a longer name."""
    if said is None or said.startswith("."):
        return said
    return said.rpartition(".")[0] or None


def _by_lines(content: bytes, line: int, *, dynamic: bool) -> Facts:
    """A module whose syntax this Python does not know: its import lines are read as text."""
    said = content.decode("utf-8", "replace")
    found: list[list[Any]] = []
    for match in _LINE.finditer(said):
        place = said.count("\n", 0, match.start(0) + 1) + 1
        dots, base, names, plain = match.groups()
        if plain is not None:
            wanted = [re.split(r"\s", each.strip())[0] for each in plain.split("#")[0].split(",")]
            found += [[each, 0, [], place, STRONG] for each in wanted if re.fullmatch(r"[\w.]+", each)]
        else:
            found.append([base, len(dots), re.findall(r"(?<!as )\b\w+", names), place, STRONG])
    facts: Facts = {"i": found, "e": line}
    if dynamic:
        facts["d"] = [[line, "an import that cannot be read", None]]
    return facts
