"""Lock files: only those are touched whose third-party closure is another one."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daybreak.change.locks import LockError, difference, read

UV = """\
version = 1
revision = 3
requires-python = ">=3.11"

[manifest]
members = ["acme-app", "acme-geo"]

[[package]]
name = "acme-app"
version = "1.0"
source = { editable = "packages/app" }
dependencies = [{ name = "acme-geo" }, { name = "uvicorn", extra = ["standard"] }]

[package.dev-dependencies]
dev = [{ name = "pytest" }]

[[package]]
name = "acme-geo"
version = "1.0"
source = { editable = "packages/geo" }
dependencies = [
    { name = "numpy", version = "1.26.4", source = { registry = "https://packages.example" } },
]

[[package]]
name = "uvicorn"
version = "0.30.0"
source = { registry = "https://packages.example" }
dependencies = [{ name = "click" }]
sdist = { url = "https://files.example/uvicorn.tar.gz", hash = "sha256:aa", size = 1 }
wheels = [{ url = "https://files.example/uvicorn.whl", hash = "sha256:ab", size = 1 }]

[package.optional-dependencies]
standard = [{ name = "httptools" }]

[[package]]
name = "click"
version = "8.1.0"
source = { registry = "https://packages.example" }
wheels = [{ url = "https://files.example/click.whl", hash = "sha256:cc", size = 1 }]

[[package]]
name = "httptools"
version = "0.6.0"
source = { registry = "https://packages.example" }
wheels = [{ url = "https://files.example/h.whl", hash = "sha256:dd", size = 1 }]

[[package]]
name = "numpy"
version = "1.26.4"
source = { registry = "https://packages.example" }
wheels = [{ url = "https://files.example/n1.whl", hash = "sha256:ee", size = 1 }]

[[package]]
name = "numpy"
version = "2.0.0"
source = { registry = "https://packages.example" }
wheels = [{ url = "https://files.example/n2.whl", hash = "sha256:ff", size = 1 }]

[[package]]
name = "pytest"
version = "8.0.0"
source = { registry = "https://packages.example" }
wheels = [{ url = "https://files.example/p.whl", hash = "sha256:00", size = 1 }]
"""

POETRY = """\
[[package]]
name = "uvicorn"
version = "0.30.0"
python-versions = ">=3.8"
files = [{file = "uvicorn.whl", hash = "sha256:ab"}]

[package.dependencies]
click = ">=7.0"
httptools = {version = ">=0.5", optional = true, markers = "extra == \\"standard\\""}

[package.extras]
standard = ["httptools (>=0.5)"]

[[package]]
name = "click"
version = "8.1.0"
python-versions = "*"
files = [{file = "click.whl", hash = "sha256:cc"}]

[[package]]
name = "httptools"
version = "0.6.0"
python-versions = "*"
files = [{file = "h.whl", hash = "sha256:dd"}]

[metadata]
lock-version = "2.0"
python-versions = "^3.11"
content-hash = "x"
"""

NPM = {
    "name": "acme",
    "lockfileVersion": 3,
    "packages": {
        "": {"name": "acme", "workspaces": ["apps/*"]},
        "apps/web": {"name": "@acme/web", "dependencies": {"react": "^18", "left-pad": "1"}},
        "apps/api": {"name": "@acme/api", "dependencies": {"@acme/web": "*", "left-pad": "2"}},
        "node_modules/@acme/web": {"resolved": "apps/web", "link": True},
        "node_modules/@acme/api": {"resolved": "apps/api", "link": True},
        "node_modules/react": {"version": "18.2.0", "integrity": "sha512-r", "dependencies": {"loose": "1"}},
        "node_modules/loose": {"version": "1.4.0", "integrity": "sha512-l", "peer": True},
        "node_modules/left-pad": {"version": "1.0.0", "integrity": "sha512-p1"},
        "apps/api/node_modules/left-pad": {"version": "2.0.0", "integrity": "sha512-p2"},
    },
}

REQUIREMENTS = """\
# made by a tool
--index-url https://pypi.example/simple
uvicorn[standard]==0.30.0 ; python_version >= "3.11" \\
    --hash=sha256:aa \\
    --hash=sha256:ab
    # via -r requirements.in
click==8.1.0 --hash=sha256:cc
"""


def nothing(_path: str) -> None:
    return None


def lock(path: str, content: str):
    return read(path, content.encode(), nothing)


def names(path: str, content: str, *roots: str) -> set[str]:
    return {node.name for node in lock(path, content).closure(roots).nodes.values()}


@pytest.mark.parametrize(
    ("roots", "found"),
    [
        (["acme-app"], {"acme-app", "acme-geo", "uvicorn", "click", "httptools", "numpy", "pytest"}),
        (["Acme_Geo"], {"acme-geo", "numpy"}),
        (["uvicorn"], {"uvicorn", "click"}),
        (["uvicorn[standard]"], {"uvicorn", "click", "httptools"}),
        (["click", "gone"], {"click", "gone"}),
        ([], {"acme-app", "acme-geo", "uvicorn", "click", "httptools", "numpy", "pytest"}),
    ],
)
def test_a_closure_of_uv_lock_follows_extras_groups_of_members_and_exact_versions(roots, found):
    assert names("uv.lock", UV, *roots) == found


def test_of_a_fork_only_the_version_that_is_meant_is_reached():
    versions = {node.version for node in lock("uv.lock", UV).closure(["acme-geo"]).nodes.values()}
    assert versions == {"1.0", "1.26.4"}


def test_a_closure_of_poetry_lock_takes_optional_dependencies_with_their_extra_only():
    assert names("poetry.lock", POETRY, "uvicorn") == {"uvicorn", "click"}
    assert names("poetry.lock", POETRY, "uvicorn[standard]") == {"uvicorn", "click", "httptools"}


def test_a_closure_of_package_lock_finds_modules_as_node_does():
    text = json.dumps(NPM)
    assert names("package-lock.json", text, "apps/web") == {"@acme/web", "react", "loose", "left-pad"}
    found = lock("package-lock.json", text).closure(["@acme/api"])
    assert {(node.name, node.version) for node in found.nodes.values()} >= {
        ("left-pad", "2.0.0"), ("react", "18.2.0"), ("left-pad", "1.0.0"),
    }  # fmt: skip
    # What hoisting calls it is no difference.
    unpeered = text.replace(', "peer": true', "")
    assert lock("package-lock.json", unpeered).closure(["apps/web"]).digest == (
        lock("package-lock.json", text).closure(["apps/web"]).digest
    )


def test_of_requirements_comments_order_and_line_breaks_do_not_count_but_all_else_does():
    path = "services/a/requirements.txt"
    digest = lock(path, REQUIREMENTS).closure([]).digest
    again = (
        "click==8.1.0 --hash=sha256:cc # pinned\n--index-url https://pypi.example/simple\n"
        'uvicorn[standard]==0.30.0 ; python_version >= "3.11" --hash=sha256:ab --hash=sha256:aa\n'
    )
    assert lock(path, again).closure(["whatever"]).digest == digest
    for old, new in (
        ("8.1.0", "8.1.1"),
        (":cc", ":c1"),
        ("[standard]", ""),
        ("3.11", "3.12"),
        ("pypi", "pip"),
    ):
        assert lock(path, REQUIREMENTS.replace(old, new)).closure([]).digest != digest


def test_an_included_requirements_file_counts_and_a_missing_one_is_an_error():
    files = {"locks/base.txt": b"click==8.1.0\n-r more.txt\n", "locks/more.txt": b"-r base.txt\nidna==3\n"}
    found = read("a/requirements.txt", b"-r ../locks/base.txt\n", files.get)
    assert {node.name for node in found.closure([]).nodes.values()} == {"click", "idna"}
    with pytest.raises(LockError, match=r"a/requirements\.txt: it includes a/gone\.txt, which is not there"):
        read("a/requirements.txt", b"-c gone.txt\n", files.get)


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("uv.lock", "version = 2\n"),
        ("uv.lock", "[[package"),
        ("uv.lock", 'version = 1\n[[package]]\nversion = "1"\n'),
        ("poetry.lock", "x = 1\n"),
        ("package-lock.json", "{"),
        ("package-lock.json", '{"lockfileVersion": 1, "dependencies": {}}'),
        ("package-lock.json", "[" * 100_000),
        ("yarn.lock", ""),
    ],
)
def test_a_lock_that_cannot_be_read_is_an_error_that_names_it(path, content):
    with pytest.raises(LockError, match=f"^{path}: "):
        lock(path, content)


#: By lock, where a closure begins, and edits each of which makes another installation.
COUNTS = {
    "uv.lock": (UV, "uvicorn[standard]", {
        "version": ('version = "8.1.0"', 'version = "8.1.1"'),
        "source": ('name = "click"\nversion = "8.1.0"\nsource = { registry = "https://packages.example" }',
                   'name = "click"\nversion = "8.1.0"\nsource = { git = "https://git.example/click" }'),
        "hash": ("sha256:cc", "sha256:c0"),
        "hash of the sources": ("sha256:aa", "sha256:a0"),
        "marker of a need": ('[{ name = "click" }]', '[{ name = "click", marker = "os_name == \'nt\'" }]'),
        "marker of a fork": ('name = "click"\n', 'name = "click"\nresolution-markers = ["x == \'y\'"]\n'),
        "marker of an extra": ('standard = [{ name = "httptools" }]',
                               'standard = [{ name = "httptools", marker = "os_name == \'nt\'" }]'),
        "need": ('[{ name = "click" }]', '[{ name = "click" }, { name = "pytest" }]'),
        "extra of a need": ('[{ name = "click" }]', '[{ name = "click", extra = ["colour"] }]'),
    }),
    "poetry.lock": (POETRY, "uvicorn[standard]", {
        "version": ('version = "8.1.0"', 'version = "8.1.1"'),
        "source": ('name = "click"\n', 'name = "click"\nsource = {type = "git", url = "x"}\n'),
        "hash": ("sha256:cc", "sha256:c0"),
        "marker": ('name = "click"\n', 'name = "click"\nmarkers = "os_name == \'nt\'"\n'),
        "Python": ('python-versions = ">=3.8"', 'python-versions = ">=3.9"'),
        "marker of a need": ('click = ">=7.0"', 'click = {version = ">=7.0", markers = "os_name == \'nt\'"}'),
    }),
    "package-lock.json": (json.dumps(NPM), "apps/web", {
        "version": ('"18.2.0"', '"18.2.1"'),
        "hash": ("sha512-r", "sha512-x"),
        "source": ('"sha512-p1"', '"sha512-p1", "resolved": "https://elsewhere.example/left-pad.tgz"'),
        "need": ('"react": "^18"', '"react": "^18", "loose": "1"'),
        "what is needed through another": ("sha512-l", "sha512-x"),
    }),
}  # fmt: skip


@pytest.mark.parametrize(
    ("path", "what"), [(path, what) for path, (_, _, edits) in COUNTS.items() for what in edits]
)
def test_whatever_makes_another_installation_is_another_closure(path, what):
    text, root, edits = COUNTS[path]
    old, new = edits[what]
    assert text.count(old) == 1
    edited = lock(path, text.replace(old, new)).closure([root])
    assert edited.digest != lock(path, text).closure([root]).digest


def test_what_differs_is_said_with_versions():
    old = lock("uv.lock", UV).closure(["acme-app"])
    bumped = UV.replace('"8.1.0"', '"8.2.0"').replace('name = "httptools" }', 'name = "websockets" }')
    bumped = bumped.replace('name = "httptools"\n', 'name = "websockets"\n').replace(":00", ":01")
    new = lock("uv.lock", bumped).closure(["acme-app"])
    assert (
        difference(old, new)
        == "click 8.1.0 -> 8.2.0, httptools removed, pytest 8.0.0 from other files, and 2 more"
    )


PACKAGES = [f"p{number}" for number in range(6)]
GRAPHS = st.fixed_dictionaries({name: st.sets(st.sampled_from(PACKAGES), max_size=3) for name in PACKAGES})


def uv_lock(graph: dict[str, set[str]], versions: dict[str, int]) -> str:
    text = "version = 1\n"
    for name, needs in graph.items():
        listed = ", ".join(f'{{ name = "{need}" }}' for need in sorted(needs))
        text += f'[[package]]\nname = "{name}"\nversion = "{versions[name]}"\n'
        text += f'source = {{ registry = "https://packages.example" }}\ndependencies = [{listed}]\n'
    return text


@given(graph=GRAPHS, bumped=st.sampled_from(PACKAGES), root=st.sampled_from(PACKAGES))
def test_a_bump_changes_exactly_the_closures_that_reach_it(graph, bumped, root):
    before = lock("uv.lock", uv_lock(graph, dict.fromkeys(PACKAGES, 1))).closure([root])
    after = lock("uv.lock", uv_lock(graph, {**dict.fromkeys(PACKAGES, 1), bumped: 2})).closure([root])
    reached, front = {root}, {root}
    while front:
        front = {need for name in front for need in graph[name]} - reached
        reached |= front
    assert (before.digest != after.digest) == (bumped in reached)
