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
    padded: bool  # whether some queries are padding
    masks: dict[int | None, Tensor] = field(default_factory=dict)
    rows: dict[tuple[bool, int], Tensor] = field(default_factory=dict)

    @property
    def plain(self) -> bool:
        return self.queries_RT.shape[1] * self.keys_RS.shape[1] <= PLAIN_PAIRS

    @property
    def valid_RT(self) -> Tensor:
        """Which queries are tokens and not padding."""
        return torch.arange(self.queries_RT.shape[1], device=self.start_R.device) < self.length_R[:, None]

    def hidden_RTS(self, window: int | None) -> Tensor:
        """Which keys each query does not see. A padding query sees those of its place, so that no row is empty."""
        if window not in self.masks:
            column_S = torch.arange(self.keys_RS.shape[1], device=self.start_R.device)
            place_RT = self.start_R[:, None] + torch.arange(self.queries_RT.shape[1], device=self.start_R.device)
            end_R = self.start_R + self.length_R
            distance_RTS = place_RT[..., None] - column_S
            hidden_RTS = (distance_RTS < 0) | (column_S >= end_R[:, None])[:, None]
            if window is not None:
                hidden_RTS |= (distance_RTS >= window) & self.valid_RT[..., None]
            self.masks[window] = hidden_RTS
        return self.masks[window]

    def of_heads(self, queries: bool, heads: int) -> Tensor:
        """Which row of a flat [N heads, E] stands at each place of the queries [R, heads, T] or keys [R, heads, S]."""
        if (queries, heads) not in self.rows:
            places = self.queries_RT if queries else self.keys_RS
            head = torch.arange(heads, device=places.device)[:, None]
            self.rows[queries, heads] = (places[:, None] * heads + head).flatten()
        return self.rows[queries, heads]

    def gather(self, x_NHE: Tensor, queries: bool) -> Tensor:
        """[R, H, T or S, E] of the flat tensor: one pass, whatever the order of runs and heads."""
        _, heads, size = x_NHE.shape
        rows = x_NHE.reshape(-1, size).index_select(0, self.of_heads(queries, heads))
        return rows.view(len(self.start_R), heads, -1, size)


class Layout:
    """All runs of a pack, cut into batches, and where each flat token stands in their padded outputs."""

    def __init__(self, runs: Sequence[Run], device: torch.device) -> None:
        self.batches: list[Batch] = []
        # of each flat token: the padded places of earlier batches, its run there, its place in that, longest run
        self._stand_4N = np.empty((4, sum(run.length for run in runs)), dtype=np.int64)
        self._rows: dict[int, Tensor] = {}
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
                here = slice(run.first, run.first + run.length)
                self._stand_4N[0, here], self._stand_4N[1, here] = padded, r
                self._stand_4N[2, here], self._stand_4N[3, here] = np.arange(run.length), longest
            padded += queries_RT.size
            length_R = torch.tensor([run.length for run in members], device=device)
            self.batches.append(
                Batch(
                    torch.from_numpy(queries_RT).to(device),
                    torch.from_numpy(keys_RS).to(device),
                    torch.tensor([run.start for run in members], device=device),
                    length_R,
                    padded=any(run.length < longest for run in members),
                )
            )

    def flat(self, padded: list[Tensor]) -> Tensor:
        """[N, H, E] of the batches' [R, H, T, E]."""
        _, heads, _, size = padded[0].shape
        if heads not in self._rows:
            earlier_N, run_N, place_N, longest_N = self._stand_4N[:, :, None]
            rows_NH = earlier_N * heads + (run_N * heads + np.arange(heads)) * longest_N + place_N
            self._rows[heads] = torch.from_numpy(rows_NH.flatten()).to(padded[0].device)
        rows = [x.reshape(-1, size) for x in padded]
        joined = torch.cat(rows) if len(rows) > 1 else rows[0]
        return joined.index_select(0, self._rows[heads]).view(-1, heads, size)


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
            q_RHTE, k_RGSE, v_RGSE = batch.gather(q, True), batch.gather(k, False), batch.gather(v, False)
            if _is_plain(batch, q):
                _, _, values, weights = _weights(q_RHTE, k_RGSE, v_RGSE, batch, window)
                outs.append(torch.bmm(weights, values).view_as(q_RHTE))
            else:
                outs.append(_fused(q_RHTE, k_RGSE, v_RGSE, batch, window))
        return layout.flat(outs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_NHE: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v = ctx.saved_tensors
        layout: Layout = ctx.layout
        grad_q, grad_k, grad_v = [], torch.zeros_like(k), torch.zeros_like(v)
        for batch in layout.batches:
            q_RHTE, k_RGSE, v_RGSE = batch.gather(q, True), batch.gather(k, False), batch.gather(v, False)
            grad_RHTE = batch.gather(grad_NHE, True)
            if batch.padded:
                grad_RHTE.mul_(batch.valid_RT[:, None, :, None])
            backward = _plain_backward if _is_plain(batch, q) else _fused_backward
            dq_RHTE, dk_RGSE, dv_RGSE = backward(q_RHTE, k_RGSE, v_RGSE, grad_RHTE, batch, ctx.window)
            grad_q.append(dq_RHTE)
            rows = batch.of_heads(False, k.shape[1])
            # padding adds zeros to token 0
            grad_k.flatten(0, 1).index_add_(0, rows, dk_RGSE.flatten(0, 2))
            grad_v.flatten(0, 1).index_add_(0, rows, dv_RGSE.flatten(0, 2))
        return layout.flat(grad_q), grad_k, grad_v, None, None


def _is_plain(batch: Batch, q: Tensor) -> bool:
    # the plain products would round scores to a narrow dtype
    return batch.plain and q.dtype in (torch.float32, torch.float64)


def _weights(q_RHTE: Tensor, k_RGSE: Tensor, v_RGSE: Tensor, batch: Batch, window: int | None) -> tuple[Tensor, ...]:
    """Queries (scaled) [R G, Q T, E], keys and values [R G, S, E], and the softmax [R G, Q T, S]: the query heads of
    one key head are more queries of it."""
    runs, heads, longest, size = q_RHTE.shape
    keys, values = k_RGSE.flatten(0, 1), v_RGSE.flatten(0, 1)
    queries = (q_RHTE * size**-0.5).view(len(keys), -1, size)
    scores = torch.bmm(queries, keys.transpose(1, 2))
    scores.view(runs, heads, longest, -1).masked_fill_(batch.hidden_RTS(window)[:, None], -torch.inf)
    return queries, keys, values, scores.softmax(-1)


def _plain_backward(
    q_RHTE: Tensor, k_RGSE: Tensor, v_RGSE: Tensor, grad_RHTE: Tensor, batch: Batch, window: int | None
) -> tuple[Tensor, Tensor, Tensor]:
    queries, keys, values, weights = _weights(q_RHTE, k_RGSE, v_RGSE, batch, window)
    grad = grad_RHTE.view_as(queries)
    grad_values = torch.bmm(weights.transpose(1, 2), grad)
    grad_weights = torch.bmm(grad, values.transpose(1, 2))
    # the backward pass of a softmax: w (dw - sum w dw)
    grad_scores = torch.ops.aten._softmax_backward_data(grad_weights, weights, -1, weights.dtype)
    grad_keys = torch.bmm(grad_scores.transpose(1, 2), queries)
    grad_queries = torch.bmm(grad_scores, keys).mul_(q_RHTE.shape[-1] ** -0.5)
    return grad_queries.view_as(q_RHTE), grad_keys.view_as(k_RGSE), grad_values.view_as(v_RGSE)


def _fused(q_RHTE: Tensor, k_RGSE: Tensor, v_RGSE: Tensor, batch: Batch, window: int | None) -> Tensor:
    return F.scaled_dot_product_attention(
        q_RHTE,
        k_RGSE,
        v_RGSE,
        attn_mask=~batch.hidden_RTS(window)[:, None],
        enable_gqa=q_RHTE.shape[1] != k_RGSE.shape[1],
    )


def _fused_backward(
    q_RHTE: Tensor, k_RGSE: Tensor, v_RGSE: Tensor, grad_RHTE: Tensor, batch: Batch, window: int | None
) -> tuple[Tensor, ...]:
    inputs = [x.detach().requires_grad_() for x in (q_RHTE, k_RGSE, v_RGSE)]
    with torch.enable_grad():
        out_RHTE = _fused(inputs[0], inputs[1], inputs[2], batch, window)
    return torch.autograd.grad(out_RHTE, inputs, grad_RHTE)


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
