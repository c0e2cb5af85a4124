"""How often GitHub is asked: it answers 5,000 requests an hour; the caretaker looks every three minutes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import Engine

from daybreak.merge.queue import Ask
from daybreak.merge.rows import LAND, TRY
from daybreak.merge.rules import EntryState as E
from daybreak.talk.gandalf.gates import Gates, NotReady
from daybreak.talk.gandalf.reconcile import reconcile
from tests.fixtures.github import Hub
from tests.talk.test_gandalf_on_github import House


class Asking:
    """A house whose requests to GitHub are counted."""

    def __init__(self, house: House) -> None:
        self.house, self.hub = house, house.hub
        self.gates = self.fresh()
        self._seen = 0
        self.asked()

    def fresh(self, **policy: object) -> Gates:
        settings = self.house.installation.settings
        merge = settings.merge.model_copy(update=policy)
        return Gates.of(settings.model_copy(update={"merge": merge}), self.hub.client())

    def asked(self) -> list[str]:
        """The paths since this was asked for last."""
        journal = self.hub.site.state()["journal"]
        new, self._seen = journal[self._seen :], len(journal)
        return [each["path"] for each in new]

    def role(self, login: str, role: str) -> None:
        self.hub.site.hosting.repo(self.hub.name).roles[login] = role

    def queued(self, branch: str, *reviewers: str, mode: str = LAND) -> int:
        """The number of a pull request that they approved, and that waits."""
        number = self.hub.pull(branch)
        for each in reviewers:
            self.hub.site.review(each, self.hub.name, number)
        head = str(self.hub.ref(f"refs/pull/{number}/head"))
        self.house.queue.add(Ask(number, head, branch, "dana", mode), by="dana")
        self.asked()
        return number


@pytest.fixture
def asking(hub: Hub, sqlite_registry: Engine, tmp_path: Path) -> Asking:
    made = Asking(House(hub, sqlite_registry, tmp_path / "home"))
    for name in ("eli", "gil", "ira"):
        made.role(name, "write")
        hub.site.hosting.user(name)
    return made


def may(login: str) -> str:
    return f"collaborators/{login}/permission"


def test_a_check_reads_the_pull_request_once_and_asks_of_nobody_whose_word_does_not_matter(
    asking: Asking,
) -> None:
    hub, gates = asking.hub, asking.gates
    number = asking.queued("one", "eli", "gil", "ira")
    mine = [f"pulls/{number}", f"pulls/{number}/reviews"]
    gates.check(number)
    assert asking.asked() == [*mine, may("eli")]
    asking.fresh(required_reviews=2).check(number)
    assert asking.asked() == [*mine, may("eli"), may("gil")]
    asking.fresh(required_reviews=0).check(number)
    assert asking.asked() == mine
    gates.check(number, lands=False)
    assert asking.asked() == mine[:1]
    # Whoever may not write is passed over; who wants changes is asked of first, until one may.
    asking.role("eli", "read")
    gates.check(number)
    assert asking.asked() == [*mine, may("eli"), may("gil")]
    for login in ("gil", "ira"):
        hub.site.review(login, hub.name, number, "REQUEST_CHANGES")
    asking.asked()
    with pytest.raises(NotReady, match="gil requested changes"):
        gates.check(number)
    assert asking.asked() == [*mine, may("gil")]
    # What can be seen without its reviews is not asked for them.
    hub.site.draft(hub.name, number)
    with pytest.raises(NotReady, match="draft"):
        gates.check(number)
    assert asking.asked() == mine[:1]


def test_a_hundred_reviews_are_one_request(asking: Asking) -> None:
    number = asking.queued("chatty", "eli")
    for _ in range(60):
        asking.hub.site.review("gil", asking.hub.name, number, "COMMENT")
    asking.asked()
    asking.gates.check(number)
    assert asking.asked() == [f"pulls/{number}", f"pulls/{number}/reviews", may("eli")]


def test_a_round_asks_twice_for_each_that_waits_once_for_a_try_and_once_for_each_person(
    asking: Asking,
) -> None:
    land = [asking.queued(f"land-{at}", "eli" if at % 2 else "gil") for at in range(8)]
    tried = asking.queued("tried", "ira", mode=TRY)
    for _ in range(2):  # each round anew
        assert reconcile(asking.house.queue, asking.gates) == []
        wanted = [f"pulls/{number}{more}" for number in land for more in ("", "/reviews")]
        assert Counter(asking.asked()) == Counter([*wanted, f"pulls/{tried}", may("eli"), may("gil")])
    # The caretaker's whole run: what is told of them is sent in the first one.
    asking.house.care()
    asking.house.clock.advance(minutes=3)
    asking.asked()
    assert asking.house.care() == []
    asked = asking.asked()
    assert len(asked) == 2 * len(land) + 1 + 2 + 2, Counter(asked)
    assert {"issues/comments", "/user"} <= {*asked}


def test_who_may_not_write_any_more_is_seen_before_a_landing_and_in_the_next_round(asking: Asking) -> None:
    first, second = asking.queued("first", "eli"), asking.queued("second", "eli")
    queue, gates = asking.house.queue, asking.gates
    assert reconcile(queue, gates) == []
    asking.role("eli", "read")
    before_landing = queue.of(first)
    assert before_landing is not None
    assert "has 0 of 1 approvals" in str(gates.approved(before_landing))
    ended = reconcile(queue, gates)
    assert [(each.pr, each.state) for each in ended] == [(first, E.STALE), (second, E.STALE)]


def test_what_is_queued_while_a_round_goes_on_is_left_to_the_next_one(asking: Asking) -> None:
    """The round may have asked what somebody may do before they got it, and approved."""
    first, second = asking.queued("first", "eli"), asking.queued("second", "gil")
    queue, told = asking.house.queue, []

    def head(number: int) -> str | None:
        if not told:
            told.append(queue.end(second, E.CANCELLED, by="dana", code="cancelled", message="by dana"))
            asking.queued("third", "gil")
            again = Ask(second, str(asking.hub.ref(f"refs/pull/{second}/head")), "second", "dana", LAND)
            queue.add(again, by="dana")
        return asking.hub.ref(f"refs/pull/{number}/head")

    gates = Gates(asking.hub.client(), asking.gates.policy, "main", head)
    assert reconcile(queue, gates) == []
    assert asking.asked() == [f"pulls/{first}/reviews", may("eli")]
