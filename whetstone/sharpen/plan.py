"""How many steps fit into the time that the user gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from whetstone.errors import UsageError

# Of the time for optimizer steps, the share that the real run gets; the twin has the rest.
TRAINING_SHARE = 0.68
# Saving checkpoints, loading weights again and drawing the report, in seconds.
OVERHEAD = 25.0
FEWEST_STEPS = 3


@dataclass(frozen=True)
class Plan:
    """`steps` of training, at most `twin_steps` of the twin, and the seconds to keep for the twin's own examination."""

    steps: int
    twin_steps: int
    reserve: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def plan_steps(left: float, step_seconds: float, stage_seconds: Mapping[str, float], twin: bool) -> Plan:
    """Divide the `left` seconds. What was measured before training is measured again after it, and once for the twin.

    Raises UsageError when not even a few steps fit, saying how many minutes would do.
    """
    again = sum(stage_seconds.get(name, 0.0) for name in ("before", "samples_before", "harder_before"))
    reserve = stage_seconds.get("before", 0.0) + OVERHEAD / 2
    free = left - again - OVERHEAD - (reserve if twin else 0.0)
    steps = int(free * (TRAINING_SHARE if twin else 1.0) / step_seconds)
    if steps < FEWEST_STEPS:
        missing = FEWEST_STEPS * step_seconds / TRAINING_SHARE - free
        raise UsageError(
            f"the time is too short: one step takes {step_seconds:.0f} s here; "
            f"give about {missing / 60 + 1:.0f} minutes more, or ask for fewer --problems"
        )
    return Plan(steps, steps if twin else 0, reserve)
