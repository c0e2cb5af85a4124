"""An engine whose disk is full, that ends in the middle, that is not there; a registry."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

import daybreak.build.images.engine as engine_module
from daybreak.build.images.engine import EngineDown, EngineRefused, connected
from daybreak.build.images.engine_build import Order, make
from daybreak.build.images.image import ImageFailed
from daybreak.build.images.tags import had
from daybreak.build.process import CommandFailed, shell
from daybreak.disk import DiskFull
from daybreak.settings import EngineSettings, ImageSettings
from tests.docker.conftest import Yard, pinned, sweep
from tests.fixtures.engine import Engine, engine_in

LOCK = pinned("blinker")


def test_an_engine_that_is_not_there_is_one_error(yard: Yard) -> None:
    nowhere = EngineSettings(url="unix:///nowhere/docker.sock")
    with pytest.raises(EngineDown, match=r"unix:///nowhere/docker\.sock does not answer"), connected(nowhere):
        pass


def test_a_silent_step_of_a_build_may_take_long_and_ends_when_the_build_s_time_is_over(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the classic builder, whose output is the answer to one call: the build's own time is its bound."""
    monkeypatch.setattr(engine_module, "CALL_SECONDS", 2)
    silent = Order(
        yard.home, "FROM python:3.13-slim\nRUN sleep 6\n", "silent:1", {"dev.daybreak.silent": "1"}
    )
    engine = EngineSettings(url=yard.engine.url)
    log = yard.home / "logs" / "silent.log"
    with connected(engine) as client:
        with shell(yard.home, log, timeout=60, passed=()) as sh:
            assert make(client, engine, yard.settings, silent, sh)
        never = replace(silent, dockerfile="FROM python:3.13-slim\nRUN sleep 120\n")
        with (
            shell(yard.home, log, timeout=3, passed=()) as sh,
            pytest.raises(CommandFailed, match="its time"),
        ):
            make(client, engine, yard.settings, never, sh)
        # Nobody listens to it, so the engine ends it too, long before it would end by itself.
        limit = time.monotonic() + 30
        while [each for each in client.containers.list() if "sleep 120" in str(each.attrs["Args"])]:
            assert time.monotonic() < limit, "the engine goes on for nobody"
            time.sleep(0.2)


@pytest.mark.deep
def test_a_registry_has_what_another_engine_built(yard: Yard, tmp_path: Path) -> None:
    """A real registry: what is there is fetched, not built."""
    program = shutil.which("docker-registry")
    if program is None:
        pytest.skip("docker-registry is not installed (.ci/run installs it)")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = tmp_path / "registry.yml"
    config.write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {tmp_path}/images}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}'}}\nlog: {{level: error}}\n"
    )
    process = subprocess.Popen(
        [program, "serve", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.05)
        yard.settings = ImageSettings(registry=f"127.0.0.1:{port}/acme")
        first = yard.images.service(yard.recipe(lock=LOCK), "a1", "c" * 40)
        # As an engine that has nothing of it, and whose own Python is another one.
        sweep(yard.client)
        yard.settings = yard.settings.model_copy(update={"python": "python:of-nobody"})
        yard.log.clear()
        again = yard.images.service(yard.recipe(key="a1b", lock=LOCK), "a1", "c" * 40)
        assert (again.id, again.made) == (first.id, False)
        assert yard.log == []
        assert yard.says(again.tag, "python", "-c", "import blinker, hello; print(hello.CODE)") == "a1\n"
        # As a Dockerfile starts from one that it pins.
        [pinned_by] = yard.client.images.get(again.tag).attrs["RepoDigests"]
        repository, digest = pinned_by.split("@")
        sweep(yard.client)
        for said in (pinned_by, f"{repository}:of-nobody@{digest}"):
            assert had(yard.client, yard.engine.url, said, "hello", yard.log.append) == first.id
        yard.settings = yard.settings.model_copy(update={"python": "python:3.13-slim"})
        process.terminate()
        process.wait(20)
        with pytest.raises((ImageFailed, EngineRefused), match=r"refused|cannot be pushed"):
            yard.images.service(yard.recipe(key="a2", lock=LOCK), "a2", "c" * 40)
    finally:
        process.kill()
        process.wait(20)


def small(engine: Engine, home: Path, client: object) -> Yard:
    engine.have("python:3.13-slim")
    return Yard(engine, home, client)


@pytest.mark.deep
def test_a_full_disk_and_an_engine_that_ends_in_the_middle_are_said_and_healed(tmp_path: Path) -> None:
    with engine_in(size="256M", loop=True) as engine, contextlib.closing(engine.client()) as client:
        yard = small(engine, tmp_path / "home", client)
        recipe = yard.recipe(lock=LOCK)
        with engine.full(), pytest.raises(DiskFull, match=r"the disk of the Docker Engine .* is full"):
            yard.images.service(recipe, "a1", "c" * 40)
        assert yard.images.service(recipe, "a1", "c" * 40).made

        slow = 'FROM python:3.13-slim AS dependencies\nRUN sleep 30\nFROM dependencies\nCMD ["true"]\n'
        ending = threading.Timer(1.5, engine.kill)
        ending.start()
        began = time.monotonic()
        with pytest.raises((EngineDown, ImageFailed)) as caught:
            yard.images.service(yard.recipe(key="a2", dockerfile=slow), "a2", "c" * 40)
        assert isinstance(caught.value, EngineDown), caught.value
        assert time.monotonic() - began < 25
        ending.join()
        engine.start()
        # What was there is there, and the same build is done by the next try.
        yard.log.clear()
        assert not yard.images.service(recipe, "a1", "c" * 40).made
        quick = slow.replace("sleep 30", "true")
        assert yard.images.service(yard.recipe(key="a3", dockerfile=quick), "a3", "c" * 40).made
