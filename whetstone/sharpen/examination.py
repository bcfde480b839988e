"""What a model is asked before and after: the same fresh problems, one level harder, a pool of samples, and rivals
that need no training (other prompts, worked examples, votes)."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from whetstone.engine.engine import Engine
from whetstone.engine.protocol import Progress
from whetstone.engine.rollout import Judge, PromptTooLong, Questioner
from whetstone.errors import UsageError
from whetstone.evals.measure import REASONING_ROOM, Measurement, measure_greedy, measure_sampled
from whetstone.models.loading import Loaded
from whetstone.sharpen.settings import Settings
from whetstone.tasks.baselines import majority_answer
from whetstone.tasks.keys import Key, Stream, commitment
from whetstone.tasks.task import Problem, PromptStyle, Task, Verdict, judge

SHOTS = 8
VALIDATION_PROBLEMS = 48
MAJORITY_PROBLEMS = 300


@dataclass(frozen=True)
class Keys:
    """The keys of one run, derived from its secret; training is handed its own only."""

    train: bytes
    evaluation: bytes
    commitments: dict[str, str]

    @classmethod
    def of(cls, secret: bytes) -> Keys:
        keys = {name: Key.derive(secret, name) for name in ("train", "evaluation")}
        committed = {name: commitment(key) for name, key in keys.items()}
        return cls(keys["train"], keys["evaluation"], committed)


class Examination:
    """Fixed sets of problems from the evaluation key, and the ways to put them to a model."""

    def __init__(self, task: Task, level: int, keys: Keys, settings: Settings) -> None:
        """Draws all problems, so that a task that cannot give them fails before anything is measured.

        Raises UsageError when the level has fewer different ones than `settings.problems`, or the task is broken.
        """
        self.task, self.level, self.keys, self.settings = task, level, keys, settings
        self.style = task.styles()[settings.style]
        self.problems = self._stream("eval", level).take(settings.problems, distinct=True)
        self.pool_problems = self.problems[: settings.pool_problems]
        self.rival_problems = self.problems[: max(settings.problems // 2, settings.pool_problems)]
        self.harder_level = next((other for other in task.levels if other > level), None)
        self.harder_problems: list[Problem] = []
        if self.harder_level is not None:
            self.harder_problems = self._stream("eval", self.harder_level).take(settings.problems // 2, distinct=True)
        found = self._some("validation", SHOTS + VALIDATION_PROBLEMS)
        shots = min(SHOTS, len(found) // 2)
        self.examples = self._worked(found[:shots])
        self.validation = found[shots:]

    def _some(self, split: str, wanted: int) -> list[Problem]:
        """Different problems of a split, `wanted` of them or as many as a small space shows in four times the draws."""
        found: dict[str, Problem] = {}
        stream = self._stream(split, self.level)
        for i in range(4 * wanted):
            problem = stream.problem(i)
            found.setdefault(problem.id, problem)
            if len(found) == wanted:
                break
        return list(found.values())

    def _worked(self, problems: list[Problem]) -> list[tuple[Problem, str]]:
        """Each problem with its answer; empty where the task states none. Raises UsageError if `check` rejects one."""
        examples = []
        for problem in problems:
            answer = self.task.answer(problem)
            if answer is None:
                return []
            if (verdict := judge(self.task, problem, answer)) is not Verdict.RIGHT:
                broken = verdict in (Verdict.ERROR, Verdict.TIMEOUT)
                raise UsageError(
                    f"task {self.task.name!r} contradicts itself: check() says {verdict.value} to answer()'s own "
                    f"{answer!r} for {problem.question!r}{': ' + self.task.last_error if broken else ''}; mend it"
                )
            examples.append((problem, answer))
        return examples

    def _stream(self, split: str, level: int) -> Stream:
        return Stream(self.task, self.keys.evaluation, split, level)

    def _questioner(self, loaded: Loaded, style: PromptStyle, examples: list[tuple[Problem, str]]) -> Questioner:
        positions = loaded.model.config.max_positions
        return Questioner(Engine(loaded.model), loaded.tokenizer, self.task, style, tuple(examples), positions)

    def constants(self, progress: Progress | None = None) -> dict[str, Any]:
        """What answers score that do not read the question: the most frequent right one, and none at all."""
        text, accuracy = "", 0.0
        if self.examples:
            text, accuracy = majority_answer(self.task, self.level, self.keys.evaluation, MAJORITY_PROBLEMS)
        verdict = Judge(self.task)
        silent = 0
        for done, problem in enumerate(self.problems, start=1):
            silent += verdict(problem, "") is Verdict.RIGHT
            if progress is not None:
                progress(done, len(self.problems))
        empty = {"accuracy": silent / len(self.problems)}
        return {"majority_answer": {"text": text, "accuracy": accuracy}, "empty": empty}

    def greedy(self, loaded: Loaded, progress: Progress | None = None) -> Measurement:
        """One greedy answer to each evaluation problem in the style that training uses."""
        return measure_greedy(
            self._questioner(loaded, self.style, []), self.problems, self.task.max_new_tokens, progress
        )

    def harder(self, loaded: Loaded, progress: Progress | None = None) -> Measurement | None:
        """The same one level up; None where there is none, or the model has no positions for its questions."""
        if not self.harder_problems:
            return None
        questioner = self._questioner(loaded, self.style, [])
        try:
            # longer problems have longer answers: the limit that fits this level would cut off the next one's
            return measure_greedy(questioner, self.harder_problems, 2 * self.task.max_new_tokens, progress)
        except PromptTooLong:
            return None

    def pool(self, loaded: Loaded, progress: Progress | None = None) -> Measurement:
        """A pool of samples at temperature 1 on the first problems: pass@k, votes and sampled accuracy come from it."""
        questioner = self._questioner(loaded, self.style, [])
        count, room = self.settings.pool_samples, self.task.max_new_tokens
        return measure_sampled(questioner, self.pool_problems, count, room, self.keys.evaluation, progress)

    def few_shot(self, loaded: Loaded, progress: Progress | None = None) -> Measurement | None:
        """Greedy with worked examples from the validation split in front, on the first half of the problems.

        None where the task states no answers, or the model has no positions for so long a prompt.
        """
        if not self.examples:
            return None
        questioner = self._questioner(loaded, self.style, self.examples)
        try:
            return measure_greedy(questioner, self.rival_problems, self.task.max_new_tokens, progress)
        except PromptTooLong:
            return None

    def styles(self, loaded: Loaded, progress: Progress | None = None) -> dict[str, Any]:
        """Every prompt style on validation problems; the best one, and its score on the evaluation problems.

        The choice is made on other problems than the score, else the best of several would be flattered. A style for
        which the model has too few positions is left out. `progress` counts styles.
        """
        tried: dict[str, Measurement] = {}
        styles = self.task.styles()
        for place, (name, style) in enumerate(styles.items(), start=1):
            questioner = self._questioner(loaded, style, [])
            with suppress(PromptTooLong):
                tried[name] = measure_greedy(questioner, self.validation, self._room(name))
            if progress is not None:
                progress(place, len(styles))
        own = self.style.name
        best = max(tried, key=lambda name: (tried[name].accuracy().mean, name == own), default=own)
        return {"best": best, "tried": {name: m.accuracy().to_dict() for name, m in tried.items()}}

    def in_style(self, loaded: Loaded, name: str, progress: Progress | None = None) -> Measurement:
        """Greedy in another prompt style, on the first half of the evaluation problems: reasoning takes long."""
        questioner = self._questioner(loaded, self.task.styles()[name], [])
        return measure_greedy(questioner, self.rival_problems, self._room(name), progress)

    def _room(self, style: str) -> int:
        return self.task.max_new_tokens * (1 if style == self.style.name else REASONING_ROOM)
