"""The trainer. It knows rows, weights and an optimizer; it does not know which algorithm made the weights."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from whetstone.errors import WorkFailed
from whetstone.models.decoder import Decoder
from whetstone.runs.allocator import keep_freed_memory
from whetstone.training.determinism import deterministic
from whetstone.training.logprobs import token_logprobs
from whetstone.training.objectives import Objective, log_ratio
from whetstone.training.rows import Pack, Row, packs


@dataclass(frozen=True)
class Schedule:
    """Linear warm-up, a plateau, then a linear descent to `floor` of the peak over the last `descent` of the steps."""

    peak: float
    steps: int
    warmup: int = 3
    descent: float = 0.8
    floor: float = 0.1

    def rate(self, step: int) -> float:
        """Learning rate of `step` (from 0)."""
        rise = min(1.0, (step + 1) / (self.warmup + 1))
        falling = max(1.0, self.descent * self.steps)
        left = min(1.0, (self.steps - step) / falling)
        return self.peak * rise * max(self.floor, left)


@dataclass(frozen=True)
class StepResult:
    """Sums and means over one optimizer step, for the metrics."""

    loss: float
    entropy: float
    ratio_mean: float
    mismatch_kl: float
    masked: float
    grad_norm: float
    learning_rate: float
    response_tokens: int
    forward_tokens: int


class Trainer:
    """AdamW (0.9, 0.95), no weight decay, gradient norm clipped: one `step` per batch of rows."""

    def __init__(
        self,
        model: Decoder,
        parameters: Iterable[tuple[str, nn.Parameter]],
        schedule: Schedule,
        clip_norm: float = 1.0,
        max_tokens: int = 4096,
        temperature: float = 1.0,
    ) -> None:
        """`temperature` is the one that the rows were sampled at: the policy that is trained is the tempered one."""
        self.model = model
        self.schedule = schedule
        self.clip_norm = clip_norm
        self.max_tokens = max_tokens
        self.temperature = temperature
        self.steps = 0
        if model.device.type == "cpu":
            keep_freed_memory()
        self.parameters = dict(parameters)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name in self.parameters)
        self.optimizer = torch.optim.AdamW(
            list(self.parameters.values()), lr=schedule.peak, betas=(0.9, 0.95), weight_decay=0.0, fused=True
        )

    def step(self, rows: Sequence[Row], objective: Objective) -> StepResult:
        """One optimizer step on `rows`. Raises WorkFailed before touching a weight when the loss is not finite."""
        totals = _Totals(
            rl_tokens=sum(1 for row in rows for weight in row.rl if weight),
            ce_tokens=sum(1 for row in rows for weight in row.ce if weight),
        )
        with deterministic(self.model.device):
            return self._step(rows, objective, totals)

    def _step(self, rows: Sequence[Row], objective: Objective, totals: _Totals) -> StepResult:
        self.optimizer.zero_grad(set_to_none=True)
        for pack in packs(rows, self.max_tokens, self.model.device):
            self._accumulate(pack, objective, totals)
        norm = self._gradient_norm()
        if not math.isfinite(norm) or not math.isfinite(totals.loss):
            self.optimizer.zero_grad(set_to_none=True)
            raise WorkFailed(
                f"step {self.steps + 1}: the loss or its gradient is not finite (gradient norm {norm}); "
                "start again with a lower --learning-rate (the last checkpoint is intact)"
            )
        if norm > self.clip_norm:  # most steps are spared a pass over all gradients
            torch.nn.utils.clip_grads_with_norm_(self.parameters.values(), self.clip_norm, torch.tensor(norm))
        rate = self.schedule.rate(self.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.steps += 1
        return totals.result(norm, rate)

    def _gradient_norm(self) -> float:
        gradients = [parameter.grad for parameter in self.parameters.values() if parameter.grad is not None]
        return float(torch.nn.utils.get_total_norm(gradients))

    def rehearse(self, rows: Sequence[Row], objective: Objective) -> None:
        """The work of a step without its effect, to time it."""
        # at least one, so that a batch without signal costs what one with signal will
        totals = _Totals(rl_tokens=max(1, sum(1 for row in rows for weight in row.rl if weight)), ce_tokens=0)
        with deterministic(self.model.device):
            for pack in packs(rows, self.max_tokens, self.model.device):
                self._accumulate(pack, objective, totals)
        self.optimizer.zero_grad(set_to_none=True)

    def skip(self) -> StepResult:
        """A step without a row to learn from: the weights stay, the schedule moves on."""
        rate = self.schedule.rate(self.steps)
        self.steps += 1
        return _Totals(rl_tokens=0, ce_tokens=0).result(0.0, rate)

    def _accumulate(self, pack: Pack, objective: Objective, totals: _Totals) -> None:
        hidden_ND = self.model(pack.tree.ids_N, pack.tree.positions_N, pack.tree)
        place_U, place_M = pack.before_M.unique(return_inverse=True)
        # logits are linear in the hidden state, so dividing that is dividing them
        hidden_UD = hidden_ND.index_select(0, place_U).float() / self.temperature
        logprobs_M, entropy_M = token_logprobs(hidden_UD, self.model.head_weight_VD, pack.targets_M, place_M)
        loss = logprobs_M.new_zeros(())
        counted_M = pack.rl_M != 0
        if totals.rl_tokens:
            loss_M, mask_M = objective(logprobs_M, pack.logprobs_M, pack.rl_M)
            loss = loss + (loss_M * counted_M).sum() / totals.rl_tokens
            totals.masked += float((~mask_M & counted_M).sum())
        if totals.ce_tokens:
            loss = loss - (logprobs_M * pack.ce_M).sum() / totals.ce_tokens
        if loss.requires_grad:  # a batch in which no token has weight has no gradient
            loss.backward()
        totals.add(float(loss.detach()), logprobs_M.detach(), entropy_M, pack, counted_M)


@dataclass
class _Totals:
    rl_tokens: int
    ce_tokens: int
    loss: float = 0.0
    entropy: float = 0.0
    ratio: float = 0.0
    mismatch: float = 0.0
    masked: float = 0.0
    tokens: int = 0
    forward_tokens: int = 0

    def add(self, loss: float, logprobs_M: Tensor, entropy_M: Tensor, pack: Pack, counted_M: Tensor) -> None:
        self.loss += loss
        self.entropy += float(entropy_M.sum())
        # fp64: on policy the log ratio is rounding noise, whose exponential fp32 cannot tell from one
        log_ratio_M = log_ratio(logprobs_M, pack.logprobs_M)[counted_M].double()
        self.ratio += float(log_ratio_M.exp().sum())
        # Schulman's k3 estimate of KL(sampler || policy): never negative, low variance
        self.mismatch += float((log_ratio_M.expm1() - log_ratio_M).sum())
        self.tokens += logprobs_M.numel()
        self.forward_tokens += pack.tree.tokens

    def result(self, norm: float, rate: float) -> StepResult:
        rl, tokens = max(self.rl_tokens, 1), max(self.tokens, 1)
        return StepResult(
            loss=self.loss,
            entropy=self.entropy / tokens,
            ratio_mean=self.ratio / rl,
            mismatch_kl=self.mismatch / rl,
            masked=self.masked / rl,
            grad_norm=norm,
            learning_rate=rate,
            response_tokens=self.tokens,
            forward_tokens=self.forward_tokens,
        )
