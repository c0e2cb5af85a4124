"""Artifacts of small services, as a build leaves them, and the session's engine to make images on."""

from __future__ import annotations

import contextlib
import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.errors import APIError

from daybreak.build.images.engine import printed
from daybreak.build.images.image import Images
from daybreak.build.images.recipe import Recipe
from daybreak.settings import EngineSettings, ImageSettings
from tests.fixtures.engine import Engine

ACME = Path(__file__).resolve().parents[2] / "examples" / "acme"

#: Answers its health path while HEALTHY says so, and tells its environment; ends at SIGTERM.
SERVICE = """
import http.server, json, os, signal, sys
if os.environ.get("HEALTHY") == "crash":
    sys.exit("no database at " + os.environ.get("DATABASE_URL", "all"))
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        ok = self.path != HEALTH or os.environ.get("HEALTHY", "yes") == "yes"
        ok = ok and (HEALTH == "/healthz" or self.path != "/healthz")
        self.send_response(200 if ok else 503)
        self.end_headers()
        self.wfile.write(json.dumps({**os.environ, "CODE": CODE}).encode())
    def log_message(self, *args): pass
print("serving", os.environ.get("SAY", "quietly"), flush=True)
http.server.HTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Handler).serve_forever()
"""


def pinned(*names: str) -> str:
    """The lines of these distributions in acme's locks."""
    lines = (ACME / "services/fleet/requirements.txt").read_text().replace("\\\n", " ").splitlines()
    found = [line for line in lines if line.partition("==")[0] in names]
    assert len(found) == len(names)
    return "\n".join(found) + "\n"


def wheel(folder: Path, name: str, module: str) -> None:
    """A wheel of one module, which `python -m` runs."""
    path = folder / f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", module)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/entry_points.txt", f"[console_scripts]\nsay-{name}={name}:main\n")
        names = [f"{name}.py", *(f"{info}/{each}" for each in ("METADATA", "WHEEL", "entry_points.txt"))]
        archive.writestr(f"{info}/RECORD", "".join(f"{each},,\n" for each in [*names, f"{info}/RECORD"]))


@dataclass
class Yard:
    """Where a test makes images.

    :param settings: replaced by who needs others.
    """

    engine: Engine
    home: Path
    client: docker.DockerClient
    # The tests' engine has no bridge for a RUN.
    settings: ImageSettings = field(default_factory=lambda: ImageSettings(network="host"))
    log: list[str] = field(default_factory=list)

    @property
    def images(self) -> Images:
        engine = EngineSettings(url=self.engine.url)
        return Images(self.client, engine, self.settings, self.home, log=self.log.append)

    def artifact(
        self, resource: str = "hello", key: str = "a1", *, lock: str = "",
        dockerfile: str = "", context: Mapping[str, str] | None = None, os_packages: Sequence[str] = (),
        health: str = "/healthz",
    ) -> Path:  # fmt: skip
        """The folder of an artifact, whose service knows its key."""
        folder = self.home / "artifacts" / resource / key
        (folder / "wheels").mkdir(parents=True)
        wheel(folder / "wheels", resource, f"CODE, HEALTH = {key!r}, {health!r}\ndef main(): print({key!r})\n"
              f"if __name__ == '__main__':\n    exec({SERVICE!r})\n")  # fmt: skip
        (folder / "requirements.txt").write_text(lock)
        if dockerfile:
            for name, content in {"Dockerfile": dockerfile, **(context or {})}.items():
                path = folder / "image" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(content)
        runtime: dict[str, Any] = {
            "schema": 1, "python": "3.13", "command": ["python", "-m", resource], "health": health,
            "image": {"root": f"services/{resource}", "dependencies": "dependencies",
                      "os_packages": list(os_packages)},
        }  # fmt: skip
        (folder / "runtime.json").write_text(json.dumps(runtime))
        return folder

    def recipe(self, resource: str = "hello", key: str = "a1", **more: Any) -> Recipe:
        return Recipe.read(resource, self.artifact(resource, key, **more))

    def says(self, image: str, *command: str) -> str:
        """What a command in a container of ``image`` prints."""
        return printed(self.client, image, command).decode()


@pytest.fixture
def yard(engine: Engine, tmp_path: Path) -> Iterator[Yard]:
    """A home of its own, on an engine where no image of Daybreak's is."""
    with contextlib.closing(engine.client()) as client:
        yield Yard(engine, tmp_path / "home", client)
        sweep(client)


def sweep(client: docker.DockerClient) -> None:
    """Take away all that Daybreak made on the engine."""
    for container in client.containers.list(all=True):
        container.remove(force=True)
    client.networks.prune()
    # Children before what they stand on; which is whose, the engine knows best.
    left = -1
    while left:
        ours = [image for image in client.images.list() if any(
            label.startswith("dev.daybreak") for label in image.labels or {})]  # fmt: skip
        assert len(ours) != left, ours
        left = len(ours)
        for image in ours:
            with contextlib.suppress(APIError):
                client.images.remove(image.id, force=True)
