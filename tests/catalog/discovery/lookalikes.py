"""Small monorepos that look like well-known public ones, where these are hardest to read.

Each is a mapping from paths to contents; the shapes follow langchain, azure-sdk-for-python, dagster, Airflow
with its providers, Home Assistant, babel and backstage.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Files = dict[str, str]

_EXTEND = "__path__ = __import__('pkgutil').extend_path(__path__, __name__)\n"


def poetry_family() -> Files:
    """langchain: Poetry, path sources, and development dependencies that close circles."""

    def project(folder: str, needs: Mapping[str, str] = {}, tests: Mapping[str, str] = {}) -> Files:
        name = f"langchain-{folder.rpartition('/')[2]}"
        module = name.replace("-", "_")
        lines = ["[tool.poetry]", f'name = "{name}"', "[tool.poetry.dependencies]", 'python = ">=3.9"']
        lines += [f'{other} = ">=0.3"' for other in needs]
        for other, path in tests.items():
            lines += [f"[tool.poetry.group.test.dependencies.{other}]", f'path = "{path}"', "develop = true"]
        imports = [f"from {other.replace('-', '_')}.base import thing" for other in needs]
        test_imports = [f"from {other.replace('-', '_')} import unit" for other in tests]
        return {
            f"libs/{folder}/pyproject.toml": "\n".join(lines) + "\n",
            f"libs/{folder}/{module}/__init__.py": "",
            f"libs/{folder}/{module}/base.py": "\n".join([*imports, "thing = 1"]) + "\n",
            f"libs/{folder}/tests/unit_tests/test_base.py": "\n".join([*test_imports, "x = 1"]) + "\n",
        }

    standard = {"langchain-standard-tests": "../standard-tests"}
    partner = {"langchain-standard-tests": "../../standard-tests"}
    return {
        **project("core", tests=standard),
        **project("standard-tests", {"langchain-core": ""}),
        "libs/standard-tests/langchain_standard_tests/unit.py": "from langchain_core.base import thing\n",
        **project("text-splitters", {"langchain-core": ""}),
        **project("langchain", {"langchain-core": "", "langchain-text-splitters": ""}, standard),
        **project("partners/openai", {"langchain-core": ""}, partner),
        "libs/cli/pyproject.toml": '[tool.poetry]\nname = "langchain-cli"\n',
        "libs/cli/langchain_cli/project_template/pyproject.toml": '[tool.poetry]\nname = "__app_name__"\n',
        "libs/cli/langchain_cli/integration_template/{{name}}/pyproject.toml": "not toml at all {{\n",
        "cookbook/rag.ipynb": "{}",
        "pyproject.toml": '[tool.ruff]\nextend-include = ["*.ipynb"]\n',
    }


def namespace_family(
    services: Iterable[str] = ("keyvault-secrets", "keyvault-keys", "storage-blob"),
) -> Files:
    """azure-sdk-for-python: one namespace over many distributions, ``setup.py`` with computed names."""
    files: Files = {
        "sdk/core/azure-core/setup.py": 'from setuptools import setup\nsetup(name="azure-core")\n',
        "sdk/core/azure-core/azure/core/__init__.py": "",
        "sdk/core/azure-core/azure/core/pipeline.py": "import typing\n",
        "sdk/core/azure-core/samples/transport.py": "from azure.storage.blob import y\n",
        "sdk/nspkg/azure-nspkg/setup.py": 'from setuptools import setup\nsetup(name="azure-nspkg")\n',
        "sdk/nspkg/azure-nspkg/azure/__init__.py":
            _EXTEND,
        "eng/tools/pylint_custom/setup.py": 'from setuptools import setup\nsetup(name="pylint-guidelines")\n',
    }  # fmt: skip
    for service in ("keyvault-secrets", "keyvault-keys", "storage-blob"):
        area = service.partition("-")[0]
        path, package = f"sdk/{area}/azure-{service}", f"azure/{service.replace('-', '/')}"
        files |= {
            f"{path}/setup.py": "from setuptools import find_packages, setup\n"
            f'PACKAGE_NAME = "azure-{service}"\n'
            'NAMESPACE = PACKAGE_NAME.replace("-", ".")\n'
            "setup(name=PACKAGE_NAME, packages=find_packages(),\n"
            '      install_requires=["azure-core<2.0.0,>=1.0.0"])\n',
            f"{path}/azure/__init__.py": _EXTEND,
            f"{path}/azure/{area}/__init__.py": _EXTEND,
            f"{path}/{package}/__init__.py": "from azure.core.pipeline import Pipeline\nfrom ._x import y\n",
            f"{path}/{package}/_x.py": "y = 1\n",
            f"{path}/samples/hello.py": f"from {package.replace('/', '.')} import y\n",
        }
    return files


def pinned_family() -> Files:
    """dagster: ``setup.py`` with pins computed into names, test packages beside, examples that use all."""

    def project(folder: str, name: str, needs: Iterable[str] = (), extras: Iterable[str] = ()) -> Files:
        module = name.replace("-", "_")
        wanted = ", ".join(f'f"{other}{{pin}}"' for other in needs)
        return {
            f"{folder}/setup.py": "from setuptools import find_packages, setup\n"
            'ver = "1!0+dev"\npin = "" if ver == "1!0+dev" else f"=={ver}"\n'
            f'setup(\n    name="{name}",\n    install_requires=[{wanted}],\n'
            f'    extras_require={{"test": {list(extras)!r}}},\n)\n',
            f"{folder}/setup.cfg": "[metadata]\nlicense_files = LICENSE\n",
            f"{folder}/{module}/__init__.py": "".join(f"import {n.replace('-', '_')}\n" for n in needs),
            f"{folder}/{module}_tests/test_it.py": f"import {module}\n",
        }

    libraries = "python_modules/libraries"
    return {
        **project("python_modules/dagster", "dagster", ["dagster-pipes"], ["dagster-test"]),
        **project("python_modules/dagster-pipes", "dagster-pipes"),
        **project("python_modules/dagster-test", "dagster-test", ["dagster"]),
        **project(f"{libraries}/dagster-aws", "dagster-aws", ["dagster"], ["dagster-pyspark"]),
        **project(f"{libraries}/dagster-pyspark", "dagster-pyspark", ["dagster"]),
        **project("examples/everything", "everything", ["dagster", "dagster-aws", "dagster-pyspark"]),
        "tox.ini": "[tox]\n",
    }


def provider_family() -> Files:
    """Airflow: a uv workspace, a namespace shared by core and providers, a root project, nested members."""

    def member(path: str, name: str, needs: Iterable[str] = (), body: Mapping[str, str] = {}) -> Files:
        wanted = ", ".join(f'"{other}"' for other in needs)
        return {
            f"{path}/pyproject.toml": f'[project]\nname = "{name}"\ndependencies = [{wanted}]\n'
            "[build-system]\nrequires = ['hatchling']\nbuild-backend = 'hatchling.build'\n",
            **{f"{path}/{file}": text for file, text in body.items()},
        }

    provider = "src/airflow/providers"
    return {
        "pyproject.toml": '[project]\nname = "apache-airflow"\nversion = "3"\n'
        'dependencies = ["apache-airflow-core"]\n[project.optional-dependencies]\n'
        '"common.sql" = ["apache-airflow-providers-common-sql>=1"]\n'
        '[tool.uv.workspace]\nmembers = ["airflow-core", "task-sdk", "providers/*/*", "providers/*"]\n'
        "exclude = ['providers/old']\n",
        "scripts/ci/check.py": "import os\n",
        "conftest.py": "",
        "README.md": "",
        **member("airflow-core", "apache-airflow-core", ["apache-airflow-task-sdk"], {
            "src/airflow/__init__.py": _EXTEND,
            "src/airflow/models.py": "from airflow.sdk.definitions import dag\n",
            "tests/unit/test_models.py": "from airflow.providers.common.sql.hooks import Hook\n",
        }),
        **member("task-sdk", "apache-airflow-task-sdk", [], {
            "src/airflow/sdk/__init__.py": "", "src/airflow/sdk/definitions.py": "dag = 1\n",
        }),
        **member("providers/common/sql", "apache-airflow-providers-common-sql", ["apache-airflow-core"], {
            f"{provider}/common/sql/__init__.py": "", f"{provider}/common/sql/hooks.py": "Hook = 1\n",
        }),
        **member("providers/postgres", "apache-airflow-providers-postgres",
                 ["apache_airflow_providers.common_sql>=1", "psycopg2"], {
            f"{provider}/postgres/__init__.py": "",
            f"{provider}/postgres/hooks.py": "from airflow.providers.common.sql.hooks import Hook\n"
                                             "from airflow import models\n",
        }),
        "providers/old/pyproject.toml": '[tool.x]\n',
        "uv.lock": "version = 1\n",
    }  # fmt: skip


def platform() -> Files:
    """Home Assistant: one package whose integrations are imported by computed names."""
    return {
        "pyproject.toml": '[project]\nname = "homeassistant"\nversion = "1"\n[build-system]\nrequires = []\n',
        "homeassistant/__init__.py": "",
        "homeassistant/loader.py": "import importlib\n\n\ndef load(domain):\n"
        '    return importlib.import_module(f"homeassistant.components.{domain}")\n',
        "homeassistant/components/light/__init__.py": "from homeassistant.helpers import entity\n",
        "homeassistant/components/hue/__init__.py": "from ..light import x\n",
        "homeassistant/helpers/entity.py": "",
        "tests/components/hue/test_hue.py": "from homeassistant.components import hue\n",
        "script/hassfest/__main__.py": "from homeassistant.loader import load\n",
        "tests/fixtures/project/pyproject.toml": '[project]\nname = "a-fixture"\n',
    }


def yarn_family() -> Files:
    """babel and backstage: Yarn and Lerna workspaces, hundreds of fixtures that are packages, no Python."""

    def package(path: str, name: str, needs: Mapping[str, str] = {}, dev: Mapping[str, str] = {}) -> Files:
        import json

        said = {"name": name, "version": "7.0.0", "dependencies": dict(needs), "devDependencies": dict(dev)}
        return {f"{path}/package.json": json.dumps(said, indent=2), f"{path}/src/index.ts": "export {}\n"}

    return {
        "package.json": '{"name": "root", "workspaces": {"packages": ["packages/*", "plugins/*"]}}',
        "lerna.json": '{"packages": ["packages/*", "codemods/*"]}',
        "babel.config.js": "",
        "yarn.lock": "# yarn lockfile v1\n",
        **package("packages/babel-core", "@babel/core", {"@babel/parser": "workspace:^", "json5": "^2"},
                  {"@babel/helper-fixtures": "workspace:^"}),
        **package("packages/babel-parser", "@babel/parser"),
        **package("packages/babel-helper-fixtures", "@babel/helper-fixtures", {"@babel/core": "^7.0.0"}),
        **package("plugins/catalog", "@backstage/plugin-catalog", {"core": "npm:@babel/core@7"}),
        **package("codemods/one", "@babel/codemod-one"),
        "packages/babel-core/test/fixtures/resolution/package.json": '{"name": "a-fixture"}',
        "packages/babel-core/test/fixtures/broken/package.json": '{"name": ',
        "docs/site/package.json": '{"name": "site", "dependencies": {"@babel/core": "*"}}',
        "packages/backend/package.json":
            '{"name": "backend", "dependencies": {"@backstage/plugin-catalog": "^1"}}',
        "packages/backend/Dockerfile":
            "FROM node:20\nCOPY yarn.lock package.json ./\nCOPY packages/backend/dist ./\nCOPY . .\n"
            'CMD ["node", "packages/backend"]\n',
        ".dockerignore": "docs\n*.md\n!packages/keep.md\n",
    }  # fmt: skip


def script_pile() -> Files:
    """Nobody's monorepo: services with a Dockerfile and a requirements file, shared code on PYTHONPATH."""
    return {
        "services/pay/Dockerfile": "FROM python:3.12\nCOPY requirements.txt .\nCOPY . .\n"
        'CMD ["python", "main.py"]\n',
        "services/pay/requirements.txt": "flask\n",
        "services/pay/main.py": "import flask\nfrom shared.money import cents\nimport helpers\n",
        "services/pay/helpers.py": "",
        "services/pay-api/Dockerfile": "FROM python:3.12\nCOPY services/pay-api /a\nCOPY libs/shared /s\n",
        "services/pay-api/main.py": "import helpers\nfrom services.pay import helpers as theirs\n",
        "services/pay-api/helpers.py": "",
        "services/mail/Dockerfile": "ARG BASE\nFROM $BASE\nCOPY . /app\n",
        "services/mail/main.py": "import importlib\nimportlib.import_module(NAME)\n",
        "libs/shared/money.py": "from shared import rounding\nfrom legacy import tables\n",
        "libs/shared/rounding.py": "",
        "libs/shared/__init__.py": "",
        "libs/legacy/__init__.py": "",
        "libs/legacy/tables.py": "",
        "libs/unused/__init__.py": "",
        "docker-compose.yml": "services:\n  mail: {build: {context: ./services/mail}}\n  db: {image: x}\n",
        "db/migrations/0001_init.sql": "create table x (id int);\n",
        "deploy/queue/template.yaml": "AWSTemplateFormatVersion: '2010-09-09'\nResources:\n  Fn:\n"
        "    Type: AWS::Serverless::Function\n    Properties: {CodeUri: fn/, Handler: app.handler}\n",
        "deploy/queue/fn/app.py": "from shared.money import cents\n",
    }
