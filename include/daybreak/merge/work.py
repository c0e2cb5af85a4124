"""The merge environment as one attempt works on it: a commit, and what of it does not run there yet."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from functools import cached_property

from daybreak.aws.tokens import Tokens
from daybreak.build.artifact import Artifacts
from daybreak.catalog import snapshot
from daybreak.catalog.graph import Catalog
from daybreak.catalog.loader import load
from daybreak.change.key import content_keys
from daybreak.change.plan import Plan, plan
from daybreak.environment.bcd.request import Request
from daybreak.environment.bcd.selection import Selection, select
from daybreak.environment.installation import Installation
from daybreak.environment.machine import Op
from daybreak.environment.working import Working
from daybreak.errors import LostOp
from daybreak.git.repository import Repository


@dataclass(frozen=True)
class Work(Working):
    """What one attempt does to the merge environment with one commit."""

    installation: Installation
    run_id: str
    name: str
    repository: Repository
    commit: str
    tokens: Tokens = field(default_factory=Tokens)
    #: Set by whoever finds that nobody wants it any more.
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def environment(self) -> str:
        """The environment's name."""
        return self.name

    def check(self, op: Op) -> None:
        """See :class:`Working`; what was begun of a resource is not gone on with when it is to stop."""
        super().check(op)
        if self.stop.is_set():
            raise LostOp(f"{self.run_id}: nobody wants it any more", code="unwanted")

    @cached_property
    def catalog(self) -> Catalog:
        """The commit's, kept in the store for whoever takes away what it brings."""
        found = load(self.repository, self.commit, self.installation.settings.monorepo.catalog)
        snapshot.keep(found, self.installation.store)
        return found

    @cached_property
    def keys(self) -> dict[str, str]:
        """Content keys of everything."""
        return content_keys(
            self.repository, self.catalog, python=self.installation.settings.build.python
        )  # fmt: skip

    @cached_property
    def selection(self) -> Selection:
        """What differs from what runs, at the first look."""
        settings = self.installation.settings
        artifacts = Artifacts(self.installation.store)
        full = plan(
            self.repository, None, self.commit, artifacts.exists, settings.monorepo.catalog,
            python=settings.build.python,
        )  # fmt: skip
        return select(full, self.catalog, self.done(), Request(self.name, remove=True))

    @cached_property
    def plan(self) -> Plan:
        """The steps for what differs."""
        return self.selection.plan

    def done(self) -> dict[str, str]:
        """What runs, read back, and was written down as done: a step that was cut off is not."""
        rows = self.installation.deployments.current(self.name)
        return {
            name: key
            for name, key in self.running(self.catalog).items()
            if name in rows and rows[name].key == key
        }
