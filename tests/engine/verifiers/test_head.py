"""The learned verifier: its numbers, its folder, and what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.engine.strategies.asking import sums, tiny_backend, tiny_loaded
from whetstone.engine.protocol import Completion, Request
from whetstone.engine.samples import Pool
from whetstone.engine.strategies.names import Tools, strategy_of
from whetstone.engine.strategies.run import run
from whetstone.engine.strategies.strategy import Candidate
from whetstone.engine.verifiers.head import ABOUT, WEIGHTS, Calibration, Head, HeadVerifier
from whetstone.engine.verifiers.states import SAID
from whetstone.errors import UsageError
from whetstone.models.identity import weights_identity
from whetstone.models.packing import TokenTrie


def head(layer: int = 1, pooling: str = "mean", width: int = 32) -> Head:
    weight_F = np.random.default_rng(1).normal(size=width + SAID)
    return Head(weight_F, 0.3, layer, pooling, Calibration(0.5, -0.2), Calibration(0.25, 0.1))


def candidate(ids: tuple[int, ...], prompt: tuple[int, ...] = (2, 9, 11)) -> Candidate:
    completion = Completion(ids, (-1.0,) * len(ids), "stop", 0)
    return Candidate(Request(prompt, (0,)), completion, "", "")


@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_a_score_is_the_plain_formula(pooling: str) -> None:
    loaded = tiny_loaded()
    (end,) = loaded.tokenizer.stop_ids
    ended, cut, empty = candidate((7, 8, 12, end)), candidate((7, 8, 30)), candidate(())
    verifier = HeadVerifier(loaded, head(pooling=pooling))
    scores = verifier.score([ended, cut, empty])
    for each, value in zip((ended, cut, empty), scores.values, strict=True):
        tree = TokenTrie([each.ids])
        with torch.no_grad():
            states = loaded.model.states(tree.ids_N, tree.positions_N, tree, {1})[1].double().numpy()
            logits = loaded.model.logits(loaded.model(tree.ids_N, tree.positions_N, tree))
        answer = states[3:] if len(each.ids) > 3 else states[2:3]
        logprobs = logits.log_softmax(-1)[torch.arange(2, len(each.ids) - 1), list(each.ids[3:])].double().numpy()
        said = [logprobs.mean(), logprobs.sum(), logprobs.min()] if len(logprobs) else [0, 0, 0]
        z = np.array([*(answer[-1] if pooling == "last" else answer.mean(0)), *said]) @ verifier.head.weight_F + 0.3
        slope, shift = (0.5, -0.2) if each is ended else (0.25, 0.1)
        assert value == pytest.approx(1 / (1 + np.exp(-(slope * z + shift))), abs=1e-5)
    assert scores.tokens == 3 + 4 + 1 and scores.flops > 0
    assert verifier.score([]).values == ()


def test_best_of_n_by_a_head_takes_its_highest_score() -> None:
    backend, questions, loaded = tiny_backend(), sums(4), tiny_loaded()
    verifier = HeadVerifier(loaded, head())
    strategy = strategy_of("best-6:by=head", Tools({"head": verifier}))
    for outcome in run(strategy, questions, backend, Pool(backend.sampler, "tiny"), loaded.model.config):
        alone = [verifier.score([each]).values[0] for each in outcome.choice.of]
        voting = [place for place, each in enumerate(outcome.choice.of) if each.answer is not None]
        if voting:
            assert outcome.choice.notes["score"] == pytest.approx(max(alone[place] for place in voting), abs=1e-6)
        longest = max(len(each.ids) for each in outcome.choice.of)
        assert longest <= outcome.spent.verifier_tokens <= sum(len(each.ids) for each in outcome.choice.of)


def test_a_folder_brings_it_back(tmp_path: Path) -> None:
    loaded = tiny_loaded()
    verifier = HeadVerifier(loaded, head(), {"quality": {"task": "addition"}})
    verifier.save(tmp_path / "verifier")
    verifier.save(tmp_path / "verifier")  # again: replaced
    back = HeadVerifier.load(tmp_path / "verifier", tiny_loaded())
    asked = [candidate((7, 8, 12)), candidate((9,))]
    assert back.score(asked).values == pytest.approx(verifier.score(asked).values, abs=1e-8)
    assert np.array_equal(back.head.weight_F, verifier.head.weight_F)
    for name in ("bias", "layer", "pooling", "whole", "prefix"):
        assert getattr(back.head, name) == getattr(verifier.head, name)
    assert back.about["quality"] == {"task": "addition"} and back.about["weights"] == weights_identity(loaded.model)
    assert sorted(path.name for path in (tmp_path / "verifier").iterdir()) == [ABOUT, WEIGHTS]
    assert [path.name for path in tmp_path.iterdir()] == ["verifier"]


def test_what_is_refused(tmp_path: Path) -> None:
    loaded, folder = tiny_loaded(), tmp_path / "verifier"
    HeadVerifier(loaded, head()).save(folder)
    with pytest.raises(UsageError, match="was made for the weights of tiny, and tiny has others"):
        HeadVerifier.load(folder, tiny_loaded(seed=1))
    with pytest.raises(UsageError, match="holds no verifier"):
        HeadVerifier.load(tmp_path / "nothing", loaded)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match="in use and holds no verifier"):
        HeadVerifier(loaded, head()).save(tmp_path / "full")
    with pytest.raises(UsageError, match="tokens of another model"):
        HeadVerifier(loaded, head()).score([candidate((7, 4000))])
    with pytest.raises(UsageError, match="gives no token ids"):
        HeadVerifier(loaded, head()).score([candidate((7,), prompt=())])


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"layer": 99}, "its sizes are not the model's"),
        ({"pooling": "first"}, "its sizes are not the model's"),
        ({"calibration": {}}, "is damaged"),
        ({"format": 7}, "not written by this version"),
        (None, "not written by this version"),
        ("weights", "is damaged"),
    ],
)
def test_damage_is_one_line(change: object, complaint: str, tmp_path: Path) -> None:
    loaded = tiny_loaded()
    HeadVerifier(loaded, head()).save(tmp_path / "v")
    about = json.loads((tmp_path / "v" / ABOUT).read_text())
    if change == "weights":
        (tmp_path / "v" / WEIGHTS).write_bytes(b"\x00" * 9)
    else:
        (tmp_path / "v" / ABOUT).write_text("{" if change is None else json.dumps(about | change))  # type: ignore
    with pytest.raises(UsageError, match=complaint) as caught:
        HeadVerifier.load(tmp_path / "v", loaded)
    assert "\n" not in str(caught.value)


def test_the_identity_is_that_of_the_values() -> None:
    one, two = tiny_loaded(), tiny_loaded()
    assert weights_identity(one.model) == weights_identity(two.model)
    with torch.no_grad():
        next(two.model.layers[1].parameters())[0, 0] += 1e-6
    assert weights_identity(one.model) != weights_identity(two.model)
    longer = replace(one.model.config, max_positions=16)
    one.model.config = longer
    assert weights_identity(one.model) != weights_identity(tiny_loaded().model)
