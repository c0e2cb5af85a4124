"""Repositories as git sees them."""

from daybreak.git.command import GitError
from daybreak.git.repository import Change, Repository, TreeEntry, mirror

__all__ = ["Change", "GitError", "Repository", "TreeEntry", "mirror"]
