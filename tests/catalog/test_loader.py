"""``resources.py`` of a commit becomes a catalog, or an error that names its line."""

import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from daybreak.catalog import at, rt
from daybreak.catalog.loader import load
from daybreak.errors import CatalogError, CycleError
from tests.monorepo import HEADER, Monorepo

TREE = {
    "packages/common/src/x.py": "",
    "packages/common/tests/test_x.py": "",
    "services/trips/app.py": "",
    "infra/base.yaml": "",
    "seeds/trips/manifest.yaml": "",
    "seeds/trips/rows.csv": "",
}


@pytest.fixture
def monorepo(tmp_path: Path) -> Monorepo:
    monorepo = Monorepo(tmp_path / "repo")
    monorepo.write(TREE)
    return monorepo


def declare(monorepo: Monorepo, text: str, **options):
    commit = monorepo.commit({"resources.py": HEADER + textwrap.dedent(text)})
    return load(monorepo.repo, commit, **options)


GOOD = """
    COMMON = Resource(name="common", type=rt.PACKAGE, dependent_paths=["packages/common"])
    BASE = Resource(name="base", type=rt.INFRA, dependent_paths=["infra/base.yaml"],
                    options={"template": "base.yaml", "stack": "base"})
    TRIPS = Resource(name="trips", type=rt.SERVICE, packages_dependency=[COMMON], depends_on=[BASE],
                     actions={at.CREATE: False}, dependent_paths=["services/trips"],
                     seeds="seeds/trips/manifest.yaml")
"""


def test_a_catalog_says_what_was_declared_with_defaults_filled_in(monorepo):
    catalog = declare(monorepo, GOOD)
    common, base, trips = (catalog[name] for name in ("common", "base", "trips"))
    assert common.actions == {at.BUILD, at.TEST}
    assert (common.root, common.has_tests, common.line) == ("packages/common", True, 3)
    assert (base.root, base.actions) == ("infra", {at.BUILD, at.CREATE})
    assert base.options == {"template": "base.yaml", "stack": "base"}
    assert trips.packages == ("common",)
    assert trips.depends_on == ("base",)
    assert trips.dependencies == ("base", "common")
    # No tests: nothing to test. Seeds: they are an action, and files of the resource.
    assert trips.actions == {at.BUILD, at.DEPLOY, at.SEED}
    assert trips.paths == ("services/trips", "/seeds/trips")
    assert trips.type is rt.SERVICE


def test_a_disabled_resource_has_no_actions(monorepo):
    catalog = declare(
        monorepo,
        'A = Resource(name="a", type=rt.PACKAGE, enabled=False, dependent_paths=["packages/common"])',
    )
    assert catalog["a"].actions == frozenset()
    assert not catalog["a"].enabled


def test_the_catalog_is_that_of_the_commit_and_not_of_the_working_tree(monorepo):
    commit = monorepo.commit({"resources.py": HEADER})
    monorepo.write({"resources.py": "nonsense ("})
    assert load(monorepo.repo, commit).resources == {}


def test_resources_in_module_level_lists_and_dicts_count(monorepo):
    catalog = declare(
        monorepo,
        """
        PATH = ["packages/common"]
        MANY = [Resource(name=name, type=rt.PACKAGE, dependent_paths=PATH) for name in ("a", "b")]
        NAMED = {"c": Resource(name="c", type=rt.PACKAGE, packages_dependency=MANY, dependent_paths=PATH)}
        """,
    )
    assert catalog["c"].dependencies == ("a", "b")


def test_ignore_dependency_takes_an_edge_away(monorepo):
    catalog = declare(
        monorepo,
        """
        A = Resource(name="a", type=rt.PACKAGE, dependent_paths=["packages/common"])
        B = Resource(name="b", type=rt.PACKAGE, packages_dependency=[A], ignore_dependency=[A],
                     dependent_paths=["services/trips"])
        """,
    )
    assert catalog["b"].dependencies == ()


A = 'A = Resource(name="a", type=rt.PACKAGE, dependent_paths=["packages/common"])\n'
BAD = {
    "syntax": ("x = (", r"resources\.py:2: syntax error"),
    "exception": ("x = 1\ny = x / 0", r"resources\.py:3: ZeroDivisionError: division by zero"),
    "exit": ("raise SystemExit(3)", r"resources\.py:2: SystemExit: 3"),
    "hard exit": (
        "import os; os._exit(0)",
        r"resources\.py: its process ended without handing over a catalog",
    ),
    "import of the team's code": ("import services", r"resources\.py:2: ModuleNotFoundError"),
    "duplicate": (
        A + A.replace("A =", "B ="),
        r"resources\.py:3: resource 'a' is declared twice, first in line 2",
    ),
    "missing path": (
        A.replace("packages/common", "packages/nope"),
        r"resources\.py:2: a: dependent_paths\[0\]: nothing at this commit matches 'packages/nope'",
    ),
    "no path": (
        'A = Resource(name="a", type=rt.PACKAGE)',
        r"resources\.py:2: a: dependent_paths: name at least one path",
    ),
    "missing seeds": (
        A.replace("rt.PACKAGE,", 'rt.PACKAGE, seeds="seeds/nope.yaml",'),
        r"resources\.py:2: a: seeds: 'seeds/nope.yaml' is not a file",
    ),
    "not module level": (
        'def f():\n    return Resource(name="a", type=rt.PACKAGE, dependent_paths=["packages/common"])\nf()',
        r"resources\.py:3: resource 'a' is not kept in a module-level name",
    ),
    "text instead of a resource": (
        A.replace("rt.PACKAGE,", 'rt.PACKAGE, packages_dependency=["common"],'),
        r"resources\.py:2: a: packages_dependency\[0\]: 'common' is not a resource of this file",
    ),
    "text instead of a list": (
        A.replace('["packages/common"]', '"packages/common"'),
        r"resources\.py:2: a: dependent_paths: expected a list, found 'packages/common'",
    ),
    "a service as a package": (
        A.replace("PACKAGE", "SERVICE")
        + 'B = Resource(name="b", type=rt.PACKAGE, packages_dependency=[A], dependent_paths=["infra"])',
        r"resources\.py:3: b: packages_dependency\[0\]: a is a service, not a package",
    ),
    "unknown type": (A.replace("rt.PACKAGE", '"pkg"'), r"resources\.py:2: a: type: 'pkg' is none of infra"),
    "unknown action": (
        A.replace("rt.PACKAGE,", 'rt.PACKAGE, actions={"ship": True},'),
        r"resources\.py:2: a: actions: 'ship' is none of build",
    ),
    "action that is neither on nor off": (
        A.replace("rt.PACKAGE,", 'rt.PACKAGE, actions={at.TEST: "yes"},'),
        r"resources\.py:2: a: actions\[test\]: expected bool, found 'yes'",
    ),
    "test without tests": (
        A.replace("rt.PACKAGE,", "rt.PACKAGE, actions={at.TEST: True},").replace(
            "packages/common", "services"
        ),
        r"resources\.py:2: a: actions: test is on, but",
    ),
    "bad name": (A.replace('"a"', '"A-b"'), r"resources\.py:2: name: 'A-b' does not match"),
    "unknown argument": (
        A.replace("rt.PACKAGE,", "rt.PACKAGE, colour=1,"),
        r"resources\.py:2: Resource\(\.\.\.\) got an unexpected keyword argument 'colour'",
    ),
    "options that are no data": (
        A.replace("rt.PACKAGE,", 'rt.PACKAGE, options={"f": print},'),
        r"resources\.py:2: a: options: .*use plain data",
    ),
}


@pytest.mark.parametrize(("text", "message"), BAD.values(), ids=BAD.keys())
def test_a_wrong_declaration_is_an_error_with_its_line(monorepo, text, message):
    with pytest.raises(CatalogError, match=message):
        declare(monorepo, text)


def test_a_commit_without_the_file_says_what_to_do(monorepo):
    with pytest.raises(CatalogError, match=r"resources\.py does not exist at commit .*monorepo\.catalog"):
        load(monorepo.repo, monorepo.commit())


def test_a_cycle_is_found_when_an_order_is_asked_for_and_not_before(monorepo):
    catalog = declare(
        monorepo,
        """
        EDGES = []
        A = Resource(name="a", type=rt.PACKAGE, packages_dependency=EDGES, dependent_paths=["infra"])
        B = Resource(name="b", type=rt.PACKAGE, packages_dependency=[A], dependent_paths=["infra"])
        C = Resource(name="c", type=rt.PACKAGE, packages_dependency=[B], dependent_paths=["infra"])
        EDGES += [B, C]
        """,
    )
    assert catalog.impact(["c"]) == {"a", "b", "c"}
    with pytest.raises(CycleError, match=r"a -\(resources\.py:4\)-> b -\(resources\.py:5\)-> a") as caught:
        catalog.order()
    assert caught.value.exit_code == 5


def test_a_file_whose_first_evaluation_gives_no_answer_has_longer_for_a_second_one(monorepo, tmp_path):
    """A machine that is busy, or out of memory, is no fault of the file's."""
    for number, trouble in enumerate(("import time; time.sleep(60)", "import os; os._exit(1)")):
        mark = tmp_path / f"ran-{number}"
        catalog = declare(
            monorepo,
            f"""
            import os
            if not os.path.exists({str(mark)!r}):
                open({str(mark)!r}, "w").close()
                {trouble}
            {A.strip()}
            """,
            time_limit=2,
        )
        assert set(catalog.resources) == {"a"}, trouble


def test_an_endless_file_is_stopped_with_its_children(monorepo, tmp_path):
    mark = tmp_path / "child"
    with pytest.raises(CatalogError, match=r"did not end within 3 s"):
        declare(
            monorepo,
            f"""
            import subprocess, sys, time
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
            open({str(mark)!r}, "w").write(str(child.pid))
            while True:
                time.sleep(1)
            """,
            time_limit=1,
        )
    status = Path(f"/proc/{mark.read_text()}/stat")
    # The signal was sent; the kernel takes a moment on a busy machine.
    while status.exists() and status.read_text().split(") ")[1][0] != "Z":
        time.sleep(0.01)


def test_a_file_that_takes_all_memory_is_stopped(monorepo):
    with pytest.raises(CatalogError, match=r"resources\.py:3: MemoryError"):
        declare(monorepo, "\nx = bytearray(1 << 40)\n")


def test_the_file_sees_no_environment_and_an_empty_folder(monorepo, monkeypatch, tmp_path, capfd):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    catalog = declare(
        monorepo,
        """
        import os, sys
        print("to nobody"); print("to nobody", file=sys.stderr)
        SEEN = {"environment": sorted(os.environ), "files": sorted(os.listdir("."))}
        A = Resource(name="a", type=rt.PACKAGE, dependent_paths=["infra"], options=SEEN)
        """,
    )
    assert set(catalog["a"].options["environment"]) <= {"LC_CTYPE"}
    assert catalog["a"].options["files"] == ["resources.py"]
    assert capfd.readouterr() == ("", "")


def test_the_file_may_use_dataclasses_and_typing(monorepo):
    catalog = declare(
        monorepo,
        """
        from dataclasses import dataclass
        @dataclass
        class Team:
            name: "str"
        T = Team("infra")
        A = Resource(name="a", type=rt.INFRA, dependent_paths=[T.name])
        if __name__ == "__main__":
            raise SystemExit("evaluated as a script")
        """,
    )
    assert catalog["a"].root == "infra"


def test_the_words_of_resources_py_need_the_standard_library_alone():
    # -S: no site-packages, so a third-party import fails.
    include = str(Path(__file__).parents[2] / "include")
    script = f"import sys; sys.path.insert(0, {include!r}); import daybreak.catalog"
    subprocess.run([sys.executable, "-I", "-S", "-c", script], check=True)
