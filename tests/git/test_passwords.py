"""A password in a remote's URL: git over HTTP uses it, and nobody else gets to see it."""

from __future__ import annotations

import base64
import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from daybreak.build import process
from daybreak.errors import UsageError
from daybreak.git.command import GitError, address, redacted, without_password
from daybreak.git.mirrors import mirror
from daybreak.git.pushing import Update, fetch, probe, push, read
from daybreak.git.repository import Repository
from tests.fixtures.github import Hub

MAIN, NEW = "refs/heads/main", "refs/heads/new"


class Remote:
    """Passes requests on to the stand-in; those with a password wait while ``gate`` is closed.

    :param upstream: the stand-in; without one all is refused.
    """

    def __init__(self, upstream: str = "") -> None:
        self.upstream, self.elsewhere = upstream, ""
        self.gate, self.waiting = threading.Event(), threading.Event()
        self.gate.set()
        #: Headers of each request.
        self.seen: list[dict[str, str]] = []
        remote = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                remote._answer(self)

            do_POST = do_GET

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def url(self, login: str, path: str) -> str:
        return f"http://{login}@127.0.0.1:{self.server.server_port}/{path}"

    def told(self) -> set[str]:
        """``user:password`` of the requests so far."""
        given = (each.get("authorization", "").removeprefix("Basic ") for each in self.seen)
        return {base64.b64decode(each).decode() for each in given if each}

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.seen.append(headers)
        if self.elsewhere:
            self._say(request, 302, {"location": self.elsewhere + request.path}, b"")
            return
        if "authorization" in headers:
            self.waiting.set()
            assert self.gate.wait(30)
        if not self.upstream:
            self._say(request, 401, {"www-authenticate": 'Basic realm="x"'}, b"")
            return
        body = self._body(request, headers)
        wire = HTTPConnection(str(urlsplit(self.upstream).netloc), timeout=30)
        headers = {name: each for name, each in headers.items() if name not in ("transfer-encoding", "host")}
        wire.request(request.command, request.path, body, {**headers, "content-length": str(len(body))})
        got = wire.getresponse()
        self._say(request, got.status, {name.lower(): each for name, each in got.getheaders()}, got.read())
        wire.close()

    def _body(self, request: BaseHTTPRequestHandler, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding") != "chunked":
            return request.rfile.read(int(headers.get("content-length", 0)))
        found = b""
        while size := int(request.rfile.readline(), 16):
            found += request.rfile.read(size)
            request.rfile.readline()
        request.rfile.readline()
        return found

    def _say(self, request: BaseHTTPRequestHandler, status: int, told: dict[str, str], body: bytes) -> None:
        request.send_response(status)
        for name, value in {**told, "content-length": str(len(body))}.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(body)


@contextmanager
def serving(upstream: str = "") -> Iterator[Remote]:
    made = Remote(upstream)
    try:
        yield made
    finally:
        made.gate.set()
        made.server.shutdown()
        made.server.server_close()


@pytest.fixture
def remote(hub: Hub) -> Iterator[Remote]:
    with serving(hub.site.url) as made:
        yield made


@pytest.fixture(autouse=True)
def person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home whose git writes down every password that worked."""
    home = tmp_path / "person"
    home.mkdir()
    (home / ".gitconfig").write_text("[credential]\n\thelper = store\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    return home


def below(pid: int) -> Iterator[str]:
    """Command lines of all descendants of a process."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        # Each may end while it is looked at: a short-lived child, or a thread of ours.
        with suppress(FileNotFoundError, ProcessLookupError):
            for child in (task / "children").read_text().split():
                with suppress(FileNotFoundError, ProcessLookupError):
                    yield Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode()
                    yield from below(int(child))


Doing = Callable[[Repository, str, str, Path], object]
DOINGS: dict[str, Doing] = {
    "clone": lambda repo, url, head, folder: mirror(url, folder / "mirror"),
    "fetch": lambda repo, url, head, folder: fetch(repo, url, MAIN),
    "ls-remote": lambda repo, url, head, folder: read(url, MAIN),
    "push": lambda repo, url, head, folder: push(repo, url, [Update(NEW, head, None)]),
    "dry run": lambda repo, url, head, folder: probe(repo, url, head, NEW),
}


@pytest.mark.parametrize("doing", DOINGS)
def test_it_is_in_no_argument_of_git_or_of_what_git_starts_and_in_no_file(
    hub: Hub, remote: Remote, person: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, doing: str
) -> None:
    token, trace = hub.site.token("dana"), tmp_path / "trace"
    url = remote.url(f"dana:{token}", f"{hub.name}.git")
    monkeypatch.setenv("GIT_TRACE", str(trace))
    # As daybreak.yaml's `${ACME_TOKEN}` is given to the orchestrator.
    monkeypatch.setenv("ACME_TOKEN", token)
    remote.gate.clear()
    failed: list[Exception] = []

    def work() -> None:
        try:
            DOINGS[doing](hub.work.repo, url, hub.base, tmp_path)
        except Exception as error:
            failed.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    assert remote.waiting.wait(30)
    # Git hangs: whoever looks has time to.
    running = list(below(os.getpid()))
    (tmp_path / "build").mkdir()
    pr_code = process.environment(tmp_path / "build")
    remote.gate.set()
    worker.join(60)
    assert failed == []
    assert [each for each in running if "remote-http" in each], running
    assert [each for each in running if token in each] == []
    assert [name for name, value in pr_code.items() if token in value] == []
    # All that was ever started, also for a moment.
    said = trace.read_text()
    assert "DAYBREAK_GIT_PASSWORD" in said
    assert token not in said
    # Neither the machine's own helper nor the mirror kept it.
    files = [each for each in tmp_path.rglob("*") if each.is_file()]
    assert [each.name for each in files if token.encode() in each.read_bytes()] == []


def test_a_mirror_is_brought_up_to_date_the_same_way(hub: Hub, remote: Remote, tmp_path: Path) -> None:
    url = remote.url(f"dana:{hub.site.token('dana')}", f"{hub.name}.git")
    mirror(url, tmp_path / "mirror")
    head = hub.branch("more", {"b": "1\n"})
    assert mirror(url, tmp_path / "mirror").rev_parse("more") == head


def test_another_host_to_which_the_remote_redirects_does_not_get_it(hub: Hub, remote: Remote) -> None:
    url = remote.url(f"dana:{hub.site.token('dana')}", f"{hub.name}.git")
    with serving() as other:
        remote.elsewhere = f"http://127.0.0.1:{other.server.server_port}"
        with pytest.raises(GitError):
            read(url, MAIN)
        assert other.seen, "git did not follow"
        assert other.told() == set()
        assert remote.told() == set()


def test_what_is_escaped_in_the_url_arrives_as_it_is_meant(remote: Remote) -> None:
    with serving() as strict:
        with pytest.raises(GitError, match="Authentication failed") as caught:
            read(strict.url("us%40er:%22p%2Fw%24HOME'%25s", "x.git"), MAIN)
        assert strict.told() == {"us@er:\"p/w$HOME'%s"}
        assert "HOME" not in str(caught.value)


def test_a_user_alone_is_hidden_too_and_the_machines_own_helper_has_the_password(
    hub: Hub, remote: Remote, person: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, trace = hub.site.token("dana"), tmp_path / "trace"
    (person / ".git-credentials").write_text(remote.url(f"dan%41:{token}", "") + "\n")
    monkeypatch.setenv("GIT_TRACE", str(trace))
    assert read(remote.url("dan%41", f"{hub.name}.git"), MAIN) == {MAIN: hub.base}
    assert remote.told() == {f"danA:{token}"}
    assert "dan%41" not in trace.read_text()


def test_settings_that_the_caller_gave_git_stay(
    hub: Hub, remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"COUNT": "1", "KEY_0": "http.extraHeader", "VALUE_0": "X-Acme: 7"}.items():
        monkeypatch.setenv(f"GIT_CONFIG_{name}", value)
    url = remote.url(f"dana:{hub.site.token('dana')}", f"{hub.name}.git")
    assert read(url, MAIN) == {MAIN: hub.base}
    assert {each.get("x-acme") for each in remote.seen} == {"7"}


#: Nothing of them is a password.
OPEN = [
    "git@github.com:acme/acme.git",
    "ssh://git@host/x",
    "https://host/a@b",
    "https://host:8443/a@b",
    "http://[::1]:80/a@b",
    ".",
]


@pytest.mark.parametrize("url", OPEN)
def test_what_has_no_password_is_left_as_it_is(url: str) -> None:
    assert address(url) == (url, {})
    assert without_password(url) == url


@pytest.mark.parametrize("url", ["https://bot:hunter@2@host/x.git", "HTTPS://b@acme:hunter2@host/x.git"])
def test_a_password_with_an_at_is_not_shown_in_part(url: str) -> None:
    scheme = url[:8]
    assert without_password(url) == f"{scheme}host/x.git"
    assert address(url)[0] == f"{scheme}host/x.git"
    assert redacted(f"unable to access '{url}': no") == f"unable to access '{scheme}***@host/x.git': no"


def test_a_user_alone_leaves_an_at_in_the_path() -> None:
    assert address("https://bot@host:8443/a@b")[0] == "https://host:8443/a@b"
    assert without_password("https://bot@host:8443/a@b") == "https://host:8443/a@b"


@pytest.mark.parametrize(
    "url",
    [
        "https://bot:hun/ter2@host/x.git",
        "https://bot:hun@x/ter2@host/x.git",
        "https://bot@acme:hun/ter2@host/x.git",
        "https://bot:hunter2@/x.git",
    ],
)
def test_a_password_of_which_nobody_knows_where_it_ends_is_refused_without_being_shown(
    url: str, tmp_path: Path
) -> None:
    for doing in (address, lambda url: read(url, MAIN), lambda url: mirror(url, tmp_path / "mirror")):
        with pytest.raises(UsageError, match=r"percent-encode these .*%2F") as caught:
            doing(url)
        assert not re.search("hun|ter2", str(caught.value))
    assert not re.search("hun|ter2", without_password(url))
    assert not re.search("hun|ter2", redacted(f"fatal: unable to access '{url}': no"))


def test_what_no_helper_can_pass_on_is_refused_without_being_shown() -> None:
    with pytest.raises(UsageError, match="control character") as caught:
        address("https://bot:hun%0ater2@host/x.git")
    assert "ter2" not in str(caught.value)
