"""The process that a host is: its lock, its socket, its end."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from daybreak.deploy.host.child import Reaper, hide
from daybreak.deploy.host.door import Door
from daybreak.deploy.host.files import HostFiles, take_lock, write_private
from daybreak.deploy.host.server import Host
from daybreak.deploy.host.service import Timing
from daybreak.errors import DaybreakError, UsageError
from daybreak.settings import HostSettings

#: The longest request; a spec with a large environment is some kilobytes.
LONGEST_LINE = 1 << 20


def serve(
    home: Path,
    *,
    timing: Timing | None = None,
    log_limit: int = 5_000_000,
    listen: HostSettings | None = None,
) -> None:
    """Be the host of ``home`` until SIGTERM or SIGINT. Call it in the main thread of a process of its own.

    :param listen: be there for other machines too.
    :raises UsageError: when another host serves this home, its state cannot be read, or ``listen`` names
        another machine.
    """
    files = HostFiles(home.absolute())
    files.prepare()
    door = Door(listen) if listen is not None else None
    lock = take_lock(files.lock, patience_seconds=10)
    hide()
    try:
        # Forked before there is an event loop or any other thread; it shares the lock.
        reaper = Reaper()
        try:
            asyncio.run(_serve(files, Host(files, reaper, timing or Timing(), log_limit, door), door, listen))
        finally:
            reaper.close()
    finally:
        os.close(lock)


async def _serve(files: HostFiles, host: Host, door: Door | None, listen: HostSettings | None) -> None:
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    loop.add_signal_handler(signal.SIGCHLD, host.child_ended)
    path = files.socket()
    path.unlink(missing_ok=True)  # of a host that was killed: we hold the lock
    mask = os.umask(0o177)
    try:
        server = await asyncio.start_unix_server(
            lambda reader, writer: _converse(host, reader, writer), path, limit=LONGEST_LINE
        )
    finally:
        os.umask(mask)
    others = None
    if door is not None and listen is not None:
        token = listen.token.get_secret_value()
        others = await asyncio.start_server(
            lambda reader, writer: _converse(host, reader, writer, token), door.address, listen.port,
            limit=LONGEST_LINE,
        )  # fmt: skip
        _say(f"daybreak host {os.getpid()} answers at {listen.address}")
    write_private(
        files.address,
        {"pid": os.getpid(), "socket": str(path), "started": datetime.now(UTC).isoformat(timespec="seconds")},
    )
    _say(f"daybreak host {os.getpid()} serves {files.home}")
    revival = asyncio.create_task(host.revive())
    await over.wait()
    _say("daybreak host: stopping all services")
    revival.cancel()
    await asyncio.gather(revival, return_exceptions=True)
    server.close()
    if others is not None:
        others.close()
    await host.stop()
    files.address.unlink(missing_ok=True)
    path.unlink(missing_ok=True)
    if path.parent != files.home:
        with contextlib.suppress(OSError):
            path.parent.rmdir()


async def _converse(
    host: Host, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, token: str | None = None
) -> None:
    """One request, one answer, each a line of JSON; with the ``token`` where one is wanted."""
    try:
        try:
            request = json.loads(await reader.readline())
            if not isinstance(request, dict):
                raise UsageError("a request to the host is a JSON object on one line")
            _admit(request.pop("token", ""), token)
            answer = {"ok": True, "result": await host.answer(request)}
        except DaybreakError as error:
            answer = {"ok": False, "code": error.code, "error": str(error)}
        except (KeyError, TypeError, ValueError) as error:
            answer = {
                "ok": False,
                "code": "usage",
                "error": f"not a request that the host understands: {error!r}",
            }
        except Exception as error:  # a bug of ours must not take the services' owner down
            _say(f"daybreak host: {error!r}")
            answer = {"ok": False, "code": "host", "error": f"the host failed: {error!r}"}
        writer.write(json.dumps(answer).encode() + b"\n")
        await writer.drain()
    except ConnectionError:
        pass  # the client went away; what it asked for is done
    finally:
        writer.close()


def _admit(shown: Any, token: str | None) -> None:
    if token is not None and not hmac.compare_digest(str(shown).encode(), token.encode()):
        raise DaybreakError(
            "the host does not know this token; is `host.token` the same on both machines?", code="forbidden"
        )


def _say(text: str) -> None:
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)
