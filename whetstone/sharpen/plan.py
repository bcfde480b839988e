"""How many steps fit into the time that the user gives, and how long the rest of a run will take."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from whetstone.evals.controls import Control

# Of the time for optimizer steps, the share that the real run gets beside one twin; that has the rest.
TRAINING_SHARE = 0.68
TWIN_SHARE = (1 - TRAINING_SHARE) / TRAINING_SHARE  # of the real run's time, for each twin
# Importing torch before the clock runs, and drawing the report, in seconds.
OVERHEAD = 6.0
FEWEST_STEPS = 8
# What was measured before training is measured again after it, and takes about as long.
AGAIN = {
    "after": "before",
    "temperature after": "temperature_before",
    "samples after": "samples_before",
    "harder after": "harder_before",
}


@dataclass(frozen=True)
class Plan:
    """`steps` of training, at most `twin_steps` of each twin, and the seconds to keep for a twin's own examination.

    `step_seconds` is what one step took when it was timed; 0 where nothing was.
    """

    steps: int
    twin_steps: int
    reserve: float = 0.0
    step_seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass
class Budget:
    """The time for a whole run, over all the processes that worked on it. `minutes` None: as long as it takes."""

    minutes: float | None
    clock: Callable[[], float] = time.monotonic
    earlier: float = 0.0  # seconds that other processes spent on what this one need not do again
    _begin: float = field(init=False)

    def __post_init__(self) -> None:
        self._begin = self.clock()

    def left(self) -> float | None:
        """Seconds left, negative when it is over; None without a limit."""
        if self.minutes is None:
            return None
        return 60 * self.minutes - self.earlier - (self.clock() - self._begin)


def plan_steps(
    left: float, step_seconds: float, stage_seconds: Mapping[str, float], twins: int, overhead: float = OVERHEAD
) -> tuple[Plan, float]:
    """Divide the `left` seconds between training, its twins, what is measured after them, and `overhead`.

    Returns the plan and the seconds by which it exceeds `left`: on a machine too slow for a few steps the run takes
    longer than asked, for a run that ends without a result helps nobody.
    """
    again = sum(stage_seconds.get(before, 0.0) for before in AGAIN.values())
    reserve = stage_seconds.get("before", 0.0) + overhead / 2
    share = 1 / (1 + TWIN_SHARE * twins)
    free = left - again - overhead - reserve * twins
    steps = max(FEWEST_STEPS, int(free * share / step_seconds))
    over = max(0.0, steps * step_seconds - free * share)
    return Plan(steps, steps if twins else 0, reserve, step_seconds), over


def minutes_up(seconds: float) -> str:
    """Seconds as minutes, rounded up to a tenth and from ten minutes on to a whole one."""
    minutes = seconds / 60
    return str(math.ceil(minutes)) if minutes >= 10 else f"{max(1, math.ceil(10 * minutes)) / 10:g}"


def seconds_ahead(
    plan: Plan, stage_seconds: Mapping[str, float], step_seconds: float, twins: Sequence[Control]
) -> dict[str, float]:
    """About how long each part of the run after planning takes, by its name in the progress line."""
    ahead = {after: stage_seconds.get(before, 0.0) for after, before in AGAIN.items()}
    ahead["train"] = plan.steps * step_seconds
    share = TWIN_SHARE if plan.step_seconds else 1.0
    for twin in twins if plan.twin_steps else ():
        ahead |= {twin.title: share * ahead["train"], f"{twin.title} after": stage_seconds.get("before", 0.0)}
    return ahead
