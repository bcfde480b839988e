"""What the strategies of one model and task may use beside samples: the verifiers that there are."""

from __future__ import annotations

from pathlib import Path

from whetstone.engine.strategies.names import Tools
from whetstone.engine.strategies.strategy import Verifier
from whetstone.engine.verifiers import free_verifiers
from whetstone.engine.verifiers.head import HeadVerifier
from whetstone.models.loading import Loaded
from whetstone.tasks.task import Task


def tools_for(loaded: Loaded | None, task: Task, temperature: float, verifier: Path | None) -> Tools:
    """`loaded`: the model's own weights, None for an endpoint. `verifier`: the folder of a learned one.

    The question's own check chooses only where it may (`Task.verifiable`): elsewhere it would be an oracle. An endpoint
    gives no distributions of tokens, so nothing goes by them there. Raises UsageError for a verifier of other weights.
    """
    found: dict[str, Verifier] = {}
    for name, free in free_verifiers().items():
        if (name == "check" and not task.verifiable) or (loaded is None and free.params_needed):
            continue
        found[name] = free
    if verifier is not None and loaded is not None:
        found["head"] = HeadVerifier.load(verifier, loaded)
    return Tools(found, temperature)
