"""A route's rule, its file, and what a question looks like to it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.engine.strategies.asking import sums, tiny_backend, tiny_loaded
from tests.tiny import tiny_tokenizer
from whetstone.engine.engine import Engine
from whetstone.engine.routing.features import hidden, ngrams
from whetstone.engine.routing.policy import Cascade, Classifier, Features, Option, Policy, confidence
from whetstone.engine.samples import Pool
from whetstone.engine.strategies.names import strategy_of
from whetstone.engine.strategies.run import run
from whetstone.errors import UsageError

OPTIONS = (Option("a", "greedy", "1"), Option("b", "consistency-3", "2"), Option("b", "consistency-9", "2"))


def classifier(seed: int = 0, size: int = 5) -> Classifier:
    random = np.random.default_rng(seed)
    weights, bias = random.normal(size=(3, size)), random.normal(size=3)
    mean, scale = random.normal(size=size), random.uniform(0.5, 2, size)
    return Classifier(Features("ngrams", size), mean, scale, weights, bias, np.array([1.0, 3.0, 9.0]), 0.05)


@given(st.lists(st.floats(0, 1), min_size=3, max_size=3), st.lists(st.floats(0, 1), min_size=2, max_size=2))
def test_a_cascade_goes_on_while_it_is_not_sure(sure: list[float], bars: list[float]) -> None:
    cascade = Cascade((2, 0, 1), (bars[0], bars[1]))
    tries = cascade.tries()
    asked, given_confidence = [], None
    try:
        option = next(tries)
        while True:
            asked.append(option)
            given_confidence = sure[option]
            option = tries.send(given_confidence)
    except StopIteration as end:
        taken = end.value
    if sure[2] >= bars[0]:
        assert (asked, taken) == ([2], 2)
    elif sure[0] >= bars[1]:
        assert (asked, taken) == ([2, 0], 0)
    else:
        assert (asked, taken) == ([2, 0, 1], 1)


def test_a_classifier_weighs_chance_against_cost() -> None:
    rule = classifier()
    inputs = np.random.default_rng(1).normal(size=(40, 5))
    for row, chosen in zip(inputs, rule.choose(inputs), strict=True):
        logits = [
            w @ ((row - rule.mean_D) / rule.scale_D) + b for w, b in zip(rule.weights_OD, rule.bias_O, strict=True)
        ]
        worth = [1 / (1 + np.exp(-x)) - 0.05 * cost for x, cost in zip(logits, (1, 3, 9), strict=True)]
        assert chosen == int(np.argmax(worth))
        tries = rule.tries(row)
        assert next(tries) == chosen
        with pytest.raises(StopIteration):
            tries.send(0.0)


@pytest.mark.parametrize("rule", [Cascade((0, 2), (0.625,)), Cascade((1,), ()), classifier()])
def test_a_file_is_read_as_it_was_written(tmp_path: Path, rule: Cascade | Classifier) -> None:
    policy = Policy(OPTIONS, rule, {"task": "addition"})
    policy.save(tmp_path)
    for place in (tmp_path, tmp_path / "route.json"):
        again = Policy.load(place)
        assert again.to_dict() == policy.to_dict() and again.options == OPTIONS
    if isinstance(rule, Classifier):
        inputs = np.random.default_rng(2).normal(size=(9, 5))
        assert isinstance(again.rule, Classifier)
        np.testing.assert_array_equal(again.rule.chances(inputs), rule.chances(inputs))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"kind": "scaling"}, "no route"),
        ({"version": 2}, "of version 2"),
        ({"options": []}, "no route"),
        ({"rule": {"kind": "cascade", "order": [0, 7], "thresholds": [0.5]}}, "no route"),
        ({"rule": {"kind": "cascade", "order": [0, 1], "thresholds": []}}, "no route"),
        ({"rule": {"kind": "oracle"}}, "no route"),
        ({"rule": None}, "no route"),
    ],
)
def test_a_file_that_is_none_is_one_line(tmp_path: Path, change: dict[str, object], complaint: str) -> None:
    told = Policy(OPTIONS, Cascade((0, 1), (0.5,))).to_dict() | change
    (tmp_path / "route.json").write_text(json.dumps(told))
    with pytest.raises(UsageError, match=complaint):
        Policy.load(tmp_path)
    with pytest.raises(UsageError, match="no route"):
        Policy.load(tmp_path / "missing")


def test_confidence_is_votes_or_the_tokens_own() -> None:
    backend, questions = tiny_backend(), sums(5)
    pool = Pool(backend.sampler, "tiny")
    for outcome in run(strategy_of("consistency-4"), questions, backend, pool):
        answers = [each.answer for each in outcome.choice.of]
        share = answers.count(outcome.choice.answer) / 4 if outcome.choice.answer is not None else 0
        assert confidence(outcome.choice) == share
    for outcome in run(strategy_of("greedy"), questions, backend, pool):
        logprobs = outcome.choice.of[0].completion.logprobs
        expected = 0.0 if outcome.choice.answer is None else np.exp(np.mean(logprobs))
        assert confidence(outcome.choice) == pytest.approx(expected)


def test_hidden_features_are_the_mean_of_the_models_states() -> None:
    loaded = tiny_loaded()
    engine = Engine(loaded.model)
    found = hidden(engine, loaded.tokenizer, "12+34?")
    assert np.linalg.norm(found) == pytest.approx(1)
    again = hidden(engine, loaded.tokenizer, "12+34?")
    np.testing.assert_array_equal(found, again)
    assert np.abs(hidden(engine, loaded.tokenizer, "9+9?") - found).max() > 1e-3
    assert engine.pool.used == 0 and hidden(engine, tiny_tokenizer(), "").shape == found.shape


@given(st.text(max_size=80))
def test_ngrams_take_any_text(text: str) -> None:
    found = ngrams(text, 32)
    assert found.shape == (32,) and np.isfinite(found).all()
    np.testing.assert_array_equal(found, ngrams(text, 32))


def test_ngrams_tell_lengths_of_numbers() -> None:
    assert np.abs(ngrams("12 + 34") - ngrams("56 + 78")).max() == 0
    assert np.abs(ngrams("12 + 34") - ngrams("123 + 345")).max() > 0
