"""How GitHub writes things down (docs.github.com, REST API reference): as much of it as its clients read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from examples.standins.github.state import ROLES, Comment, Pull, Repo, Review, User

if TYPE_CHECKING:
    from examples.standins.github.hosting import Hosting


def api(url: str, repo: Repo) -> str:
    """The address of a repository in the API."""
    return f"{url}/api/v3/repos/{repo.full_name}"


def user(url: str, who: User) -> dict[str, Any]:
    """Somebody."""
    return {
        "login": who.login, "id": who.id, "type": "Bot" if who.app else "User",
        "url": f"{url}/api/v3/users/{who.login}", "html_url": f"{url}/{who.login}", "site_admin": False,
    }  # fmt: skip


def repository(url: str, repo: Repo, seen_by: User | None = None) -> dict[str, Any]:
    """A repository, with what the person who asks may do in it."""
    owner, _, name = repo.full_name.partition("/")
    shown: dict[str, Any] = {
        "id": repo.id, "name": name, "full_name": repo.full_name, "private": True,
        "owner": {"login": owner, "id": repo.id + 1, "type": "Organization"}, "url": api(url, repo),
        "html_url": f"{url}/{repo.full_name}", "clone_url": f"{url}/{repo.full_name}.git",
        "default_branch": repo.branch,
    }  # fmt: skip
    if seen_by is not None:
        words = {
            "pull": "read",
            "triage": "triage",
            "push": "write",
            "maintain": "maintain",
            "admin": "admin",
        }
        shown["permissions"] = {word: repo.may(seen_by, role) for word, role in words.items()}
    return shown


def pull(url: str, hosting: Hosting, repo: Repo, of: Pull, *, listed: bool = False) -> dict[str, Any]:
    """A pull request; ``listed``: without what a list does not have."""
    address = api(url, repo)
    head = (repo.stale or {}).get(of.number, of.head)
    source = hosting.repos.get(of.head_repo.lower())
    shown: dict[str, Any] = {
        "url": f"{address}/pulls/{of.number}", "id": repo.id * 1000 + of.number, "number": of.number,
        "html_url": f"{url}/{repo.full_name}/pull/{of.number}",
        "issue_url": f"{address}/issues/{of.number}", "state": "open" if of.open else "closed",
        "title": of.title, "body": of.body, "draft": of.draft, "user": user(url, of.author),
        "labels": [label(name) for name in of.labels], "locked": False,
        "created_at": of.created, "updated_at": of.updated, "closed_at": of.closed,
        "merged_at": of.closed if of.merged_by else None, "merge_commit_sha": of.merge_commit,
        "head": _part(url, source, of.branch, head),
        "base": _part(url, repo, of.base, repo.refs.get(f"refs/heads/{of.base}", "")),
    }  # fmt: skip
    if not listed:
        shown |= {
            "merged": of.merged_by is not None,
            "merged_by": user(url, of.merged_by) if of.merged_by else None,
            "comments": sum(each.pull == of.number for each in repo.comments.values()),
            "changed_files": len(hosting.files(repo, of)), "mergeable": None, "mergeable_state": "unknown",
        }  # fmt: skip
    return shown


def issue(url: str, repo: Repo, of: Pull) -> dict[str, Any]:
    """A pull request as the issue that it is, too."""
    address = f"{api(url, repo)}/issues/{of.number}"
    return {
        "url": address, "number": of.number, "title": of.title, "user": user(url, of.author),
        "state": "open" if of.open else "closed", "labels": [label(name) for name in of.labels],
        "comments_url": f"{address}/comments", "pull_request": {"url": f"{api(url, repo)}/pulls/{of.number}"},
        "html_url": f"{url}/{repo.full_name}/pull/{of.number}",
    }  # fmt: skip


def comment(url: str, repo: Repo, of: Comment) -> dict[str, Any]:
    """A comment."""
    return {
        "url": f"{api(url, repo)}/issues/comments/{of.id}", "id": of.id, "body": of.body,
        "issue_url": f"{api(url, repo)}/issues/{of.pull}", "user": user(url, of.user),
        "html_url": f"{url}/{repo.full_name}/pull/{of.pull}#issuecomment-{of.id}",
        "created_at": of.at, "updated_at": of.edited,
    }  # fmt: skip


def review(url: str, repo: Repo, pull: Pull, of: Review) -> dict[str, Any]:
    """A review; GitHub writes the states in capitals in the API."""
    return {
        "id": of.id, "user": user(url, of.user), "body": of.body, "state": of.state, "commit_id": of.commit,
        "submitted_at": of.at, "pull_request_url": f"{api(url, repo)}/pulls/{pull.number}",
    }  # fmt: skip


def label(name: str) -> dict[str, Any]:
    """A label."""
    return {"id": sum(name.encode()), "name": name, "color": "ededed", "default": False}


def permission(url: str, repo: Repo, who: User) -> dict[str, Any]:
    """What somebody may do: ``permission`` knows four words, ``role_name`` six."""
    role = repo.role(who)
    old = {"maintain": "write", "triage": "read"}.get(role, role)
    assert old in ROLES
    return {"permission": old, "role_name": role, "user": user(url, who)}


def _part(url: str, repo: Repo | None, branch: str, sha: str) -> dict[str, Any]:
    owner = repo.full_name.partition("/")[0] if repo else "unknown"
    shown = repository(url, repo) if repo else None
    return {"label": f"{owner}:{branch}", "ref": branch, "sha": sha, "repo": shown, "user": {"login": owner}}
