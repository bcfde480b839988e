"""Reinforcement learning on verdicts: collect, judge, step, record; a loop that can be killed anywhere.

Defaults and their sources: mean-centred advantages without division by the deviation (Dr. GRPO, arXiv 2503.20783),
ratio against the sampler's own log-probability inside a probability trust region (DPPO, arXiv 2602.04879), one
optimizer step per batch, loss over all response tokens of the batch, no KL term.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from whetstone.engine.engine import Engine
from whetstone.engine.protocol import SamplingParams
from whetstone.engine.rollout import Questioner, require_working_check
from whetstone.errors import WorkFailed
from whetstone.files import restore_folder
from whetstone.models.loading import Loaded
from whetstone.runs.metrics import JsonLines
from whetstone.tasks.keys import Stream
from whetstone.tasks.ledger import Ledger
from whetstone.tasks.task import PromptStyle, Task, Verdict
from whetstone.training import checkpoint
from whetstone.training.objectives import OBJECTIVES
from whetstone.training.rewards import Reward, task_reward
from whetstone.training.rollouts import Batch, Collector, summary
from whetstone.training.trainer import Schedule, StepResult, Trainer

# A run in which nothing can be learned is stopped after this many steps without one group with signal.
HOPELESS_STEPS = 3


@dataclass(frozen=True)
class Settings:
    """The dials of one training run."""

    steps: int
    learning_rate: float
    prompts: int = 16
    group_size: int = 8
    max_new_tokens: int = 16
    temperature: float = 1.0
    oversample: float = 2.0
    objective: str = "trust_region"
    save_every: int = 5


@dataclass(frozen=True)
class Setup:
    """What is trained on what: the task's training stream under a key, and how a completion is rewarded."""

    task: Task
    stream: Stream
    style: PromptStyle
    key: bytes
    reward: Reward = task_reward


class TrainingRun:
    """One training run in a directory: metrics.jsonl, timing.jsonl, samples.jsonl, ledger, checkpoint/."""

    def __init__(self, loaded: Loaded, setup: Setup, settings: Settings, folder: Path) -> None:
        self.loaded, self.setup, self.settings, self.folder = loaded, setup, settings, folder
        schedule = Schedule(settings.learning_rate, settings.steps)
        self.trainer = Trainer(loaded.model, loaded.trainable(), schedule, temperature=settings.temperature)
        self.engine = Engine(loaded.model)
        self.collector = Collector(
            questioner=Questioner(
                self.engine, loaded.tokenizer, setup.task, setup.style, positions=self.engine.capacity
            ),
            problem=setup.stream.problem,
            params=SamplingParams(settings.max_new_tokens, settings.temperature, loaded.tokenizer.stop_ids),
            reward=setup.reward,
            key=setup.key,
            prompts=settings.prompts,
            group_size=settings.group_size,
            oversample=settings.oversample,
        )
        self.cursor = 0
        self.hopeless = 0
        self.totals = {"generated_tokens": 0, "trained_tokens": 0}
        self.ledger = Ledger()
        self._logs = {name: JsonLines(folder / f"{name}.jsonl") for name in ("metrics", "samples", "timing")}

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint"

    def resume(self) -> None:
        """Go back to the last checkpoint, or to the very start where there is none; later log lines are cut off."""
        restore_folder(self.checkpoint)
        if checkpoint.exists(self.checkpoint):
            state = checkpoint.restore(self.checkpoint, self.loaded, self.trainer)
            self.cursor, self.hopeless, self.totals = state["cursor"], state["hopeless"], state["totals"]
            self.engine.weight_version = self.trainer.steps
            self.ledger = Ledger.load(self.checkpoint / checkpoint.LEDGER)
            sizes = state["sizes"]
        else:
            sizes = dict.fromkeys(self._logs, 0)
        for name, log in self._logs.items():
            log.truncate(sizes[name])

    def train(
        self,
        on_step: Callable[[dict[str, Any]], None],
        until: int | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        """Take the steps that are left, or those up to `until`; ends early, after saving, when `stop` says so."""
        last = self.settings.steps if until is None else min(until, self.settings.steps)
        while self.trainer.steps < last:
            on_step(self.step())
            stopped = stop()
            if stopped or self.trainer.steps == last or self.trainer.steps % self.settings.save_every == 0:
                self.save()
            if stopped:
                return

    def rehearse(self) -> None:
        """Do the work of the first step without recording it or changing a weight: how long does one take here?"""
        batch = self.collector.collect(0)
        # groups without signal now may have some later: time the step with as many as it will ever hold
        rows = [row for group in batch.groups[: self.settings.prompts] for row in group.rows(every=True)]
        self.trainer.rehearse(rows, OBJECTIVES[self.settings.objective])

    def step(self) -> dict[str, Any]:
        """Collect, train and record one step; returns the metrics row."""
        started = time.perf_counter()
        batch = self.collector.collect(self.cursor)
        collected = time.perf_counter()
        rows = [row for group in batch.kept for row in group.rows()]
        result = self.trainer.step(rows, OBJECTIVES[self.settings.objective]) if rows else self.trainer.skip()
        trained = time.perf_counter()
        self.engine.weight_version = self.trainer.steps
        self.cursor += batch.drawn
        self.ledger.add(*(group.answers.problem for group in batch.groups))
        row = self._record(batch, result)
        self._logs["timing"].append(
            {
                "step": self.trainer.steps,
                "generate_seconds": collected - started,
                "train_seconds": trained - collected,
                "generated_tokens": row["generated_tokens"],
                "trained_tokens": result.forward_tokens,
            }
        )
        verdicts = Counter(verdict for group in batch.groups for verdict in group.answers.verdicts)
        require_working_check(self.setup.task, verdicts, enough=1)  # a step is a sample large enough to go by
        self._give_up_if_hopeless(batch, verdicts)
        return row

    def _record(self, batch: Batch, result: StepResult) -> dict[str, Any]:
        row: dict[str, Any] = {"step": self.trainer.steps, **summary(batch)}
        row |= {
            "loss": result.loss,
            "entropy": result.entropy,
            "ratio_mean": result.ratio_mean,
            "mismatch_kl": result.mismatch_kl,
            "masked": result.masked,
            "grad_norm": result.grad_norm,
            "learning_rate": result.learning_rate,
            "response_tokens": result.response_tokens,
        }
        self.totals["generated_tokens"] += row["generated_tokens"]
        self.totals["trained_tokens"] += result.forward_tokens
        self._logs["metrics"].append(row)
        shown = (batch.kept or batch.groups)[0]
        answers = shown.answers
        self._logs["samples"].append(
            {
                "step": self.trainer.steps,
                "question": answers.problem.question,
                "texts": list(answers.texts),
                "verdicts": [verdict.value for verdict in answers.verdicts],
                "rewards": list(shown.rewards),
            }
        )
        return row

    def _give_up_if_hopeless(self, batch: Batch, verdicts: Counter[Verdict]) -> None:
        # Counts the steps from the first one on: a run that has learned goes on to its report, even if all is right.
        never_any = not batch.kept and self.hopeless == self.trainer.steps - 1
        self.hopeless = self.hopeless + 1 if never_any else 0
        if self.hopeless >= HOPELESS_STEPS:
            right = verdicts[Verdict.RIGHT]
            if right == verdicts.total():
                last, advice = "all right", "a higher --level"
            elif right == 0:
                last, advice = "all wrong", "a lower --level, an easier --task or a larger --model"
            else:
                last, advice = (
                    "some problems all right, the others all wrong",
                    "another --level or a higher --temperature",
                )
            raise WorkFailed(
                f"no group of answers had both right and wrong ones in {self.hopeless} steps (the last: {last}), "
                f"so there is nothing to learn from: try {advice}"
            )

    def save(self) -> None:
        """Checkpoint now, atomically."""
        state = {
            "cursor": self.cursor,
            "hopeless": self.hopeless,
            "totals": self.totals,
            "sizes": {name: log.size() for name, log in self._logs.items()},
        }
        checkpoint.save(self.checkpoint, self.loaded, self.trainer, state, self.ledger)
