"""The line of chance against every mixture, areas by hand, and the sentence."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.evals.routing.worlds import table, two_kinds
from whetstone.evals.routing.controls import area_over, at, mixture, sentence, versus_singles
from whetstone.evals.routing.learning import cascades

POINTS = st.lists(st.tuples(st.integers(1, 30), st.integers(0, 20)), min_size=1, max_size=6, unique=True)


@given(POINTS, st.integers(1, 30))
def test_the_diagonal_is_the_best_mixture_of_any_two(points: list[tuple[int, int]], cost: int) -> None:
    """By linear programming's own theorem two options are enough; so all pairs are tried."""
    cheapest = min(point[0] for point in points)
    if cost < cheapest:
        return
    reached = [accuracy for at_cost, accuracy in points if at_cost <= cost]
    for (c, a), (d, b) in combinations(points, 2):
        if c != d and min(c, d) <= cost <= max(c, d):
            reached.append(a + (b - a) * (cost - c) / (d - c))
    line = mixture([(float(c), float(a)) for c, a in points])
    assert float(at(line, np.array([float(cost)]))[0]) == pytest.approx(max(reached))


def test_areas_by_hand() -> None:
    diagonal = [(1.0, 0.0), (3.0, 1.0)]
    assert area_over(diagonal, diagonal) == 0
    assert area_over([(1.0, 1.0), (3.0, 1.0)], diagonal) == pytest.approx(0.5)
    assert area_over([(2.0, 1.0)], diagonal) == pytest.approx(0.25), "up to the point by chance, flat behind it"
    assert area_over([(2.0, 0.25), (3.0, 1.0)], diagonal) == pytest.approx(0), "mixing by chance is always possible"
    assert area_over([(3.0, 0.5)], diagonal) == pytest.approx(-0.25)
    assert area_over([(1.0, 1.0)], [(2.0, 0.5)]) is None


def test_a_route_that_knows_is_above_every_option_and_says_so() -> None:
    validation, test = two_kinds(1, 200), two_kinds(2, 200)
    rows = versus_singles(cascades(validation), validation, test, ["cheap", "dear"])
    assert [row["option"] for row in rows] == ["cheap", "dear"]
    assert rows[0]["difference"]["mean"] == 0 and rows[1]["difference"]["mean"] == 0
    assert rows[1]["route_cost"] < rows[1]["cost"]
    said = sentence(rows, "tokens")
    assert "on or above every single option at equal cost" in said and "distinguishably above none" in said


def test_a_route_that_was_lucky_is_found_out() -> None:
    """On the validation problems confidence tells right from wrong; on the test problems it says the opposite."""
    right = np.array([[1, 0]] * 50 + [[0, 1]] * 50)
    validation = table(right, np.column_stack([right[:, 0], np.ones(100)]), [1.0, 1.5])
    test = table(right, np.column_stack([1 - right[:, 0], np.ones(100)]), [1.0, 1.5])
    rows = versus_singles(cascades(validation), validation, test, ["cheap", "dear"])
    assert rows[1]["difference"]["mean"] == 0 and rows[0]["difference"]["mean"] == 0
    # both options are right half of the time and the chain costs more than either; with room for it the chain is wrong
    dear = table(right, np.column_stack([right[:, 0], np.ones(100)]), [1.0, 3.0])
    rows = versus_singles(
        cascades(dear),
        dear,
        table(right, np.column_stack([1 - right[:, 0], np.ones(100)]), [1.0, 3.0]),
        ["cheap", "dear"],
    )
    assert rows[1]["difference"]["mean"] == -0.5
    assert "not above" in sentence(rows, "tokens") and "that is a loss" in sentence(rows, "tokens")
    assert "no comparison" in sentence([], "tokens")
