"""One call of the API, and the table of its methods."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from examples.standins.github.hosting import Hosting
from examples.standins.github.state import GithubError, Repo, User


@dataclass
class Call:
    """One call by somebody, about a repository that they may see."""

    hosting: Hosting
    repo: Repo
    user: User
    body: dict[str, Any]
    query: dict[str, str]
    words: dict[str, str]

    def number(self, name: str = "number") -> int:
        """A number of the path."""
        return int(self.words[name])

    def needs(self, role: str) -> None:
        """403 unless they have it."""
        if not self.repo.may(self.user, role):
            kind = "integration" if self.user.app else "personal access token"
            raise GithubError(403, f"Resource not accessible by {kind}")


#: Status and what is answered; a list is given out in pages.
Method = Callable[[Call], tuple[int, Any]]
TABLE: list[tuple[str, re.Pattern[str], Method]] = []


def method(verb: str, path: str) -> Callable[[Method], Method]:
    """Make a function a method of the API; ``{word}`` in its path is one part, ``{word:rest}`` the rest."""
    rest = re.sub(r"\{(\w+):rest\}", r"(?P<\1>.+)", path)
    pattern = re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", rest))

    def register(function: Method) -> Method:
        TABLE.append((verb, pattern, function))
        return function

    return register
