"""Areas under the curve against counting pairs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whetstone.evals.statistics.ranking import auc, auc_by_problem, auc_overall

Answers = list[tuple[float, bool, int]]  # score, right, problem
ANSWERS = st.lists(
    st.tuples(st.sampled_from([0.0, 0.5, 1.0, 2.0]), st.booleans(), st.integers(0, 3)), min_size=1, max_size=24
)


def counted(answers: Answers) -> float:
    pairs = [(a > b) + (a == b) / 2 for a, good, _ in answers if good for b, other, _ in answers if not other]
    return float(np.mean(pairs))


@settings(deadline=None)
@given(ANSWERS)
def test_pairs_are_counted(answers: Answers) -> None:
    scores, right, problems = ([each[i] for each in answers] for i in range(3))
    if len(set(right)) < 2:
        with pytest.raises(ValueError, match="right and wrong"):
            auc(scores, right)
        with pytest.raises(ValueError, match="right and wrong"):
            auc_overall(scores, right, problems)
    else:
        assert auc(scores, right) == pytest.approx(counted(answers))
        overall = auc_overall(scores, right, problems, resamples=50)
        assert overall.mean == pytest.approx(counted(answers)) and overall.low <= overall.mean <= overall.high
    own = {problem: [each for each in answers if each[2] == problem] for problem in problems}
    expected = {name: counted(each) for name, each in own.items() if len({right for _, right, _ in each}) == 2}
    assert auc_by_problem(scores, right, problems) == pytest.approx(expected)


def test_the_bootstrap_is_that_of_whole_problems() -> None:
    """Against drawing the problems one by one and counting again."""
    generator = np.random.default_rng(3)
    problems = np.repeat(np.arange(12), 5)
    right = generator.random(60) < 0.4
    scores = right + generator.normal(size=60) + generator.normal(size=12)[problems]
    found = auc_overall(scores, right, problems.tolist(), resamples=4000)
    drawn = []
    for _ in range(4000):
        places = np.concatenate([np.flatnonzero(problems == each) for each in generator.integers(0, 12, 12)])
        drawn.append(auc(scores[places], right[places]))
    np.testing.assert_allclose([found.low, found.high], np.quantile(drawn, [0.025, 0.975]), atol=0.02)


def test_knowing_only_which_problems_are_easy_is_worth_nothing_within() -> None:
    generator = np.random.default_rng(0)
    easy = generator.random(200)
    problems = np.repeat(np.arange(200), 8)
    right = generator.random(1600) < easy[problems]
    assert set(auc_by_problem(easy[problems], right, problems.tolist()).values()) == {0.5}
    assert auc_overall(easy[problems], right, problems.tolist(), resamples=200).low > 0.75
