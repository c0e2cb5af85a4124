"""Images of acme's services and a heavier one (numpy, pandas, pyarrow): plain ``docker build`` and ours.

Plain is the classic Dockerfile: packages from the lock, then the wheels, built whole by the engine; cold
without any cache, then with the engine's cache after a change of code, and after one more line in the lock.
Ours is the same artifact without a Dockerfile: a base by closure, and the wheels on it. Cold, both download
everything (uv's cache is emptied too). *own Dockerfile* is ours by acme's Dockerfile as it is, which installs
by pip and copies the wheels installed; by the builder that the machine has. *engine* is the engine's own
minimum: one file copied onto an image that is there. Needs an engine: DOCKER_HOST, else this machine's.
Targets, for the slowest service: a change of code costs a tenth of plain cold at most, and 3 s more than the
engine's minimum at most; one line more downloads one distribution, and compiles no module but its own.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import cached_property, partial
from pathlib import Path

from benchmarks.harness import Benchmark, Result, Target
from daybreak.build.images.dockerfile import DEPENDENCIES
from daybreak.build.images.engine import KEY, connected
from daybreak.build.images.engine_build import Order, make
from daybreak.build.images.image import Images
from daybreak.build.images.recipe import FOLDER, Recipe
from daybreak.build.process import shell
from daybreak.settings import EngineSettings, ImageSettings

ACME = Path(__file__).resolve().parents[1] / "examples" / "acme"
SERVICES = ("fleet", "telemetry", "trips", "heavy")
HEAVY = "numpy\npandas\npyarrow\n"
#: One distribution that none of them has.
MORE = "tomli-w\n"
DOCKERFILE = """FROM python:3.13-slim AS dependencies
COPY requirements.txt /tmp/requirements.txt
RUN pip install --no-cache-dir --require-hashes -r /tmp/requirements.txt
FROM dependencies
COPY wheels/ /tmp/wheels/
RUN pip install --no-cache-dir --no-deps /tmp/wheels/*.whl
"""
#: An engine may have images of another run.
_numbers = itertools.count(time.time_ns())


class Bench:
    """Artifacts of each service, and an engine to build them on."""

    def __init__(self, work: Path) -> None:
        self.work, self._stack = work, ExitStack()
        self.engine = EngineSettings(url=os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock")
        self.settings = ImageSettings(engine=self.engine, network="host")
        self.new_modules = 0

    @cached_property
    def images(self) -> Images:
        client = self._stack.enter_context(connected(self.engine))
        passed = ("UV_CACHE_DIR",)
        os.environ["UV_CACHE_DIR"] = str(self.work / "uv")
        return Images(client, self.engine, self.settings, self.work / "home", passed, lambda line: None)

    def lock(self, service: str, *, more: bool) -> str:
        """The lock of a service; for the heavy one, and with one line more, locked here."""
        said = HEAVY if service == "heavy" else ""
        kept = "" if service == "heavy" else (ACME / "services" / service / "requirements.txt").read_text()
        return kept + "".join(self._locked(each) for each in (said, MORE if more else "") if each)

    def _locked(self, names: str) -> str:
        path = self.work / f"{names.split()[0]}.txt"
        if not path.exists():
            (self.work / "names.in").write_text(names)
            subprocess.run(
                [str(Path(sys.executable).with_name("uv")), "pip", "compile", "--quiet", "--universal",
                 "--python-version", "3.13", "--generate-hashes", "--no-header", "--no-annotate",
                 "-o", str(path), str(self.work / "names.in")],
                check=True,
            )  # fmt: skip
        return path.read_text()

    def artifact(self, service: str, *, more: bool = False, own: bool = False) -> Recipe:
        """An artifact whose code nobody has seen before; ``own``: with acme's Dockerfile."""
        number = next(_numbers)
        folder = self.work / "artifacts" / f"{service}-{number}"
        source = folder / "source"
        (source / "app").mkdir(parents=True)
        (source / "app" / "__init__.py").write_text(f"NUMBER = {number}\n")
        (source / "pyproject.toml").write_text(
            '[build-system]\nrequires = ["flit_core>=3.2"]\nbuild-backend = "flit_core.buildapi"\n\n'
            '[project]\nname = "app"\nversion = "1.0"\ndescription = "-"\n'
        )
        (folder / "wheels").mkdir()
        subprocess.run(
            [str(Path(sys.executable).with_name("uv")), "build", "--quiet", "--wheel",
             "--out-dir", str(folder / "wheels"), str(source)],
            check=True, env={**os.environ, "UV_CACHE_DIR": str(self.work / "uv-of-builds")},
        )  # fmt: skip
        (folder / "wheels" / ".gitignore").unlink(missing_ok=True)
        lock, root = self.lock(service, more=more), f"services/{service}"
        (folder / "requirements.txt").write_text(lock)
        if own:
            context = folder / FOLDER / "context" / root
            context.mkdir(parents=True)
            (context / "requirements.txt").write_text(lock)
            shutil.copyfile(ACME / root / "Dockerfile", folder / FOLDER / "Dockerfile")
        return Recipe(service, folder, root, ("python", "-m", "app"), "/healthz", DEPENDENCIES, ())

    def prepare(self, service: str, *, more: bool = False, cold: bool = False, own: bool = False) -> None:
        """The next case's artifact; cold, nothing that was downloaded or built is left."""
        self.recipe = self.artifact(service, more=more, own=own)
        if more and not self.new_modules:
            self.new_modules = self._modules()  # now: targets are asked for when the folder is gone
        shutil.rmtree(self.work / "home/logs", ignore_errors=True)
        if cold:
            shutil.rmtree(self.work / "uv", ignore_errors=True)
            shutil.rmtree(self.work / "home", ignore_errors=True)
            there = self.images.client.images.list(name="daybreak/*")
            # Services before the bases that they stand on.
            for image in sorted(there, key=lambda image: KEY not in image.labels):
                self.images.client.images.remove(image.id, force=True)

    def _modules(self) -> int:
        """How many modules the line more brings."""
        command = [str(Path(sys.executable).with_name("uv")), "pip", "install", "--quiet", "--no-deps"]
        subprocess.run([*command, "--target", str(self.work / "more"), MORE.strip()], check=True)
        return len(list((self.work / "more").rglob("*.py")))

    def ours(self) -> Mapping[str, float]:
        """The artifact's image by Daybreak; how many distributions were downloaded, and modules compiled."""
        key = self.recipe.folder.name
        self.images.service(self.recipe, key, "0" * 40)
        said = "".join(path.read_text() for path in (self.work / "home/logs/image/base").glob("*.log"))
        return {
            name: sum(map(int, re.findall(found, said)))
            for name, found in (("downloads", r"Prepared (\d+) package"), ("compiled", r"Compiled (\d+) mod"))
        }

    def plain(self, *, cold: bool = False) -> Mapping[str, float]:
        """The same by one ``docker build``."""
        api = self.images.client.api
        folder = self.recipe.folder
        (folder / "Dockerfile").write_text(DOCKERFILE)
        for said in api.build(
            path=str(folder), tag=f"plain/{self.recipe.resource}", nocache=cold, rm=True, network_mode="host",
            decode=True,
        ):  # fmt: skip
            if "error" in said:
                raise SystemExit(f"images: {said['error']}")
        return {"downloads": 0, "compiled": 0}

    def least(self) -> Mapping[str, float]:
        """What the engine needs to copy one file onto an image."""
        with shell(self.work / "home", self.work / "home/logs/least.log", timeout=60, passed=()) as sh:
            context = sh.folder / "context"
            context.mkdir()
            (context / "file").write_text(str(next(_numbers)))
            order = Order(
                context,
                "FROM python:3.13-slim\nCOPY file /file\n",
                "plain/least",
                {"dev.daybreak.bench": "x"},
            )
            make(self.images.client, self.engine, self.settings, order, sh)
        return {"downloads": 0, "compiled": 0}


def benchmark(work: Path) -> Benchmark:
    """Three changes of each service, by both; in this order, so that each finds what the one before left."""
    bench = Bench(work)
    cases: dict[str, Callable[[], Mapping[str, float]]] = {}
    before: dict[str, Callable[[], None]] = {}
    for service in SERVICES:
        for name, more in (("cold", False), ("code", False), ("one dependency more", True)):
            for tool in ("plain", "ours"):
                case = f"{service}, {name}, {tool}"
                cold = name == "cold"
                cases[case] = partial(bench.plain, cold=cold) if tool == "plain" else bench.ours
                before[case] = partial(bench.prepare, service, more=more, cold=cold and tool == "ours")
        if service != "heavy":
            for name in ("cold", "code"):
                cases[f"{service}, {name}, own Dockerfile"] = bench.ours
                before[f"{service}, {name}, own Dockerfile"] = partial(bench.prepare, service, own=True)
    cases["engine"] = bench.least

    def slowest(of: Callable[[Result, str], float]) -> Callable[[Result], float]:
        return lambda result: max(of(result, service) for service in SERVICES)

    def changed(result: Result, service: str) -> float:
        tools = ("ours",) if service == "heavy" else ("ours", "own Dockerfile")
        return max(result.wall(f"{service}, code, {tool}") for tool in tools)

    def share(result: Result, service: str) -> float:
        return changed(result, service) / result.wall(f"{service}, cold, plain")

    def over(result: Result, service: str) -> float:
        return changed(result, service) - result.wall("engine")

    def downloaded(result: Result, service: str) -> float:
        return result.count(f"{service}, one dependency more, ours", "downloads")

    def compiled(result: Result, service: str) -> float:
        return result.count(f"{service}, one dependency more, ours", "compiled") - bench.new_modules

    return Benchmark(
        "images",
        (__doc__ or "").strip(),
        cases,
        [
            Target("a change of code, relative to plain cold", 0.1, slowest(share)),
            Target("a change of code, seconds over the engine's minimum", 3, slowest(over)),
            Target("distributions that one line more downloads", 1, slowest(downloaded)),
            Target("modules that one line more compiles beside its own", 0, slowest(compiled)),
        ],
        rounds=1,
        before=before,
    )  # fmt: skip
