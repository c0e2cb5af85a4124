"""Git over smart HTTP: `git http-backend`, behind the permissions of the repository (git-http-backend(1))."""

from __future__ import annotations

import base64
import binascii
import os
import subprocess
from collections.abc import Mapping

from examples.standins.github.faults import Answer
from examples.standins.github.hosting import Hosting
from examples.standins.github.state import GithubError, User

SERVICES = ("git-upload-pack", "git-receive-pack")


def answer(
    hosting: Hosting, method: str, name: str, path: str, query: str, headers: Mapping[str, str], body: bytes
) -> Answer:
    """One request.

    :param name: of the repository.
    :param path: below it: ``info/refs``, or one of :data:`SERVICES`.
    """
    service = query.partition("service=")[2] if path == "info/refs" else path
    if service not in SERVICES:
        return Answer(404, b"the dumb protocol is not spoken here")
    try:
        user = _who(hosting, headers)
        repo = hosting.repo(name)
    except GithubError as error:
        if error.status == 401:
            return Answer(401, b"", {"www-authenticate": 'Basic realm="GitHub"'})
        return Answer(404, b"Repository not found.")
    if not repo.may(user, "read"):
        return Answer(404, b"Repository not found.")
    pushes = service == "git-receive-pack"
    if pushes and not repo.may(user, "write"):
        said = f"Permission to {repo.full_name}.git denied to {user.login}."
        return Answer(403, said.encode())
    environ = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")} | {
        "GIT_PROJECT_ROOT": str(repo.path.parent), "GIT_HTTP_EXPORT_ALL": "1", "REMOTE_USER": user.login,
        "REQUEST_METHOD": method, "PATH_INFO": f"/{repo.path.name}/{path}", "QUERY_STRING": query,
        "CONTENT_TYPE": headers.get("content-type", ""), "CONTENT_LENGTH": str(len(body)),
        "HTTP_CONTENT_ENCODING": headers.get("content-encoding", ""),
        "GIT_PROTOCOL": headers.get("git-protocol", ""), "REMOTE_ADDR": "127.0.0.1", "LC_ALL": "C.UTF-8",
    }  # fmt: skip
    # Several at once, as on GitHub: git's own locks decide a race.
    done = subprocess.run(("git", "http-backend"), input=body, capture_output=True, env=environ, check=False)
    if pushes and method == "POST":
        hosting.moved(repo, user)
    head, _, content = done.stdout.partition(b"\r\n\r\n")
    told = dict(line.split(": ", 1) for line in head.decode().splitlines() if ": " in line)
    status = int(told.pop("Status", "200").split(" ")[0])
    return Answer(status, content, {key.lower(): value for key, value in told.items()})


def _who(hosting: Hosting, headers: Mapping[str, str]) -> User:
    scheme, _, encoded = headers.get("authorization", "").partition(" ")
    try:
        password = base64.b64decode(encoded, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        password = ""
    if scheme.lower() != "basic" or not password:
        raise GithubError(401, "Requires authentication")
    return hosting.by_token(password)
