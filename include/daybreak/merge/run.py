"""A run of `pr_e2e`, step by step, without Airflow: what it is for, what it builds, its turn in the lane."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

from daybreak.build.artifact import Artifacts
from daybreak.build.runner import BROKEN
from daybreak.catalog import snapshot
from daybreak.catalog.loader import load
from daybreak.change.plan import Plan
from daybreak.environment.failures import plain
from daybreak.environment.installation import Installation
from daybreak.errors import CatalogError, UsageError
from daybreak.git import merging, pushing
from daybreak.git.command import run_git, text
from daybreak.git.repository import Repository
from daybreak.merge import building
from daybreak.merge import protocol as p
from daybreak.merge.ahead import Guess, guesses
from daybreak.merge.attempts import Attempts
from daybreak.merge.conf import DAG, Conf
from daybreak.merge.ground import MergeGround
from daybreak.merge.impact import impact
from daybreak.merge.lane import Lane
from daybreak.merge.queue import Ask, Queue, request_of
from daybreak.merge.remote import GitRemote
from daybreak.merge.rows import LAND, Entry, TooLate
from daybreak.merge.rules import AttemptState, EntryState
from daybreak.settings import Limits

log = logging.getLogger(__name__)

#: States in which a task was cut off in the middle: what it started works on for a moment.
_CUT_OFF = frozenset({AttemptState.DEPLOYING, AttemptState.TESTING, AttemptState.LANDING})
#: Longer than Airflow takes to end a task that somebody marked.
QUIET = timedelta(seconds=10)

Approved = Callable[[Entry], str | None]


def head_of(url: str, pr: int) -> str:
    """The head of a pull request, as git has it.

    :raises UsageError: when there is none.
    """
    ref = f"refs/pull/{pr}/head"
    found = pushing.read(url, ref).get(ref)
    if found is None:
        raise UsageError(f"the monorepo has no pull request #{pr} (no {ref})")
    return found


def unmoved(url: str) -> Approved:
    """The least that is asked before a landing: the head is the commit that was approved."""

    def approved(entry: Entry) -> str | None:
        head = pushing.read(url, f"refs/pull/{entry.pr}/head").get(f"refs/pull/{entry.pr}/head")
        if head == entry.sha:
            return None
        return f"its head is {head[:12]} now, not {entry.sha[:12]}" if head else "it has no head any more"

    return approved


@dataclass(frozen=True)
class Known:
    """What is told of a pull request.

    :param person: whom to tell how it goes.
    :param url: its page.
    """

    title: str
    author: str
    person: str | None = None
    url: str | None = None


@dataclass(frozen=True)
class Merge:
    """The lane of an installation.

    :param approved: what changed about an entry since it was approved; by default only its head is asked.
    :param ready: looks at a pull request, by its number, its head, whether it is to land (or to be tried),
        and who asks; raises a DaybreakError that says what is missing. By default its last commit tells.
    """

    installation: Installation
    approved: Approved | None = None
    ready: Callable[[int, str, bool, str], Known] | None = None

    @property
    def environment(self) -> str:
        """The name of the merge environment.

        :raises UsageError: when the settings have none, or do not say which.
        """
        return self.installation.settings.merge_environment.name

    @cached_property
    def queue(self) -> Queue:
        """Who wants to main."""
        installation = self.installation
        return Queue(installation.engine, installation.clock, installation.settings.merge.batch)

    @cached_property
    def attempts(self) -> Attempts:
        """Those at work, and before."""
        return Attempts(self.installation.engine, self.installation.clock)

    @cached_property
    def repository(self) -> Repository:
        """The mirror, fetched once."""
        return self.installation.mirror()

    @property
    def url(self) -> str:
        """The remote."""
        return self.installation.settings.monorepo.url

    @property
    def branch(self) -> str:
        """Main, as a reference."""
        return f"refs/heads/{self.installation.settings.monorepo.branch}"

    @cached_property
    def lane(self) -> Lane:
        """The lane to main."""
        installation, style = self.installation, merging.Style(self.installation.settings.merge.style)
        ground = MergeGround(installation, self.environment, self.attempts, self.repository)
        remote = GitRemote(self.repository, self.url, self.branch, style, installation.clock)
        return Lane(
            installation.environments, self.queue, self.attempts, remote, self.environment, ground,
            self.approved or unmoved(self.url), Limits(installation.settings.build).lane,
        )  # fmt: skip

    # Before the lane

    def resolve(self, conf: Conf, actor: str, run_id: str) -> Entry:
        """The entry that a run is for: the one that is in the queue, or a new one. A run asks for one only:
        made for an entry, or tried again, it finds that one, also when it is over.

        :raises UsageError: there is no such pull request, it has nothing that main lacks, its head is another
            commit than was asked for, it may not land, or it is to be tried and already is to land.
        :raises TooLate: when an older commit of it is landing in this moment.
        """
        self.installation.register()
        _ = self.environment
        known = self.queue.of_run(run_id) if conf.entry is None else self.queue.get(conf.entry)
        if known is not None:
            if known.pr != conf.pr:
                raise UsageError(f"conf: entry: {known.id} is {known.name}'s, not #{conf.pr}'s")
            return self._goes_on(known, actor)
        head = head_of(self.url, conf.pr)
        if conf.sha is not None and not head.startswith(conf.sha):
            raise UsageError(f"#{conf.pr} is at {head[:12]} now, not at {conf.sha[:12]}; ask again")
        present = self.queue.of(conf.pr)
        if present is not None and present.mode == LAND and conf.mode != LAND:
            raise UsageError(
                f"{present.name} is in the queue to land, where it is tested too; `cancel` it first"
            )
        if present is not None and (present.sha, present.mode) == (head, conf.mode):
            self.queue.join(present, run_id, by=conf.by or actor)
            return present
        main = self._on_main()
        self._fetch(main, head)
        if merging.adds_nothing(self.repository, main, head):
            raise UsageError(f"#{conf.pr} at {head[:12]} has nothing that main does not have")
        by = conf.by or actor
        ready = self.ready or (lambda *_: _described(self.repository, head))
        about = ready(conf.pr, head, conf.mode == LAND, by)
        asked = Ask(
            conf.pr, head, about.title, about.author, conf.mode, conf.priority, person=about.person,
            url=about.url,
        )  # fmt: skip
        entry = self.queue.add(asked, by=by, request=request_of(run_id))
        changed = self.lane.approved(entry)
        if changed is not None:
            self._stale(entry, changed, actor)
            raise UsageError(f"{entry.name} may not land: {changed}")
        return entry

    def _goes_on(self, entry: Entry, actor: str) -> Entry:
        """The entry, if it is what it was; one whose head moved is STALE, also when nobody asks GitHub."""
        changed = unmoved(self.url)(entry) if entry.state is EntryState.QUEUED else None
        return entry if changed is None else self._stale(entry, changed, actor)

    def _stale(self, entry: Entry, changed: str, actor: str) -> Entry:
        """End this entry; whoever took it back, or asked for another commit meanwhile, was first."""
        try:
            return self.queue.end(
                entry.pr, EntryState.STALE, by=actor, code="stale", message=changed, only=entry.id
            )  # fmt: skip
        except (TooLate, UsageError):
            return self.queue.get(entry.id)

    def pin(self, run_id: str, pr: int, head: str, kind: str = DAG) -> Plan:
        """Pin what a run builds before it has the lane: the pull request on main as that is now.

        :raises MergeConflict: when it does not merge with main.
        :raises CatalogError: when what it would make of the monorepo cannot be read.
        """
        found = building.pinned(self.installation, run_id)
        return found or self._pin(run_id, kind, self._on_main(), [(pr, head)])

    def pin_entry(self, run_id: str, entry: Entry, actor: str) -> Plan:
        """Pin what an entry builds; one that cannot land as it is, is rejected if it waits.

        :raises MergeConflict: as :meth:`pin`.
        :raises CatalogError: as :meth:`pin`.
        """
        try:
            return self.pin(run_id, entry.pr, entry.sha)
        except (CatalogError, merging.MergeConflict) as error:
            self.refuse(entry, error.code, str(error), actor)
            raise

    def to_build(self, planned: Plan) -> set[str]:
        """What has no artifact yet, or no green unit tests."""
        catalog = snapshot.stored(self.installation.store, planned.commit)
        return building.to_build(self.installation, self.repository, planned, catalog)

    # While another one has it

    def guesses(self) -> list[Guess]:
        """What may be in the lane after the attempt that has it; nothing while nobody has."""
        for attempt in self.attempts.unfinished():
            line, members = self.queue.line(), [self.queue.get(each) for each in attempt.members]
            # Those that one of its ends would have halved.
            group = members if len(members) > 1 else []
            suspects = [each for each in line.queued if each.suspects is not None]
            found = list(guesses(line, attempt, members, self._impacts([*group, *suspects])))
            if found:
                return found
        return []

    def lacking(self, guess: Guess) -> set[str]:
        """What of it is not built, or has no green unit tests.

        :raises MergeConflict: when its members do not merge.
        :raises CatalogError: when what they would make of the monorepo cannot be read.
        """
        wanted, catalog = building.planned(self.installation, self.repository, guess.base, guess.pulls)
        return building.to_build(self.installation, self.repository, wanted, catalog)

    def pin_ahead(self, run_id: str, kind: str, after: str, lands: bool) -> Plan | None:
        """Pin what may be in the lane after the attempt of the run ``after``, as the queue is now; ``None``
        when that is over, or nothing can follow.

        :raises MergeConflict: as :meth:`lacking`.
        :raises CatalogError: as :meth:`lacking`.
        """
        found = building.pinned(self.installation, run_id)
        if found is not None:
            return found
        wanted = [each for each in self.guesses() if (each.after, each.lands) == (after, lands)]
        return self._pin(run_id, kind, wanted[0].base, wanted[0].pulls) if wanted else None

    def refuse(self, entry: Entry, code: str, message: str, actor: str) -> Entry:
        """Reject an entry that waits: it can never land as it is. One that went on meanwhile stays."""
        if self.queue.get(entry.id).state is not EntryState.QUEUED:
            return self.queue.get(entry.id)
        try:
            return self.queue.end(
                entry.pr, EntryState.REJECTED, by=actor, code=code, message=message[:2000], only=entry.id
            )  # fmt: skip
        except (TooLate, UsageError):
            return self.queue.get(entry.id)

    def refuse_unbuilt(self, run_id: str, entry: Entry, actor: str) -> str:
        """Reject what the builds before the lane found to be broken by itself; why, or nothing."""
        try:
            planned = Plan.from_json(self.installation.runs.get(run_id).plan)
        except UsageError:
            return ""  # nothing was pinned; it is built in the lane
        missing = set(Artifacts(self.installation.store).missing(planned))
        red = dict.fromkeys(missing, "build_failed") | dict.fromkeys(
            self.to_build(planned) - missing, p.TESTS_FAILED
        )
        said = {}
        for name, code in red.items():
            step = planned.step(name)
            assert step is not None
            found = self.installation.builds.find(name, step.key)
            part = (found.detail if found else {}).get("build" if name in missing else "test", {})
            # What the world broke (a full disk, a killed worker) is tried again in the lane.
            if part.get("status") == "failed" and part.get("code") in BROKEN and _changed(step.because):
                said[name] = (code, plain(str(part.get("message") or code).splitlines()[0]))
        if not said:
            return ""
        code = next(iter(said.values()))[0]
        message = "; ".join(why for _, why in said.values())
        self.refuse(entry, code, message, actor)
        return message

    # In the lane

    def enter(self, run_id: str, entry: int, actor: str) -> AttemptState | None:
        """Make the attempt and take the lane; ``None`` when it is not this run's turn after all.

        :param entry: the entry that the run is for: the attempt is led by it, or is not made. Between the
            gate and here, one of a higher priority may have come.
        """
        if self.attempts.find(run_id) is None:
            batch = self.queue.choose(self._impacts(self.queue.line().to_halve()))
            if batch is None or batch.members[0].id != entry:
                return None
            try:
                self.queue.begin(run_id, batch, actor=actor)
            except TooLate as late:
                log.info("%s", late)
                return None
        self.go(run_id, p.enter(), actor)
        state = self.queue.attempt(run_id).state
        return None if state is AttemptState.PLANNED else state

    def go(self, run_id: str, program: p.Program, actor: str) -> AttemptState | None:
        """One step of the attempt; ``None`` when it is not its turn.

        :raises LostOp: when somebody took over.
        """
        return self.lane.run(run_id, program, holder=f"{DAG}/{run_id}", actor=actor)

    def settle(self, run_id: str, actor: str) -> AttemptState | None:
        """Whatever happened: the environment runs main, the lane is free; ``None`` without an attempt."""
        attempt = self.attempts.find(run_id)
        if attempt is None:
            return None
        if attempt.state in _CUT_OFF:
            self.lane.void(run_id, holder=f"{DAG}/{run_id}", actor=actor)
            log.info("%s was cut off while it was %s; waiting until all is quiet", run_id, attempt.state)
            time.sleep(QUIET.total_seconds())
        self.go(run_id, p.settle(), actor)
        return self.queue.attempt(run_id).state

    def finish(self, run_id: str) -> None:
        """The run needs its plan no more."""
        building.unpin(self.installation, self.repository, run_id)

    def _on_main(self) -> str:
        return pushing.read(self.url, self.branch)[self.branch]

    def _pin(self, run_id: str, kind: str, base: str, members: Sequence[tuple[int, str]]) -> Plan:
        found = building.planned(self.installation, self.repository, base, members)
        return building.pin(self.installation, self.repository, run_id, kind, found)

    def _fetch(self, *commits: str) -> None:
        building.fetch(self.repository, self.url, *commits)

    def _impacts(self, group: Sequence[Entry]) -> dict[int, frozenset[str]]:
        """What each of those touches that fail together, so that they are halved well."""
        found, path = {}, self.installation.settings.monorepo.catalog
        for each in group:
            try:
                self._fetch(each.sha)
                catalog = load(self.repository, each.sha, path)
                touched = impact(self.repository, self.branch, catalog, path)
            except CatalogError:
                continue  # unknown is everything
            if touched.whole is None:
                found[each.id] = frozenset(touched.because)
        return found


def _changed(because: tuple[str, ...]) -> bool:
    return any(each != "its artifact is needed and does not exist yet" for each in because)


def _described(repository: Repository, head: str) -> Known:
    """Title and author of a pull request whose page nobody asked: its last commit's."""
    done = run_git(("show", "--no-patch", "--format=%s%n%an", head), at=repository.path)
    title, _, author = text(done.stdout).strip().partition("\n")
    return Known(title, author)
