"""What the trainer eats: rows of response tokens with weights, and how rows become packs that share prompts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from whetstone.models.packing import TokenTree, prompt_tree


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
    predicts each of them, `row_M` the row that it belongs to."""

    tree: TokenTree
    before_M: Tensor
    targets_M: Tensor
    row_M: Tensor
    rl_M: Tensor
    ce_M: Tensor
    logprobs_M: Tensor


def packs(rows: Sequence[Row], max_tokens: int, device: torch.device | str) -> Iterator[Pack]:
    """Split `rows` into packs of at most about `max_tokens` tokens, each prompt once per pack."""
    batch: dict[tuple[int, ...], list[Row]] = {}
    tokens = 0
    first: dict[tuple[int, ...], int] = {}
    for place, row in enumerate(rows):
        first.setdefault(row.prompt_ids, place)
    for row in sorted(rows, key=lambda row: first[row.prompt_ids]):
        cost = len(row.ids) + (0 if row.prompt_ids in batch else len(row.prompt_ids))
        if batch and tokens + cost > max_tokens:
            yield _pack(batch, device)
            batch, tokens = {}, 0
            cost = len(row.ids) + len(row.prompt_ids)
        batch.setdefault(row.prompt_ids, []).append(row)
        tokens += cost
    if batch:
        yield _pack(batch, device)


def _pack(groups: dict[tuple[int, ...], list[Row]], device: torch.device | str) -> Pack:
    prompts = list(groups)
    tree = prompt_tree(prompts, [[row.ids for row in groups[prompt]] for prompt in prompts], device)
    rows = [row for prompt in prompts for row in groups[prompt]]
    before, owner = [], []
    for place, (row, path) in enumerate(zip(rows, tree.places(tree.depth - 1), strict=True)):
        first = len(row.prompt_ids)
        before.append(torch.from_numpy(path[first - 1 : first - 1 + len(row.ids)]))
        owner.extend([place] * len(row.ids))

    def flat(field: str) -> Tensor:
        return torch.tensor([x for row in rows for x in getattr(row, field)], dtype=torch.float32, device=device)

    return Pack(
        tree=tree,
        before_M=torch.cat(before).to(device),
        targets_M=torch.tensor([i for row in rows for i in row.ids], device=device),
        row_M=torch.tensor(owner, device=device),
        rl_M=flat("rl"),
        ce_M=flat("ce"),
        logprobs_M=flat("logprobs"),
    )
