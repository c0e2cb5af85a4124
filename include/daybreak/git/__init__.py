"""Repositories as git sees them."""

from daybreak.git.repository import Change, GitError, Repository, TreeEntry, mirror

__all__ = ["Change", "GitError", "Repository", "TreeEntry", "mirror"]
