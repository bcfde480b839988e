"""Makes a learned verifier and says how good it is, on problems that it was not made from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from whetstone.engine.backends import Backend
from whetstone.engine.samples import Pool
from whetstone.engine.verifiers.head import HeadVerifier
from whetstone.models.loading import Loaded
from whetstone.runs.progress import Progress
from whetstone.tasks.task import PromptStyle, Task

PROBLEMS, SAMPLES = 160, 8


def make_verifier(
    loaded: Loaded,
    backend: Backend,
    pool: Pool,
    task: Task,
    level: int,
    key: bytes,
    out: Path,
    progress: Progress,
    problems: int = PROBLEMS,
    samples: int = SAMPLES,
    style: PromptStyle | None = None,
    temperature: float = 1.0,
) -> tuple[HeadVerifier, dict[str, Any]]:
    """A head for `loaded` on `task`, written to the folder `out` (replaced if there), and its quality as JSON values.

    `backend` and `pool` draw from the same model; `key` is a training key, the problems are the training split's.
    Use it by `Tools({"head": head})`; from disk: `HeadVerifier.load(out, loaded)`. Raises WorkFailed where the model's
    answers are all right or all wrong: there is nothing to tell apart.
    """
    raise NotImplementedError
