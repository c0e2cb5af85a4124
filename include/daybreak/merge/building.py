"""What is built before the lane: pull requests on a commit, pinned for the run that builds them; and what of
it is there already. Keys are by content: it does not matter for which commit something was built.
"""

from __future__ import annotations

from collections.abc import Sequence

from daybreak.build.artifact import Artifacts
from daybreak.build.checks import passed
from daybreak.catalog import snapshot
from daybreak.catalog.graph import Catalog
from daybreak.catalog.loader import load
from daybreak.catalog.resource import Action
from daybreak.change.plan import Plan, plan
from daybreak.environment.installation import Installation
from daybreak.git import merging, pushing
from daybreak.git.repository import Repository
from daybreak.merge.candidates import show
from daybreak.merge.impact import impact


def fetch(repository: Repository, url: str, *commits: str) -> None:
    """Have them here; those that are cost nothing."""
    missing = [each for each in commits if not merging.has(repository, each)]
    if missing:
        pushing.fetch(repository, url, *missing)


def planned(
    installation: Installation, repository: Repository, base: str, members: Sequence[tuple[int, str]]
) -> tuple[Plan, Catalog]:  # fmt: skip
    """What pull requests change on ``base``, merged in this order; nothing is kept but commits of the mirror.

    :param members: number and head of each.
    :raises MergeConflict: when one does not merge.
    :raises CatalogError: when what they would make of the monorepo cannot be read.
    """
    settings = installation.settings
    path = settings.monorepo.catalog
    fetch(repository, settings.monorepo.url, base, *(head for _, head in members))
    wanted = [merging.Member(f"#{pr}", head, f"Merge #{pr}, to be built\n") for pr, head in members]
    commit = merging.merge(repository, base, wanted, at=installation.clock())[-1]
    catalog = load(repository, commit, path)
    whole = impact(repository, base, catalog, path).whole
    exists = Artifacts(installation.store).exists
    found = plan(
        repository, None if whole else base, commit, exists, path, python=settings.build.python
    )  # fmt: skip
    return found, catalog


def pin(
    installation: Installation, repository: Repository, run_id: str, kind: str, found: tuple[Plan, Catalog]
) -> Plan:  # fmt: skip
    """Pin it for a run, and show its commit to other machines, which build it too; what was pinned first."""
    wanted, catalog = found
    snapshot.keep(catalog, installation.store)
    show(repository, installation.settings.monorepo.url, f"{run_id}-build", wanted.commit)
    run = installation.runs.pin(
        run_id, kind=kind, commit=wanted.commit, catalog_digest=catalog.digest, plan=wanted.to_json()
    )
    return Plan.from_json(run.plan)


def pinned(installation: Installation, run_id: str) -> Plan | None:
    """What an earlier try of the run pinned."""
    found = [each for each in installation.runs.unfinished() if each.run_id == run_id]
    return Plan.from_json(found[0].plan) if found else None


def unpin(installation: Installation, repository: Repository, run_id: str) -> None:
    """The run needs its plan no more."""
    show(repository, installation.settings.monorepo.url, f"{run_id}-build", None)
    installation.runs.finish(run_id)


def to_build(installation: Installation, repository: Repository, wanted: Plan, catalog: Catalog) -> set[str]:
    """What has no artifact yet, or no green unit tests."""
    missing = Artifacts(installation.store).missing(wanted)
    return {*missing, *red(installation, repository, wanted, catalog)}


def red(installation: Installation, repository: Repository, wanted: Plan, catalog: Catalog) -> set[str]:
    """What has no green unit tests yet, of what is to be tested."""
    tested = {step.name for step in wanted.steps if Action.TEST in step.actions}
    if not tested:
        return set()
    keys = {step.name: step.key for step in wanted.steps}
    return tested - passed(repository, catalog, keys, Artifacts(installation.store))
