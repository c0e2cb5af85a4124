"""What the image is made of, as far as it can be known without building it."""

from __future__ import annotations

import fnmatch
import json
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from daybreak.settings import BuildSettings
from tests.stack.conftest import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")


def copied() -> list[str]:
    """The sources of every COPY from the build context."""
    lines = re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE)
    return [source for line in lines for source in line.split()[:-1]]


def ignored(path: str) -> bool:
    """Whether ``.dockerignore`` keeps ``path`` from the builder; the last line that matches decides."""
    hidden = False
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if line and not line.startswith("#"):
            pattern = line.removeprefix("!").removeprefix("**/")
            parts = Path(path).parts if line.startswith("**/") else [Path(path).parts[0]]
            if any(fnmatch.fnmatch(part, pattern) for part in parts):
                hidden = not line.startswith("!")
    return hidden


def test_everything_that_is_copied_is_in_a_clone_and_reaches_the_builder() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for source in copied():
        found = [line for line in tracked.splitlines() if line == source or line.startswith(f"{source}/")]
        assert found, f"COPY {source}: no such file in a clone"
        assert not any(ignored(path) for path in found), source


@pytest.mark.parametrize(
    "path", [".env", "team.env", ".git/config", ".demo/8080/daybreak.yaml", "dags/__pycache__/nightly.pyc"]
)
def test_secrets_and_leftovers_never_reach_the_builder(path: str) -> None:
    assert ignored(path)


def test_the_locked_uv_is_installed_by_its_hashes_and_nothing_else() -> None:
    (script,) = re.findall(r"sed -n '(.*)' requirements.txt > uv.txt", DOCKERFILE)
    lines = subprocess.run(
        ["sed", "-n", script, "requirements.txt"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert re.fullmatch(r"uv==[\d.]+ \\", lines[0])
    assert len(lines) > 5
    assert all(re.fullmatch(r" +--hash=sha256:[0-9a-f]{64}( \\)?", line) for line in lines[1:])
    assert not lines[-1].endswith("\\")


def test_packages_come_only_with_hashes() -> None:
    for words in re.findall(r"pip (?:install|sync) [^&\n]*", DOCKERFILE):
        ours = words.rstrip().endswith(" .")
        assert ("--require-hashes" in words) != ours, words
        assert "--no-deps" in words or "sync" in words, words
        assert "--no-cache" in words, words


def test_the_base_is_a_release_of_the_python_that_builds_use() -> None:
    (base,) = re.findall(r"^ARG PYTHON_IMAGE=python:(.*)$", DOCKERFILE, re.MULTILINE)
    python = BuildSettings().python
    assert re.fullmatch(rf"{re.escape(python)}\.\d+-slim-[a-z]+", base)
    stages = re.findall(r"^FROM (\S+)(?: AS (\S+))?", DOCKERFILE, re.MULTILINE)
    python = "${PYTHON_IMAGE}"
    assert stages == [
        (python, "install"), ("install", "own"), (python, "daybreak"), ("daybreak", "demo"), ("daybreak", "")
    ]  # fmt: skip


def test_the_image_says_its_version_its_commit_and_where_that_is_from() -> None:
    last = re.split(r"^FROM .*$", DOCKERFILE, flags=re.MULTILINE)[-1]
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', last))
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert labels == {
        "title": "Daybreak", "version": version, "revision": "${REVISION}", "source": "${SOURCE}"
    }  # fmt: skip
    assert set(re.findall(r"^ARG (\w+)$", last, re.MULTILINE)) == {"REVISION", "SOURCE"}
    # In no stage that others stand on: each commit would make those anew.
    assert DOCKERFILE.count("LABEL") == 1


def test_a_change_of_code_is_no_change_of_the_layer_of_packages() -> None:
    install, own, final = re.split(r"^FROM .*$", DOCKERFILE, flags=re.MULTILINE)[1:4]
    assert re.findall(r"^COPY (.*)$", install, re.MULTILINE) == ["requirements.txt ./"]
    assert "COPY include/daybreak include/daybreak" in own
    layers = re.findall(r"^COPY --from=(\S+) (\S+) (\S+)$", final, re.MULTILINE)
    assert layers == [("install", "/opt/venv", "/opt/venv"), ("own", "/own", "/opt/venv")]
    assert "--prefix /own ." in own


def test_what_is_installed_apart_is_run_by_the_python_that_it_is_copied_beside(tmp_path: Path) -> None:
    """The Dockerfile's own command for our package, with this environment's paths."""
    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "requirements.in", "README.md"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(
        ROOT / "include" / "daybreak", source / "include" / "daybreak",
        ignore=shutil.ignore_patterns("__pycache__"),
    )  # fmt: skip
    tools = Path(sys.executable).parent
    (line,) = re.findall(r"^RUN /opt/uv/bin/uv (pip install .*--prefix /own) \.$", DOCKERFILE, re.MULTILINE)
    words = (
        line.replace("/opt/venv/bin/python", sys.executable).replace("/own", str(tmp_path / "own")).split()
    )
    subprocess.run(
        [str(tools / "uv"), *words, "--offline", str(source)], check=True, capture_output=True, timeout=120
    )
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    assert {path.name for path in (tmp_path / "own").iterdir() if path.is_dir()} == {"bin", "lib"}
    library = tmp_path / "own" / "lib" / version / "site-packages"
    assert (library / "daybreak" / "cli" / "__pycache__").is_dir(), "nobody may write byte code later"
    script = tmp_path / "own" / "bin" / "daybreak"
    assert script.read_text().splitlines()[0] == f"#!{sys.executable}"


def test_it_does_not_run_as_root_and_holds_no_secret() -> None:
    ours, demo = re.findall(r"\nFROM \S+ AS (?:daybreak|demo)\n(.*?)(?=\nFROM )", DOCKERFILE, re.DOTALL)
    assert re.findall(r"^USER (.*)$", ours, re.MULTILINE) == ["10001:10001"]
    assert ours.index("\nUSER ") < ours.index("\nCMD ")
    assert re.findall(r"^USER (.*)$", demo, re.MULTILINE)[-1] == "10001:10001"
    assert "examples" not in ours
    assert not re.search(r"^(ENV|ARG) .*(PASSWORD|SECRET|TOKEN|CREDENTIAL)", DOCKERFILE, re.MULTILINE)


def test_the_installed_package_has_every_file_that_the_code_reads(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for name in ("pyproject.toml", "requirements.in", "README.md"):
        source.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, source)
    skip = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "include" / "daybreak", source / "include" / "daybreak", ignore=skip)
    uv = Path(sys.executable).parent / "uv"
    subprocess.run(
        [str(uv), "build", "--wheel", "--no-build-isolation", "--offline", "--python", sys.executable,
         "--out-dir", str(tmp_path / "dist"), str(source)],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("daybreak/")}
    tracked = subprocess.run(
        ["git", "ls-files", "include/daybreak"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert {path.removeprefix("include/") for path in tracked} - inside == set()
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert wheel.name.startswith(f"daybreak-{version}-")


# --- secrets as files ---


def started(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", str(ROOT / "stack" / "entrypoint.sh"), *command], env={"PATH": "/usr/bin:/bin", **environment},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def test_a_secret_may_be_a_file_and_what_is_a_path_stays_one(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text('it\'s "quoted" $HOME & {more}\n')
    done = started(
        sys.executable, "-c", "import json, os; print(json.dumps(dict(os.environ)))",
        AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_FILE=str(secret), AIRFLOW_CONN_AWS_DEV_FILE=str(secret),
        AIRFLOW__CELERY__BROKER_URL_FILE=str(secret), DAYBREAK_REGISTRY_FILE=str(secret),
        DEV_SQL_PASSWORD_FILE=str(secret),
        AWS_WEB_IDENTITY_TOKEN_FILE="/token", SSL_CERT_FILE="/ca.crt", AIRFLOW__API__WORKERS="1",
    )  # fmt: skip
    seen = json.loads(done.stdout)
    assert {name for name in seen if name.endswith("_FILE")} == {
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "SSL_CERT_FILE",
    }
    for name in ("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "AIRFLOW_CONN_AWS_DEV", "AIRFLOW__CELERY__BROKER_URL",
                 "DAYBREAK_REGISTRY", "DEV_SQL_PASSWORD"):  # fmt: skip
        assert seen[name] == 'it\'s "quoted" $HOME & {more}', name


def test_a_secret_that_is_said_twice_or_cannot_be_read_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hush")
    twice = started("true", HOST_TOKEN="a", HOST_TOKEN_FILE=str(tmp_path / "secret"))
    assert (twice.returncode, "HOST_TOKEN and HOST_TOKEN_FILE are both set" in twice.stderr) == (64, True)
    assert "hush" not in twice.stderr
    missing = started("true", HOST_TOKEN_FILE=str(tmp_path / "nowhere"))
    assert (missing.returncode, "cannot be read by user" in missing.stderr) == (66, True)
