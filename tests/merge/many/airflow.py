"""Runs of `pr_e2e` as Airflow starts them: step by step, tried again, ended by a teardown, or forgotten."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from daybreak.merge import protocol as p
from daybreak.merge.conf import Conf, conf_of, run_id_of
from daybreak.merge.gate import May, look
from daybreak.merge.rows import Entry
from daybreak.merge.run import Merge
from tests.merge.many.processes import Process

STEPS = ("enter", "deploy", "test", "land", "settle")
PROGRAMS: dict[str, Callable[[], p.Program]] = {"deploy": p.deploy, "test": p.test, "land": p.land}
TRIES = 3
ENVIRONMENT = "merge-01"


@dataclass
class Run:
    """One run, and the process that is at work on its step.

    :param heard: ticks until Airflow notices that the process is gone, or does not answer.
    :param over: nothing follows.
    """

    name: str
    entry: Entry
    step: str = STEPS[0]
    tries: int = 0
    process: Process | None = None
    heard: int = 0
    over: bool = False


@dataclass
class Airflow:
    """All runs, and the processes that were given up and go on all the same."""

    merge: Merge
    happened: Counter[str]
    trouble: Callable[[str], bool]
    runs: dict[str, Run] = field(default_factory=dict)
    orphans: list[Process] = field(default_factory=list)

    def going_on(self) -> list[Run]:
        """Runs that are not over."""
        return [each for each in self.runs.values() if not each.over]

    def over(self, run_id: str) -> str:
        """As `care.settle_dead` asks."""
        return "its run is over" if self.runs[run_id].over else ""

    def begin(self) -> None:
        """The run of whoever may enter the lane now."""
        found = self._may_enter()
        if found is not None:
            self.runs[found.name] = found

    def attend(self) -> None:
        """Start, try again or end what is to be."""
        for run in self.going_on():
            process = run.process
            if process is None:
                run.process = Process(self._work(run))
            elif process.over:
                self._ended(run, process)
            elif process.killed or process.asleep:
                run.heard -= 1
                if run.heard <= 0:
                    self._lost(run, process)

    def processes(self) -> list[Process]:
        """Those at work."""
        found = [each.process for each in self.going_on() if each.process is not None]
        self.orphans = [each for each in self.orphans if each.alive]
        return [each for each in [*found, *self.orphans] if each.alive]

    def _may_enter(self) -> Run | None:
        # Whoever is not the first waits at its gate.
        if any(each.step == STEPS[0] for each in self.going_on()):
            return None
        merge, batch = self.merge, self.merge.queue.choose()
        if batch is None:
            return None
        entry = batch.members[0]
        name = next(name for more in range(100) if (name := run_id_of(entry, more)) not in self.runs)
        seen = look(merge.installation, merge.queue, ENVIRONMENT, name, entry.id)
        return Run(name, entry) if seen.may is May.ENTER else None

    def _work(self, run: Run) -> Callable[[], object]:
        merge, name = self.merge, run.name
        if run.step == "enter":

            def enter() -> None:
                merge.resolve(Conf.of(conf_of(run.entry)), "gandalf", name)
                if merge.enter(name, run.entry.id, "gandalf") is None:
                    run.over = True  # it was not its turn after all; it waits again

            return enter
        if run.step == "settle":
            return lambda: merge.settle(name, "gandalf")
        program = PROGRAMS[run.step]()
        return lambda: merge.go(name, program, "gandalf")

    def _ended(self, run: Run, process: Process) -> None:
        if run.over:
            return
        if process.error is not None:
            self.happened[process.error.code] += 1
            self._again(run)
        elif run.step == "settle":
            run.over = True
        else:
            self._start(run, STEPS[STEPS.index(run.step) + 1])

    def _lost(self, run: Run, process: Process) -> None:
        """Its supervisor was killed; the process may wake."""
        self.orphans.append(process)
        if self.trouble("forgotten"):
            run.over = True
        elif self.trouble("marked"):
            self._start(run, "settle")
        else:
            self.happened["retried"] += 1
            self._again(run)

    def _again(self, run: Run) -> None:
        run.tries += 1
        if run.tries < TRIES:
            self._start(run, run.step, run.tries)
        elif run.step == "settle":
            run.over = True
        else:
            self._start(run, "settle")

    def _start(self, run: Run, step: str, tries: int = 0) -> None:
        run.step, run.tries, run.process = step, tries, None
