"""The REST API: who asks, whether they may, pages, limits; the methods are in `methods`."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode

import jwt

from examples.standins.github import shapes
from examples.standins.github.calls import Call
from examples.standins.github.faults import Answer, Faults
from examples.standins.github.hosting import Hosting
from examples.standins.github.methods import METHODS
from examples.standins.github.state import GithubError, User

PREFIX = "/api/v3"
LIMIT = 5000


@dataclass
class Rest:
    """The API of one stand-in."""

    hosting: Hosting
    faults: Faults
    #: Every call: who, method, path, status.
    journal: list[dict[str, Any]] = field(default_factory=list)
    remaining: int = LIMIT

    def answer(self, verb: str, path: str, query: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """One request; ``path`` is below :data:`PREFIX`."""
        found = re.fullmatch(r"/repos/([^/]+/[^/]+)(?:/(.*))?", path)
        below = (found[2] or "") if found else path
        entry = {"method": verb, "path": below, "user": None, "status": None}
        self.journal.append(entry)

        def carry() -> Answer:
            with self.hosting.lock:
                return self._carry(verb, path, query, headers, body, entry)

        answered = self.faults.around(verb, below, headers, carry)
        entry["status"] = answered.status
        self.remaining = max(self.remaining - 1, 0)
        limits = {
            "x-ratelimit-limit": str(LIMIT), "x-ratelimit-remaining": str(self.remaining),
            "x-ratelimit-used": str(LIMIT - self.remaining), "x-ratelimit-resource": "core",
            "x-ratelimit-reset": str(int(time.time()) + 3600),
            "x-github-media-type": "github.v3; format=json",
        }  # fmt: skip
        answered.headers = {**limits, **answered.headers}
        return answered

    def _carry(
        self, verb: str, path: str, query: str, headers: Mapping[str, str], body: bytes, entry: dict[str, Any]
    ) -> Answer:
        asked = dict(parse_qsl(query))
        try:
            token = headers.get("authorization", "").partition(" ")[2]
            if grant := re.fullmatch(r"/app/installations/(\d+)/access_tokens", path):
                return _json(201, self._installation(token, int(grant[1])))
            user = self.hosting.by_token(token)
            entry["user"] = user.login
            status, found = self._call(verb, path, asked, user, _object(body))
        except GithubError as error:
            return _json(error.status, {
                "message": error.message, "errors": error.errors, "documentation_url": "https://docs.github.com/rest",
            })  # fmt: skip
        links: dict[str, str] = {}
        if isinstance(found, list):
            found, links = self._page(path, asked, found)
        made = _json(status, found, **links) if status != 204 else Answer(204)
        if verb == "GET":
            made.headers["etag"] = f'"{hashlib.sha256(made.body).hexdigest()}"'
            if headers.get("if-none-match") == made.headers["etag"]:
                made.status, made.body = 304, b""
        return made

    def _call(
        self, verb: str, path: str, query: dict[str, str], user: User, body: dict[str, Any]
    ) -> tuple[int, Any]:
        if path == "/user":
            if user.app:
                raise GithubError(403, "Resource not accessible by integration")
            return 200, shapes.user(self.hosting.url, user)
        found = re.fullmatch(r"/repos/([^/]+/[^/]+)(?:/(.*))?", path)
        if not found:
            raise GithubError(404, "Not Found")
        repo = self.hosting.repo(found[1])
        if not repo.may(user, "read"):
            raise GithubError(404, "Not Found")  # who may not see it does not learn that it is there
        for known, pattern, function in METHODS:
            matched = pattern.fullmatch(found[2] or "")
            if known == verb and matched:
                words = {name: unquote(value) for name, value in matched.groupdict().items()}
                return function(Call(self.hosting, repo, user, body, query, words))
        raise GithubError(404, "Not Found")

    def _installation(self, token: str, number: int) -> dict[str, Any]:
        """A token for an App's installation, for who signs with the App's key."""
        app = next((each for each in self.hosting.users.values() if each.app and each.id == number), None)
        try:
            claims = jwt.decode(token, self.hosting.app_key().public_key(), algorithms=["RS256"])
        except jwt.PyJWTError as error:
            raise GithubError(401, "A JSON web token could not be decoded") from error
        if app is None or str(claims.get("iss")) != str(self.hosting.app_id):
            raise GithubError(404, "Integration not found")
        until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
        return {"token": app.token, "expires_at": until, "permissions": {}, "repository_selection": "all"}

    def _page(self, path: str, query: dict[str, str], found: list[Any]) -> tuple[list[Any], dict[str, str]]:
        size, page = min(int(query.get("per_page", 30)), 100), max(int(query.get("page", 1)), 1)
        last = max((len(found) + size - 1) // size, 1)
        links = []
        for name, number in (("next", page + 1), ("last", last)):
            if number <= last and page < last:
                more = urlencode({**query, "page": number})
                links.append(f'<{self.hosting.url}{PREFIX}{path}?{more}>; rel="{name}"')
        shown = found[(page - 1) * size : page * size]
        return shown, {"link": ", ".join(links)} if links else {}


def _object(body: bytes) -> dict[str, Any]:
    if not body:
        return {}
    try:
        found = json.loads(body)
    except ValueError:
        raise GithubError(400, "Problems parsing JSON") from None
    # Labels may come as a list alone.
    return found if isinstance(found, dict) else {"labels": found}


def _json(status: int, found: Any, **headers: str) -> Answer:
    kind = {"content-type": "application/json; charset=utf-8"}
    return Answer(status, json.dumps(found).encode(), {**kind, **headers})
