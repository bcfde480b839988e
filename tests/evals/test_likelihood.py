"""Log-probabilities of given texts against transformers, token by token."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.models.tiny import oracle, saved, some_ids, their_logits
from tests.tiny import tiny_model, tiny_tokenizer
from whetstone.errors import UsageError
from whetstone.evals.likelihood import token_logprobs
from whetstone.models.checkpoint import load_folder
from whetstone.models.loading import Loaded


def loaded_tiny(**changes: object) -> Loaded:
    return Loaded(tiny_model(**changes), tiny_tokenizer(), "tiny", Path("."))


def their_logprobs(name: str, ids: list[int]) -> np.ndarray:
    logprobs_TV = their_logits(oracle(name), ids).float().log_softmax(-1)
    return logprobs_TV[torch.arange(len(ids) - 1), torch.tensor(ids[1:], dtype=torch.long)].numpy()


@pytest.mark.parametrize("name", ["llama-tied", "llama-biases", "qwen2-window", "qwen3", "olmo2"])
@pytest.mark.parametrize("pass_tokens", [1, 70, 4096])
def test_against_transformers(name: str, pass_tokens: int, tmp_path: Path) -> None:
    """Alone and together, with and without shared beginnings: as if each were computed by itself."""
    model, _ = load_folder(saved(name, tmp_path))
    context = some_ids(30, seed=3)
    sequences = [context + some_ids(4, seed=4), some_ids(50, seed=5), context + some_ids(9, seed=6), some_ids(2)]
    sequences += [context, list(sequences[0]), some_ids(1), context[:12]]
    found = token_logprobs(Loaded(model, tiny_tokenizer(), name, tmp_path), sequences, pass_tokens=pass_tokens)
    for ours, ids in zip(found, sequences, strict=True):
        assert ours.dtype == np.float32 and ours.shape == (len(ids) - 1,)
        np.testing.assert_allclose(ours, their_logprobs(name, ids), atol=2e-4, rtol=2e-5)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=9), max_size=8), st.integers(1, 40))
def test_packing_changes_nothing(sequences: list[list[int]], pass_tokens: int) -> None:
    loaded = loaded_tiny(family="llama")
    told: list[tuple[int, int]] = []
    together = token_logprobs(loaded, sequences, lambda done, total: told.append((done, total)), pass_tokens)
    for ids, found in zip(sequences, together, strict=True):
        np.testing.assert_allclose(found, token_logprobs(loaded, [ids])[0], atol=1e-5)
    assert told == sorted(told) and (not sequences or told[-1] == (len(sequences), len(sequences)))


def test_what_it_refuses() -> None:
    loaded = loaded_tiny(max_positions=16)
    assert token_logprobs(loaded, []) == []
    with pytest.raises(UsageError, match="a text of 17 tokens is longer than the 16 positions of tiny"):
        token_logprobs(loaded, [[1] * 17])
    with pytest.raises(ValueError, match="at least one token"):
        token_logprobs(loaded, [[1], []])


def test_the_weights_keep_no_gradient() -> None:
    loaded = loaded_tiny()
    token_logprobs(loaded, [[1, 2, 3]])
    assert all(parameter.grad is None and parameter.requires_grad for parameter in loaded.model.parameters())
