"""The merge environment as the lane's ground: made equal to a commit, tested, read back.

Deploying a candidate, taking one back and going on after a crash are one thing: look at what runs, compare it
with what the commit wants, and bring what differs from artifacts that are there.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass

from daybreak.aws.tokens import Kept, Tokens
from daybreak.build.artifact import Artifacts
from daybreak.build.runner import Outcome, build_all
from daybreak.environment.bcd.selection import deploys
from daybreak.environment.failures import plain
from daybreak.environment.installation import Installation
from daybreak.environment.machine import Op
from daybreak.environment.removal import take_away
from daybreak.environment.rollout import Rollout, deployable
from daybreak.errors import DaybreakError, LostOp
from daybreak.git.repository import Repository
from daybreak.merge import protocol as p
from daybreak.merge import trial
from daybreak.merge.attempts import Attempts
from daybreak.merge.impact import impact
from daybreak.merge.wanted import run_of, while_wanted
from daybreak.merge.work import Work

log = logging.getLogger(__name__)

#: What cannot be brought is tried once more; a retry repeats only what is missing.
_TRIES = 2
#: Errors for which whoever changed the resource has to answer; the others are the world's.
_OWN_FAULT = frozenset(
    {
        "build_failed", "command_failed", "unhealthy", "deploy_failed", "migration_failed", "stack_failed",
        "migration_changed", "seed_failed", "not_in_stack", "no_template", "usage", "catalog", "cycle",
    }
)  # fmt: skip
#: What is kept of a reason, and of what one resource adds to it.
_SAID, _EACH = 2000, 400
#: A database that holds more than main has, or half of something, cannot go back: it is made anew.
_RENEWED = frozenset({"migration_unknown", "migration_half_done"})


@dataclass(frozen=True)
class MergeGround:
    """A :class:`daybreak.merge.lane.Ground`.

    :param repository: has the commits that the lane asks for.
    """

    installation: Installation
    environment: str
    attempts: Attempts
    repository: Repository

    def deploy(self, commit: str, op: Op) -> p.Deployed | p.Unwanted:
        """Make it run ``commit`` and nothing else; what has no artifact yet is built first.

        :raises LostOp: when somebody else has the environment by now.
        """

        def deploy(stop: threading.Event) -> p.Deployed:
            tried = p.Deployed(False)
            for attempt in range(1, _TRIES + 1):
                tried = self._deploy(commit, op, stop)
                if tried.done:
                    break
                log.warning("%s: try %d of %d: %s", self.environment, attempt, _TRIES, tried.said)
            return tried

        with self.installation.environments.beating(op):
            return while_wanted(self.attempts, op, deploy)

    def test(self, commit: str, op: Op) -> p.Tested | p.Unwanted:
        """Unit tests and e2e suites of what ``commit`` affects; keeps :class:`findings.Findings`.

        :raises LostOp: when somebody else has the environment by now.
        """

        def test(stop: threading.Event) -> p.Tested:
            work = self._work(commit, op, stop)
            attempt = self.attempts.find(work.run_id)
            assert attempt is not None, "only an attempt's candidate is tested"
            return trial.test(work, attempt.base, op)

        with self.installation.environments.beating(op):
            return while_wanted(self.attempts, op, test)

    def runs(self, commit: str) -> bool:
        """Whether all that ``commit`` wants runs there with its key, is written down as done, and no more."""
        work = Work(self.installation, "", self.environment, self.repository, commit)
        wanted = {name: work.keys[name] for name, each in work.catalog.resources.items() if deployable(each)}
        done = work.done()
        for name in sorted(wanted.keys() | done.keys()):
            if wanted.get(name) != done.get(name):
                found = (done.get(name) or "nothing")[:12]
                log.warning(
                    "%s: %s runs %s, not %s", self.environment, name, found, wanted.get(name, "nothing")[:12]
                )
        return done == wanted

    def _work(self, commit: str, op: Op, stop: threading.Event) -> Work:
        tokens = self._tokens(op)
        return Work(
            self.installation, run_of(op), self.environment, self.repository, commit, tokens, stop
        )  # fmt: skip

    def _tokens(self, op: Op) -> Tokens:
        """Those that the attempt keeps: whoever goes on where it was killed asks AWS for the same.

        A token that cannot be kept, since somebody took over, is not asked under.
        """
        mine = self.attempts.find(run_of(op))
        if mine is None:
            # Healing goes on where an attempt could not.
            mine = next((self.attempts.find(each) for each in self.attempts.quarantined()), None)
        if mine is None:
            return Tokens()
        run_id = mine.run_id

        def keep(tokens: Kept) -> None:
            with self.installation.environments.fenced(op) as connection:
                self.attempts.keep_tokens(connection, run_id, tokens)

        return Tokens(mine.tokens, keep)

    def _deploy(self, commit: str, op: Op, stop: threading.Event) -> p.Deployed:
        work = self._work(commit, op, stop)
        attempt = self.attempts.find(work.run_id)
        base = attempt.base if attempt is not None and attempt.candidate == commit else None
        try:
            gone = work.selection.gone
            work.interlocks().check(work.target(op), destroys=bool(gone))
            unbuilt = _build(work)
            work.check(op)
            # What a candidate changed in a migration that was applied is its fault, and on the way back ours.
            renewed = _RENEWED if base is not None else {*_RENEWED, "migration_changed"}
            done = Rollout(work, op, renews=renewed, seeds=True)
            done.in_waves([step.name for step in work.plan.steps if deploys(step)])
            lost = {**done.lost, **take_away(work, op, gone)}
            lost |= {name: said for name, (said, _) in unbuilt.items()}
        except LostOp:
            raise
        except DaybreakError as error:
            own = base is not None and error.code in _OWN_FAULT
            return p.Deployed(False, f"{error.code}: {error}"[:_SAID], own)
        if not lost:
            return p.Deployed(True)
        codes = {**done.codes, **{name: code for name, (_, code) in unbuilt.items()}}
        own = base is not None and _is_own_fault(work, base, codes)
        said = "; ".join(f"{name}: {plain(why, _EACH)}" for name, why in sorted(lost.items()))
        return p.Deployed(False, said[:_SAID], own)


def _build(work: Work) -> dict[str, tuple[str, str]]:
    """Build what has no artifact yet, with what it needs; why not and with which code, by name."""
    installation, artifacts = work.installation, Artifacts(work.installation.store)
    missing = artifacts.missing(work.plan)
    if not missing:
        return {}
    log.info("%s: built in the lane, nobody did before: %s", work.environment, ", ".join(missing))
    lost: dict[str, tuple[str, str]] = {}
    for progress in build_all(
        work.repository, work.catalog, missing, work.keys, artifacts, installation.home,
        installation.settings.build, log.info, tests=False,
    ):  # fmt: skip
        installation.builds.record(
            progress.resource, progress.key, commit=work.commit, status=progress.outcome.value,
            seconds=progress.seconds, run_id=work.run_id, detail={"message": progress.detail[:4000]},
        )  # fmt: skip
        if progress.outcome in (Outcome.FAILED, Outcome.SKIPPED):
            lost[progress.resource] = (progress.detail.splitlines()[0], progress.code)
    return lost


def _is_own_fault(work: Work, base: str, codes: Mapping[str, str]) -> bool:
    """Whether something broke that the members changed, in a way that the world does not break things."""
    found = impact(work.repository, base, work.catalog, work.installation.settings.monorepo.catalog)
    return any(code in _OWN_FAULT and name in found.because for name, code in codes.items())
