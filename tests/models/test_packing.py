"""A tree of shared prefixes computes what each root-to-leaf sequence computes apart, gradients included."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.tiny import tiny_model
from whetstone.models import tree_attention
from whetstone.models.decoder import Decoder
from whetstone.models.packing import PackedTokens, TokenTrie, Trie
from whetstone.models.tree_attention import Run, attend

Runs = list[list[int]]

FULL = tiny_model(seed=3)
WINDOWED = tiny_model(seed=4, layers=3, windows=(3, None, 2))
LLAMA = tiny_model(seed=5, family="llama", kv_heads=4, windows=(1, 4))
MODELS = {"full": FULL, "windowed": WINDOWED, "llama": LLAMA}


class OneSequence:
    """The attention of a single sequence, written as the textbook has it and sharing nothing with the tree's."""

    def attend(self, layer: int, q_NHE: Tensor, k_NGE: Tensor, v_NGE: Tensor, window: int | None) -> Tensor:
        tokens, heads, size = q_NHE.shape
        copies = heads // k_NGE.shape[1]
        k_NHE, v_NHE = k_NGE.repeat_interleave(copies, 1), v_NGE.repeat_interleave(copies, 1)
        scores_HNN = torch.einsum("nhe,mhe->hnm", q_NHE, k_NHE) * size**-0.5
        distance_NN = torch.arange(tokens)[:, None] - torch.arange(tokens)
        seen_NN = (distance_NN >= 0) & (distance_NN < (window or tokens))
        weights_HNN = scores_HNN.masked_fill(~seen_NN, -torch.inf).softmax(-1)
        return torch.einsum("hnm,mhe->nhe", weights_HNN, v_NHE)


def apart(model: Decoder, ids: Sequence[int]) -> Tensor:
    """Hidden states [T, D] of one sequence alone."""
    return model(torch.tensor(ids), torch.arange(len(ids)), OneSequence())


def paths(levels: list[Runs], parents: list[list[int]]) -> Runs:
    """Token ids from the root to the end of each run of the last level."""
    ids = levels[0]
    for runs, above in zip(levels[1:], parents[1:], strict=True):
        ids = [ids[parent] + run for parent, run in zip(above, runs, strict=True)]
    return ids


def gradients(model: Decoder, loss: Tensor) -> dict[str, Tensor]:
    """Of every parameter."""
    names, parameters = zip(*model.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(loss, parameters), strict=True))


def check_packed(model: Decoder, tree: PackedTokens, places: list[np.ndarray], sequences: Runs) -> None:
    """Hidden states and the gradients of all parameters, of a loss that weighs every token of every sequence."""
    hidden_ND = model(tree.ids_N, tree.positions_N, tree)
    generator = torch.Generator().manual_seed(len(sequences))
    together, alone = hidden_ND.new_zeros(()), hidden_ND.new_zeros(())
    assert len(places) == len(sequences)
    for place, sequence in zip(places, sequences, strict=True):
        assert tree.ids_N[place].tolist() == sequence
        assert tree.positions_N[place].tolist() == list(range(len(sequence)))
        expected_TD = apart(model, sequence)
        torch.testing.assert_close(hidden_ND[place], expected_TD, rtol=1e-4, atol=2e-5)
        weight_TD = torch.randn(expected_TD.shape, generator=generator)
        together = together + (hidden_ND[place] * weight_TD).sum()
        alone = alone + (expected_TD * weight_TD).sum()
    expected = gradients(model, alone)
    largest = max(float(gradient.abs().max()) for gradient in expected.values())
    for name, gradient in gradients(model, together).items():
        torch.testing.assert_close(
            gradient, expected[name], rtol=1e-4, atol=2e-6 * largest, msg=lambda m, n=name: n + m
        )


SHAPES: dict[str, tuple[list[Runs], list[list[int]]]] = {
    "one level, one run": ([[[9, 8, 7, 6]]], [[0]]),
    "one level, unlike lengths": ([[[9, 8, 7, 6, 5], [4], [3, 2, 20]]], [[0, 0, 0]]),
    "two levels": ([[[9, 8, 7], [6, 5, 4, 3, 2]], [[1], [30, 31, 32, 33], [40, 41], [7]]], [[0], [1, 0, 0, 1]]),
    "three levels": (
        [[[9, 8, 7]], [[6], [5, 4, 3, 2]], [[11, 12, 13], [14], [15, 16, 17, 18, 19], [20, 21]]],
        [[0], [0, 0], [1, 1, 0, 1]],
    ),
    "three levels, several roots, one of them without children": (
        [[[9, 8, 7, 6], [30], [5, 5]], [[6, 1], [4, 4, 4]], [[11], [12, 13, 14], [15]]],
        [[0, 0, 0], [2, 0], [1, 0, 1]],
    ),
    "the same run twice": ([[[9, 8, 7]], [[6, 5], [6, 5], [6, 5]]], [[0], [0, 0, 0]]),
}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_tree_equals_its_sequences_apart(model: str, shape: str) -> None:
    levels, parents = SHAPES[shape]
    check_trie(MODELS[model], paths(levels, parents))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    "prompts",
    [
        [[5, 6, 7, 8]],
        [[5, 6, 7, 8], [5, 6, 7, 8]],
        [[5, 6, 7, 8], [5, 6], [5, 6, 9, 9, 9]],
        [[1, 2, 3], [4, 5]],
        [[7], [7], [7]],
    ],
    ids=["single", "identical", "one is the beginning of another", "nothing shared", "one token each"],
)
def test_prompts_with_responses_equal_their_sequences_apart(model: str, prompts: Runs) -> None:
    responses = [[[30 + p, 31, 32], [40 + p], [50, 51]] for p in range(len(prompts))]
    sequences = [prompt + response for prompt, group in zip(prompts, responses, strict=True) for response in group]
    check_trie(MODELS[model], [*prompts, *sequences])
    check_trie(MODELS[model], prompts)


def check_trie(model: Decoder, sequences: Runs) -> TokenTrie:
    trie = TokenTrie(sequences)
    check_packed(model, trie, trie.places, sequences)
    assert trie.tokens == len({tuple(s[: end + 1]) for s in sequences for end in range(len(s))})
    return trie


# few tokens, so that sequences share beginnings, are beginnings of one another, or are equal
sequences_of_few_tokens = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=7), min_size=1, max_size=8)
PLAIN = [tree_attention.PLAIN_PAIRS, 0, 12]
CALLS = [tree_attention.CALL_PAIRS, 0, 20]


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(list(MODELS)),
    st.lists(st.integers(0, 83), max_size=4),
    sequences_of_few_tokens,
    st.sampled_from(PLAIN),
    st.sampled_from(CALLS),
)
def test_any_trie_equals_its_sequences_apart(
    model: str, opening: list[int], sequences: Runs, plain: int, calls: int
) -> None:
    """Whatever the sizes at which attention changes its ways: both kinds, and any number of batches."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tree_attention, "PLAIN_PAIRS", plain)
        patch.setattr(tree_attention, "CALL_PAIRS", calls)
        check_trie(MODELS[model], [opening + sequence for sequence in sequences])


def test_a_trie_computes_what_answers_share_once() -> None:
    trie = TokenTrie([[5, 6], [5, 6, 1, 2, 3], [5, 6, 1, 2], [5, 6, 1, 4], [5, 6, 1, 2, 3], [7, 6]])
    assert trie.ids_N.tolist() == [5, 6, 1, 2, 3, 4, 7, 6]
    assert trie.positions_N.tolist() == [0, 1, 2, 3, 4, 3, 0, 1]
    assert [place.tolist() for place in trie.places] == [
        [0, 1],
        [0, 1, 2, 3, 4],
        [0, 1, 2, 3],
        [0, 1, 2, 5],
        [0, 1, 2, 3, 4],
        [6, 7],
    ]


@given(sequences_of_few_tokens)
def test_a_trie_knows_what_a_sequence_would_add(sequences: Runs) -> None:
    trie = Trie()
    for sequence in sequences:
        before, missing = len(trie), trie.missing(sequence)
        path = trie.insert(sequence)
        assert len(trie) == before + missing and trie.missing(sequence) == 0
        assert [trie.ids[node] for node in path] == sequence


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 60)), min_size=1, max_size=30), st.sampled_from([1, 90]))
def test_runs_are_cut_into_the_cheapest_batches(sizes: list[tuple[int, int]], call: int) -> None:
    runs = [Run(place, length, np.zeros(length + above)) for place, (length, above) in enumerate(sizes)]

    def cost(batches: list[list[Run]]) -> int:
        padded = [len(b) * max(r.length for r in b) * max(len(r.path) for r in b) for b in batches]
        return sum(padded) + call * len(batches)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tree_attention, "CALL_PAIRS", call)
        batches = tree_attention._cut(runs)
    assert sorted(run.first for batch in batches for run in batch) == list(range(len(runs)))
    by_length = [[run for run in runs if run.length == length] for length in sorted({run.length for run in runs})]
    assert cost(batches) <= min(cost([runs]), cost(by_length))
    if len(by_length) <= 8:
        cuts = itertools.product((False, True), repeat=len(by_length) - 1)
        assert cost(batches) == min(cost(joined(by_length, cut)) for cut in cuts)


def joined(groups: list[list[Run]], cuts: tuple[bool, ...]) -> list[list[Run]]:
    batches = [list(groups[0])]
    for group, cut in zip(groups[1:], cuts, strict=True):
        if cut:
            batches.append([])
        batches[-1] += group
    return batches


@pytest.mark.parametrize("plain", [0, tree_attention.PLAIN_PAIRS])
@pytest.mark.parametrize("window", [None, 1, 3])
def test_the_backward_pass_of_attention_is_its_derivative(
    plain: int, window: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tree_attention, "PLAIN_PAIRS", plain)
    monkeypatch.setattr(tree_attention, "CALL_PAIRS", 8)
    trie = TokenTrie([[5, 6, 7, 8, 9], [5, 6, 7, 8, 1, 2], [5, 6, 7], [5, 3], [4]])
    generator = torch.Generator().manual_seed(0)
    inputs = [
        torch.randn(trie.tokens, heads, 4, dtype=torch.float64, generator=generator, requires_grad=True)
        for heads in (4, 2, 2)
    ]
    assert torch.autograd.gradcheck(lambda q, k, v: attend(q, k, v, trie._layout, window), inputs)


def test_both_kinds_of_attention_serve_narrow_activations() -> None:
    trie = TokenTrie([[5, 6, 7, 8, 9], [5, 6, 7, 8, 1, 2], [5, 6, 7], [5, 3], [4]])
    wide = [torch.randn(trie.tokens, heads, 8) for heads in (4, 2, 2)]
    narrow = [x.bfloat16().requires_grad_() for x in wide]
    out = attend(*narrow, trie._layout, None)
    out.float().sum().backward()
    assert out.dtype == torch.bfloat16 and all(x.grad is not None and x.grad.isfinite().all() for x in narrow)
    torch.testing.assert_close(out.float(), attend(*wide, trie._layout, None), rtol=0.03, atol=0.03)


def test_an_empty_prompt_or_sequence_is_refused() -> None:
    for prompts in ([[]], [], [[1], []]):
        with pytest.raises(ValueError, match="at least one"):
            TokenTrie(prompts)
