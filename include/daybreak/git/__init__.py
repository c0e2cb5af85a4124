"""Repositories as git sees them."""

from daybreak.git.command import GitError
from daybreak.git.mirrors import mirror
from daybreak.git.repository import Change, Repository, TreeEntry

__all__ = ["Change", "GitError", "Repository", "TreeEntry", "mirror"]
