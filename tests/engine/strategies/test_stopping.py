"""When a vote may stop: against the Beta integral, every way to go on, and every order of the samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from whetstone.engine.selection import select
from whetstone.engine.strategies.stopping import (
    MOST_SAMPLES,
    NEVER,
    agreement,
    ahead,
    further,
    safe_threshold,
    settled,
    thresholds,
    worst_loss,
)
from whetstone.errors import UsageError


def majority(answers: list[str | None]) -> str | None:
    place = select("majority", answers)
    return None if place is None else answers[place]


def stopped_at(answers: list[str | None], threshold: float) -> int:
    """How many samples a vote takes that looks behind every single one."""
    for used in range(1, len(answers)):
        if settled(answers[:used], len(answers)) or agreement(answers[:used]) >= threshold:
            return used
    return len(answers)


@given(st.integers(0, 60), st.integers(0, 60))
def test_the_probability_of_being_ahead_is_the_beta_integral(first: int, second: int) -> None:
    assert ahead(first, second) == pytest.approx(stats.beta.sf(0.5, first + 1, second + 1), abs=1e-12)


@given(st.lists(st.sampled_from(["a", "b", "c", None]), max_size=7), st.integers(0, 4))
def test_a_vote_is_settled_exactly_when_every_way_to_go_on_ends_alike(answers: list[str | None], left: int) -> None:
    ways = product([*"abc", "new", "newer", None], repeat=left)
    winners = {majority([*answers, *way]) for way in ways}
    assert settled(answers, len(answers) + left) == (len(winners) == 1)


@given(
    st.lists(st.sampled_from(["a", "a", "a", "b", "c", None]), min_size=1, max_size=20), st.sampled_from([0.8, 0.95, 2])
)
def test_a_wave_is_never_larger_than_what_could_end_the_vote(answers: list[str | None], threshold: float) -> None:
    used, count = 0, len(answers)
    while number := further(answers[:used], count, threshold):
        assert used + number <= count
        used += number
    assert used == stopped_at(answers, threshold)


def orders(counts: Counter[str | None]) -> Iterator[list[str | None]]:
    """Every order of these answers, once."""
    if not counts.total():
        yield []
    for answer in [each for each, number in counts.items() if number]:
        rest = counts - Counter([answer])
        for order in orders(rest):
            yield [answer, *order]


def compositions(total: int, largest: int) -> Iterator[list[int]]:
    """Ways to write `total` as falling numbers, of which none is above `largest`."""
    if total == 0:
        yield []
    for number in range(min(total, largest), 0, -1):
        for rest in compositions(total - number, number):
            yield [number, *rest]


@pytest.mark.parametrize("count", [5, 6, 7])
def test_no_division_of_the_votes_loses_more_than_the_bound(count: int) -> None:
    worst: dict[float, float] = {}
    for votes in range(1, count + 1):
        for parts in compositions(votes, votes):
            if len(parts) > 4:
                continue
            answers = Counter[str | None](dict(zip("abcd", parts, strict=False)))
            answers[None] = count - votes
            every = [(order, majority(order)) for order in orders(+answers)]
            for threshold in thresholds(count)[::2]:
                lost = sum(majority(order[: stopped_at(order, threshold)]) != full for order, full in every)
                worst[threshold] = max(worst.get(threshold, 0), lost / len(every))
    assert any(worst.values())
    for threshold, loss in worst.items():
        assert loss <= worst_loss(count, threshold) + 1e-12, (threshold, loss)
        assert worst_loss(count, threshold) <= 3 * loss + 1e-12, "a bound that says something"


@pytest.mark.parametrize("count", [3, 8, 16, 40])
@pytest.mark.parametrize("loss", [0.0, 0.01, 0.05, 0.2])
def test_the_safe_threshold_is_the_lowest_that_is_safe(count: int, loss: float) -> None:
    values = thresholds(count)
    threshold = safe_threshold(count, loss)
    assert worst_loss(count, threshold) <= loss
    place = values.index(threshold)
    assert place == 0 or worst_loss(count, values[place - 1]) > loss


def test_some_bounds_by_name() -> None:
    assert worst_loss(16, 0.95) == pytest.approx(0.0306, abs=1e-4)  # the paper's threshold
    assert worst_loss(64, 0.95) == pytest.approx(0.2684, abs=1e-4)
    assert further([], 16, 0.95) == 4 and further([], 16, NEVER) == 8
    assert worst_loss(16, NEVER) == 0
    with pytest.raises(UsageError, match="at most"):
        safe_threshold(MOST_SAMPLES + 1, 0.05)


def test_the_loss_on_models_of_every_kind_is_within_the_bound() -> None:
    """Answers drawn from random distributions, easy and hopeless ones among them: the early answer against the full
    vote's."""
    rng = np.random.default_rng(5)
    threshold, lost, saved, runs = safe_threshold(16, 0.05), 0, 0, 3000
    for _ in range(runs):
        chances = rng.dirichlet([rng.choice([0.1, 1, 5])] * int(rng.integers(2, 7)))
        answers: list[str | None] = [
            None if each == 0 else str(each) for each in rng.choice(len(chances), 16, p=chances)
        ]
        used = stopped_at(answers, threshold)
        lost += majority(answers[:used]) != majority(answers)
        saved += 16 - used
    assert 0 < lost / runs <= worst_loss(16, threshold)
    assert saved / runs > 5
