"""What stand-ins that listen on this machine have in common."""

from __future__ import annotations

import argparse
import socket
import threading
import time
from collections.abc import Awaitable, Callable

import uvicorn
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response


def listen(port: int = 0, address: str = "127.0.0.1") -> socket.socket:
    """A socket for this machine alone unless ``address`` says more; bound before anybody knows its number."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((address, port))
    return made


def own_page_only(base_url: str, *others: str) -> Callable[..., Awaitable[Response]]:
    """Another site's page in the same browser may not act here, nor read under a name of its own.

    :param others: more base URLs under which the same is served.
    """
    hosts = {url.partition("://")[2]: url for url in (base_url, *others)}

    async def dispatch(request: Request, call: Callable[[Request], Awaitable[Response]]) -> Response:
        origin, host = request.headers.get("origin"), request.headers.get("host")
        if host not in hosts or origin not in (None, hosts[host]):
            return PlainTextResponse(f"only {base_url} is served here", 403)
        return await call(request)

    return dispatch


class InThread:
    """A server in a thread of this process.

    :param listener: where it listens, made by :func:`listen`.
    """

    def __init__(self, server: uvicorn.Server, listener: socket.socket) -> None:
        self._server, self._listener = server, listener
        self._thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)

    def start(self) -> None:
        """Begin, and wait until it answers."""
        self._thread.start()
        while not self._server.started:
            time.sleep(0.005)

    def stop(self) -> None:
        """End, and wait for the end."""
        self._server.should_exit = True
        self._thread.join(10)
        self._listener.close()


def add_place(parser: argparse.ArgumentParser) -> None:
    """Where a stand-in in the foreground listens, and what it is called there."""
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    parser.add_argument(
        "--address", default="127.0.0.1", help="0.0.0.0 in a container (default: %(default)s)"
    )
    parser.add_argument(
        "--url", help="what others call it, such as http://slack:8091; default: by its address"
    )
    parser.add_argument("--page", metavar="URL", help="what a browser calls it, where that is something else")


def place(words: argparse.Namespace) -> tuple[socket.socket, str, tuple[str, ...]]:
    """The socket, the base URL, and the other base URLs."""
    listener = listen(words.port, words.address)
    url = words.url or f"http://127.0.0.1:{listener.getsockname()[1]}"
    return listener, url, (words.page,) if words.page else ()
