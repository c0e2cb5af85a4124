"""e2e suites of one service in a container of its image; those of several, and of none, run as ever."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from daybreak.build.images.in_image import HOME, PYTEST, Job, limits, run, tools
from daybreak.build.images.recipe import Recipe
from daybreak.build.process import shell, visible
from daybreak.catalog.graph import CatalogResource
from daybreak.deploy import running
from daybreak.deploy.driver import Package
from daybreak.deploy.masking import masked
from daybreak.disk import needs_room
from daybreak.settings import BuildSettings


@dataclass(frozen=True)
class Housed:
    """A service that is deployed, and its artifact, of which its image is made."""

    resource: CatalogResource
    package: Package


def groups(
    covered: Mapping[str, frozenset[str] | None], houses: Collection[str], without: Collection[str]
) -> dict[str, frozenset[str]]:
    """Which files of the suites run in whose image: those that cover that one service, and nothing else.

    :param covered: what each Python file covers, by its path.
    """
    found: dict[str, set[str]] = {}
    for name, covers in covered.items():
        if covers is None or len(covers) != 1 or name in without or name.endswith("conftest.py"):
            continue
        [service] = covers
        if service in houses:
            found.setdefault(service, set()).add(name)
    return {service: frozenset(names) for service, names in sorted(found.items())}


@dataclass(frozen=True)
class Room:
    """Where the suites of one service run.

    :param checkout: the folder with the suites' files.
    :param suites: the suites' folder in it.
    :param configuration: the suites' own settings of pytest, if they have any.
    :param left_out: files of the suites, by their paths there.
    """

    housed: Housed
    settings: BuildSettings
    home: Path
    checkout: Path
    suites: Path
    configuration: Path | None
    left_out: Collection[str]
    scratch: Path

    def go(
        self,
        variables: Mapping[str, str],
        report: Path,
        log: Path,
        *,
        again: bool,
        more: Sequence[str],
        seconds: float,
    ) -> running.Ended:
        """Run pytest there; its report is ``report``, its output ``log``, secrets masked.

        What it may reach is what this machine reaches: the environment's services publish ports on it.

        :raises ImageFailed, EngineDown, DiskFull: as :meth:`daybreak.build.images.image.Images.service`.
        """
        from daybreak.build.images.engine import connected
        from daybreak.build.images.image import Images

        images = self.settings.images
        assert images is not None
        name, package = self.housed.resource.name, self.housed.package
        inner = f"{HOME}/checkout/{self.suites.relative_to(self.checkout).as_posix()}"
        notes = self.scratch / f"notes-{name}"
        notes.mkdir(exist_ok=True)
        shown = f"{HOME}/notes/pytest.ini"
        if self.configuration is None:
            (notes / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
        else:
            shown = f"{inner}/{self.configuration.relative_to(self.suites).as_posix()}"
        arguments = [
            PYTEST, f"{HOME}/tools:{inner}", inner, "-q", "--import-mode=importlib", "-c", shown,
            f"--confcutdir={inner}", f"--rootdir={HOME}",
            *(["-o", f"cache_dir={HOME}/notes/cache"] if again else ["-p", "no:cacheprovider"]),
            *(f"--ignore={inner}/{each}" for each in sorted(self.left_out)),
            f"--junitxml={HOME}/notes/{report.name}", *more, inner,
        ]  # fmt: skip
        passed = self.settings.pass_environment
        environment = {**visible(passed), **variables}
        made = log.with_suffix(".image.log")
        with (
            shell(self.home, made, timeout=self.settings.timeout_seconds, passed=passed) as sh,
            connected(images.engine) as client,
        ):
            shop = Images(client, images.engine, images, self.home, passed)
            image = shop.service(Recipe.read(name, package.folder), package.key, package.commit)
            lock = [self.suites / "requirements.txt"]
            job = Job(
                arguments, inner,
                {f"{HOME}/checkout": self.checkout, f"{HOME}/notes": notes,
                 f"{HOME}/tools": tools(client, images.engine.url, image.id, lock, self.home, sh)},
                environment, seconds, {notes: f"{HOME}/notes"},
                limits(self.housed.resource), "host",
            )  # fmt: skip
            ran = run(client, images.engine.url, image.id, job, sh.folder)
        if (notes / report.name).is_file():
            shutil.copyfile(notes / report.name, report)
        said = f"in a container of {image.tag}\n{ran.output.decode('utf-8', 'replace')}"
        with needs_room(log):
            log.write_text(masked(said, environment), encoding="utf-8")
        # What a signal ended has 128 and its number here.
        code = 128 - ran.code if ran.code > 128 else ran.code
        return running.Ended(code, ran.timed_out, log)
