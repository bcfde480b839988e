"""A vote that stops when it is sure, by how confident the samples' tokens are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from whetstone.engine.backends import Backend
from whetstone.engine.protocol import Completion
from whetstone.engine.strategies.adaptive import Calibrated, Trial, used_of, waves, with_option
from whetstone.engine.strategies.parallel import chosen
from whetstone.engine.strategies.spending import Spent
from whetstone.engine.strategies.stopping import NEVER
from whetstone.engine.strategies.strategy import Candidate, Choice, Question, Steps
from whetstone.errors import UsageError

MISTRUST = 0.05  # one minus how sure to be of a loss that was measured on some questions
WINDOW = 16  # tokens
POSSIBLE = 16  # answers that a question is taken to have, when confidences are weighed
SAFE_FIRST = (0.9999, 0.999, 0.998, 0.995, 0.99, 0.98, 0.97, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5)


def worst_window(completion: Completion, window: int = WINDOW) -> float:
    """The least confident stretch of an answer: the lowest mean log-probability of `window` tokens in a row (of all, in
    a shorter answer), as a probability per token (the lowest group confidence of DeepConf, arXiv 2508.15260, from
    the tokens that were chosen). Raises UsageError where the backend reports none."""
    values = completion.logprobs
    if not values:
        raise UsageError("confident needs log-probabilities, which this model's backend does not report: take agree")
    size = min(window, len(values))
    total = lowest = math.fsum(values[:size])
    for place in range(size, len(values)):
        total += values[place] - values[place - size]
        lowest = min(lowest, total)
    return math.exp(min(0.0, lowest / size))


def beliefs(votes: Sequence[tuple[str, float]]) -> dict[str, float]:
    """The probability that each answer is the right one, from votes (answer, confidence that it is right), after
    confidence-guided early stopping (arXiv 2511.02603): a vote of confidence c has the probability c under its own
    answer and (1 - c) / (K - 1) under each other one. The prior is uniform over K answers: POSSIBLE, or one more than
    were given."""
    answers = list(dict.fromkeys(answer for answer, _ in votes))
    possible = max(POSSIBLE, len(answers) + 1)
    against = {answer: 0.0 for answer in answers}  # log-odds over an answer that nobody gave
    for answer, confidence in votes:
        sure = min(max(confidence, 1e-3), 1 - 1e-3)
        against[answer] += math.log(sure) - math.log((1 - sure) / (possible - 1))
    top = max(0.0, *against.values()) if against else 0.0
    weights = {answer: math.exp(value - top) for answer, value in against.items()}
    total = sum(weights.values()) + (possible - len(answers)) * math.exp(-top)
    return {answer: weight / total for answer, weight in weights.items()}


@dataclass(frozen=True)
class Confident:
    """At most `count` samples; the vote stops when an answer's belief, from votes weighed by the confidence of their
    least confident stretch, reaches `threshold`. `loss`: what `calibrated` aims at."""

    name: str
    count: int
    threshold: float = 0.99
    loss: float = 0.05
    window: int = WINDOW
    temperature: float = 1.0
    wave: int = 1

    def believed(self, said: Sequence[Candidate]) -> dict[str, float]:
        """Beliefs from the samples that gave an answer."""
        return beliefs([(each.answer, worst_window(each.completion, self.window)) for each in said if each.answer])

    def more(self, said: Sequence[Candidate]) -> int:
        """How many samples to draw behind these."""
        if max(self.believed(said).values(), default=0.0) >= self.threshold:
            return 0
        return min(self.wave, self.count - len(said))

    def choice(self, said: Sequence[Candidate]) -> Choice:
        """The answer that is believed most."""
        believed = self.believed(said)
        if not believed:
            return chosen(said, None)
        best = max(believed, key=lambda answer: believed[answer])
        place = [each.answer for each in said].index(best)
        notes: dict[str, float | str] = {"samples": len(said)}
        return replace(chosen(said, place), confidence=believed[best], notes=notes)

    def solve(self, question: Question, backend: Backend) -> Steps:
        said = yield from waves(question, backend, self.temperature, self.more)
        return self.choice(said)

    def calibrated(self, trial: Trial) -> Calibrated:
        """The lowest threshold that is safe: with 95 % certainty its answers differ from those of all samples on no
        more than `loss` of questions like the trial's. Thresholds are tested from the strictest down, and the first
        that fails ends it, so that no correction is needed (fixed-sequence testing: Angelopoulos et al. 2021,
        arXiv 2110.01052)."""
        tried = trial(replace(self, threshold=NEVER))
        safe, differing = NEVER, 0
        for threshold in SAFE_FIRST:
            wrong = sum(self._differs(threshold, each.choice) for each in tried)
            if binomial_tail(wrong, len(tried), self.loss) > MISTRUST:
                break
            safe, differing = threshold, wrong
        rule = replace(self, name=with_option(self.name, f"threshold={safe!r}"), threshold=safe)
        used = fmean(used_of(each.choice.of, rule.more) for each in tried)
        most = f"{100 * self.loss:g} %"
        says = (
            f"{rule.name}: {differing} of {len(tried)} answers on questions kept for it are not those of all "
            f"{self.count} samples, so at most {most} are elsewhere (95 % sure); {used:.2f} samples on average"
        )
        if safe == NEVER:
            says = (
                f"{rule.name}: on {len(tried)} questions no threshold is sure to lose at most {most}, so all "
                f"{self.count} samples are drawn"
            )
        return Calibrated(rule, sum((each.spent for each in tried), Spent()), says)

    def _differs(self, threshold: float, full: Choice) -> bool:
        rule = replace(self, threshold=threshold)
        return rule.choice(full.of[: used_of(full.of, rule.more)]).answer != full.answer


def binomial_tail(found: int, questions: int, share: float) -> float:
    """The probability of `found` or fewer of `questions` when each has the probability `share`."""
    return math.fsum(
        math.comb(questions, number) * share**number * (1 - share) ** (questions - number)
        for number in range(found + 1)
    )
