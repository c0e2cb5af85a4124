"""CloudFormation is asked for each operation once, whatever becomes of the answer or of who asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from daybreak.aws.tokens import Tokens
from daybreak.environment.interlocks import Code
from daybreak.environment.stacks.stack import Change
from daybreak.errors import Refused
from tests.fixtures.cloud import Cloud, queue, table, template

pytestmark = pytest.mark.aws


def asked(cloud: Cloud) -> list[str]:
    """The tokens of the operations that reached CloudFormation, in order."""
    calls = cloud.emulator.journal(account=cloud.account)
    return [call["params"]["ClientRequestToken"] for call in calls if call["mutating"]]


def test_an_operation_whose_answer_is_lost_is_asked_for_again_and_done_once(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daybreak.aws.retry.random.uniform", lambda _low, _high: 0.0)
    for action in ("CreateStack", "UpdateStack", "DeleteStack"):
        cloud.emulator.inject("error5xx_after", "cloudformation", action, account=cloud.account, times=1)
    stacks = cloud.stacks(cloud.target())
    assert stacks.ensure("ephemeral", template({"Q": queue("dev-1-q")})) == Change.CREATED
    (stack,) = cloud.client("cloudformation").describe_stacks()["Stacks"]
    assert stacks.ensure("ephemeral", template({"P": queue("dev-1-p")})) == Change.UPDATED
    assert stacks.delete("ephemeral").existed

    events = cloud.client("cloudformation").describe_stack_events(StackName=stack["StackId"])["StackEvents"]
    begun = [each["ResourceStatus"] for each in events if each["LogicalResourceId"] == "dev-1-ephemeral"]
    for status_ in ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS"):
        assert begun.count(status_) == 1
    create, again, update, once_more, delete, at_last = asked(cloud)
    assert (create, update, delete) == (again, once_more, at_last)
    assert len({create, update, delete}) == 3


@pytest.mark.parametrize("arrived", [True, False])
def test_a_try_after_a_kill_asks_for_the_same_operation(cloud: Cloud, arrived: bool) -> None:
    """The token is kept before AWS is asked, and forgotten once the operation is over."""
    kept: dict[str, Any] = {}

    def keep(tokens: Any) -> None:
        kept.clear()
        kept.update(tokens)

    class Killed(BaseException):
        """Nothing catches it."""

    body = template({"Q": queue("dev-1-q")})
    stacks = cloud.stacks(replace(cloud.target(), tokens=Tokens(keep=keep)))
    if arrived:
        cloud.emulator.inject(
            "stack_duration", "cloudformation", account=cloud.account, stack="dev-1-base", seconds=0.2
        )
        object.__setattr__(stacks.formation, "sleep", raising(Killed))
    else:
        cloud.switches.lost = Killed()
    with pytest.raises(Killed):
        stacks.ensure("base", body)
    token = kept["dev-1-base"]["token"]
    assert asked(cloud) == [token] * arrived

    cloud.switches.lost = None
    second = cloud.stacks(replace(cloud.target(), tokens=Tokens(dict(kept), keep)))
    assert second.ensure("base", body) == (Change.UNCHANGED if arrived else Change.CREATED)
    assert asked(cloud)[0] == token
    assert kept == {}


def raising(error: type[BaseException]) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise error

    return fail


def test_what_keeps_a_stack_is_said_without_a_change(cloud: Cloud) -> None:
    protected = table("dev-1-cars", Tags=[{"Key": "daybreak:protect", "Value": ""}])
    stacks = cloud.make({"Cars": protected}, kind="ephemeral")
    with pytest.raises(Refused) as refused:
        stacks.check_deletable("ephemeral")
    assert refused.value.code == Code.PROTECTED
    cloud.switches.armed = False
    with pytest.raises(Refused) as refused:
        stacks.check_deletable("base")
    assert refused.value.code == Code.NOT_ARMED
    assert cloud.mutations == []
