"""GitHub's stand-in behaves as GitHub's documentation says; git and the API tell one truth."""

from __future__ import annotations

import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from daybreak.git.pushing import PushRefused, PushUnclear, Update, fetch, push, read
from examples.standins.github.delivery import sign
from examples.standins.github.server import BOT
from tests.fixtures.github import Hub
from tests.monorepo import Monorepo

MAIN, LEASE = "refs/heads/main", "refs/heads/daybreak/lease"


class Listener:
    """Keeps what is delivered."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.got.append(({key.lower(): value for key, value in self.headers.items()}, body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/"


def events(hub: Hub) -> list[str]:
    return [f"{each['event']} {each['action'] or ''}".strip() for each in hub.site.deliveries()]


def test_a_pull_request_follows_its_branch_and_is_merged_when_its_head_is_reachable(hub: Hub) -> None:
    number = hub.pull()
    first = hub.ref("refs/heads/feature")
    assert hub.ref(f"refs/pull/{number}/head") == first == hub.site.pull(hub.name, number)["head"]["sha"]
    second = hub.branch("feature", {"more": "1\n"}, start="feature")
    assert hub.ref(f"refs/pull/{number}/head") == second
    hub.work.git("merge", "--quiet", "--no-ff", "--message", "merge", "feature")
    hub.push("main")
    shown = hub.site.pull(hub.name, number)
    assert (shown["merged"], shown["state"], shown["merged_by"]["login"]) == (True, "closed", "dana")
    assert events(hub) == [
        "push", "push", "pull_request opened", "push", "pull_request synchronize", "push",
        "pull_request closed",
    ]  # fmt: skip
    hub.push(":feature")
    assert hub.ref(f"refs/pull/{number}/head") == second, "it is kept for ever"


def test_a_branch_that_is_deleted_closes_its_pull_request_and_forks_are_followed(hub: Hub) -> None:
    number = hub.pull()
    hub.push(":feature")
    assert hub.site.pull(hub.name, number)["state"] == "closed"
    fork = f"mallory/{hub.name.partition('/')[2]}"
    hub.site.repo(fork, fork_of=hub.name, mallory="admin")
    head = hub.branch("evil", {"evil": "1\n"})
    hub.push(":evil")
    hub.work.git("push", "--quiet", hub.site.git("mallory", fork), f"{head}:refs/heads/evil")
    foreign = hub.site.open("dana", hub.name, "evil", "Trust me", fork="mallory")
    assert hub.client().pull(foreign).fork
    assert hub.ref(f"refs/pull/{foreign}/head") == head


def test_two_pushes_with_leases_that_race_move_main_once_and_all_or_nothing(hub: Hub) -> None:
    push(hub.work.repo, hub.url(BOT), [Update(LEASE, hub.base, None)])
    heads = [hub.branch(f"candidate{number}", {"a": f"{number}\n"}) for number in range(2)]
    barrier, results = threading.Barrier(2), {}

    def land(number: int) -> None:
        head = heads[number]
        barrier.wait(30)
        try:
            push(hub.work.repo, hub.url(BOT), [Update(MAIN, head, hub.base), Update(LEASE, head, hub.base)])
            results[number] = "landed"
        except PushRefused:
            results[number] = "refused"

    threads = [threading.Thread(target=land, args=(number,)) for number in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    assert sorted(results.values()) == ["landed", "refused"]
    winner = heads[next(number for number, said in results.items() if said == "landed")]
    assert read(hub.url(BOT), MAIN, LEASE) == {MAIN: winner, LEASE: winner}


@pytest.mark.parametrize("fault", [{"after": True}, {"delay": 0.5}, {}], ids=["lost", "late", "refused"])
def test_a_push_whose_answer_is_lost_is_unclear_whether_or_when_it_is_carried_out(
    hub: Hub, fault: dict[str, Any]
) -> None:
    head = hub.branch("candidate", {"a": "1\n"})
    hub.site.fault("POST", "git-receive-pack", 502, **fault)
    with pytest.raises(PushUnclear, match="nobody knows"):
        push(hub.work.repo, hub.url(BOT), [Update(MAIN, head, hub.base)])
    if "delay" in fault:
        assert hub.ref(MAIN) == hub.base
    hub.site.settled()
    assert hub.ref(MAIN) == (head if fault else hub.base)


def test_git_is_served_to_who_may_and_nobody_moves_the_heads_of_pull_requests(hub: Hub) -> None:
    head = hub.branch("candidate", {"a": "1\n"})
    # Who may read hears a clear no; for who may not even do that there is no such repository.
    for login, error, said in (("noa", PushRefused, "403"), ("mallory", PushUnclear, "not found")):
        with pytest.raises(error, match=said):
            push(hub.work.repo, hub.url(login), [Update(MAIN, head, hub.base)])
    assert read(hub.url("noa"), MAIN) == {MAIN: hub.base}
    with pytest.raises(PushRefused, match="hidden"):
        push(hub.work.repo, hub.url(), [Update("refs/pull/1/head", head, None)])
    for name in ("nobody", "mallory"):
        url = hub.url().replace(hub.site.token("dana"), hub.site.state()["users"].get(name, "ghp_wrong"))
        done = subprocess.run(("git", "ls-remote", url), capture_output=True, check=False)
        assert done.returncode, "a private repository is not there for others"


def test_a_single_commit_is_fetched_by_its_id(hub: Hub, tmp_path: Path) -> None:
    head = hub.branch("feature", {"a": "1\n"})
    other = Monorepo(tmp_path / "other")
    fetch(other.repo, hub.url(), head)
    assert other.git("cat-file", "-t", head) == "commit"


def test_the_green_button_merges_really_or_says_why_not(hub: Hub) -> None:
    good, bad = hub.pull("good", {"a": "good\n"}), hub.pull("bad", {"a": "bad\n"})
    button = f"{hub.name}/pulls/{good}/merge"
    with pytest.raises(AssertionError, match="409"):
        hub.site.ask("dana", "PUT", button, {"sha": hub.base})
    made = hub.site.ask("dana", "PUT", button, {})["sha"]
    assert hub.ref(MAIN) == made
    assert hub.site.pull(hub.name, good)["merged"]
    with pytest.raises(AssertionError, match="405"):
        hub.site.ask("dana", "PUT", f"{hub.name}/pulls/{bad}/merge", {})
    with pytest.raises(AssertionError, match="403"):
        hub.site.ask("noa", "PUT", f"{hub.name}/pulls/{bad}/merge", {})


def test_deliveries_are_signed_and_may_be_lost_doubled_and_sent_again_by_hand(hub: Hub) -> None:
    listener = Listener()
    number = hub.pull()
    hub.site.listen_at(listener.url)
    hub.site.fate("lost", "doubled")
    for text in ("one", "two", "three"):
        hub.site.comment("dana", hub.name, number, text)
    hub.site.settled()
    assert [each[0]["x-github-event"] for each in listener.got] == ["issue_comment"] * 3
    guids = [each[0]["x-github-delivery"] for each in listener.got]
    assert guids[0] == guids[1] != guids[2]
    for headers, body in listener.got:
        assert headers["x-hub-signature-256"] == sign(hub.site.secret, body)
    lost = hub.site.deliveries("issue_comment")[0]
    assert (lost["status"], lost["guid"] in guids) == (None, False)
    hub.site.redeliver(lost["guid"])
    hub.site.settled()
    assert listener.got[-1][0]["x-github-delivery"] == lost["guid"]
    listener.server.shutdown()
    listener.server.server_close()


def test_the_api_can_be_behind_git(hub: Hub) -> None:
    number = hub.pull()
    before = hub.site.pull(hub.name, number)["head"]["sha"]
    hub.site.stale(hub.name)
    after = hub.branch("feature", {"more": "1\n"}, start="feature")
    assert hub.site.pull(hub.name, number)["head"]["sha"] == before
    assert read(hub.url(), f"refs/pull/{number}/head") == {f"refs/pull/{number}/head": after}
    hub.site.stale(hub.name, on=False)
    assert hub.site.pull(hub.name, number)["head"]["sha"] == after


def test_an_answer_has_its_limits_its_pages_and_a_tag(hub: Hub) -> None:
    number = hub.pull()
    for each in range(3):
        hub.site.comment("dana", hub.name, number, str(each))
    headers = {"Authorization": f"token {hub.site.token('noa')}"}
    url = f"{hub.site.api}/repos/{hub.name}/issues/{number}/comments?per_page=2"
    first = httpx.get(url, headers=headers, trust_env=False)
    assert first.headers["x-ratelimit-limit"] == "5000"
    second = httpx.get(first.links["next"]["url"], headers=headers, trust_env=False)
    assert [each["body"] for each in first.json() + second.json()] == ["0", "1", "2"]
    again = httpx.get(url, headers={**headers, "If-None-Match": first.headers["etag"]}, trust_env=False)
    assert (again.status_code, again.content) == (304, b"")
    for login, token, status in (("mallory", None, 404), ("", "wrong", 401)):
        said = {"Authorization": f"Bearer {token or hub.site.token(login)}"}
        assert httpx.get(url, headers=said, trust_env=False).status_code == status
    assert httpx.get(url, headers={"Host": "evil.example"}, trust_env=False).status_code == 403


def test_its_page_shows_words_as_words(hub: Hub) -> None:
    number = hub.pull()
    hub.site.comment("dana", hub.name, number, "<script>alert(1)</script><!-- hidden -->")
    page = httpx.get(f"{hub.site.url}/{hub.name}/pull/{number}", trust_env=False).text
    assert "&lt;script&gt;" in page
    assert "<script>" not in page
    assert "hidden" not in page
