"""The relay before a service, as a process of its own: what comes through, and who ends in the middle."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from daybreak.deploy.relays import _PROGRAM


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def relay(to: int) -> Iterator[int]:
    port = free_port()
    routes = json.dumps([["127.0.0.1", port, "127.0.0.1", to]])
    process = subprocess.Popen([sys.executable, "-I", "-c", _PROGRAM, routes])
    try:
        for _ in range(500):
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.02)
        yield port
    finally:
        process.kill()
        process.wait()


@contextmanager
def service(*turns: Callable[[socket.socket], None]) -> Iterator[tuple[int, list[bytes]]]:
    """A server whose callers are served by ``turns``, one after the other; what each of them said."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            # Who looks whether the relay listens yet comes through to here, too, and says nothing.
            waiting = list(turns)
            while waiting:
                try:
                    caller, _ = server.accept()
                except OSError:
                    return
                with caller:
                    said = caller.recv(65536)
                    if said:
                        heard.append(said)
                        waiting.pop(0)(caller)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1], heard
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def ends(caller: socket.socket) -> None:
    """Reset, as a process that is killed leaves its callers."""
    caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def answers(caller: socket.socket) -> None:
    caller.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhere")


def asked(port: int, method: str) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, "/", body=b"order" if method == "POST" else None)
        return connection.getresponse().read().decode()
    except (ConnectionError, http.client.HTTPException) as error:
        return type(error).__name__
    finally:
        connection.close()


def test_who_met_one_that_ends_is_passed_on_when_it_only_reads() -> None:
    with service(ends, lambda _: None, answers) as (to, heard), relay(to) as port:
        assert asked(port, "GET") == "here"
    assert len(heard) == 3
    assert len(set(heard)) == 1, "the same request each time"


def test_what_may_change_something_is_never_asked_twice() -> None:
    with service(ends, answers) as (to, heard), relay(to) as port:
        assert asked(port, "POST") in {"RemoteDisconnected", "ConnectionResetError"}
        assert len(heard) == 1
        assert asked(port, "GET") == "here"


def test_one_that_always_ends_is_asked_three_times() -> None:
    with service(ends, ends, ends, answers) as (to, heard), relay(to) as port:
        assert asked(port, "GET") in {"RemoteDisconnected", "ConnectionResetError"}
        assert len(heard) == 3
        assert asked(port, "GET") == "here"


def test_large_bodies_come_through_both_ways() -> None:
    body = bytes(range(256)) * 20_000

    def echo(caller: socket.socket) -> None:
        # The first piece was read already.
        left = len(body) - len(heard[-1].partition(b"\r\n\r\n")[2])
        while left:
            left -= len(caller.recv(65536))
        caller.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    with service(echo) as (to, heard), relay(to) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("POST", "/", body=body)
        assert connection.getresponse().read() == body
        connection.close()
