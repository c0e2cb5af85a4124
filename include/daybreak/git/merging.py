"""Commits that bring branches together: objects in, objects out, no working tree, and no reference moves."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from daybreak.errors import DaybreakError
from daybreak.git.command import GitError, run_git
from daybreak.git.repository import Repository


class Style(StrEnum):
    """What a member becomes on main."""

    #: A merge commit; the member's own commits are on main, so whoever hosts it sees that it is merged.
    MERGE = "merge"
    #: One commit with all of it.
    SQUASH = "squash"
    #: Its commits, one after another, on what was there.
    REBASE = "rebase"


@dataclass(frozen=True)
class Signature:
    """Who a commit is by."""

    name: str
    email: str


#: By whom merges and lease commits are, when the settings say nothing else.
DAYBREAK = Signature("Daybreak", "daybreak@localhost")


@dataclass(frozen=True)
class Member:
    """A branch to merge.

    :param name: how messages call it, such as ``#17``.
    :param head: the commit.
    :param message: of the one commit that it is merged, or squashed, by.
    """

    name: str
    head: str
    message: str


class MergeConflict(DaybreakError):
    """A member does not merge; ``paths`` are in conflict, ``after`` names who was merged before it."""

    code = "conflict"

    def __init__(self, member: str, after: Sequence[str], paths: Sequence[str]) -> None:
        with_ = f"main and {', '.join(after)}" if after else "main"
        shown = ", ".join(paths[:5]) + (f" and {len(paths) - 5} more" if len(paths) > 5 else "")
        super().__init__(f"{member} conflicts with {with_} in {shown}")
        self.member, self.after, self.paths = member, tuple(after), tuple(paths)


class NotLinear(MergeConflict):
    """A member merges, and its commits one after another make something else."""

    def __init__(self, member: str, after: Sequence[str]) -> None:
        super().__init__(member, after, ())
        self.args = (
            f"{member} cannot be rebased: a merge commit of its branch holds what none of its other commits "
            "does; rebase the branch by hand",
        )


def merge(
    repository: Repository,
    base: str,
    members: Sequence[Member],
    *,
    at: datetime,
    by: Signature = DAYBREAK,
    style: Style = Style.MERGE,
) -> list[str]:
    """Bring the members onto ``base`` in their order; the last commit is the candidate.

    The same arguments give the same ids, so whoever goes on after a kill finds, and does not double, what was
    made before. A member that ``base`` contains already adds no commit. However a member is brought there,
    the files are those of the merge.

    :param at: the commits' date; the author's own stays with what is squashed or rebased.
    :returns: for each member, the commit after it.
    :raises MergeConflict: for the first member that does not merge.
    :raises GitError: when a commit is not in the repository.
    """
    tip, made = base, []
    for number, member in enumerate(members):
        if not is_ancestor(repository, member.head, tip):
            after = [each.name for each in members[:number]]
            tree = _merged(repository, tip, member, after)
            match style:
                case Style.MERGE:
                    tip = commit(repository, tree, (tip, member.head), member.message, at=at, by=by)
                case Style.SQUASH:
                    tip = _squashed(repository, tip, member, tree, at=at, by=by)
                case Style.REBASE:
                    tip = _rebased(repository, tip, member, after, at=at, by=by)
                    if tree_of(repository, tip) != tree:
                        raise NotLinear(member.name, after)
        made.append(tip)
    return made


def commit(
    repository: Repository,
    tree: str,
    parents: Sequence[str],
    message: str,
    *,
    at: datetime,
    by: Signature = DAYBREAK,
    like: str | None = None,
) -> str:
    """Make a commit of ``tree``; the same arguments give the same id.

    :param like: a commit whose author, with their date, this one's is; else it is ``by``.
    """
    date = f"{int(at.astimezone(UTC).timestamp())} +0000"
    who = {
        f"GIT_{role}_{field}": value
        for role in ("AUTHOR", "COMMITTER")
        for field, value in (("NAME", by.name), ("EMAIL", by.email), ("DATE", date))
    }
    if like is not None:
        who |= _author(repository, like)
    arguments = ["commit-tree", "--no-gpg-sign", tree]
    for parent in parents:
        arguments += ["-p", parent]
    return _output(repository, arguments, message.encode(), who)


def empty_tree(repository: Repository) -> str:
    """The id of the tree without a file, in the repository's own hash."""
    return _output(repository, ["mktree"], b"")


def tree_of(repository: Repository, commit: str) -> str:
    """The id of a commit's tree."""
    return _output(repository, ["rev-parse", "--verify", "--end-of-options", f"{commit}^{{tree}}"])


def is_ancestor(repository: Repository, one: str, other: str) -> bool:
    """Whether ``one`` is reachable from ``other``; a commit is its own ancestor.

    :raises GitError: when one of them is not in the repository.
    """
    return run_git(("merge-base", "--is-ancestor", one, other), at=repository.path, ok=(0, 1)).returncode == 0


def adds_nothing(repository: Repository, base: str, head: str) -> bool:
    """Whether ``base`` would hold the same files with ``head`` merged onto it."""
    if is_ancestor(repository, head, base):
        return True
    try:
        return _merged(repository, base, Member(head, head, ""), ()) == tree_of(repository, base)
    except MergeConflict:
        return False


def has(repository: Repository, commit: str) -> bool:
    """Whether the commit is here."""
    asked = ("cat-file", "-e", f"{commit}^{{commit}}")
    return run_git(asked, at=repository.path, ok=(0, 1, 128)).returncode == 0


def message_of(repository: Repository, commit: str) -> str:
    """A commit's message, without the newline at its end."""
    return _output(repository, ["show", "--no-patch", "--format=%B", commit]).rstrip("\n")


def _squashed(
    repository: Repository, tip: str, member: Member, tree: str, *, at: datetime, by: Signature
) -> str:
    """One commit of the member's author; who else wrote some of it is named as hosts read it."""
    if tree == tree_of(repository, tip):
        return tip
    listed = _output(
        repository, ["log", "--format=%an <%ae>", "--no-merges", f"{tip}..{member.head}"], or_=""
    )
    author = _output(repository, ["show", "--no-patch", "--format=%an <%ae>", member.head])
    others = sorted({*listed.splitlines()} - {author})
    named = "".join(f"Co-authored-by: {each}\n" for each in others)
    message = f"{member.message.rstrip()}\n" + (f"\n{named}" if named else "")
    return commit(repository, tree, [tip], message, at=at, by=by, like=member.head)


def _rebased(
    repository: Repository, tip: str, member: Member, after: Sequence[str], *, at: datetime, by: Signature
) -> str:
    """The member's commits on ``tip``; those that change nothing there are left out."""
    listed = ["rev-list", "--reverse", "--topo-order", "--no-merges", f"{tip}..{member.head}"]
    for each in _output(repository, listed, or_="").split():
        parents = _output(repository, ["rev-list", "--parents", "--max-count=1", each]).split()[1:]
        # What one commit changes is a merge whose common ancestor is its parent. `git merge-tree
        # --merge-base` says that, from git 2.40 on; commits that have it as their parent do everywhere.
        before = tree_of(repository, parents[0]) if parents else empty_tree(repository)
        root = commit(repository, before, (), "before\n", at=at, by=by)
        ours, theirs = (
            commit(repository, tree_of(repository, side), [root], "side\n", at=at, by=by)
            for side in (tip, each)
        )
        tree = _merged(repository, ours, Member(member.name, theirs, ""), after)
        if tree != tree_of(repository, tip):
            tip = commit(
                repository, tree, [tip], message_of(repository, each) + "\n", at=at, by=by, like=each
            )
    return tip


def _author(repository: Repository, commit: str) -> dict[str, str]:
    shown = _output(repository, ["show", "--no-patch", "--date=raw", "--format=%an%x00%ae%x00%ad", commit])
    values = dict(zip(("NAME", "EMAIL", "DATE"), shown.split("\0"), strict=True))
    # A commit whose author has no name can be read, and cannot be made.
    return {f"GIT_AUTHOR_{field}": value for field, value in values.items() if value.strip()}


def _merged(repository: Repository, onto: str, member: Member, after: Sequence[str]) -> str:
    # Renames are followed as everywhere in git; the machine's configuration (merge drivers, rerere) is not.
    arguments = ("merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", onto, member.head)
    done = run_git(arguments, at=repository.path, ok=(0, 1))
    tree, *paths = done.stdout.split(b"\0")
    if done.returncode:
        raise MergeConflict(member.name, after, [os.fsdecode(path) for path in paths if path])
    return tree.decode()


def _output(
    repository: Repository,
    arguments: Sequence[str],
    given: bytes = b"",
    extra: Mapping[str, str] | None = None,
    or_: str | None = None,
) -> str:
    """What git says.

    :param or_: what nothing means; without it, git must say something.
    """
    output = run_git(arguments, at=repository.path, given=given, extra=extra).stdout.decode(errors="replace")
    if not output.strip():
        if or_ is not None:
            return or_
        raise GitError(f"{repository.path}: git {arguments[0]} said nothing")
    return output.strip()
