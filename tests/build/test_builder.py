"""Builds of every type, from real commits with the real tools."""

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from daybreak.build.builder import BuildFailed, BuildStatus
from daybreak.errors import UsageError
from tests.monorepo import pyproject

#: Small and pure: a third-party package that every warm cache has.
LOCK = """iniconfig==2.3.1 \\
    --hash=sha256:67f4b9c50da0dedf52af349e7749a80a9057a5031199791b906c3bb3ae878960 \\
    --hash=sha256:9121e2c1fdb355232495be3194c8dfe87ccc2d5dee45947b78e68f499790d7a7
"""

SERVICE = (
    'TRIPS = Resource(name="trips", type=rt.SERVICE, packages_dependency=[GEO], '
    'dependent_paths=["services/trips"], options={"command": ["python", "-m", "trips"]})\n'
)
SERVICE_FILES = {
    "services/trips/pyproject.toml": pyproject("trips", '"acme-geo", "iniconfig"', distribution="trips"),
    "services/trips/src/trips/__init__.py": "import acme_geo, iniconfig\n",
    "services/trips/src/trips/__main__.py": "import trips; print(trips.acme_geo.NAME)\n",
    "services/trips/requirements.txt": LOCK,
}


def names(archive: Path) -> list[str]:
    with zipfile.ZipFile(archive) as opened:
        return opened.namelist()


def test_a_package_becomes_a_wheel_once(works):
    first = works.build("common")
    again = works.build("common")
    assert (first.status, again.status) == (BuildStatus.BUILT, BuildStatus.REUSED)
    (wheel,) = works.fetch("common").iterdir()
    assert wheel.name == "acme_common-1.0-py3-none-any.whl"
    assert works.artifacts.store.exists(f"logs/build/common/{works.keys['common']}.log")
    assert list((works.home / "tmp").iterdir()) == []


def test_the_same_key_of_another_commit_is_reused_and_gives_the_same_bytes(works, tmp_path):
    works.build("common")
    first = next(works.fetch("common").iterdir()).read_bytes()
    works.commit({"README.md": "another commit"})
    assert works.build("common").status is BuildStatus.REUSED
    from daybreak.build.artifact import Artifacts
    from daybreak.store import Store

    works.artifacts, works.home = Artifacts(Store((tmp_path / "other").as_uri())), tmp_path / "elsewhere"
    assert works.build("common").status is BuildStatus.BUILT
    assert next(works.fetch("common").iterdir()).read_bytes() == first


def test_what_is_not_committed_is_not_built(works):
    works.monorepo.write(
        {
            "packages/common/src/acme_common/uncommitted.py": "",
            "packages/common/src/acme_common/__init__.py": "raise",
        }
    )
    works.build("common")
    (wheel,) = works.fetch("common").iterdir()
    assert "acme_common/uncommitted.py" not in names(wheel)
    assert zipfile.ZipFile(wheel).read("acme_common/__init__.py") == b"NAME = 'common'\n"


def test_a_service_is_wheels_lock_and_how_to_run(works):
    dockerfile = "FROM x AS dependencies\nCOPY services/trips/requirements.txt /\nFROM x\nCOPY wheels/ /w/\n"
    works.declare(SERVICE, {**SERVICE_FILES, "services/trips/Dockerfile": dockerfile})
    with pytest.raises(UsageError, match=r"trips needs the package common, .*daybreak build common"):
        works.build("trips")
    for name in ("common", "geo", "trips"):
        works.build(name)
    folder = works.fetch("trips")
    wheels = [
        "acme_common-1.0-py3-none-any.whl",
        "acme_geo-1.0-py3-none-any.whl",
        "trips-1.0-py3-none-any.whl",
    ]
    assert sorted(path.name for path in (folder / "wheels").iterdir()) == wheels
    assert (folder / "requirements.txt").read_text() == LOCK
    assert json.loads((folder / "runtime.json").read_text()) == {
        "schema": 1, "python": "3.11", "command": ["python", "-m", "trips"], "health": "/healthz",
        "wheels": wheels,
        "image": {"root": "services/trips", "dependencies": "dependencies", "os_packages": []},
    }  # fmt: skip
    # What its Dockerfile copies, at the paths of the monorepo.
    image = [path.relative_to(folder / "image") for path in (folder / "image").rglob("*") if path.is_file()]
    assert sorted(map(str, image)) == ["Dockerfile", "context/services/trips/requirements.txt"]


def test_a_lock_that_names_a_package_of_the_monorepo_is_refused(works):
    lock = LOCK + "acme_Geo==9.9 --hash=sha256:" + "0" * 64 + "\n"
    works.declare(SERVICE, {**SERVICE_FILES, "services/trips/requirements.txt": lock})
    works.build("common"), works.build("geo")
    with pytest.raises(
        BuildFailed, match=r"services/trips/requirements\.txt:4: acme_Geo is a package of this"
    ):
        works.build("trips")


LAMBDA = (
    'SCORER = Resource(name="scorer", type=rt.LAMBDA, packages_dependency=[GEO], '
    'dependent_paths=["functions/scorer"], options={"handler": "scorer.handler"})\n'
)
LAMBDA_FILES = {
    "functions/scorer/scorer.py": "import acme_geo, iniconfig\n\ndef handler(event, context):\n"
    "    return acme_geo.NAME\n",
    "functions/scorer/tests/test_scorer.py": "import scorer\n\ndef test_it():\n"
    "    assert scorer.handler({}, None) == 'geo'\n",
    "functions/scorer/requirements.txt": LOCK,
}


def test_a_function_is_one_zip_that_runs_by_itself(works):
    works.declare(LAMBDA, LAMBDA_FILES)
    for name in ("common", "geo", "scorer"):
        works.build(name)
    archive = works.fetch("scorer") / "function.zip"
    found = names(archive)
    assert found == sorted(found)
    assert {"scorer.py", "acme_geo/__init__.py", "acme_common/__init__.py", "iniconfig/__init__.py"} <= set(
        found
    )
    assert not [
        name for name in found if name.startswith(("tests", "requirements", "bin/")) or "pycache" in name
    ]
    with zipfile.ZipFile(archive) as opened:
        assert {entry.date_time for entry in opened.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    script = (
        f"import sys; sys.path.insert(0, {str(archive)!r}); import scorer; print(scorer.handler({{}}, None))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "geo"


def test_a_function_zip_has_the_same_bytes_on_another_day(works, tmp_path):
    from daybreak.build.artifact import Artifacts
    from daybreak.store import Store

    works.declare(LAMBDA, LAMBDA_FILES)
    seen = []
    for place in ("one", "two"):
        works.artifacts = Artifacts(Store((tmp_path / place / "store").as_uri()))
        works.home = tmp_path / place / "home"
        for name in ("common", "geo", "scorer"):
            works.build(name)
        seen.append((works.fetch("scorer") / "function.zip").read_bytes())
    assert seen[0] == seen[1]


def test_seeds_of_a_function_are_beside_its_zip_and_not_in_it(works):
    seeded = LAMBDA.replace("options=", 'seeds="functions/scorer/seeds/manifest.yaml", options=')
    works.declare(
        seeded, {**LAMBDA_FILES, "functions/scorer/seeds/manifest.yaml": "m", "functions/scorer/seeds/r": ""}
    )
    for name in ("common", "geo", "scorer"):
        works.build(name)
    folder = works.fetch("scorer")
    assert sorted(path.name for path in (folder / "seeds").iterdir()) == ["manifest.yaml", "r"]
    assert not [name for name in names(folder / "function.zip") if "seeds" in name or "manifest" in name]


def test_a_handler_that_is_not_in_the_bundle_is_an_error(works):
    works.declare(LAMBDA.replace("scorer.handler", "other.handler"), LAMBDA_FILES)
    works.build("common"), works.build("geo")
    with pytest.raises(BuildFailed, match=r"options\['handler'\]: other\.py is not in the bundle of scorer"):
        works.build("scorer")


def test_a_spark_application_is_its_main_file_and_a_zip_of_packages(works):
    works.declare(
        'JOB = Resource(name="job", type=rt.SPARK, packages_dependency=[COMMON], '
        'dependent_paths=["jobs/job"], options={"main": "main.py"})\n',
        {"jobs/job/main.py": "import acme_common, helper\n", "jobs/job/helper.py": ""},
    )
    works.build("common"), works.build("job")
    folder = works.fetch("job")
    assert (folder / "main.py").read_text() == "import acme_common, helper\n"
    assert {"helper.py", "acme_common/__init__.py"} <= set(names(folder / "packages.zip"))
    assert "main.py" not in names(folder / "packages.zip")


def test_a_database_is_its_migrations_and_seeds(works):
    works.declare(
        'FLEET = Resource(name="fleet", type=rt.DATABASE, dependent_paths=["databases/fleet"], '
        'seeds="seeds/fleet/manifest.yaml")\n',
        {
            "databases/fleet/migrations/001.sql": "select 1;",
            "seeds/fleet/manifest.yaml": "a",
            "seeds/fleet/x/r.csv": "b",
        },
    )
    works.build("fleet")
    folder = works.fetch("fleet")
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert files == ["migrations/001.sql", "seeds/manifest.yaml", "seeds/x/r.csv"]


def test_a_database_without_migrations_is_an_error(works):
    works.declare(
        'FLEET = Resource(name="fleet", type=rt.DATABASE, dependent_paths=["databases/fleet"])\n',
        {"databases/fleet/readme": ""},
    )
    with pytest.raises(
        BuildFailed, match=r"resources\.py:4: fleet: options\['migrations'\]: .* does not exist"
    ):
        works.build("fleet")


def test_infra_is_its_template(works):
    works.declare(
        'BASE = Resource(name="base", type=rt.INFRA, dependent_paths=["infra/base.yaml"], '
        'options={"template": "base.yaml"})\n',
        {"infra/base.yaml": "Resources: {}", "infra/other.yaml": ""},
    )
    works.build("base")
    assert [path.name for path in works.fetch("base").iterdir()] == ["base.yaml"]


def test_a_command_is_the_tree_after_its_own_build(works):
    works.declare(
        'FLAGS = Resource(name="flags", type=rt.COMMAND, dependent_paths=["flags"], '
        'options={"build": ["sh", "-c", "cat in > out"]})\n',
        {"flags/in": "on", "flags/tests/x": ""},
    )
    works.build("flags")
    assert (works.fetch("flags") / "flags/out").read_text() == "on"
    assert not (works.fetch("flags") / "flags/tests").exists()


def test_a_build_by_uv_gets_daybreaks_own(works, tmp_path, monkeypatch):
    # What a worker's PATH may look like.
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "uv").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "bin" / "uv").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    works.declare(
        'X = Resource(name="x", type=rt.COMMAND, dependent_paths=["x"], '
        'options={"build": ["uv", "venv", "--quiet", "--no-project", "made"]})\n',
        {"x/in": ""},
    )
    works.build("x")
    assert (works.fetch("x") / "x/made/pyvenv.cfg").is_file()


COMMAND = (
    'X = Resource(name="x", type=rt.COMMAND, dependent_paths=["x"], options={"build": ["sh", "build.sh"]})\n'
)


def test_a_build_sees_none_of_the_orchestrators_secrets(works, monkeypatch):
    for name in ("AIRFLOW__CORE__FERNET_KEY", "AWS_SECRET_ACCESS_KEY", "DAYBREAK_REGISTRY", "GITHUB_TOKEN"):
        monkeypatch.setenv(name, "s3cret")
    monkeypatch.setenv("WANTED", "passed")
    works.settings = works.settings.model_copy(update={"pass_environment": ("WANTED",)})
    works.declare(COMMAND, {"x/build.sh": "env > seen; env; pwd; echo $HOME > home"})
    works.build("x")
    seen = dict(line.split("=", 1) for line in (works.fetch("x") / "x/seen").read_text().splitlines())
    assert seen["WANTED"] == "passed"
    assert "s3cret" not in seen.values()
    assert set(seen) <= {
        "PATH", "LANG", "LC_ALL", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE",
        "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy",
        "all_proxy", "WANTED", "HOME", "TMPDIR", "UV_CACHE_DIR", "SOURCE_DATE_EPOCH", "PYTHONHASHSEED",
        "NO_COLOR", "PWD", "OLDPWD", "SHLVL", "_",
    }  # fmt: skip
    assert (works.fetch("x") / "x/home").read_text().startswith(str(works.home))
    assert b"s3cret" not in works.artifacts.store.get(f"logs/build/x/{works.keys['x']}.log")


def test_a_failed_build_says_its_last_lines_and_keeps_its_log(works):
    works.declare(COMMAND, {"x/build.sh": "echo early; seq 100; echo broken >&2; exit 7"})
    with pytest.raises(
        BuildFailed, match=r"x cannot be built: `sh build\.sh` ended with exit code 7"
    ) as caught:
        works.build("x")
    assert str(caught.value).endswith("100\nbroken")
    assert "early" not in str(caught.value)
    assert b"early" in works.artifacts.store.get(f"logs/build/x/{works.keys['x']}.log")
    assert not works.artifacts.exists("x", works.keys["x"])
    assert list((works.home / "tmp").iterdir()) == []


def test_a_build_that_does_not_end_is_killed_with_its_children(works, tmp_path):
    mark = tmp_path / "child"
    works.settings = works.settings.model_copy(update={"timeout_seconds": 1})
    works.declare(COMMAND, {"x/build.sh": f"sleep 60 & echo $! > {mark}; wait"})
    with pytest.raises(BuildFailed, match=r"build\.timeout_seconds") as caught:
        works.build("x")
    assert caught.value.code == "timeout"
    status = Path(f"/proc/{int(mark.read_text())}/stat")
    assert not status.exists() or status.read_text().split(") ")[1][0] == "Z"


def test_builders_of_one_key_at_the_same_time_build_once(works, tmp_path):
    count = tmp_path / "count"
    works.declare(COMMAND, {"x/build.sh": f"echo one >> {count}; sleep 0.3"})
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: works.build("x").status, range(4)))
    assert sorted(results) == [BuildStatus.BUILT] + [BuildStatus.REUSED] * 3
    assert count.read_text() == "one\n"


#: A process that builds the resource x: arguments are repository, store and home.
BUILD_X = """
import sys
from pathlib import Path
from daybreak.build.artifact import Artifacts
from daybreak.build.builder import build
from daybreak.catalog.loader import load
from daybreak.change.key import content_keys
from daybreak.git.repository import Repository
from daybreak.settings import BuildSettings
from daybreak.store import Store

repo, artifacts, home = Repository(Path(sys.argv[1])), Artifacts(Store(sys.argv[2])), Path(sys.argv[3])
catalog = load(repo, "HEAD")
keys = content_keys(repo, catalog)
print(build(repo, catalog, "x", keys, artifacts, home, BuildSettings(), lambda line: None).status)
"""


def build_x(works) -> subprocess.Popen[str]:
    arguments = (str(works.monorepo.path), works.artifacts.store.url, str(works.home))
    return subprocess.Popen((sys.executable, "-c", BUILD_X, *arguments), stdout=subprocess.PIPE, text=True)


def test_processes_that_build_one_key_at_the_same_time_build_once(works, tmp_path):
    count = tmp_path / "count"
    works.declare(COMMAND, {"x/build.sh": f"echo one >> {count}; sleep 0.3"})
    processes = [build_x(works) for _ in range(2)]
    assert sorted(process.communicate()[0].strip() for process in processes) == ["built", "reused"]
    assert count.read_text() == "one\n"


def test_after_a_kill_in_the_middle_the_next_build_succeeds(works, tmp_path):
    mark = tmp_path / "began"
    works.declare(COMMAND, {"x/build.sh": f"test -e {mark} && exit 0; echo $$ > {mark}; sleep 60"})
    process = build_x(works)
    while not mark.exists() or not mark.read_text().strip():
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    os.killpg(int(mark.read_text()), signal.SIGKILL)
    assert works.build("x").status is BuildStatus.BUILT


BACKENDS = {
    "setuptools": ("setuptools>=77", "setuptools.build_meta",
                   '[tool.setuptools.packages.find]\nwhere = ["src"]\n'),
    "hatchling": ("hatchling", "hatchling.build", ""),
    "poetry": ("poetry-core>=2", "poetry.core.masonry.api",
               '[tool.poetry]\npackages = [{include="acme_common", from="src"}]\n'),
    "uv": ("uv_build", "uv_build", ""),
}  # fmt: skip


@pytest.mark.parametrize(("requires", "backend", "rest"), BACKENDS.values(), ids=BACKENDS.keys())
def test_wheels_are_made_by_the_backend_that_a_package_names(works, requires, backend, rest):
    project = pyproject("common").replace("flit_core>=3.2", requires).replace("flit_core.buildapi", backend)
    works.commit({"packages/common/pyproject.toml": project.partition("[tool.flit")[0] + rest})
    works.build("common")
    (wheel,) = works.fetch("common").iterdir()
    assert "acme_common/__init__.py" in names(wheel)


def test_what_is_switched_off_is_not_built(works):
    works.declare(COMMAND.replace('name="x",', 'name="x", enabled=False,'), {"x/build.sh": ""})
    with pytest.raises(UsageError, match="x is not built"):
        works.build("x")


def test_a_resource_that_needs_more_than_its_files_does_not_find_it(works):
    works.declare(COMMAND, {"x/build.sh": "cat ../packages/common/pyproject.toml"})
    with pytest.raises(BuildFailed, match="No such file"):
        works.build("x")


def test_a_home_inside_a_project_with_uv_settings_is_not_disturbed_by_them(works, tmp_path):
    (tmp_path / "uv.toml").write_text('index-url = "http://127.0.0.1:9/simple"\n')
    assert works.build("common").status is BuildStatus.BUILT
