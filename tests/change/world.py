"""Random monorepos: trees that git is given in one piece, and the catalogs that they stand for."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import strategies as st

from daybreak.catalog.graph import Catalog, CatalogResource, LockUse
from daybreak.catalog.links import with_targets
from daybreak.catalog.resource import Action, ResourceType
from daybreak.catalog.rules import GlobalPath, Rules
from daybreak.change.affected import Affected, between
from daybreak.change.changes import change_set
from daybreak.git.repository import Repository

#: A tree: mode and content by path; of a submodule (160000) the content is the commit id.
Tree = Mapping[str, tuple[str, bytes]]


@contextmanager
def repository(trees: Sequence[Tree]) -> Iterator[tuple[Repository, list[str]]]:
    """A bare repository with a commit for each tree, one after the other, by one `git fast-import`."""
    with TemporaryDirectory() as folder:
        yield Repository(Path(folder)), write(Path(folder), trees)


def write(path: Path, trees: Sequence[Tree]) -> list[str]:
    """The ids of the commits."""
    subprocess.run(("git", "init", "-q", "--bare", "--template=", "-b", "main", path), check=True)
    stream = bytearray()
    for mark, tree in enumerate(trees, 1):
        stream += b"commit refs/heads/main\nmark :%d\n" % mark
        stream += b"committer a <a@example.com> %d +0000\ndata 0\ndeleteall\n" % mark
        for name, (mode, content) in tree.items():
            quoted = os.fsencode(name).replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n")
            if mode == "160000":
                stream += b'M 160000 %s "%s"\n' % (content, quoted)
            else:
                stream += b'M %s inline "%s"\ndata %d\n' % (mode.encode(), quoted, len(content))
                stream += content + b"\n"
    marks = path / "marks"
    subprocess.run(
        ("git", "-C", path, "fast-import", "--quiet", "--force", f"--export-marks={marks}"),
        input=bytes(stream), check=True,
    )  # fmt: skip
    ids = dict(line.split() for line in marks.read_text().splitlines())
    return [ids[f":{number}"] for number in range(1, len(trees) + 1)]


@dataclass(frozen=True)
class World:
    """A tree and what is declared over it."""

    tree: dict[str, tuple[str, bytes]]
    resources: dict[str, CatalogResource]
    rules: Rules = field(default_factory=Rules)

    def catalog(self, commit: str) -> Catalog:
        """As the loader makes one: tests are there or not, links bring their targets."""
        found = {}
        for name, resource in self.resources.items():
            has_tests = any(path.startswith(f"{resource.root}/tests/") for path in self.tree)
            actions = resource.actions if has_tests else resource.actions - {Action.TEST}
            found[name] = replace(resource, has_tests=has_tests, actions=actions)
        links = {
            path: os.fsdecode(content) for path, (mode, content) in self.tree.items() if mode == "120000"
        }
        return Catalog(commit, with_targets(found, links), rules=self.rules)


def compare(
    repo: Repository, commits: Sequence[str], worlds: Sequence[World]
) -> tuple[Affected, list[Catalog]]:
    """What the second of two commits changed, and the catalogs."""
    catalogs = [world.catalog(commit) for world, commit in zip(worlds, commits, strict=True)]
    changes = change_set(repo, commits[0], commits[1])
    return between(
        repo, changes, [replace(catalogs[0], commit=base) for base in changes.sides], catalogs[1]
    ), catalogs


NAMES = ["app", "geo", "geo_api", "common", "deep", "db"]
ROOTS = {
    "app": "svc/app", "geo": "pkg/geo", "geo_api": "pkg/geo-api", "common": "pkg/common",
    "deep": "pkg/common/deep",
    "db": "dbs",
}  # fmt: skip
DISTRIBUTIONS = ["alpha", "beta", "gamma"]
FILES = [
    "a.py", "b.py", "A.py", ".env", "tests/test_a.py", "t\u00f6.md", 'quo"te', "new\nline", "sub/c.py",
    "\udcff",
]  # fmt: skip
MORE = [
    "README.md", "shared/x.py", "shared/deep/y.py", "tools/z.sh", "uv.lock", ".tool-versions", "vendor/lib",
]  # fmt: skip
PATHS = [f"{root}/{file}" for root in ROOTS.values() for file in FILES] + MORE
#: The second one of every pair needs the first one at most: no circles.
PAIRS = [(one, other) for at, other in enumerate(NAMES) for one in NAMES[:at]]
EXTRA = ["shared", "*.md", "!sub", "shared/deep/", "vendor/lib/", "/vendor", "!tests/", "**/c.py", "dbs/a.py"]


def lock(versions: tuple[int, ...]) -> bytes:
    """A `uv.lock`: alpha needs beta."""
    text = "version = 1\n"
    for name, version in zip(DISTRIBUTIONS, versions, strict=True):
        if version:
            needs = '[{ name = "beta" }]' if name == "alpha" else "[]"
            text += f'[[package]]\nname = "{name}"\nversion = "{version}"\n'
            text += 'source = { registry = "https://x" }\n'
            text += f"dependencies = {needs}\n"
    return text.encode()


LOCKS = st.one_of(
    st.tuples(*[st.integers(0, 2)] * 3).map(lock),
    st.sampled_from([b"nonsense [", b"version = 1\n# a comment\n"]),
)


def contents(path: str) -> st.SearchStrategy[tuple[str, bytes]]:
    """What a file of that name may be."""
    if path == "uv.lock":
        return LOCKS.map(lambda content: ("100644", content))
    if path == "vendor/lib":
        return st.sampled_from("12").map(lambda digit: ("160000", digit.encode() * 40))
    targets = ["../shared", "../../shared/x.py", "b.py", "/etc", "../../..", "."]
    return st.one_of(
        st.tuples(st.sampled_from(["100644", "100755"]), st.sampled_from([b"", b"1", b"2"])),
        st.sampled_from(targets).map(lambda target: ("120000", target.encode())),
    )


ACTIONS = frozenset({Action.BUILD, Action.TEST, Action.DEPLOY})


def resources() -> st.SearchStrategy[dict[str, CatalogResource]]:
    """Some resources with random needs, patterns and locks."""

    def make(
        present: set[str],
        edges: set[tuple[str, str]],
        extra: dict[str, list[str]],
        roots: dict[str, str | None],
        off: set[str],
    ) -> dict[str, CatalogResource]:
        found = {}
        for name in NAMES:
            if name in present:
                needs = tuple(sorted(one for other, one in edges if other == name and one in present))
                locks = (LockUse("uv.lock", (roots[name],)),) if roots.get(name) else ()
                found[name] = CatalogResource(
                    name, ResourceType.DATABASE if name == "db" else ResourceType.PACKAGE, packages=needs,
                    paths=(ROOTS[name], *extra.get(name, ())), root=ROOTS[name], test_paths=("tests",),
                    enabled=name not in off, locks=locks,
                    actions=frozenset() if name in off else ACTIONS,
                )  # fmt: skip
        return found

    return st.builds(
        make,
        st.sets(st.sampled_from(NAMES), min_size=2),
        st.sets(st.sampled_from(PAIRS), max_size=8),
        st.dictionaries(st.sampled_from(NAMES), st.lists(st.sampled_from(EXTRA), max_size=3), max_size=3),
        st.dictionaries(st.sampled_from(NAMES), st.sampled_from([*DISTRIBUTIONS, None]), max_size=4),
        st.sets(st.sampled_from(NAMES), max_size=1),
    )


TREES = st.sets(st.sampled_from(PATHS), max_size=25).flatmap(
    lambda paths: st.fixed_dictionaries({path: contents(path) for path in sorted(paths)})
)
RULES = st.lists(
    st.sampled_from([
        GlobalPath(".tool-versions"), GlobalPath("shared", (ResourceType.DATABASE,)), GlobalPath("*.sh"),
    ]), max_size=2, unique=True,
).map(lambda found: Rules(tuple(found)))  # fmt: skip
WORLDS = st.builds(World, TREES, resources(), RULES)


@st.composite
def edited(draw: st.DrawFn, world: World, *, declared: bool = True) -> World:
    """Some files written, deleted or renamed; sometimes another catalog."""
    tree = dict(world.tree)
    for path in draw(st.lists(st.one_of(st.sampled_from(PATHS), st.sampled_from(MORE)), max_size=6)):
        if path in tree and draw(st.booleans()):
            content = tree.pop(path)
            other = draw(st.sampled_from(PATHS))
            if path not in MORE and other not in MORE and draw(st.booleans()):
                tree[other] = content
        else:
            tree[path] = draw(contents(path))
    if declared and draw(st.booleans()):
        return World(tree, draw(resources()), draw(st.sampled_from([world.rules, Rules()])))
    return replace(world, tree=tree)


PAIRS_OF_WORLDS = WORLDS.flatmap(lambda world: st.tuples(st.just(world), edited(world)))
