"""What became of each planned step of a BCD, by the rows that it left."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from daybreak.build.artifact import Artifacts
from daybreak.build.checks import passed
from daybreak.catalog.resource import Action
from daybreak.change.plan import PlannedResource
from daybreak.environment.bcd.records import BcdRun
from daybreak.environment.bcd.report import Ended, Line
from daybreak.environment.bcd.selection import deploys, only_creates
from daybreak.environment.bcd.work import Work

#: Unit tests that were planned, and of which nobody knows.
NO_RESULT = "its unit tests are planned, and have no result"


def account(work: Work, cut_off: str = "") -> tuple[Line, ...]:
    """One line for each resource that the run was about.

    :param cut_off: what ended the run before its end, for what was not done.
    """
    return tuple(_Accounts(work, work.row, cut_off).lines())


@dataclass(frozen=True)
class _Accounts:
    work: Work
    row: BcdRun
    cut_off: str

    @cached_property
    def artifacts(self) -> Artifacts:
        return Artifacts(self.work.installation.store)

    def lines(self) -> Iterator[Line]:
        detail, green = self.row.detail, self._green()
        for step in self.work.plan.steps:
            yield self._line(step, green)
        for name in detail.get("same", ()):
            yield Line(name, Ended.UNCHANGED, **self._before(name), link=self._address(name))
        for name in detail.get("gone", ()):
            yield self._gone(name)

    def _line(self, step: PlannedResource, green: set[str]) -> Line:
        why = self._unbuilt(step)
        red = self._red(step) if why is None and self._is_red(step, green) else ""
        if why is None and deploys(step):
            why = self._undeployed(step)
        ended = Ended.BUILT
        if deploys(step):
            ended = Ended.CREATED if only_creates(step) else Ended.DEPLOYED
        link = self._address(step.name) if deploys(step) else ""
        if why is not None:
            ended = Ended.FAILED if why else Ended.MISSING
            why = why or (f"was not done: {self.cut_off}" if self.cut_off else "is planned, and has no row")
        if red or ended is Ended.BUILT or not link:
            link = f"logs/{'test' if red else 'build'}/{step.name}/{'' if red else f'{step.key}.log'}"
        return Line(
            step.name, ended, **self._before(step.name), key=step.key, why=why or "", red=red, link=link
        )

    def _unbuilt(self, step: PlannedResource) -> str | None:
        """Why there is no artifact, empty when nobody knows; ``None`` when there is, or need not be."""
        if Action.BUILD not in step.actions or self.artifacts.exists(step.name, step.key):
            return None
        for name in (step.name, *self.work.catalog.package_closure(step.name)):
            needed = self.work.plan.step(name)
            said = self._said(needed, "build") if needed is not None else ""
            if said:
                return said if name == step.name else f"needs {name}, which was not built"
        return ""

    def _is_red(self, step: PlannedResource, green: set[str]) -> bool:
        return Action.TEST in step.actions and step.name not in green

    def _red(self, step: PlannedResource) -> str:
        return self._said(step, "test") or self._said(step, "build") or NO_RESULT

    def _said(self, step: PlannedResource, what: str) -> str:
        """What was written of a failed build, or of failed unit tests."""
        found = self.work.installation.builds.find(step.name, step.key)
        part = found.detail.get(what, {}) if found is not None else {}
        if part.get("status") not in ("failed", "skipped"):
            return ""
        # The first line names the failure and its log; the rest is the log's end.
        return str(part.get("message") or f"its {what} failed").splitlines()[0]

    def _undeployed(self, step: PlannedResource) -> str | None:
        """Why it was not deployed, empty when nobody knows; ``None`` when it was."""
        detail = self.row.detail
        if only_creates(step) and step.name in detail.get("created", ()):
            return None
        history = self.work.installation.deployments.history(self.work.environment, step.name)
        if any((each.run_id, each.key) == (self.work.run_id, step.key) for each in history):
            return None
        return str(detail.get("lost", {}).get(step.name) or detail.get("stopped") or "")

    def _gone(self, name: str) -> Line:
        if not self.work.request.remove:
            why = "is not at this commit; left as it is"
            return Line(name, Ended.UNCHANGED, **self._before(name), why=why)
        history = self.work.installation.deployments.history(self.work.environment, name)
        if any(each.run_id == self.work.run_id and each.key is None for each in history):
            return Line(name, Ended.REMOVED, **self._before(name))
        why = self.row.detail.get("lost", {}).get(name) or self.row.detail.get("stopped") or self.cut_off
        return Line(name, Ended.FAILED if why else Ended.MISSING, **self._before(name), why=str(why or ""))

    def _before(self, name: str) -> dict[str, str]:
        found = self.row.detail.get("before", {}).get(name) or {}
        return {"was": found.get("key") or "", "was_commit": found.get("commit") or ""}

    def _address(self, name: str) -> str:
        return str(self.row.detail.get("urls", {}).get(f"{name.upper()}_URL", ""))

    def _green(self) -> set[str]:
        keys = {step.name: step.key for step in self.work.plan.steps if Action.TEST in step.actions}
        if not keys:
            return set()
        every = {step.name: step.key for step in self.work.plan.steps}
        return passed(self.work.installation.mirror(), self.work.catalog, every, self.artifacts)
