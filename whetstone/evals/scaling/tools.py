"""What the strategies of one model and task may use beside samples: the verifiers that there are."""

from __future__ import annotations

import re
from pathlib import Path

from whetstone.engine.backends import Backend
from whetstone.engine.samples import Pool
from whetstone.engine.strategies.names import Tools
from whetstone.engine.strategies.strategy import Verifier
from whetstone.engine.verifiers import free_verifiers
from whetstone.engine.verifiers.head import ABOUT, HeadVerifier
from whetstone.errors import UsageError, WorkFailed
from whetstone.evals.evaluate import Asked
from whetstone.evals.verifier_quality import make_verifier
from whetstone.models.loading import Loaded
from whetstone.runs.progress import Progress
from whetstone.tasks.files.task import FixedItems
from whetstone.tasks.keys import Key
from whetstone.tasks.task import Task

VERIFIERS = "verifiers"  # the folder of those that are made here


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


def made(folder: Path) -> list[Path]:
    """The verifiers that were made in the folder of a measurement."""
    return sorted(head.parent for head in (folder / VERIFIERS).glob(f"*/{ABOUT}"))


def made_here(
    folder: Path, model: str, loaded: Loaded, backend: Backend, pool: Pool, asked: Asked, temperature: float,
    progress: Progress,
) -> Path | None:  # fmt: skip
    """The folder of the verifier of this model for this task and level, made from problems of the training split at the
    first call; None, and a message why, where it cannot be made: no training problems, or hardly any right answers.
    """
    name = re.sub(r"[^\w.-]+", "-", f"{Path(model).name}-{asked.task.name}-{asked.level}")
    target = folder / VERIFIERS / name
    if (target / ABOUT).is_file():
        return target
    if isinstance(asked.task, FixedItems):
        progress.message(f"{asked.task.name} has no problems to train a verifier on")
        return None
    target.parent.mkdir(exist_ok=True)
    key = Key.derive(asked.key, "verifier of whet scale")
    try:
        make_verifier(
            loaded, backend, pool, asked.task, asked.level, key, target, progress, style=asked.style,
            temperature=temperature,
        )  # fmt: skip
    except (UsageError, WorkFailed) as error:
        progress.message(f"no verifier for {asked.task.name} level {asked.level}: {error}")
        return None
    return target
