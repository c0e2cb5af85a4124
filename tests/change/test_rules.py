"""`daybreak.toml` of a monorepo: files that count for many, and files that count for nobody."""

from __future__ import annotations

import pytest

from daybreak.catalog import rules
from daybreak.catalog.loader import load
from daybreak.catalog.rules import Rules
from daybreak.change.affected import affected
from daybreak.change.key import content_keys
from daybreak.errors import CatalogError
from tests.change.world import repository
from tests.monorepo import HEADER

CATALOG = HEADER + (
    'A = Resource(name="a", type=rt.PACKAGE, dependent_paths=["a"])\n'
    'BASE = Resource(name="base", type=rt.INFRA, dependent_paths=["infra/base"])\n'
)
RULES = """
[monorepo]
global_paths = [".tool-versions", { path = "infra/shared", types = ["infra"] }]
ignore = ["*.md", "*.txt", "a/docs", "!a/docs/api.md"]
"""
FILES = {
    "resources.py": CATALOG, "daybreak.toml": RULES, ".tool-versions": "1", "infra/shared/x.yaml": "1",
    "infra/base/t.yaml": "1", "a/x.py": "1", "a/README.md": "1", "a/NOTES.md": "1", "a/docs/x.py": "1",
    "a/docs/api.md": "1", "a/requirements.txt": "", "a/named.txt": "", "docs/x.md": "1",
    "a/pyproject.toml": '[project]\nname = "a"\nreadme = "README.md"\n',
    "a/Dockerfile": "FROM x\nCOPY conf /conf\n",
    "a/conf/x.md": "1", "a/setup.cfg": "[metadata]\nlicense_files = named.txt\n",
}  # fmt: skip


def between(edit: dict[str, str], files: dict[str, str] = FILES):
    trees = [
        {path: ("100644", text.encode()) for path, text in tree.items()}
        for tree in (files, {**files, **edit})
    ]
    with repository(trees) as (repo, (base, head)):
        before, after = load(repo, base), load(repo, head)
        old, new = content_keys(repo, before), content_keys(repo, after)
        found = affected(repo, base, after)
        return found, {name for name in new if old[name] != new[name]}


@pytest.mark.parametrize(
    ("path", "names"),
    [
        (".tool-versions", {"a", "base"}),
        ("infra/shared/x.yaml", {"base"}),
        ("infra/shared/new/y.yaml", {"base"}),
        ("a/NOTES.md", set()),
        ("a/docs/x.py", set()),
        ("docs/x.md", set()),
        ("a/docs/api.md", {"a"}),
        # What a manifest names is an input, and so is the manifest.
        ("a/README.md", {"a"}),
        ("a/conf/x.md", {"a"}),
        ("a/named.txt", {"a"}),
        ("a/requirements.txt", {"a"}),
    ],
)
def test_a_changed_file_counts_for_whom_the_rules_say(path, names):
    found, differ = between({path: "edited"})
    assert set(found.because) == names
    assert found.unowned == ()
    # Ignoring is for seeding alone: a key still has what the build would see.
    assert differ >= names


#: Images and projects that take ignored files from elsewhere, or have their Dockerfile elsewhere.
ELSEWHERE = {
    "resources.py": HEADER, "daybreak.toml": '[monorepo]\nignore = ["docs", "notes", "*.md"]\n',
    "svc/pyproject.toml": '[project]\nname = "svc"\nreadme = "../NOTES.md"\n',
    "svc/Dockerfile": "FROM x\nCOPY docs/api /d\nCOPY svc/main.py /\n", "svc/main.py": "1",
    "docs/api/x.txt": "1", "docs/other/x.txt": "1", "NOTES.md": "1", "README.md": "1",
    "app/pyproject.toml": '[project]\nname = "app"\n', "app/docs/x.txt": "1", "app/CHANGES.md": "1",
    "app/notes/one.txt": "1", "app/notes/two.txt": "1",
    "app/docker/Dockerfile": 'FROM x\nCOPY ["app/docs/*.txt", "/d/"]\nCOPY app/src app/notes/one.txt /\n',
}  # fmt: skip


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("docs/api/x.txt", {"svc"}),
        ("docs/other/x.txt", set()),
        ("NOTES.md", {"svc"}),
        ("README.md", set()),
        ("app/docs/x.txt", {"app"}),
        ("app/notes/one.txt", {"app"}),
        ("app/notes/two.txt", set()),
        ("app/CHANGES.md", set()),
    ],
)
def test_what_a_manifest_names_elsewhere_is_not_ignored(path, names):
    found, differ = between({path: "edited"}, ELSEWHERE)
    assert set(found.because) == names
    assert differ >= names


def test_what_a_dockerfile_that_cannot_be_read_may_name_is_not_ignored():
    large = {**ELSEWHERE, "svc/Dockerfile": ELSEWHERE["svc/Dockerfile"] + "#" * (5 << 20)}
    declared = large["resources.py"] + (
        'A = Resource(name="svc", type=rt.SERVICE, dependent_paths=["svc", "docs/other"])\n'
    )
    found, _ = between({"docs/other/x.txt": "edited"}, {**large, "resources.py": declared})
    assert set(found.because) == {"svc"}
    assert any("svc/Dockerfile: 5," in warning for warning in found.warnings)


def test_a_global_path_that_comes_or_goes_counts_for_whom_it_is_for():
    found, differ = between({"daybreak.toml": RULES.replace("infra/shared", "infra/common")})
    assert set(found.because) == {"base"} == differ
    assert found.because["base"][0].startswith("global path infra/")


def test_what_only_one_side_ignores_is_not_ignored():
    edited = {"daybreak.toml": RULES.replace('"*.md", ', ""), "a/NOTES.md": "edited"}
    assert set(between(edited)[0].because) == {"a"}
    assert set(
        between({**edited, "daybreak.toml": RULES}, {**FILES, **edited, "a/NOTES.md": "1"})[0].because
    ) == {"a"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[monorepo", "daybreak.toml: "),
        ("monorepo = 1", "daybreak.toml: monorepo: expected a table, found 1"),
        ("[monorepo]\nglobal = []", "monorepo.global: no such field; there are: global_paths, ignore"),
        ("[monorepo]\nignore = 'x'", "monorepo.ignore: expected a list, found 'x'"),
        ("[monorepo]\nignore = [1]", r"monorepo.ignore\[0\]: 1 is no gitignore-style pattern"),
        (
            "[monorepo]\nglobal_paths = ['[']",
            r"monorepo.global_paths\[0\]: '\[' is no gitignore-style pattern",
        ),
        ("[monorepo]\nglobal_paths = ['!x']", "a global path cannot be an exclusion"),
        ("[monorepo]\nglobal_paths = [{ paths = 'x' }]", r'global_paths\[0\]: expected "path" or \{ path'),
        ("[monorepo]\nglobal_paths = [{ path = 'x', types = ['y'] }]", "types: .*none but infra, database"),
    ],
)
def test_a_wrong_rule_is_one_error_that_names_the_field(text, said):
    with pytest.raises(CatalogError, match=said):
        rules.read(text.encode())


def test_rules_travel_as_json():
    found = rules.read(RULES.encode())
    assert Rules.from_json(found.to_json()) == found
    assert rules.read(b"x = 1") == Rules()
