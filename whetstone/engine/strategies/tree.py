"""Diverse tree search: several small searches that know nothing of each other, then a choice among what they found."""

from __future__ import annotations

from dataclasses import dataclass

from whetstone.engine.backends import Backend
from whetstone.engine.selection import Selection
from whetstone.engine.strategies.beam import best, final
from whetstone.engine.strategies.growing import Growth, Pace
from whetstone.engine.strategies.strategy import Question, Steps, Verifier


@dataclass(frozen=True)
class Trees:
    """`count` trees. In each, `pace.width` samples of a step are drawn and the one that scores best goes on; what the
    trees end with is selected by `how`: "best", "majority", or "weighted" by the scores. Beams of one search soon look
    alike, trees do not (DVTS: Beeching, Tunstall, Rush 2024, "Scaling test-time compute with open models").

    Where the budget ends it, unfinished answers compete as they are.
    """

    name: str
    count: int
    verifier: Verifier
    pace: Pace
    how: Selection = "weighted"

    def solve(self, question: Question, backend: Backend) -> Steps:
        growth = Growth(self.name, question, backend, self.verifier, self.pace)
        leaves = [growth.root] * self.count
        while going := [tree for tree, leaf in enumerate(leaves) if not leaf.over]:
            grown = yield from growth.extend([leaves[tree] for tree in going], self.pace.width, going)
            if not any(grown):
                break
            for tree, steps in zip(going, grown, strict=True):
                leaves[tree] = best(steps, 1)[0]
        return final(self.how, leaves)
