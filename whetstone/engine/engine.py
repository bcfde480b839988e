"""The local engine: batches of groups, each prompt computed once, finished sequences leaving the batch.

It holds no copy of the weights: it samples from the module that the trainer updates (DESIGN law 1).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch

from whetstone.engine.cache import DecodingCache
from whetstone.engine.protocol import Completion, Finish, Progress, Request, SamplingParams
from whetstone.engine.sampling import choose, uniforms
from whetstone.errors import WorkFailed
from whetstone.models.decoder import Decoder, narrow_weights
from whetstone.models.packing import prompt_tree

# Finished rows are dropped once this share of the batch is idle: a drop copies the cache, an idle row costs a step.
IDLE_SHARE = 0.2


@dataclass
class _Sequence:
    request: int
    seed: int
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    finish: Literal["", "stop", "length"] = ""


class Engine:
    """Samples from `model` in place. `weight_version` is stamped on each completion; the trainer counts it up."""

    def __init__(self, model: Decoder, max_rows: int = 128, cache_bytes: int = 6 << 30) -> None:
        self.model = model
        self.max_rows = max_rows
        self.cache_bytes = cache_bytes
        self.weight_version = 0

    @torch.inference_mode()
    def sample(
        self, requests: Sequence[Request], params: SamplingParams, progress: Progress | None = None
    ) -> list[list[Completion]]:
        """See `Sampler.sample`. Raises ValueError for an empty prompt or no room for a single new token, WorkFailed
        for a model whose output is not a number."""
        if params.max_new_tokens < 1 or any(not request.prompt_ids for request in requests):
            raise ValueError("every prompt needs a token, and max_new_tokens must be at least 1")
        sequences = [_Sequence(r, seed) for r, request in enumerate(requests) for seed in request.seeds]
        done = 0
        with narrow_weights(self.model):
            for batch in self._batches(requests, sequences, params):
                for finished in self._decode(requests, batch, params):
                    done += finished
                    if progress is not None:
                        progress(done, len(sequences))
        results: list[list[Completion]] = [[] for _ in requests]
        for s in sequences:
            finish: Finish = "stop" if s.finish == "stop" else "length"
            results[s.request].append(Completion(tuple(s.ids), tuple(s.logprobs), finish, self.weight_version))
        return results

    def _batches(
        self, requests: Sequence[Request], sequences: list[_Sequence], params: SamplingParams
    ) -> Iterator[list[_Sequence]]:
        """Runs of sequences, in order, whose cache fits; a group stays together where the batch has room for it."""
        per_token = self.model.config.kv_bytes_per_token
        batch: list[_Sequence] = []
        longest = 0
        for sequence in sequences:
            width = len(requests[sequence.request].prompt_ids) + params.max_new_tokens
            grown = max(longest, width)
            if batch and (len(batch) == self.max_rows or grown * (len(batch) + 1) * per_token > self.cache_bytes):
                yield batch
                batch, grown = [], width
            batch.append(sequence)
            longest = grown
        if batch:
            yield batch

    def _prefill(
        self, requests: Sequence[Request], batch: list[_Sequence], room: int
    ) -> tuple[DecodingCache, torch.Tensor]:
        """Compute each distinct prompt once; returns the filled cache and the last hidden state of each row [B, D]."""
        distinct = list(dict.fromkeys(requests[s.request].prompt_ids for s in batch))
        tree = prompt_tree(distinct, device=self.model.device)
        tree.record()
        hidden_ND = self.model(tree.ids_N, tree.positions_N, tree)
        flat_places = tree.places(tree.depth - 1)
        row_prompt = {prompt: p for p, prompt in enumerate(distinct)}
        prompts_B = [row_prompt[requests[s.request].prompt_ids] for s in batch]
        lengths_B = np.array([len(distinct[p]) for p in prompts_B], dtype=np.int64)
        places_BC = np.zeros((len(batch), int(lengths_B.max())), dtype=np.int64)
        for row, p in enumerate(prompts_B):
            places_BC[row, places_BC.shape[1] - len(flat_places[p]) :] = flat_places[p]
        cache = DecodingCache(self.model.config, tree, places_BC, lengths_B, room)
        return cache, hidden_ND[torch.from_numpy(places_BC[:, -1].copy()).to(self.model.device)]

    def _decode(self, requests: Sequence[Request], batch: list[_Sequence], params: SamplingParams) -> Iterator[int]:
        """Run one batch to its end; yields how many sequences finished at each step."""
        cache, hidden_BD = self._prefill(requests, batch, params.max_new_tokens)
        rows = list(batch)
        seeds_B = np.array([s.seed for s in rows], dtype=np.uint64)
        for position in range(params.max_new_tokens):
            chance = None if params.temperature == 0 else uniforms(seeds_B, position)
            ids_B, logprobs_B = choose(self.model.logits(hidden_BD), params.temperature, chance)
            last = position + 1 == params.max_new_tokens
            yield _append(rows, ids_B.tolist(), logprobs_B.tolist(), params.stop_ids, last)
            active = [row for row, s in enumerate(rows) if not s.finish]
            if not active:
                return
            if len(active) <= (1 - IDLE_SHARE) * len(rows):
                index = torch.tensor(active, device=self.model.device)
                cache.keep(index)
                rows, seeds_B, ids_B = [rows[row] for row in active], seeds_B[active], ids_B[index]
            hidden_BD = self.model(ids_B, cache.positions_B, cache)
            cache.advance()


def _append(rows: list[_Sequence], ids: list[int], logprobs: list[float], stop: frozenset[int], last: bool) -> int:
    """Append one token to every unfinished row; returns how many rows finished by it."""
    finished = 0
    for sequence, token, logprob in zip(rows, ids, logprobs, strict=True):
        if sequence.finish:
            continue
        if math.isnan(logprob):
            raise WorkFailed("the model's output is not a number: its weights are damaged, or training diverged")
        sequence.ids.append(token)
        sequence.logprobs.append(logprob)
        if token in stop or last:
            sequence.finish = "stop" if token in stop else "length"
            finished += 1
    return finished
