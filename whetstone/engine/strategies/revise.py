"""Sequential revision: the model sees its answer and is asked to check it, again and again.

It pays where a model is better at checking than at answering; models that are not talk themselves out of right answers
as easily (Huang et al. 2023, arXiv 2310.01798). By messages alone, so endpoints can do it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from whetstone.engine.backends import Backend
from whetstone.engine.protocol import SamplingParams
from whetstone.engine.selection import select
from whetstone.engine.strategies.parallel import chosen
from whetstone.engine.strategies.strategy import Candidate, Question, Steps, draw
from whetstone.engine.strategies.turns import further_turn

CHECK = 'Check that answer step by step and correct it if it is wrong. Then finish with "Answer: X".'
Take = Literal["last", "majority"]


@dataclass(frozen=True)
class Revision:
    """`turns` answers, each but the first a revision of the one before. `take`: the last one that is an answer at all
    counts, or the one that most turns gave (the later one of equals).

    It ends early where a turn did not come, or where the model has no room for another.
    """

    name: str
    turns: int
    take: Take = "last"
    temperature: float = 0.0

    def solve(self, question: Question, backend: Backend) -> Steps:
        request = backend.request(list(question.prompts[0]), (question.seed(0),))
        room = question.room
        said: list[Candidate] = []
        while True:
            drawn = yield from draw([request], SamplingParams(room, self.temperature, backend.stop_ids))
            said.append(drawn[0][0])
            if len(said) == self.turns or said[-1].completion.finish not in ("stop", "length"):
                break
            request = further_turn(backend, said[-1], CHECK, (question.seed(len(said)),))
            room = max(question.room, question.stepwise.room)
            if backend.positions is not None and len(request.prompt_ids) + room > backend.positions:
                break
        latest = [each.answer for each in reversed(said)]
        place = select("first" if self.take == "last" else "majority", latest)
        return chosen(said, None if place is None else len(said) - 1 - place)
