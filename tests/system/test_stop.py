"""The end of a demo, and the start after a kill. Last, because it ends the world of the other stories."""

from __future__ import annotations

import os
import signal

import psutil
import pytest

from tests.system.conftest import Demo, alive, listening

pytestmark = pytest.mark.system


def test_a_killed_demo_is_cleaned_up_by_the_next_and_ctrl_c_leaves_nothing(demo: Demo) -> None:
    left, listened = demo.group_pids(), demo.ports()
    assert demo.port in listened

    demo.process.send_signal(signal.SIGKILL)
    demo.process.wait()
    assert alive(left), "the kill was to leave something"

    demo.start("--no-pulls")
    demo.wait_for(lambda line: "ending what a killed demo left" in line)
    # Ctrl-C in each later phase, also in the night, is a story of `make deep`.
    demo.wait_for(lambda line: "Airflow's database" in line)
    postgres = demo.record["groups"]["postgres"]["pid"]
    assert alive(left - _session(postgres)) == []

    pids, ports = demo.group_pids(), demo.ports()
    assert demo.interrupt() == 130
    assert alive(pids | left) == []
    assert listening(ports | listened) == set()


def _session(postmaster: int) -> set[int]:
    """The server is the one thing that the next demo takes over."""
    server = psutil.Process(postmaster)
    return {postmaster, *(child.pid for child in server.children(recursive=True)), os.getpid()}
