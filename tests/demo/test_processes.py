"""What the demo started is ended with everything that came from it, and nothing else ever is."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from examples.demo.processes import Mark, Processes, end, family

#: As Airflow does it: a task is in a group of its own, what it builds with in a session of its own. All are
#: deaf to SIGTERM.
LEADER = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setpgrp()
    command = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]
    build = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
    build.stdout.readline()
    print(os.getpid(), build.pid, flush=True)
    time.sleep(600)
time.sleep(600)
"""


class Tree:
    """A leader, its task and the task's build."""

    def __init__(self, folder: Path) -> None:
        self.now = 0.0
        self.processes = Processes(folder / "logs", changed=lambda: None, clock=lambda: self.now)
        self.processes.keep("leader", [sys.executable, "-c", LEADER], {}, folder)
        self.mark = self.processes.marks["leader"]
        log = folder / "logs" / "leader.log"
        while not log.read_text().endswith("\n"):
            assert not self.processes.dead(), log.read_text()
        self.task, self.build = (psutil.Process(int(pid)) for pid in log.read_text().split())

    def lives(self) -> list[bool]:
        return [_lives(each) for each in (self.mark.find(), self.task, self.build)]


def _lives(process: psutil.Process | None) -> bool:
    if process is None:
        return False
    with suppress(psutil.NoSuchProcess):
        return process.status() != psutil.STATUS_ZOMBIE
    return False


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Tree]:
    made = Tree(tmp_path)
    yield made
    for process in (made.mark.find(), made.task, made.build):
        if process and _lives(process):
            process.kill()


def test_a_stop_ends_tasks_and_builds_that_have_groups_of_their_own(tree: Tree) -> None:
    assert tree.lives() == [True, True, True]
    tree.processes.stop(grace=0.1)
    assert tree.lives() == [False, False, False]


def test_what_a_killed_leader_left_is_found_by_its_mark(tree: Tree) -> None:
    tree.processes.started["leader"].kill()
    tree.processes.started["leader"].wait()
    assert family([tree.mark]) == {tree.task, tree.build}

    killed = end([tree.mark], grace=0.1)

    assert set(killed) == {tree.task, tree.build}
    assert tree.lives() == [False, False, False]


def test_who_ended_and_was_not_buried_yet_is_not_left(tmp_path: Path) -> None:
    """In a container whose first process buries nobody they stay for ever."""
    leader = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    mark = Mark.of(leader.pid)
    assert len(family([mark])) == 1
    leader.kill()
    while psutil.Process(leader.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    assert family([mark]) == set()
    leader.wait()


def test_a_number_that_belongs_to_somebody_else_is_left_alone(tree: Tree) -> None:
    earlier = Mark(tree.mark.pid, tree.mark.began - 3600)
    assert (earlier.find(), family([earlier]), end([earlier], grace=0.1)) == (None, set(), [])
    assert tree.lives() == [True, True, True]


def test_who_ends_when_asked_is_not_killed() -> None:
    asked = subprocess.Popen([sys.executable, "-c", "import time; print(flush=True); time.sleep(600)"],
                             stdout=subprocess.PIPE, start_new_session=True)  # fmt: skip
    assert asked.stdout
    asked.stdout.readline()
    assert end([Mark.of(asked.pid)], grace=30) == []
    assert asked.poll() is not None


def test_what_ends_is_started_again_after_a_pause_that_doubles(tmp_path: Path) -> None:
    now = 0.0
    processes = Processes(tmp_path / "logs", changed=lambda: None, clock=lambda: now)
    processes.keep("loop", [sys.executable, "-c", "raise SystemExit(3)"], {}, tmp_path)
    said = []
    for now in map(float, range(8)):
        processes.started["loop"].wait()
        said += [(now, line) for line in processes.tend()]
    again, ended = "loop is started again", "loop ended with 3; it is started again in {} s"
    assert said == [
        (0, ended.format(1)), (1, again), (2, ended.format(2)), (4, again), (5, ended.format(4)),
    ]  # fmt: skip


def test_what_a_killed_one_left_is_ended_before_another_takes_its_place(tree: Tree) -> None:
    tree.processes.started["leader"].kill()
    tree.processes.started["leader"].wait()
    assert tree.lives() == [False, True, True]
    assert tree.processes.tend() == ["leader was ended by SIGKILL; it is started again in 1 s"]
    assert tree.lives() == [False, False, False]
    tree.now = 1.0
    assert tree.processes.tend() == ["leader is started again"]
    second = tree.processes.marks["leader"]
    assert second != tree.mark

    tree.processes.stop(grace=0.1)
    assert family([second]) == set()
