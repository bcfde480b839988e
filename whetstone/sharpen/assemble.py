"""From the stages' measurements to report.json (its keys are a contract: DESIGN section 4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from whetstone.evals.measure import Measurement, vote
from whetstone.evals.statistics import paired_difference, wilson
from whetstone.sharpen.examination import Examination
from whetstone.sharpen.settings import Settings

SHOWN_SAMPLES = 10
BASELINES = ("constant_answers", "few-shot", "prompt_styles", "best_prompt", "samples_before")


@dataclass
class Results:
    """What the stages found; fields are filled in the order of the stages."""

    constants: dict[str, Any]
    before: Measurement
    pool_before: Measurement
    harder_before: Measurement | None = None
    few_shot: Measurement | None = None
    styles: dict[str, Any] = field(default_factory=dict)
    best_style: Measurement | None = None  # None when the best style is the one that training uses
    after: Measurement | None = None
    pool_after: Measurement | None = None
    harder_after: Measurement | None = None
    twin: Measurement | None = None
    twin_steps: int = 0
    twin_failure: str = ""
    training: dict[str, Any] = field(default_factory=dict)
    timing: list[dict[str, Any]] = field(default_factory=list)


def assemble(
    settings: Settings,
    exam: Examination,
    results: Results,
    seconds: Mapping[str, float],
    origin: Mapping[str, Any],
) -> dict[str, Any]:
    """report.json without its `verdict`. `seconds` are the stages', `origin` is provenance.json."""
    assert results.after is not None and results.pool_after is not None
    return {
        "title": f"Sharpening {origin['model']['name']} on {exam.task.name}, level {exam.level}",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": origin["command"],
        "model": origin["model"],
        "task": _task(exam),
        "method": settings.method,
        "steps": results.training["steps"],
        "seconds": _seconds(results, seconds),
        "before": _examined(results.before, results.pool_before),
        "after": _examined(results.after, results.pool_after),
        "baselines": _baselines(exam, results),
        "controls": {"random_reward": _twin(results), "random_reward_failure": results.twin_failure or None},
        "harder": _harder(exam, results),
        "pass_at_k": _pass_at_k(settings, results),
        "overlap": {
            "trained_on": results.training["trained_on"],
            "evaluated_on": len(results.before.ids),
            "shared": results.training["shared"],
            "ledger_root": results.training["ledger_root"],
        },
        "statistics": _statistics(exam, results),
        "speed": _speed(results),
        "cost": _cost(settings, results, seconds, origin),
        "samples": _samples(exam, results),
        "hardware": origin["machine"],
        "versions": origin["versions"],
        "keys": origin["keys"],
    }


def _task(exam: Examination) -> dict[str, Any]:
    return {
        "name": exam.task.name,
        "level": exam.level,
        "version": exam.task.version,
        "instruction": exam.task.instruction,
        "example": exam.style.messages(exam.task, exam.problems[0])[-1]["content"],
    }


def _examined(greedy: Measurement, pool: Measurement) -> dict[str, Any]:
    return {
        "greedy": greedy.accuracy().to_dict(),
        "sampled": {name: value for name, value in pool.pass_at([1])[0].items() if name != "k"},
        "verdicts": greedy.mix(),
        "tokens_per_answer": greedy.tokens_per_answer(),
        "truncated": greedy.truncated_share(),
    }


def _baselines(exam: Examination, results: Results) -> dict[str, Any]:
    best = results.best_style or results.before
    votes = vote(results.pool_before, exam.task)
    samples = len(results.pool_before.texts[0])
    return {
        "best_prompt": {
            "style": results.styles["best"],
            "greedy": best.accuracy().to_dict(),
            "tried": results.styles["tried"],
            "tokens_per_answer": best.tokens_per_answer(),
        },
        "few_shot": None
        if results.few_shot is None
        else {"shots": len(exam.examples), "greedy": results.few_shot.accuracy().to_dict()},
        "self_consistency": {
            "k": samples,
            "accuracy": wilson(sum(votes), len(votes)).to_dict(),
            "tokens_per_problem": results.pool_before.tokens_per_answer() * samples,
        },
        **results.constants,
    }


def _twin(results: Results) -> dict[str, Any] | None:
    if results.twin is None:
        return None
    return {
        "steps": results.twin_steps,
        "greedy": results.twin.accuracy().to_dict(),
        "difference": paired_difference(results.before.first_right, results.twin.first_right),
    }


def _harder(exam: Examination, results: Results) -> dict[str, Any] | None:
    if results.harder_before is None or results.harder_after is None:
        return None
    return {
        "level": exam.harder_level,
        "before": results.harder_before.accuracy().to_dict(),
        "after": results.harder_after.accuracy().to_dict(),
        "difference": paired_difference(results.harder_before.first_right, results.harder_after.first_right),
    }


def _pass_at_k(settings: Settings, results: Results) -> dict[str, Any]:
    assert results.pool_after is not None
    ks = [1]
    while ks[-1] * 2 <= settings.pool_samples:
        ks.append(ks[-1] * 2)
    return {
        "temperature": 1.0,
        "samples": settings.pool_samples,
        "problems": len(results.pool_before.ids),
        "base": results.pool_before.pass_at(ks),
        "sharpened": results.pool_after.pass_at(ks),
    }


def _statistics(exam: Examination, results: Results) -> dict[str, Any]:
    assert results.after is not None
    after = results.after.first_right
    best = (results.best_style or results.before).first_right
    votes = vote(results.pool_before, exam.task)
    few_shot = results.few_shot
    return {
        "difference": paired_difference(results.before.first_right, after),
        "versus_best_prompt": paired_difference(best, after[: len(best)]),
        "versus_few_shot": None
        if few_shot is None
        else paired_difference(few_shot.first_right, after[: len(few_shot.ids)]),
        # rivals are measured on the first problems only, so the pairs are those
        "versus_self_consistency": paired_difference(votes, after[: len(votes)]),
        "looks": 1,
        "training_seeds": 1,
    }


def _seconds(results: Results, seconds: Mapping[str, float]) -> dict[str, float]:
    train = sum(row["generate_seconds"] + row["train_seconds"] for row in results.timing)
    named = {
        "before": seconds.get("before", 0.0),
        "baselines": sum(seconds.get(name, 0.0) for name in BASELINES),
        "train": train,
        "after": seconds.get("after", 0.0) + seconds.get("samples_after", 0.0),
        "harder": seconds.get("harder_before", 0.0) + seconds.get("harder_after", 0.0),
        "twin": seconds.get("twin", 0.0),
        "plan": seconds.get("plan", 0.0),
    }
    return {"total": sum(named.values()), **named}


def _speed(results: Results) -> dict[str, Any]:
    generate = sum(row["generate_seconds"] for row in results.timing)
    train = sum(row["train_seconds"] for row in results.timing)
    whole = generate + train
    return {
        "seconds_per_step": whole / len(results.timing),
        "tokens_per_second_generate": sum(row["generated_tokens"] for row in results.timing) / generate,
        "tokens_per_second_train": sum(row["trained_tokens"] for row in results.timing) / train,
        "share": {"generate": generate / whole, "train": train / whole},
    }


def _cost(
    settings: Settings, results: Results, seconds: Mapping[str, float], origin: Mapping[str, Any]
) -> dict[str, Any]:
    total = _seconds(results, seconds)["total"]
    unit = "core_seconds" if settings.device == "cpu" else "gpu_seconds"
    return {
        unit: total * (origin["threads"] if settings.device == "cpu" else 1),
        "generated_tokens": results.training["totals"]["generated_tokens"],
        "trained_tokens": results.training["totals"]["trained_tokens"],
    }


def _samples(exam: Examination, results: Results) -> list[dict[str, Any]]:
    assert results.after is not None
    before, after = results.before, results.after

    def answer(measured: Measurement, place: int) -> dict[str, str]:
        return {"text": measured.texts[place][0], "verdict": measured.verdicts[place][0]}

    # the first ones in the stream's order: nobody picked them
    return [
        {"question": question, "level": exam.level, "before": answer(before, i), "after": answer(after, i)}
        for i, question in enumerate(before.questions[:SHOWN_SAMPLES])
    ]
