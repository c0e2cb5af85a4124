"""What a service needs on the host's machine before it runs, when tasks are on others.

Making a virtual environment takes a minute and the host is one thread, so a process of its own does it:
``python -m daybreak.deploy.host.preparing RESOURCE KEY``, with the settings of this machine.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from daybreak.deploy.host.files import HostFiles
from daybreak.deploy.host.spec import ServiceId
from daybreak.errors import DaybreakError, UsageError

_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


def work_folder(home: Path, environment: str, service: str) -> Path:
    """A service's own folder, made: its virtual environment is shared, nobody may write into that."""
    folder = home.absolute() / "host" / "work" / environment / service
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


class Preparing:
    """Of one host."""

    def __init__(self, files: HostFiles) -> None:
        self._home = files.home.absolute()

    async def prepare(self, name: ServiceId, key: str) -> Mapping[str, str]:
        """Where a service runs (:class:`daybreak.deploy.host.spec.Place`), as plain data.

        :raises DaybreakError: with the code of what went wrong: there is no such artifact, or its virtual
            environment could not be made.
        """
        if not _KEY.fullmatch(key):
            raise UsageError(f"{key!r} is no content key")
        command = [sys.executable, "-m", __name__, str(self._home), name.service, key]
        # Not asyncio's: it would start a thread, and the host forks only while it has none.
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
            try:
                while process.poll() is None:
                    await asyncio.sleep(0.1)
            except BaseException:
                process.terminate()
                raise
            assert process.stdout is not None
            said = process.stdout.read()
        answer = json.loads(said.splitlines()[-1]) if said else {"error": "it was killed", "code": "host"}
        if "error" in answer:
            raise DaybreakError(answer["error"], code=answer["code"])
        work = work_folder(self._home, name.environment, name.service)
        return {"runtime": answer["runtime"], "work": str(work)}


def runtime(home: Path, resource: str, key: str) -> str:
    """The virtual environment of an artifact of the store, made if it is not there."""
    from daybreak.build.artifact import Artifacts
    from daybreak.build.venv import materialize
    from daybreak.settings import load
    from daybreak.store import Store

    settings = load()
    folder = Artifacts(Store(settings.store_url)).fetch(resource, key, home)
    passed = settings.build.pass_environment
    return str(materialize(folder, key, home, passed=passed, log=lambda text: print(text, file=sys.stderr)))


def main() -> int:
    """Say on one line of JSON where it is, or what is wrong."""
    home, resource, key = sys.argv[1:]
    answer: dict[str, Any]
    try:
        answer = {"runtime": runtime(Path(home), resource, key)}
    except DaybreakError as error:
        answer = {"error": str(error), "code": error.code}
    print(json.dumps(answer), flush=True)
    return int("error" in answer)


if __name__ == "__main__":
    sys.exit(main())
