"""Which texts are an episode's own words: it is no evidence for itself, whoever copied it and wherever to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from whetstone.episodes.normal import tokens
from whetstone.episodes.transcript import Transcript

RUN = 12  # tokens in a row that two texts share only where one has them from the other
COPIED = 0.5  # share of a text's runs that the episode has, above which it is a piece of the episode


class OwnWords:
    """The runs of tokens of one transcript."""

    def __init__(self, transcript: Transcript) -> None:
        self._tokens = tokens(" ".join(word.text for word in transcript.words))
        self._runs = frozenset(_runs(self._tokens, RUN))
        self._shorter: dict[int, frozenset[tuple[str, ...]]] = {}

    def share(self, text: str) -> float:
        """The share of a text that the episode has word for word, in runs of 12 tokens (a shorter text: as a whole)."""
        found = tokens(text)
        if not found:
            return 0.0
        length = min(RUN, len(found))
        runs = list(_runs(found, length))
        have = self._runs if length == RUN else self._of(length)
        return sum(run in have for run in runs) / len(runs)

    def has(self, text: str) -> bool:
        """Whether a text is, for the most part, the episode's own words."""
        return self.share(text) >= COPIED

    def quoted(self, text: str) -> bool:
        """Whether a text has a run of 12 tokens from the episode, or the episode from it."""
        return not self._runs.isdisjoint(_runs(tokens(text), RUN))

    def _of(self, length: int) -> frozenset[tuple[str, ...]]:
        if length not in self._shorter:
            self._shorter[length] = frozenset(_runs(self._tokens, length))
        return self._shorter[length]


def _runs(found: Sequence[str], length: int) -> Iterator[tuple[str, ...]]:
    for at in range(len(found) - length + 1):
        yield tuple(found[at : at + length])
