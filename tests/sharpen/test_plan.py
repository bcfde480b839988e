"""How many steps fit into the minutes, and what the progress line promises."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whetstone.evals.controls import CONTROLS
from whetstone.sharpen.plan import FEWEST_STEPS, Budget, Plan, minutes_up, plan_steps, seconds_ahead

STAGES = {
    "before": 30.0,
    "temperature_before": 20.0,
    "samples_before": 60.0,
    "harder_before": 15.0,
    "prompt_styles": 40.0,
}
TWIN = [CONTROLS["random"]]
seconds = st.floats(0.01, 600)


@given(left=st.floats(0, 7200), step=st.floats(0.05, 60), before=seconds, pool=seconds, twins=st.integers(0, 3))
def test_the_plan_fits_the_time_and_wastes_no_whole_step(
    left: float, step: float, before: float, pool: float, twins: int
) -> None:
    stages = {"before": before, "samples_before": pool}
    plan, over = plan_steps(left, step, stages, twins, overhead=5.0)
    after = before + pool + 5.0 + plan.reserve * twins
    assert plan.steps >= FEWEST_STEPS
    assert plan.twin_steps == (plan.steps if twins else 0)
    share = 1 / (1 + 0.32 / 0.68 * twins)
    assert (plan.steps + 1) * step / share + after > left * (1 - 1e-9)
    if over == 0:
        assert plan.steps * step / share + after <= left * (1 + 1e-9)
    else:
        assert plan.steps == FEWEST_STEPS
        assert plan.steps * step + after * share == pytest.approx(left * share + over)


def test_the_twin_takes_time_from_training() -> None:
    assert plan_steps(900, 10, STAGES, twins=1)[0].steps < plan_steps(900, 10, STAGES, twins=0)[0].steps


def test_a_plan_survives_its_file() -> None:
    plan, _ = plan_steps(900, 10, STAGES, twins=1)
    assert Plan(**plan.to_dict()) == plan


@pytest.mark.parametrize(("given_", "said"), [(0.0, "0.1"), (5, "0.1"), (61, "1.1"), (599, "10"), (601, "11")])
def test_minutes_are_rounded_up(given_: float, said: str) -> None:
    assert minutes_up(given_) == said


def test_the_budget_counts_earlier_processes() -> None:
    now = [100.0]
    budget = Budget(2.0, clock=lambda: now[0])
    assert budget.left() == 120
    budget.earlier += 50
    now[0] += 30
    assert budget.left() == 40
    assert Budget(None).left() is None


def test_what_lies_ahead_is_what_lay_behind() -> None:
    plan = Plan(steps=10, twin_steps=10)
    ahead = seconds_ahead(plan, STAGES, 4.0, TWIN)
    assert ahead == {
        "train": 40.0,
        "after": 30.0,
        "temperature after": 20.0,
        "samples after": 60.0,
        "harder after": 15.0,
        "random-reward twin": 40.0,  # as many steps, for no time limits it
        "random-reward twin after": 30.0,
    }
    timed = seconds_ahead(plan_steps(900, 10, STAGES, twins=1)[0], STAGES, 10.0, TWIN)
    assert timed["random-reward twin"] < timed["train"]
    assert "random-reward twin" not in seconds_ahead(Plan(10, 0), STAGES, 4.0, TWIN)
