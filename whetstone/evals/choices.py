"""Multiple choice by likelihood: which continuation of the question does the model find most likely?

The rules are those of EleutherAI's lm-evaluation-harness (its output type `multiple_choice`): the context is
"Question: …\\nAnswer:" without a chat template, a choice follows it after one space; `acc` compares summed
log-probabilities, `acc_norm` divides each by the number of characters of its choice. Of equals the first wins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from whetstone.engine.protocol import Progress
from whetstone.errors import UsageError
from whetstone.evals.likelihood import token_scores
from whetstone.evals.statistics import Interval, wilson
from whetstone.models.loading import Loaded
from whetstone.models.tokenizer import Tokenizer
from whetstone.tasks.files.task import LIKELIHOOD, ChoiceFile
from whetstone.tasks.task import Problem, Verdict


@dataclass(frozen=True)
class ScoredChoices:
    """One problem: of each choice the summed log-probability (nats), whether greedy decoding would write it, and its
    tokens; `gold` is the place of the right one."""

    problem: Problem
    context: str
    choices: tuple[str, ...]
    gold: int
    logprobs: tuple[float, ...]
    greedy: tuple[bool, ...]
    tokens: tuple[int, ...]

    @property
    def likeliest(self) -> int:
        """The choice of the highest log-probability."""
        return int(np.argmax(self.logprobs))

    @property
    def likeliest_per_character(self) -> int:
        """The choice of the highest log-probability per character."""
        return int(np.argmax(np.array(self.logprobs) / np.array([len(choice) for choice in self.choices])))

    @property
    def right(self) -> bool:
        """What `acc` counts."""
        return self.likeliest == self.gold

    @property
    def right_normalised(self) -> bool:
        """What `acc_norm` counts."""
        return self.likeliest_per_character == self.gold


def score_choices(
    loaded: Loaded, task: ChoiceFile, problems: Sequence[Problem], progress: Progress | None = None
) -> list[ScoredChoices]:
    """Every choice of every problem, in order. Raises UsageError for one that the model has too few positions for."""
    template = task.styles()[LIKELIHOOD].template
    contexts = [template.format(question=problem.facts["stem"]) for problem in problems]
    pairs = [
        encoded_pair(loaded.tokenizer, context, f" {choice}")
        for context, problem in zip(contexts, problems, strict=True)
        for choice in problem.facts["choices"]
    ]
    _require_room(loaded, problems, [len(context) + len(choice) for context, choice in pairs])
    sequences = [[*context, *choice] for context, choice in pairs]
    scores = iter(zip(pairs, token_scores(loaded, sequences, progress), strict=True))
    scored = []
    for context, problem in zip(contexts, problems, strict=True):
        choices = tuple(problem.facts["choices"])
        rows = [next(scores) for _ in choices]
        scored.append(
            ScoredChoices(
                problem,
                context,
                choices,
                int(task.gold(problem)),
                tuple(float(each.logprobs[-len(ids) :].sum(dtype=np.float64)) for (_, ids), each in rows),
                tuple(bool(each.greedy[-len(ids) :].all()) for (_, ids), each in rows),
                tuple(len(ids) for (_, ids), _ in rows),
            )
        )
    return scored


def encoded_pair(tokenizer: Tokenizer, context: str, continuation: str) -> tuple[list[int], list[int]]:
    """Ids of the context and of what follows it, split from the ids of both together; neither is empty.

    Spaces at the context's end go to the continuation, for most vocabularies write them with the word that follows.
    """
    bare = context.rstrip(" ")
    continuation = context[len(bare) :] + continuation
    together, alone = tokenizer.encode(bare + continuation), len(tokenizer.encode(bare))
    split = max(1, min(alone, len(together) - 1))
    return together[:split], together[split:]


def _require_room(loaded: Loaded, problems: Sequence[Problem], lengths: Sequence[int]) -> None:
    positions = loaded.model.config.max_positions
    asked = [problem for problem in problems for _ in problem.facts["choices"]]
    for problem, length in zip(asked, lengths, strict=True):
        if length > positions:
            raise UsageError(
                f"{problem.task}: row {problem.facts['row']} takes {length} tokens with one of its choices, and "
                f"{loaded.name} has {positions} positions: take the row out"
            )


def accuracies(scored: Sequence[ScoredChoices]) -> tuple[Interval, Interval]:
    """`acc` and `acc_norm`, each with its Wilson interval."""
    raw, normalised = sum(each.right for each in scored), sum(each.right_normalised for each in scored)
    return wilson(raw, len(scored)), wilson(normalised, len(scored))


def verdicts(scored: Sequence[ScoredChoices]) -> dict[str, int]:
    """How often each of the five verdicts fell, by `acc`."""
    right = sum(each.right for each in scored)
    fallen = {Verdict.RIGHT: right, Verdict.WRONG: len(scored) - right}
    return {verdict.value: fallen.get(verdict, 0) for verdict in Verdict}


def rows(scored: Sequence[ScoredChoices]) -> list[dict[str, Any]]:
    """One JSON object for each problem, the form in which items are written and exported."""
    return [
        {
            "id": each.problem.id,
            "row": each.problem.facts["row"],
            "question": each.problem.facts["stem"],
            "prompt": each.context,
            "choices": list(each.choices),
            "gold": each.gold,
            "logprobs": list(each.logprobs),
            "greedy": list(each.greedy),
            "tokens": list(each.tokens),
            "answer": each.choices[each.likeliest],
            "verdict": (Verdict.RIGHT if each.right else Verdict.WRONG).value,
            "answer_normalised": each.choices[each.likeliest_per_character],
            "verdict_normalised": (Verdict.RIGHT if each.right_normalised else Verdict.WRONG).value,
        }
        for each in scored
    ]
