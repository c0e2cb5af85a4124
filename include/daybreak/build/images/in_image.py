"""Python in a container of an image, a team's tests above all: bounded, seeing only what it is given.

Files go in and results come out by the engine's own archive calls, so an engine of another machine does as
well as a near one, and nothing of this machine is mounted.
"""

from __future__ import annotations

import hashlib
import shutil
import tarfile
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from daybreak.build.images.engine import LOGS, ending, explained, remove, sweep
from daybreak.build.images.layers import clear, fill, inside, under
from daybreak.build.process import CommandFailed, Shell, stopped
from daybreak.catalog.graph import CatalogResource
from daybreak.errors import DaybreakError, UsageError
from daybreak.locking import exclusive

if TYPE_CHECKING:
    from docker import DockerClient

#: Where everything of a run is in its container.
HOME = "/daybreak"
#: Behind what the image has: where both have a package, the image's own counts, as it will when it runs. The
#: current folder is not looked into: a file `http.py` in it would hide Python's own.
PYTEST = (
    "import site, sys; sys.path[:] = sys.path[1:]\n"
    "for each in sys.argv.pop(1).split(':'): site.addsitedir(each)\n"
    "import pytest; sys.exit(pytest.console_main())"
)
#: What no test may have, whatever the image's user is.
_HARMLESS: Mapping[str, Any] = {
    "init": True,
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "log_config": LOGS,
}
_NAME = "daybreak-test-"
_LOOK_SECONDS = 0.2
#: A report, or pytest's own notes.
_MAX_RESULT = 50 * 1024 * 1024


@dataclass(frozen=True)
class Job:
    """What runs.

    :param arguments: of the image's own Python.
    :param files: folders here, by the absolute folder in the container into which their content goes.
    :param results: files or folders in the container, by where they are wanted here.
    :param seconds: it is killed then.
    :param network: of the engine; ``none`` has only its own 127.0.0.1.
    :param result_bytes: a result that is larger does not come back; by default a report's worth.
    """

    arguments: Sequence[str]
    at: str
    files: Mapping[str, Path]
    environment: Mapping[str, str]
    seconds: float
    results: Mapping[Path, str] = field(default_factory=dict)
    limits: Mapping[str, Any] = field(default_factory=dict)
    network: str = "none"
    result_bytes: int | None = None


@dataclass(frozen=True)
class Ran:
    """How it ended; ``output`` is stdout and stderr, the last 10 MB of it."""

    code: int
    timed_out: bool
    output: bytes
    out_of_memory: bool = False


def run(client: DockerClient, url: str, image: str, job: Job, scratch: Path) -> Ran:
    """Run ``job`` in a new container of ``image`` as the image's own user; nothing of it stays.

    :param scratch: a folder for what goes in and comes out.
    :raises EngineDown, EngineRefused, DiskFull: as :func:`daybreak.build.images.engine.explained`.
    :raises CommandFailed: when the build that it belongs to is stopped.
    """
    with explained(url):
        sweep(client)
        host = client.api.create_host_config(network_mode=job.network, **_HARMLESS, **job.limits)
        container = client.api.create_container(
            image, ["-c", *job.arguments], entrypoint=["python"], working_dir=job.at, host_config=host,
            environment={**job.environment, "HOME": f"{HOME}/home", "PYTHONDONTWRITEBYTECODE": "1"},
            name=f"{_NAME}{uuid4().hex[:12]}", labels=ending(job.seconds),
        )["Id"]  # fmt: skip
        try:
            _send(client, container, {f"{HOME}/home": clear(scratch / "nothing"), **job.files}, scratch)
            client.api.start(container)
            state, timed_out = _wait(client, container, job.seconds)
            output = client.api.logs(container)
            for here, there in job.results.items():
                _fetch(client, container, there, here, job.result_bytes or _MAX_RESULT)
        finally:
            remove(client, container)
    return Ran(int(state["ExitCode"]), timed_out, output, bool(state.get("OOMKilled")))


def tools(client: DockerClient, url: str, image: str, locks: Sequence[Path], home: Path, sh: Shell) -> Path:
    """The distributions of hashed ``locks`` for the image's Python, made once under ``<home>/images/tools``.

    :raises CommandFailed: when one of them has no wheel for it.
    """
    with explained(url):
        python = inside(client, image, home)
    said = [python.python, python.platform, *(lock.read_text(encoding="utf-8") for lock in locks)]
    key = hashlib.sha256("\0".join(said).encode()).hexdigest()[:32]
    folder = home.absolute() / "images" / "tools" / key
    if not folder.is_dir():
        with exclusive(home.absolute() / "locks" / f"tools-{key}.lock"):
            if not folder.is_dir():
                fresh = clear(sh.folder / "tools")
                fill(sh, fresh, python, locks, [])
                folder.parent.mkdir(parents=True, exist_ok=True)
                under(fresh, python.library).rename(folder)
    return folder


def limits(resource: CatalogResource) -> dict[str, Any]:
    """What a container may use at most: ``options["memory"]`` (``512m``), ``["cpus"]``, ``["processes"]``."""
    options = resource.options
    found: dict[str, Any] = {"pids_limit": int(_number(resource, "processes", 1024))}
    if "memory" in options:
        found["mem_limit"] = str(options["memory"])
    if "cpus" in options:
        found["nano_cpus"] = int(_number(resource, "cpus", 1) * 1_000_000_000)
    return found


def _number(resource: CatalogResource, name: str, default: float) -> float:
    value = resource.options.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        raise UsageError(f"{resource.name}: options[{name!r}]: expected a number above 0, found {value!r}")
    return float(value)


def _wait(client: DockerClient, container: str, seconds: float) -> tuple[Mapping[str, Any], bool]:
    from docker.errors import APIError

    deadline, timed_out = time.monotonic() + seconds, False
    while True:
        state = client.api.inspect_container(container)["State"]
        if state["Status"] not in {"created", "running"}:
            return state, timed_out
        if stopped():
            raise CommandFailed("what ran in the image was stopped", code="stopped")
        if time.monotonic() > deadline and not timed_out:
            timed_out = True
            with suppress(APIError):  # it ended by itself just now
                client.api.kill(container)
        time.sleep(_LOOK_SECONDS)


def _send(client: DockerClient, container: str, files: Mapping[str, Path], scratch: Path) -> None:
    """The image's user is anybody: it may read and write all that is put there for it alone."""
    packed = scratch / "files.tar"
    with tarfile.open(packed, "w") as archive:
        for target, folder in files.items():
            for path in [folder, *sorted(folder.rglob("*"))]:
                inner = "" if path == folder else f"/{path.relative_to(folder).as_posix()}"
                entry = archive.gettarinfo(path, f"{target.strip('/')}{inner}")
                entry.uid = entry.gid = 0
                entry.uname = entry.gname = "root"
                entry.mode = 0o777 if path.is_dir() or entry.mode & 0o100 else 0o666
                if entry.isreg():
                    with path.open("rb") as content:
                        archive.addfile(entry, content)
                else:
                    archive.addfile(entry)
    with packed.open("rb") as content:
        client.api.put_archive(container, "/", content)
    packed.unlink()


def _fetch(client: DockerClient, container: str, there: str, here: Path, most: int) -> None:
    """A file or folder, if it is there; what it is made of is what a test wrote, so it is bounded."""
    from docker.errors import NotFound

    try:
        chunks, _ = client.api.get_archive(container, there)
    except NotFound:
        return
    with tempfile.TemporaryFile() as packed:
        for chunk in chunks:
            packed.write(chunk)
            if packed.tell() > most:
                return
        packed.seek(0)
        with tempfile.TemporaryDirectory(dir=here.parent) as folder, tarfile.open(fileobj=packed) as archive:
            try:
                archive.extractall(folder, filter="data")
            except (tarfile.TarError, OSError) as error:
                raise DaybreakError(
                    f"{there} of a container cannot be read: {error}", code="bad_report"
                ) from None
            found = Path(folder) / Path(there).name
            if here.is_dir():
                shutil.rmtree(here)
            found.rename(here)
