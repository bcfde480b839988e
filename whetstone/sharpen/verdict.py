"""What a report says, in words a sceptic accepts: the gain, its rivals, its controls and its weakest link.

Every sentence is built from figures in the report and from nothing else; what was not measured is said to be
so. A difference counts as shown when its 95 % interval excludes 0 and, where given, its exact p is below
0.05.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from whetstone.evals.controls import CONTROLS, EXTRA, Control
from whetstone.evals.page.numbers import look, percent, probability, signed, verdict_shares
from whetstone.evals.statistics import reading, unpaired_difference

Kind = Literal["headline", "good", "bad", "open", "weak"]
Direction = Literal["up", "down", "unclear"]


@dataclass(frozen=True)
class Finding:
    """One sentence, and whether it supports the claim, speaks against it, leaves it open or weakens it."""

    kind: Kind
    text: str


def verdict_lines(report: Mapping[str, Any]) -> list[str]:
    """The sentences for report.json's `verdict`: first the headline, last the weakest links."""
    return [finding.text for finding in findings(report)]


def findings(report: Mapping[str, Any]) -> list[Finding]:
    """The same sentences with their kinds. A missing part gives a sentence, never an error."""
    parts = [
        _headline(report),
        _gain(report),
        *_rivals(report),
        _constant(report),
        *_twins(report),
        _many_tries(report),
    ]
    parts += [_format(report), _harder(report), *_weak_links(report)]
    return [finding for finding in parts if finding is not None]


# -- differences in words ------------------------------------------------------------------------------------


def spread(difference: Mapping[str, Any]) -> str:
    """A difference as "+43.4 points (95 % interval +38.9 to +47.8)"."""
    low, high = signed(difference["low"]), signed(difference["high"])
    p = _p(difference)
    # an interval just beside 0 whose exact test does not reject: without its p the words would contradict it
    test = f", {probability(p)}" if p is not None and p >= 0.05 and difference["low"] * difference["high"] > 0 else ""
    return f"{signed(difference['mean'])} points (95 % interval {low} to {high}{test})"


def _p(difference: Mapping[str, Any]) -> float | None:
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


def _join(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


# -- the gain ------------------------------------------------------------------------------------------------


def _headline(report: Mapping[str, Any]) -> Finding:
    model = look(report, "model.name") or "The model"
    task, level = look(report, "task.name") or "the task", look(report, "task.level")
    what = str(task) if level is None else f"{task} (level {level})"
    difference = look(report, "statistics.difference")
    before, after = look(report, "before.greedy"), look(report, "after.greedy")
    if not (difference and before and after):
        why = "it was not measured both before and after training"
        return Finding("headline", f"No verdict on {model} and {what}: {why}.")
    fresh = "fresh problems" if look(report, "overlap.shared") == 0 else "problems"
    change = f"{percent(before['mean'])} right before, {percent(after['mean'])} after, on {after['n']} {fresh}"
    if direction(difference) == "unclear":
        return Finding("headline", f"No gain shown: {model} on {what}, {change}, not distinguishable from no change.")
    if direction(difference) == "down":
        return Finding("headline", f"{model} got worse at {what}: {change}.")
    but = ""
    for way, words in (("down", "better"), ("unclear", "as well")):
        known = [*_rival_list(report), _majority(report)]
        rivals = [name for name, _, versus in known if versus and direction(versus) == way]
        if rivals:
            but += f"; without training, {_join(rivals)} {'does' if len(rivals) == 1 else 'do'} {words}"
    return Finding("headline", f"{model} got better at {what}: {change}{but}.")


def _gain(report: Mapping[str, Any]) -> Finding | None:
    difference = look(report, "statistics.difference")
    if not difference:
        return None
    p = _p(difference)
    test = "" if p is None else f", {difference.get('test', 'exact McNemar')} {probability(p)}"
    text = f"Change on the same {difference['n']} problems: {spread(difference)}{test}."
    match direction(difference):
        case "up":
            return Finding("good", text)
        case "down":
            return Finding("bad", text)
    least = difference.get("minimum_detectable")
    missed = "" if least is None else f" A true change below {100 * least:.1f} points would often be missed."
    return Finding("bad", f"{text} The interval covers 0 or the test does not reject it.{missed}")


def _rival_list(report: Mapping[str, Any]) -> list[tuple[str, float | None, Mapping[str, Any] | None]]:
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
            f"self-consistency over {votes} answers{_at(report, 'baselines.self_consistency.temperature')}"
            if votes
            else "self-consistency",
            look(report, "baselines.self_consistency.accuracy.mean"),
            look(report, "statistics.versus_self_consistency"),
        ),
    ]


def _majority(report: Mapping[str, Any]) -> tuple[str, float | None, Mapping[str, Any] | None]:
    """The same for an answer that does not read the question."""
    accuracy = look(report, "baselines.majority_answer.accuracy")
    text = str(look(report, "baselines.majority_answer.text") or "")
    return (
        f"always answering “{text if len(text) <= 40 else text[:39] + '…'}”",
        look(accuracy, "mean") if isinstance(accuracy, Mapping) else accuracy,
        look(report, "statistics.versus_majority_answer"),
    )


def _at(report: Mapping[str, Any], path: str) -> str:
    """ " at T = 0.4"; nothing where the temperature is not known."""
    temperature = look(report, path)
    return f" at T = {temperature:g}" if isinstance(temperature, int | float) else ""


def _constant(report: Mapping[str, Any]) -> Finding:
    name, accuracy, versus = _majority(report)
    if not versus:
        return Finding("open", "What always giving the most frequent answer would score was not measured.")
    start = f"{name[0].upper()}{name[1:]}, the most frequent answer, would be right {percent(accuracy)} of the time"
    match direction(versus):
        case "up":
            return Finding("good", f"{start}; the sharpened model is ahead by {spread(versus)}.")
        case "down":
            return Finding("bad", f"{start}: better than the sharpened model, which differs by {spread(versus)}.")
    return Finding("bad", f"{start}: not distinguishable from the sharpened model, which differs by {spread(versus)}.")


def _rivals(report: Mapping[str, Any]) -> list[Finding]:
    words: dict[Direction, list[str]] = {"up": [], "unclear": [], "down": []}
    unknown = []
    for name, accuracy, versus in _rival_list(report):
        if not versus:
            unknown.append(name)
            continue
        points = f"{signed(versus['mean'])} points, {signed(versus['low'])} to {signed(versus['high'])}"
        words[direction(versus)].append(f"{name} ({percent(accuracy)}; {points})")
    result = []
    if words["up"]:
        result.append(Finding("good", f"Better than what the untrained model reaches by {_join(words['up'])}."))
    if words["unclear"]:
        text = f"Not distinguishable from the untrained model with {_join(words['unclear'])}."
        result.append(Finding("bad", text))
    if words["down"]:
        result.append(Finding("bad", f"Worse than the untrained model with {_join(words['down'])}."))
    if unknown:
        result.append(Finding("open", f"Not compared with {_join(unknown)}: this was not measured."))
    return result


# -- controls ------------------------------------------------------------------------------------------------


def _twins(report: Mapping[str, Any]) -> list[Finding]:
    """The random-reward twin always, for its absence is worth a sentence; the others where they were trained."""
    told = look(report, "controls") or {}
    names = ["random", *(name for name in EXTRA if f"{name}_reward" in told)]
    return [_twin(report, CONTROLS[name]) for name in names]


def _twin(report: Mapping[str, Any], control: Control) -> Finding:
    twin = look(report, f"controls.{control.name}_reward")
    difference = look(twin, "difference")
    if not difference:
        failure = look(report, f"controls.{control.name}_reward_failure")
        title = control.title
        why = f"The {title} failed ({failure})" if failure else f"No {title} was trained"
        return Finding("open", f"{why}: what training does without a true reward was not measured.")
    steps, of = look(twin, "steps"), look(report, "steps")
    when = (
        f"in {steps} of {of} steps" if steps and of and steps < of else "in as many steps" if steps else "in training"
    )
    who = f"The twin {control.trained}"
    if direction(difference) != "up":
        moved = "did not move measurably" if direction(difference) == "unclear" else "got worse"
        text = f"{who} {moved} {when}: {spread(difference)}."
        if not _twin_is_long_enough(report, control):
            return Finding("weak", f"{text} That is too short a training to show that training as such does not help.")
        return Finding("good", text + (" Training as such does not help." if moved == "got worse" else ""))
    after, twin_after = look(report, "after.greedy"), look(twin, "greedy")
    text = f"{who} improved too {when}: {spread(difference)}. {control.teaches}"
    if after and twin_after:
        lead = spread(unpaired_difference(after, twin_after).to_dict())
        text += f" The sharpened model is ahead of its twin by {lead}."
    return Finding("bad", text)


def _twin_is_long_enough(report: Mapping[str, Any], control: Control = CONTROLS["random"]) -> bool:
    """Whether the twin had at least half of the steps; one whose steps are not known had not."""
    steps, of = look(report, f"controls.{control.name}_reward.steps"), look(report, "steps")
    return bool(steps and of and 2 * steps >= of)


def _many_tries(report: Mapping[str, Any]) -> Finding:
    base = {point["k"]: point for point in look(report, "pass_at_k.base") or []}
    sharp = {point["k"]: point for point in look(report, "pass_at_k.sharpened") or []}
    shared = sorted(base.keys() & sharp.keys())
    if not shared or shared[-1] < 2:
        text = "Pass@k was not measured: whether the skill is new or was already in the base model is open."
        return Finding("open", text)
    k = shared[-1]
    at = {name: _at(report, f"pass_at_k.temperature.{name}") for name in ("base", "sharpened")}
    scores = f"{percent(base[k]['mean'])} for the base model{at['base']}, "
    scores += f"{percent(sharp[k]['mean'])} sharpened{at['sharpened']}"
    where = f"With {k} tries ({scores})"
    if min(base[k]["mean"], sharp[k]["mean"]) > 0.97:
        text = "both solve nearly everything: sharpening amplified what the base model finds among its tries."
        return Finding("open", f"{where} {text}")
    way = direction(unpaired_difference(sharp[k], base[k]).to_dict())
    if way == "down":
        crossing = next(x for x in shared if sharp[x]["mean"] < base[x]["mean"])
        text = f"the base model overtakes, from about k = {crossing}: sharpening amplified part of what it"
        return Finding("bad", f"{where} {text} could do and lost the rest; nothing new shows.")
    if way == "unclear":
        text = "the two are not distinguishable: the gain is in saying first what the base model also finds"
        return Finding("open", f"{where} {text} in {k} tries. Amplified; nothing new is shown.")
    text = "the sharpened model is still ahead: it solves problems that the base model does not find"
    return Finding("good", f"{where} {text} in {k} tries.")


def _format(report: Mapping[str, Any]) -> Finding | None:
    before, after = verdict_shares(look(report, "before")), verdict_shares(look(report, "after"))
    if before is None or after is None:
        return None
    read_before, read_after = before["right"] + before["wrong"], after["right"] + after["wrong"]
    if abs(read_after - read_before) < 0.05 or min(read_before, read_after) == 0:
        return None
    form = f"an answer could be read {percent(read_before)} of the time before and {percent(read_after)} after"
    skill = f"{percent(before['right'] / read_before)} and {percent(after['right'] / read_after)}"
    return Finding("open", f"Form changed too: {form}. Of the answers that could be read, {skill} were right.")


def _harder(report: Mapping[str, Any]) -> Finding:
    harder = look(report, "harder")
    difference = look(harder, "difference")
    if not difference:
        return Finding("open", "One level harder was not measured.")
    where = f"One level harder (level {look(harder, 'level')}), never trained on"
    match direction(difference):
        case "up":
            return Finding("good", f"{where}, the gain carries over: {spread(difference)}.")
        case "down":
            return Finding("bad", f"{where}, the model got worse: {spread(difference)}.")
    return Finding("open", f"{where}, no change can be told from none: {spread(difference)}.")


# -- the weakest link ----------------------------------------------------------------------------------------


def _weak_links(report: Mapping[str, Any]) -> list[Finding]:
    links = [*_leaks(report), *_control_gaps(report), *_small_numbers(report), *_answer_troubles(report)]
    links.sort(key=lambda link: -link[0])  # stable: equals keep the order above
    if not links:
        return [Finding("weak", "Weakest link: none among those that this report checks.")]
    worst, *others = [text for _, text in links]
    result = [Finding("weak", f"Weakest link: {worst}.")]
    if others:
        result.append(Finding("weak", f"Also weak: {'; '.join(others)}."))
    return result


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
        links.append((55, f"the evaluation problems were looked at {looks} times, so the interval is too narrow"))
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
        links.append((50 if _twin_is_long_enough(report) else 78, short))
    for name in EXTRA:
        if (other := look(report, f"controls.{name}_reward.difference")) and direction(other) == "up":
            links.append((88, f"the {CONTROLS[name].title} improved too"))
    unknown = [name for name, _, versus in _rival_list(report) if not versus]
    if unknown:
        links.append((60, f"no comparison with {_join(unknown)}"))
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
