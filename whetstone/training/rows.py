"""What the trainer eats: rows of response tokens with weights, and how rows become packs that share prompts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from whetstone.models.packing import TokenTrie, Trie


@dataclass(frozen=True)
class Row:
    """One prompt and one response. Per response token: `rl` (an advantage) and `ce` (a likelihood weight), zero where
    the token does not count, and `logprobs`, the sampler's own (nats; zero where nothing sampled the token)."""

    prompt_ids: tuple[int, ...]
    ids: tuple[int, ...]
    rl: tuple[float, ...]
    ce: tuple[float, ...]
    logprobs: tuple[float, ...]


@dataclass
class Pack:
    """Rows that go through the decoder together. M response tokens; `before_M` is the flat place of the token that
    predicts each of them (one place for all rows that agree so far)."""

    tree: TokenTrie
    before_M: Tensor
    targets_M: Tensor
    rl_M: Tensor
    ce_M: Tensor
    logprobs_M: Tensor


def packs(rows: Sequence[Row], max_tokens: int, device: torch.device | str) -> Iterator[Pack]:
    """Split `rows` into packs of at most about `max_tokens` tokens, what rows have in common once per pack.

    A row whose distinct tokens alone are more gets a pack of its own. The last token of a response predicts nothing
    and is not computed.
    """
    batch: list[Row] = []
    trie = Trie()
    first: dict[tuple[int, ...], int] = {}
    for place, row in enumerate(rows):
        first.setdefault(row.prompt_ids, place)
    for row in sorted(rows, key=lambda row: first[row.prompt_ids]):
        sequence = _computed(row)
        if batch and len(trie) + trie.missing(sequence) > max_tokens:
            yield _pack(batch, device)
            batch, trie = [], Trie()
        batch.append(row)
        trie.insert(sequence)
    if batch:
        yield _pack(batch, device)


def _computed(row: Row) -> tuple[int, ...]:
    return row.prompt_ids + row.ids[:-1]


def _pack(rows: Sequence[Row], device: torch.device | str) -> Pack:
    prompts = list(dict.fromkeys(row.prompt_ids for row in rows))
    # prompts first: runs of like length share a product, and a prompt with its first response would be a long one
    tree = TokenTrie([*prompts, *map(_computed, rows)], device)
    paths = tree.places[len(prompts) :]
    before = [path[len(row.prompt_ids) - 1 :] for row, path in zip(rows, paths, strict=True)]

    def flat(field: str) -> Tensor:
        return torch.tensor([x for row in rows for x in getattr(row, field)], dtype=torch.float32, device=device)

    return Pack(
        tree=tree,
        before_M=torch.from_numpy(np.concatenate(before)).to(device),
        targets_M=torch.tensor([i for row in rows for i in row.ids], device=device),
        rl_M=flat("rl"),
        ce_M=flat("ce"),
        logprobs_M=flat("logprobs"),
    )
