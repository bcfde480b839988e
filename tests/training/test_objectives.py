"""Every objective against a table worked out by hand, and against REINFORCE where the two must agree."""

from __future__ import annotations

from math import exp, log

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from whetstone.training.objectives import LOG_RATIO_LIMIT, OBJECTIVES, log_ratio, ppo_clip, reinforce, trust_region

# policy's probability, sampler's, advantage -> (loss, mask) of trust_region without its pull, of ppo_clip, of reinforce
TABLE = [
    # on policy
    (0.5, 0.5, 1.0, (-1.0, True), (-1.0, True), (0.693147, True)),
    (0.5, 0.5, -2.0, (2.0, True), (2.0, True), (-1.386294, True)),
    (0.5, 0.5, 0.0, (0.0, True), (0.0, True), (0.0, True)),
    # moved up by 0.3 (ratio 1.6): enough where that was asked for, and free to come back where it was not
    (0.8, 0.5, 1.0, (0.0, False), (-1.28, False), (0.223144, True)),
    (0.8, 0.5, -1.0, (1.6, True), (1.6, True), (-0.223144, True)),
    # moved down by 0.3 (ratio 0.4)
    (0.2, 0.5, -1.0, (0.0, False), (0.8, False), (-1.609438, True)),
    (0.2, 0.5, 1.0, (-0.4, True), (-0.4, True), (1.609438, True)),
    # a rare token that doubled has hardly moved: the clip stops it, the trust region does not
    (0.002, 0.001, 2.0, (-4.0, True), (-2.56, False), (12.429216, True)),
    # a common one that moved 0.205 (ratio 1.275): the other way round
    (0.950, 0.745, 1.0, (0.0, False), (-1.275168, True), (0.051293, True)),
    # just inside: moved 0.19, ratio 1.19
    (0.99, 0.80, 1.0, (-1.2375, True), (-1.2375, True), (0.01005, True)),
    (0.61, 0.80, -1.0, (0.7625, True), (0.8, False), (-0.494296, True)),
]


def columns() -> tuple[Tensor, Tensor, Tensor]:
    policy, sampler, advantages = (torch.tensor([row[i] for row in TABLE], dtype=torch.float64) for i in range(3))
    return policy.log().requires_grad_(), sampler.log(), advantages


@pytest.mark.parametrize(("place", "name"), [(3, "trust_region"), (4, "ppo_clip"), (5, "reinforce")])
def test_loss_and_mask_equal_the_table(place: int, name: str) -> None:
    logprobs, sampler, advantages = columns()
    loss, mask = OBJECTIVES[name](logprobs, sampler, advantages)
    pull = 1e-3 * (logprobs - sampler).detach().square() if name == "trust_region" else torch.zeros(len(TABLE))
    assert (loss - pull).tolist() == pytest.approx([row[place][0] for row in TABLE], abs=1e-6)
    assert mask.dtype == torch.bool and mask.tolist() == [row[place][1] for row in TABLE]


def test_a_masked_token_carries_no_gradient_but_the_pull() -> None:
    for objective, pull in ((trust_region, 1e-3), (ppo_clip, 0.0)):
        logprobs, sampler, advantages = columns()
        loss, mask = objective(logprobs, sampler, advantages)
        (gradient,) = torch.autograd.grad(loss.sum(), logprobs)
        back = 2 * pull * (logprobs - sampler).detach()
        ratio = (logprobs - sampler).exp().detach()
        expected = torch.where(mask, -ratio * advantages, torch.zeros_like(ratio)) + back
        torch.testing.assert_close(gradient, expected)


def test_the_pull_points_back_to_the_sampler() -> None:
    logprobs = torch.tensor([-0.5, -1.5]).requires_grad_()
    sampler, nothing = torch.tensor([-1.0, -1.0]), torch.zeros(2)
    loss, _ = trust_region(logprobs, sampler, nothing, pull=0.1)
    assert loss.tolist() == pytest.approx([0.025, 0.025])
    assert torch.autograd.grad(loss.sum(), logprobs)[0].tolist() == pytest.approx([0.1, -0.1])


@given(
    st.sampled_from(sorted(OBJECTIVES)),
    st.lists(st.tuples(st.floats(-40, 0, width=32), st.integers(-800, 800)), min_size=1, max_size=9),
)
def test_on_policy_every_gradient_is_that_of_reinforce(name: str, tokens: list[tuple[float, int]]) -> None:
    logprobs = torch.tensor([logprob for logprob, _ in tokens]).requires_grad_()
    advantages = torch.tensor([advantage / 100 for _, advantage in tokens])
    loss, mask = OBJECTIVES[name](logprobs, logprobs.detach().clone(), advantages)
    assert mask.all()
    assert torch.equal(torch.autograd.grad(loss.sum(), logprobs)[0], -advantages)


@pytest.mark.parametrize(
    ("policy", "sampler", "advantage", "counts"),
    [
        (0.71, 0.5, 1.0, False),
        (0.69, 0.5, 1.0, True),
        (0.71, 0.5, -1.0, True),
        (0.71, 0.5, 0.0, True),
        (0.29, 0.5, -1.0, False),
        (0.31, 0.5, -1.0, True),
        (0.29, 0.5, 1.0, True),
        (1.0, 0.79, 1.0, False),
        (1.0, 0.81, 1.0, True),  # nothing that was at 0.8 or above is ever masked on its way up
        (1e-9, 0.19, -1.0, True),  # and nothing at 0.2 or below on its way down
        (1e-9, 0.21, -1.0, False),
        (0.19, 1e-9, 5.0, True),
        (0.21, 1e-9, 5.0, False),
    ],
)
def test_the_trust_region_looks_at_probability_and_at_the_side(
    policy: float, sampler: float, advantage: float, counts: bool
) -> None:
    one = [torch.tensor([x]) for x in (log(policy), log(sampler), advantage)]
    assert trust_region(*one)[1].item() is counts
    assert trust_region(*one, limit=1.0)[1].item() is True


def test_the_log_ratio_is_clamped_before_its_exponential() -> None:
    logprobs = torch.tensor([0.0, -200.0, -torch.inf, -3.0]).requires_grad_()
    sampler = torch.tensor([-200.0, 0.0, -1.0, -3.5])
    clamped = log_ratio(logprobs, sampler)
    assert clamped.tolist() == [LOG_RATIO_LIMIT, -LOG_RATIO_LIMIT, -LOG_RATIO_LIMIT, 0.5]
    for objective in (trust_region, ppo_clip):
        for sign in (1.0, -1.0):
            loss, _ = objective(logprobs, sampler, torch.full((4,), sign))
            assert loss.isfinite().all() and loss.abs().max() <= exp(LOG_RATIO_LIMIT) + 1
            (gradient,) = torch.autograd.grad(loss.sum(), logprobs)
            assert gradient[:3].tolist() == [0.0, 0.0, 0.0] and gradient.isfinite().all()


def test_reinforce_does_not_look_at_the_sampler() -> None:
    logprobs, _, advantages = columns()
    one, _ = reinforce(logprobs, torch.zeros_like(advantages), advantages)
    other, _ = reinforce(logprobs, torch.full_like(advantages, -9.0), advantages)
    assert torch.equal(one, other)
