"""What a model is asked before and after: the same fresh problems, one level harder, a pool of samples, and rivals
that need no training (other prompts, worked examples, votes)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from whetstone.engine.engine import Engine
from whetstone.engine.protocol import Progress
from whetstone.engine.rollout import Questioner
from whetstone.evals.measure import Measurement, measure_greedy, measure_sampled
from whetstone.models.loading import Loaded
from whetstone.sharpen.settings import Settings
from whetstone.tasks.keys import Key, Partition, Stream, commitment
from whetstone.tasks.task import Problem, PromptStyle, Task

SHOTS = 8
VALIDATION_PROBLEMS = 64
# Styles that invite reasoning get room for it: this many times the task's own limit.
REASONING_ROOM = 6


@dataclass(frozen=True)
class Keys:
    """The keys of one run, all derived from its secret; training is handed its own and the partition only."""

    train: bytes
    evaluation: bytes
    partition: Partition
    commitments: dict[str, str]

    @classmethod
    def of(cls, secret: bytes) -> Keys:
        keys = {name: Key.derive(secret, name) for name in ("train", "evaluation", "partition")}
        committed = {name: commitment(key) for name, key in keys.items()}
        return cls(keys["train"], keys["evaluation"], Partition(keys["partition"]), committed)


class Examination:
    """Fixed sets of problems from the evaluation key, and the ways to put them to a model."""

    def __init__(self, task: Task, level: int, keys: Keys, settings: Settings) -> None:
        """Draws the problems. Raises UsageError when the level has fewer different ones than `settings.problems`."""
        self.task, self.level, self.keys, self.settings = task, level, keys, settings
        self.style = task.styles()[settings.style]
        self.problems = self._stream("eval", level).take(settings.problems, distinct=True)
        self.pool_problems = self.problems[: settings.pool_problems]
        self.harder_level = next((other for other in task.levels if other > level), None)
        self.harder_problems: list[Problem] = []
        if self.harder_level is not None:
            self.harder_problems = self._stream("eval", self.harder_level).take(settings.problems // 2, distinct=True)

    def _stream(self, split: str, level: int) -> Stream:
        return Stream(self.task, self.keys.evaluation, split, level, self.keys.partition)

    def _questioner(self, loaded: Loaded, style: PromptStyle, examples: list[tuple[Problem, str]]) -> Questioner:
        return Questioner(Engine(loaded.model), loaded.tokenizer, self.task, style, tuple(examples))

    def greedy(self, loaded: Loaded, progress: Progress | None = None) -> Measurement:
        """One greedy answer to each evaluation problem in the style that training uses."""
        return measure_greedy(
            self._questioner(loaded, self.style, []), self.problems, self.task.max_new_tokens, progress
        )

    def harder(self, loaded: Loaded, progress: Progress | None = None) -> Measurement | None:
        """The same one level up, where there is one."""
        if not self.harder_problems:
            return None
        questioner = self._questioner(loaded, self.style, [])
        return measure_greedy(questioner, self.harder_problems, self.task.max_new_tokens, progress)

    def pool(self, loaded: Loaded, progress: Progress | None = None) -> Measurement:
        """A pool of samples at temperature 1 on the first problems: pass@k, votes and sampled accuracy come from it."""
        questioner = self._questioner(loaded, self.style, [])
        count, room = self.settings.pool_samples, self.task.max_new_tokens
        return measure_sampled(questioner, self.pool_problems, count, room, self.keys.evaluation, progress)

    def few_shot(self, loaded: Loaded, progress: Progress | None = None) -> Measurement | None:
        """Greedy with worked examples from the validation split in front; None where the task states no answers."""
        worked = self._stream("validation", self.level).take(SHOTS, distinct=True)
        answers = [self.task.answer(problem) for problem in worked]
        examples = [(p, answer) for p, answer in zip(worked, answers, strict=True) if answer is not None]
        if len(examples) < SHOTS:
            return None
        questioner = self._questioner(loaded, self.style, examples)
        return measure_greedy(questioner, self.problems, self.task.max_new_tokens, progress)

    def styles(self, loaded: Loaded, progress: Progress | None = None) -> dict[str, Any]:
        """Every prompt style on validation problems; the best one, and its score on the evaluation problems.

        The choice is made on other problems than the score, else the best of several would be flattered.
        """
        problems = self._stream("validation", self.level).take(SHOTS + VALIDATION_PROBLEMS, distinct=True)[SHOTS:]
        tried: dict[str, Measurement] = {}
        for name, style in self.task.styles().items():
            tried[name] = measure_greedy(self._questioner(loaded, style, []), problems, self._room(name), progress)
        best = max(tried, key=lambda name: (tried[name].accuracy().mean, name == self.style.name))
        return {"best": best, "tried": {name: m.accuracy().to_dict() for name, m in tried.items()}}

    def in_style(self, loaded: Loaded, name: str, progress: Progress | None = None) -> Measurement:
        """Greedy on the evaluation problems in another prompt style."""
        questioner = self._questioner(loaded, self.task.styles()[name], [])
        return measure_greedy(questioner, self.problems, self._room(name), progress)

    def _room(self, style: str) -> int:
        return self.task.max_new_tokens * (1 if style == self.style.name else REASONING_ROOM)
