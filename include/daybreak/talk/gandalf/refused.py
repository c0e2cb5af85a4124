"""The answer on a pull request to who asked for it in Airflow (the form, REST) and was refused: what
a comment would have been told.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from daybreak.errors import UsageError
from daybreak.git.command import GitError
from daybreak.merge.announce import pull
from daybreak.merge.run import Merge, head_of
from daybreak.registry.outbox import Notice
from daybreak.talk.gandalf.bot import refusal
from daybreak.talk.gandalf.card import run_page
from daybreak.talk.gandalf.desk import as_markdown
from daybreak.talk.gandalf.gates import NotReady
from daybreak.talk.markdown import link

if TYPE_CHECKING:
    from daybreak.errors import DaybreakError


@contextmanager
def answered(merge: Merge, conf: Mapping[str, Any], actor: str, run_id: str) -> Iterator[None]:
    """Put the answer to a refusal into the outbox, and let the refusal pass.

    Once for each run: what another try of it says takes the place of what the one before said.

    :param conf: as it was given; what is wrong may be in it.
    :param actor: whoever triggered the run.
    """
    try:
        yield
    except (NotReady, UsageError) as error:
        if _is_ours_to_tell(merge, conf, run_id):
            merge.installation.outbox.put(_notice(merge, conf, actor, run_id, error), replace=True)
        raise


def _is_ours_to_tell(merge: Merge, conf: Mapping[str, Any], run_id: str) -> bool:
    if merge.installation.settings.github is None:
        return False
    # Of an entry its own comment tells: of one that Gandalf made the run for, and of one that the run put
    # into the queue and that was not what was approved any more in that moment.
    if conf.get("entry") is not None or merge.queue.of_run(run_id) is not None:
        return False
    try:
        head_of(merge.url, conf["pr"])
    except UsageError:
        return False  # there is no such page; the number may be an issue's
    except GitError:
        pass  # who sends it finds out
    return True


def _notice(
    merge: Merge, conf: Mapping[str, Any], actor: str, run_id: str, error: DaybreakError
) -> Notice:  # fmt: skip
    body = as_markdown(str(conf.get("by") or actor), refusal(error).text)
    page = run_page(merge.installation.settings, run_id)
    if page is not None:
        body += f"\n\n{link('The run in Airflow', page)}"
    # A run's id may be long, and whoever triggers it chooses it; the key stands in the comment's marker.
    key = f"refused/{hashlib.sha256(run_id.encode()).hexdigest()[:16]}"
    payload = {"kind": "merge_answer", "pr": conf["pr"], "body": body, "request": key}
    return Notice(key, pull(conf["pr"]), payload)
