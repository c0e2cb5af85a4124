import json

import obstore
import pytest
from obstore.store import MemoryStore
from publish import CURRENT, create, deploy, destroy, observe


@pytest.fixture
def store():
    return MemoryStore()


def paths(store):
    return sorted(item["path"] for page in obstore.list(store) for item in page)


def test_before_the_first_deploy_there_are_no_rules_and_no_error(store):
    assert observe(store) is None
    create(store)
    assert json.loads(bytes(obstore.get(store, CURRENT).bytes())) == {"key": None}
    assert observe(store) is None


def test_what_was_published_is_observed_and_create_leaves_it(store):
    for key in ("one", "two"):
        deploy(store, b"{}", key, "dev-01", "c")
        create(store)
        assert observe(store) == key


def test_rules_that_somebody_changed_or_deleted_are_not_observed(store):
    deploy(store, b"{}", "one", "dev-01", "c")
    obstore.put(store, "rules/one.json", b"[]")
    assert observe(store) is None
    obstore.delete(store, "rules/one.json")
    assert observe(store) is None


def test_destroy_leaves_nothing_and_may_be_repeated(store):
    deploy(store, b"{}", "one", "dev-01", "c")
    for _ in range(2):
        destroy(store)
        assert paths(store) == []
