"""What people call a revision, looked up in the mirror: a branch, a pull request, a tag, a commit."""

from __future__ import annotations

import difflib
import re

from daybreak.errors import UsageError
from daybreak.git.repository import Repository

_PULL = re.compile(r"(?:#|pr/|pull/)(\d{1,9})")
#: What no name may hold (git-check-ref-format), and what makes an expression of one.
_EXPRESSION = re.compile(r"[\s~^:?*\[\\]|\.\.|@\{|^-")
_COMMIT = re.compile(r"[0-9a-fA-F]{7,64}")


def resolve(repo: Repository, said: str) -> str:
    """The commit that ``said`` means.

    ``#12`` and ``pr/12`` are the head of pull request 12, as GitHub keeps it under ``refs/pull/``. A branch
    wins over a tag of the same name, and both over an abbreviated commit.

    :param repo: a mirror, with all refs of the monorepo.
    :raises UsageError: there is no such revision; with the nearest branch.
    """
    pull = _PULL.fullmatch(said)
    if pull:
        found = _commit(repo, f"refs/pull/{pull[1]}/head")
        if found is None:
            raise UsageError(f"the monorepo has no pull request #{pull[1]} (no refs/pull/{pull[1]}/head)")
        return found
    # Not an expression (main~3, :/text): what runs must have a name that others can read.
    names = [f"refs/heads/{said}", f"refs/tags/{said}", *([said] if _COMMIT.fullmatch(said) else [])]
    for name in () if _EXPRESSION.search(said) else names:
        found = _commit(repo, name)
        if found is not None:
            return found
    branches = [each.removeprefix("refs/heads/") for each in repo.refs("refs/heads/")]
    near = difflib.get_close_matches(said, branches, 1)
    hint = f"did you mean {near[0]}?" if near else "say a branch, #12 for a pull request, a tag or a commit"
    raise UsageError(f"{said!r} is no revision of the monorepo; {hint}")


def _commit(repo: Repository, name: str) -> str | None:
    try:
        return repo.rev_parse(name)
    except UsageError:
        return None
