"""Beam search over steps: the prefixes that a process score likes best go on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from whetstone.engine.backends import Backend
from whetstone.engine.selection import Selection, select
from whetstone.engine.strategies.growing import Growth, Pace, Path
from whetstone.engine.strategies.parallel import chosen
from whetstone.engine.strategies.strategy import Choice, Question, Steps, Verifier


@dataclass(frozen=True)
class Beam:
    """`count` prefixes stay after every step, whichever score best, finished ones among them; each unfinished one goes
    on in `pace.width` samples. It ends when all that stay are finished, and the best finished answer ever seen is
    chosen. (Snell et al. 2024, arXiv 2408.03314, section 5.2, where a learned process reward scores.)

    Where the budget ends it, unfinished ones compete as they are.
    """

    name: str
    count: int
    verifier: Verifier
    pace: Pace

    def solve(self, question: Question, backend: Backend) -> Steps:
        width = self.pace.width
        growth = Growth(self.name, question, backend, self.verifier, self.pace)
        beams = [growth.root]
        finished: dict[tuple[int, ...], Path] = {}
        while going := [path for path in beams if not path.over]:
            # at first there is one path only: it gets the samples of all
            each = width if going[0].ids else width * self.count
            grown = yield from growth.extend(going, each, [0] * len(going))
            if not any(grown):
                break
            rivals = [path for path in beams if path.over] + [path for group in grown for path in group]
            finished |= {path.ids: path for path in rivals if path.over}
            beams = best(rivals, self.count)
        return final("best", [*finished.values(), *(path for path in beams if not path.over)])


def final(how: Selection, paths: Sequence[Path]) -> Choice:
    """The choice among what a search has found; where nobody has an answer, the text with the highest score."""
    ranked = best(paths, len(paths))
    scores = [path.score for path in ranked]
    candidates = [path.candidate for path in ranked]
    return chosen(candidates, select(how, [each.answer for each in candidates], scores), scores)


def best(paths: Sequence[Path], count: int) -> list[Path]:
    """The `count` with the highest scores, highest first; among equals the one that came first."""
    return sorted(paths, key=lambda path: -path.score)[:count]
