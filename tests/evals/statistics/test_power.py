"""Items and effects against the research note's figures, statsmodels and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.power import TTestPower, zt_ind_solve_power

from whetstone.evals.statistics import effect_paired, items_paired, items_unpaired, mcnemar_exact
from whetstone.evals.statistics.power import effect_of_error


def test_the_figures_of_the_research_note() -> None:
    assert items_unpaired(0.03) == pytest.approx(4360, abs=1)
    assert items_paired(0.03, 0.20) == pytest.approx(1740, abs=5)
    # Connor's formula by hand, with a difference large enough that each of its terms shows
    expected = (1.959964 * 0.4**0.5 + 0.841621 * (0.4 - 0.3**2) ** 0.5) ** 2 / 0.3**2
    assert items_paired(0.3, 0.4) == math.ceil(expected) == 33


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.8])
@pytest.mark.parametrize("power", [0.8, 0.95])
def test_unpaired_agrees_with_statsmodels(rate: float, power: float) -> None:
    spread = (rate * (1 - rate)) ** 0.5
    # statsmodels counts the far tail too, which is nothing here
    oracle = zt_ind_solve_power(0.05 / spread, alpha=0.05, power=power)
    assert items_unpaired(0.05, rate, power) == pytest.approx(oracle, abs=1.01)


@pytest.mark.parametrize(("difference", "discordant"), [(0.03, 0.2), (0.1, 0.3), (0.05, 0.06)])
def test_paired_items_give_the_power_they_claim(difference: float, discordant: float) -> None:
    n = items_paired(difference, discordant)
    shares = [(discordant + difference) / 2, (discordant - difference) / 2, 1 - discordant]
    draws = np.random.default_rng(0).multinomial(n, shares, size=1500)
    found = np.mean([mcnemar_exact(int(gained), int(lost)) < 0.05 for gained, lost, _ in draws])
    assert 0.74 < found < 0.86  # the exact test is a little conservative


@given(st.floats(0.01, 0.5), st.floats(0.01, 1.0))
def test_effect_is_the_inverse_of_items(difference: float, discordant: float) -> None:
    if discordant >= difference:
        n = items_paired(difference, discordant)
        assert effect_paired(n, discordant) <= difference + 1e-9
        if n > 1:
            assert effect_paired(n - 1, discordant) >= difference - 1e-9


def test_effect_of_error_agrees_with_statsmodels() -> None:
    # a standard error of sd / sqrt(n) and the noncentral t that statsmodels solves are close for 60 units
    oracle = TTestPower().solve_power(nobs=60, alpha=0.05, power=0.8) / 60**0.5
    assert effect_of_error(1 / 60, 59) == pytest.approx(oracle, rel=0.01)


def test_more_items_see_less_and_nonsense_is_refused() -> None:
    effects = [effect_paired(n, 0.2) for n in (10, 100, 1000, 10_000)]
    assert effects == sorted(effects, reverse=True) and effect_paired(0, 0.2) == effect_paired(2, 0.2) == 1.0
    assert items_paired(0.1, 0.2, power=0.9) > items_paired(0.1, 0.2)
    for wrong in (
        lambda: items_unpaired(0),
        lambda: items_unpaired(0.1, 1.0),
        lambda: items_unpaired(0.1, power=0.3),
        lambda: items_paired(0.3, 0.2),
        lambda: items_paired(0.1, 1.1),
        lambda: effect_paired(5, 1.2),
    ):
        with pytest.raises(ValueError):
            wrong()
