"""The methods about one repository that are there; each answers as GitHub's reference says."""

from __future__ import annotations

from typing import Any

from examples.standins.github import shapes
from examples.standins.github.calls import TABLE, Call, method
from examples.standins.github.state import Comment, GithubError, User, now

Answered = tuple[int, Any]
_STATES = ("error", "failure", "pending", "success")
_REACTIONS = ("+1", "-1", "laugh", "confused", "heart", "hooray", "rocket", "eyes")


@method("GET", "")
def repository(call: Call) -> Answered:
    return 200, shapes.repository(call.hosting.url, call.repo, call.user)


@method("GET", "branches/{branch:rest}")
def branch(call: Call) -> Answered:
    name = call.words["branch"]
    sha = call.repo.refs.get(f"refs/heads/{name}")
    if sha is None:
        raise GithubError(404, "Branch not found")
    return 200, {"name": name, "commit": {"sha": sha}, "protected": name in call.repo.protected}


@method("GET", "collaborators/{login}/permission")
def permission(call: Call) -> Answered:
    call.needs("write")
    who = call.hosting.users.get(call.words["login"].lower())
    if who is None:
        raise GithubError(404, f"{call.words['login']} is not a user")
    return 200, shapes.permission(call.hosting.url, call.repo, who)


# Pull requests


def _pull(call: Call, status: int = 200) -> Answered:
    found = call.repo.pull(call.number())
    return status, shapes.pull(call.hosting.url, call.hosting, call.repo, found)


@method("GET", "pulls")
def pulls(call: Call) -> Answered:
    state, base = call.query.get("state", "open"), call.query.get("base")
    found = [
        each
        for each in call.repo.pulls.values()
        if state in ("all", "open" if each.open else "closed") and base in (None, each.base)
    ]
    if call.query.get("direction", "desc") == "desc":
        found.reverse()
    return 200, [shapes.pull(call.hosting.url, call.hosting, call.repo, each, listed=True) for each in found]


@method("POST", "pulls")
def open_pull(call: Call) -> Answered:
    said = call.body
    owner, _, name = said.get("head", "").rpartition(":")
    source = f"{owner}/{call.repo.full_name.partition('/')[2]}" if owner else None
    made = call.hosting.open(
        call.repo, call.user, said.get("title", ""), name, said.get("base", ""), body=said.get("body") or "",
        draft=bool(said.get("draft")), head_repo=source,
    )  # fmt: skip
    call.words["number"] = str(made.number)
    return _pull(call, 201)


@method("GET", "pulls/{number}")
def pull(call: Call) -> Answered:
    return _pull(call)


@method("PATCH", "pulls/{number}")
def edit_pull(call: Call) -> Answered:
    found, said = call.repo.pull(call.number()), call.body
    if call.user is not found.author:
        call.needs("triage")
    changes = {}
    for name in ("title", "body", "base"):
        if name in said and said[name] != getattr(found, name):
            before = getattr(found, name)
            changes[name] = {"ref": {"from": before}} if name == "base" else {"from": before}
            setattr(found, name, said[name])
    if changes:
        call.hosting.changed(call.repo, found, "edited", call.user, changes=changes)
    _state(call)
    return _pull(call)


@method("PUT", "pulls/{number}/merge")
def merge(call: Call) -> Answered:
    call.needs("write")
    made = call.hosting.merge(call.repo, call.repo.pull(call.number()), call.user, call.body.get("sha"))
    return 200, {"sha": made, "merged": True, "message": "Pull Request successfully merged"}


@method("GET", "pulls/{number}/files")
def files(call: Call) -> Answered:
    # No more than 3,000 are listed (docs.github.com, "List pull requests files").
    names = call.hosting.files(call.repo, call.repo.pull(call.number()))[:3000]
    return 200, [{"filename": name, "status": "modified"} for name in names]


@method("GET", "pulls/{number}/reviews")
def reviews(call: Call) -> Answered:
    found = call.repo.pull(call.number())
    return 200, [shapes.review(call.hosting.url, call.repo, found, each) for each in found.reviews]


@method("POST", "pulls/{number}/reviews")
def add_review(call: Call) -> Answered:
    said, number = call.body, call.number()
    made = call.hosting.review(
        call.repo, call.user, number, said.get("event", ""), said.get("body") or "", said.get("commit_id")
    )
    return 200, shapes.review(call.hosting.url, call.repo, call.repo.pull(number), made)


@method("PUT", "pulls/{number}/reviews/{review}/dismissals")
def dismiss(call: Call) -> Answered:
    call.needs("write")
    number = call.number()
    made = call.hosting.dismiss(call.repo, call.user, number, call.number("review"))
    return 200, shapes.review(call.hosting.url, call.repo, call.repo.pull(number), made)


# What pull requests have as issues


@method("PATCH", "issues/{number}")
def edit_issue(call: Call) -> Answered:
    found = call.repo.pull(call.number())
    if call.user is not found.author:
        call.needs("triage")
    _state(call)
    return 200, shapes.issue(call.hosting.url, call.repo, found)


def _state(call: Call) -> None:
    found = call.repo.pull(call.number())
    if call.body.get("state") == "closed":
        call.hosting.close(call.repo, found, call.user)
    elif call.body.get("state") == "open" and not found.open:
        if found.merged_by or f"refs/heads/{found.branch}" not in call.repo.refs:
            raise GithubError(422, "Validation Failed", {"message": "state cannot be changed"})
        found.open, found.closed = True, None
        call.hosting.changed(call.repo, found, "reopened", call.user)


@method("GET", "issues/{number}/comments")
def comments(call: Call) -> Answered:
    number = call.repo.pull(call.number()).number
    found = [each for each in call.repo.comments.values() if each.pull == number]
    return 200, [shapes.comment(call.hosting.url, call.repo, each) for each in found]


@method("POST", "issues/{number}/comments")
def add_comment(call: Call) -> Answered:
    made = call.hosting.comment(call.repo, call.user, call.number(), call.body.get("body") or "")
    return 201, shapes.comment(call.hosting.url, call.repo, made)


@method("GET", "issues/comments")
def all_comments(call: Call) -> Answered:
    since = call.query.get("since", "")
    found = sorted(
        (each for each in call.repo.comments.values() if each.edited >= since),
        key=lambda each: (each.edited, each.id),
    )
    return 200, [shapes.comment(call.hosting.url, call.repo, each) for each in found]


def _comment(call: Call) -> Comment:
    if call.number("id") not in call.repo.comments:
        raise GithubError(404, "Not Found")
    return call.repo.comments[call.number("id")]


def _mine(call: Call) -> Comment:
    found = _comment(call)
    if found.user is not call.user:
        call.needs("write")
    return found


@method("GET", "issues/comments/{id}")
def comment(call: Call) -> Answered:
    return 200, shapes.comment(call.hosting.url, call.repo, _comment(call))


@method("PATCH", "issues/comments/{id}")
def edit_comment(call: Call) -> Answered:
    found = _mine(call)
    found.body, found.edited = call.body["body"], now()
    return 200, shapes.comment(call.hosting.url, call.repo, found)


@method("DELETE", "issues/comments/{id}")
def delete_comment(call: Call) -> Answered:
    del call.repo.comments[_mine(call).id]
    return 204, None


@method("POST", "issues/comments/{id}/reactions")
def react(call: Call) -> Answered:
    found, content = _comment(call), call.body.get("content")
    if content not in _REACTIONS:
        raise GithubError(422, "Validation Failed", {"field": "content", "code": "invalid"})
    key = (content, call.user.login)
    status = 200 if key in found.reactions else 201
    made = found.reactions.setdefault(key, call.hosting.ids.number())
    return status, {"id": made, "content": content, "user": shapes.user(call.hosting.url, call.user)}


@method("POST", "issues/{number}/labels")
def add_labels(call: Call) -> Answered:
    call.needs("triage")
    found = call.repo.pull(call.number())
    for name in call.body.get("labels", []):
        call.repo.labels.add(name)
        if name not in found.labels:
            found.labels.append(name)
            call.hosting.changed(call.repo, found, "labeled", call.user, label=shapes.label(name))
    return 200, [shapes.label(name) for name in found.labels]


@method("DELETE", "issues/{number}/labels/{name:rest}")
def remove_label(call: Call) -> Answered:
    call.needs("triage")
    found, name = call.repo.pull(call.number()), call.words["name"]
    if name not in found.labels:
        raise GithubError(404, "Label does not exist")
    found.labels.remove(name)
    call.hosting.changed(call.repo, found, "unlabeled", call.user, label=shapes.label(name))
    return 200, [shapes.label(each) for each in found.labels]


# What stands beside a commit


def _commit(call: Call, sha: str) -> str:
    if call.hosting.has(call.repo, sha):
        return sha
    raise GithubError(422, f"No commit found for SHA: {sha}")


@method("POST", "statuses/{sha}")
def add_status(call: Call) -> Answered:
    call.needs("write")
    said, sha = call.body, _commit(call, call.words["sha"])
    if said.get("state") not in _STATES:
        raise GithubError(422, "Validation Failed", {"field": "state", "code": "custom"})
    if len(said.get("description") or "") > 140:
        raise GithubError(422, "Validation Failed", {"message": "description is too long (maximum is 140)"})
    made = {
        "id": call.hosting.ids.number(), "sha": sha, "state": said["state"], "created_at": now(),
        "description": said.get("description"), "target_url": said.get("target_url"),
        "context": said.get("context") or "default", "creator": shapes.user(call.hosting.url, call.user),
    }  # fmt: skip
    call.repo.statuses.append(made)
    return 201, made


@method("GET", "statuses/{sha}")
def statuses(call: Call) -> Answered:
    return 200, [each for each in reversed(call.repo.statuses) if each["sha"] == call.words["sha"]]


@method("GET", "commits/{sha}/status")
def combined(call: Call) -> Answered:
    latest = {each["context"]: each for each in call.repo.statuses if each["sha"] == call.words["sha"]}
    states = {each["state"] for each in latest.values()}
    bad = bool(states & {"error", "failure"})
    state = "failure" if bad else "success" if states == {"success"} else "pending"
    return 200, {"state": state, "sha": call.words["sha"], "statuses": list(latest.values())}


def _app(user: User) -> User:
    if not user.app:
        raise GithubError(403, "You must authenticate via a GitHub App.")
    return user


@method("POST", "check-runs")
def add_run(call: Call) -> Answered:
    app, said = _app(call.user), call.body
    sha = _commit(call, said.get("head_sha", ""))
    made = {
        "id": call.hosting.ids.number(), "name": said["name"], "head_sha": sha, "status": "queued",
        "conclusion": None, "details_url": None, "external_id": "", "output": {}, "started_at": now(),
        "app": {"id": call.hosting.app_id, "slug": app.app, "name": app.app},
    }  # fmt: skip
    made["url"] = f"{shapes.api(call.hosting.url, call.repo)}/check-runs/{made['id']}"
    call.repo.runs[int(str(made["id"]))] = made
    return 201, _filled(made, said)


@method("PATCH", "check-runs/{id}")
def edit_run(call: Call) -> Answered:
    _app(call.user)
    if call.number("id") not in call.repo.runs:
        raise GithubError(404, "Not Found")
    return 200, _filled(call.repo.runs[call.number("id")], call.body)


def _filled(run: dict[str, Any], said: dict[str, Any]) -> dict[str, Any]:
    for name in ("status", "conclusion", "details_url", "external_id", "output"):
        if name in said:
            run[name] = said[name]
    if run["status"] != "completed":
        run["conclusion"] = None
    return run


@method("GET", "commits/{sha}/check-runs")
def runs(call: Call) -> Answered:
    found = [
        each
        for each in call.repo.runs.values()
        if each["head_sha"] == call.words["sha"]
        and call.query.get("check_name", each["name"]) == each["name"]
    ]
    return 200, {"total_count": len(found), "check_runs": found}


#: All of them.
METHODS = TABLE
