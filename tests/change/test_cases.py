"""The cases that other tools get wrong, one by one, on real repositories (change-impact, last paragraph)."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from daybreak.catalog.graph import Catalog, CatalogResource, LockUse
from daybreak.catalog.loader import load
from daybreak.catalog.resource import Action
from daybreak.catalog.resource import ResourceType as rt
from daybreak.change.affected import Affected, affected
from daybreak.change.closures import lock_seeds
from daybreak.change.plan import plan, plan_of
from daybreak.change.removed import removed
from daybreak.errors import CatalogError, CycleError, NoBaseError, UsageError
from daybreak.git.repository import Repository
from daybreak.git.worktree import working_tree
from tests.change.test_locks import UV
from tests.change.world import repository
from tests.monorepo import HEADER, Monorepo

#: `pay` and `pay-api` are siblings, `plugin` is nested in `pay`, `web` links to `shared`, `sub` is a module.
CATALOG = HEADER + (
    'COMMON = Resource(name="common", type=rt.PACKAGE, dependent_paths=["lib/common"])\n'
    'PLUGIN = Resource(name="plugin", type=rt.PACKAGE, dependent_paths=["svc/pay/plugin"])\n'
    'PAY = Resource(name="pay", type=rt.SERVICE, packages_dependency=[COMMON],\n'
    '               dependent_paths=["svc/pay", "!svc/pay/plugin"])\n'
    'API = Resource(name="pay_api", type=rt.SERVICE, packages_dependency=[PLUGIN], '
    'dependent_paths=["svc/pay-api"])\n'
    'WEB = Resource(name="web", type=rt.SERVICE, dependent_paths=["web"])\n'
    'MODULE = Resource(name="module", type=rt.PACKAGE, dependent_paths=["sub/"])\n'
)
FILES = {
    "resources.py": CATALOG, "README.md": "acme", "lib/common/x.py": "1", "lib/common/empty": "",
    "svc/pay/app.py": "1", "svc/pay/plugin/p.py": "1", "svc/pay/plugin/tests/test_p.py": "",
    "svc/pay-api/app.py": "1",
    "web/index.html": "", "shared/style.css": "",
}  # fmt: skip


@pytest.fixture(scope="module")
def template(tmp_path_factory) -> Path:
    monorepo = Monorepo(tmp_path_factory.mktemp("template") / "repo")
    monorepo.write(FILES)
    os.symlink("../shared", monorepo.path / "web/shared")
    submodule(monorepo, "1" * 40)
    monorepo.git("add", "--all")
    monorepo.git("commit", "-q", "-m", "base")
    return monorepo.path


@pytest.fixture
def monorepo(template, tmp_path) -> Monorepo:
    """Its one commit is called `base`."""
    path = tmp_path / "repo"
    shutil.copytree(template, path, symlinks=True)
    monorepo = Monorepo.__new__(Monorepo)
    monorepo.path = path
    monorepo.git("branch", "base")
    return monorepo


def submodule(monorepo: Monorepo, commit: str) -> None:
    (monorepo.path / "sub").mkdir(exist_ok=True)
    monorepo.git("update-index", "--add", "--cacheinfo", f"160000,{commit},sub")


def commit(monorepo: Monorepo) -> None:
    """Everything; the submodule, which is not checked out, stays what it is in the index."""
    monorepo.git("add", "--all")
    monorepo.git("commit", "-q", "-m", "head")


def answer(monorepo: Monorepo, base: str = "base", head: str = "HEAD") -> Affected:
    return affected(monorepo.repo, base, load(monorepo.repo, head))


def touched(monorepo: Monorepo) -> set[str]:
    return set(answer(monorepo).because)


def edit(monorepo: Monorepo, path: str, content: str = "edited") -> set[str]:
    monorepo.write({path: content})
    commit(monorepo)
    return touched(monorepo)


def test_nothing_changed_is_nothing_affected(monorepo):
    assert touched(monorepo) == set()


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("lib/common/x.py", {"common", "pay"}),
        ("svc/pay/app.py", {"pay"}),
        ("svc/pay-api/app.py", {"pay_api"}),
        ("svc/pay/plugin/p.py", {"plugin", "pay_api"}),
        ("svc/pay/plugin/tests/test_p.py", {"plugin"}),
        ("svc/payment/x.py", set()),
        ("README.md", set()),
        ("SVC/pay/app.py", set()),
        ("shared/style.css", {"web"}),
        ("shared/deep/new.css", {"web"}),
        ('svc/pay/t\u00f6 "quoted"\nline.py', {"pay"}),
        ("svc/pay/\udcff\udcfe.bin", {"pay"}),
        ("svc/pay/.env", {"pay"}),
        ("svc/pay/ leading and trailing ", {"pay"}),
    ],
    # A set has no order: both workers of `make test` must collect the same names.
    ids=lambda value: ascii(sorted(value) if isinstance(value, set) else value),
)
def test_an_edited_or_new_file_selects_its_resource_and_who_needs_it(monorepo, path, found):
    assert edit(monorepo, path) == found
    assert answer(monorepo).unowned == (() if found else (path,))


def test_a_test_that_somebody_else_uses_is_a_file_of_theirs(monorepo):
    monorepo.write({"resources.py": CATALOG.replace('["web"]', '["web", "svc/pay/plugin/tests"]')})
    commit(monorepo)
    monorepo.git("branch", "-f", "base")
    assert edit(monorepo, "svc/pay/plugin/tests/test_p.py") == {"plugin", "web"}
    assert answer(monorepo).tests_only == {"plugin"}


def test_who_changed_in_more_than_its_tests_has_all_its_actions(monorepo):
    # A first test is another declaration: so all have one already.
    monorepo.write({"svc/pay/tests/test_a.py": "1", "web/tests/test_w.py": "1"})
    commit(monorepo)
    monorepo.git("branch", "-f", "base")
    # By itself, and because of what it needs: each together with a test of its own.
    monorepo.write({"svc/pay/plugin/p.py": "2", "svc/pay/plugin/tests/test_p.py": "2"})
    monorepo.write({"lib/common/x.py": "2", "svc/pay/tests/test_a.py": ""})
    monorepo.write({"web/tests/test_w.py": ""})
    commit(monorepo)
    found = answer(monorepo)
    assert found.tests_only == {"web"}
    assert found.actions("web") == {Action.TEST}
    assert found.actions("pay") == {Action.BUILD, Action.TEST, Action.CREATE, Action.DEPLOY}
    assert found.actions("plugin") == {Action.BUILD, Action.TEST}
    # The tests are among the reasons all the same.
    assert "svc/pay/tests/test_a.py" in found.because["pay"]


def test_tests_that_somebody_else_imports_are_files_of_theirs():
    project = b'[project]\nname = "%s"\n'
    files = {
        "acme/geo/pyproject.toml": project % b"geo", "acme/geo/__init__.py": b"",
        "acme/geo/tests/__init__.py": b"", "acme/geo/tests/points.py": b"from acme.geo.tests import raw\n",
        "acme/geo/tests/raw.py": b"", "acme/geo/tests/test_geo.py": b"", "acme/geo/spec/more.py": b"",
        "acme/app/pyproject.toml": project % b"app", "acme/app/__init__.py": b"",
        "acme/app/tests/test_app.py": b"from acme.geo.tests.points import X\n",
        "acme/far/pyproject.toml": project % b"far", "acme/far/__init__.py": b"import acme.geo\n",
    }  # fmt: skip
    base = {path: ("100644", content) for path, content in files.items()}
    heads = [{**base, f"acme/geo/tests/{name}.py": ("100644", b"# edited\n")} for name in ("points", "raw")]
    named = {
        **base, "acme/geo/pyproject.toml": ("100644", files["acme/geo/pyproject.toml"]
                                            + b'[tool.daybreak]\ntest_paths = ["spec"]\n'),
        "acme/app/tests/test_app.py": ("100644", b"import importlib\n"
                                       b"importlib.import_module(f'acme.geo.spec.{NAME}')\n"),
    }  # fmt: skip
    trees = [base, *heads, named, {**named, "acme/geo/spec/more.py": ("100644", b"# edited\n")}]
    with repository(trees) as (repo, (first, points, raw, before, after)):
        for one, other in ((first, points), (first, raw), (before, after)):
            found = affected(repo, one, load(repo, other))
            assert set(found.because) == {"geo", "app"}
            assert found.tests_only == {"geo"}


def test_a_rename_across_packages_is_a_deletion_there_and_an_addition_here(monorepo):
    monorepo.git("mv", "svc/pay/app.py", "svc/pay-api/moved.py")
    commit(monorepo)
    assert touched(monorepo) == {"pay", "pay_api"}


def test_a_mode_and_a_case_are_changes(monorepo):
    (monorepo.path / "svc/pay/app.py").chmod(0o755)
    monorepo.git("mv", "svc/pay-api/app.py", "svc/pay-api/App.py")
    commit(monorepo)
    assert touched(monorepo) == {"pay", "pay_api"}


def test_an_empty_file_that_is_deleted_is_a_change(monorepo):
    monorepo.remove("lib/common/empty")
    commit(monorepo)
    assert touched(monorepo) == {"common", "pay"}


def test_a_link_that_turns_to_another_place_and_one_that_becomes_a_file_are_changes(monorepo):
    link = monorepo.path / "web/shared"
    link.unlink()
    os.symlink("../lib", link)
    commit(monorepo)
    assert touched(monorepo) == {"web"}
    assert edit(monorepo, "lib/other.txt") == {"web"}
    link.unlink()
    assert edit(monorepo, "web/shared", "a file") == {"web"}


def test_a_link_is_a_file_like_any_other_where_no_catalog_changes_with_it(monorepo):
    link = monorepo.path / "svc/pay-api/link"
    os.symlink("app.py", link)
    commit(monorepo)
    monorepo.git("branch", "-f", "base")
    link.unlink()
    os.symlink("/nowhere", link)
    app = monorepo.path / "svc/pay/app.py"
    app.unlink()
    os.symlink("/nowhere", app)
    commit(monorepo)
    assert touched(monorepo) == {"pay", "pay_api"}
    assert answer(monorepo).because["pay"] == ("svc/pay/app.py",)


def test_another_commit_of_a_submodule_is_a_change(monorepo):
    submodule(monorepo, "2" * 40)
    commit(monorepo)
    assert touched(monorepo) == {"module"}


def test_a_submodule_that_git_is_told_to_ignore_is_a_change(monorepo):
    monorepo.write({".gitmodules": '[submodule "sub"]\n\tpath = sub\n\turl = ../sub\n\tignore = all\n'})
    commit(monorepo)
    monorepo.git("config", "diff.ignoreSubmodules", "all")
    monorepo.git("branch", "-f", "base")
    submodule(monorepo, "2" * 40)
    # `git commit` sees nothing to commit.
    tree = monorepo.git("write-tree")
    head = monorepo.git("commit-tree", "-p", "base", "-m", "head", tree)
    assert set(answer(monorepo, head=head).because) == {"module"}


def test_three_thousand_five_hundred_files_are_no_fewer_than_that():
    few = {path: ("100644", content.encode()) for path, content in FILES.items()}
    few["sub"] = ("160000", b"1" * 40)
    many = {f"svc/pay/many/{number}.txt": ("100644", b"") for number in range(3499)}
    with repository([few, {**few, **many, "zzz/last.txt": ("100644", b"")}]) as (repo, (base, head)):
        found = affected(repo, base, load(repo, head))
    assert set(found.because) == {"pay"}
    assert len(found.reasons["pay"]) == 3499
    assert found.because["pay"][-1] == "and 3494 more"
    assert found.unowned == ("zzz/last.txt",)


def test_a_leaf_that_is_removed_is_reported_with_what_to_destroy(monorepo):
    monorepo.remove("svc/pay-api")
    kept = "".join(line for line in CATALOG.splitlines(True) if "pay_api" not in line)
    monorepo.write({"resources.py": kept})
    commit(monorepo)
    found = answer(monorepo)
    assert found.because == {}
    # Its files were somebody's.
    assert found.unowned == ()
    (gone,) = found.removed
    assert gone.to_json() == {
        "name": "pay_api", "type": "service", "actions": ["destroy"], "dependents": [], "still_named": [],
    }  # fmt: skip


def test_a_moved_package_is_affected_with_all_that_needs_it(monorepo):
    monorepo.git("mv", "lib/common", "lib/base")
    monorepo.write({"resources.py": CATALOG.replace("lib/common", "lib/base")})
    commit(monorepo)
    found = answer(monorepo)
    assert set(found.because) == {"common", "pay"}
    assert any("paths" in reason and "root" in reason for reason in found.because["common"])


def test_whoever_imported_a_deleted_module_is_affected_though_no_manifest_says_so():
    files = {
        "libs/geo/pyproject.toml": b'[project]\nname = "geo"\n', "libs/geo/src/acme/geo/points.py": b"",
        "libs/geo/src/acme/geo/lines.py": b"", "svc/app/main.py": b"import json\nimport acme.geo.points\n",
        "svc/app/pyproject.toml": b'[project]\nname = "app"\n',
    }  # fmt: skip
    base = {path: ("100644", content) for path, content in files.items()}
    without = {path: each for path, each in base.items() if not path.endswith("points.py")}
    gone = {path: each for path, each in base.items() if not path.startswith("libs/")}
    with repository([base, without, gone]) as (repo, (first, second, third)):
        head = load(repo, second)
        assert head["app"].dependencies == ()
        assert set(affected(repo, first, head).because) == {"geo", "app"}
        found = affected(repo, first, load(repo, third))
        assert set(found.because) == {"app"}
        assert [each.still_named for each in found.removed] == [
            ("svc/app/main.py:2: import acme.geo.points",)
        ]


def declared(commit: str, *names: str, evidence: dict[str, str], locks: tuple[LockUse, ...] = ()) -> Catalog:
    """As discovery makes one: `app` needs `geo` where there is one."""
    resources = {
        name: CatalogResource(
            name, rt.PACKAGE, packages=("geo",) if name == "app" and "geo" in names else (),
            paths=(f"pkg/{name}",), root=f"pkg/{name}", locks=locks if name == "app" else (),
            evidence=evidence if name == "app" and "geo" in names else {},
            actions=frozenset({Action.BUILD, Action.DEPLOY}),
        )
        for name in names
    }  # fmt: skip
    return Catalog(commit, resources)


GEO = {
    "pkg/geo/pyproject.toml": b'[project]\nname = "acme-geo"\n', "pkg/geo/src/acme_geo/__init__.py": b"",
    "pkg/app/pyproject.toml": b'[project]\nname = "acme-app"\ndependencies = ["numpy", "acme-geo>=1"]\n',
    "pkg/app/main.py": b"import os\nimport acme_geo.points\n",
    "pkg/app/Dockerfile": b"FROM x\nCOPY pkg/geo /geo\n",
}  # fmt: skip


@pytest.mark.parametrize(
    ("evidence", "edit", "still"),
    [
        ("pkg/app/pyproject.toml:3", {},
         ['pkg/app/pyproject.toml:3: dependencies = ["numpy", "acme-geo>=1"]']),
        ("pkg/app/main.py:2", {}, ["pkg/app/main.py:2: import acme_geo.points"]),
        ("pkg/app/Dockerfile:2", {}, ["pkg/app/Dockerfile:2: COPY pkg/geo /geo"]),
        # Moved within the file, and said in other words.
        ("pkg/app/main.py:2", {"pkg/app/main.py": b"# acme_geo was here\n\nfrom acme_geo import points\n"},
         ["pkg/app/main.py:3: from acme_geo import points"]),
        ("pkg/app/main.py:2", {"pkg/app/main.py": b"import acme_geography\n"}, []),
        ("pkg/app/main.py:2", {"pkg/app/main.py": None}, []),
        # Its module has come to another package.
        ("pkg/app/main.py:2", {"pkg/app/src/acme_geo/__init__.py": b""}, []),
    ],
)  # fmt: skip
def test_what_still_names_a_removed_package_is_an_error_with_file_and_line(evidence, edit, still):
    trees = [{path: ("100644", content) for path, content in GEO.items()}]
    changed = {path: content for path, content in {**GEO, **edit}.items() if not path.startswith("pkg/geo/")}
    trees.append({path: ("100644", content) for path, content in changed.items() if content is not None})
    with repository(trees) as (repo, (base, head)):
        before = declared(base, "app", "geo", evidence={"geo": evidence})
        after = declared(head, "app", evidence={})
        (gone,) = removed(repo, before, after, "resources.py")
        assert gone.dependents == ("app",)
        assert list(gone.still_named) == still
        if still:
            selected = Affected(after, base, {}, removed=(gone,))
            with pytest.raises(CatalogError, match=r"the resource geo is removed"):
                plan_of(selected, {}, lambda _name, _key: True)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"8.1.0"', '"8.2.0"', "uv.lock: click 8.1.0 -> 8.2.0"),
        ("sha256:cc", "sha256:c0", "uv.lock: click 8.1.0 from other files"),
        ('[{ name = "click" }]', "[]", "uv.lock: click removed, uvicorn 0.30.0 from other files"),
        ("version = 1\n", "version = [\n", "uv.lock: cannot be read"),
        ("version = 1\n", "#" * (65 << 20), "uv.lock: cannot be read"),
        (UV, None, "uv.lock: was deleted"),
        ("sha256:00", "sha256:01", None),
        ("size = 1", "size = 2", None),
    ],
)
def test_one_dependency_in_a_lock_touches_those_that_have_it_and_nobody_else(old, new, said):
    head = {} if new is None else {"uv.lock": ("100644", UV.replace(old, new, 1).encode())}
    with repository([{"uv.lock": ("100644", UV.encode())}, head]) as (repo, commits):
        uses = (LockUse("uv.lock", ("uvicorn",)),)
        before, after = (declared(commit, "app", "geo", evidence={}, locks=uses) for commit in commits)
        found = list(lock_seeds(repo, commits[0], before, after, {"uv.lock"}))
        assert [name for name, _ in found] == (["app"] if said else [])
        assert all(reason.text.startswith(said) for _, reason in found)


def test_a_cycle_is_answered_as_one_and_has_no_plan(monorepo):
    circular = CATALOG.replace('name="common",', 'name="common", depends_on=LATER,')
    circular = circular.replace(HEADER, HEADER + "LATER = []\n", 1) + "LATER.append(PAY)\n"
    monorepo.write({"resources.py": circular})
    commit(monorepo)
    monorepo.git("branch", "-f", "base")
    assert edit(monorepo, "svc/pay/app.py") == {"common", "pay"}
    assert edit(monorepo, "lib/common/x.py") == {"common", "pay"}
    with pytest.raises(CycleError, match=r"common -\(resources\.py:3\)-> pay -\(resources\.py:5\)-> common"):
        plan(monorepo.repo, "base", "HEAD", lambda _name, _key: True)


def test_a_clone_of_depth_one_has_no_base_and_is_told_what_to_run(monorepo, tmp_path):
    edit(monorepo, "svc/pay/app.py")
    clone = tmp_path / "clone"
    origin = f"file://{monorepo.path}"
    subprocess.run(("git", "clone", "-q", "--depth=1", "--no-single-branch", origin, clone), check=True)
    shallow = Repository(clone)
    head = load(shallow, "HEAD")
    with pytest.raises(NoBaseError, match="git fetch --unshallow") as caught:
        affected(shallow, "origin/base", head)
    assert caught.value.exit_code == 3
    found = affected(shallow, "origin/base", head, on_unknown_all=True)
    assert set(found.because) == set(head.resources)
    assert "share no history" in found.fallback
    subprocess.run(("git", "-C", clone, "fetch", "-q", "--unshallow"), check=True)
    assert set(affected(shallow, "origin/base", head).because) == {"pay"}


def test_a_shallow_clone_that_hides_a_better_base_has_none(monorepo, tmp_path):
    # `feature` undoes the fix, and has merged a branch from before it: with the undoing cut off, the base of
    # that branch is all that is in sight, and to it nothing has changed in `pay`.
    edit(monorepo, "svc/pay/app.py", "fixed")
    monorepo.git("branch", "fix")
    monorepo.git("checkout", "-q", "-b", "feature")
    edit(monorepo, "svc/pay/app.py", "1")
    undone = monorepo.git("rev-parse", "HEAD")
    monorepo.git("checkout", "-q", "-b", "side", "base")
    edit(monorepo, "web/index.html")
    monorepo.git("checkout", "-q", "feature")
    monorepo.git("merge", "-q", "-m", "of the side", "side")
    assert touched(monorepo) == {"web"}
    assert set(answer(monorepo, base="fix").because) == {"pay", "web"}
    clone = tmp_path / "clone"
    subprocess.run(("git", "clone", "-q", "--no-single-branch", f"file://{monorepo.path}", clone), check=True)
    (clone / ".git/shallow").write_text(f"{undone}\n")
    repo = Repository(clone)
    assert repo.merge_bases("origin/fix", "origin/feature") == [monorepo.git("rev-parse", "base")]
    with pytest.raises(NoBaseError, match="unshallow"):
        affected(repo, "origin/fix", load(repo, "origin/feature"))


def test_a_base_that_is_not_there_says_what_to_do(monorepo, tmp_path):
    with pytest.raises(NoBaseError, match="Name another --base; branches here: base, main;"):
        answer(monorepo, base="develop")
    monorepo.git("remote", "add", "origin", "nowhere")
    monorepo.git("remote", "add", "up", "nowhere")
    hints = {
        "v1^": "--unshallow", "12345678": "git fetch origin 12345678;",
        "up/x/y": r"git fetch up \+refs/heads/x/y:refs/remotes/up/x/y; then --base up/x/y;",
        "origin/x": r"git fetch origin \+refs/heads/x:refs/remotes/origin/x; then --base origin/x;",
    }  # fmt: skip
    for base, said in hints.items():
        with pytest.raises(NoBaseError, match=said):
            answer(monorepo, base=base)
    with pytest.raises(UsageError, match="--base names no revision: it is empty"):
        answer(monorepo, base="")
    edit(monorepo, "svc/pay/app.py")
    # As a CI clones: the branch alone, one commit of it. What is said is run, until there is an answer.
    clone = tmp_path / "clone"
    subprocess.run(("git", "clone", "-q", "--depth=1", f"file://{monorepo.path}", clone), check=True)
    repo, base, run = Repository(clone), "base", []
    head = load(repo, "HEAD")
    while len(run) < 3:
        try:
            assert set(affected(repo, base, head).because) == {"pay"}
            break
        except NoBaseError as error:
            (command, name) = re.findall(r"Run: (git fetch [^;]+); (?:then --base (\S+);)?", str(error))[0]
            subprocess.run([*shlex.split(command), "--quiet"], cwd=clone, check=True)
            run.append(command)
            base = name or base
    assert run == ["git fetch origin +refs/heads/base:refs/remotes/origin/base", "git fetch --unshallow"]
    with pytest.raises(NoBaseError, match="There is origin/base: --base origin/base;"):
        affected(repo, "base", head)
    monorepo.git("branch", "-m", "main", "master")
    with pytest.raises(NoBaseError, match="There is master: --base master;"):
        answer(monorepo, base="main")


def test_of_several_merge_bases_all_count(monorepo):
    # A criss-cross: both sides have merged the other's first commit.
    monorepo.git("checkout", "-q", "-b", "left")
    edit(monorepo, "svc/pay/app.py", "left")
    monorepo.git("checkout", "-q", "-b", "right", "base")
    edit(monorepo, "svc/pay-api/app.py", "right")
    one, other = monorepo.git("rev-parse", "left"), monorepo.git("rev-parse", "right")
    for branch, merged in (("left", other), ("right", one)):
        monorepo.git("checkout", "-q", branch)
        monorepo.git("merge", "-q", "-m", "criss-cross", merged)
    assert len(monorepo.repo.merge_bases("left", "right")) == 2
    assert set(answer(monorepo, "left", "right").because) == {"pay", "pay_api"}


def snapshot(path: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(file.relative_to(path)): (file.stat().st_mtime_ns, file.read_bytes())
        for file in sorted(path.rglob("*"))
        if file.is_file() and not file.is_symlink()
    }


def test_what_is_not_committed_counts_if_it_is_asked_for_and_nothing_is_written(monorepo):
    monorepo.write({".gitignore": "*.log\n"})
    commit(monorepo)
    monorepo.git("branch", "-f", "base")
    monorepo.write({"svc/pay/new.py": "1", "svc/pay-api/app.log": "ignored"})
    monorepo.write({"lib/common/x.py": "staged"})
    monorepo.git("add", "lib/common/x.py")
    os.utime(monorepo.path / "web/index.html")
    before = snapshot(monorepo.path)
    with working_tree(monorepo.repo) as tree:
        found = affected(tree.repo, "base", load(tree.repo, tree.commit), more=tree.submodules)
        assert set(found.because) == {"pay", "common"}
        place = tree.repo.objects
    assert not place.exists()
    assert snapshot(monorepo.path) == before
    assert touched(monorepo) == set()


def test_uncommitted_changes_within_a_submodule_count(monorepo, tmp_path):
    other = Monorepo(tmp_path / "other")
    other.commit({"x.py": ""})
    shutil.rmtree(monorepo.path / "sub")
    monorepo.git("rm", "-q", "--cached", "sub")
    monorepo.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(other.path), "sub")
    monorepo.git("commit", "-q", "-m", "a real one")
    monorepo.git("branch", "-f", "base")
    monorepo.write({"sub/x.py": "edited"})
    with working_tree(monorepo.repo) as tree:
        found = affected(tree.repo, "base", load(tree.repo, tree.commit), more=tree.submodules)
    assert set(found.because) == {"module"}


def test_bare_repositories_worktrees_and_submodules_answer_the_same(monorepo, tmp_path):
    edit(monorepo, "svc/pay/app.py")
    bare, linked = tmp_path / "bare.git", tmp_path / "linked"
    subprocess.run(("git", "clone", "-q", "--mirror", monorepo.path, bare), check=True)
    monorepo.git("worktree", "add", "-q", "--detach", str(linked))
    outer = Monorepo(tmp_path / "outer")
    outer.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(monorepo.path), "inner")
    outer.git("-C", "inner", "branch", "base", "origin/base")
    for place in (bare, linked, outer.path / "inner", monorepo.path / "svc"):
        repo = Repository(place)
        assert set(affected(repo, "base", load(repo, "HEAD")).because) == {"pay"}, place
    with pytest.raises(UsageError, match="no working tree"), working_tree(Repository(bare)):
        pass
