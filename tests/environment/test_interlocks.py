"""Each interlock says no with its own code, and then nothing is called that changes anything."""

from __future__ import annotations

import pytest

from daybreak.environment.interlocks import Code, judge
from daybreak.errors import Refused
from tests.fixtures.cloud import Cloud

pytestmark = pytest.mark.aws
STRANGER = "999988887777"


def refused(cloud: Cloud, code: Code, target: object, **interlocks: object) -> str:
    with pytest.raises(Refused) as caught:
        cloud.interlocks(**interlocks).check(target, destroys=True)  # type: ignore[arg-type]
    assert caught.value.code == code
    assert cloud.mutations == []
    return str(caught.value)


def test_all_hold(cloud: Cloud) -> None:
    cloud.interlocks(recorded=cloud.account).check(cloud.target(), destroys=True)
    assert [call.operation for call in cloud.calls] == ["GetCallerIdentity"]


def test_credentials_of_another_account_are_refused(cloud: Cloud) -> None:
    message = refused(cloud, Code.WRONG_ACCOUNT, cloud.target(credentials=STRANGER))
    assert cloud.account in message
    assert STRANGER in message


def test_an_account_that_is_not_on_the_allow_list_is_refused(cloud: Cloud) -> None:
    assert "allow-list" in refused(cloud, Code.WRONG_ACCOUNT, cloud.target(), allowed=[STRANGER])


def test_settings_that_disagree_with_the_registry_are_refused(cloud: Cloud) -> None:
    assert STRANGER in refused(cloud, Code.WRONG_ACCOUNT, cloud.target(), recorded=STRANGER)


def test_an_account_that_nobody_armed_is_refused(cloud: Cloud) -> None:
    cloud.switches.armed = False
    assert "daybreak arm" in refused(cloud, Code.NOT_ARMED, cloud.target())


def test_an_unarmed_account_may_still_be_built_in(cloud: Cloud) -> None:
    cloud.switches.armed = False
    cloud.interlocks().check(cloud.target(), destroys=False)


def test_the_kill_switch_comes_before_everything(cloud: Cloud) -> None:
    cloud.switches.frozen = True
    assert "thaw" in refused(cloud, Code.FROZEN, cloud.target(credentials=STRANGER))
    assert cloud.calls == []


OURS = {"daybreak:env": "dev-1", "daybreak:nonce": "n1"}


@pytest.mark.parametrize(
    ("tags", "code"),
    [
        (OURS, None),
        ({**OURS, "daybreak:nonce": "n0"}, None),  # a rotation is unfinished: both are accepted
        ({**OURS, "owner": "data"}, None),
        (None, Code.TAGS_UNREADABLE),
        ({}, Code.UNTAGGED),
        ({"Name": "dev-1"}, Code.UNTAGGED),
        ({"daybreak:env": "dev-1"}, Code.UNTAGGED),
        ({"daybreak:nonce": "n1"}, Code.UNTAGGED),
        ({**OURS, "daybreak:env": "dev-10"}, Code.OTHER_ENVIRONMENT),
        ({**OURS, "daybreak:env": "dev"}, Code.OTHER_ENVIRONMENT),
        ({**OURS, "daybreak:env": "DEV-1"}, Code.OTHER_ENVIRONMENT),
        ({**OURS, "daybreak:nonce": "n"}, Code.OTHER_NONCE),
        ({**OURS, "daybreak:nonce": "n10"}, Code.OTHER_NONCE),
        ({**OURS, "daybreak:protect": "true"}, Code.PROTECTED),
        ({**OURS, "daybreak:protect": ""}, Code.PROTECTED),
        ({**OURS, "daybreak:protect": "false"}, Code.PROTECTED),  # on doubt nothing is deleted
    ],
)
def test_tags_select_positively_or_not_at_all(tags: dict[str, str] | None, code: Code | None) -> None:
    verdict = judge(tags, "dev-1", {"n1", "n0"})
    assert (verdict.code if verdict else None) == code
