"""What Daybreak asks and tells GitHub about one repository.

Heads, candidates and landings go by git itself (`daybreak.git.pushing`): what the API says may be old. Every
write may be sent again, after an answer that was lost or by another process: its effect is there once.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, get_args
from urllib.parse import quote

from github import GithubException
from github.Auth import AppInstallationAuth

from daybreak.talk.github import checks
from daybreak.talk.github.checks import Check, fitted
from daybreak.talk.github.errors import GithubUnreachable, NotThere, meaning, unclear
from daybreak.talk.github.patience import patient, pauses, repeated

if TYPE_CHECKING:
    from github import Github
    from github.IssueComment import IssueComment
    from github.PullRequest import PullRequest

Permission = Literal["admin", "maintain", "write", "triage", "read", "none"]
#: From the one that may do nothing up.
PERMISSIONS: tuple[Permission, ...] = ("none", "read", "triage", "write", "maintain", "admin")
Verdict = Literal["APPROVED", "CHANGES_REQUESTED", "DISMISSED"]
Reaction = Literal["+1", "-1", "laugh", "confused", "heart", "hooray", "rocket", "eyes"]

#: Seconds before a third try of a request; doubled for each one after it.
BACKOFF = 0.5
#: Characters of a comment that GitHub takes.
COMMENT = 65_536
_VERDICTS: dict[str, Verdict] = {each: each for each in get_args(Verdict)}


@dataclass(frozen=True)
class Pull:
    """A pull request as the API has it now.

    :param head: the commit; git's ``refs/pull/N/head`` is never behind it, this may be.
    :param fork: its branch is in another repository, or that repository is gone.
    :param files: how many it changes, by GitHub's count; it lists no more than 3,000 of them.
    """

    number: int
    title: str
    author: str
    state: Literal["open", "closed"]
    draft: bool
    base: str
    head: str
    branch: str
    fork: bool
    labels: frozenset[str]
    merged: bool
    files: int
    url: str


@dataclass(frozen=True)
class Review:
    """Somebody's last decision about a pull request; of the commit that they saw."""

    author: str
    verdict: Verdict
    commit: str


@dataclass(frozen=True)
class Said:
    """A comment on a pull request, as it was written."""

    number: int
    comment: int
    author: str
    body: str
    at: datetime


class Client:
    """One repository. Not for several threads at once, as PyGithub is not.

    :param github: with a token or an App's key; it is made patient, see `patience`.
    :param repository: ``owner/name``.
    :param login: who we are there; asked for when it is not given. An App has to be told: ``name[bot]``.
    :param backoff: seconds, see :data:`BACKOFF`.
    """

    def __init__(
        self, github: Github, repository: str, *, login: str | None = None, backoff: float = BACKOFF
    ) -> None:
        self.name = repository
        self.github = patient(github, backoff)
        self.is_app = isinstance(self.github.requester.auth, AppInstallationAuth)
        self._repository = self.github.get_repo(repository)
        self._login, self._backoff = login, backoff

    @property
    def credential(self) -> str:
        """What changes when somebody else's, or a new, credential is used. Secret: never log it."""
        auth = self.github.requester.auth
        return self.name if auth is None or self.is_app else f"{self.name} {auth.token}"

    # Asking

    def me(self) -> str:
        """Our own login.

        :raises NotPermitted: for an App whose login nobody told.
        """
        if self._login is None:
            with meaning("read who the token is; of an App say it in `github.login` of daybreak.yaml"):
                self._login = self.github.get_user().login
        return self._login

    def pull(self, number: int) -> Pull:
        """One pull request.

        :raises NotThere: when there is none of that number.
        """
        with meaning(f"read pull request #{number}"):
            return _pull(self._repository.get_pull(number).complete())

    def reviews(self, number: int) -> list[Review]:
        """The last decision of each reviewer. A comment decides nothing, and takes no approval back."""
        last: dict[str, Review] = {}
        with meaning(f"read the reviews of pull request #{number}"):
            for each in self._repository.get_pull(number).get_reviews():
                author, verdict = _login(each.user), _VERDICTS.get(each.state)
                if verdict is not None:
                    last[author.lower()] = Review(author, verdict, each.commit_id or "")
        return list(last.values())

    def permission(self, login: str) -> Permission:
        """What somebody may do in the repository; ``none`` for whoever GitHub does not know."""
        with meaning(f"read the permission of {login}"):
            try:
                _, data = self.github.requester.requestJsonAndCheck(
                    "GET", f"{self._repository.url}/collaborators/{quote(login, safe='')}/permission"
                )
            except GithubException as error:
                if error.status == 404:
                    return "none"
                raise
        # `permission` knows four words; `role_name` is exact, or the name of an organisation's own role.
        return next(
            (each for key in ("role_name", "permission") for each in PERMISSIONS if data.get(key) == each),
            "none",
        )

    def role(self) -> Permission:
        """What our own token may do in the repository."""
        with meaning(f"read the repository {self.name}"):
            granted = self._repository.permissions
            flags = {
                "admin": granted.admin, "maintain": granted.maintain, "write": granted.push,
                "triage": granted.triage, "read": granted.pull,
            }  # fmt: skip
        return next((each for each in reversed(PERMISSIONS) if flags.get(each)), "none")

    def is_protected(self, branch: str) -> bool:
        """Whether rules say who may push to a branch."""
        with meaning(f"read the branch {branch}"):
            return self._repository.get_branch(branch).protected

    def scopes(self) -> list[str] | None:
        """What a classic token was made for; ``None`` of the other kinds, which do not say."""
        self.role()
        return self.github.oauth_scopes

    def commented_since(self, at: datetime) -> list[Said]:
        """Comments on pull requests written since then; those on issues are nothing to us.

        For what a lost webhook would have brought. One that was edited is none: others than its author may
        edit it, too.
        """
        with meaning("list the latest comments"):
            found = self._repository.get_issues_comments(
                sort="updated", direction="asc", since=at.astimezone(UTC)
            )
            return [
                Said(
                    int(each.issue_url.rpartition("/")[2]),
                    each.id,
                    _login(each.user),
                    each.body or "",
                    each.created_at,
                )
                for each in found
                if each.created_at >= at and each.updated_at == each.created_at and on_pull(each.html_url)
            ]

    # Telling

    def comment(self, number: int, body: str, *, marker: str, known: int | None = None) -> int:
        """Write the one comment with that marker, or edit it if it is there.

        When it is there several times, for an effect that came late, the first one stays.

        :param body: Markdown.
        :param marker: of the comment, hidden in it: no ``-->``, unique in the pull request.
        :param known: its id, as this returned it; saves the search.
        :returns: the comment's id.
        :raises GithubUnreachable: when nobody knows whether it was written. Call again later, by the marker:
            that looks first.
        """
        hidden = _hidden(marker)
        whole = fitted(body, COMMENT - len(hidden) - 2) + f"\n\n{hidden}"
        what = f"comment on pull request #{number}"
        if known is not None:
            try:
                with meaning(what):
                    self._repository.get_issue(number).get_comment(known).edit(whole)
                return known
            except NotThere:  # somebody deleted it
                pass
        with meaning(what):
            first, *more = self._marked(number, hidden) or [None]
            if first is None:
                return self._written(number, whole, hidden)
            if first.body != whole:
                first.edit(whole)
            for each in more:
                if each is not None:
                    _gone(each.delete)
            return int(first.id)

    def only(self, number: int, *, marker: str, known: int) -> int:
        """Delete our other comments with that marker: those that came late, when another was there already.

        :param known: the one that stays; if it is gone, nothing is deleted.
        :returns: how many were deleted.
        """
        with meaning(f"delete what is said twice on pull request #{number}"):
            found = [each for each in self._marked(number, _hidden(marker)) if each is not None]
            if known not in {each.id for each in found}:
                return 0
            for each in (others := [each for each in found if each.id != known]):
                _gone(each.delete)
            return len(others)

    def check(self, commit: str, check: Check) -> None:
        """Set what stands beside a commit; what stands there already is not written again."""
        with meaning(f"set {check.name} of {commit[:12]}"):
            if self.is_app:
                checks.put_run(self._repository, commit, check, self.me(), self._pauses())
            else:
                checks.put_status(self._repository, commit, check, self._pauses())

    def add_label(self, number: int, label: str) -> None:
        """Put a label on a pull request; the repository gets it if it has none of that name."""
        issue = self._repository.get_issue(number)
        with meaning(f"label pull request #{number} as {label!r}"):
            repeated(self._pauses(), lambda: issue.add_to_labels(label))

    def remove_label(self, number: int, label: str) -> None:
        """Take a label off; it need not be there."""
        url = f"{self._repository.url}/issues/{number}/labels/{quote(label, safe='')}"
        with meaning(f"take the label {label!r} off pull request #{number}"):
            _gone(lambda: self.github.requester.requestJsonAndCheck("DELETE", url), "Label does not exist")

    def react(self, comment: int, reaction: Reaction) -> None:
        """Answer a comment with a reaction; GitHub keeps one of each kind and person.

        :raises NotThere: when the comment was deleted.
        """
        # The number of the issue is in no address of a comment.
        found = self._repository.get_issue(1).get_comment(comment)
        with meaning(f"react to comment {comment}"):
            repeated(self._pauses(), lambda: found.create_reaction(reaction))

    def close(self, number: int) -> None:
        """Close a pull request; one that is closed stays so."""
        with meaning(f"close pull request #{number}"):
            self._repository.get_issue(number).edit(state="closed")

    def _marked(self, number: int, hidden: str) -> list[IssueComment | None]:
        """Our comments with that marker, the oldest first: nobody else's, who may have copied it."""
        me = self.me().lower()
        found = self._repository.get_issue(number).get_comments()
        return [each for each in found if hidden in (each.body or "") and _login(each.user).lower() == me]

    def _written(self, number: int, body: str, hidden: str) -> int:
        """A new comment. It is sent once: whether it arrived is looked for, not guessed."""
        try:
            return int(self._repository.get_issue(number).create_comment(body).id)
        except Exception as error:
            if not unclear(error):
                raise
            for pause in self._pauses():
                time.sleep(pause)
                if (found := self._marked(number, hidden)) and found[0] is not None:
                    return int(found[0].id)
            raise GithubUnreachable(
                f"nobody knows whether the comment on pull request #{number} was written; it is looked for "
                f"before it is sent again"
            ) from error

    def _pauses(self) -> list[float]:
        return pauses(self._backoff)


def _pull(found: PullRequest) -> Pull:
    return Pull(
        number=found.number,
        title=found.title,
        author=_login(found.user),
        state="open" if found.state == "open" else "closed",
        draft=bool(found.draft),
        base=found.base.ref,
        head=found.head.sha,
        branch=found.head.ref,
        fork=found.head.repo is None or found.head.repo.full_name != found.base.repo.full_name,
        labels=frozenset(each.name for each in found.labels),
        merged=bool(found.merged),
        files=int(found.changed_files),
        url=found.html_url,
    )


def on_pull(page: str) -> bool:
    """Whether a comment's page is a pull request's: GitHub lists them with those of issues."""
    return re.search(r"/pull/[0-9]+#[^/]*\Z", page) is not None


def _hidden(marker: str) -> str:
    return f"<!-- daybreak:{marker} -->"


def marker_of(body: str) -> str | None:
    """The marker that ends a comment, if it is one of Daybreak's."""
    found = re.search(r"<!-- daybreak:(.+?) -->\s*\Z", body)
    return found.group(1) if found else None


def _login(user: object) -> str:
    """Whoever deleted their account is ``ghost``, as on GitHub's pages."""
    return str(getattr(user, "login", None) or "ghost")


def _gone(delete: Callable[[], object], said: str = "") -> None:
    """Delete; what is not there, in GitHub's words, is as good as deleted."""
    try:
        delete()
    except GithubException as error:
        if error.status != 404 or said not in str(error.message or error.data):
            raise
