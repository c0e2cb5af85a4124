"""What the readers see in one file: facts with lines, and nothing executed."""

from __future__ import annotations

import ast
import textwrap

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from daybreak.catalog.discovery import facts, imports, reading
from daybreak.catalog.discovery.globs import selects

STRONG, WEAK = 0, 1


def read(kind: str, text: str) -> facts.Facts:
    return reading.read(kind, textwrap.dedent(text).encode())


def test_pyproject_requirements_have_their_line_and_how_sure_they_order_things():
    found = read(
        "pyproject",
        """\
        [project]
        name = "Acme.Trips"
        dependencies = [
          "acme-common[fast]>=1 ; python_version > '3.8'",
          "acme_geo @ file:///${PROJECT_ROOT}/../geo",
        ]
        readme = "../README.md"
        [project.optional-dependencies]
        maps = ["acme-maps"]
        [dependency-groups]
        dev = ["acme-testing", {include-group = "lint"}]
        [tool.uv.sources]
        acme-common = { path = "../common", editable = true }
        [tool.uv.workspace]
        members = ["libs/*"]
        """,
    )
    assert found["name"] == "Acme.Trips"
    assert found["requires"] == [
        ["acme-common", 4, STRONG], ["acme-geo", 5, STRONG], ["acme-maps", 9, WEAK],
        ["acme-testing", 11, WEAK],
    ]  # fmt: skip
    assert found["paths"] == [["../geo", 5, STRONG], ["../common", 13, STRONG], ["../README.md", 7, WEAK]]
    assert found["workspace"] == [["libs/*"], []]


HOOKED = """\
[project]
name = "acme-all"
dynamic = ["version", "dependencies", "optional-dependencies"]
[tool.hatch.metadata.hooks.versioning]
dependencies = [
    "acme-thin[cli]=={{ version }}",
]
[tool.hatch.metadata.hooks.versioning.optional-dependencies]
samples = ["acme-samples=={{ version }}"]
"""


@pytest.mark.parametrize(
    ("said", "sure"),
    [
        (HOOKED, True),
        (HOOKED.replace("acme-thin", "{{ name }}-thin"), False),
        (HOOKED + "[tool.hatch.metadata.hooks.custom]\n", False),
        (HOOKED.partition("[tool")[0], False),
        (HOOKED.partition("[tool")[0] + '[tool.poetry.dependencies]\nacme-thin = "*"\n', True),
        (HOOKED.partition("[tool")[0] + '[tool.setuptools.dynamic]\ndependencies = {file = "r.txt"}\n', True),
    ],
)
def test_dynamic_dependencies_are_sure_where_the_manifest_tells_them_all(said, sure):
    found = read("pyproject", said)
    assert bool(found.get("dynamic") and not found["files"]) is not sure
    if said == HOOKED:
        assert found["requires"] == [["acme-thin", 6, STRONG], ["acme-samples", 9, WEAK]]


def test_poetry_dependencies_groups_and_paths():
    found = read(
        "pyproject",
        """\
        [tool.poetry]
        name = "langchain-core"
        packages = [{ include = "langchain_core", from = "python" }]
        [tool.poetry.dependencies]
        python = ">=3.9"
        langsmith = "^0.1"
        text-splitters = { path = "../text-splitters", optional = true }
        [[tool.poetry.dependencies.pydantic]]
        version = "^2"
        [tool.poetry.group.test.dependencies.langchain-standard-tests]
        path = "../standard-tests"
        develop = true
        """,
    )
    assert ["langsmith", 6, STRONG] in found["requires"]
    assert ["pydantic", 8, STRONG] in found["requires"]
    assert ["langchain-standard-tests", 10, WEAK] in found["requires"]
    assert found["paths"] == [
        ["../text-splitters", 7, WEAK], ["../standard-tests", 10, WEAK],
    ]  # fmt: skip
    assert found["where"] == ["python"]


def test_setup_py_is_read_as_text_through_constants_and_formats():
    found = read(
        "setuppy",
        """\
        import os
        from setuptools import find_packages, setup
        PACKAGE_NAME = "azure-keyvault-secrets"
        pin = "" if os.environ.get("X") else f"=={ver}"
        BASE = ["acme-common"]
        setup(
            name=PACKAGE_NAME,
            package_dir={"": "src"},
            install_requires=BASE + ["boto3", f"dagster{pin}", "azure-core" + pin, "other=={}".format(ver)],
            extras_require={"q": ["dagster-pyspark"], **{"r": BASE}},
        )
        """,
    )
    assert found["name"] == "azure-keyvault-secrets"
    assert [each[0] for each in found["requires"]] == [
        "acme-common", "boto3", "dagster", "azure-core", "other", "dagster-pyspark", "acme-common",
    ]  # fmt: skip
    assert found["requires"][2] == ["dagster", 9, STRONG]
    assert found["where"] == ["src"]
    assert found["unsure"] == []


@pytest.mark.parametrize(
    ("call", "what"),
    [
        ("setup(name='a', install_requires=read())", "install_requires is computed"),
        ("setup(name='a', **kwargs)", "setup(**…) is computed"),
        ("setup(name=read_name())", "the distribution's name is computed"),
    ],
)
def test_what_setup_py_computes_is_said_to_be_unsure(call, what):
    assert read("setuppy", f"from setuptools import setup\n{call}\n")["unsure"] == [[2, what]]


def test_setup_py_that_reads_a_requirements_file_names_it():
    found = read("setuppy", "setup(name='a', install_requires=open('requirements/base.txt').readlines())")
    assert (found["files"], found["unsure"]) == (["requirements/base.txt"], [])


def test_setup_cfg_and_requirements():
    found = read(
        "setupcfg",
        """\
        [metadata]
        name = acme-geo
        [options]
        package_dir =
            = src
        install_requires =
            acme-common>=1
            attrs; python_version < "3.9"
        [options.extras_require]
        dev = acme-testing
        """,
    )
    assert found["name"] == "acme-geo"
    assert found["requires"] == [["acme-common", 7, STRONG], ["attrs", 8, STRONG], ["acme-testing", 10, WEAK]]
    assert found["where"] == ["src"]
    listed = read(
        "requirements",
        """\
        # comment
        -r base.txt
        -e ../common  # ours
        acme-geo[x]==1 \\
            --hash=sha256:00
        ./libs/local
        https://example.com/x.whl
        """,
    )
    assert listed["files"] == ["base.txt"]
    assert listed["paths"] == [["../common", 3, STRONG], ["./libs/local", 6, STRONG]]
    assert listed["requires"] == [["acme-geo", 4, STRONG]]


def test_package_json_workspaces_aliases_and_folders():
    found = read(
        "node",
        """\
        {
          "name": "@acme/web",
          "workspaces": {"packages": ["packages/*", "!packages/old"]},
          "dependencies": {
            "@acme/ui": "workspace:^",
            "ui-next": "npm:@acme/ui2@1",
            "local": "file:../local"
          },
          "devDependencies": {
            "@acme/test": "*"
          }
        }
        """,
    )
    assert found["workspace"] == ["packages/*", "!packages/old"]
    assert found["requires"] == [
        ["@acme/ui", 5, STRONG], ["@acme/ui2", 6, STRONG], ["local", 7, STRONG], ["@acme/test", 10, WEAK],
    ]  # fmt: skip
    assert found["paths"] == [["../local", 7, STRONG]]
    assert "catalog" not in found
    assert read("node", '{"devDependencies": {"vite": "catalog:web"}}')["catalog"] == 1
    assert selects("packages/new", found["workspace"])
    assert not selects("packages/old", found["workspace"])
    assert not selects("packages/a/b", found["workspace"])


def test_a_dockerfile_says_what_it_takes_from_its_context():
    found = read(
        "docker",
        """\
        # syntax=docker/dockerfile:1
        ARG BASE=python:3.13
        ARG OTHER
        FROM ${BASE} AS dep
        ARG DIR=services
        COPY --chown=1:1 $DIR/trips/requirements.txt /tmp/
        FROM ${OTHER}
        COPY --from=dep /x /y
        COPY a \\
          # a comment within
          b /dst
        ADD https://example.com/x /z
        COPY ["c d", "/x"]
        RUN --mount=type=bind,source=packages,target=/p pip install /p
        RUN <<EOF
        COPY nothing here
        EOF
        COPY ${UNKNOWN}/x /y
        CMD ["python", "-m", "acme_trips"]
        """,
    )
    assert found["copies"] == [
        ["services/trips/requirements.txt", 6], ["a", 9], ["b", 9], ["c d", 13], ["packages", 14],
    ]  # fmt: skip
    assert [line for line, _ in found["unsure"]] == [7, 18]
    assert found["command"] == ["python", "-m", "acme_trips"]


def test_a_template_with_any_tag_is_read_and_never_constructed():
    found = read(
        "template",
        """\
        AWSTemplateFormatVersion: "2010-09-09"
        Resources:
          Hello:
            Type: AWS::Serverless::Function
            Properties:
              CodeUri: hello/
              Handler: app.handler
              Role: !GetAtt [Role, Arn]
          Layer: {Type: AWS::Serverless::LayerVersion, Properties: {ContentUri: ../layer}}
          Bucketed: {Type: AWS::Lambda::Function, Properties: {Code: {S3Bucket: !Ref B, S3Key: k}}}
          Evil: !!python/object/apply:os.system ["exit 1"]
        """,
    )
    assert found["functions"] == [["Hello", 6, "hello/", "app.handler"]]
    assert found["paths"] == [["../layer", 9]]
    assert read("template", "a: {{ .Values.x }}\n") == {}


def test_imports_know_which_run_at_once_and_which_may_close_a_circle():
    found = read(
        "py",
        """\
        from __future__ import annotations
        import a.b as c, d
        from . import x
        from ..y import (z,
          w)
        if TYPE_CHECKING:
            import t
        try:
            import o
        except ImportError:
            o = None
        class A:
            with x: import k
            def f(self):
                import g
        match x:
            case 1:
                import m
        """,
    )
    assert found["i"] == [
        ["a.b", 0, [], 2, STRONG], ["d", 0, [], 2, STRONG], ["", 1, ["x"], 3, STRONG],
        ["y", 2, ["z", "w"], 4, STRONG], ["t", 0, [], 7, WEAK], ["o", 0, [], 9, WEAK],
        ["k", 0, [], 13, STRONG], ["g", 0, [], 15, WEAK], ["m", 0, [], 18, STRONG],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("call", "prefix"),
    [
        ('import_module("acme.geo")', "acme.geo"),
        ('importlib.import_module(f"acme.plugins.{name}")', "acme.plugins"),
        ('import_module("acme.plugins." + name)', "acme.plugins"),
        ('import_module("acme.plug%s" % name)', "acme"),
        ('import_module("acme.{}".format(name))', "acme"),
        ('import_module(".x", package=__name__)', "."),
        ('import_module(f"{__name__}.{x}")', "."),
        ("__import__(name)", None),
        ("import_module(name, package)", None),
        ('import_module(f"{name}.x")', None),
    ],
)
def test_a_dynamic_import_is_as_sure_as_its_first_words(call, prefix):
    ((line, _, found),) = read("py", f"\n{call}\n")["d"]
    assert (line, found) == (2, prefix)


def test_a_module_that_this_python_does_not_understand_still_shows_its_imports():
    found = read("py", "import a\nfrom b.c import (d,\n  e)\nx = f(\nif x: import z; __import__(q)\n")
    assert {each[0] for each in found["i"]} == {"a", "b.c", "z"}
    assert found["e"] == 4
    assert found["d"][0][2] is None


@pytest.mark.parametrize(
    ("kind", "text", "line"),
    [
        ("pyproject", "[project]\nname = \n", 2),
        ("node", '{\n"name": }', 2),
        ("setupcfg", "[metadata]\nname\n nonsense", 2),
        ("setuppy", "x = 1\nsetup(name=)\n", 2),
        ("workspace", "packages:\n  - [", 2),
        ("template", "AWSTemplateFormatVersion: x\nResources: {a: [}\n", 2),
    ],
)
def test_a_malformed_manifest_is_a_fact_with_its_line(kind, text, line):
    assert read(kind, text)["error"][0] in {line, line + 1}


KINDS = ("pyproject", "setupcfg", "setuppy", "requirements", "node", "workspace", "lerna", "daybreak",
         "alembic", "docker", "dockerignore", "template", "compose", "py")  # fmt: skip


@given(st.sampled_from(KINDS), st.binary(max_size=200))
def test_no_bytes_are_more_than_an_error(kind, content):
    assert isinstance(reading.read(kind, content), dict)


WORDS = st.sampled_from(["a", "b.c", "x"])
STATEMENTS = st.recursive(
    st.builds("import {}".format, WORDS)
    | st.builds("from {} import n, m as k".format, WORDS)
    | st.just("y = 1"),
    lambda inner: st.lists(inner, min_size=1, max_size=3).flatmap(
        lambda body: st.sampled_from(["if q:", "def f():", "class C:", "for i in q:", "while q:", "with q:",
                                      "async def g():"]).map(
            lambda head: f"{head}\n" + textwrap.indent("\n".join(body), "    ")
        )
    ),
    max_leaves=12,
)  # fmt: skip


@given(st.lists(STATEMENTS, max_size=6))
def test_every_import_statement_is_seen_wherever_it_stands(statements):
    source = "\n".join(statements) + "\n"
    expected = sorted(
        (node.lineno, alias.name if isinstance(node, ast.Import) else node.module)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in (node.names if isinstance(node, ast.Import) else node.names[:1])
    )
    assert sorted((each[3], each[0]) for each in reading.read("py", source.encode()).get("i", [])) == expected


#: Texts at which a module may be cut wrongly: several lines, brackets, handlers, words that only look so.
PIECES = (
    "import a", "from a import b", "from a import (\nb,\nc)", "from . \\\n  import d", "import a; import b",
    "if q: import a", "x = f(\na, b)", "x = (\nimportant, b)", "'''\nimport no\nx\n'''", "# import no",
    "try:\n    import a\nexcept ValueError:\n    import b\nexcept ImportError:\n    pass",
    "try:\n    import a\nfinally:\n    pass\nx", "if q:\n    pass\nelse:\n    import e", "x = 1",
    "def f():\n    import g\n\n\n    return 1", "@d\nclass C:\n    x: int\n    import k", "s = 'import no'",
    "import_module('a.b')", "run_module(x)", "def g():\n    yield from h", "if TYPE_CHECKING:\n    import t",
    "\x0cimport f", "x = 1 \\\n  + 2", "raise E from e", "import a\rimport b",
)  # fmt: skip


@settings(max_examples=300)
@given(st.lists(st.sampled_from(PIECES), max_size=7), st.sampled_from(["\n", "\n\n", "\r\n"]))
def test_a_module_that_is_read_up_to_its_last_import_says_what_all_of_it_says(pieces, end):
    source = "".join(f"{piece}{end}" for piece in pieces).encode()
    try:
        module = ast.parse(source)
    except SyntaxError:
        reject()
    found = imports.read(source)
    assert found.get("i", []) == list(imports.imports(module.body))
    assert found.get("d", []) == list(imports.dynamic_imports(module))
    assert "e" not in found
