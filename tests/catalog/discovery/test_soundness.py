"""Whatever a module imports, a change of it is seen by the importer; and nothing else makes an edge."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daybreak.catalog.graph import Catalog
from daybreak.catalog.loader import load
from daybreak.catalog.owners import Owners
from tests.monorepo import Monorepo

NAMES = ("ant", "bee", "cat", "dog", "eel")
LAYOUTS = {"flat": "ant_{0}", "src": "src/mod_{0}", "namespace": "src/acme/zoo/{0}", "loose": "acme_{0}"}
FORMS = ("import {0}", "from {0} import thing", "import {0}.deep as d", "from {0}.deep import other",
         "def f():\n    from {0} import deep", "try:\n    import {0}\nexcept ImportError:\n    pass",
         "import importlib\nimportlib.import_module('{0}')")  # fmt: skip


def module(name: str, layout: str) -> str:
    return LAYOUTS[layout].format(name).removeprefix("src/").replace("/", ".")


@st.composite
def zoos(draw: st.DrawFn) -> tuple[dict[str, str], dict[str, str], set[tuple[str, str]]]:
    """Files, the layout of each package, and who imports whom."""
    layouts = {name: draw(st.sampled_from(sorted(LAYOUTS))) for name in NAMES}
    imports = draw(st.sets(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)), max_size=7))
    imports = {(one, other) for one, other in imports if one != other}
    files: dict[str, str] = {}
    for name, layout in layouts.items():
        root = f"libs/{name}"
        lines = [draw(st.sampled_from(FORMS)).format(module(other, layouts[other]))
                 for one, other in sorted(imports) if one == name]  # fmt: skip
        where = draw(st.sampled_from(["deep.py", "test_x.py", "inner/__init__.py"]))
        code = f"{root}/{LAYOUTS[layout].format(name)}"
        files |= {f"{code}/__init__.py": "thing = 1\n", f"{code}/deep.py": "other = 1\n"}
        files[f"{code}/{where}"] = "\n".join([*lines, "other = 1"]) + "\n"
        if layout != "loose":
            # Without a manifest it is code of nobody in particular, which its importers take in.
            files[f"{root}/pyproject.toml"] = f'[project]\nname = "dist-{name[::-1]}"\n'
    return files, layouts, imports


def touched(catalog: Catalog, path: str) -> set[str]:
    """The folders' names of all resources that a change of ``path`` reaches."""
    names = catalog.impact(Owners(catalog.resources.values()).of(path))
    return {catalog[name].root.rpartition("/")[2] for name in names}


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(zoos())
def test_a_change_reaches_exactly_those_who_import_it(tmp_path_factory, zoo):
    files, layouts, imports = zoo
    if set(layouts.values()) == {"loose"}:
        return
    monorepo = Monorepo(tmp_path_factory.mktemp("zoo"))
    catalog = load(monorepo.repo, monorepo.commit(files))
    assert catalog.uncertain == () or all("files of" in each.what for each in catalog.uncertain)
    for name in NAMES:
        expected = {name}
        while more := {one for one, other in imports if other in expected} - expected:
            expected |= more
        path = f"libs/{name}/{LAYOUTS[layouts[name]].format(name)}/deep.py"
        assert touched(catalog, path) == {each for each in expected if layouts[each] != "loose"}
