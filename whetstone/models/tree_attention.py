"""Attention over packed tokens: every run of tokens attends to the path that leads to it and to itself.

A *run* is a stretch of consecutive flat tokens, each the successor of the one before; its *path* is every token from
the root to its end. Runs of like length share one batched product ("a batch"); how to cut the runs into batches follows
from what padding and one more call cost. Nothing is kept for the backward pass but flat queries, keys and values.

Shapes in names: N flat tokens, R runs of a batch, T longest run, S longest path, H query heads, G key-value heads,
Q = H / G query heads per key head, E head size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

# What one more batch costs, in query-key pairs of padding: about 0.3 ms of calls against 0.1 us a pair (nine heads).
CALL_PAIRS = 4096
# Up to so many pairs a run, plain products are quicker than the fused kernel (twice at 11 x 58, level at 128 x 192).
PLAIN_PAIRS = 1 << 15


@dataclass(frozen=True)
class Run:
    """`length` tokens from flat place `first` on; `path` are the flat places from the root to the run's end."""

    first: int
    length: int
    path: np.ndarray

    @property
    def start(self) -> int:
        """The position of the run's first token in its sequence."""
        return len(self.path) - self.length


@dataclass
class Batch:
    """Runs that share one product. Padded queries stand in for the run's first token, padded keys for token 0."""

    queries_RT: Tensor  # flat place of each query
    keys_RS: Tensor  # flat place of each key; the key in column s has position s
    start_R: Tensor
    length_R: Tensor
    masks: dict[int | None, Tensor] = field(default_factory=dict)

    @property
    def plain(self) -> bool:
        return self.queries_RT.shape[1] * self.keys_RS.shape[1] <= PLAIN_PAIRS

    @property
    def valid_RT(self) -> Tensor:
        """Which queries are tokens and not padding."""
        return torch.arange(self.queries_RT.shape[1], device=self.start_R.device) < self.length_R[:, None]

    def seen_RTS(self, window: int | None) -> Tensor:
        """Which keys each query sees. A padding query keeps those of its place, so that no softmax row is empty."""
        if window not in self.masks:
            column_S = torch.arange(self.keys_RS.shape[1], device=self.start_R.device)
            place_RT = self.start_R[:, None] + torch.arange(self.queries_RT.shape[1], device=self.start_R.device)
            end_R = self.start_R + self.length_R
            distance_RTS = place_RT[..., None] - column_S
            seen_RTS = (distance_RTS >= 0) & (column_S < end_R[:, None])[:, None]
            if window is not None:
                seen_RTS &= (distance_RTS < window) | ~self.valid_RT[..., None]
            self.masks[window] = seen_RTS
        return self.masks[window]


class Layout:
    """All runs of a pack, cut into batches, and where each flat token stands in their padded outputs."""

    def __init__(self, runs: Sequence[Run], device: torch.device) -> None:
        self.batches: list[Batch] = []
        tokens = sum(run.length for run in runs)
        place_N = np.empty(tokens, dtype=np.int64)
        padded = 0
        for members in _cut(runs):
            longest = max(run.length for run in members)
            widest = max(len(run.path) for run in members)
            queries_RT = np.empty((len(members), longest), dtype=np.int64)
            keys_RS = np.zeros((len(members), widest), dtype=np.int64)
            for r, run in enumerate(members):
                queries_RT[r] = run.first
                queries_RT[r, : run.length] += np.arange(run.length)
                keys_RS[r, : len(run.path)] = run.path
                place_N[run.first : run.first + run.length] = padded + r * longest + np.arange(run.length)
            padded += queries_RT.size
            start_R = torch.tensor([run.start for run in members], device=device)
            length_R = torch.tensor([run.length for run in members], device=device)
            self.batches.append(Batch(_on(queries_RT, device), _on(keys_RS, device), start_R, length_R))
        self.place_N = _on(place_N, device)


def attend(q_NHE: Tensor, k_NGE: Tensor, v_NGE: Tensor, layout: Layout, window: int | None) -> Tensor:
    """Softmax attention [N, H, E] with scale E**-0.5 of every token over its path, or its last `window` tokens."""
    mixed: Tensor = _TreeAttention.apply(q_NHE, k_NGE, v_NGE, layout, window)
    return mixed


class _TreeAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, layout: Layout, window: int | None) -> Tensor:
        ctx.save_for_backward(q, k, v)
        ctx.layout, ctx.window = layout, window
        outs = []
        for batch in layout.batches:
            q_RTHE, k_RSGE, v_RSGE = q[batch.queries_RT], _rows(k, batch.keys_RS), _rows(v, batch.keys_RS)
            if _is_plain(batch, q):
                _, _, values, weights = _weights(q_RTHE, k_RSGE, v_RSGE, batch, window)
                out = _unfold(torch.bmm(weights, values), q_RTHE)
            else:
                out = _fused(q_RTHE, k_RSGE, v_RSGE, batch, window)
            outs.append(out.reshape(-1, *q.shape[1:]))
        return _flat(outs, layout)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_NHE: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v = ctx.saved_tensors
        layout: Layout = ctx.layout
        grad_q, grad_k, grad_v = [], torch.zeros_like(k), torch.zeros_like(v)
        for batch in layout.batches:
            q_RTHE, k_RSGE, v_RSGE = q[batch.queries_RT], _rows(k, batch.keys_RS), _rows(v, batch.keys_RS)
            grad_RTHE = grad_NHE[batch.queries_RT] * batch.valid_RT[..., None, None]
            backward = _plain_backward if _is_plain(batch, q) else _fused_backward
            dq_RTHE, dk_RSGE, dv_RSGE = backward(q_RTHE, k_RSGE, v_RSGE, grad_RTHE, batch, ctx.window)
            grad_q.append(dq_RTHE.reshape(-1, *q.shape[1:]))
            # padding adds zeros to token 0
            grad_k.flatten(1).index_add_(0, batch.keys_RS.flatten(), dk_RSGE.reshape(-1, grad_k[0].numel()))
            grad_v.flatten(1).index_add_(0, batch.keys_RS.flatten(), dv_RSGE.reshape(-1, grad_v[0].numel()))
        return _flat(grad_q, layout), grad_k, grad_v, None, None


def _is_plain(batch: Batch, q: Tensor) -> bool:
    # the plain products would round scores to a narrow dtype
    return batch.plain and q.dtype in (torch.float32, torch.float64)


def _rows(x_NGE: Tensor, places_RS: Tensor) -> Tensor:
    return x_NGE.index_select(0, places_RS.flatten()).unflatten(0, places_RS.shape)


def _flat(padded: list[Tensor], layout: Layout) -> Tensor:
    """Each flat token's row of the batches' padded outputs."""
    return (torch.cat(padded) if len(padded) > 1 else padded[0]).index_select(0, layout.place_N)


def _fold(x_RTHE: Tensor, kv_heads: int) -> Tensor:
    """[R, T, H, E] -> [R G, Q T, E]: the query heads of one key head become more queries of it."""
    x_RTGQE = x_RTHE.unflatten(2, (kv_heads, -1))
    return x_RTGQE.permute(0, 2, 3, 1, 4).reshape(-1, x_RTGQE.shape[3] * x_RTGQE.shape[1], x_RTGQE.shape[4])


def _unfold(x: Tensor, like_RTHE: Tensor) -> Tensor:
    """The inverse of `_fold`."""
    runs, longest, heads, size = like_RTHE.shape
    return x.view(runs, heads, longest, size).transpose(1, 2)


def _weights(q_RTHE: Tensor, k_RSGE: Tensor, v_RSGE: Tensor, batch: Batch, window: int | None) -> tuple[Tensor, ...]:
    """Folded queries (scaled), keys and values [R G, ., E], and the softmax [R G, Q T, S]."""
    runs, longest, heads, size = q_RTHE.shape
    folded = _fold(q_RTHE, k_RSGE.shape[2]) * size**-0.5
    keys, values = (x.transpose(1, 2).flatten(0, 1) for x in (k_RSGE, v_RSGE))
    scores = torch.bmm(folded, keys.transpose(1, 2))
    hidden_RTS = ~batch.seen_RTS(window)
    scores.view(runs, heads, longest, -1).masked_fill_(hidden_RTS[:, None], -torch.inf)
    return folded, keys, values, scores.softmax(-1)


def _plain_backward(
    q_RTHE: Tensor, k_RSGE: Tensor, v_RSGE: Tensor, grad_RTHE: Tensor, batch: Batch, window: int | None
) -> tuple[Tensor, Tensor, Tensor]:
    folded, keys, values, weights = _weights(q_RTHE, k_RSGE, v_RSGE, batch, window)
    runs, _, kv_heads, size = k_RSGE.shape
    grad = _fold(grad_RTHE, kv_heads)
    grad_values = torch.bmm(weights.transpose(1, 2), grad)
    grad_weights = torch.bmm(grad, values.transpose(1, 2))
    # the backward pass of a softmax: w (dw - sum w dw)
    grad_scores = torch.ops.aten._softmax_backward_data(grad_weights, weights, -1, weights.dtype)
    grad_keys = torch.bmm(grad_scores.transpose(1, 2), folded)
    grad_queries = torch.bmm(grad_scores, keys).mul_(size**-0.5)
    dk, dv = (x.unflatten(0, (runs, kv_heads)).transpose(1, 2) for x in (grad_keys, grad_values))
    return _unfold(grad_queries, q_RTHE), dk, dv


def _fused(q_RTHE: Tensor, k_RSGE: Tensor, v_RSGE: Tensor, batch: Batch, window: int | None) -> Tensor:
    mixed_RHTE = F.scaled_dot_product_attention(
        q_RTHE.transpose(1, 2),
        k_RSGE.transpose(1, 2),
        v_RSGE.transpose(1, 2),
        attn_mask=batch.seen_RTS(window)[:, None],
        enable_gqa=q_RTHE.shape[2] != k_RSGE.shape[2],
    )
    return mixed_RHTE.transpose(1, 2)


def _fused_backward(
    q_RTHE: Tensor, k_RSGE: Tensor, v_RSGE: Tensor, grad_RTHE: Tensor, batch: Batch, window: int | None
) -> tuple[Tensor, ...]:
    inputs = [x.detach().requires_grad_() for x in (q_RTHE, k_RSGE, v_RSGE)]
    with torch.enable_grad():
        out_RTHE = _fused(inputs[0], inputs[1], inputs[2], batch, window)
    return torch.autograd.grad(out_RTHE, inputs, grad_RTHE)


def _cut(runs: Sequence[Run]) -> list[list[Run]]:
    """Batches of runs that are cheapest in padded query-key pairs plus `CALL_PAIRS` for each batch.

    Longest first, so that a batch is a stretch of the sorted runs; the best cuts by dynamic programming over the
    distinct lengths.
    """
    ordered = sorted(runs, key=lambda run: (-run.length, -len(run.path), run.first))
    length = np.array([run.length for run in ordered])
    path = np.array([len(run.path) for run in ordered])
    begin = np.flatnonzero(np.diff(length, prepend=-1))  # of each distinct length
    end = np.append(begin[1:], len(ordered))
    widest = np.maximum.reduceat(path, begin)
    best, cut = np.zeros(len(begin) + 1), np.zeros(len(begin) + 1, dtype=np.int64)
    for last in range(len(begin)):  # the last length of a batch, tried from every first one
        width = np.maximum.accumulate(widest[last::-1])[::-1]
        pairs = (end[last] - begin[: last + 1]) * length[begin[: last + 1]] * width
        cost = best[: last + 1] + pairs + CALL_PAIRS
        cut[last + 1] = int(cost.argmin())
        best[last + 1] = cost[cut[last + 1]]
    batches, last = [], len(begin)
    while last:
        first = int(cut[last])
        batches.append(ordered[begin[first] : end[last - 1]])
        last = first
    return batches[::-1]


def _on(array: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(array).to(device)
