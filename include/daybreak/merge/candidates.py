"""Where commits that Daybreak makes are shown to other machines, as long as somebody works with them."""

from __future__ import annotations

import logging
import re

from daybreak.git import pushing
from daybreak.git.command import GitError
from daybreak.git.repository import Repository

log = logging.getLogger(__name__)

#: Below this, on the remote. Nothing is ever decided by what is there.
PLACE = "refs/heads/daybreak/candidate/"


def ref_of(name: str) -> str:
    """The reference of a run's candidate; a run's id may hold what no reference may."""
    return PLACE + re.sub(r"[^A-Za-z0-9_]+", "-", name).strip("-")


def show(repository: Repository, url: str, name: str, commit: str | None) -> None:
    """Put the commit there, or take away what is there; a remote that refuses costs other machines a view."""
    ref = ref_of(name)
    try:
        there = pushing.read(url, ref).get(ref)
        if there != commit:
            pushing.push(repository, url, [pushing.Update(ref, commit, there)])
    except (pushing.PushRefused, GitError) as error:
        log.warning("%s is not moved: %s", ref, error)
