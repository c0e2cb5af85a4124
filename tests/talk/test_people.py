"""Who is who, and how one proves it."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from daybreak.errors import UsageError
from daybreak.settings import Settings
from daybreak.talk.people import People, Person
from tests.fixtures.registry import ManualClock

DANA = {"name": "dana", "email": "dana@acme.example", "slack": "U1DANA", "github": "Dana-H", "admin": True}
ELI = {"name": "eli", "email": "Eli@acme.example", "os": "elib"}


@pytest.fixture
def people(sqlite_registry: Engine, clock: ManualClock) -> People:
    return People(Settings.model_validate({"people": [DANA, ELI]}), sqlite_registry, clock)


def test_a_person_is_found_by_each_id(people: People) -> None:
    dana = Person("dana", "dana@acme.example", admin=True)
    assert people.by_slack("U1DANA") == people.by_github("dana-h") == people.by_airflow("dana") == dana
    assert people.by_os_user("elib") == people.by_email("eli@ACME.example") == people.by_name("eli")
    assert people.by_os_user("eli") is None
    assert people.by_slack("dana") is None, "a display name is no id"
    assert people.identity(dana, "github") == "dana-h"


def test_an_address_that_slack_vouches_for_links(people: People) -> None:
    assert people.by_slack("U2ELI") is None
    assert people.link_by_email("slack", "U2ELI", "stranger@else.example") is None
    eli = people.link_by_email("slack", "U2ELI", "eli@acme.example")
    assert eli is not None
    assert people.by_slack("U2ELI") == eli
    assert people.identity(eli, "slack") == "U2ELI"


def test_a_code_links_once_and_for_ten_minutes(people: People, clock: ManualClock) -> None:
    eli = people.by_name("eli")
    assert eli is not None
    code = people.code_for(eli)
    assert people.link_by_code("slack", "U2ELI", f" {code.upper()} ") == eli
    with pytest.raises(UsageError, match="not good"):
        people.link_by_code("slack", "U3EVE", code)
    late = people.code_for(eli)
    clock.advance(minutes=10)
    with pytest.raises(UsageError, match="not good"):
        people.link_by_code("slack", "U3EVE", late)
    older, newer = people.code_for(eli), people.code_for(eli)
    with pytest.raises(UsageError, match="not good"):
        people.link_by_code("slack", "U3EVE", older)
    assert people.link_by_code("github", "eli-b", newer) == eli


def test_nobody_links_an_id_that_the_settings_give_to_somebody_else(people: People) -> None:
    eli = people.by_name("eli")
    assert eli is not None
    with pytest.raises(UsageError, match=r"slack U1DANA is dana in daybreak\.yaml"):
        people.link("slack", "U1DANA", eli, "email")


@pytest.mark.parametrize(
    ("twin", "says"),
    [
        ({"name": "dana"}, r"people\.2\.name: 'dana' is dana's already"),
        ({"name": "noa", "slack": "U1DANA"}, r"people\.2\.slack: 'U1DANA' is dana's already"),
        ({"name": "noa", "github": "DANA-H"}, r"people\.2\.github: 'dana-h' is dana's already"),
        ({"name": "elib"}, r"people\.2\.os: 'elib' is eli's already"),
    ],
)
def test_one_id_is_one_person(twin: dict[str, str], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Settings.model_validate({"people": [DANA, ELI, twin]})
