"""What weakens a result, as far as a report shows it: leaks, controls, small numbers, answers that were lost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from whetstone.evals.controls import CONTROLS, EXTRA
from whetstone.evals.page.numbers import look, percent, verdict_shares
from whetstone.sharpen.comparisons import direction, join, readable, rival_list, twin_is_long_enough


def weak_links(report: Mapping[str, Any]) -> list[str]:
    """In words, the weakest first; how weak is a number that only orders them."""
    links = [*_leaks(report), *_control_gaps(report), *_small_numbers(report), *_answer_troubles(report)]
    links.sort(key=lambda link: -link[0])  # stable: equals keep the order above
    return [text for _, text in links]


def _leaks(report: Mapping[str, Any]) -> list[tuple[int, str]]:
    links = []
    shared, of = look(report, "overlap.shared"), look(report, "overlap.evaluated_on")
    if shared is None:
        links.append((85, "the overlap of evaluation and training problems was not measured"))
    elif shared > 0:
        links.append((100, f"{shared} of {of} evaluation problems were also trained on"))
    looks = look(report, "statistics.looks")
    if look(report, "statistics.seed_shared"):
        seed = look(report, "statistics.seed")
        links.append((18, f"the evaluation problems are those of every run with seed {seed}"))
    if looks is not None and looks > 1:
        links.append((55, f"{looks} runs were measured on these evaluation problems: the best of them flatters"))
    return links


def _control_gaps(report: Mapping[str, Any]) -> list[tuple[int, str]]:
    links = []
    twin = look(report, "controls.random_reward")
    twin_steps, steps = look(twin, "steps"), look(report, "steps")
    if not look(twin, "difference"):
        links.append((80, "no random-reward twin"))
    elif direction(twin["difference"]) == "up":
        links.append((90, "the random-reward twin improved too"))
    if twin_steps and steps and twin_steps < steps:
        short = f"the random-reward twin ran {twin_steps} of {steps} steps, so a slow effect could be missed"
        links.append((50 if twin_is_long_enough(report) else 78, short))
    for name in EXTRA:
        if (other := look(report, f"controls.{name}_reward.difference")) and direction(other) == "up":
            links.append((88, f"the {CONTROLS[name].title} improved too"))
    unknown = [name for name, _, versus in rival_list(report) if not versus]
    if unknown:
        links.append((60, f"no comparison with {join(unknown)}"))
    if not look(report, "harder.difference"):
        links.append((15, "one level harder was not measured"))
    return links


def _small_numbers(report: Mapping[str, Any]) -> list[tuple[int, str]]:
    links = []
    difference = look(report, "statistics.difference")
    if difference and difference["n"] < 300:
        half = 100 * (difference["high"] - difference["low"]) / 2
        few = f"only {difference['n']} evaluation problems (± {half:.0f} points)"
        links.append((75 if difference["n"] < 100 else 45, few))
    seeds = look(report, "statistics.training_seeds")
    if seeds is None or seeds < 3:
        runs = "a single training seed" if seeds in (None, 1) else f"only {seeds} training seeds"
        links.append((40, f"{runs}, so the luck of the training run itself is not in the interval"))
    problems = look(report, "pass_at_k.problems")
    if problems is not None and problems < 100:
        links.append((20, f"pass@k rests on {problems} problems"))
    return links


def _answer_troubles(report: Mapping[str, Any]) -> list[tuple[int, str]]:
    links = []
    for when in ("before", "after"):
        measure = look(report, when)
        truncated, read, shares = look(measure, "truncated"), readable(measure), verdict_shares(measure)
        if truncated is not None and truncated > 0.10:
            links.append((58, f"{percent(truncated)} of the answers {when} were cut off at the token limit"))
        if read is not None and read < 0.90:
            links.append((57 if when == "after" else 48, f"only {percent(read)} of the answers {when} could be read"))
        if shares is not None and shares["error"] + shares["timeout"] > 0.01:
            failed = percent(shares["error"] + shares["timeout"])
            links.append((70, f"judging failed on {failed} of the answers {when}"))
    for name, words in (("best_prompt", "the best prompt"), ("few_shot", "few-shot prompting")):
        truncated = look(report, f"baselines.{name}.truncated")
        if truncated is not None and truncated > 0.10:
            links.append((52, f"{percent(truncated)} of the answers with {words} were cut off, which may handicap it"))
    return links
