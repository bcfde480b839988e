"""Which recognised words are not to be trusted: loops that a recogniser fell into, and what a second one hears
differently."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import replace

from whetstone.episodes.normal import tokens
from whetstone.episodes.transcript import Word

SHINGLE = 3  # words
MOST_IN_A_ROW = 4  # times that somebody may say the same three words, one after the other


def loops(words: Sequence[Word]) -> list[Word]:
    """The words, those marked doubtful that belong to a phrase (of 1 to 8 words) said more than four times in a row."""
    forms = ["".join(tokens(word.text)) for word in words]
    doubtful = [False] * len(words)
    for width in range(1, 9):
        start = 0
        while start + width <= len(forms):
            end = start + width
            while end + width <= len(forms) and forms[end : end + width] == forms[start : start + width]:
                end += width
            if (end - start) // width > MOST_IN_A_ROW and (width >= SHINGLE or end - start > 2 * MOST_IN_A_ROW):
                doubtful[start:end] = [True] * (end - start)
                start = end
            else:
                start += 1
    return [replace(word, doubtful=True) if bad else word for word, bad in zip(words, doubtful, strict=True)]


def disagreements(words: Sequence[Word], other: Sequence[Word]) -> list[Word]:
    """The words, those marked doubtful that a second recogniser of the same stretch did not hear."""
    ours, theirs = [tokens(word.text) for word in words], [tokens(word.text) for word in other]
    heard: set[int] = set()
    for block in difflib.SequenceMatcher(None, ours, theirs, autojunk=False).get_matching_blocks():
        heard.update(range(block.a, block.a + block.size))
    return [word if place in heard else replace(word, doubtful=True) for place, word in enumerate(words)]
