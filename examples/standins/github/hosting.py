"""The repositories themselves: git, and what follows from a reference that moved.

Every change of a reference, by a push or by the API, goes through `Hosting.moved` before it is answered: it
sends ``push``, moves ``refs/pull/N/head`` with its branch, and finds that a pull request is merged, since its
head is reachable from its base.
"""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from examples.standins.github import shapes
from examples.standins.github.state import Comment, GithubError, Ids, Pull, Repo, Review, User, now

NOBODY = "0" * 40
Emit = Callable[[Repo, str, dict[str, Any]], None]


class Hosting:
    """All repositories, in a folder.

    :param people: logins; each has a token.
    :param url: of the stand-in, as it stands in its answers.
    """

    def __init__(self, folder: Path, people: Iterable[str], *, url: str, seed: int = 1) -> None:
        self.folder, self.url, self.ids = folder, url, Ids(seed)
        self.lock = threading.RLock()
        self.repos: dict[str, Repo] = {}
        self.users: dict[str, User] = {}
        self.emit: Emit = lambda *_: None
        for login in people:
            self.user(login)
        self._key: rsa.RSAPrivateKey | None = None
        self.app_id = self.ids.number()

    def user(self, login: str, app: str | None = None) -> User:
        """Somebody; made when they are first needed."""
        found = self.users.get(login.lower())
        if found is None:
            token = self.ids.secret("ghs_" if app else "ghp_")
            found = self.users[login.lower()] = User(login, self.ids.number(), token, app)
        return found

    def by_token(self, token: str) -> User:
        """Whose it is; 401."""
        found = next((each for each in self.users.values() if each.token == token), None)
        if found is None:
            raise GithubError(401, "Bad credentials")
        return found

    def app_key(self) -> rsa.RSAPrivateKey:
        """The App's private key."""
        if self._key is None:
            self._key = rsa.generate_private_key(65537, 2048)
        return self._key

    def app_pem(self) -> str:
        """The App's private key, as GitHub hands it out."""
        return self.app_key().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        ).decode()  # fmt: skip

    def repo(self, full_name: str) -> Repo:
        """The repository; 404."""
        found = self.repos.get(full_name.lower())
        if found is None:
            raise GithubError(404, "Not Found")
        return found

    def create(self, full_name: str, roles: dict[str, str], *, fork_of: str | None = None) -> Repo:
        """A repository, empty or a copy of another one."""
        path = self.folder / f"{full_name}.git"
        path.parent.mkdir(parents=True, exist_ok=True)
        for login in roles:
            self.user(login)
        if fork_of is None:
            run("init", "--quiet", "--bare", "--initial-branch=main", str(path), at=self.folder)
        else:
            run("clone", "--quiet", "--bare", str(self.repo(fork_of).path), str(path), at=self.folder)
        for name, value in (
            # Nobody pushes to refs/pull, as on GitHub; a fetch by id is answered, as there.
            ("receive.hideRefs", "refs/pull"), ("http.receivepack", "true"), ("gc.auto", "0"),
            ("uploadpack.allowAnySHA1InWant", "true"), ("receive.autogc", "false"),
        ):  # fmt: skip
            run("config", name, value, at=path)
        made = Repo(full_name, self.ids.number(), path, {who.lower(): role for who, role in roles.items()})
        made.refs = read_refs(path)
        self.repos[full_name.lower()] = made
        return made

    # What people do

    def open(
        self, repo: Repo, author: User, title: str, branch: str, base: str, *, body: str = "",
        draft: bool = False, head_repo: str | None = None,
    ) -> Pull:  # fmt: skip
        """A pull request; 422 as on GitHub when there is nothing to pull."""
        source = self.repo(head_repo or repo.full_name)
        head = source.refs.get(f"refs/heads/{branch}")
        if head is None or f"refs/heads/{base}" not in repo.refs:
            field = "base" if head else "head"
            invalid = {"resource": "PullRequest", "field": field, "code": "invalid"}
            raise GithubError(422, "Validation Failed", invalid)
        if source is not repo:
            run("fetch", "--quiet", str(source.path), head, at=repo.path)
        if self._reachable(repo, head, repo.refs[f"refs/heads/{base}"]):
            raise GithubError(
                422, "Validation Failed", {"message": f"No commits between {base} and {branch}"}
            )
        number = max([0, *repo.pulls]) + 1
        at = now()
        made = Pull(number, title, body, author, base, branch, head, source.full_name, at, at, draft)
        repo.pulls[number] = made
        self._point(repo, made, head)
        self.changed(repo, made, "opened", author)
        return made

    def comment(self, repo: Repo, user: User, number: int, body: str) -> Comment:
        """A comment."""
        pull, at = repo.pull(number), now()
        if not body:
            raise GithubError(422, "Validation Failed", {"field": "body", "code": "missing_field"})
        if len(body) > 65_536:
            raise GithubError(422, "Validation Failed", {"message": "body is too long (maximum is 65536)"})
        made = Comment(self.ids.number(), pull.number, user, body, at, at)
        repo.comments[made.id] = made
        payload = {
            "issue": shapes.issue(self.url, repo, pull),
            "comment": shapes.comment(self.url, repo, made),
        }
        self.emit(
            repo, "issue_comment", {"action": "created", **payload, "sender": shapes.user(self.url, user)}
        )
        return made

    def review(
        self, repo: Repo, user: User, number: int, event: str, body: str = "", commit: str | None = None
    ) -> Review:
        """A review of a commit; the head, if none is named."""
        pull = repo.pull(number)
        states = {"APPROVE": "APPROVED", "REQUEST_CHANGES": "CHANGES_REQUESTED", "COMMENT": "COMMENTED"}
        if event not in states:
            raise GithubError(422, "Validation Failed", {"field": "event", "code": "invalid"})
        if event != "COMMENT" and user.login == pull.author.login:
            raise GithubError(422, "Unprocessable Entity", "Can not approve your own pull request")
        made = Review(self.ids.number(), user, states[event], body, commit or pull.head, now())
        pull.reviews.append(made)
        self._reviewed(repo, pull, made, "submitted", user)
        return made

    def dismiss(self, repo: Repo, user: User, number: int, review: int) -> Review:
        """Take a review's decision away."""
        pull = repo.pull(number)
        found = next((each for each in pull.reviews if each.id == review), None)
        if found is None:
            raise GithubError(404, "Not Found")
        found.state = "DISMISSED"
        self._reviewed(repo, pull, found, "dismissed", user)
        return found

    def close(self, repo: Repo, pull: Pull, user: User) -> None:
        """Close a pull request that is open."""
        if pull.open:
            pull.open, pull.closed = False, now()
            self.changed(repo, pull, "closed", user)

    def changed(self, repo: Repo, pull: Pull, action: str, user: User, **more: Any) -> None:
        """Tell that a pull request changed."""
        pull.updated = now()
        shown = shapes.pull(self.url, self, repo, pull)
        sender = shapes.user(self.url, user)
        payload = {"action": action, "number": pull.number, "pull_request": shown, "sender": sender, **more}
        self.emit(repo, "pull_request", payload)

    # What follows from a moved reference

    def moved(self, repo: Repo, user: User) -> None:
        """Whatever references are elsewhere than when this was last asked: everything that follows."""
        with self.lock:
            before, after = repo.refs, read_refs(repo.path)
            repo.refs = after
            changes = {
                ref: (before.get(ref, NOBODY), after.get(ref, NOBODY))
                for ref in {*before, *after}
                if before.get(ref) != after.get(ref) and not ref.startswith("refs/pull/")
            }
            for ref, (old, new) in sorted(changes.items()):
                self._pushed(repo, ref, old, new, user)
            for ref, (_, new) in sorted(changes.items()):
                self._branch(repo, ref.removeprefix("refs/heads/"), new, user)

    def merge(self, repo: Repo, pull: Pull, user: User, sha: str | None) -> str:
        """What the green button does: a merge commit of main and the head, if they merge (405, 409)."""
        if not pull.open:
            raise GithubError(405, "Pull Request is not mergeable")
        if sha is not None and sha != pull.head:
            raise GithubError(409, "Head branch was modified. Review and try the merge again.")
        base = repo.refs[f"refs/heads/{pull.base}"]
        tree = run("merge-tree", "--write-tree", base, pull.head, at=repo.path, check=False)
        if tree is None:
            raise GithubError(405, "Pull Request is not mergeable")
        who = {f"GIT_{role}_{what}": f"{user.login}@standin" if what == "EMAIL" else user.login
               for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}  # fmt: skip
        message = f"Merge pull request #{pull.number} from {pull.branch}"
        made = run("commit-tree", tree, "-p", base, "-p", pull.head, "-m", message, at=repo.path, extra=who)
        assert made is not None
        if run("update-ref", f"refs/heads/{pull.base}", made, base, at=repo.path, check=False) is None:
            raise GithubError(409, "Base branch was modified. Review and try the merge again.")
        self.moved(repo, user)
        return made

    def files(self, repo: Repo, pull: Pull) -> list[str]:
        """What the pull request changes, against where it left its base."""
        base = repo.refs.get(f"refs/heads/{pull.base}")
        if base is None:
            return []
        listed = run("diff", "--name-only", "-z", f"{base}...{pull.head}", at=repo.path, check=False) or ""
        return [name for name in listed.split("\0") if name]

    @staticmethod
    def has(repo: Repo, commit: str) -> bool:
        """Whether there is such a commit."""
        return run("cat-file", "-e", f"{commit}^{{commit}}", at=repo.path, check=False) is not None

    def _pushed(self, repo: Repo, ref: str, old: str, new: str, user: User) -> None:
        gone, made = new == NOBODY, old == NOBODY
        forced = not gone and not made and not self._reachable(repo, old, new)
        payload = {
            "ref": ref, "before": old, "after": new, "created": made, "deleted": gone, "forced": forced,
            "commits": [], "pusher": {"name": user.login}, "sender": shapes.user(self.url, user),
        }  # fmt: skip
        self.emit(repo, "push", payload)

    def _branch(self, repo: Repo, branch: str, new: str, user: User) -> None:
        for target in list(self.repos.values()):
            for pull in [each for each in target.pulls.values() if each.open]:
                if pull.head_repo == repo.full_name and pull.branch == branch:
                    if new == NOBODY:
                        self.close(target, pull, user)
                        continue
                    if target is not repo:
                        run("fetch", "--quiet", str(repo.path), new, at=target.path)
                    before = pull.head
                    self._point(target, pull, new)
                    self.changed(target, pull, "synchronize", user, before=before, after=new)
                if target is repo and pull.base == branch and new != NOBODY:
                    self._merged(repo, pull, new, user)

    def _merged(self, repo: Repo, pull: Pull, base: str, user: User) -> None:
        if self._reachable(repo, pull.head, base):
            pull.merged_by, pull.merge_commit = user, base
            self.close(repo, pull, user)

    def _point(self, repo: Repo, pull: Pull, head: str) -> None:
        pull.head = head
        ref = f"refs/pull/{pull.number}/head"
        run("update-ref", ref, head, at=repo.path)
        repo.refs[ref] = head

    def _reviewed(self, repo: Repo, pull: Pull, review: Review, action: str, user: User) -> None:
        payload = {
            "action": action, "review": shapes.review(self.url, repo, pull, review),
            "pull_request": shapes.pull(self.url, self, repo, pull), "sender": shapes.user(self.url, user),
        }  # fmt: skip
        self.emit(repo, "pull_request_review", payload)

    @staticmethod
    def _reachable(repo: Repo, one: str, other: str) -> bool:
        return run("merge-base", "--is-ancestor", one, other, at=repo.path, check=False) is not None


def read_refs(path: Path) -> dict[str, str]:
    """All references of a bare repository."""
    listed = run("for-each-ref", "--format=%(refname) %(objectname)", at=path) or ""
    return dict(line.split(" ", 1) for line in listed.splitlines())  # type: ignore[misc]


def run(*arguments: str, at: Path, check: bool = True, extra: dict[str, str] | None = None) -> str | None:
    """Git's output; ``None`` when it failed and that is an answer."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(
        ("git", "-C", str(at), *arguments), capture_output=True, text=True, check=False,
        env={**environ, "LC_ALL": "C.UTF-8", **(extra or {})},
    )  # fmt: skip
    if done.returncode and check:
        raise RuntimeError(f"git {arguments[0]}: {done.stderr.strip()}")
    return None if done.returncode else done.stdout.rstrip("\n")
