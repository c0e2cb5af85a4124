"""A stable port for each service, so that an address survives restarts of the service and of the host."""

from __future__ import annotations

import socket
import zlib

from daybreak.deploy.host.spec import ServiceId
from daybreak.errors import DaybreakError

#: Below the range from which Linux and macOS take ports of outgoing connections: nobody sits there by chance.
FIRST, LAST = 20000, 29999


def is_free(port: int) -> bool:
    """Whether a server could listen on 127.0.0.1:port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: a connection of yesterday in TIME_WAIT does not occupy the port, a listener does.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            # On Linux a bind with SO_REUSEADDR beside another bound socket succeeds; listening does not.
            probe.listen(1)
        except OSError:
            return False
    return True


def choose(name: ServiceId, salt: str, taken: frozenset[int]) -> int:
    """A port for ``name`` that can be bound now and is not in ``taken``.

    The search begins at a place computed from the name, so that the same service usually gets the same port
    even in a new home (``salt`` keeps two homes of one machine apart).
    """
    count = LAST - FIRST + 1
    begin = zlib.crc32(f"{salt}|{name}".encode()) % count
    for step in range(count):
        port = FIRST + (begin + step) % count
        if port not in taken and is_free(port):
            return port
    raise DaybreakError(f"no port between {FIRST} and {LAST} is free for {name}; stop what listens there")
