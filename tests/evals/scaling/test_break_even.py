"""Train or think longer: numbers of questions by hand, and words that say no more than the intervals do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.evals.scaling.test_reading import ALONE, IDS, N, point, scores
from tests.tiny import tiny_config
from whetstone.engine.strategies.spending import prompt_flops, weights_read
from whetstone.errors import UsageError
from whetstone.evals.scaling.break_even import at_equal_compute, train_or_think
from whetstone.evals.scaling.points import Point
from whetstone.evals.scaling.sentences import answer, big, count
from whetstone.evals.scaling.training_cost import run_of, training_cost, weights_of


def at(name: str, share: Any, flops: float) -> Point:
    return point(name, share, flops, flops=flops)


BASE = [at("greedy", 0.3, 10.0), at("consistency-4", 0.5, 40.0), at("consistency-16", 0.7, 160.0)]


def held(base: list[Point], trained: list[Point], one_off: float, trained_on: bool = True) -> tuple[Any, str]:
    found = train_or_think(base, trained, one_off, "flops", IDS, ALONE)
    compared = {"by": {"flops": found}, "trained_on": trained_on, "base": "b", "trained": "t"}
    return found, " ".join(answer(compared))


def test_the_nine_looks_at_equal_compute_are_one_family() -> None:
    """Nobody is better: the page may say otherwise, at any number of questions, in one of twenty experiments."""
    experiments, alarms = 250, 0
    for seed in range(experiments):
        generator = np.random.default_rng(seed)
        drawn = [(generator.random(N) < 0.5) * 1.0 for _ in range(10)]
        base = [at(f"consistency-{4**i}", right_N, 10.0 * 4**i) for i, right_N in enumerate(drawn[1:])]
        rows = at_equal_compute(base, at("greedy", drawn[0], 10.0), 1e7, "flops", IDS, ALONE)
        alarms += any(row["trained_better_by"]["verdict"] != "not distinguishable" for row in rows)
    assert alarms <= 0.05 * experiments + 2.5 * np.sqrt(0.05 * 0.95 * experiments)


def test_a_look_that_is_the_same_comparison_again_costs_nothing() -> None:
    """Seven volumes allow the very same setting of the base: that is one comparison, not seven."""
    target = scores(0.3)
    target[60:66] = 1.0  # six more right answers, none less: p = 1/32
    rows = at_equal_compute([at("greedy", 0.3, 10.0)], at("greedy", target, 10.0), 1.0, "flops", IDS, ALONE)
    told = [row["trained_better_by"] for row in rows]
    assert {each["p"] for each in told} == {each["p_holm"] for each in told} == {1 / 32}
    assert {each["verdict"] for each in told} == {"gain"}


def test_where_the_base_gets_there_the_break_even_is_training_over_the_difference() -> None:
    found, text = held(BASE, [at("greedy", 0.5, 10.0), at("consistency-4", 0.6, 40.0)], one_off=3000.0)
    assert found["target"]["name"] == "greedy" and found["reached_by"]["name"] == "consistency-4"
    assert found["break_even"]["questions"] == pytest.approx(3000 / (40 - 10))
    assert found["measured_up_to"] == pytest.approx(3000 / (160 - 10))
    # the problems are nested, so every resample finds the same setting
    assert (found["break_even"]["low"], found["break_even"]["high"]) == (100.0, 100.0)
    assert found["break_even"]["never"] == found["break_even"]["unreached"] == 0
    assert text.startswith("Think for fewer than 100 questions (95 %: 100 to 100), train for more: the base is as good")
    rows = {row["questions"]: row for row in found["equal_compute"]}
    assert rows[10]["allowance"] == 10 + 300 and rows[10]["beyond"]
    assert rows[100]["allowance"] == 40 and not rows[100]["beyond"] and rows[100]["accuracy"] == pytest.approx(0.5)
    assert rows[1000]["accuracy"] == pytest.approx(0.3) and rows[1000]["trained_better_by"]["verdict"] == "gain"
    assert "the trained model is distinguishably better from 1,000 questions on" in text


def test_chance_moves_the_break_even() -> None:
    generator = np.random.default_rng(1)
    base = [
        at(f"consistency-{k}", (generator.random(N) < s) * 1.0, 10.0 * k) for k, s in ((1, 0.3), (4, 0.5), (16, 0.55))
    ]
    found, _ = held(base, [at("greedy", (generator.random(N) < 0.5) * 1.0, 10.0)], 3000.0)
    even = found["break_even"]
    assert even["questions"] in (pytest.approx(3000 / 30), pytest.approx(3000 / 150))
    assert 0 < even["unreached"] < 1 and even["never"] < 0.05
    assert even["low"] == pytest.approx(20) and even["high"] == pytest.approx(100)


def test_a_base_that_never_gets_there() -> None:
    found, text = held(BASE, [at("greedy", 0.9, 10.0)], 3000.0)
    assert found["reached_by"] is None and found["matched_by"] is None
    assert found["break_even"] == {"questions": None, "low": None, "high": None, "never": 0.0, "unreached": 1.0}
    assert text.startswith(
        "Train: no measured setting of the base comes that far; its best, consistency-16, stays 70.0 %"
    )
    assert "Below 20 questions the base could spend more on each than was measured here" in text


def test_training_that_is_never_earned_back() -> None:
    """The base is as good for less."""
    base = [at("greedy", 0.3, 10.0), at("consistency-4", 0.6, 40.0)]
    found, text = held(base, [at("greedy", 0.5, 100.0)], 3000.0)
    assert found["break_even"]["questions"] is None and found["break_even"]["never"] == 1
    assert text.startswith("Think: the base is as good with consistency-4 (60.0 %) for no more FLOPs a question")


def test_a_model_that_is_ahead_at_its_best_only_is_said_to_be() -> None:
    """Its first answers are no better; what it does with room to think is."""
    found, text = held(BASE, [at("greedy", 0.2, 10.0), at("think-48", 0.9, 40.0)], 3000.0)
    assert found["best_trained"]["name"] == "think-48" and found["best_trained"]["better_by"]["verdict"] == "gain"
    assert "first answer worse" in text and "at their best" in text and "think-48 90.0 %" in text


def test_no_difference_is_said_to_be_none() -> None:
    trained = scores(0.3)
    trained[199] = 1.0
    found, text = held(BASE, [at("greedy", trained, 10.0)], 3000.0, trained_on=False)
    assert found["trained_gain"]["trained_better_by"]["verdict"] == "not distinguishable"
    assert text.startswith("Not distinguishable: the trained model's greedy differs") and "something else" in text
    _, worse = held(BASE, [at("greedy", 0.1, 10.0)], 3000.0)
    assert worse.startswith("Think: training made the first answer worse here, by −20.0 points")
    near = scores(0.7)
    near[140:142] = 1.0
    _, close = held(BASE, [at("greedy", near, 10.0)], 3000.0)
    assert close.startswith("Not distinguishable: the base's best, consistency-16, reaches 70.0 %")


def test_what_is_not_known_is_not_compared() -> None:
    assert train_or_think([], [at("greedy", 0.5, 10.0)], 1.0, "flops", IDS, ALONE) is None
    assert train_or_think(BASE, [at("greedy", 0.5, 10.0)], 1.0, "usd", IDS, ALONE) is None
    assert answer({"by": {"flops": None}, "trained_on": True})[0].startswith("What training or answering cost")


def test_numbers_in_words() -> None:
    assert [big(v) for v in (0, 0.0123, 1.5, 132.4, 4310.2, 7.93e13)] == [
        "0",
        "0.0123",
        "1.5",
        "132",
        "4,310",
        "7.9·10¹³",
    ]
    assert [count(v) for v in (0.3, 7.2, 132, 5240, 1.26e6)] == ["1", "7", "130", "5,200", "1.3 million"]


# -- the run's own records -----------------------------------------------------------------------------------


def finished_run(folder: Path) -> Path:
    """What `whet sharpen` leaves, as far as it is read here: two steps of three groups of four answers."""
    (folder / "checkpoint").mkdir(parents=True)
    (folder / "config.toml").write_text('model = "m"\ntask = "addition"\nlevel = 2\nstyle = "only"\n')
    (folder / "provenance.json").write_text("{}")
    (folder / "report.html").write_text("")
    report = {
        "model": {"name": "m", "sha256": "ab"},
        "task": {"name": "addition", "level": 2},
        "method": "full",
        "steps": 2,
    }
    (folder / "report.json").write_text(json.dumps(report))
    rows = [{"step": s, "groups": 3, "generated_tokens": 60, "verdicts": {"right": 5, "wrong": 7}} for s in (1, 2)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    times = [{"step": s, "generate_seconds": 2.0, "train_seconds": 1.0, "trained_tokens": 40} for s in (1, 2)]
    (folder / "timing.jsonl").write_text("".join(json.dumps(row) + "\n" for row in times))
    return folder


def test_the_cost_of_training_is_what_the_run_recorded(tmp_path: Path) -> None:
    run = finished_run(tmp_path / "run")
    cost = training_cost(run)
    assert (cost.groups, cost.answers, cost.generated_tokens, cost.trained_tokens) == (6, 24, 120, 80)
    assert cost.seconds == 6.0 and cost.base["sha256"] == "ab"
    config = tiny_config()
    found = cost.flops(config, 30)
    weights = weights_read(config)
    attention = 4 * config.layers * config.heads * config.head_dim
    assert found["updates"] == pytest.approx(6 * weights * 80 + 3 * attention * 80 * (round((30 + 5) / 2) + 1))
    rollouts = 6 * prompt_flops(config, 30, 0) + 120 * (2 * weights + attention * 31)
    assert found["rollouts"] == pytest.approx(rollouts) and found["total"] == found["rollouts"] + found["updates"]


def test_a_run_is_found_by_its_folder_and_by_its_checkpoint(tmp_path: Path) -> None:
    run = finished_run(tmp_path / "run")
    assert run_of(str(run)) == run_of(str(run / "checkpoint")) == run
    assert weights_of(str(run)) == str(run / "checkpoint") and weights_of("smollm2-135m") == "smollm2-135m"
    assert run_of(str(tmp_path)) is None
    (run / "report.html").unlink()
    with pytest.raises(UsageError, match="is not finished"):
        training_cost(run)
    (run / "report.html").write_text("")
    (run / "metrics.jsonl").write_text('{"step": 1}\n')
    with pytest.raises(UsageError, match="cannot be read"):
        training_cost(run)
    (run / "checkpoint").rmdir()
    with pytest.raises(UsageError, match="no checkpoint yet"):
        weights_of(str(run))
