"""What the stand-in knows: people, repositories, and what people did in them."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

#: From the one that may do nothing up.
ROLES = ("none", "read", "triage", "write", "maintain", "admin")


class GithubError(Exception):
    """An answer that is a refusal, in GitHub's form."""

    def __init__(self, status: int, message: str, *errors: Any) -> None:
        super().__init__(message)
        self.status, self.message, self.errors = status, message, list(errors)


@dataclass
class User:
    """Somebody who may sign in; ``app`` is the slug of the App whose installation it is."""

    login: str
    id: int
    token: str
    app: str | None = None


@dataclass
class Comment:
    """A comment on a pull request."""

    id: int
    pull: int
    user: User
    body: str
    at: str
    edited: str
    #: Content and whose.
    reactions: dict[tuple[str, str], int] = field(default_factory=dict)


@dataclass
class Review:
    """A review; ``commit`` is what was the head when it was written."""

    id: int
    user: User
    state: str
    body: str
    commit: str
    at: str


@dataclass
class Pull:
    """A pull request. ``head`` follows its branch until it is closed."""

    number: int
    title: str
    body: str
    author: User
    base: str
    branch: str
    head: str
    #: Full name; the fork's if it is from one.
    head_repo: str
    created: str
    updated: str
    draft: bool = False
    open: bool = True
    labels: list[str] = field(default_factory=list)
    closed: str | None = None
    merged_by: User | None = None
    merge_commit: str | None = None
    reviews: list[Review] = field(default_factory=list)


@dataclass
class Repo:
    """A private repository; ``path`` is the bare one on disk."""

    full_name: str
    id: int
    path: Path
    roles: dict[str, str]
    branch: str = "main"
    pulls: dict[int, Pull] = field(default_factory=dict)
    comments: dict[int, Comment] = field(default_factory=dict)
    labels: set[str] = field(default_factory=set)
    #: The oldest first.
    statuses: list[dict[str, Any]] = field(default_factory=list)
    runs: dict[int, dict[str, Any]] = field(default_factory=dict)
    protected: set[str] = field(default_factory=set)
    #: What the API says of heads while it is behind.
    stale: dict[int, str] | None = None
    #: References as they were when somebody was last told.
    refs: dict[str, str] = field(default_factory=dict)

    def role(self, user: User) -> str:
        """What somebody may do here."""
        return self.roles.get(user.login.lower(), "none")

    def may(self, user: User, role: str) -> bool:
        """Whether somebody has that role, or one above it."""
        return ROLES.index(self.role(user)) >= ROLES.index(role)

    def pull(self, number: int) -> Pull:
        """The pull request; 404."""
        if number not in self.pulls:
            raise GithubError(404, "Not Found")
        return self.pulls[number]


class Ids:
    """Numbers and secrets; the secrets follow from a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._last = 1000

    def number(self) -> int:
        """A fresh id."""
        self._last += 1
        return self._last

    def secret(self, prefix: str = "") -> str:
        """A fresh secret."""
        return prefix + "".join(self._random.choices("0123456789abcdefghijklmnopqrstuvwxyz", k=36))

    def guid(self) -> str:
        """As of a delivery."""
        text = f"{self._random.getrandbits(128):032x}"
        return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def now() -> str:
    """As GitHub writes a time."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
