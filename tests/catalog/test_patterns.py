"""Patterns and owners against git itself, and against an oracle that is slow and obvious."""

from __future__ import annotations

import os
import random
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daybreak.catalog.graph import CatalogResource
from daybreak.catalog.owners import Owners
from daybreak.catalog.patterns import literal, matching, parse, subject
from daybreak.catalog.resource import ResourceType as rt

# The oracle: character for character, folder for folder; nothing compiled, nothing looked up.


@cache
def same(pattern: str, name: str) -> bool:
    """`*` and `?` within one name."""
    if not pattern:
        return not name
    if pattern[0] == "*":
        return any(same(pattern[1:], name[skip:]) for skip in range(len(name) + 1))
    return bool(name) and pattern[0] in ("?", name[0]) and same(pattern[1:], name[1:])


@cache
def along(pattern: tuple[str, ...], path: tuple[str, ...]) -> bool:
    """Names of a pattern against names of a path; `**` is any number of folders, at the end not none."""
    if not pattern:
        return not path
    if pattern[0] == "**":
        rests = range(1 if len(pattern) == 1 else 0, len(path) + 1)
        return any(along(pattern[1:], path[skip:]) for skip in rests)
    return bool(path) and same(pattern[0], path[0]) and along(pattern[1:], path[1:])


def obvious(patterns: list[str], path: str) -> bool:
    selected = False
    names = tuple(path.split("/"))
    for text in patterns:
        body = text.removeprefix("!")
        parts = tuple(body.strip("/").split("/"))
        if "/" not in body.removesuffix("/"):
            parts = ("**", *parts)
        above = range(1, len(names) + (0 if body.endswith("/") else 1))
        if any(along(parts, names[:depth]) for depth in above):
            selected = not text.startswith("!")
    return selected


NAMES = ["a", "b", "ab", "a-b", ".a", "A", "é", "a b", "x.py"]
PARTS = [*NAMES, "*", "?", "a*", "*b", "**", "*.py", "?b", ".*"]


def some_path(dice: random.Random) -> str:
    return "/".join(dice.choices(NAMES, k=dice.randint(1, 5)))


def some_pattern(dice: random.Random) -> str:
    parts = dice.choices(PARTS if dice.random() < 0.5 else NAMES, k=dice.randint(1, 3))
    return dice.choice(["", "", "", "/"]) + "/".join(parts) + dice.choice(["", "", "/"])


def some_resources(dice: random.Random) -> list[CatalogResource]:
    found = []
    for number in range(dice.randint(1, 8)):
        patterns = [some_pattern(dice)] + [
            dice.choice(["", "", "!"]) + some_pattern(dice) for _ in range(dice.randint(0, 3))
        ]
        found.append(CatalogResource(f"r{number}", rt.PACKAGE, paths=tuple(patterns)))
    return found


MILLION = pytest.param(1_000_000, marks=[pytest.mark.deep, pytest.mark.timeout(3600)])


@pytest.mark.parametrize("paths", [20_000, MILLION])
def test_owners_say_what_the_obvious_oracle_says_for_very_many_paths(paths):
    # `?` is one byte for git and here: the oracle sees each byte as a character of its own.
    dice = random.Random(paths)
    for _ in range(paths // 100):
        resources = some_resources(dice)
        owners = Owners(resources)
        seen = {
            each.name: [pattern.encode().decode("latin-1") for pattern in each.paths] for each in resources
        }
        for path in {some_path(dice) for _ in range(100)}:
            bytewise = path.encode().decode("latin-1")
            expected = {name for name, patterns in seen.items() if obvious(patterns, bytewise)}
            assert owners.of(path) == expected, (path, [each.paths for each in resources])


@pytest.fixture(scope="module")
def repository(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("git")
    subprocess.run(("git", "init", "-q", path), check=True)
    return path


def git_ignores(repository: Path, pattern: str, paths: list[str]) -> set[str]:
    """What git says to one pattern; its rule that nothing below an ignored folder comes back is not ours."""
    (repository / ".git/info/exclude").write_bytes(os.fsencode(pattern) + b"\n")
    done = subprocess.run(
        ("git", "-c", "core.excludesFile=/dev/null", "check-ignore", "--no-index", "-z", "--stdin"),
        cwd=repository, input=b"\0".join(map(os.fsencode, paths)), capture_output=True, check=False,
    )  # fmt: skip
    return {os.fsdecode(path) for path in done.stdout.split(b"\0")[:-1]}


# No folder of the tree is made, so that to git every path is a file; nor is a name `.git`.
GIT_PATHS = st.lists(
    st.sampled_from([*NAMES, "a]", "[a", "a\\", "!a", "#a", "a*", "\udcff", "a\nb", "ü", "z9", "_"]),
    min_size=1,
    max_size=4,
).map("/".join)
GIT_PIECES = [
    *NAMES, *"*?[]!^-\\/ #", "**/", "/**", "/**/", "[a-c]", "[!a]", "[^a-b]", "[]a]", "[[:alpha:]]",
    "[[:digit:]_]", "[[:punct:]]", "[a", "[[:nope:]]", "\\*", "\\!", "\\ ", "\udcff", "[b-]", "[\\]a]",
    "[[:]",
]  # fmt: skip


def is_for_git_alone(pattern: str) -> bool:
    # `x**` beside a name: gitignore(5) says "regular asterisks", but wildmatch.c differs where they follow
    # text that git has compared already. A line break ends a line; `.` and `./` mean all to us.
    return bool(re.search(r"[^/]\*\*", pattern.lstrip("!"))) or pattern.strip("!/ ") in (".", "")


@settings(max_examples=25, deadline=None)
@given(
    patterns=st.lists(
        st.lists(st.sampled_from(GIT_PIECES), min_size=1, max_size=5).map("".join), min_size=4, max_size=4
    ),
    paths=st.lists(GIT_PATHS, min_size=20, max_size=60, unique=True),
)
def test_one_pattern_means_what_git_check_ignore_says(repository, patterns, paths):
    for pattern in patterns:
        if not is_for_git_alone(pattern):
            mine = parse(pattern)
            found = {path for path in paths if mine.matches(subject(path))}
            expected = git_ignores(repository, pattern.removeprefix("!"), paths)
            assert found == expected, pattern


@given(path=GIT_PATHS)
def test_a_literal_pattern_means_its_path_and_nothing_else(path):
    others = [path + "x", "x/" + path, path[:-1], path.upper(), path.replace("*", "b")]
    assert matching([literal(path)], [path, f"{path}/x"]) == [path, f"{path}/x"]
    assert matching([literal(path)], {other for other in others if other and other != path}) == []


def test_a_dot_is_the_whole_repository_and_exclusions_count_within_their_list():
    assert matching([".", "!docs", "docs/api"], ["a", "docs/x", "docs/api/y", "b/.env"]) == [
        "a", "docs/api/y", "b/.env",
    ]  # fmt: skip


def test_a_submodule_belongs_to_whoever_names_it_as_a_folder_or_something_in_it():
    owners = Owners([
        CatalogResource("a", rt.PACKAGE, paths=("vendor/lib/",)),
        CatalogResource("b", rt.PACKAGE, paths=("vendor/lib/src/x.py",)),
        CatalogResource("c", rt.PACKAGE, paths=("vendor/library",)),
    ])  # fmt: skip
    assert owners.of("vendor/lib", folder=True) == {"a", "b"}
    assert owners.of("vendor/lib") == set()


def test_the_owner_is_the_deepest_root_above_a_file_and_others_use_it():
    owners = Owners([
        CatalogResource("all", rt.COMMAND, paths=(".",)),
        CatalogResource("pay", rt.SERVICE, paths=("svc/pay",), root="svc/pay"),
        CatalogResource("pay_api", rt.SERVICE, paths=("svc/pay-api", "svc/pay/x"), root="svc/pay-api"),
    ])  # fmt: skip
    assert owners.owner("svc/pay/x") == "pay"
    assert owners.of("svc/pay/x") == {"all", "pay", "pay_api"}
    assert owners.owner("svc/pay-api/y") == "pay_api"
    assert owners.owner("README.md") == "all"
    assert owners.pattern("pay_api", "svc/pay/x") == "svc/pay/x"
