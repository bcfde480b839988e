"""The trainer: one batch is one batch however it is cut, only what has weight counts, and failure changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import AutoModelForCausalLM

from tests.tiny import tiny_folder, tiny_model
from tests.training.small import some_rows, tiny_loaded, token_logprobs_apart
from whetstone.errors import WorkFailed
from whetstone.models.decoder import Decoder
from whetstone.models.loading import add_lora, load
from whetstone.models.packing import TokenTrie
from whetstone.training.objectives import OBJECTIVES, Objective, trust_region
from whetstone.training.rows import Row, packs
from whetstone.training.trainer import Schedule, StepResult, Trainer

SCHEDULE = Schedule(peak=1e-2, steps=10)


def make(model: Decoder, **options: object) -> Trainer:
    return Trainer(model, model.named_parameters(), SCHEDULE, **{"clip_norm": 1e9, **options})


def weights(model: Decoder) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def assert_same_bits(model: Decoder, before: dict[str, Tensor]) -> None:
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, before[name]), name


def gradients_of(rows: list[Row], objective: Objective, **options: object) -> tuple[dict[str, Tensor], StepResult]:
    """Gradients as they stood when the optimizer took its step, from the same weights each time."""
    model = tiny_model(seed=8)
    result = make(model, **options).step(rows, objective)
    return {name: parameter.grad for name, parameter in model.named_parameters()}, result


def assert_close(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    # rows that pull in opposite directions may cancel: what is left then is rounding of rows that are of size one
    largest = max(0.1, *(float(gradient.abs().max()) for gradient in theirs.values()))
    for name, gradient in ours.items():
        torch.testing.assert_close(gradient, theirs[name], rtol=1e-4, atol=1e-6 * largest, msg=name)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_accumulation_equals_one_big_batch(name: str) -> None:
    """Off policy, with tokens masked, so that nothing cancels by luck."""
    rows = some_rows(tiny_model(seed=8), count=12, shift=1.5)
    rows = [replace(row, ce=tuple(0.5 for _ in row.ids)) if place % 4 == 0 else row for place, row in enumerate(rows)]
    sure = (-0.1,) * len(rows[4].ids)  # of a sampler far surer than the policy: beyond every trust region
    rows[4] = replace(rows[4], rl=(-1.0,) * len(rows[4].ids), logprobs=sure)
    whole, expected = gradients_of(rows, OBJECTIVES[name])
    for max_tokens in (1, 12, 30):
        assert len(list(packs(rows, max_tokens, "cpu"))) >= 2
        ours, result = gradients_of(rows, OBJECTIVES[name], max_tokens=max_tokens)
        assert_close(ours, whole)
        for field in ("loss", "entropy", "ratio_mean", "mismatch_kl", "masked", "grad_norm", "response_tokens"):
            assert getattr(result, field) == pytest.approx(getattr(expected, field), rel=1e-4, abs=1e-6), field
        # prompts computed again, once per pack, unless every pack ends with a prompt's rows
        assert result.forward_tokens > expected.forward_tokens or max_tokens == 30
    assert expected.masked > 0 or name == "reinforce"


def test_order_of_rows_changes_nothing() -> None:
    rows = some_rows(tiny_model(seed=8), shift=0.5)
    for max_tokens in (12, 4096):
        forward, _ = gradients_of(rows, trust_region, max_tokens=max_tokens)
        backward, _ = gradients_of(rows[::-1], trust_region, max_tokens=max_tokens)
        assert_close(backward, forward)


def test_packs_hold_every_row_once_and_each_prompt_once() -> None:
    rows = some_rows(tiny_model(seed=8), count=12)
    order = list(dict.fromkeys(row.prompt_ids for row in rows))
    for max_tokens in (1, 15, 40, 4096):
        left = sorted(rows, key=lambda row: order.index(row.prompt_ids))
        for pack in packs(rows, max_tokens, "cpu"):
            start = count = 0
            while start < len(pack.targets_M):
                row = left.pop(0)
                mine = slice(start, start + len(row.ids))
                assert pack.targets_M[mine].tolist() == list(row.ids)
                # the token before each response token, by its position and by what it is
                before = pack.before_M[mine]
                assert pack.tree.ids_N[before].tolist() == [row.prompt_ids[-1], *row.ids[:-1]]
                first = len(row.prompt_ids) - 1
                assert pack.tree.positions_N[before].tolist() == list(range(first, first + len(row.ids)))
                for field in ("rl", "ce", "logprobs"):
                    assert getattr(pack, f"{field}_M")[mine].tolist() == pytest.approx(getattr(row, field))
                start, count = mine.stop, count + 1
            assert pack.tree.tokens <= max_tokens or count == 1
        assert left == []
    [whole] = packs(rows, 4096, "cpu")
    prompts = {row.prompt_ids for row in rows}
    beginnings = {row.prompt_ids + row.ids[:end] for row in rows for end in range(1, len(row.ids))}
    assert whole.tree.tokens == sum(map(len, prompts)) + len(beginnings)


def test_the_gradient_of_a_step_is_the_sum_over_rows_apart() -> None:
    """Against the formula itself: -(1/N) sum of A * d log p, N the response tokens of the whole batch."""
    model = tiny_model(seed=8)
    rows = some_rows(model)
    tokens = sum(len(row.ids) for row in rows)
    together, result = gradients_of(rows, trust_region)
    loss = torch.zeros(())
    with torch.enable_grad():
        for row in rows:
            logprobs = token_logprobs_apart.__wrapped__(model, row.prompt_ids, row.ids)
            loss = loss - (logprobs * torch.tensor(row.rl)).sum() / tokens
    names, parameters = zip(*model.named_parameters(), strict=True)
    assert_close(together, dict(zip(names, torch.autograd.grad(loss, parameters), strict=True)))
    advantages = [advantage for row in rows for advantage in row.rl]
    assert result.loss == pytest.approx(-sum(advantages) / tokens, abs=1e-6)
    assert result.response_tokens == tokens


# few tokens: answers that agree for a while, are beginnings of one another, or are equal; also of one token
answers = st.lists(
    st.tuples(
        st.integers(0, 1), st.lists(st.integers(5, 6), min_size=1, max_size=6), st.sampled_from([-1.0, 0.5, 2.0])
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=40, deadline=None)
@given(answers, st.sampled_from([4096, 12, 1]), st.floats(0, 2), st.sampled_from(list(OBJECTIVES)))
def test_answers_that_share_beginnings_are_trained_as_if_apart(
    answers: list[tuple[int, list[int], float]], max_tokens: int, shift: float, name: str
) -> None:
    """Each row has an advantage and sampler's log-probabilities of its own, however much it shares with others."""
    model = tiny_model(seed=8)
    generator = torch.Generator().manual_seed(len(answers))
    rows, loss, entropy = [], torch.zeros(()), 0.0
    tokens = sum(len(ids) for _, ids, _ in answers)
    for prompt, ids, advantage in answers:
        prompt_ids = ((7, 8, 9), (7, 8, 10, 11))[prompt]
        own = token_logprobs_apart.__wrapped__(model, prompt_ids, ids)
        sampler = own.detach() + shift * (torch.rand(len(ids), generator=generator) - 0.5)
        fixed = (advantage,) * len(ids)
        rows.append(Row(prompt_ids, tuple(ids), fixed, (0.25,) * len(ids), tuple(sampler.tolist())))
        loss = loss + OBJECTIVES[name](own, sampler, torch.tensor(fixed))[0].sum() / tokens - own.sum() * 0.25 / tokens
        entropy += entropy_apart(model, prompt_ids, ids) / tokens
    ours, result = gradients_of(rows, OBJECTIVES[name], max_tokens=max_tokens)
    names, parameters = zip(*model.named_parameters(), strict=True)
    assert_close(ours, dict(zip(names, torch.autograd.grad(loss, parameters), strict=True)))
    assert result.loss == pytest.approx(loss.item(), rel=1e-4, abs=1e-5)
    assert result.entropy == pytest.approx(entropy, rel=1e-4) and result.response_tokens == tokens


@torch.no_grad()
def entropy_apart(model: Decoder, prompt: tuple[int, ...], ids: list[int]) -> float:
    """Sum over the response tokens, by a forward pass over this one sequence."""
    tree = TokenTrie([[*prompt, *ids]])
    logprobs_TV = model.logits(model(tree.ids_N, tree.positions_N, tree)[len(prompt) - 1 : -1]).log_softmax(-1)
    return -float((logprobs_TV.exp() * logprobs_TV).sum())


def test_equal_answers_are_computed_once_and_the_last_token_never() -> None:
    row = Row((7, 8, 9), (5, 6, 5), (1.0,) * 3, (0.0,) * 3, (-1.0,) * 3)
    one_token = replace(row, ids=(6,), rl=(1.0,), ce=(0.0,), logprobs=(-1.0,))
    [pack] = packs([row] * 16 + [one_token], 4096, "cpu")
    assert pack.tree.ids_N.tolist() == [7, 8, 9, 5, 6]
    assert pack.before_M.tolist() == [2, 3, 4] * 16 + [2]
    _, result = gradients_of([row] * 16 + [one_token], trust_region)
    assert (result.forward_tokens, result.response_tokens) == (5, 16 * 3 + 1)


def test_rows_and_tokens_without_weight_change_nothing() -> None:
    rows = some_rows(tiny_model(seed=8), shift=0.3)
    plain, expected = gradients_of(rows, trust_region)
    idle = [replace(row, rl=(0.0,) * len(row.ids), logprobs=(-3.0,) * len(row.ids)) for row in rows[:4]]
    longer = [
        replace(
            row,
            ids=(*row.ids, 50, 51),
            rl=(*row.rl, 0.0, 0.0),
            ce=(*row.ce, 0.0, 0.0),
            logprobs=(*row.logprobs, 0.0, -9.0),
        )
        for row in rows
    ]
    for padded in ([*idle, *rows], [*rows, *idle], longer):
        for max_tokens in (10, 4096):
            ours, result = gradients_of(padded, trust_region, max_tokens=max_tokens)
            assert_close(ours, plain)
            for field in ("loss", "ratio_mean", "mismatch_kl", "masked"):
                assert getattr(result, field) == pytest.approx(getattr(expected, field), rel=1e-4, abs=1e-6), field


def test_a_batch_in_which_nothing_has_weight_leaves_the_weights_alone() -> None:
    model = tiny_model(seed=8)
    rows = [replace(row, rl=(0.0,) * len(row.ids)) for row in some_rows(model)]
    before = weights(model)
    trainer = make(model)
    trainer.rehearse(rows, trust_region)
    result = trainer.step(rows, trust_region)
    assert (result.loss, result.grad_norm, trainer.steps) == (0.0, 0.0, 1)
    assert_same_bits(model, before)


def test_on_policy_the_ratio_is_one_at_the_temperature_of_the_rows() -> None:
    for temperature in (0.7, 1.0, 1.4):
        rows = some_rows(tiny_model(seed=8), temperature=temperature)
        _, result = gradients_of(rows, trust_region, temperature=temperature)
        assert result.ratio_mean == pytest.approx(1, abs=1e-5) and 0 <= result.mismatch_kl < 1e-9
        _, other = gradients_of(rows, trust_region, temperature=temperature + 0.5)
        assert other.mismatch_kl > 1e-3


def sft_rows() -> list[Row]:
    return [replace(row, rl=(0.0,) * len(row.ids), ce=(1.0,) * len(row.ids)) for row in some_rows(tiny_model(seed=8))]


def test_sft_loss_is_the_mean_cross_entropy() -> None:
    model, rows = tiny_model(seed=8), sft_rows()
    [whole] = packs(rows, 4096, "cpu")
    with torch.no_grad():
        hidden_ND = model(whole.tree.ids_N, whole.tree.positions_N, whole.tree)
        expected = F.cross_entropy(model.logits(hidden_ND[whole.before_M]), whole.targets_M)
    apart = torch.cat([token_logprobs_apart(model, row.prompt_ids, row.ids) for row in rows])
    for max_tokens in (10, 4096):
        _, result = gradients_of(rows, trust_region, max_tokens=max_tokens)
        assert result.loss == pytest.approx(float(expected), rel=1e-5)
        assert result.loss == pytest.approx(-float(apart.mean()), rel=1e-5)


@pytest.mark.parametrize("family", ["qwen3", "llama"])
def test_sft_loss_and_gradients_equal_those_of_transformers(family: str, tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "model", seed=8, family=family, tied=False)
    model = load(str(folder)).model
    theirs = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager")
    rows = sft_rows()
    longest = max(len(row.prompt_ids) + len(row.ids) for row in rows)
    ids, labels, mask = (torch.full((len(rows), longest), fill) for fill in (0, -100, 0))
    for place, row in enumerate(rows):
        first, end = len(row.prompt_ids), len(row.prompt_ids) + len(row.ids)
        ids[place, :end] = torch.tensor([*row.prompt_ids, *row.ids])
        labels[place, first:end] = torch.tensor(row.ids)
        mask[place, :end] = 1
    loss = theirs(input_ids=ids, attention_mask=mask, labels=labels).loss
    loss.backward()
    result = make(model).step(rows, trust_region)
    assert result.loss == pytest.approx(loss.item(), rel=1e-5)
    for ours, other in (
        (model.embed.weight, theirs.model.embed_tokens.weight),
        (model.head.weight, theirs.lm_head.weight),
        (model.layers[0].mixer.k.weight, theirs.model.layers[0].self_attn.k_proj.weight),
        (model.layers[1].channel.down.weight, theirs.model.layers[1].mlp.down_proj.weight),
        (model.norm.weight, theirs.model.norm.weight),
    ):
        torch.testing.assert_close(ours.grad, other.grad, rtol=1e-3, atol=1e-5 * float(other.grad.abs().max()))


def test_sft_learns_its_rows() -> None:
    trainer, rows = make(tiny_model(seed=8), clip_norm=1.0), sft_rows()
    losses = [trainer.step(rows, trust_region).loss for _ in range(10)]
    assert losses[-1] < 0.5 * losses[0], losses


def broken_gradient(logprobs: Tensor, sampler: Tensor, advantages: Tensor) -> tuple[Tensor, Tensor]:
    """A finite loss whose gradient is not: d sqrt(x) at zero."""
    zero = (logprobs - logprobs.detach()).abs().sqrt() * 0
    return zero - logprobs * advantages, torch.ones_like(advantages, dtype=torch.bool)


@pytest.mark.parametrize(
    ("change", "objective"),
    [
        (lambda row: replace(row, rl=(float("nan"),) * len(row.ids)), trust_region),
        (lambda row: replace(row, rl=(float("inf"),) * len(row.ids)), trust_region),
        (lambda row: replace(row, logprobs=(float("nan"),) * len(row.ids)), trust_region),
        (lambda row: replace(row, ce=(float("nan"),) * len(row.ids)), trust_region),
        (lambda row: row, broken_gradient),
    ],
    ids=["nan advantage", "infinite advantage", "nan sampler", "nan likelihood weight", "nan gradient only"],
)
def test_a_step_that_is_not_finite_fails_and_changes_nothing(
    change: Callable[[Row], Row], objective: Objective
) -> None:
    model, twin = tiny_model(seed=8), tiny_model(seed=8)
    rows = some_rows(model)
    trainer, untouched = make(model), make(twin)
    for each in (trainer, untouched):
        each.step(rows, trust_region)
    before = weights(model)
    moments = {
        name: {k: v.clone() for k, v in trainer.optimizer.state[p].items()} for name, p in trainer.parameters.items()
    }
    with pytest.raises(WorkFailed, match=r"step 2: .*not finite"):
        trainer.step([*rows[:4], change(rows[4]), *rows[5:]], objective)
    assert_same_bits(model, before)
    assert trainer.steps == 1
    for name, parameter in trainer.parameters.items():
        for field, value in trainer.optimizer.state[parameter].items():
            assert torch.equal(value, moments[name][field]), (name, field)
    # and the trainer is as good as one that never saw the bad batch
    assert trainer.step(rows, trust_region) == untouched.step(rows, trust_region)
    assert_same_bits(model, weights(twin))


def test_lora_trains_adapters_only() -> None:
    loaded = tiny_loaded(seed=8)
    add_lora(loaded, rank=2, alpha=4.0, seed=1)
    before = weights(loaded.model)
    rows = some_rows(loaded.model)
    trainer = Trainer(loaded.model, loaded.trainable(), SCHEDULE)
    for _ in range(2):  # at first only the outer factor has a gradient: it is zero, and with it the inner one's
        trainer.step(rows, trust_region)
    changed = {name for name, parameter in loaded.model.named_parameters() if not torch.equal(parameter, before[name])}
    adapters = {name for name in before if ".adapter." in name}
    assert changed == adapters == set(trainer.parameters)
    assert sum(len(group["params"]) for group in trainer.optimizer.param_groups) == len(adapters)
    assert all(p.grad is None for name, p in loaded.model.named_parameters() if name not in adapters)


def test_what_the_trainer_is_not_given_gets_no_gradient() -> None:
    model = tiny_model(seed=8)
    before = weights(model)
    named = dict(model.named_parameters())
    Trainer(model, [("norm.weight", named["norm.weight"])], SCHEDULE).step(some_rows(model), trust_region)
    assert [name for name in named if not torch.equal(named[name], before[name])] == ["norm.weight"]
    assert [name for name in named if named[name].grad is not None] == ["norm.weight"]


def test_full_training_moves_every_weight() -> None:
    model = tiny_model(seed=8, tied=False)
    before = weights(model)
    make(model).step(some_rows(model), trust_region)
    assert not [name for name, parameter in model.named_parameters() if torch.equal(parameter, before[name])]


def test_two_identical_runs_have_the_same_bits() -> None:
    ends = []
    for _ in range(2):
        model = tiny_model(seed=8)
        trainer = make(model, clip_norm=1.0, max_tokens=20)
        results = [trainer.step(some_rows(model, seed=step, shift=0.2), trust_region) for step in range(4)]
        ends.append((results, weights(model)))
    assert ends[0][0] == ends[1][0]
    assert all(torch.equal(ends[0][1][name], ends[1][1][name]) for name in ends[0][1])


def test_the_gradient_norm_is_clipped_and_reported_unclipped() -> None:
    rows = some_rows(tiny_model(seed=8))
    free, result = gradients_of(rows, trust_region)
    clipped, same = gradients_of(rows, trust_region, clip_norm=0.01)
    assert same.grad_norm == result.grad_norm > 0.01
    norm = torch.stack([gradient.square().sum() for gradient in clipped.values()]).sum().sqrt()
    assert float(norm) == pytest.approx(0.01, rel=1e-3)
    assert_close({name: g * (0.01 / result.grad_norm) for name, g in free.items()}, clipped)


def test_skip_moves_the_schedule_and_nothing_else() -> None:
    model = tiny_model(seed=8)
    trainer, before = make(model), weights(model)
    first = trainer.skip()
    assert (first.learning_rate, first.loss, first.response_tokens) == (SCHEDULE.rate(0), 0.0, 0)
    assert_same_bits(model, before)
    assert trainer.step(some_rows(model), trust_region).learning_rate == SCHEDULE.rate(1)


def test_schedule_rises_holds_and_descends() -> None:
    rates = [Schedule(peak=1.0, steps=20, warmup=3, descent=0.5, floor=0.1).rate(step) for step in range(20)]
    assert rates[:4] == [0.25, 0.5, 0.75, 1.0]
    assert set(rates[3:11]) == {1.0}
    assert rates[11:] == pytest.approx([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1])
    assert Schedule(1.0, 20, floor=0.35).rate(19) == 0.35
    assert [Schedule(1.0, 20, warmup=0, descent=0.0).rate(step) for step in (0, 10, 19)] == [1.0, 1.0, 1.0]


@given(st.integers(1, 60), st.integers(0, 8), st.floats(0, 1), st.floats(0.01, 1), st.floats(1e-6, 1e-2))
def test_every_rate_is_between_nothing_and_the_peak(
    steps: int, warmup: int, descent: float, floor: float, peak: float
) -> None:
    schedule = Schedule(peak, steps, warmup, descent, floor)
    rates = [schedule.rate(step) for step in range(steps)]
    assert all(0 < rate <= peak for rate in rates)
    assert all(rate >= floor * peak * (1 - 1e-12) for rate in rates[warmup:])
    after = rates[warmup:]
    assert after == sorted(after, reverse=True)  # once up, never up again
