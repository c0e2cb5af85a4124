"""What goes wrong in the soak, and how often."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

#: At each occasion: a read of the remote, a push, a deploy, tests, a call to GitHub, a step of a process
#: that is killed or stopped, and of its run, which somebody marks or all forget; a tick.
USUAL: Mapping[str, float] = {
    "remote away": 0.01, "push late": 0.07, "push refused": 0.03, "answer lost": 0.06, "deploy failed": 0.02,
    "half deployed": 0.02, "tests timed out": 0.02, "GitHub away": 0.05, "webhook lost": 0.5, "paused": 0.05,
    "killed": 0.006, "stopped": 0.006, "pushed to main": 0.002, "marked": 0.3, "forgotten": 0.1,
}  # fmt: skip


@dataclass
class Trouble:
    """Throws the dice, while there is trouble; counts what happened."""

    rng: random.Random
    happened: Counter[str]
    chances: Mapping[str, float] = field(default_factory=lambda: USUAL)
    on: bool = True

    def __call__(self, what: str) -> bool:
        happens = self.on and self.rng.random() < self.chances[what]
        self.happened[what] += happens
        return happens
