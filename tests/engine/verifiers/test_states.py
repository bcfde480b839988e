"""Hidden states against transformers' own, at every layer, alone and in company."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.strategies.asking import tiny_loaded
from tests.models.tiny import oracle, saved, some_ids
from tests.tiny import tiny_tokenizer
from whetstone.engine.strategies.spending import flops, state_flops
from whetstone.engine.verifiers.states import Written, look
from whetstone.models.checkpoint import load_folder
from whetstone.models.loading import Loaded


def theirs(name: str, ids: list[int]) -> tuple[list[np.ndarray], np.ndarray]:
    """Hidden states of every layer, and the log-probability of each token but the first."""
    with torch.no_grad():
        found = oracle(name)(torch.tensor([ids]), output_hidden_states=True)
    logprobs = found.logits[0].float().log_softmax(-1)[torch.arange(len(ids) - 1), ids[1:]]
    return [state[0].float().numpy() for state in found.hidden_states], logprobs.numpy()


@pytest.mark.parametrize("name", ["llama-tied", "qwen2-window", "qwen3", "olmo2"])
@pytest.mark.parametrize("pass_tokens", [1, 4096])
def test_against_transformers(name: str, pass_tokens: int, tmp_path: Path) -> None:
    model, _ = load_folder(saved(name, tmp_path))
    loaded = Loaded(model, tiny_tokenizer(), name, tmp_path)
    prompt = some_ids(20, seed=3)
    answers = [some_ids(6, seed=4), some_ids(9, seed=5), some_ids(6, seed=4)[:3] + some_ids(4, seed=6), []]
    written = [
        Written(tuple(prompt + answer), 20, tuple(sorted({20 + len(answer) // 2, 20 + len(answer)})))
        for answer in answers
    ]
    layers = range(model.config.layers + 1)
    looked = look(loaded, written, list(layers), pass_tokens=pass_tokens)
    row = 0
    for each in written:
        states, logprobs = theirs(name, list(each.ids))
        for end in each.ends:
            for layer in layers:
                state = states[layer][20:end] if end > 20 else states[layer][19:20]
                scale = 1 + np.abs(state).max()
                np.testing.assert_allclose(looked.layers[layer].last_MD[row], state[-1], atol=1e-4 * scale)
                np.testing.assert_allclose(looked.layers[layer].mean_MD[row], state.mean(0), atol=1e-4 * scale)
            so_far = logprobs[19 : end - 1]
            said = [so_far.mean(), so_far.sum(), so_far.min()] if end > 20 else [0, 0, 0]
            np.testing.assert_allclose(looked.layers[0].said_MS[row], said, atol=1e-3)
            row += 1
    assert row == len(looked.layers[0].last_MD)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.integers(0, 2), min_size=2, max_size=8), min_size=1, max_size=7))
def test_distinct_beginnings_are_computed_and_counted_once(sequences: list[list[int]]) -> None:
    loaded = tiny_loaded()
    looked = look(loaded, [Written(tuple(ids), 1, (len(ids),)) for ids in sequences], [1])
    beginnings = {tuple(ids[: end + 1]) for ids in sequences for end in range(len(ids))}
    assert looked.tokens == len(beginnings)
    config = loaded.model.config
    arithmetic = sum(state_flops(config, 1, len(each) - 1, config.layers) for each in beginnings)
    predicting = {tuple(ids[:end]) for ids in sequences for end in range(1, len(ids))}
    arithmetic += 2 * config.vocab_size * config.width * len(predicting)
    assert looked.flops == pytest.approx(arithmetic)
    for row, ids in enumerate(sequences):
        alone = look(loaded, [Written(tuple(ids), 1, (len(ids),))], [1])
        np.testing.assert_allclose(looked.layers[1].mean_MD[row], alone.layers[1].mean_MD[0], atol=1e-5)


def test_states_cost_what_their_layers_cost() -> None:
    config = tiny_loaded().model.config
    whole, half = (state_flops(config, 5, 7, layers) for layers in (2, 1))
    assert whole == 2 * half
    assert flops(config, 5, 7) == whole + 2 * config.vocab_size * config.width * 5
