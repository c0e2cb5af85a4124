"""From a path to the resources that it belongs to."""

import pytest

from daybreak.catalog.graph import CatalogResource
from daybreak.catalog.owners import Owners
from daybreak.catalog.resource import ResourceType as rt

OWNERS = Owners([
    CatalogResource("pay", rt.SERVICE, paths=("svc/pay", "!svc/pay/docs", "svc/pay/docs/api.md"),
                    root="svc/pay", test_paths=("tests",)),
    CatalogResource("pay_api", rt.SERVICE, paths=("svc/pay-api/",), root="svc/pay-api"),
    CatalogResource("plugin", rt.PACKAGE, paths=("/svc/pay/plugin",), root="svc/pay/plugin"),
    CatalogResource("schemas", rt.COMMAND, paths=("*.proto",)),
    CatalogResource("infra", rt.INFRA, paths=("infra/base.yaml",), root="infra"),
])  # fmt: skip


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("svc/pay/app.py", {"pay"}),
        ("svc/pay/.env.example", {"pay"}),
        ("svc/pay-api/app.py", {"pay_api"}),
        ("svc/pay/plugin/x.py", {"pay", "plugin"}),
        ("svc/pay/docs/readme.md", set()),
        ("svc/pay/docs/api.md", {"pay"}),
        ("svc/pay/a.proto", {"pay", "schemas"}),
        ("a.proto", {"schemas"}),
        ("a.PROTO", set()),
        ("SVC/pay/app.py", set()),
        ("other/svc/pay/app.py", set()),
        ("infra/base.yaml", {"infra"}),
        ("infra/base.yaml.bak", set()),
        ("README.md", set()),
    ],
)
def test_a_path_belongs_to_whom_its_patterns_say(path, names):
    assert OWNERS.of(path) == names


def test_tests_are_what_lies_in_a_test_folder_of_that_resource():
    assert OWNERS.is_test("pay", "svc/pay/tests/test_a.py")
    assert not OWNERS.is_test("pay", "svc/pay/tests_of_old.py")
    assert not OWNERS.is_test("plugin", "svc/pay/tests/test_a.py")


def test_a_plain_folder_and_a_matched_one_own_the_same_files():
    paths = ["svc/pay", "svc/pay/a", "svc/pay/b/c.py", "svc/payment", "svc", "x/svc/pay/a"]
    plain = Owners([CatalogResource("a", rt.PACKAGE, paths=("svc/pay",))])
    matched = Owners([CatalogResource("a", rt.PACKAGE, paths=("svc/pay", "!nothing"))])
    assert [plain.of(path) for path in paths] == [matched.of(path) for path in paths]
