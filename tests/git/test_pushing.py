"""Moving references of a remote: compare-and-set, all or none, against real receive-packs."""

from __future__ import annotations

import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from daybreak.git.command import GitError
from daybreak.git.pushing import PushRefused, PushUnclear, Update, fetch, push, read
from daybreak.git.repository import Repository
from tests.monorepo import Monorepo

MAIN, LEASE = "refs/heads/main", "refs/heads/daybreak/lease"


class Remote:
    """A bare repository, and a clone with two more commits on top of its main."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "remote.git"
        self.url = str(self.path)
        self.local = Monorepo(folder / "local")
        self.base = self.local.commit({"a": "0"})
        self.local.git("clone", "--quiet", "--bare", ".", self.url)
        self.one, self.two = self.local.commit({"a": "1"}), self.local.commit({"a": "2"})

    @property
    def repo(self) -> Repository:
        return self.local.repo

    def git(self, *arguments: str) -> str:
        return self.local.git("-C", self.url, *arguments)

    def hook(self, name: str, script: str) -> None:
        path = self.path / "hooks" / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def refs(self) -> dict[str, str]:
        return read(self.url, MAIN, LEASE)


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    return Remote(tmp_path)


def test_references_move_together_from_where_they_were_read(remote: Remote) -> None:
    push(remote.repo, remote.url, [Update(MAIN, remote.one, remote.base), Update(LEASE, remote.base, None)])
    assert remote.refs() == {MAIN: remote.one, LEASE: remote.base}
    push(remote.repo, remote.url, [Update(LEASE, None, remote.base)])
    assert remote.refs() == {MAIN: remote.one}


def test_one_stale_reference_keeps_all_of_them(remote: Remote) -> None:
    with pytest.raises(PushRefused) as caught:
        push(
            remote.repo,
            remote.url,
            [Update(MAIN, remote.one, remote.base), Update(LEASE, remote.one, remote.two)],
        )
    assert f"{LEASE}: [rejected] (stale info)" in str(caught.value)
    assert remote.refs() == {MAIN: remote.base}


def test_what_must_not_be_there_is_compared_too(remote: Remote) -> None:
    push(remote.repo, remote.url, [Update(LEASE, remote.base, None)])
    with pytest.raises(PushRefused):
        push(remote.repo, remote.url, [Update(LEASE, remote.one, None)])
    assert remote.refs()[LEASE] == remote.base


def test_after_a_force_reset_of_main_nothing_comes_back(remote: Remote) -> None:
    push(remote.repo, remote.url, [Update(MAIN, remote.one, remote.base)])
    remote.git("update-ref", MAIN, remote.base)  # somebody took the commit back
    # `two` is a fast-forward of what main is now.
    with pytest.raises(PushRefused):
        push(remote.repo, remote.url, [Update(MAIN, remote.two, remote.one)])
    assert remote.refs()[MAIN] == remote.base


def test_a_reference_that_moves_between_the_comparison_and_the_update_is_refused(remote: Remote) -> None:
    other = remote.local.git("commit-tree", "-m", "other", f"{remote.base}^{{tree}}")
    remote.local.git("push", "--quiet", remote.url, f"{other}:refs/heads/other")
    # The hook runs after our git has compared, and before the remote's updates its references.
    remote.hook("pre-receive", f"env -u GIT_QUARANTINE_PATH git update-ref {MAIN} {other}")
    with pytest.raises(PushRefused):
        push(
            remote.repo, remote.url, [Update(MAIN, remote.one, remote.base), Update(LEASE, remote.one, None)]
        )
    assert remote.refs() == {MAIN: other}


def test_a_remote_that_says_no_moved_nothing(remote: Remote) -> None:
    remote.hook("pre-receive", "echo 'main is protected' >&2; exit 1")
    with pytest.raises(PushRefused, match="pre-receive hook declined"):
        push(remote.repo, remote.url, [Update(MAIN, remote.one, remote.base)])
    assert remote.refs() == {MAIN: remote.base}


@pytest.mark.parametrize("moment", ["prepared", "committed"])
def test_an_answer_that_got_lost_is_unclear_whether_or_not_it_was_done(remote: Remote, moment: str) -> None:
    # The remote's receive-pack dies right before, or right after, its references moved.
    remote.hook("reference-transaction", f'if [ "$1" = {moment} ]; then kill -9 $PPID; fi')
    with pytest.raises(PushUnclear):
        push(remote.repo, remote.url, [Update(MAIN, remote.one, remote.base)])
    assert remote.refs()[MAIN] == (remote.one if moment == "committed" else remote.base)


def test_a_remote_that_is_not_there_is_unclear_to_a_push_and_an_error_to_a_read(remote: Remote) -> None:
    gone = f"{remote.url}-gone"
    with pytest.raises(PushUnclear):
        push(remote.repo, gone, [Update(MAIN, remote.one, remote.base)])
    with pytest.raises(GitError):
        read(gone, MAIN)


class _Forbids(BaseHTTPRequestHandler):
    """A server of the repository in the folder ``server.remote``, without a token that may push.

    ``server.early``: it says so when it is asked for references, as GitHub does; else to the push itself.
    """

    server: Any

    def do_GET(self) -> None:
        if self.server.early:
            self._say(403, b"")
            return
        command = ("git", "receive-pack", "--stateless-rpc", "--advertise-refs", self.server.remote)
        told = subprocess.run(command, capture_output=True, check=True).stdout
        self._say(200, b"001f# service=git-receive-pack\n0000" + told)

    def do_POST(self) -> None:
        self._say(403, b"")

    def _say(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/x-git-receive-pack-advertisement")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize(("early", "error"), [(True, PushRefused), (False, PushUnclear)])
def test_a_token_that_may_only_read_is_a_clear_no_where_nothing_was_sent(
    remote: Remote, early: bool, error: type[Exception]
) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Forbids) as server:
        server.remote, server.early = remote.url, early  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(error, match="403"):
            push(
                remote.repo,
                f"http://127.0.0.1:{server.server_port}/x.git",
                [Update(MAIN, remote.one, remote.base)],
            )
        server.shutdown()
    assert remote.refs() == {MAIN: remote.base}


def test_a_password_in_the_url_is_in_no_message(remote: Remote) -> None:
    with pytest.raises(PushUnclear) as caught:
        push(remote.repo, "http://bot:hunter2@127.0.0.1:9/x.git", [Update(MAIN, remote.one, remote.base)])
    assert "hunter2" not in str(caught.value)


def test_of_eight_pushes_at_once_exactly_one_moves_main(remote: Remote) -> None:
    made = [
        remote.local.git("commit-tree", "-p", remote.base, "-m", str(n), f"{remote.base}^{{tree}}")
        for n in range(8)
    ]
    won: list[str] = []

    def run(commit: str) -> None:
        try:
            push(remote.repo, remote.url, [Update(MAIN, commit, remote.base)])
        except PushRefused:
            return
        won.append(commit)

    threads = [threading.Thread(target=run, args=(commit,)) for commit in made]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert [remote.refs()[MAIN]] == won


def test_commits_are_fetched_by_id_and_move_no_reference_here(remote: Remote, tmp_path: Path) -> None:
    push(remote.repo, remote.url, [Update("refs/pull/7/head", remote.two, None)])
    other = Monorepo(tmp_path / "other")
    fetch(other.repo, remote.url, "refs/pull/7/head")
    assert other.repo.rev_parse(remote.two) == remote.two
    assert other.git("for-each-ref") == ""
    with pytest.raises(GitError):
        fetch(other.repo, remote.url, "refs/pull/8/head")
