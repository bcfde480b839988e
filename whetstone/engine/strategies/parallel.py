"""Several answers at once, then a choice among them: greedy, self-consistency, best-of-n, prompt ensembles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from whetstone.engine.backends import Backend
from whetstone.engine.protocol import Request, SamplingParams
from whetstone.engine.selection import Selection, select, totals
from whetstone.engine.strategies.strategy import Candidate, Choice, Question, Steps, Verifier, draw, score


@dataclass(frozen=True)
class Greedy:
    """The likeliest answer."""

    name: str = "greedy"

    def solve(self, question: Question, backend: Backend) -> Steps:
        request = backend.request(list(question.prompts[0]), (question.seed(0),))
        drawn = yield from draw([request], SamplingParams(question.room, 0.0, backend.stop_ids))
        return chosen(drawn[0], 0)


@dataclass(frozen=True)
class Parallel:
    """`count` answers at `temperature`, then `how` one is selected; `verifier` gives the scores that "weighted" and
    "best" need. With `wordings`, the answers are spread over so many of the question's prompts in turn."""

    name: str
    count: int
    how: Selection = "majority"
    temperature: float = 1.0
    verifier: Verifier | None = None
    wordings: int = 1

    def solve(self, question: Question, backend: Backend) -> Steps:
        prompts = question.prompts[: self.wordings]
        requests: list[Request] = []
        for place, prompt in enumerate(prompts):
            seeds = tuple(question.seed(member) for member in range(place, self.count, len(prompts)))
            if seeds:
                requests.append(backend.request(list(prompt), seeds))
        needed = {} if self.verifier is None else self.verifier.params_needed
        params = SamplingParams(question.room, self.temperature, backend.stop_ids, **needed)
        drawn = yield from draw(requests, params)
        candidates = [each for group in drawn for each in group]
        scores = [] if self.verifier is None else (yield from score(self.verifier, candidates))
        return chosen(candidates, select(self.how, [each.answer for each in candidates], scores), scores)


def chosen(candidates: Sequence[Candidate], place: int | None, scores: Sequence[float] = ()) -> Choice:
    """The candidate at `place` as a choice; the first one's text where nobody answered. Confidence is the share of
    votes, those of silent candidates included."""
    if place is None:
        return Choice(candidates[0].text if candidates else "", None, tuple(candidates), 0.0)
    answer = candidates[place].answer
    share = totals([each.answer for each in candidates]).get(answer, 0.0) / len(candidates) if answer else 0.0
    notes: dict[str, float | str] = {"score": scores[place]} if scores else {}
    return Choice(candidates[place].text, answer, tuple(candidates), share, notes)
