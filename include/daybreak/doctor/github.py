"""GitHub: whether its token is good, and whether Gandalf may do what he does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from daybreak.doctor.finding import Finding
from daybreak.errors import UsageError
from daybreak.settings import Settings

if TYPE_CHECKING:
    from daybreak.talk.github.access import Access

#: Roles that may push, label, and set statuses.
_ENOUGH = ("write", "maintain", "admin")


def github(settings: Settings) -> Iterator[Finding]:
    """Token, role, pushing, and how GitHub reaches us."""
    from daybreak.talk.github.errors import GithubError

    if settings.github is None:
        yield Finding(
            "github", "warn", "daybreak.yaml has no `github:`; there is no Gandalf, and nobody lands by him",
            "docs/github.md says what it needs",
        )  # fmt: skip
        return
    access, source = _access(settings)
    if access is None:
        yield Finding(
            "github", "warn", f"the token is in Airflow's connection {settings.github.connection!r}, which "
            f"cannot be read here: {source}",
            "ask where Airflow runs, or set DAYBREAK_GITHUB__TOKEN for this command",
        )  # fmt: skip
        return
    try:
        yield from _rights(access, source)
    except GithubError as error:
        yield Finding("github", "fail", str(error), "docs/github.md says what the token needs")
        return
    yield from _pushing(settings, access)
    if access.webhook_secret:
        yield Finding("github webhook", "ok", "signed deliveries are taken at <Airflow>/daybreak/github")
    elif settings.github.token is not None:
        yield Finding(
            "github webhook", "warn", "its secret is in Airflow's connection, which was not looked at",
            "ask where Airflow runs, without DAYBREAK_GITHUB__TOKEN",
        )  # fmt: skip
    else:
        yield Finding(
            "github webhook", "fail", "no webhook secret: every delivery is refused; Gandalf hears nobody",
            f"`webhook_secret` into the extra of the connection {settings.github.connection!r}",
        )  # fmt: skip


def _rights(access: Access, source: str) -> Iterator[Finding]:
    client = access.client
    role = client.role()
    yield Finding("github", "ok", f"{client.me()} in {client.name}, by {source}")
    scopes = client.scopes()
    if scopes is not None and "repo" not in scopes:
        yield Finding(
            "github role", "fail", f"a classic token without `repo`: {', '.join(scopes) or 'none'}",
            "give it `repo`, or make a fine-grained one (docs/github.md)",
        )  # fmt: skip
    elif role not in _ENOUGH:
        yield Finding(
            "github role", "fail", f"its role is {role}: it may neither push nor set a status",
            "give the account the role `write`, or the App the permissions of docs/github.md",
        )  # fmt: skip
    else:
        yield Finding("github role", "ok", role)


def _pushing(settings: Settings, access: Access) -> Iterator[Finding]:
    from daybreak import git
    from daybreak.git import pushing
    from daybreak.git.command import GitError, without_password

    where, name = settings.monorepo, access.client.name
    if not re.search(rf"[/:]{re.escape(name)}(\.git)?/?$", where.url, re.IGNORECASE):
        yield Finding(
            "github pushing", "warn",
            f"`monorepo.url` is {without_password(where.url)}, which does not look like {name}",
            "pull requests of one repository cannot land in another: correct `monorepo.url`, or "
            "`github.repository`",
        )  # fmt: skip
    mirror = git.mirror(where.url, settings.home.absolute() / "mirror.git")
    ref = f"refs/heads/{where.branch}"
    head = pushing.read(where.url, ref).get(ref)
    if head is None:
        yield Finding(
            "github pushing", "fail", f"there is no branch {where.branch}", "correct `monorepo.branch`"
        )
        return
    try:
        for target in (ref, "refs/heads/daybreak/doctor"):
            pushing.probe(mirror, where.url, head, target)
    except GitError as error:
        yield Finding(
            "github pushing", "fail", f"git may not push to {without_password(where.url)}: {error}",
            "give the key or token that git uses write access (docs/github.md)",
        )  # fmt: skip
        return
    if access.client.is_protected(where.branch):
        yield Finding(
            "github pushing", "ok", f"git may push; {where.branch} is protected, and its rules must let "
            f"{access.client.me()} bypass them: that is seen by a landing alone",
        )  # fmt: skip
    else:
        yield Finding(
            "github pushing", "warn", f"git may push; {where.branch} is not protected: anybody with write "
            "access lands what nobody tested",
            "protect it, with Gandalf as the only one who bypasses the rules (docs/github.md)",
        )  # fmt: skip


def _access(settings: Settings) -> tuple[Access | None, str]:
    """The repository, and where its token is from; or nothing, and why."""
    from daybreak.talk.github.access import access

    assert settings.github is not None
    if settings.github.token is not None:
        return access(settings), "the settings"
    try:
        from daybreak.orchestration.connections import github

        return github(settings), f"Airflow's connection {settings.github.connection!r}"
    except UsageError:
        raise
    except Exception as error:
        return None, f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
