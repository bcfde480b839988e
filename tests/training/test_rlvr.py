"""The training loop: it learns what is rewarded and nothing else, drops what cannot teach, and knows when to stop."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import torch

from tests.training.small import (
    KEY,
    Digits,
    length_reward,
    make_run,
    tiny_loaded,
)
from whetstone.engine.protocol import Completion
from whetstone.engine.rollout import PromptTooLong
from whetstone.errors import WorkFailed
from whetstone.tasks.task import Problem, Verdict
from whetstone.training.objectives import OBJECTIVES, Objective
from whetstone.training.rewards import format_reward, inverted_reward, random_reward, task_reward
from whetstone.training.rlvr import HOPELESS_STEPS, TrainingRun
from whetstone.training.rows import Row
from whetstone.training.trainer import StepResult


def trained(run: TrainingRun) -> list[dict[str, Any]]:
    """The metrics rows of the whole run."""
    rows: list[dict[str, Any]] = []
    run.train(rows.append)
    return rows


def mean_length(row: dict[str, Any], group_size: int = 8) -> float:
    return row["generated_tokens"] / (row["groups"] * group_size)


def test_longer_is_better_is_learnt_and_a_coin_is_not(tmp_path: Path) -> None:
    """Twenty steps of 8 x 8 answers. The first step's answers come before any update."""
    rises: dict[str, list[float]] = {"length": [], "coin": []}
    dials = {"steps": 20, "learning_rate": 3e-3}
    for seed in range(3):
        for name, reward in (("length", length_reward), ("coin", random_reward)):
            folder = tmp_path / f"{name}{seed}"
            rows = trained(make_run(folder, tiny_loaded(seed), reward=reward, key=b"key %d" % seed, **dials))
            rises[name].append(fmean(map(mean_length, rows[-4:])) - mean_length(rows[0]))
            if name == "length":
                assert rows[-1]["reward"] > rows[0]["reward"] + 3, dials
    message = f"rise of the mean length (of at most 16) over {dials}: {rises}"
    assert min(rises["length"]) > 3.5, message
    assert max(map(abs, rises["coin"])) < 3, message
    assert min(rises["length"]) > max(rises["coin"]) + 2, message


def test_a_verdict_is_learnt(tmp_path: Path) -> None:
    rows = trained(make_run(tmp_path, tiny_loaded(1), steps=20, learning_rate=3e-3))
    first, last = fmean(row["accuracy"] for row in rows[:2]), fmean(row["accuracy"] for row in rows[-4:])
    assert last > first + 0.25, [row["accuracy"] for row in rows]
    assert all(row["reward"] == row["accuracy"] for row in rows)


def test_a_group_is_one_prompt_and_its_advantages_sum_to_zero(tmp_path: Path) -> None:
    run = make_run(tmp_path, tiny_loaded(), reward=length_reward)
    batch = run.collector.collect(0)
    assert len(batch.kept) == 8
    for group in batch.groups:
        rows = group.rows(every=True)
        assert {row.prompt_ids for row in rows} == {group.answers.prompt_ids} and len(rows) == 8
        assert sum(row.rl[0] for row in rows) == pytest.approx(0, abs=1e-12)
        mean = fmean(group.rewards)
        for row, completion, reward in zip(rows, group.answers.completions, group.rewards, strict=True):
            assert row.ids == completion.ids and row.logprobs == completion.logprobs
            assert row.rl == (reward - mean,) * len(row.ids) and not any(row.ce)
    assert len({group.answers.prompt_ids for group in batch.groups}) == 8
    seeds = [seed for group in batch.groups for seed in group.answers.seeds]
    assert len(set(seeds)) == 64


def test_answers_do_not_depend_on_how_the_batch_was_filled(tmp_path: Path) -> None:
    """Problem number i gets the same answers in whatever step and after however many refills it is drawn."""
    run = make_run(tmp_path, tiny_loaded(), prompts=6)
    together = run.collector.collect(0).groups
    for place in (0, 3, 5):
        one = make_run(tmp_path, tiny_loaded(), prompts=1, oversample=1.0).collector.collect(place).groups[0]
        assert one.answers.problem == together[place].answers.problem
        assert one.answers.seeds == together[place].answers.seeds
        assert one.answers.texts == together[place].answers.texts


def sometimes(problem: Problem, completion: Completion, verdict: Verdict, seed: int) -> float:
    """Two thirds of the problems teach nothing: all their answers are worth the same."""
    return float(len(completion.ids)) if problem.facts["n"] % 3 == 0 else 0.5


def spy(run: TrainingRun, monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[Row], StepResult]]:
    """What the trainer was given and what it gave back."""
    steps: list[tuple[list[Row], StepResult]] = []
    step = run.trainer.step

    def watched(rows: Sequence[Row], objective: Objective) -> StepResult:
        steps.append((list(rows), step(rows, objective)))
        return steps[-1][1]

    monkeypatch.setattr(run.trainer, "step", watched)
    return steps


def test_groups_without_signal_are_replaced_and_count_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dials = {"prompts": 4, "oversample": 3.0, "steps": 5}
    run = make_run(tmp_path, tiny_loaded(), reward=sometimes, **dials)
    steps, cursors = spy(run, monkeypatch), []
    for _ in range(5):
        cursors.append(run.cursor)
        metrics = run.step()
        drawn = [run.setup.stream.problem(i) for i in range(cursors[-1], run.cursor)]
        assert metrics["groups"] == len(drawn) <= 12
        teaching = [problem for problem in drawn if problem.facts["n"] % 3 == 0]
        assert metrics["groups_with_signal"] == len(teaching)
        assert len(teaching) == 4 or len(drawn) == 12  # filled up, or nothing left of the allowance
        assert len(teaching) <= 4
        assert metrics["all_right"] == len(drawn) - len(teaching)
        assert all(problem in run.ledger for problem in drawn)
        rows, result = steps[-1]
        assert len({row.prompt_ids for row in rows}) == len(teaching)
        # the denominator is the response tokens of these rows alone
        tokens = sum(len(row.ids) for row in rows)
        assert metrics["response_tokens"] == tokens
        assert metrics["generated_tokens"] == tokens or len(drawn) > len(teaching)
        assert result.loss == pytest.approx(-sum(sum(row.rl) for row in rows) / tokens, abs=1e-5)
        assert result.ratio_mean == pytest.approx(1, abs=1e-5)
    assert cursors == sorted(set(cursors)), "no problem is drawn twice"
    assert len(run.ledger) == run.cursor


def test_a_refill_trains_as_if_only_the_groups_with_signal_had_been_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path / "a", tiny_loaded(), reward=sometimes, prompts=4, oversample=4.0)
    steps = spy(run, monkeypatch)
    run.step()
    alone = make_run(tmp_path / "b", tiny_loaded(), reward=sometimes, prompts=4)
    alone.trainer.step(steps[0][0], OBJECTIVES["trust_region"])
    for (name, ours), theirs in zip(run.loaded.model.named_parameters(), alone.loaded.model.parameters(), strict=True):
        assert torch.equal(ours, theirs), name


def worthless(problem: Problem, completion: Completion, verdict: Verdict, seed: int) -> float:
    return 0.0


@pytest.mark.parametrize(("oversample", "drawn"), [(0.5, 4), (1.0, 4), (1.5, 6), (2.0, 8), (2.9, 11)])
def test_the_allowance_ends_the_search(tmp_path: Path, oversample: float, drawn: int) -> None:
    run = make_run(tmp_path, tiny_loaded(), reward=worthless, prompts=4, group_size=2, oversample=oversample)
    before = {name: parameter.clone() for name, parameter in run.loaded.model.named_parameters()}
    row = run.step()
    assert (row["groups"], row["groups_with_signal"], row["response_tokens"], row["loss"]) == (drawn, 0, 0, 0.0)
    assert run.cursor == drawn and run.trainer.steps == 1
    assert all(torch.equal(parameter, before[name]) for name, parameter in run.loaded.model.named_parameters())


@pytest.mark.parametrize("temperature", [0.7, 1.0, 1.3])
def test_every_step_is_on_policy(tmp_path: Path, temperature: float) -> None:
    run = make_run(tmp_path, tiny_loaded(), reward=length_reward, steps=6, temperature=temperature)
    for row in trained(run):
        assert row["ratio_mean"] == pytest.approx(1, abs=1e-5), row
        assert 0 <= row["mismatch_kl"] < 1e-8 and row["masked"] == 0, row
    [versions] = [
        {one.weight_version for one in group.answers.completions} for group in run.collector.collect(0).groups[:1]
    ]
    assert versions == {6}


def test_metrics_tell_what_happened(tmp_path: Path) -> None:
    run = make_run(tmp_path, tiny_loaded(1), steps=3, prompts=4)
    rows = trained(run)
    files = {
        name: [json.loads(line) for line in (tmp_path / f"{name}.jsonl").read_text().splitlines()]
        for name in ("metrics", "samples", "timing")
    }
    assert files["metrics"] == rows and [row["step"] for row in rows] == [1, 2, 3]
    assert not [key for row in rows for key in row if "second" in key or "time" in key], "clock readings live apart"
    for row, sample, timing in zip(rows, files["samples"], files["timing"], strict=True):
        assert sum(row["verdicts"].values()) == 8 * row["groups"]
        assert row["verdicts"]["right"] / (8 * row["groups"]) == pytest.approx(row["accuracy"])
        assert row["groups"] == row["groups_with_signal"] + row["all_right"] + row["all_wrong"]
        assert 0 <= row["truncated"] <= 1 and 0 < row["entropy"] < 4.5 and row["grad_norm"] > 0
        counts = Counter(sample["verdicts"])
        assert [float(verdict == "right") for verdict in sample["verdicts"]] == sample["rewards"]
        assert counts["right"] and counts["wrong"], "the group shown is one that taught something"
        assert timing["generated_tokens"] == row["generated_tokens"] and timing["generate_seconds"] > 0
    assert run.totals["generated_tokens"] == sum(row["generated_tokens"] for row in rows)
    assert run.totals["trained_tokens"] == sum(row["trained_tokens"] for row in files["timing"])


def test_rehearsal_changes_nothing(tmp_path: Path) -> None:
    for reward in (length_reward, worthless):  # the second: not one group with signal yet
        rehearsed, plain = (make_run(tmp_path / reward.__name__ / n, tiny_loaded(), reward=reward) for n in "ab")
        rehearsed.rehearse()
        assert not (tmp_path / reward.__name__ / "a").exists()
        assert (rehearsed.trainer.steps, rehearsed.cursor, len(rehearsed.ledger)) == (0, 0, 0)
        assert rehearsed.step() == plain.step()


def test_a_model_without_room_for_question_and_answer_is_not_trained(tmp_path: Path) -> None:
    """Beyond its positions it would be trained on noise."""
    run = make_run(tmp_path, tiny_loaded(max_positions=20), steps=1)
    with pytest.raises(PromptTooLong, match=r"its answer may take 16, but the model takes 20 in all"):
        run.train(lambda row: None)


def test_the_coin_is_fair_and_deaf(tmp_path: Path) -> None:
    problem, completion = Problem("?", {}), Completion((5,), (-1.0,), "stop", 0)
    coins = [random_reward(problem, completion, Verdict.WRONG, seed) for seed in range(4000)]
    assert set(coins) == {0.0, 1.0} and 0.46 < fmean(coins) < 0.54
    other = Completion((7, 8, 9), (-2.0,) * 3, "length", 3)
    assert coins == [random_reward(problem, other, Verdict.RIGHT, seed) for seed in range(4000)]
    assert [task_reward(problem, completion, verdict, 0) for verdict in Verdict] == [1.0, 0.0, 0.0, 0.0, 0.0]
    assert [format_reward(problem, completion, verdict, 0) for verdict in Verdict] == [1.0, 1.0, 0.0, 0.0, 0.0]
    assert [inverted_reward(problem, completion, verdict, 0) for verdict in Verdict] == [0.0, 1.0, 0.0, 0.0, 0.0]


class Impossible(Digits):
    def check(self, problem: Problem, text: str) -> Verdict:
        return Verdict.NO_ANSWER


class Trivial(Digits):
    def check(self, problem: Problem, text: str) -> Verdict:
        return Verdict.RIGHT


class Settled(Digits):
    """Every problem is either never answered or always."""

    def check(self, problem: Problem, text: str) -> Verdict:
        return Verdict.RIGHT if problem.facts["n"] % 2 else Verdict.WRONG


class Raising(Digits):
    def check(self, problem: Problem, text: str) -> Verdict:
        raise ZeroDivisionError("no such thing")


class Nonsense(Digits):
    def check(self, problem: Problem, text: str) -> Verdict:
        return "perhaps"  # type: ignore[return-value]


class Fragile(Digits):
    """Fails now and then, which training survives."""

    def check(self, problem: Problem, text: str) -> Verdict:
        if "a" in text:
            raise ValueError("an a")
        return super().check(problem, text)


SMALL = {"prompts": 2, "group_size": 2, "max_new_tokens": 3, "steps": 6}


@pytest.mark.parametrize(
    ("task", "words"),
    [
        (Impossible(), r"all wrong.*a lower --level, an easier --task or a larger --model"),
        (Trivial(), r"all right.*a higher --level"),
        (Settled(), r"some problems all right, the others all wrong.*--level.*--temperature"),
    ],
    ids=["impossible", "trivial", "settled"],
)
def test_a_hopeless_task_stops_and_says_which_way_to_go(tmp_path: Path, task: Digits, words: str) -> None:
    dials = {**SMALL, "prompts": 8, "save_every": 1}
    run = make_run(tmp_path, tiny_loaded(), task=task, **dials)
    with pytest.raises(WorkFailed, match=f"in 3 steps.*{words}") as failure:
        run.train(lambda row: None)
    assert "\n" not in str(failure.value)
    logged = (tmp_path / "metrics.jsonl").read_bytes()
    assert logged.count(b"\n") == run.trainer.steps == HOPELESS_STEPS == 3
    # to resume it unchanged is as hopeless, and says so at once, without a second count to three
    again = make_run(tmp_path, tiny_loaded(), task=task, **dials)
    again.resume()
    assert (again.trainer.steps, again.hopeless) == (2, 2)
    with pytest.raises(WorkFailed, match=words):
        again.train(lambda row: None)
    assert (tmp_path / "metrics.jsonl").read_bytes() == logged


def test_one_group_with_signal_is_hope_enough(tmp_path: Path) -> None:
    calls = Counter()

    def seldom(problem: Problem, completion: Completion, verdict: Verdict, seed: int) -> float:
        calls["all"] += 1
        return float(calls["all"] % 24 == 1)  # one answer of every six groups of four

    run = make_run(tmp_path, tiny_loaded(), reward=seldom, prompts=1, oversample=2.0, group_size=4, steps=9)
    rows = trained(run)
    assert [row["groups_with_signal"] for row in rows].count(0) >= 3
    assert len(rows) == 9


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        (Raising(), "raising: check raised ZeroDivisionError: no such thing"),
        (Nonsense(), "nonsense: check raised TypeError: check must return a Verdict"),
    ],
    ids=["raises", "nonsense"],
)
def test_a_broken_check_stops_with_the_tasks_own_reason(tmp_path: Path, task: Digits, reason: str) -> None:
    run = make_run(tmp_path, tiny_loaded(), task=task, **SMALL)
    with pytest.raises(
        WorkFailed, match=rf"check\(\) failed on (\d+) of \1 answers, the last time so: {reason}"
    ) as failure:
        run.train(lambda row: None)
    assert "\n" not in str(failure.value)
    [row] = (json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines())
    assert row["verdicts"]["error"] == sum(row["verdicts"].values()) and row["reward"] == 0


def test_a_check_that_fails_now_and_then_is_logged_and_survived(tmp_path: Path) -> None:
    rows = trained(make_run(tmp_path, tiny_loaded(1), task=Fragile(), steps=3))
    assert sum(row["verdicts"]["error"] for row in rows) > 0


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(tmp_path: Path) -> None:
    for name, key in (("a", KEY), ("b", KEY), ("c", b"another")):
        trained(make_run(tmp_path / name, tiny_loaded(1), key=key, **{**SMALL, "group_size": 8}))
    a, b, c = ([(tmp_path / name / file).read_bytes() for file in ("metrics.jsonl", "samples.jsonl")] for name in "abc")
    assert a == b and a[0] != c[0] and a[1] != c[1]
