"""Building before the lane: a pull request on main, and, while an attempt has the lane, what may be in it
next. All of it is builds: it changes no queue, attempt, lease or environment, and nothing waits for it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from datetime import timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from airflow.sdk import Param, task
from airflow.sdk.exceptions import AirflowFailException

from daybreak.orchestration import builds
from daybreak.orchestration.builds import run_id, told

if TYPE_CHECKING:
    from daybreak.change.plan import Plan
    from daybreak.merge.ahead import Guess
    from daybreak.merge.run import Merge
    from daybreak.orchestration.rest import Rest

log = logging.getLogger(__name__)

DAG = "prebuild"
#: Of its runs that go on; beside so many, nothing more is built ahead.
BUSY = 4


def params() -> dict[str, Param]:
    """The form: a pull request, or an attempt that is in the lane."""
    return {
        "pr": Param(None, type=["null", "integer"], minimum=1, title="Pull request",
                    description="Its number"),
        "sha": Param(None, type=["null", "string"], pattern="^[0-9a-fA-F]{7,64}$", title="Commit",
                     description="Of the pull request; empty: its head as it is now"),
        "after": Param(None, type=["null", "string"], maxLength=250, title="After",
                       description="A run of pr_e2e that has the lane: what may be in it next is built"),
        "lands": Param(True, type="boolean", title="Lands",
                       description="Whether that is what follows when the run lands, or when it fails"),
    }  # fmt: skip


class Prebuild(builds.Select):
    """Pin what a pull request builds on main, or what may be in the lane after an attempt."""

    def execute(self, context: Any) -> None:
        """Skips all that follows where there is nothing to build any more."""
        from daybreak.errors import CatalogError
        from daybreak.git.merging import MergeConflict
        from daybreak.orchestration import connections

        merge, asked = connections.merge(connections.installation()), context["params"]
        with told():
            try:
                if asked["after"] is None:
                    planned: Plan | None = _on_main(merge, asked)
                else:
                    planned = merge.pin_ahead(run_id(), DAG, asked["after"], asked["lands"])
            except (CatalogError, MergeConflict) as error:
                raise AirflowFailException(str(error)) from None
        if planned is None:
            print(f"{asked['after']} is over, or nothing can follow it")
            self.skip(context["ti"], [each for each in self.dag.tasks if each.task_id != self.task_id])
        else:
            self.keep(context, planned, merge.to_build(planned))


def _on_main(merge: Merge, asked: Mapping[str, Any]) -> Plan:
    from daybreak.merge.conf import Conf
    from daybreak.merge.run import head_of

    conf = Conf.of({name: value for name, value in asked.items() if name not in ("after", "lands")})
    head = conf.sha if conf.sha and len(conf.sha) >= 40 else head_of(merge.url, conf.pr)
    return merge.pin(run_id(), conf.pr, head, DAG)


@task(execution_timeout=timedelta(minutes=10), trigger_rule="all_done")
def prebuilt() -> None:
    """Fails when something was not built, or has red unit tests; nothing of the run is needed any more."""
    from daybreak.change.plan import Plan
    from daybreak.errors import UsageError
    from daybreak.orchestration import connections

    merge = connections.merge(connections.installation())
    try:
        planned = Plan.from_json(merge.installation.runs.get(run_id()).plan)
    except UsageError as nothing:
        raise AirflowFailException(f"nothing was pinned: see the log of `pin` ({nothing})") from None
    missing = merge.to_build(planned)
    merge.finish(run_id())
    if missing:
        raise AirflowFailException(f"not built, or with red unit tests: {', '.join(sorted(missing))}")


def build_ahead(merge: Merge, rest: Rest | None) -> Iterator[str]:
    """Make a run for each thing that may be in the lane next and is not all built; gives a line for each.

    Never raises: what is not built ahead is built in the lane.

    :param rest: Airflow, whose runs they are; without it nothing is built ahead.
    """
    if rest is None:
        return
    try:
        for guess in merge.guesses():
            yield from _build(merge, rest, guess)
    except Exception as error:
        log.warning("nothing more is built ahead: %s", error)


def _build(merge: Merge, rest: Rest, guess: Guess) -> Iterator[str]:
    from daybreak.errors import CatalogError
    from daybreak.git.merging import MergeConflict

    names = ", ".join(each.name for each in guess.members)
    what = f"{names} after {guess.after}, if that {'lands' if guess.lands else 'fails'}"
    try:
        lacking = merge.lacking(guess)
    except (CatalogError, MergeConflict) as error:
        yield f"{what}: nothing to build, {error}"
        return
    if not lacking:
        return
    if len(rest.going_on(DAG)) >= BUSY:
        yield f"{what}: not built ahead, so much is built already"
        return
    run = rest.trigger(DAG, run_id_of(guess), {"after": guess.after, "lands": guess.lands})
    yield f"{what}: {', '.join(sorted(lacking))}, in {run.run_id}"


def run_id_of(guess: Guess) -> str:
    """The same for the same guess, so that it is built once."""
    what = f"{guess.base} {guess.pulls}".encode()
    return f"after-{guess.after[:200]}-{'lands' if guess.lands else 'fails'}-{sha256(what).hexdigest()[:8]}"
