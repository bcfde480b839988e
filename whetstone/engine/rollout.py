"""Problems in, judged answers out: the one path by which training and evaluation put a question to a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from whetstone.engine.protocol import Completion, Progress, Request, Sampler, SamplingParams
from whetstone.models.tokenizer import Tokenizer
from whetstone.tasks.task import Problem, PromptStyle, Task, Verdict, judge

Examples = Sequence[tuple[Problem, str]]
SeedOf = Callable[[int, int], int]  # (which problem, which of its answers) -> 64-bit seed


@dataclass(frozen=True)
class Answers:
    """One problem and everything the model answered to it, judged. The lists run over the completions."""

    problem: Problem
    prompt_ids: tuple[int, ...]
    seeds: tuple[int, ...]
    completions: tuple[Completion, ...]
    texts: tuple[str, ...]
    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True)
class Questioner:
    """A sampler together with the words in which it is asked: the prompt style and worked examples (few-shot)."""

    sampler: Sampler
    tokenizer: Tokenizer
    task: Task
    style: PromptStyle
    examples: Examples = ()

    def ask(
        self,
        problems: Sequence[Problem],
        count: int,
        params: SamplingParams,
        seed_of: SeedOf,
        progress: Progress | None = None,
    ) -> list[Answers]:
        """`count` answers to each problem, in the problems' order."""
        requests = []
        for place, problem in enumerate(problems):
            messages = self.style.messages(self.task, problem, self.examples)
            seeds = tuple(seed_of(place, member) for member in range(count))
            requests.append(Request(tuple(self.tokenizer.chat_ids(messages)), seeds))
        sampled = self.sampler.sample(requests, params, progress)
        return [self._judge(*each) for each in zip(problems, requests, sampled, strict=True)]

    def _judge(self, problem: Problem, request: Request, completions: list[Completion]) -> Answers:
        texts = tuple(self._text(completion) for completion in completions)
        verdicts = tuple(judge(self.task, problem, text) for text in texts)
        return Answers(problem, request.prompt_ids, request.seeds, tuple(completions), texts, verdicts)

    def _text(self, completion: Completion) -> str:
        """What a reader sees: the stop token is not part of the text."""
        ids = completion.ids[:-1] if completion.finish == "stop" else completion.ids
        return self.tokenizer.decode(list(ids))
