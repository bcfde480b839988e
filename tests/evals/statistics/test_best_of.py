"""Best-of-k and weighted votes against all subsets, one by one."""

from __future__ import annotations

from itertools import combinations, permutations
from statistics import fmean

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from whetstone.engine.selection import select
from whetstone.evals.statistics import Ballot, best_of_k, maj_at_k, random_of_k, weighted_at_k

SAMPLES = st.lists(
    st.tuples(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.booleans(), st.booleans()), min_size=1, max_size=7
)


def tied_best(chosen: tuple[tuple[float, bool, bool], ...]) -> float:
    """What the best of these is worth: each of the tied is as likely."""
    speaking = [(score, right) for score, right, silent in chosen if not silent]
    top = max((score for score, _ in speaking), default=None)
    return fmean(right for score, right in speaking if score == top) if speaking else 0.0


@given(SAMPLES, st.integers(1, 7))
def test_best_of_k_is_the_mean_over_all_subsets(samples: list[tuple[float, bool, bool]], k: int) -> None:
    k = min(k, len(samples))
    scores, right, silent = zip(*samples, strict=True)
    expected = fmean(tied_best(chosen) for chosen in combinations(samples, k))
    assert best_of_k(scores, right, k, silent) == pytest.approx(expected)
    shuffled = [tuple((0.0, r, s) for _, r, s in chosen) for chosen in combinations(samples, k)]
    assert random_of_k(right, k, silent) == pytest.approx(fmean(map(tied_best, shuffled)))


@settings(max_examples=60)
@example([("a", 1), ("a", 1), ("b", 2)], 3)  # tied: the one with more votes is more often the first
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9)), min_size=1, max_size=5), st.integers(1, 5))
def test_a_weighted_vote_is_the_mean_over_all_orders(samples: list[tuple[str, int]], k: int) -> None:
    k = min(k, len(samples))
    names, scores = zip(*samples, strict=True)
    answers = [None if name == "c" else name for name in names]
    right = [float(name == "a") for name in names]

    def worth(places: tuple[int, ...]) -> float:
        place = select("weighted", [answers[i] for i in places], [scores[i] for i in places])
        return 0.0 if place is None else right[places[place]]

    expected = fmean(worth(places) for places in permutations(range(len(samples)), k))
    assert weighted_at_k(answers, scores, right, k) == pytest.approx(expected)


def test_where_subsets_are_too_many_some_are_drawn() -> None:
    answers, right = [*"ab" * 8], [1.0, 0.0] * 8
    # all weigh the same: the vote is a plain one
    expected = maj_at_k(Ballot((8, 8), (1.0, 0.0)), 7)
    assert weighted_at_k(answers, [0.5] * 16, right, 7) == pytest.approx(expected, abs=0.11)  # five standard errors
    # one that outweighs all others decides whenever it is drawn
    heavy = [100.0, *[0.01] * 15]
    assert weighted_at_k(answers, heavy, right, 7) > 7 / 16 - 0.11


def test_a_vote_whose_texts_are_not_judged_alike_is_worth_their_share() -> None:
    answers, right = ["a", "a", "b", None], [True, False, True, False]
    ballot = Ballot((2, 1), (0.5, 1.0), 1)

    def worth(places: tuple[int, ...]) -> float:
        """Over all orders of these samples, what `select` takes."""
        found = []
        for order in permutations(places):
            place = select("majority", [answers[i] for i in order])
            found.append(0.0 if place is None else float(right[order[place]]))
        return fmean(found)

    for k in (1, 2, 3, 4):
        expected = fmean(worth(places) for places in combinations(range(4), k))
        assert maj_at_k(ballot, k) == pytest.approx(expected)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="best-of-3"):
        best_of_k([1.0, 2.0], [1, 0], 3)
    with pytest.raises(ValueError, match="no number"):
        best_of_k([1.0, float("nan")], [1, 0], 1)
    with pytest.raises(ValueError, match="weighted vote of 0"):
        weighted_at_k(["a"], [1.0], [1], 0)
    with pytest.raises(ValueError, match="a share of its texts"):
        Ballot((1,), (1.5,))
    assert best_of_k([5.0, 1.0], [1, 0], 1, [True, True]) == 0.0
