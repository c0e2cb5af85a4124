"""What changed between two commits: paths, from git itself, never a list that a host cut off."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from daybreak.errors import NoBaseError, UsageError
from daybreak.git.repository import Change, Repository

#: So many branches are named to choose from.
_SHOWN = 5

_OBJECT = re.compile(r"[0-9a-f]{7,64}")


@dataclass(frozen=True)
class ChangeSet:
    """The changes from each merge base to head; with several merge bases, all of them count.

    :param base: the commit that was asked for.
    :param sides: by merge base, what differs between it and head.
    """

    base: str
    head: str
    sides: dict[str, tuple[Change, ...]]


def change_set(repo: Repository, base: str, head: str, more: Sequence[Change] = ()) -> ChangeSet:
    """What ``head`` (a commit) changed since it left ``base`` (any revision).

    :param more: changes that are in no commit.
    :raises NoBaseError: when ``base`` is not there, or what both have in common is not in this clone.
    :raises UsageError: when ``base`` is empty.
    """
    if not base.strip():
        raise UsageError("--base names no revision: it is empty. Is the variable that it comes from set?")
    try:
        commit = repo.rev_parse(base)
    except UsageError:
        raise NoBaseError(
            f"the base {base!r} is not in this clone. {_hint(repo, base)}; "
            f"or test everything: --on-unknown all"
        ) from None
    bases = repo.merge_bases(commit, head)
    if not bases or repo.hidden_history(commit, head, bases):
        sure = " that is sure to be all of it" if bases else ""
        do = "Run: git fetch --unshallow" if repo.is_shallow() else "Name another --base"
        raise NoBaseError(
            f"{base} and {head[:12]} share no history in this clone{sure}. {do}; "
            f"or test everything: --on-unknown all"
        )
    return ChangeSet(commit, head, {each: (*repo.diff_raw(each, head), *more) for each in bases})


def _hint(repo: Repository, base: str) -> str:
    """What brings the base here, or which name it has here."""
    others = {"main": ("master", "origin/master"), "master": ("main", "origin/main")}.get(base, ())
    for other in (f"origin/{base.removeprefix('refs/heads/')}", *others):
        with suppress(UsageError):
            repo.rev_parse(other)
            return f"There is {other}: --base {other}"
    if not set(base).isdisjoint("~^@:"):
        # Relative to a commit that may be there: what is before it, is cut off.
        return "In a shallow clone, run: git fetch --unshallow; else name another --base"
    remote, _, branch = base.removeprefix("refs/remotes/").removeprefix("refs/heads/").partition("/")
    if not branch or not repo.has_remote(remote):
        remote, branch = "origin", base.removeprefix("refs/heads/")
    if not repo.has_remote(remote):
        here = ", ".join(ref.removeprefix("refs/heads/") for ref in repo.refs("refs/heads/")[:_SHOWN])
        return f"Name another --base{f'; branches here: {here}' if here else ''}"
    if _OBJECT.fullmatch(base):
        return f"Run: git fetch {remote} {base}"
    # A clone of a single branch or of depth one keeps nothing of what it fetches unless it is told where.
    mapped = f"+refs/heads/{branch}:refs/remotes/{remote}/{branch}"
    return f"Run: git fetch {remote} {mapped}; then --base {remote}/{branch}"
