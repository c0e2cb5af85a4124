"""One blob read: by the reader of its kind, whatever it holds."""

from __future__ import annotations

from collections.abc import Callable

from daybreak.catalog.discovery.facts import Facts, Malformed


def read(kind: str, content: bytes) -> Facts:
    """The facts of one blob."""
    try:
        return _reader(kind)(content)
    except Malformed as error:
        return {"error": [error.line, str(error)]}
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        return {"error": [line, f"byte {error.start} is not UTF-8"]}
    except (RecursionError, MemoryError):
        return {"error": [1, "nested too deeply"]}


def _reader(kind: str) -> Callable[[bytes], Facts]:
    # Each reader is imported when a blob calls for it: with a warm cache none is.
    if kind == "py":
        from daybreak.catalog.discovery import imports

        return imports.read
    if kind in {"pyproject", "setupcfg", "requirements", "alembic", "daybreak"}:
        from daybreak.catalog.discovery import python_manifest

        return python_manifest.READERS[kind]
    if kind == "setuppy":
        from daybreak.catalog.discovery import setup_py

        return setup_py.read
    if kind in {"node", "lerna", "workspace"}:
        from daybreak.catalog.discovery import node_manifest

        return node_manifest.READERS[kind]
    if kind in {"docker", "dockerignore"}:
        from daybreak.catalog.discovery import dockerfile

        return dockerfile.READERS[kind]
    from daybreak.catalog.discovery import template

    return template.READERS[kind]
