"""Runs inside ``.venv-aws``: ministack's ASGI application with our additions around it.

Started by :mod:`examples.standins.aws.emulator`, which hands over the listening socket.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

# This file is run by its path: find the package it belongs to, and nothing that lies beside it.
sys.path[0] = str(Path(__file__).resolve().parents[3])

#: Before ministack is imported: it reads its settings at import.
_SETTINGS = {
    "BIND_HOST": "127.0.0.1",
    "IOT_MTLS_ENABLED": "0",
    "SFTP_ENABLED": "0",
    "LAMBDA_EXECUTOR": "local",
    "DOCKER_HOST": "unix:///nonexistent/docker.sock",
    "LOG_LEVEL": "WARNING",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fd", type=int, required=True, help="listening socket, inherited")
    parser.add_argument("--until-stdin-closes", action="store_true", help="end when the starter does")
    options = parser.parse_args()
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    asyncio.run(_serve(options.fd, options.until_stdin_closes))


async def _serve(fd: int, until_stdin_closes: bool) -> None:
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    from examples.standins.aws.additions.application import wrap

    _hang_up_on_demand()
    config = Config()
    config.bind = [f"fd://{fd}"]
    config.keep_alive_timeout = 75
    config.graceful_timeout = 1
    config.loglevel = "WARNING"
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if until_stdin_closes:
        threading.Thread(target=_watch_stdin, args=(loop, stop), daemon=True).start()
    await serve(wrap(), config, shutdown_trigger=stop.wait)
    # Functions at work hold threads that would keep the interpreter waiting.
    logging.shutdown()
    os._exit(0)


def _hang_up_on_demand() -> None:
    """An application cannot close its connection, so a status that does not exist means that."""
    from hypercorn.events import Closed
    from hypercorn.protocol.events import Response
    from hypercorn.protocol.h11 import H11Protocol

    from examples.standins.aws.additions.application import NO_RESPONSE

    stream_send = H11Protocol.stream_send

    async def send_or_close(self: Any, event: Any) -> None:
        if isinstance(event, Response) and event.status_code == NO_RESPONSE:
            await self.send(Closed())
        else:
            await stream_send(self, event)

    H11Protocol.stream_send = send_or_close


def _watch_stdin(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    while os.read(0, 1024):
        pass
    loop.call_soon_threadsafe(stop.set)


if __name__ == "__main__":
    main()
