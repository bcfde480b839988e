"""Thresholds against brute force, classifiers in worlds whose best route is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import special

from tests.evals.routing.worlds import every_cascade, random_table, table, two_kinds, walked
from whetstone.engine.routing.policy import Cascade, Classifier, Features
from whetstone.errors import UsageError
from whetstone.evals.routing.learning import cascades, chosen, classifiers, fit_logistic, fitted
from whetstone.evals.routing.outcomes import Ruled, front, play


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("options", [2, 3])
def test_no_cascade_at_any_threshold_beats_the_front(seed: int, options: int) -> None:
    world = random_table(seed, 14, options)
    curve = cascades(world)
    everything = every_cascade(world)
    for cost, accuracy in everything:
        assert any(each.cost <= cost + 1e-9 and each.accuracy >= accuracy - 1e-9 for each in curve), (cost, accuracy)
    for each in curve:
        assert isinstance(each.rule, Cascade)
        assert walked(each.rule, world) == pytest.approx((each.cost, each.accuracy))
        assert not any(c <= each.cost - 1e-9 and a >= each.accuracy + 1e-9 for c, a in everything)


def test_what_a_rule_does_is_what_its_tries_do() -> None:
    world = random_table(3, 30, 3)
    rule = Cascade((2, 0, 1), (0.7, 0.4))
    played = play(rule, world)
    assert walked(rule, world) == pytest.approx((played.cost, played.accuracy))
    np.testing.assert_array_equal(played.right_N, world.right_NO[np.arange(30), played.option_N])


def test_many_confidences_are_thinned_out_evenly() -> None:
    random = np.random.default_rng(0)
    sure = random.random((300, 2))
    right = np.column_stack([random.random(300) < sure[:, 0], np.ones(300)])
    world = table(right, sure, [1.0, 5.0])
    few = cascades(world, steps=12)
    exact = cascades(world, steps=1000)
    assert len(few) <= 14 < len(exact)
    for each in few:
        assert max(e.accuracy for e in exact if e.cost <= each.cost + 1e-9) >= each.accuracy
        assert max(e.accuracy for e in exact if e.cost <= each.cost) - each.accuracy < 0.03


def test_a_world_of_two_kinds_is_routed_perfectly() -> None:
    train, validation, test = (two_kinds(seed, 160) for seed in range(3))
    base = fitted(train, Features("ngrams", 10), train.cost_NO.mean(axis=0))
    curve = classifiers(base, validation)
    picked = chosen(curve, None, None, 1.0)
    played = play(picked.rule, test)
    hard = float((test.right_NO[:, 0] == 0).mean())
    assert played.accuracy == 1.0
    assert played.cost == pytest.approx(hard * 10 + (1 - hard) * 1, rel=0.05), "each question goes where it belongs"
    cheapest = play(curve[0].rule, test)
    assert cheapest.cost == pytest.approx(1.0) and cheapest.accuracy == pytest.approx(1 - hard)
    cascade = play(chosen(cascades(validation), None, None, 1.0).rule, test)
    assert cascade.accuracy == 1.0 and cascade.cost == pytest.approx(1 + hard * 10), "a cascade pays for both"


def test_where_questions_say_nothing_no_route_is_better_than_an_option() -> None:
    random = np.random.default_rng(5)

    def world(count: int) -> object:
        right = random.random((count, 2)) < [0.4, 0.7]
        return table(right, random.random((count, 2)), [1.0, 10.0], random.normal(size=(count, 8)))

    train, validation, test = (world(400) for _ in range(3))
    base = fitted(train, Features("ngrams", 8), np.array([1.0, 10.0]))  # type: ignore[arg-type]
    for each in classifiers(base, validation):  # type: ignore[arg-type]
        played = play(each.rule, test)  # type: ignore[arg-type]
        by_chance = 0.4 + 0.3 * (played.cost - 1) / 9
        assert played.accuracy < by_chance + 0.08


def test_the_rates_are_all_that_matter() -> None:
    """Every choice that some rate makes on these questions is made by one of the front's rates, or beaten."""
    random = np.random.default_rng(1)
    world = table(random.random((20, 3)) < 0.5, random.random((20, 3)), [1.0, 2.0, 4.0], random.normal(size=(20, 2)))
    base = Classifier(
        Features("ngrams", 2),
        np.zeros(2),
        np.ones(2),
        random.normal(size=(3, 2)),
        np.zeros(3),
        np.array([1.0, 2, 4]),
        0,
    )
    curve = classifiers(base, world, rates=10_000)
    for rate in np.linspace(0, 3, 4001):
        played = play(replace(base, rate=float(rate)), world)
        assert any(e.cost <= played.cost + 1e-9 and e.accuracy >= played.accuracy - 1e-9 for e in curve)


def test_a_fit_is_where_its_gradient_is_nought() -> None:
    random = np.random.default_rng(0)
    inputs = random.normal(size=(80, 4))
    right = (random.random(80) < special.expit(inputs @ [1, -2, 0, 0.5] + 0.3)).astype(float)
    fit = fit_logistic(inputs, right, 0.05)
    error = special.expit(inputs @ fit[:-1] + fit[-1]) - right
    np.testing.assert_allclose(inputs.T @ error / 80 + 0.05 * fit[:-1], 0, atol=1e-4)
    assert error.mean() == pytest.approx(0, abs=1e-4)
    always = fit_logistic(inputs, np.ones(80), 0.05)
    assert (always[:-1] == 0).all() and special.expit(always[-1]) == pytest.approx(80.5 / 81)


def test_what_is_wanted_is_the_cheapest_or_the_best() -> None:
    rules = [Cascade((place,), ()) for place in range(4)]
    given = [Ruled(rules[0], 0.3, 1), Ruled(rules[1], 0.5, 2), Ruled(rules[2], 0.4, 3), Ruled(rules[3], 0.9, 9)]
    curve = front(given)
    assert [each.rule for each in curve] == [rules[0], rules[1], rules[3]]
    assert chosen(curve, None, None, 0.5).rule == rules[1]
    assert chosen(curve, 0.6, None, 0.5).rule == rules[3]
    assert chosen(curve, None, 8.0, 0.5).rule == rules[1]
    with pytest.raises(UsageError, match=r"no route reaches 95\.0 %"):
        chosen(curve, 0.95, None, 0.5)
    with pytest.raises(UsageError, match="cheapest option costs 1"):
        chosen(curve, None, 0.5, 0.5)
