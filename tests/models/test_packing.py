"""A tree of shared prefixes computes what each root-to-leaf sequence computes apart, gradients included."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.tiny import tiny_model
from whetstone.models.decoder import Decoder
from whetstone.models.packing import TokenTree, prompt_tree, shared_prefix

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


def check_tree(model: Decoder, tree: TokenTree, sequences: Runs) -> None:
    """Hidden states and the gradients of all parameters, of a loss that weighs every token of every sequence."""
    hidden_ND = model(tree.ids_N, tree.positions_N, tree)
    generator = torch.Generator().manual_seed(len(sequences))
    together, alone = hidden_ND.new_zeros(()), hidden_ND.new_zeros(())
    places = tree.places(tree.depth - 1)
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
    check_tree(MODELS[model], TokenTree(levels, parents), paths(levels, parents))


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
    check_tree(MODELS[model], prompt_tree(prompts, responses), sequences)
    check_tree(MODELS[model], prompt_tree(prompts), prompts)


run = st.lists(st.integers(0, 83), min_size=1, max_size=6)


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(list(MODELS)),
    st.lists(st.integers(0, 83), max_size=4),
    st.lists(st.tuples(run, st.lists(run, max_size=3)), min_size=1, max_size=4).filter(
        lambda groups: any(responses for _, responses in groups)
    ),
)
def test_any_shape_equals_its_sequences_apart(
    model: str, opening: list[int], groups: list[tuple[list[int], Runs]]
) -> None:
    prompts, responses = [opening + prompt for prompt, _ in groups], [group for _, group in groups]
    sequences = [prompt + response for prompt, group in zip(prompts, responses, strict=True) for response in group]
    check_tree(MODELS[model], prompt_tree(prompts, responses), sequences)


@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=6), min_size=1, max_size=5))
def test_a_shared_prefix_is_the_longest_that_leaves_each_prompt_a_token(prompts: Runs) -> None:
    length = shared_prefix(prompts)
    shortest = min(map(len, prompts))
    assert 0 <= length < shortest
    assert len({tuple(prompt[:length]) for prompt in prompts}) == 1
    longer = {tuple(prompt[: length + 1]) for prompt in prompts}
    assert length + 1 == shortest or len(longer) > 1
    assert shared_prefix(prompts[::-1]) == length


def test_every_shared_token_is_computed_once() -> None:
    tree = prompt_tree([[5, 6, 7, 8], [5, 6, 9]], [[[1], [2, 3]], [[4, 4, 4]]])
    assert tree.depth == 3 and tree.tokens == 2 + (2 + 1) + (1 + 2 + 3)
    assert [tree.ids_N[tree.level_slice(depth)].tolist() for depth in range(3)] == [
        [5, 6],
        [7, 8, 9],
        [1, 2, 3, 4, 4, 4],
    ]
    assert prompt_tree([[1, 2], [3, 4]]).depth == 1  # nothing shared: no empty level
    assert shared_prefix([]) == 0


def test_recorded_keys_are_those_of_the_flat_tokens() -> None:
    tree = prompt_tree([[5, 6, 7], [5, 9]])
    tree.record()
    FULL(tree.ids_N, tree.positions_N, tree)
    assert tree.recorded is not None and len(tree.recorded) == FULL.config.layers
    shape = (tree.tokens, FULL.config.kv_heads, FULL.config.head_dim)
    assert all(k.shape == v.shape == shape for k, v in tree.recorded)


@pytest.mark.parametrize(
    ("levels", "parents"),
    [
        ([[[]]], [[0]]),
        ([[[1], []]], [[0, 0]]),
        ([[]], [[]]),
        ([[[1]], [[2], []]], [[0], [0, 0]]),
        ([[[1]], []], [[0], []]),
    ],
)
def test_an_empty_run_is_refused(levels: list[Runs], parents: list[list[int]]) -> None:
    with pytest.raises(ValueError, match="at least one token"):
        TokenTree(levels, parents)


def test_an_empty_prompt_or_response_is_refused() -> None:
    for prompts, responses in (([[]], None), ([], None), ([[1], []], None), ([[1]], [[[2], []]]), ([[1]], [[]])):
        with pytest.raises(ValueError, match="at least one token"):
            prompt_tree(prompts, responses)
