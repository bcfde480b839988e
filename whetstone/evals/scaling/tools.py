"""What the strategies of one model and task may use beside samples: the verifiers that there are."""

from __future__ import annotations

from pathlib import Path

from whetstone.engine.strategies.names import Tools
from whetstone.models.loading import Loaded
from whetstone.tasks.task import Task


def tools_for(loaded: Loaded | None, task: Task, temperature: float, verifier: Path | None) -> Tools:
    """`loaded`: the model's own weights, None for an endpoint. `verifier`: the folder of a learned one."""
    return Tools(temperature=temperature)
