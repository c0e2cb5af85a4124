"""What people say to Gandalf and what comes of it: stories on a registry; a test says what GitHub has."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from sqlalchemy import Engine

from daybreak.environment.machine import State
from daybreak.merge.findings import Findings
from daybreak.merge.queue import Queue
from daybreak.merge.rows import TRY
from daybreak.merge.rules import EntryState as E
from daybreak.orchestration.rest import AirflowUnreachable
from daybreak.settings import MergeSettings
from daybreak.talk.gandalf.bot import Gandalf
from daybreak.talk.gandalf.gates import Gates, GithubLags, NotReady
from daybreak.talk.github.client import Permission, Pull, Review
from daybreak.talk.github.errors import NotThere
from daybreak.talk.reply import Reply
from tests.fixtures.registry import ManualClock
from tests.talk.conftest import SETTINGS, open_installation

PEOPLE = [
    # Her login is another one; `dana` on GitHub is somebody else.
    {"name": "dana", "slack": "U1DANA", "github": "Dana-L"},
    {"name": "eli", "slack": "U2ELI", "github": "eli"},
    {"name": "noa", "slack": "U3NOA", "github": "noa", "admin": True},
    {"name": "gil", "slack": "U4GIL"},
]
SHA = "a" * 40


@dataclass
class Hub:
    """GitHub, as far as it is asked: pull requests, reviews, permissions; and git's heads."""

    pulls: dict[int, Pull] = field(default_factory=dict)
    heads: dict[int, str] = field(default_factory=dict)
    said: dict[int, list[Review]] = field(default_factory=dict)
    people: dict[str, Permission] = field(
        default_factory=lambda: {"dana-l": "write", "eli": "maintain", "noa": "admin", "gil": "read"}
    )

    def open(self, number: int, sha: str = SHA, author: str = "Dana-L", approved: bool = True) -> Pull:
        self.pulls[number] = Pull(
            number, f"Change {number}", author, "open", False, "main", sha, f"b{number}", False, frozenset(),
            False, 3, f"https://github.example/acme/pull/{number}",
        )  # fmt: skip
        self.heads[number] = sha
        if approved:
            self.said[number] = [Review("eli", "APPROVED", sha)]
        return self.pulls[number]

    def change(self, number: int, **fields: object) -> None:
        self.pulls[number] = replace(self.pulls[number], **fields)  # type: ignore[arg-type]

    def pull(self, number: int) -> Pull:
        if number not in self.pulls:
            raise NotThere(f"no #{number}")
        return self.pulls[number]

    def reviews(self, number: int) -> list[Review]:
        return self.said.get(number, [])

    def permission(self, login: str) -> Permission:
        return self.people.get(login.lower(), "none")


class Court:
    """People who talk to Gandalf."""

    def __init__(self, engine: Engine, clock: ManualClock, folder: Path) -> None:
        self.installation = open_installation(engine, clock, folder, {**SETTINGS, "people": PEOPLE})
        self.clock, self.hub = clock, Hub()
        self.gates = Gates(self.hub, MergeSettings(), "main", self.hub.heads.get, sleep=lambda _: None)
        self.runs: list[tuple[str, str, dict]] = []
        self.gandalf = Gandalf(self.installation, self.gates, trigger=self._trigger)
        self.queue = Queue(engine, clock)

    def _trigger(self, dag_id: str, run_id: str, conf) -> str:
        if (dag_id, run_id, conf) not in self.runs:
            self.runs.append((dag_id, run_id, dict(conf)))
        return f"https://airflow.example/dags/{dag_id}/runs/{run_id}"

    def hub_says(self, login: str, what: str, pull: int = 1, **more) -> Reply:
        """In a comment on the pull request."""
        return self.gandalf.answer(what, self.gandalf.people.actor("github", login), pull=pull, **more)

    def slack_says(self, user: str, what: str, **more) -> Reply:
        return self.gandalf.answer(what, self.gandalf.people.actor("slack", user), **more)

    def state(self, pull: int = 1) -> E:
        return self.queue.of_pull(pull)[0].state


@pytest.fixture
def court(sqlite_registry: Engine, clock: ManualClock, tmp_path: Path) -> Court:
    made = Court(sqlite_registry, clock, tmp_path)
    made.hub.open(1)
    return made


def test_merge_queues_the_approved_commit_and_starts_its_run_once(court: Court) -> None:
    reply = court.hub_says("dana-l", "merge p=high", request="github/comment/1")
    assert reply.text == f"#1 at {SHA[:12]} is queued: number 1 of 1 in the queue."
    again = court.hub_says("dana-l", "merge p=high", request="github/comment/1")
    assert again.text == f"#1 at {SHA[:12]}: number 1 of 1 in the queue."
    assert court.runs == [
        ("pr_e2e", f"pr-1-{SHA[:7]}-1",
         {"pr": 1, "sha": SHA, "mode": "land", "priority": "high", "entry": 1})
    ]  # fmt: skip
    [entry] = court.queue.open()
    assert (entry.by, entry.person, entry.author, entry.priority) == ("dana", "dana", "Dana-L", 1)


def test_an_airflow_that_is_away_keeps_nobody_out_of_the_queue(court: Court) -> None:
    from daybreak.errors import UsageError

    def broken(*_: object) -> str:
        raise UsageError("the DAG pr_e2e is paused")

    court.gandalf.trigger = broken
    assert court.hub_says("dana-l", "merge").code == "ok"
    assert court.state() is E.QUEUED


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"merged": True, "state": "closed"}, "has landed already"),
        ({"state": "closed"}, "is closed"),
        ({"draft": True}, "is a draft"),
        ({"base": "release"}, "is against release; only what is against main can land"),
        ({"labels": frozenset({"WIP", "docs"})}, "has the label 'WIP'"),
        ({"fork": True}, "comes from a fork"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)  # fmt: skip
def test_what_may_not_land_gets_one_clear_answer_and_nothing_is_done(
    court: Court, change: dict, said: str
) -> None:
    court.hub.change(1, **change)
    reply = court.hub_says("dana-l", "merge")
    assert (reply.code, said in reply.text) == ("not_ready", True)
    assert court.queue.of_pull(1) == court.runs == []
    assert court.gates.approved(entry_of(court)) == reply.text.removesuffix(".")


def entry_of(court: Court):
    """An entry as it was queued before anything changed."""
    from tests.merge.test_batch import entry

    return entry(1, sha=SHA)


def test_approvals_count_for_the_very_commit_by_people_who_may_write_and_not_the_author(court: Court) -> None:
    def merge(*reviews: Review) -> str:
        court.hub.said[1] = list(reviews)
        return court.hub_says("dana-l", "merge").text

    assert "has 0 of 1 approvals of aaaaaaaaaaaa" in merge()
    assert "has 0 of 1" in merge(Review("dana-l", "APPROVED", SHA))
    assert "has 0 of 1" in merge(Review("gil", "APPROVED", SHA))
    assert "eli approved an older commit" in merge(Review("eli", "APPROVED", "b" * 40))
    wants = Review("noa", "CHANGES_REQUESTED", "b" * 40)
    assert "noa requested changes" in merge(Review("eli", "APPROVED", SHA), wants)
    assert court.queue.open() == []
    # Whoever may not write cannot keep it from landing either.
    stranger = Review("gil", "CHANGES_REQUESTED", SHA)
    assert "is queued" in merge(Review("eli", "APPROVED", SHA), stranger)


def test_a_commit_that_is_not_there_any_more_is_not_landed(court: Court) -> None:
    assert "is at aaaaaaaaaaaa now, not at bbbbbbb" in court.hub_says("dana-l", "merge bbbbbbb").text
    assert "now, not at bbbb" in court.hub_says("dana-l", "merge", seen=lambda _: "b" * 40).text
    assert court.hub_says("dana-l", f"merge {SHA[:9]}").code == "ok"
    court.hub.heads.pop(1)
    assert court.gates.approved(court.queue.open()[0]) == "#1 has no head any more; was its branch deleted?"


def test_an_api_that_is_behind_git_is_asked_again_and_blames_nobody(court: Court) -> None:
    court.hub.heads[1] = "c" * 40
    with pytest.raises(GithubLags):
        court.hub_says("dana-l", "merge", patient=True)
    assert court.hub_says("dana-l", "merge").code == "github_lags"
    looks = []

    def later(seconds: float) -> None:
        looks.append(seconds)
        court.hub.change(1, head="c" * 40)
        court.hub.said[1] = [Review("eli", "APPROVED", "c" * 40)]

    gates = replace(court.gates, sleep=later)
    assert gates.approved(replace(entry_of(court), sha="c" * 40)) is None
    assert len(looks) == 1


def test_an_empty_pull_request_is_refused_and_one_of_3500_files_is_not(court: Court) -> None:
    court.hub.change(1, files=0)
    assert "changes nothing that main does not have" in court.hub_says("dana-l", "merge").text
    court.hub.change(1, files=3500)
    assert "3,500 files, more than GitHub lists" in court.hub_says("dana-l", "merge").text


def test_a_fork_is_let_in_where_the_settings_say_so(court: Court) -> None:
    court.hub.change(1, fork=True)
    open_house = replace(court.gates, policy=MergeSettings(forks="allow", required_reviews=0))
    assert open_house.check(1).sha == SHA
    with pytest.raises(NotReady):
        court.gates.check(1)


def test_who_may_not_write_may_look_and_take_back_their_own(court: Court) -> None:
    court.hub.open(2, author="gil")
    for said in ("merge", "try", "retry", "hold", "delegate @gil", "pause x", "reset"):
        reply = court.hub_says("gil", said, pull=2)
        assert (reply.code, reply.exit_code) == ("not_allowed", 77), said
        assert "gil has `read`" in reply.text
    assert court.queue.open() == []
    assert court.hub_says("dana-l", "merge", pull=2).code == "ok"
    assert court.hub_says("stranger", "cancel", pull=2).code == "not_allowed"
    assert court.hub_says("gil", "status", pull=2).code == "ok"
    assert court.hub_says("gil", "cancel -- not yet", pull=2).code == "ok"
    assert court.queue.of_pull(2)[0].reason == "cancelled by github gil: not yet"


@pytest.mark.parametrize("said", ["pause x", "resume", "emergency x", "env heal", "reset"])
def test_admin_verbs_need_the_permission_of_an_admin_not_the_settings(court: Court, said: str) -> None:
    court.hub.people["noa"] = "maintain"  # `admin: true` in the settings is Bobby's
    assert court.hub_says("noa", said).code == "not_allowed"
    assert court.hub_says("eli", said).code == "not_allowed"


def test_a_delegation_opens_one_pull_request_and_is_not_passed_on(court: Court) -> None:
    court.hub.open(2)
    assert "gil may `merge`" in court.hub_says("dana-l", "delegate @Gil").text.lower()
    assert court.hub_says("gil", "delegate @stranger").code == "not_allowed"
    assert court.hub_says("gil", "merge", pull=2).code == "not_allowed"
    assert court.hub_says("gil", "merge").code == "ok"
    assert court.hub_says("gil", "hold").code == "ok"
    assert "forgotten: it is out of the queue" in court.hub_says("noa", "reset").text
    assert court.hub_says("gil", "merge").code == "not_allowed"


def test_a_delegation_can_be_taken_back_and_what_it_queued_stays(court: Court) -> None:
    court.hub_says("dana-l", "delegate @gil")
    assert court.hub_says("gil", "merge").code == "ok"
    assert court.hub_says("gil", "undelegate @gil").code == "not_allowed"
    assert "gil may not land #1 any more" in court.hub_says("eli", "undelegate @gil", request="r1").text
    assert court.hub_says("eli", "undelegate @gil", request="r1").code == "ok"
    assert court.hub_says("eli", "undelegate @gil").text == "#1 is not delegated to gil."
    assert court.hub_says("gil", "cancel").code == "not_allowed"
    assert court.state() is E.QUEUED


def test_a_name_is_a_login_on_github_and_a_person_elsewhere(court: Court) -> None:
    """`dana` on GitHub is nobody of ours; the person dana is Dana-L there."""
    assert court.hub_says("dana", "merge").code == "not_allowed"
    assert "dana-l may" in court.slack_says("U2ELI", "delegate #1 @dana").text
    assert "dana-l may" in court.slack_says("U2ELI", "delegate #1 <@U1DANA|eli>").text
    assert court.hub_says("eli", "delegate @dana").text.startswith("dana may")
    assert "is no login of GitHub's" in court.hub_says("eli", "delegate @dаna").text  # noqa: RUF001
    assert "nobody knows gil's login" in court.slack_says("U2ELI", "delegate #1 @gil").text


def test_in_slack_one_is_who_one_is_on_github(court: Court) -> None:
    assert "Which pull request?" in court.slack_says("U1DANA", "merge").text
    assert court.slack_says("U1DANA", "merge #1").code == "ok"
    assert "I do not know gil's login" in court.slack_says("U4GIL", "cancel #1").text
    assert "I do not know who you are" in court.slack_says("U9", "cancel #1").text
    assert "number 1 of 1" in court.slack_says("U9", "status #1").text


def test_without_github_one_may_look_only(court: Court) -> None:
    court.hub_says("dana-l", "merge")
    blind = Gandalf(court.installation)
    actor = blind.people.actor("os", "dana")
    assert "#1 Change 1" in blind.answer("queue", actor).text
    reply = blind.answer("hold #1", actor)
    assert (reply.code, "`github:` is missing" in reply.text) == ("usage", True)


def test_hold_pause_and_emergency_from_the_queue_to_what_explain_says(court: Court) -> None:
    court.hub.open(2)
    court.hub.open(3)
    for number in (1, 2, 3):
        court.clock.advance(seconds=1)
        court.hub_says("dana-l", "merge", pull=number)
    assert "keeps its place" in court.hub_says("dana-l", "hold -- wait for legal").text
    assert "dana holds it: wait for legal" in court.hub_says("gil", "explain").text
    assert "Before it: #2." in court.hub_says("gil", "explain", pull=3).text
    assert (
        "goes alone, next: checkout is down"
        in court.hub_says("noa", "emergency checkout is down", pull=3, request="r1").text
    )
    said = court.hub_says("gil", "explain", pull=2).text
    assert "paused by noa: emergency #3: checkout is down" in said
    assert court.hub_says("noa", "emergency checkout is down", pull=3, request="r1").code == "ok"
    assert [each.pr for each in court.queue.choose().members] == [3]  # type: ignore[union-attr]
    found = court.hub_says("gil", "queue")
    assert found.data["paused"]["by"] == "noa"
    assert [(each["pull"], each["place"]) for each in found.data["queue"]] == [(3, 1), (1, 2), (2, 3)]
    assert "noa had paused it" in court.hub_says("noa", "resume").text
    assert court.hub_says("noa", "resume").text == "the queue is not paused."
    assert "goes on: number" in court.hub_says("dana-l", "unhold").text


def test_a_second_emergency_is_refused_and_leaves_nothing_in_the_queue(court: Court) -> None:
    for number in (2, 3):
        court.hub.open(number)
    court.hub_says("noa", "emergency checkout is down", pull=2)
    said = court.hub_says("noa", "emergency login is down", pull=3)
    assert (said.code, said.text.partition(";")[0]) == ("too_late", "#2 is an emergency already")
    assert [each.pr for each in court.queue.open()] == [2]
    assert [conf["pr"] for _, _, conf in court.runs] == [2]
    court.hub_says("noa", "reset", pull=2)
    assert "goes alone, next" in court.hub_says("noa", "emergency login is down", pull=3).text


def test_explain_says_what_the_gate_waits_for_while_a_night_has_its_turn(court: Court) -> None:
    court.hub_says("dana-l", "merge")
    assert "It is next; its run is on its way." in court.hub_says("gil", "explain").text
    nights, tonight = court.installation.nights, court.clock().date()
    nights.open(tonight, "night-1", plan=[])
    nights.claim(tonight, "merge-01", "night-1", {})
    nights.take(tonight, "merge-01", "night-1")
    said = court.hub_says("gil", "explain").text
    assert f"merge-01 is rebuilt by the night {tonight} (night-1)." in said
    assert "It is next" not in said


def test_try_never_takes_a_landing_away_and_retry_is_the_same_commit(court: Court) -> None:
    court.hub.said[1] = []
    assert "is to be tried" in court.hub_says("dana-l", "try").text
    assert court.queue.open()[0].mode == TRY
    court.hub_says("dana-l", "cancel")
    assert "is to be tried" in court.hub_says("dana-l", "retry").text
    court.hub.said[1] = [Review("eli", "APPROVED", SHA)]
    assert court.hub_says("dana-l", "merge").code == "ok"
    assert "in the queue to land" in court.hub_says("dana-l", "try").text
    assert "in the queue already" in court.hub_says("dana-l", "retry").text
    court.hub_says("dana-l", "cancel")
    court.hub.heads[1] = "c" * 40
    court.hub.change(1, head="c" * 40)
    assert "now, not at aaaa" in court.hub_says("dana-l", "retry").text
    assert [each.mode for each in court.queue.of_pull(1)] == ["land", "try", "try"]


def test_a_redelivered_merge_does_not_bring_back_what_was_cancelled(court: Court) -> None:
    court.hub_says("dana-l", "merge", request="r1")
    court.hub_says("dana-l", "cancel", request="r2")
    for request, said in (("r1", "merge"), ("r2", "cancel"), ("r1", "merge")):
        assert ": cancelled." in court.hub_says("dana-l", said, request=request).text
    assert court.queue.open() == []
    assert len(court.runs) == 1


def test_env_heal_is_for_an_environment_that_is_shut(court: Court) -> None:
    assert "nothing to heal" in court.hub_says("noa", "env heal").text
    environments = court.installation.environments
    environments.fault(environments.get("merge-01"), "quarantined", "after r1, nobody knows", actor="gandalf")
    court.hub_says("dana-l", "merge")
    assert (
        "merge-01 is FAULTED (quarantined: after r1, nobody knows)" in court.hub_says("gil", "explain").text
    )
    said = court.hub_says("noa", "env heal", request="r9").text
    assert "nothing enters the lane before it is read back. It was quarantined" in said
    # What could not prove itself is opened by whoever proves it, not by a word.
    assert environments.get("merge-01").state is State.FAULTED
    assert [dag for dag, _, _ in court.runs] == ["pr_e2e", "lane_care"]
    environments.unfault("merge-01", by="test", reason="proven")
    environments.fault(environments.get("merge-01"), "reported", "disk", actor="noa")
    said = court.hub_says("noa", "env heal", request="r10").text
    assert "nothing enters the lane before it is read back. It was reported: disk" in said
    # Whoever shut it: no word opens it.
    env = environments.get("merge-01")
    assert (env.state, env.fault_code) == (State.FAULTED, "quarantined")
    assert env.fault_message == "noa says that it is to be proven to run main; before: reported: disk"
    assert [dag for dag, _, _ in court.runs] == ["pr_e2e", "lane_care", "lane_care"]


def test_env_heal_is_said_to_be_done_though_airflow_does_not_answer(court: Court) -> None:
    environments = court.installation.environments
    environments.fault(environments.get("merge-01"), "reported", "disk", actor="noa")

    def away(*_: object) -> str:
        raise AirflowUnreachable("Airflow does not answer")

    court.gandalf.trigger = away
    said = court.hub_says("noa", "env heal", request="r9").text
    assert "is brought back to main within minutes" in said
    assert environments.get("merge-01").fault_code == "quarantined"


def test_explain_says_why_a_resource_was_deployed_or_left(court: Court) -> None:
    court.hub_says("dana-l", "merge")
    assert "nobody knows what it does to trips" in court.hub_says("gil", "explain trips").text
    court.queue.begin("r1", court.queue.choose(), actor="gandalf")  # type: ignore[arg-type]
    Findings(
        "r1", SHA, "passed", {"trips": ("src/trips.py changed",)}, {"trips": "k" * 64},
        {"fleet": ("f" * 64, "night-7")}, "trips", 4,
    ).keep(court.installation.store)  # fmt: skip
    assert "deployed as kkkkkkkkkkkk: src/trips.py changed" in court.hub_says("gil", "explain trips").text
    assert "skipped: nothing that it is made of changed; it runs ffffffffffff, last green in night-7" in (
        court.hub_says("gil", "explain fleet").text
    )
    assert "Deployed: trips. Skipped: 1" in court.hub_says("gil", "explain").text
    assert "in the lane, about to begin" in court.hub_says("gil", "status").text


def test_help_lists_every_verb_and_a_typo_gets_the_nearest(court: Court) -> None:
    reply = court.hub_says("gil", "")
    assert reply.data["verbs"][0]["usage"] == "merge #12 [commit] [p=low|normal|high] [solo]"
    assert court.hub_says("gil", "mrege").data["nearest"] == "merge"
    assert court.slack_says("U1DANA", "mrege").data["nearest"] == "merge #12"
    assert "`hold #12 [-- why]`" in court.hub_says("gil", "help hold").text
