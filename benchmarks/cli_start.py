"""How long a person or a script waits for ``daybreak`` to begin: compared with a Python that does nothing.

`daybreak --help` loads no settings; `daybreak env status` reads them and asks the registry (SQLite here, one
environment). Targets, in processor seconds: 0.1 for help, 1 for status.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.harness import Benchmark, Target

DAYBREAK = str(Path(sys.executable).parent / "daybreak")
ACCOUNT = "111122223333"


def call(*command: str, config: Path) -> None:
    """Run it to its end; a failure ends the benchmark."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DAYBREAK_")}
    environment = {**kept, "DAYBREAK_CONFIG": str(config)}
    subprocess.run(list(command), env=environment, check=True, capture_output=True)


def benchmark(work: Path) -> Benchmark:
    """Bare Python, then the commands that people call most."""
    config = work / "daybreak.yaml"
    config.write_text(
        f'home: {work}/home\naws: {{accounts: {{"{ACCOUNT}": {{}}}}}}\n'
        f'environments: [{{name: dev-01, account: "{ACCOUNT}"}}]\n'
    )
    call(DAYBREAK, "registry", "migrate", config=config)
    commands: dict[str, tuple[str, ...]] = {
        "python -c pass": (sys.executable, "-c", "pass"),
        "daybreak --help": (DAYBREAK, "--help"),
        "daybreak env status": (DAYBREAK, "env", "status"),
    }
    cases: dict[str, Callable[[], None]] = {
        name: partial(call, *command, config=config) for name, command in commands.items()
    }
    return Benchmark(
        "cli_start",
        (__doc__ or "").strip(),
        cases,
        [
            Target("help, processor seconds", 0.1, lambda result: result.cpu("daybreak --help")),
            Target("status, processor seconds", 1, lambda result: result.cpu("daybreak env status")),
        ],
        rounds=11,
    )
