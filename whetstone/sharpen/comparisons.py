"""What a report's figures say when they are held against each other: differences, rivals, and how much a twin shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from whetstone.evals.controls import CONTROLS, Control
from whetstone.evals.page.numbers import look, probability, signed, verdict_shares
from whetstone.evals.statistics import reading

Direction = Literal["up", "down", "unclear"]


def spread(difference: Mapping[str, Any]) -> str:
    """A difference as "+43.4 points (95 % interval +38.9 to +47.8)"."""
    low, high = signed(difference["low"]), signed(difference["high"])
    p = p_of(difference)
    # an interval just beside 0 whose exact test does not reject: without its p the words would contradict it
    test = f", {probability(p)}" if p is not None and p >= 0.05 and difference["low"] * difference["high"] > 0 else ""
    return f"{signed(difference['mean'])} points (95 % interval {low} to {high}{test})"


def p_of(difference: Mapping[str, Any]) -> float | None:
    """The exact p of a difference; None where there is none."""
    p = difference.get("p", difference.get("p_mcnemar_exact"))
    return None if p is None else float(p)


def direction(difference: Mapping[str, Any]) -> Direction:
    """Which way a difference points, or "unclear" when it is not distinguishable from none."""
    ways: dict[str, Direction] = {"gain": "up", "loss": "down", "not distinguishable": "unclear"}
    return ways[reading(difference)]


def readable(measure: Mapping[str, Any] | None) -> float | None:
    """Extraction rate: the share of answers out of which a judge could read exactly one answer."""
    shares = verdict_shares(measure)
    return None if shares is None else shares["right"] + shares["wrong"]


def join(parts: list[str]) -> str:
    """ "a, b and c"."""
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def rival_list(report: Mapping[str, Any]) -> list[tuple[str, float | None, Mapping[str, Any] | None]]:
    """(name in words, its accuracy, sharpened minus rival) for the three ways to use the model without training it."""
    tried = len(look(report, "baselines.best_prompt.tried") or {})
    shots, votes = look(report, "baselines.few_shot.shots"), look(report, "baselines.self_consistency.k")
    form = " with spelled-out answers" if look(report, "baselines.few_shot.format") == "worked" else ""
    return [
        (
            f"the best of {tried} prompts" if tried > 1 else "the best prompt",
            look(report, "baselines.best_prompt.greedy.mean"),
            look(report, "statistics.versus_best_prompt"),
        ),
        (
            f"{shots}-shot prompting{form}" if shots else "few-shot prompting",
            look(report, "baselines.few_shot.greedy.mean"),
            look(report, "statistics.versus_few_shot"),
        ),
        (
            f"self-consistency over {votes} answers{at_temperature(report, 'baselines.self_consistency.temperature')}"
            if votes
            else "self-consistency",
            look(report, "baselines.self_consistency.accuracy.mean"),
            look(report, "statistics.versus_self_consistency"),
        ),
    ]


def majority(report: Mapping[str, Any]) -> tuple[str, float | None, Mapping[str, Any] | None]:
    """The same for an answer that does not read the question."""
    accuracy = look(report, "baselines.majority_answer.accuracy")
    text = str(look(report, "baselines.majority_answer.text") or "")
    return (
        f"always answering “{text if len(text) <= 40 else text[:39] + '…'}”",
        look(accuracy, "mean") if isinstance(accuracy, Mapping) else accuracy,
        look(report, "statistics.versus_majority_answer"),
    )


def at_temperature(report: Mapping[str, Any], path: str) -> str:
    """ " at T = 0.4"; nothing where the temperature is not known."""
    temperature = look(report, path)
    return f" at T = {temperature:g}" if isinstance(temperature, int | float) else ""


def twin_is_long_enough(report: Mapping[str, Any], control: Control = CONTROLS["random"]) -> bool:
    """Whether the twin had at least half of the steps; one whose steps are not known had not."""
    steps, of = look(report, f"controls.{control.name}_reward.steps"), look(report, "steps")
    return bool(steps and of and 2 * steps >= of)
