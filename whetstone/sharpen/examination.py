"""What a model is asked before and after: the same fresh problems, one level harder, a pool of samples, and rivals
that need no training (other prompts, worked examples, votes)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from whetstone.engine.engine import Engine
from whetstone.engine.protocol import Progress
from whetstone.engine.rollout import Judge, PromptTooLong, Questioner
from whetstone.errors import UsageError
from whetstone.evals.measure import Measurement, measure_greedy, measure_sampled, vote
from whetstone.models.loading import Loaded
from whetstone.sharpen.settings import Settings
from whetstone.tasks.baselines import majority_answer
from whetstone.tasks.keys import Key, Stream, commitment
from whetstone.tasks.task import Problem, PromptStyle, Task, Verdict, judge

Example: TypeAlias = tuple[Problem, str]

SHOTS = (4, 8)  # worked examples in a prompt; the best number and form of them is chosen
VALIDATION_PROBLEMS = 48
MAJORITY_PROBLEMS = 300
TEMPERATURES = (0.4, 0.7, 1.0)
TRIAL_SAMPLES = 4  # per validation problem and temperature
PLAIN = "plain"  # the style that is the question alone
MORE_ROOM = 128  # tokens on top of the task's own limit: fewer than one answer in ten is cut (docs/log.md)


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
        found = self._some("validation", max(SHOTS) + VALIDATION_PROBLEMS)
        shots = min(max(SHOTS), len(found) // 2)
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

    def _worked(self, problems: list[Problem]) -> dict[str, list[Example]]:
        """Each problem with its answer, by format: bare, and spelled out; what the task lacks is absent.

        Raises UsageError if `check` rejects one.
        """
        return {
            name: examples
            for name, method, write in (
                ("bare", "answer", self.task.answer),
                ("worked", "worked", self.task.worked),
            )
            if (examples := self._checked(problems, method, write))
        }

    def _checked(self, problems: list[Problem], method: str, write: Callable[[Problem], str | None]) -> list[Example]:
        examples = []
        for problem in problems:
            answer = write(problem)
            if answer is None:
                return []
            if (verdict := judge(self.task, problem, answer)) is not Verdict.RIGHT:
                broken = verdict in (Verdict.ERROR, Verdict.TIMEOUT)
                raise UsageError(
                    f"task {self.task.name!r} contradicts itself: check() says {verdict.value} to {method}()'s own "
                    f"{answer!r} for {problem.question!r}{': ' + self.task.last_error if broken else ''}; mend it"
                )
            examples.append((problem, answer))
        return examples

    def _stream(self, split: str, level: int) -> Stream:
        return Stream(self.task, self.keys.evaluation, split, level)

    def _questioner(self, loaded: Loaded, style: PromptStyle, examples: Sequence[Example] = ()) -> Questioner:
        engine = Engine(loaded.model)
        return Questioner(engine, loaded.tokenizer, self.task, style, tuple(examples), engine.capacity)

    def constants(self, progress: Progress | None = None) -> dict[str, Any]:
        """What answers score that do not read the question: the most frequent right one, and none at all.

        {ids, text, majority, empty}: `majority` and `empty` are 1 or 0 for each evaluation problem; `text` and
        `majority` are None where the task states no answers.
        """
        text = (
            majority_answer(self.task, self.level, self.keys.evaluation, MAJORITY_PROBLEMS) if self.examples else None
        )
        verdict = Judge(self.task)
        right: dict[str, list[int]] = {"majority": [], "empty": []}
        for done, problem in enumerate(self.problems, start=1):
            right["empty"].append(int(verdict(problem, "") is Verdict.RIGHT))
            if text is not None:
                right["majority"].append(int(verdict(problem, text) is Verdict.RIGHT))
            if progress is not None:
                progress(done, len(self.problems))
        ids = [problem.id for problem in self.problems]
        return {"ids": ids, "text": text, "empty": right["empty"], "majority": right["majority"] or None}

    def greedy(self, loaded: Loaded, progress: Progress | None = None) -> Measurement:
        """One greedy answer to each evaluation problem in the style that training uses."""
        return measure_greedy(self._questioner(loaded, self.style), self.problems, self.style.room(self.task), progress)

    def harder(self, loaded: Loaded, progress: Progress | None = None) -> Measurement | None:
        """The same one level up; None where there is none, or the model has no positions for its questions."""
        if not self.harder_problems:
            return None
        # longer problems have longer answers: the limit that fits this level would cut off the next one's
        room = self.style.room(self.task) + self.task.max_new_tokens
        try:
            return measure_greedy(self._questioner(loaded, self.style), self.harder_problems, room, progress)
        except PromptTooLong:
            return None

    def temperatures(self, loaded: Loaded, progress: Progress | None = None) -> dict[str, Any]:
        """The temperatures at which this model does best with several tries, chosen on validation problems.

        {samples, problems, tried, pool, vote}: `tried` has the accuracies by temperature, `pool` the one with the best
        chance that one of the samples is right, `vote` the one with the best majority vote.
        """
        tried: dict[float, dict[str, Any]] = {}
        each = len(self.validation) * TRIAL_SAMPLES
        for place, temperature in enumerate(TEMPERATURES):

            def show(done: int, _wanted: int, before: int = place * each) -> None:
                if progress is not None:
                    progress(before + done, len(TEMPERATURES) * each)

            drawn = self._sampled(loaded, self.validation, TRIAL_SAMPLES, temperature, show)
            one, several = drawn.pass_at([1, TRIAL_SAMPLES])
            tried[temperature] = {
                "sampled": _accuracy(one),
                "pass_at_k": _accuracy(several),
                "vote": vote(drawn, self.task).accuracy().to_dict(),
            }

        def best(score: str) -> float:
            # among equals the one with better single samples
            return max(tried, key=lambda t: (tried[t][score]["mean"], tried[t]["sampled"]["mean"]))

        return {
            "samples": TRIAL_SAMPLES,
            "problems": len(self.validation),
            "tried": {f"{temperature:g}": scores for temperature, scores in tried.items()},
            "pool": best("pass_at_k"),
            "vote": best("vote"),
        }

    def pool(self, loaded: Loaded, temperature: float, progress: Progress | None = None) -> Measurement:
        """A pool of samples on the first problems: pass@k and the sampled accuracy come from it."""
        return self._sampled(loaded, self.pool_problems, self.settings.pool_samples, temperature, progress)

    def votes(self, loaded: Loaded, temperature: float, progress: Progress | None = None) -> Measurement:
        """Samples for a vote, on the first half of the problems."""
        return self._sampled(loaded, self.rival_problems, self.settings.vote_samples, temperature, progress)

    def _sampled(
        self, loaded: Loaded, problems: list[Problem], count: int, temperature: float, progress: Progress | None
    ) -> Measurement:
        asked, room = self._questioner(loaded, self.style), self.style.room(self.task)
        return measure_sampled(asked, problems, count, room, self.keys.evaluation, progress, temperature)

    def few_shot_forms(self) -> list[dict[str, Any]]:
        """The forms of few-shot prompts to try: format and number of the examples, and the style of the questions.

        Beside the style that training uses, the question alone: examples show what is wanted without an instruction.
        """
        styles = [name for name in dict.fromkeys((self.style.name, PLAIN)) if name in self.task.styles()]
        return [
            {"format": name, "shots": shots, "style": style}
            for name, examples in self.examples.items()
            for shots in sorted({min(shots, len(examples)) for shots in SHOTS})
            for style in styles
        ]

    def few_shot_trials(self, loaded: Loaded, progress: Progress | None = None) -> dict[str, Any]:
        """Every form on validation problems: {best, tried}; `best` is None where none fits into the model.

        `progress` counts forms.
        """
        tried = []
        forms = self.few_shot_forms()
        for place, form in enumerate(forms, start=1):
            with suppress(PromptTooLong):
                tried.append(form | _trial(self._few_shot(loaded, form, self.validation)))
            if progress is not None:
                progress(place, len(forms))
        best = max(tried, key=lambda one: one["greedy"]["mean"], default=None)
        return {"best": best and {name: best[name] for name in ("format", "shots", "style")}, "tried": tried}

    def few_shot(self, loaded: Loaded, form: dict[str, Any], progress: Progress | None = None) -> Measurement:
        """Greedy with worked examples from the validation split in front, on the first half of the problems."""
        return self._few_shot(loaded, form, self.rival_problems, progress)

    def _few_shot(
        self, loaded: Loaded, form: dict[str, Any], problems: list[Problem], progress: Progress | None = None
    ) -> Measurement:
        examples = self.examples[form["format"]][: form["shots"]]
        questioner = self._questioner(loaded, self.task.styles()[form["style"]], examples)
        # answers become as long as the examples are
        longest = max(len(loaded.tokenizer.encode(answer)) for _, answer in examples)
        return measure_greedy(questioner, problems, longest + self.task.max_new_tokens, progress)

    @property
    def candidates(self) -> dict[str, PromptStyle]:
        """The prompt styles that the untrained model may choose from: the trained one as it is, and every one of the
        task's with ample room, for a model that was not trained to be brief comes to its answer late.
        """
        found = [self.style]
        for style in self.task.styles().values():
            if style.withholds:
                continue
            if style.reasoning < MORE_ROOM:
                style = replace(style, name=f"{style.name}, more room", reasoning=MORE_ROOM)
            found.append(style)
        return {style.name: style for style in found}

    def styles(self, loaded: Loaded, progress: Progress | None = None) -> dict[str, Any]:
        """Every prompt style on validation problems: {best, tried}.

        The choice is made on other problems than the score, else the best of several would be flattered. A style for
        which the model has too few positions is left out. `progress` counts styles.
        """
        tried: dict[str, dict[str, Any]] = {}
        for place, (name, style) in enumerate(self.candidates.items(), start=1):
            with suppress(PromptTooLong):
                tried[name] = _trial(self._in_style(loaded, style, self.validation))
            if progress is not None:
                progress(place, len(self.candidates))
        own = self.style.name
        best = max(tried, key=lambda name: (tried[name]["greedy"]["mean"], name == own), default=own)
        return {"best": best, "tried": tried}

    def in_style(self, loaded: Loaded, name: str, progress: Progress | None = None) -> Measurement:
        """Greedy in another prompt style, on the first half of the evaluation problems: reasoning takes long."""
        return self._in_style(loaded, self.candidates[name], self.rival_problems, progress)

    def _in_style(
        self, loaded: Loaded, style: PromptStyle, problems: list[Problem], progress: Progress | None = None
    ) -> Measurement:
        return measure_greedy(self._questioner(loaded, style), problems, style.room(self.task), progress)


def _trial(measured: Measurement) -> dict[str, Any]:
    """What a report keeps of one that was tried: its accuracy, and whether it had enough room."""
    return {
        "greedy": measured.accuracy().to_dict(),
        "truncated": measured.truncated_share(),
        "tokens_per_answer": measured.tokens_per_answer(),
    }


def _accuracy(row: dict[str, float | int]) -> dict[str, float | int]:
    return {name: value for name, value in row.items() if name != "k"}
