"""What is known of other commits never shows in an answer: on random monorepos and edits, byte by byte."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daybreak.catalog import discovery
from daybreak.catalog.loader import inspect
from daybreak.change.affected import affected
from daybreak.cli.affected import as_json
from daybreak.errors import CatalogError
from daybreak.git.repository import Repository
from tests.change.world import Tree, repository
from tests.monorepo import HEADER, Monorepo

#: Four layouts, a component in another one, code of nobody, an image that copies by a pattern; much that is
#: imported is not there.
FIXED = {
    "ant/pyproject.toml": '[project]\nname = "dist-ant"\n', "ant/ant/__init__.py": "",
    "ant/ant/a.py": "x = 1\n",
    "ant/README.md": "", "ant/tests/test_a.py": "import tool\n",
    "bee/pyproject.toml": '[project]\nname = "dist-bee"\ndependencies = ["dist-ant"]\n',
    "bee/src/acme/zoo/bee/__init__.py": "",
    "bee/src/acme/zoo/bee/b.py": "import ant\nimport csv\nimport other\n",
    "bee/src/acme/zoo/cat/f.py": "from ....plugin import ghost\n",
    "cat/setup.py": "from setuptools import setup\nsetup(name='dist-cat', package_dir={'': 'lib'})\n",
    "cat/lib/acme/zoo/cat/c.py": "import csv\nfrom ant import json\n", "cat/lib/acme/zoo/cat/d.py": "",
    "cat/plugin/pyproject.toml": '[project]\nname = "dist-plugin"\n',
    "cat/plugin/plugin.py": "import acme.zoo.cat.d\n",
    "dog/Dockerfile": 'FROM x\nCOPY *.py conf.ini ./\nCOPY ant/ant/json.py x.py\nCMD ["python", "dog.py"]\n',
    "dog/dog.py": "import acme.zoo.bee.e\nimport loose.tool\n", "dog/helper.py": "", "dog/deep/m.py": "",
    "loose/tool.py": "import plugin\nfrom acme.zoo.cat import e\n", "loose/deep/more.py": "",
    "docs/index.md": "",
    "fox/pyproject.toml": '[project]\nname = "dist-fox"\n[tool.uv.sources]\nx = {path = "../docs/new.md"}\n',
    "bee/src/acme/__init__.py": "import pkgutil\n__path__ = pkgutil.extend_path(__path__, __name__)\n",
    "fox/fox.py": "from ..ant.ant import json\nimport importlib\nimportlib.import_module('acme.zoo.' + x)\n",
}  # fmt: skip

PATHS = (
    "ant/ant/a.py", "ant/ant/json.py", "ant/ant/x/__init__.py", "ant/csv.py", "ant/README.md",
    "ant/conftest.py",
    "ant/ant/a.pyi", "ant/tests/test_a.py",
    "bee/src/acme/zoo/bee/b.py", "bee/src/acme/zoo/bee/e.py", "bee/src/acme/zoo/cat/d.py", "bee/src/csv.py",
    "bee/src/acme/zoo/bee/n.py", "bee/src/acme/__init__.py", "bee/tool.py",
    "cat/lib/acme/zoo/cat/c.py", "cat/lib/acme/zoo/cat/d.py", "cat/lib/acme/zoo/cat/e.py", "cat/lib/ant.py",
    "cat/plugin/plugin.py", "cat/plugin/other.py", "cat/lib/ext.cpython-311.so",
    "dog/dog.py", "dog/new.py", "dog/conf.ini", "dog/data.txt", "dog/deep/n.py",
    "loose/tool.py", "loose/new.py", "loose/deep/more.py", "docs/new.md",
    "docs/script.py", "root.py", "root.md",
    "ant/\udcff.py", "ant/ant/t\u00f6.py", "cat/uv.lock", "uv.lock", "dog/migrations/0001_x.sql",
)  # fmt: skip

CONTENTS = (
    "", "x = 2\n", "import ant.a\n", "\n\nimport ant.a\n", "from ant import x\n", "import acme.zoo.bee.e\n",
    "from acme.zoo.cat import d, e\n", "from acme.zoo import bee\n", "import plugin, other\n",
    "from ....lib import ant\n", "from ...bee import b\n", "from .. import tool\n", "import tool\n",
    "from loose import new\n", "import loose.tool\n", "import json, csv\n", "import root\n",
    "def f():\n    import acme.zoo.cat.c\n", "try:\n    import dog\nexcept ImportError:\n    pass\n",
    "from importlib import import_module\nimport_module('acme.zoo.' + x)\n",
    "from importlib import import_module\nimport_module(x)\n", "import ant.a\nimport (\n",
    "__path__ = __import__('pkgutil').extend_path(__path__, __name__)\n",
)  # fmt: skip

MANIFESTS = {
    "resources.py": HEADER + 'D = Resource(name="pets", type=rt.SERVICE, dependent_paths=["dog", "root.*", '
    '"docs"], test_paths=[])\n',
    "ant/pyproject.toml": '[project]\nname = "dist-ant"\ndependencies = ["dist-plugin"]\n',
    "daybreak.toml": '[monorepo]\nignore = ["*.md"]\n',
    "dog/requirements.txt": "dist-cat\n",
    "eel/pyproject.toml": '[project]\nname = "dist-eel"\n[tool.uv.sources]\nx = { path = "../ant/csv.py" }\n',
}
TARGETS = ("../loose", "../ant/ant/a.py", "/etc", "..", "../docs/new.md")


@st.composite
def edits(draw: st.DrawFn, tree: Tree) -> Tree:
    """Up to four things that people do: write, delete, move, delete a folder, link, embed, change a mode."""
    now = dict(tree)
    for _ in range(draw(st.integers(1, 4))):
        there = st.sampled_from(sorted(now))
        # Mostly modules: what is read from the start is the same without trying.
        match draw(
            st.sampled_from(
                ("write",) * 12
                + ("gone",) * 4
                + ("delete", "move", "folder", "link", "embed", "mode", "manifest")
            )
        ):
            case "write":
                now[draw(st.sampled_from(PATHS))] = ("100644", draw(st.sampled_from(CONTENTS)).encode())
            case "gone" if modules := sorted(now.keys() & {*PATHS}):
                del now[draw(st.sampled_from(modules))]
            case "delete":
                del now[draw(there)]
            case "move":
                content = now.pop(draw(there))
                now[draw(st.sampled_from(PATHS))] = content
            case "folder":
                folder = draw(there).rpartition("/")[0]
                now = {path: each for path, each in now.items() if not path.startswith(f"{folder}/")} or now
            case "link":
                now[draw(st.sampled_from(PATHS))] = ("120000", draw(st.sampled_from(TARGETS)).encode())
            case "embed":
                now["ant/vendored"] = ("160000", draw(st.sampled_from("12")).encode() * 40)
            case "mode":
                path = draw(there)
                if now[path][0] == "100644":
                    now[path] = ("100755", now[path][1])
            case _:
                path = draw(st.sampled_from(sorted(MANIFESTS)))
                now[path] = ("100644", MANIFESTS[path].encode())
    return now


@st.composite
def histories(draw: st.DrawFn) -> list[Tree]:
    """A few commits; each is an edit of any earlier one, as branches are."""
    trees: list[Tree] = [{path: ("100644", content.encode()) for path, content in FIXED.items()}]
    more = draw(st.dictionaries(st.sampled_from(PATHS), st.sampled_from(CONTENTS), max_size=8))
    trees[0] = _possible({**trees[0], **{path: ("100644", said.encode()) for path, said in more.items()}})
    for _ in range(draw(st.integers(1, 4))):
        trees.append(_possible(draw(edits(draw(st.sampled_from(trees))))))
    return trees


def _possible(tree: Tree) -> Tree:
    """Without files that lie where another file is."""
    return {
        path: each
        for path, each in tree.items()
        if not any("/".join(path.split("/")[:depth]) in tree for depth in range(1, path.count("/") + 1))
    }


@contextmanager
def cache(home: Path | str) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as context:
        context.setenv("DAYBREAK_HOME", str(home))
        yield


def said(repo: Repository, base: str, head: str) -> str:
    """Everything that a command could print of a commit and of its change."""
    try:
        loaded = inspect(repo, head)
        change = as_json(affected(repo, base, loaded.catalog, on_unknown_all=True), head)
    except CatalogError as error:
        return str(error)
    return json.dumps([loaded.catalog.to_json(), loaded.notes, change])


def is_the_same_with_and_without_a_past(trees: Sequence[Tree]) -> None:
    with repository(trees) as (repo, commits), TemporaryDirectory() as warm:
        for number, commit in enumerate(commits):
            with cache(warm):
                twice = [said(repo, commits[0], commit) for _ in range(2)]
            with TemporaryDirectory() as cold, cache(cold):
                expected = said(repo, commits[0], commit)
            assert twice == [expected] * 2, f"commit {number}"


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(trees=histories())
def test_an_answer_is_that_of_a_cache_that_knows_nothing(trees):
    is_the_same_with_and_without_a_past(trees)


@pytest.mark.deep
@pytest.mark.timeout(3600)
@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(trees=histories())
def test_very_many_answers_are_those_of_a_cache_that_knows_nothing(trees):
    is_the_same_with_and_without_a_past(trees)


#: What is edited, and whether all of the tree has to be read for it. A file without a text is deleted.
EDITS: dict[str, tuple[dict[str, str | None], bool]] = {
    "a module that another package imports already": ({"bee/src/acme/zoo/bee/e.py": "x = 1\n"}, False),
    "one that is imported by `from`": ({"ant/ant/json.py": "import fox\n"}, False),
    "one that lies right in a folder that is searched": ({"cat/plugin/other.py": ""}, False),
    "one with the name of the standard library's": ({"ant/csv.py": ""}, False),
    "one that a relative import means": ({"bee/plugin/ghost.py": ""}, True),
    "one that stands for a package of another": ({"cat/lib/acme/zoo/cat/e.py": "import ant\n"}, False),
    "a longer match for a name": ({"bee/src/acme/zoo/cat/d.py": ""}, False),
    "an import": ({"ant/ant/a.py": "import acme.zoo.cat.c\n"}, False),
    "an import on another line": ({"bee/src/acme/zoo/bee/b.py": "\n\nimport ant\n"}, False),
    "an import of code of nobody": ({"cat/plugin/plugin.py": "import loose.tool\n"}, False),
    "an import that closes a circle": ({"ant/ant/a.py": "def f():\n    import acme.zoo.bee.b\n"}, False),
    "a computed import": ({"ant/ant/a.py": "import importlib\nimportlib.import_module(x)\n"}, False),
    "a module behind a namespace": ({"cat/lib/acme/zoo/cat/c.py": "import acme.zoo.none\n"}, False),
    "a syntax that nobody knows": ({"ant/ant/a.py": "import (\nimport fox\n"}, False),
    "a module that was imported": ({"cat/lib/acme/zoo/cat/d.py": None}, False),
    "a module that imported": ({"bee/src/acme/zoo/bee/b.py": None}, False),
    "a package that is only a namespace": (
        {"bee/src/acme/zoo/bee/b.py": "from pkgutil import extend_path\nimport ant\n"}, True),
    "a file that an image copies by a pattern": ({"dog/new.py": "import fox\n"}, True),
    "a file that an image does not find": ({"dog/conf.ini": ""}, True),
    "a file that a manifest names": ({"docs/new.md": ""}, True),
    "a file that nobody names": ({"ant/NOTES.md": "", "docs/other.md": "", "dog/deep/data.txt": ""}, False),
    "a file that is gone": ({"ant/README.md": None}, False),
    "a folder": ({"ant/ant/sub/x.py": ""}, True),
    "the last file of a folder": ({"ant/tests/test_a.py": None}, True),
    "a package": ({"ant/tests/__init__.py": ""}, True),
    "a module of nobody": ({"loose/new.py": ""}, True),
    "what a module of nobody imports": ({"loose/tool.py": "import fox\n"}, True),
    "a lock": ({"bee/uv.lock": ""}, True),
    "a migration": ({"dog/deep/0001_x.sql": ""}, True),
}  # fmt: skip


@pytest.fixture(scope="module")
def known(tmp_path_factory) -> tuple[Monorepo, Path]:
    """A monorepo and a cache that has seen it."""
    monorepo = Monorepo(tmp_path_factory.mktemp("known") / "repo")
    monorepo.commit(FIXED)
    home = tmp_path_factory.mktemp("home")
    with cache(home):
        inspect(monorepo.repo, "HEAD")
    return monorepo, home


@pytest.mark.parametrize("what", EDITS)
def test_only_what_an_edit_can_mean_is_looked_at_again(known, what, tmp_path, monkeypatch):
    monorepo, home = known
    monorepo.git("checkout", "-q", "-B", "edit", "main")
    files, whole = EDITS[what]
    for path, content in files.items():
        monorepo.write({path: content}) if content is not None else monorepo.remove(path)
    commit = monorepo.commit()
    with cache(tmp_path):
        expected = said(monorepo.repo, "main", commit)
    read: list[str] = []
    real = discovery.discover
    monkeypatch.setattr(discovery, "discover", lambda *words: read.append("all") or real(*words))
    shutil.copytree(home, tmp_path / "home")
    with cache(tmp_path / "home"):
        assert said(monorepo.repo, "main", commit) == expected
        assert read == ["all"] * whole
        assert said(monorepo.repo, "main", commit) == expected
