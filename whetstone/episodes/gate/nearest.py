"""Why a quote was refused: the nearest words of the transcript and what differs. For the log; nothing here accepts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

# a token that stands in more places than this says little about where a quote comes from
_COMMON = 400
_CANDIDATES = 4
_LONGEST = 400
_SHOWN = 4


@dataclass(frozen=True)
class Nearest:
    """Tokens `first` to `end` of the transcript are most like the proposal. `differences`: what the transcript has, and
    what the proposal has in its place; either may be empty."""

    first: int
    end: int
    differences: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        shown = [f'"{here}" became "{there}"' for here, there in self.differences[:_SHOWN]]
        return "; ".join(shown) + ("; and more" if len(self.differences) > _SHOWN else "")


def nearest(
    proposal: Sequence[str], tokens: Sequence[str], places: Mapping[str, Sequence[int]], alike: float = 0.5
) -> Nearest | None:
    """The stretch of `tokens` most like `proposal`; None if less than `alike` of it agrees. `places` says where each
    token stands."""
    proposal = proposal[:_LONGEST]
    votes: Counter[int] = Counter()
    width = max(4, len(proposal) // 2)
    for offset, token in enumerate(proposal):
        found = places.get(token, ())
        if len(found) <= _COMMON:
            for place in found:
                bucket = (place - offset) // width
                votes[bucket] += 1
                votes[bucket + 1] += 1
    best: tuple[float, Nearest] | None = None
    for bucket, _ in votes.most_common(_CANDIDATES):
        start = max(0, (bucket - 1) * width - width // 2)
        window = tokens[start : start + len(proposal) + 3 * width]
        score, found_here = _aligned(proposal, window, start)
        if found_here and (best is None or score > best[0]):
            best = (score, found_here)
    return best[1] if best and best[0] >= alike else None


def _aligned(proposal: Sequence[str], window: Sequence[str], start: int) -> tuple[float, Nearest | None]:
    """The share of the proposal's tokens that agree in order, and where."""
    matcher = SequenceMatcher(None, window, proposal, autojunk=False)
    blocks = [block for block in matcher.get_matching_blocks() if block.size]
    if not blocks:
        return 0.0, None
    low = max(0, blocks[0].a - blocks[0].b)
    high = min(len(window), blocks[-1].a + blocks[-1].size + len(proposal) - blocks[-1].b - blocks[-1].size)
    inner = SequenceMatcher(None, window[low:high], proposal, autojunk=False)
    differences = [
        (" ".join(window[low + a : low + b]), " ".join(proposal[c:d]))
        for kind, a, b, c, d in inner.get_opcodes()
        if kind != "equal"
    ]
    agreed = sum(block.size for block in blocks) / len(proposal)
    return agreed, Nearest(start + low, start + high, tuple(differences))
