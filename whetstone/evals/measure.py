"""Measuring a model on given problems: one greedy answer each, or a pool of samples, and votes over a pool.

A measurement is plain data, so that a stage of a long run can be written to disk, read back and compared pair by pair.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from whetstone.engine.protocol import Progress, SamplingParams
from whetstone.engine.rollout import Answers, Questioner
from whetstone.engine.selection import select
from whetstone.errors import WorkFailed
from whetstone.evals.statistics import Interval, accuracy_interval, compare, pass_at_k_curve
from whetstone.tasks.keys import problem_seed
from whetstone.tasks.task import Problem, Task, Verdict, read_answer


@dataclass(frozen=True)
class Scores:
    """1 (right) or 0 for each problem, which problems these are, and their clusters (none known: each on its own)."""

    ids: list[str]
    right: list[int]
    clusters: list[str] = field(default_factory=list)

    def accuracy(self) -> Interval:
        """Share of right ones, with the interval of `accuracy_interval`."""
        return accuracy_interval(self.right, self.clusters or None)


@dataclass(frozen=True)
class Measurement:
    """Per problem (outer list, in the problems' order) and per answer: verdict, text, tokens, whether it was cut."""

    questions: list[str]
    ids: list[str]
    verdicts: list[list[str]]
    texts: list[list[str]]
    tokens: list[list[int]]
    truncated: list[list[bool]]
    clusters: list[str] = field(default_factory=list)  # of each problem; none in files of older versions

    @classmethod
    def of(cls, answered: Sequence[Answers]) -> Measurement:
        return cls(
            questions=[a.problem.question for a in answered],
            ids=[a.problem.id for a in answered],
            verdicts=[[verdict.value for verdict in a.verdicts] for a in answered],
            texts=[list(a.texts) for a in answered],
            tokens=[[c.length for c in a.completions] for a in answered],
            truncated=[[c.finish == "length" for c in a.completions] for a in answered],
            clusters=[a.problem.cluster for a in answered],
        )

    @property
    def first_right(self) -> list[int]:
        """1 or 0 per problem for its first answer: the score of a greedy measurement."""
        return [int(verdicts[0] == Verdict.RIGHT) for verdicts in self.verdicts]

    @property
    def scores(self) -> Scores:
        """`first_right` with the problems that it belongs to."""
        return Scores(self.ids, self.first_right, self.clusters)

    @property
    def counts(self) -> list[tuple[int, int]]:
        """(answers, right answers) per problem."""
        return [(len(verdicts), verdicts.count(Verdict.RIGHT)) for verdicts in self.verdicts]

    def accuracy(self) -> Interval:
        """Share of problems answered right at the first answer, with the interval of `accuracy_interval`."""
        return self.scores.accuracy()

    def pass_at(self, ks: Sequence[int]) -> list[dict[str, float | int]]:
        """Unbiased pass@k with bands, one row per k."""
        return pass_at_k_curve(self.counts, ks, clusters=self.clusters or None)

    def mix(self) -> dict[str, int]:
        """How often each of the five verdicts fell."""
        counted = Counter(verdict for verdicts in self.verdicts for verdict in verdicts)
        return {verdict.value: counted[verdict.value] for verdict in Verdict}

    def tokens_per_answer(self) -> float:
        flat = [tokens for each in self.tokens for tokens in each]
        return sum(flat) / len(flat)

    def truncated_share(self) -> float:
        flat = [cut for each in self.truncated for cut in each]
        return sum(flat) / len(flat)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def measure_greedy(
    questioner: Questioner, problems: Sequence[Problem], max_new_tokens: int, progress: Progress | None = None
) -> Measurement:
    """The most likely answer to each problem."""
    params = SamplingParams(max_new_tokens, 0.0, questioner.stop_ids)
    return Measurement.of(questioner.ask(problems, 1, params, lambda _place, _member: 0, progress))


def measure_sampled(
    questioner: Questioner,
    problems: Sequence[Problem],
    count: int,
    max_new_tokens: int,
    key: bytes,
    progress: Progress | None = None,
    temperature: float = 1.0,
) -> Measurement:
    """`count` independent samples per problem; their seeds come from `key`, so a repetition draws the same pool."""
    params = SamplingParams(max_new_tokens, temperature, questioner.stop_ids)

    def seed(place: int, member: int) -> int:
        digest = problem_seed(key, "sampling", questioner.task.name, str(member), place)
        return int.from_bytes(digest[:8], "big")

    return Measurement.of(questioner.ask(problems, count, params, seed, progress))


def compared(before: Scores, after: Scores, *, part: bool = False) -> dict[str, Any]:
    """`statistics.compare` of two scores of the same problems, after - before.

    With `part`, `before` may be of the first few of the problems only, and the pairs are those. Raises WorkFailed when
    the problems differ: a difference between unlike things would look like any other number.
    """
    n = len(before.ids)
    if before.ids != after.ids[:n] or (n < len(after.ids) and not part):
        raise WorkFailed(
            "two measurements that should be paired are not of the same problems "
            f"({n} and {len(after.ids)}): files of different runs were mixed; start anew with another --out"
        )
    return compare(before.right, after.right[:n], (before.clusters or after.clusters[:n]) or None)


def vote(pool: Measurement, task: Task) -> Scores:
    """Self-consistency (Wang et al. 2022): for each problem, whether the answer that most samples gave is right.

    Samples without an answer do not vote; ties go to the answer that came first, which no one chose by its verdict.
    """
    scores = []
    for texts, verdicts in zip(pool.texts, pool.verdicts, strict=True):
        chosen = select("majority", [read_answer(task, text) for text in texts])
        scores.append(int(chosen is not None and verdicts[chosen] == Verdict.RIGHT))
    return Scores(pool.ids, scores, pool.clusters)
