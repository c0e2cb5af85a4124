"""The house stands: imports go down, never up, and light rooms stay light."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "include" / "daybreak"

#: From the ground up; each may import itself and what stands before it.
FLOORS = [
    "errors",
    "disk",
    "locking",
    "sql",
    "settings",
    "git",
    "registry",
    "store",
    "aws",
    "catalog",
    "change",
    "build",
    "deploy",
    "environment",
    "merge",
    "talk",
    "orchestration",
    "doctor",
    "cli",
    "__main__",
]


def _imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def _floor(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == "daybreak" and len(parts) > 1 else None


MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down_never_up(path: Path) -> None:
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    above = set(FLOORS[FLOORS.index(own) + 1 :])
    wrong = sorted(name for name in _imports(path) if _floor(name) in above)
    assert not wrong, f"{path.relative_to(ROOT)} is on floor {own} and imports from above: {', '.join(wrong)}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_airflow_is_imported_only_by_orchestration(path: Path) -> None:
    if path.relative_to(PACKAGE).parts[0] != "orchestration":
        assert not {name for name in _imports(path) if name.split(".")[0] == "airflow"}


def test_nothing_in_include_imports_the_stand_ins() -> None:
    assert not [
        str(path) for path in MODULES if any(name.split(".")[0] == "examples" for name in _imports(path))
    ]


def test_change_impact_costs_no_airflow_boto3_or_sqlalchemy() -> None:
    heavy = {"airflow", "boto3", "botocore", "sqlalchemy", "pydantic"}
    script = (
        "import sys, daybreak.change.plan, daybreak.change.key, daybreak.catalog.loader;"
        f"print(sorted(set(sys.modules) & {heavy!r}))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_test_that_the_documents_name_is_there() -> None:
    documents = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
    wrong = []
    for document in documents:
        for file, name in re.findall(r"`(tests/[\w/]*(?:\.py)?)(?:::(\w+))?`", document.read_text()):
            place = ROOT / file
            known = place.exists() and (not name or name in _functions(place))
            wrong += [] if known else [f"{document.relative_to(ROOT)}: {file}{'::' if name else ''}{name}"]
    assert not wrong


def _functions(path: Path) -> set[str]:
    return {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}
