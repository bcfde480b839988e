"""The ranker against the matrix it never forms, and the chooser against plain loops."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from whetstone.episodes.extract.ranking import DAMPING, centrality, choose, vectors

STEMS = st.lists(
    st.lists(st.sampled_from(["tide", "sand", "seal", "wind", "grid", "cost", "home"]), max_size=8), max_size=14
)


def test_vectors_have_length_one_and_common_words_weigh_less() -> None:
    rows = vectors([["tide", "sand"], ["tide", "wind"], ["tide", "grid", "grid"], []]).toarray()
    assert np.allclose(np.linalg.norm(rows, axis=1), [1, 1, 1, 0])
    tide, sand = rows[0][np.nonzero(rows[0])]
    assert min(tide, sand) == rows[0][0] < max(tide, sand)


@given(STEMS)
@settings(max_examples=60, deadline=None)
def test_centrality_is_the_stationary_vector_of_the_whole_matrix(stems: list[list[str]]) -> None:
    rows = vectors(stems).toarray() if stems else np.zeros((0, 1))
    count = len(stems)
    found = centrality(vectors(stems))
    assert found.shape == (count,)
    if not count:
        return
    weights = rows @ rows.T
    np.fill_diagonal(weights, 0)
    degree = weights.sum(axis=1, keepdims=True)
    step = np.where(degree > 1e-12, weights / np.where(degree > 1e-12, degree, 1), 1 / count)
    google = (1 - DAMPING) / count + DAMPING * step
    values, left = np.linalg.eig(google.T)
    stationary = np.real(left[:, np.argmax(np.real(values))])
    stationary = stationary / stationary.sum() * count
    assert np.allclose(found, stationary, atol=1e-3)


@given(STEMS, st.integers(1, 6), st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_the_choice_is_the_greedy_one(stems: list[list[str]], count: int, seed: int) -> None:
    scores = np.random.default_rng(seed).integers(0, 50, len(stems)) / 50
    rows = vectors(stems).toarray() if stems else np.zeros((0, 1))
    expected: list[int] = []
    top = max(scores, default=0)
    while top > 0 and len(expected) < count:
        best, merit = None, -np.inf
        for candidate in range(len(stems)):
            alike = max((float(rows[candidate] @ rows[other]) for other in expected), default=0.0)
            value = 0.5 * scores[candidate] / top - 0.5 * alike
            if candidate not in expected and scores[candidate] > 0 and alike <= 0.6 + 1e-12 and value > merit + 1e-12:
                best, merit = candidate, value
        if best is None:
            break
        expected.append(best)
    assert choose(list(scores), vectors(stems), count) == expected


def test_what_repeats_is_not_chosen_twice() -> None:
    stems = [["tide", "sand"], ["tide", "sand"], ["wind", "grid"]]
    assert choose([1.0, 0.99, 0.1], vectors(stems), 3) == [0, 2]
    assert choose([0.0, 0.0, 0.0], vectors(stems), 3) == []
    assert choose([], vectors([]), 3) == []
