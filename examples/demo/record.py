"""``.demo/<port>/run.json``: what runs there, for people and scripts, and for the start after a kill."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from examples.demo.processes import Mark


class Record:
    """The file, written anew whenever a process was started; it holds passwords, so only we may read it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data: dict[str, Any] = {"pid": os.getpid(), "groups": {}}

    def left(self) -> dict[str, Mark]:
        """The process groups of the demo that was here last, whether they still run or not."""
        try:
            groups = json.loads(self.path.read_text())["groups"]
            return {name: Mark(int(group["pid"]), float(group["began"])) for name, group in groups.items()}
        except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
            return {}

    def write(self, marks: Mapping[str, Mark], **more: Any) -> None:
        """Keep what was said before; a reader sees the old file or the new one, never half of it."""
        self.data |= more
        self.data["groups"] = {name: {"pid": mark.pid, "began": mark.began} for name, mark in marks.items()}
        new = self.path.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_text(json.dumps(self.data, indent=1) + "\n")
        new.replace(self.path)
