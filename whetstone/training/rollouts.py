"""Rollouts for training: groups of answers, their rewards, and which groups can teach.

A group in which all rewards are equal has no advantage; it is left out of the loss *and* of its denominator, and new
problems are drawn in its place, up to `oversample` times the wanted number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import fmean

from whetstone.engine.protocol import SamplingParams
from whetstone.engine.rollout import Answers, Questioner
from whetstone.engine.selection import advantages
from whetstone.tasks.keys import problem_seed
from whetstone.tasks.task import Problem, Verdict
from whetstone.training.rewards import Reward
from whetstone.training.rows import Row


@dataclass(frozen=True)
class Group:
    """The answers to one problem and what each was worth."""

    answers: Answers
    rewards: tuple[float, ...]

    @property
    def has_signal(self) -> bool:
        return len(set(self.rewards)) > 1

    def rows(self, every: bool = False) -> list[Row]:
        """Rows with the answer's advantage on every token. One without advantage teaches nothing and is left out,
        unless `every` is asked for."""
        return [
            Row(
                prompt_ids=self.answers.prompt_ids,
                ids=completion.ids,
                rl=(advantage,) * len(completion.ids),
                ce=(0.0,) * len(completion.ids),
                logprobs=completion.logprobs,
            )
            for completion, advantage in zip(self.answers.completions, advantages(self.rewards), strict=True)
            if every or advantage != 0
        ]


@dataclass
class Batch:
    """All groups of one step, in the order drawn; `drawn` problems from the stream made them."""

    groups: list[Group] = field(default_factory=list)
    drawn: int = 0

    @property
    def kept(self) -> list[Group]:
        return [group for group in self.groups if group.has_signal]


@dataclass(frozen=True)
class Collector:
    """Everything a rollout needs besides its place in the stream. `problem(i)` is the stream's i-th problem."""

    questioner: Questioner
    problem: Callable[[int], Problem]
    params: SamplingParams
    reward: Reward
    key: bytes
    prompts: int
    group_size: int
    oversample: float

    def collect(self, cursor: int) -> Batch:
        """Draw problems from number `cursor` on until `prompts` groups have signal or the allowance is used up."""
        batch = Batch()
        allowance = max(self.prompts, int(self.prompts * self.oversample))
        while (missing := self.prompts - len(batch.kept)) > 0 and batch.drawn < allowance:
            first = cursor + batch.drawn
            count = min(missing, allowance - batch.drawn)
            problems = [self.problem(first + i) for i in range(count)]
            answered = self.questioner.ask(problems, self.group_size, self.params, self._seeds_from(first))
            batch.groups += [Group(answers, self._rewards(answers)) for answers in answered]
            batch.drawn += count
        return batch

    def _seeds_from(self, first: int) -> Callable[[int, int], int]:
        name = self.questioner.task.name

        def seed(place: int, member: int) -> int:
            digest = problem_seed(self.key, "sampling", name, str(member), first + place)
            return int.from_bytes(digest[:8], "big")

        return seed

    def _rewards(self, answers: Answers) -> tuple[float, ...]:
        each = zip(answers.completions, answers.verdicts, answers.seeds, strict=True)
        return tuple(self.reward(answers.problem, c, verdict, seed) for c, verdict, seed in each)


def summary(batch: Batch) -> dict[str, object]:
    """The metrics of one step that come from its rollouts (docs/metrics.md says what each means)."""
    groups = batch.groups
    judged = [each for g in groups for each in zip(g.answers.completions, g.answers.verdicts, strict=True)]
    verdicts = Counter(verdict for _, verdict in judged)
    right = [len(completion.ids) for completion, verdict in judged if verdict is Verdict.RIGHT]
    wrong = [len(completion.ids) for completion, verdict in judged if verdict is not Verdict.RIGHT]
    flat = [group for group in groups if not group.has_signal]
    return {
        "reward": fmean(reward for group in groups for reward in group.rewards),
        "accuracy": len(right) / len(judged),
        "verdicts": {verdict.value: verdicts[verdict] for verdict in Verdict},
        "groups": len(groups),
        "groups_with_signal": len(batch.kept),
        "all_right": sum(group.rewards[0] > 0 for group in flat),
        "all_wrong": sum(group.rewards[0] <= 0 for group in flat),
        "distinct_answers": fmean(len(set(group.answers.texts)) for group in groups),
        "tokens_right": fmean(right) if right else None,
        "tokens_wrong": fmean(wrong) if wrong else None,
        "truncated": sum(completion.finish == "length" for completion, _ in judged) / len(judged),
        "generated_tokens": sum(right) + sum(wrong),
    }
