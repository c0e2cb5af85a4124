"""How other machines reach services that listen on 127.0.0.1: at the same port of this machine's address."""

from __future__ import annotations

import asyncio
import contextlib
import socket

from daybreak.errors import UsageError
from daybreak.settings import HostSettings

_PIECE = 1 << 16


class Door:
    """Carries bytes from ``name:port`` to 127.0.0.1:port, for each port that was opened.

    A service listens on 127.0.0.1 (docs/resource-contract.md), so both may have the same number.

    :raises UsageError: when the name of the settings is not one of this machine's.
    """

    def __init__(self, settings: HostSettings) -> None:
        self.machine = settings.name
        try:
            self.address = socket.gethostbyname(settings.name)
            with socket.socket() as probe:
                probe.bind((self.address, 0))
        except OSError as error:
            raise UsageError(
                f"host.address: {settings.name!r} is no name of this machine ({error.strerror}); run "
                f"`daybreak host` on the machine that it names"
            ) from None
        self._servers: dict[int, asyncio.Server] = {}

    async def open(self, port: int) -> None:
        """Let other machines in; a port that is open stays so."""
        if port in self._servers or self.address == "127.0.0.1":
            return

        async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await _carry(port, reader, writer)

        # A service that listens on all addresses is reached without us.
        with contextlib.suppress(OSError):
            self._servers[port] = await asyncio.start_server(carry, self.address, port)

    def shut(self, port: int) -> None:
        """Let nobody in any more."""
        if (server := self._servers.pop(port, None)) is not None:
            server.close()

    def close(self) -> None:
        """Shut all."""
        for port in list(self._servers):
            self.shut(port)


async def _carry(port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:  # it does not listen: nor do we
        writer.transport.abort()
        return
    try:
        await asyncio.gather(_pump(reader, inner_writer), _pump(inner_reader, writer))
    finally:
        writer.close()
        inner_writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while piece := await reader.read(_PIECE):
            writer.write(piece)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
