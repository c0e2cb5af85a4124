"""acme as a git repository: yesterday's commit, then today's, with the same ids on every machine."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

_ACME = Path(__file__).resolve().parent / "acme"
#: Drivers are new: their table, and the suite that looks for them.
_NEW_TODAY = ("databases/fleet/migrations/0002_drivers.sql", "e2e/fleet/test_drivers.py")
_SEEDS = "databases/fleet/seeds/seeds.yaml"
_LEGACY_QUEUE = """
  LegacyExportQueue:
    Type: AWS::SQS::Queue
    Properties:
      QueueName: !Sub "${Environment}-legacy-export"
"""


def create_repository(folder: Path) -> tuple[str, str]:
    """Make the repository in ``folder``, branch main; returns the ids of yesterday and today."""
    shutil.copytree(
        _ACME, folder, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", ".pytest_cache", "build")
    )
    _git(folder, "init", "--quiet", "--initial-branch=main")
    edits = {
        "packages/geo/src/acme_geo/distance.py": ("6371.0088", "6371.0"),
        "infra/ephemeral/template.yaml": ("\n  Worker:", f"{_LEGACY_QUEUE}  Worker:"),
        "e2e/platform/test_platform.py": (
            'environment}-ingest"]',
            'environment}-ingest", f"{environment}-legacy-export"]',
        ),
    }
    today = {name: (folder / name).read_text() for name in edits}
    for name, (new, old) in edits.items():
        assert new in today[name], f"{name} has no {new!r}"
        (folder / name).write_text(today[name].replace(new, old))
    for name in _NEW_TODAY:
        today[name] = (folder / name).read_text()
        (folder / name).unlink()
    today[_SEEDS] = (folder / _SEEDS).read_text()
    (folder / _SEEDS).write_text(today[_SEEDS].split("  - sql: {table: drivers}")[0])
    yesterday = _commit(folder, "Yesterday", "2026-01-05T12:00:00+00:00")
    for name, text in today.items():
        (folder / name).write_text(text)
    return yesterday, _commit(folder, "Drivers, and the export queue goes", "2026-01-06T12:00:00+00:00")


def _commit(folder: Path, message: str, when: str) -> str:
    _git(folder, "add", "--all")
    _git(folder, "commit", "--quiet", "--message", message, when=when)
    return _git(folder, "rev-parse", "HEAD")


def _git(folder: Path, *arguments: str, when: str = "") -> str:
    who = {
        f"GIT_{role}_{what}": value
        for role in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", "Acme"), ("EMAIL", "dev@acme.example"), ("DATE", when))
        if value
    }
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1", **who}
    done = subprocess.run(
        ["git", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()
