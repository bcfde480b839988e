"""From the stages' measurements to report.json (its keys are a contract: DESIGN section 4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from whetstone.evals.measure import Measurement, Scores, compared, vote
from whetstone.sharpen.examination import Examination
from whetstone.sharpen.settings import Settings
from whetstone.tasks.keys import DEFAULT_SEED, SHARED_SEED

SHOWN_SAMPLES = 10
BASELINES = (
    "constant_answers",
    "temperature_before",
    "samples_before",
    "votes",
    "few-shot_trials",
    "few-shot",
    "prompt_styles",
    "best_prompt",
)


@dataclass(frozen=True)
class Twin:
    """A control after training: what it scores, its steps, and why it failed if it did."""

    measurement: Measurement | None = None
    steps: int = 0
    failure: str = ""


@dataclass
class Results:
    """What the stages found; fields are filled in the order of the stages."""

    constants: dict[str, Any]
    before: Measurement
    temperature_before: dict[str, Any]
    pool_before: Measurement
    votes: Measurement  # samples of the base model, to be voted over
    harder_before: Measurement | None = None
    shots: dict[str, Any] | None = None  # None where the task states no answers to show
    few_shot: Measurement | None = None
    styles: dict[str, Any] = field(default_factory=dict)
    best_style: Measurement | None = None  # None when the best style is the one that training uses
    after: Measurement | None = None
    temperature_after: dict[str, Any] = field(default_factory=dict)
    pool_after: Measurement | None = None
    harder_after: Measurement | None = None
    twins: dict[str, Twin] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    timing: list[dict[str, Any]] = field(default_factory=list)
    looks: int | None = None  # at these problems by runs on this machine, this one included; None: not counted


def assemble(
    settings: Settings,
    exam: Examination,
    results: Results,
    seconds: Mapping[str, float],
    origin: Mapping[str, Any],
) -> dict[str, Any]:
    """report.json without its `verdict`. `seconds` are the stages', `origin` is provenance.json."""
    assert results.after is not None and results.pool_after is not None
    rivals = _rivals(exam, results)
    return {
        "title": f"Sharpening {origin['model']['name']} on {exam.task.name}, level {exam.level}",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": origin["command"],
        "model": origin["model"],
        "task": _task(exam),
        "method": settings.method,
        "steps": results.training["steps"],
        "seconds": _seconds(results, seconds),
        "before": _examined(results.before, results.pool_before, results.temperature_before),
        "after": _examined(results.after, results.pool_after, results.temperature_after),
        "baselines": _baselines(settings, results, rivals),
        "controls": _controls(results),
        "harder": _harder(exam, results),
        "pass_at_k": _pass_at_k(settings, results),
        "overlap": {
            "trained_on": results.training["trained_on"],
            "evaluated_on": len(results.before.ids),
            "shared": results.training["shared"],
            "ledger_root": results.training["ledger_root"],
        },
        "statistics": _statistics(settings, results, rivals),
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


def _examined(greedy: Measurement, pool: Measurement, temperature: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "greedy": greedy.accuracy().to_dict(),
        "sampled": {name: value for name, value in pool.pass_at([1])[0].items() if name != "k"},
        "temperature": temperature["pool"],  # of the sampled answers
        "verdicts": greedy.mix(),
        "tokens_per_answer": greedy.tokens_per_answer(),
        "truncated": greedy.truncated_share(),
    }


def _rivals(exam: Examination, results: Results) -> dict[str, Scores | None]:
    """What does without training, and on which problems it was right, by the name of its paired difference."""
    constants = results.constants
    return {
        "best_prompt": (results.best_style or results.before).scores,
        "few_shot": None if results.few_shot is None else results.few_shot.scores,
        "self_consistency": vote(results.votes, exam.task),
        "majority_answer": None if constants["majority"] is None else Scores(constants["ids"], constants["majority"]),
    }


def _baselines(settings: Settings, results: Results, rivals: Mapping[str, Scores | None]) -> dict[str, Any]:
    best, votes, constants = results.best_style or results.before, rivals["self_consistency"], results.constants
    assert votes is not None
    majority = rivals["majority_answer"]
    few_shot = None
    if results.few_shot is not None and results.shots is not None:
        few_shot = {
            **results.shots["best"],
            "greedy": results.few_shot.accuracy().to_dict(),
            "tokens_per_answer": results.few_shot.tokens_per_answer(),
            "truncated": results.few_shot.truncated_share(),
            "tried": results.shots["tried"],
        }
    return {
        "best_prompt": {
            "style": results.styles["best"],
            "greedy": best.accuracy().to_dict(),
            "tokens_per_answer": best.tokens_per_answer(),
            "truncated": best.truncated_share(),
            "tried": results.styles["tried"],
        },
        "few_shot": few_shot,
        "self_consistency": {
            "k": settings.vote_samples,
            "temperature": results.temperature_before["vote"],
            "accuracy": votes.accuracy().to_dict(),
            "tokens_per_problem": results.votes.tokens_per_answer() * settings.vote_samples,
        },
        "majority_answer": None
        if majority is None
        else {"text": constants["text"], "accuracy": majority.accuracy().to_dict()},
        "empty": {"accuracy": Scores(constants["ids"], constants["empty"]).accuracy().to_dict()},
    }


def _controls(results: Results) -> dict[str, Any]:
    """`NAME_reward` and `NAME_reward_failure` of each twin; the random one always, None where it was not trained."""
    told: dict[str, Any] = {}
    for name in dict.fromkeys(("random", *results.twins)):
        twin = results.twins.get(name, Twin())
        told[f"{name}_reward"] = _twin(results, twin)
        told[f"{name}_reward_failure"] = twin.failure or None
    return told


def _twin(results: Results, twin: Twin) -> dict[str, Any] | None:
    if twin.measurement is None:
        return None
    return {
        "steps": twin.steps,
        "greedy": twin.measurement.accuracy().to_dict(),
        "difference": compared(results.before.scores, twin.measurement.scores),
    }


def _harder(exam: Examination, results: Results) -> dict[str, Any] | None:
    if results.harder_before is None or results.harder_after is None:
        return None
    return {
        "level": exam.harder_level,
        "before": results.harder_before.accuracy().to_dict(),
        "after": results.harder_after.accuracy().to_dict(),
        "difference": compared(results.harder_before.scores, results.harder_after.scores),
    }


def _pass_at_k(settings: Settings, results: Results) -> dict[str, Any]:
    assert results.pool_after is not None
    compared(results.pool_before.scores, results.pool_after.scores)  # the two curves are of the same problems
    ks = [1]
    while ks[-1] * 2 <= settings.pool_samples:
        ks.append(ks[-1] * 2)
    return {
        # each model at the temperature that suits it, and how it was chosen
        "temperature": {"base": results.temperature_before["pool"], "sharpened": results.temperature_after["pool"]},
        "temperatures": {"base": results.temperature_before, "sharpened": results.temperature_after},
        "samples": settings.pool_samples,
        "problems": len(results.pool_before.ids),
        "base": results.pool_before.pass_at(ks),
        "sharpened": results.pool_after.pass_at(ks),
    }


def _statistics(settings: Settings, results: Results, rivals: Mapping[str, Scores | None]) -> dict[str, Any]:
    assert results.after is not None
    after = results.after.scores
    shared = settings.seed == DEFAULT_SEED
    return {
        "difference": compared(results.before.scores, after),
        # rivals are measured on the first problems only, so the pairs are those
        **{
            f"versus_{name}": None if rival is None else compared(rival, after, part=True)
            for name, rival in rivals.items()
        },
        "looks": results.looks,
        "seed": settings.seed,
        "seed_shared": shared,
        "seed_note": SHARED_SEED if shared else None,
        "training_seeds": 1,
    }


def _seconds(results: Results, seconds: Mapping[str, float]) -> dict[str, float]:
    train = sum(row["generate_seconds"] + row["train_seconds"] for row in results.timing)
    named = {
        "before": seconds.get("before", 0.0),
        "baselines": sum(seconds.get(name, 0.0) for name in BASELINES),
        "train": train,
        "after": sum(seconds.get(name, 0.0) for name in ("after", "temperature_after", "samples_after")),
        "harder": seconds.get("harder_before", 0.0) + seconds.get("harder_after", 0.0),
        "twin": sum(spent for name, spent in seconds.items() if name.startswith("twin")),
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
