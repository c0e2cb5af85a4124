"""A symbolic link in a resource's tree makes its target part of the resource."""

import os
from pathlib import Path

import pytest

from daybreak.catalog.links import resolve
from daybreak.catalog.loader import load
from tests.monorepo import HEADER, Monorepo

LINKS = {
    "a/shared": "../lib", "a/x": "shared/deep/x.py", "lib/deep": "../real", "out": "../../etc", "etc": "/etc",
    "loop": "loop", "all": ".", "a/quirk": "./../lib//x*[1].py",
}  # fmt: skip


@pytest.mark.parametrize(
    ("link", "found"),
    [
        ("a/shared", ["lib"]),
        ("a/x", ["a/shared", "lib/deep", "real/x.py"]),
        ("lib/deep", ["real"]),
        ("out", []),
        ("etc", []),
        ("all", ["."]),
        ("a/quirk", ["lib/x*[1].py"]),
    ],
)
def test_a_link_leads_through_other_links_and_never_out(link, found):
    assert resolve(link, LINKS) == found


def test_links_in_a_circle_end():
    assert set(resolve("loop", LINKS)) == {"loop"}


def test_targets_of_links_are_paths_of_the_resource_also_of_links_behind_them(tmp_path: Path):
    monorepo = Monorepo(tmp_path / "repo")
    monorepo.write({"a/x": "", "b/x": "", "lib/y [1].py": "", "real/z": "", "a/own/x": ""})
    for link, target in {"a/shared": "../lib", "lib/deep": "../real", "a/own/me": "../x"}.items():
        os.symlink(target, monorepo.path / link)
    os.symlink("../lib/y [1].py", monorepo.path / "b/y")
    text = HEADER + (
        'A = Resource(name="a", type=rt.PACKAGE, dependent_paths=["./a"[2:], "a/"])\n'
        'B = Resource(name="b", type=rt.PACKAGE, dependent_paths=["b/"])\n'
    )
    catalog = load(monorepo.repo, monorepo.commit({"resources.py": text}))
    assert catalog["a"].paths == ("a", "a/", "/lib", "/real")
    assert catalog["b"].paths == ("b/", "/lib/y\\ \\[1\\].py")
