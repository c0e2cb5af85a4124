"""The tests' own engine: it runs what it is given, and leaves nothing behind; and how it is asked."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from docker.errors import APIError, ContainerError

from daybreak.build.images.engine import printed
from tests.fixtures.engine import Engine


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


def test_what_a_command_printed_is_whole_and_its_container_is_gone(engine: Engine) -> None:
    image = "python:3.13-slim"
    with contextlib.closing(engine.client()) as client:
        before = {each.id for each in client.containers.list(all=True)}
        # At once, and without a last newline: then it was empty now and then.
        with ThreadPoolExecutor(4) as pool:
            said = list(pool.map(lambda _: printed(client, image, ["printf", "all of it"]), range(12)))
        assert set(said) == {b"all of it"}
        with pytest.raises(ContainerError, match="not today"):
            printed(client, image, ["python", "-c", "raise SystemExit('not today')"])
        with pytest.raises(APIError, match="no-such-program"):
            printed(client, image, [], entrypoint=["no-such-program"])
        assert {each.id for each in client.containers.list(all=True)} == before
