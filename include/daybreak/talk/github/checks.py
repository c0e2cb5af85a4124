"""What stands beside a commit, once for each name: a commit status, or an App's check run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from daybreak.talk.github.errors import GithubUnreachable, unclear
from daybreak.talk.github.patience import repeated
from daybreak.talk.markdown import words

if TYPE_CHECKING:
    from github.CheckRun import CheckRun
    from github.Repository import Repository

Outcome = Literal["pending", "success", "failure", "error"]
#: Characters that GitHub takes of a check run's title and text, and of a status's description.
TITLE, TEXT, DESCRIPTION = 255, 65_535, 140
_CUT = "\n\n… cut: GitHub takes no more."


@dataclass(frozen=True)
class Check:
    """What stands beside a commit: a check run for an App, a commit status for a token.

    :param name: the context; one of a name for each commit.
    :param description: one line, plain.
    :param text: Markdown, in a check run alone; a status has no room for it.
    :param url: where it is told in full.
    """

    name: str
    outcome: Outcome
    description: str
    text: str = ""
    url: str | None = None


def put_status(repository: Repository, commit: str, check: Check, pauses: Sequence[float]) -> None:
    """Set a commit status, unless it stands there already."""
    at, description = repository.get_commit(commit), fitted(check.description, DESCRIPTION, "…")
    wanted = (check.outcome, description, check.url)
    # The newest first; the first one of a context is the one that counts.
    present = next((each for each in at.get_statuses() if each.context == check.name), None)
    if present is not None and (present.state, present.description, present.target_url) == wanted:
        return
    more = {} if check.url is None else {"target_url": check.url}
    # Twice the same is as good as once.
    repeated(
        pauses, lambda: at.create_status(check.outcome, description=description, context=check.name, **more)
    )


def put_run(repository: Repository, commit: str, check: Check, me: str, pauses: Sequence[float]) -> None:
    """Make our check run, or edit it if it is there. It is sent once: whether it arrived is looked for.

    :param me: the App's login; only its own runs can be edited.
    """
    fields = _fields(check)
    if present := _present(repository, commit, check.name, me):
        present.edit(**fields)
        return
    try:
        repository.create_check_run(check.name, commit, **fields)
    except Exception as error:
        if not unclear(error):
            raise
        for pause in pauses:
            time.sleep(pause)
            if _present(repository, commit, check.name, me):
                return
        raise GithubUnreachable(
            f"nobody knows whether {check.name} of {commit[:12]} was set; it is looked for before it is sent "
            f"again"
        ) from error


def fitted(text: str, most: int, cut: str = _CUT) -> str:
    """The text, or as much of it as GitHub takes, with a word that it was cut."""
    return text if len(text) <= most else text[: most - len(cut)] + cut


def _fields(check: Check) -> dict[str, Any]:
    title = check.description or check.name
    # A title is plain; a summary is Markdown.
    output = {"title": fitted(title, TITLE, "…"), "summary": words(title, TITLE)}
    if check.text:
        output["text"] = fitted(check.text, TEXT)
    made: dict[str, Any] = (
        {"output": output} if check.url is None else {"output": output, "details_url": check.url}
    )
    if check.outcome == "pending":
        return {**made, "status": "in_progress"}
    failed = check.outcome != "success"
    return {**made, "status": "completed", "conclusion": "failure" if failed else "success"}


def _present(repository: Repository, commit: str, name: str, me: str) -> CheckRun | None:
    """Only Apps have check runs: the newest of ours."""
    found = repository.get_commit(commit).get_check_runs(check_name=name, filter="all")
    ours = [each for each in found if f"{each.app.slug}[bot]" == me]
    return max(ours, key=lambda each: each.id, default=None)
