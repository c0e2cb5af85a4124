"""The end of a demo, and the start after a kill. Last, because it ends the world of the other stories."""

from __future__ import annotations

import os
import signal
import socket

import psutil
import pytest

from tests.system.conftest import Demo

pytestmark = pytest.mark.system


def _alive(pids: set[int]) -> list[str]:
    found = []
    for process in psutil.process_iter(["pid", "cmdline", "status"]):
        if process.info["pid"] in pids and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(f"{process.info['pid']} {process.info['cmdline']}")
    return found


def _listening(ports: set[int]) -> set[int]:
    taken = set()
    for port in ports:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                taken.add(port)
    return taken


def test_a_killed_demo_is_cleaned_up_by_the_next_and_ctrl_c_leaves_nothing(demo: Demo) -> None:
    left, listened = demo.group_pids(), demo.ports()
    assert demo.port in listened

    demo.process.send_signal(signal.SIGKILL)
    demo.process.wait()
    assert _alive(left), "the kill was to leave something"

    demo.start()
    demo.wait_for(lambda line: "ending what a killed demo left" in line)
    demo.wait_for(lambda line: "Airflow is up" in line)
    postgres = demo.record["groups"]["postgres"]["pid"]
    assert _alive(left - _session(postgres)) == []

    pids, ports = demo.group_pids(), demo.ports()
    assert demo.interrupt() == 130
    assert _alive(pids | left) == []
    assert _listening(ports | listened) == set()


def _session(postmaster: int) -> set[int]:
    """The server is the one thing that the next demo takes over."""
    server = psutil.Process(postmaster)
    return {postmaster, *(child.pid for child in server.children(recursive=True)), os.getpid()}
