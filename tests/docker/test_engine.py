"""The tests' own engine: it runs what it is given, and leaves nothing behind; and how it is asked."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from docker.errors import APIError, ContainerError

from daybreak.build.images import layers
from daybreak.build.images.engine import LOGS, UNTIL, printed
from tests.fixtures.engine import Engine, why_not


def test_containers_of_a_network_hear_each_other_by_name(engine: Engine) -> None:
    with contextlib.closing(engine.client()) as client:
        network = client.networks.create("hearing")
        try:
            serve = client.containers.run(
                "python:3.13-slim", ["python", "-m", "http.server", "8000"], detach=True, name="there",
                network="hearing", ports={"8000/tcp": ("127.0.0.1", None)},
            )  # fmt: skip
            ask = (
                "import time, urllib.request\n"
                "for _ in range(100):\n"
                "    try: print(urllib.request.urlopen('http://there:8000', timeout=5).status); break\n"
                "    except OSError: time.sleep(0.05)\n"
            )
            said = client.containers.run(
                "python:3.13-slim", ["python", "-c", ask], network="hearing", remove=True
            )
            serve.reload()
            assert said == b"200\n"
            assert int(serve.ports["8000/tcp"][0]["HostPort"]) > 0
        finally:
            serve.remove(force=True)
            network.remove()


def test_its_data_is_in_its_own_folder(engine: Engine) -> None:
    with contextlib.closing(engine.client()) as client:
        assert client.info()["DockerRootDir"] == str(engine.folder / "data")
    assert Path(f"/proc/{engine.pid}/comm").read_text() == "dockerd\n"


@pytest.mark.parametrize(("size", "loop"), [("1K", True), ("nonsense", False)])
def test_one_that_gets_no_disk_leaves_nothing(tmp_path: Path, size: str, loop: bool) -> None:
    if reason := why_not(loop=loop):
        pytest.skip(f"no Docker Engine: {reason}")
    folder = tmp_path / "engine"
    folder.mkdir()
    with pytest.raises(RuntimeError, match=r"mkfs|mount"):
        Engine(folder, size=size, loop=loop)
    assert list(tmp_path.iterdir()) == []


def test_what_a_command_printed_is_whole_and_its_container_is_gone(engine: Engine) -> None:
    image = "python:3.13-slim"
    with contextlib.closing(engine.client()) as client:
        holder = client.containers.create(image, ["true"])
        holder.commit("volume", changes=["VOLUME /data"])
        holder.remove()
        before = {each.id for each in client.containers.list(all=True)}
        # At once, and without a last newline: then it was empty now and then.
        with ThreadPoolExecutor(4) as pool:
            said = list(pool.map(lambda _: printed(client, image, ["printf", "all of it"]), range(12)))
        assert set(said) == {b"all of it"}
        with pytest.raises(ContainerError, match="not today"):
            printed(client, image, ["python", "-c", "raise SystemExit('not today')"])
        with pytest.raises(APIError, match="no-such-program"):
            printed(client, image, [], entrypoint=["no-such-program"])
        assert printed(client, "volume", ["ls", "-d", "/data"]) == b"/data\n"
        assert {each.id for each in client.containers.list(all=True)} == before
        assert client.volumes.list() == []


def test_the_container_of_who_was_killed_while_it_printed_goes_with_the_next_one(engine: Engine) -> None:
    code = f"""
import docker
from daybreak.build.images import layers
from daybreak.build.images.engine import LOGS, UNTIL, printed
printed(docker.DockerClient({engine.url!r}), "python:3.13-slim", ["sleep", "600"])
"""
    with contextlib.closing(engine.client()) as client:
        before = {each.id for each in client.containers.list(all=True)}
        image = "python:3.13-slim"
        with subprocess.Popen([sys.executable, "-c", code]) as asking:
            for _ in range(600):
                left = [each for each in client.containers.list() if each.id not in before]
                if left:
                    break
                time.sleep(0.05)
            asking.kill()
        [container] = left
        # Whatever the engine's own default is.
        assert container.attrs["HostConfig"]["LogConfig"] == LOGS
        assert 0 < float(container.labels[UNTIL]) - time.time() < 1800
        assert printed(client, image, ["echo", "a"]) == b"a\n"
        assert container.id in {each.id for each in client.containers.list()}, "its time is not over"
        container.remove(force=True)
        label = {UNTIL: str(int(time.time() - 1))}
        client.containers.run(image, ["sleep", "600"], detach=True, network_mode="none", labels=label)
        assert printed(client, image, ["echo", "a"]) == b"a\n"
        assert {each.id for each in client.containers.list(all=True)} == before


def test_two_who_ask_about_the_python_of_an_image_at_once_both_hear(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, meeting, said = layers.printed, threading.Barrier(4), dict[object, bytes]()

    def together(*words: object, **more: object) -> bytes:
        if "it" not in said:
            said["it"] = real(*words, **more)
        meeting.wait(60)
        return said["it"]

    with contextlib.closing(engine.client()) as client, ThreadPoolExecutor(4) as pool:
        image = client.images.get("python:3.13-slim").id
        monkeypatch.setattr(layers, "printed", together)
        for number in range(40):
            home = tmp_path / str(number)
            found = list(pool.map(lambda _, home=home: layers.inside(client, image, home), range(4)))
            assert {each.python for each in found} == {"3.13"}
            [kept] = (home / "images" / "pythons").iterdir()
            assert kept.read_bytes() == said["it"]
