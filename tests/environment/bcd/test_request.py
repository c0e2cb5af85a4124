"""What an engineer may ask for, and what is wrong with what they may not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daybreak.catalog.resource import Action
from daybreak.environment.bcd.request import ACTIONS, Request
from daybreak.errors import UsageError
from daybreak.settings import Settings

words = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=12)
requests = st.builds(
    Request,
    environment=words,
    ref=st.none() | words,
    force=st.booleans(),
    e2e=st.booleans(),
    actions=st.sets(st.sampled_from(ACTIONS), min_size=1).map(
        lambda chosen: tuple(action for action in ACTIONS if action in chosen)
    ),
    reason=st.just("") | words,
    by=st.none() | words,
).flatmap(
    lambda request: st.one_of(
        st.just(request),
        st.lists(words, min_size=1, unique=True).map(
            lambda names: Request.of({**request.to_conf(), "resources": names})
        ),
        st.booleans().map(
            lambda remove: Request.of({**request.to_conf(), "everything": True, "remove": remove})
        ),
    )
)


@given(requests)
def test_a_conf_and_back_is_the_same_request(request: Request) -> None:
    assert Request.of(request.to_conf()) == request


def test_the_form_as_it_stands_asks_for_what_differs() -> None:
    form = {
        "environment": "dev-01", "ref": None, "resources": None, "reason": "", "everything": False,
        "force": False, "remove": False, "e2e": False, "actions": ["build", "test", "create", "deploy"],
    }  # fmt: skip
    assert Request.of(form) == Request("dev-01")
    assert Request("dev-01").to_conf() == {"environment": "dev-01"}


@pytest.mark.parametrize(
    ("conf", "said"),
    [
        ({}, "conf: environment: expected the name"),
        ({"enviroment": "dev-01"}, "conf: no such field: enviroment; there are: environment, ref,"),
        ({"environment": ["dev-01"]}, "conf: environment: expected a text"),
        ({"environment": "dev-01", "ref": "a\nb"}, "conf: ref: expected one line"),
        ({"environment": "dev-01", "resources": "trips"}, "conf: resources: expected a list of names"),
        ({"environment": "dev-01", "force": "yes"}, "conf: force: expected true or false, found 'yes'"),
        ({"environment": "dev-01", "actions": ["seed"]}, "conf: actions: no such action: seed; there are"),
        ({"environment": "dev-01", "actions": []}, "conf: actions: expected at least one"),
        ({"environment": "dev-01", "resources": ["a"], "everything": True}, "not both"),
        ({"environment": "dev-01", "resources": ["a"], "remove": True}, "conf: remove: only a run over"),
    ],
)
def test_a_wrong_conf_is_named_by_its_field(conf: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Request.of(conf)


def test_the_merge_environment_is_the_queues_and_a_typo_gets_a_hint() -> None:
    account = "1" * 12
    settings = Settings.model_validate(
        {
            "aws": {"accounts": {account: {}}},
            "environments": [
                {"name": "dev-01", "account": account},
                {"name": "merge-01", "account": account, "role": "merge"},
            ],
        }
    )
    Request("dev-01").check(settings)
    with pytest.raises(UsageError, match="only the merge queue deploys there; there are: dev-01"):
        Request("merge-01").check(settings)
    with pytest.raises(UsageError, match="did you mean dev-01"):
        Request("dev01").check(settings)


def test_only_what_creates_or_deploys_needs_the_environment() -> None:
    assert not Request("dev-01", actions=(Action.BUILD, Action.TEST)).changes
    assert Request("dev-01", actions=(Action.CREATE,)).changes
    assert not Request("dev-01", actions=(Action.DEPLOY,)).whole
