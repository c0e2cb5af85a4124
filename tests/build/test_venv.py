"""Virtual environments of services."""

import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from daybreak.build.venv import VenvFailed, materialize
from tests.build.test_builder import LOCK, SERVICE, SERVICE_FILES


@pytest.fixture
def service(works):
    works.declare(SERVICE, SERVICE_FILES)
    for name in ("common", "geo", "trips"):
        works.build(name)
    return works


def test_a_service_runs_from_its_environment_made_once(service):
    folder, key, lines = service.fetch("trips"), service.keys["trips"], []
    with ThreadPoolExecutor(3) as pool:
        made = set(
            pool.map(lambda _: materialize(folder, key, service.home, "3.11", log=lines.append), range(3))
        )
    assert made == {service.home / "runtimes" / key}
    assert len(lines) == 1
    python = made.pop() / "bin/python"
    done = subprocess.run((python, "-I", "-m", "trips"), capture_output=True, text=True, check=True)
    assert done.stdout == "geo\n"


def test_the_wreck_of_a_killed_try_is_made_anew(service):
    folder, key = service.fetch("trips"), service.keys["trips"]
    wreck = service.home / "runtimes" / key / "lib"
    wreck.mkdir(parents=True)
    (wreck / "half").write_text("")
    made = materialize(folder, key, service.home, log=lambda line: None)
    assert (made / "bin/python").exists()
    assert not (wreck / "half").exists()


def test_a_wrong_hash_is_refused_and_leaves_no_environment(service, tmp_path):
    folder = service.fetch("trips")
    lock = folder / "requirements.txt"
    lock.write_text(LOCK.replace("67f4", "0000").replace("9121", "0000"))
    with pytest.raises(VenvFailed, match=r"(?i)hash"):
        materialize(folder, "k", tmp_path / "home", log=lambda line: None)
    lock.write_text(LOCK)
    assert (materialize(folder, "k", tmp_path / "home", log=lambda line: None) / "bin/python").exists()
