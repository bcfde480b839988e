"""Partial prompt: the first 60 % of an item, and how near the greedy rest comes to the item's own (arXiv 2507.10532).

Nearness is one minus the edit distance over the longer of the two, in tokens: no word overlap that a fluent other text
could earn. What fresh twins earn by the pattern of the task alone is what it is compared with.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

SHOWN = 0.6


def cut(ids: Sequence[int]) -> int:
    """How many tokens of an item are shown; at least one is, and at least one is not. Two tokens or more are needed."""
    return min(len(ids) - 1, max(1, round(len(ids) * SHOWN)))


def score(written: Sequence[int], true: Sequence[int]) -> float:
    """1 for the true rest, 0 for one that shares nothing with it: 1 - edit distance / the longer length."""
    longer = max(len(written), len(true))
    return 1.0 if longer == 0 else 1.0 - edit_distance(written, true) / longer


def edit_distance(left: Sequence[int], right: Sequence[int]) -> int:
    """Fewest insertions, deletions and replacements that turn one into the other (Levenshtein 1966)."""
    row = np.arange(len(right) + 1)
    other = np.asarray(right, dtype=np.int64)
    for place, token in enumerate(left, 1):
        replaced = row[:-1] + (other != token)
        best = np.minimum(replaced, row[1:] + 1)
        # insertions run along the row: the smallest of best[j] - j so far, moved back by j
        steps = np.concatenate([[place], best]) - np.arange(len(row))
        row = np.minimum.accumulate(steps) + np.arange(len(row))
    return int(row[-1])
