"""Problems in, judged answers out: the one path by which training and evaluation put a question to a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from whetstone.engine.protocol import Completion, Progress, Request, Sampler, SamplingParams
from whetstone.errors import UsageError, WorkFailed
from whetstone.models.tokenizer import Tokenizer
from whetstone.tasks.task import Problem, PromptStyle, Task, Verdict, judge

Examples = Sequence[tuple[Problem, str]]
SeedOf = Callable[[int, int], int]  # (which problem, which of its answers) -> 64-bit seed

# What an answer that never came counts as: the check is not asked, the model said nothing that it could read.
UNANSWERED = {"refused": Verdict.NO_ANSWER, "error": Verdict.NO_ANSWER, "timeout": Verdict.TIMEOUT}

# When a check is given up as broken. A hang costs its whole time limit, so few are waited for.
HANGS_AT_FIRST, HANGS_AT_MOST, FAILURES_AT_FIRST = 4, 20, 16


class PromptTooLong(UsageError):
    """A prompt with its answer does not fit into the positions that the model was made for."""


def require_room(task: Task, prompt: int, answer: int, positions: int | None) -> None:
    """Raises PromptTooLong where the tokens of a prompt and its answer are more than the model's positions (None: not
    known)."""
    if positions is not None and prompt + answer > positions:
        raise PromptTooLong(
            f"a prompt of task {task.name!r} has {prompt} tokens and its answer may take {answer}, "
            f"but the model takes {positions} in all: ask shorter questions or allow shorter answers"
        )


class Judge:
    """Verdicts of one task, until its own `check` proves to be broken: then it is not asked another thousand times."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.counts: Counter[Verdict] = Counter()

    def __call__(self, problem: Problem, text: str) -> Verdict:
        """Raises WorkFailed, with the check's own reason, when it keeps failing or hanging."""
        verdict = judge(self.task, problem, text)
        self.counts[verdict] += 1
        if verdict in (Verdict.ERROR, Verdict.TIMEOUT):
            require_working_check(self.task, self.counts)
        return verdict


def require_working_check(task: Task, counts: Mapping[Verdict, int], enough: int = FAILURES_AT_FIRST) -> None:
    """Raises WorkFailed, with the check's own reason, when these verdicts show that `check` is broken: it hung again
    and again, or failed on most answers and on at least `enough` of them (1 where no more answers will come).
    """
    judged, hung = sum(counts.values()), counts.get(Verdict.TIMEOUT, 0)
    failed = hung + counts.get(Verdict.ERROR, 0)
    mostly = failed * 2 > judged
    if hung >= HANGS_AT_MOST or (mostly and (hung >= HANGS_AT_FIRST or failed >= enough)):
        reason = task.last_error or "no reason given"
        raise WorkFailed(
            f"the task's check() failed on {failed} of {judged} answers, the last time so: {reason}; mend it first"
        )


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
    """A sampler together with the words in which it is asked: the prompt style and worked examples (few-shot).

    `positions` is how many tokens the model can take, prompt and answer together; None: not known. Without a tokenizer
    the sampler is asked by messages, and answers by texts.
    """

    sampler: Sampler
    tokenizer: Tokenizer | None
    task: Task
    style: PromptStyle
    examples: Examples = ()
    positions: int | None = None

    @property
    def stop_ids(self) -> frozenset[int]:
        """Ids that end an answer; none where the backend alone knows them."""
        return frozenset() if self.tokenizer is None else self.tokenizer.stop_ids

    def ask(
        self,
        problems: Sequence[Problem],
        count: int,
        params: SamplingParams,
        seed_of: SeedOf,
        progress: Progress | None = None,
    ) -> list[Answers]:
        """`count` answers to each problem, in the problems' order.

        Raises PromptTooLong before anything is sampled, WorkFailed when the task's check is broken.
        """
        requests = []
        for place, problem in enumerate(problems):
            messages = self.style.messages(self.task, problem, self.examples)
            seeds = tuple(seed_of(place, member) for member in range(count))
            ids = () if self.tokenizer is None else tuple(self.tokenizer.chat_ids(messages))
            requests.append(Request(ids, seeds, tuple(messages)))
        self._require_room(requests, params.max_new_tokens)
        sampled = self.sampler.sample(requests, params, progress)
        verdict = Judge(self.task)
        return [self._judge(*each, verdict) for each in zip(problems, requests, sampled, strict=True)]

    def _require_room(self, requests: Sequence[Request], max_new_tokens: int) -> None:
        if max_new_tokens < 1:
            raise UsageError(f"task {self.task.name!r}: max_new_tokens must be at least 1, not {max_new_tokens}")
        if self.tokenizer is None:
            return
        longest = max((len(request.prompt_ids) for request in requests), default=0)
        require_room(self.task, longest, max_new_tokens, self.positions)

    def _judge(self, problem: Problem, request: Request, completions: list[Completion], verdict: Judge) -> Answers:
        texts = tuple(completion_text(completion, self.tokenizer) for completion in completions)
        verdicts = tuple(
            UNANSWERED[completion.finish] if completion.finish in UNANSWERED else verdict(problem, text)
            for completion, text in zip(completions, texts, strict=True)
        )
        return Answers(problem, request.prompt_ids, request.seeds, tuple(completions), texts, verdicts)


def completion_text(completion: Completion, tokenizer: Tokenizer | None) -> str:
    """The backend's own text where it gave one, else the decoded ids without the stop token."""
    if completion.text is not None or tokenizer is None:
        return completion.text or ""
    ids = completion.ids[:-1] if completion.finish == "stop" else completion.ids
    return tokenizer.decode(list(ids))
