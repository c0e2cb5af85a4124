"""``daybreak bots``."""

from __future__ import annotations

import argparse
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from daybreak.settings import Settings

EXAMPLES = {
    "bots": "examples:\n  DAYBREAK_SLACK__TOKEN=xoxb-… DAYBREAK_SLACK__APP_TOKEN=xapp-… daybreak bots\n"
    "  daybreak bots --ping   (a health check)\n\n"
    "For Slack's Socket Mode. Where Slack reaches Airflow over HTTP, its API server does the same\n"
    "(docs/slack.md)."
}
#: Seconds between two signs of life, and after which there is none.
_SIGN, _SILENT = 10.0, 60.0


def add(parser: argparse.ArgumentParser) -> None:
    """Define the command's words."""
    parser.add_argument(
        "--ping", action="store_true", help="only ask whether bots of this home are connected"
    )
    parser.set_defaults(run=run)


def run(words: argparse.Namespace) -> int:
    """Listen and answer until SIGTERM or Ctrl-C; with ``--ping``, exit code 1 when nobody does."""
    from daybreak.settings import load

    settings = load()
    if words.ping:
        return _ping(_sign(settings))
    # Before anything else, so that no moment is left in which a signal ends it in the middle.
    ending = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())
    _serve(settings, ending)
    return 0


def _serve(settings: Settings, ending: threading.Event) -> None:
    from daybreak.environment.installation import PATIENCE, Installation
    from daybreak.orchestration.starting import Starter
    from daybreak.talk.github import access as github
    from daybreak.talk.slack.app import access
    from daybreak.talk.slack.sockets import Listener
    from daybreak.talk.worker import Worker

    found = access(settings)
    installation = Installation.open(settings, patience=PATIENCE)
    told = settings.github is not None and settings.github.token is not None
    worker = Worker(
        installation, found, Starter(settings), github=github.access(settings) if told else None
    ).start()
    listener = Listener(installation.inbox, found, worker.wake).start()
    print("bobby listens; Ctrl-C stops", flush=True)
    sign = _sign(settings)
    try:
        while not ending.is_set():
            if listener.connected:
                sign.touch()
            ending.wait(_SIGN)
    finally:
        listener.stop()
        worker.stop()
        sign.unlink(missing_ok=True)


def _sign(settings: Settings) -> Path:
    return settings.home / "bots.alive"


def _ping(sign: Path) -> int:
    age = time.time() - sign.stat().st_mtime if sign.exists() else None
    if age is None or age > _SILENT:
        print(f"no bots are connected: {'no sign' if age is None else f'the last sign is {age:.0f} s old'}")
        return 1
    print("bots are connected")
    return 0
