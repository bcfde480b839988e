"""What a sharpened model cost before it answered anything: read from the directory of the run that made it."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from whetstone.engine.strategies.spending import flops, prompt_flops
from whetstone.errors import UsageError
from whetstone.models.config import ModelConfig
from whetstone.models.tokenizer import Tokenizer
from whetstone.runs.directory import RunDirectory, RunState
from whetstone.runs.metrics import read
from whetstone.tasks.keys import Key, Stream
from whetstone.tasks.registry import load_task

PROMPTS = 64  # whose mean length stands for all
BACKWARD = {"full": 2, "lora": 1}  # forward passes' worth; frozen weights need no gradient of their own


@dataclass(frozen=True)
class TrainingCost:
    """What training spent. Tokens: written by the model to learn from, read as prompts of these (each once for its
    group), and gone through in updates. Measuring before and after, choosing a prompt, and the twin are not in it.

    base: {name, sha256} of the weights that it began with.
    """

    run: str
    base: Mapping[str, Any]
    task: str
    level: int
    method: str
    steps: int
    groups: int
    answers: int
    generated_tokens: int
    trained_tokens: int
    seconds: float

    def flops(self, config: ModelConfig, prompt_tokens: float) -> dict[str, float]:
        """{rollouts, updates, total}: floating-point operations, attention included.

        Rollouts: each group's prompt of `prompt_tokens` once, and each answer token. Updates: a forward pass over the
        trained tokens and a backward pass of twice that (once for adapters on frozen weights): 6 per weight and token.
        Every token counts as computed, also where the engine found it in a cache.
        """
        prompt, answer = round(prompt_tokens), self.generated_tokens / max(1, self.answers)
        rollouts = self.groups * prompt_flops(config, prompt, 0) + self.answers * flops(config, 1, prompt) * answer
        forward = flops(config, 1, round((prompt + answer) / 2)) * self.trained_tokens
        updates = forward * (1 + BACKWARD.get(self.method, 2))
        return {"rollouts": rollouts, "updates": updates, "total": rollouts + updates}

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def run_of(model: str) -> Path | None:
    """The directory of the run that made this model: named itself, or by its checkpoint. None for any other model."""
    path = Path(model)
    for folder in (path, path.parent if path.name == "checkpoint" else path):
        if (folder / "config.toml").is_file() and (folder / "provenance.json").is_file():
            return folder
    return None


def weights_of(model: str) -> str:
    """What to load: a run's directory stands for its checkpoint. Raises UsageError for a run without one."""
    run = run_of(model)
    if run is None:
        return model
    checkpoint = run / "checkpoint"
    if not checkpoint.is_dir():
        raise UsageError(f"the run in {run} has no checkpoint yet: go on with it by `whet resume {run}`")
    return str(checkpoint)


def training_cost(run: Path) -> TrainingCost:
    """Read what a finished run recorded. Raises UsageError for one that is not finished, or whose files cannot be
    read."""
    directory = RunDirectory.open(run, writing=False)
    if directory.state is not RunState.FINISHED:
        raise UsageError(f"the run in {run} is not finished: go on with it by `whet resume {run}`")
    try:
        report = json.loads(directory.report_json.read_text(encoding="utf-8"))
        steps, timing = read(directory.metrics), read(directory.timing)
        return TrainingCost(
            run=run.name,
            base=report["model"],
            task=report["task"]["name"],
            level=report["task"]["level"],
            method=report["method"],
            steps=report["steps"],
            groups=_total(steps, "groups"),
            answers=sum(sum(row["verdicts"].values()) for row in steps),
            generated_tokens=_total(steps, "generated_tokens"),
            trained_tokens=_total(timing, "trained_tokens"),
            seconds=sum(row["generate_seconds"] + row["train_seconds"] for row in timing),
        )
    except (OSError, ValueError, KeyError, TypeError) as failure:
        raise UsageError(f"what the run in {run} cost cannot be read ({type(failure).__name__}: {failure})") from None


def mean_prompt(run: Path, tokenizer: Tokenizer) -> float:
    """Tokens of a prompt as the run asked them, the mean of some problems like those that it trained on. Raises
    UsageError where its task cannot be found any more."""
    config = tomllib.loads((run / "config.toml").read_text(encoding="utf-8"))
    task = load_task(config["task"])
    level = config.get("level", task.default_level)
    key = Key.derive(b"whetstone scale", "length of a prompt")
    style = task.styles()[config["style"]]
    problems = Stream(task, key, "train", level).take(PROMPTS)
    return fmean(len(tokenizer.chat_ids(style.messages(task, problem))) for problem in problems)


def _total(rows: Sequence[Mapping[str, Any]], name: str) -> int:
    return sum(int(row[name]) for row in rows)
