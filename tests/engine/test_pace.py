"""How many tokens are drafted: what a simulated clock says is best, and little while nothing is won."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whetstone.engine.pace import GAIN, LOOK_AGAIN, Pace, Times, best_count
from whetstone.engine.speculate import EXPECTED, Tally


def times(seconds: dict[int, float]) -> Times:
    found = Times()
    for rows, each in seconds.items():
        found.note(rows, each)
    return found


def test_times_between_and_beyond_what_was_measured() -> None:
    assert not Times().measured
    with pytest.raises(LookupError, match="no step was measured"):
        Times().of(1)
    found = times({8: 4.0, 2: 1.0})
    assert [found.of(rows) for rows in (1, 2, 5, 8, 16)] == [1.0, 1.0, 2.5, 4.0, 8.0]
    assert found.knows(8) and not found.knows(5)


def test_a_slow_step_counts_for_less_than_a_quick_one() -> None:
    slower, quicker = times({1: 1.0}), times({1: 1.0})
    slower.note(1, 2.0)
    quicker.note(1, 0.0)
    assert slower.of(1) - 1.0 < 1.0 - quicker.of(1)
    for _ in range(200):
        slower.note(1, 2.0)
    assert slower.of(1) == pytest.approx(2.0)


def simulated(rate: float, count: int, rng: random.Random, rounds: int = 20_000) -> float:
    """Tokens in a round with `count` guesses, by drawing."""
    tokens = 0
    for _ in range(rounds):
        tokens += 1
        for _ in range(count):
            if rng.random() >= rate:
                break
            tokens += 1
    return tokens / rounds


@pytest.mark.parametrize("rate", [0.0, 0.5, 0.8, 0.95])
@pytest.mark.parametrize("pass_cost", [0.05, 0.3, 0.9])
@pytest.mark.parametrize("row_cost", [0.02, 0.4])
def test_the_best_count_wins_a_simulation(rate: float, pass_cost: float, row_cost: float) -> None:
    steps = times({rows: 1 + row_cost * (rows - 1) for rows in range(1, 28)})
    passes = times({3: pass_cost})
    rng = random.Random(1)
    speeds = [simulated(rate, count, rng) / (steps.of(3 * (count + 1)) + count * passes.of(3)) for count in range(9)]
    best = best_count(rate, steps, passes, 3, 8)
    assert speeds[best] > 0.97 * max(speeds) or (best == 0 and max(speeds) < 1.01 * GAIN * speeds[0])


@given(st.floats(0, 1), st.floats(0.01, 2), st.floats(0.01, 2), st.integers(1, 16))
def test_guesses_that_never_pay_are_not_made(rate: float, row: float, draft: float, branches: int) -> None:
    steps, passes = times({branches: 1.0, 9 * branches: 1.0 + row}), times({branches: draft})
    found = best_count(rate, steps, passes, branches, 8)
    assert found == 0 or rate > 0
    assert best_count(0.0, steps, passes, branches, 8) == 0
    assert best_count(rate, steps, times({branches: 1.01}), branches, 8) == 0, "a draft as slow as the model itself"


def played(rounds: int, rate: float, pass_cost: float) -> list[int]:
    """The counts that a pace chooses while guesses are right at this rate, on a clock of our own."""
    rng, pace, steps, tally = random.Random(2), Pace(8), Times(), Tally()
    counts = []
    for _ in range(rounds):
        count = pace.count(1, tally.rate, steps)
        counts.append(count)
        right = 0
        while right < count and rng.random() < rate:
            right += 1
        for _ in range(count):
            pace.passes.note(1, pass_cost)
        steps.note(count + 1, 1 + 0.1 * count)
        if count:
            tally.judged(count, min(right + 1, count), right)
    return counts


def test_a_draft_that_pays_is_used_and_one_that_does_not_is_left_alone() -> None:
    good = played(1000, rate=0.9, pass_cost=0.1)
    assert good[0] == 0, "first what a plain step costs"
    assert sum(count >= 4 for count in good) > 900
    bad = played(4000, rate=0.1, pass_cost=0.4)
    tried = [place for place, count in enumerate(bad) if count]
    late = [place for place in tried if place > LOOK_AGAIN]
    assert len(tried) < 40 and late, "it is tried again now and then"
    gaps = [after - before for before, after in pairwise(late)]
    assert gaps == sorted(gaps) and gaps[-1] > 4 * LOOK_AGAIN, "and ever more seldom"


def test_a_pace_finds_out_when_guesses_begin_to_pay() -> None:
    pace, steps = Pace(8), times({1: 1.0, 9: 1.5})
    pace.passes.note(1, 0.2)
    assert [pace.count(1, 0.05, steps) for _ in range(10)] == [0] * 10
    assert pace.count(1, 0.9, steps) > 0


def test_a_tally_knows_the_rate_of_what_was_tested() -> None:
    tally = Tally()
    assert tally.rate == EXPECTED
    rng = random.Random(3)
    for _ in range(3000):
        right = 0
        while right < 5 and rng.random() < 0.6:
            right += 1
        tally.judged(5, min(right + 1, 5), right)
    assert tally.proposed == 15_000 and abs(tally.rate - 0.6) < 0.12
    assert tally.accepted / tally.tested == pytest.approx(0.6, abs=0.02)
    for _ in range(400):
        tally.judged(5, 1, 0)
    assert tally.rate < 0.01, "what was is forgotten"
