"""How central each segment is to a conversation, and choosing so that no choice repeats another: no model.

Centrality: LexRank with continuous weights (Erkan and Radev 2004, section 3.3), a random walk over segments that moves
to another one in proportion to the cosine of their TF-IDF vectors. The matrix of cosines is never formed, so ten hours
take as little memory as their words. Choice: maximal marginal relevance (Carbonell and Goldstein 1998, equation 1).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from whetstone.episodes.lexicon import content
from whetstone.episodes.normal import tokens
from whetstone.episodes.transcript import Transcript

DAMPING = 0.85
_STEPS = 60
_CLOSE = 1e-7
# a stem in more than this share of the segments is a word of grammar in a language that has no list here
_EVERYWHERE = 0.15
_FEWEST_SEGMENTS = 50

Vectors: TypeAlias = csr_array


def stems(transcript: Transcript) -> list[list[str]]:
    """The stems of the words of content of each segment."""
    return [content(tokens(transcript.segment_text(segment.id))) for segment in transcript.segments]


def vectors(stems_S: Sequence[Sequence[str]]) -> Vectors:
    """TF-IDF vectors of length 1 (or 0 where there is nothing), one row [S, V] for each list of stems."""
    found = Counter(stem for stems in stems_S for stem in dict.fromkeys(stems))
    count = len(stems_S)
    limit = _EVERYWHERE * count if count >= _FEWEST_SEGMENTS else count
    column = {stem: index for index, stem in enumerate(s for s, n in found.items() if n <= limit)}
    rows, columns, values = [], [], []
    for row, stems in enumerate(stems_S):
        counted = Counter(stem for stem in stems if stem in column)
        weights = np.array([(1 + np.log(n)) * np.log(1 + count / found[stem]) for stem, n in counted.items()])
        length = float(np.sqrt((weights**2).sum())) or 1.0
        rows += [row] * len(counted)
        columns += [column[stem] for stem in counted]
        values += list(weights / length)
    return csr_array((values, (rows, columns)), shape=(count, max(1, len(column))))


def centrality(vectors_SV: Vectors) -> NDArray[np.float64]:
    """The stationary probabilities [S] of the walk, times S: 1 is the average segment."""
    count = vectors_SV.shape[0]
    if not count:
        return np.zeros(0)
    transposed = vectors_SV.T.tocsr()
    own = np.asarray(vectors_SV.multiply(vectors_SV).sum(axis=1)).ravel()
    degree = vectors_SV @ (transposed @ np.ones(count)) - own
    # a segment that has nothing in common with any other hands its weight to all alike
    alone = degree <= 1e-12
    degree = np.where(alone, 1.0, degree)
    rank = np.full(count, 1 / count)
    for _ in range(_STEPS):
        share = np.where(alone, 0.0, rank / degree)
        moved = vectors_SV @ (transposed @ share) - own * share
        following = (1 - DAMPING) / count + DAMPING * (moved + rank[alone].sum() / count)
        if np.abs(following - rank).sum() < _CLOSE:
            rank = following
            break
        rank = following
    return rank * count


def choose(
    scores_C: Sequence[float], vectors_CV: Vectors, count: int, *, variety: float = 0.5, most_alike: float = 0.6
) -> list[int]:
    """Up to `count` candidates, best first: each time the one with the best (1 - variety) x score - variety x likeness
    to what is chosen already; never one whose cosine with a chosen one is above `most_alike`. Scores of 0 or less are
    never chosen; scores are scaled to a maximum of 1."""
    scores = np.asarray(scores_C, dtype=np.float64)
    if not len(scores) or scores.max() <= 0:
        return []
    scores = scores / scores.max()
    alike = np.zeros(len(scores))
    open_C = scores > 0
    chosen: list[int] = []
    while len(chosen) < count and open_C.any():
        merit = np.where(open_C, (1 - variety) * scores - variety * alike, -np.inf)
        best = int(merit.argmax())
        chosen.append(best)
        alike = np.maximum(alike, vectors_CV @ vectors_CV[[best]].toarray().ravel())
        open_C &= alike <= most_alike
        open_C[best] = False
    return chosen
