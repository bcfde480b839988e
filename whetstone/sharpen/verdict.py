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
from whetstone.evals.statistics import unpaired_difference
from whetstone.sharpen.comparisons import (
    Direction,
    at_temperature,
    direction,
    join,
    majority,
    p_of,
    rival_list,
    spread,
    twin_is_long_enough,
)
from whetstone.sharpen.weak_links import weak_links

Kind = Literal["headline", "good", "bad", "open", "weak"]


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
    parts += [_format(report), _harder(report), *_weakest(report)]
    return [finding for finding in parts if finding is not None]


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
        known = [*rival_list(report), majority(report)]
        rivals = [name for name, _, versus in known if versus and direction(versus) == way]
        if rivals:
            but += f"; without training, {join(rivals)} {'does' if len(rivals) == 1 else 'do'} {words}"
    return Finding("headline", f"{model} got better at {what}: {change}{but}.")


def _gain(report: Mapping[str, Any]) -> Finding | None:
    difference = look(report, "statistics.difference")
    if not difference:
        return None
    p = p_of(difference)
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


def _gained(report: Mapping[str, Any]) -> bool:
    """Whether there is a gain to explain."""
    difference = look(report, "statistics.difference")
    return bool(difference) and direction(difference) == "up"


def _constant(report: Mapping[str, Any]) -> Finding:
    name, accuracy, versus = majority(report)
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
    for name, accuracy, versus in rival_list(report):
        if not versus:
            unknown.append(name)
            continue
        points = f"{signed(versus['mean'])} points, {signed(versus['low'])} to {signed(versus['high'])}"
        words[direction(versus)].append(f"{name} ({percent(accuracy)}; {points})")
    result = []
    if words["up"]:
        result.append(Finding("good", f"Better than what the untrained model reaches by {join(words['up'])}."))
    if words["unclear"]:
        text = f"Not distinguishable from the untrained model with {join(words['unclear'])}."
        result.append(Finding("bad", text))
    if words["down"]:
        result.append(Finding("bad", f"Worse than the untrained model with {join(words['down'])}."))
    if unknown:
        result.append(Finding("open", f"Not compared with {join(unknown)}: this was not measured."))
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
    who, moved = f"The twin {control.trained}", direction(difference)
    ahead, lead = _lead_on(report, twin)
    if moved == "up":
        text = f"{who} improved too {when}: {spread(difference)}. {control.teaches}"
        return Finding("bad", text + (f" {lead}" if lead else ""))
    text = f"{who} {'got worse' if moved == 'down' else 'did not move measurably'} {when}: {spread(difference)}."
    if not twin_is_long_enough(report, control):
        return Finding("weak", f"{text} That is too short a training to show that training as such does not help.")
    if moved == "down":
        return Finding("good", f"{text} Training as such does not help.")
    if _gained(report) and lead and ahead != "up":  # few problems: a twin that shows no gain shows no absence of one
        return Finding("bad", f"{text} But {lead[0].lower()}{lead[1:]}")
    return Finding("good", text)


def _lead_on(report: Mapping[str, Any], twin: Mapping[str, Any]) -> tuple[Direction, str]:
    """Which way the sharpened model differs from a twin, and the sentence; none where one has no accuracy."""
    after, twin_after = look(report, "after.greedy"), look(twin, "greedy")
    if not (after and twin_after):
        return "unclear", ""
    difference = unpaired_difference(after, twin_after).to_dict()
    words = {"up": "is ahead of", "down": "is behind", "unclear": "is not distinguishable from"}
    way = direction(difference)
    return way, f"The sharpened model {words[way]} its twin: {spread(difference)}."


def _many_tries(report: Mapping[str, Any]) -> Finding:
    base = {point["k"]: point for point in look(report, "pass_at_k.base") or []}
    sharp = {point["k"]: point for point in look(report, "pass_at_k.sharpened") or []}
    shared = sorted(base.keys() & sharp.keys())
    if not shared or shared[-1] < 2:
        text = "Pass@k was not measured: whether the skill is new or was already in the base model is open."
        return Finding("open", text)
    k = shared[-1]
    at = {name: at_temperature(report, f"pass_at_k.temperature.{name}") for name in ("base", "sharpened")}
    scores = f"{percent(base[k]['mean'])} for the base model{at['base']}, "
    scores += f"{percent(sharp[k]['mean'])} sharpened{at['sharpened']}"
    where = f"With {k} tries ({scores})"
    gained, lowest, highest = _gained(report), *sorted((base[k]["mean"], sharp[k]["mean"]))
    if lowest > 0.97:
        amplified = ": sharpening amplified what the base model finds among its tries" if gained else ""
        return Finding("open", f"{where} both solve nearly everything{amplified}.")
    if highest == 0:
        return Finding("open", f"{where} neither solves any.")
    way = direction(unpaired_difference(sharp[k], base[k]).to_dict())
    if way == "down":
        start = f"{where} the base model is ahead"
        if not gained:
            return Finding("bad", f"{start}: training lost part of what it could do.")
        crossing = next(x for x in shared if sharp[x]["mean"] < base[x]["mean"])
        text = f"from about k = {crossing} on: sharpening amplified part of what it could do and lost the rest"
        return Finding("bad", f"{start}, {text}; nothing new shows.")
    if way == "unclear":
        text = ": the gain may be in saying first what the base model also finds; nothing new is shown"
        return Finding("open", f"{where} the two are not distinguishable{text if gained else ''}.")
    text = "the sharpened model is still ahead" if gained else "the sharpened model is ahead"
    return Finding("good", f"{where} {text}: it solves problems that the base model does not find in {k} tries.")


def _format(report: Mapping[str, Any]) -> Finding | None:
    before, after = verdict_shares(look(report, "before")), verdict_shares(look(report, "after"))
    if before is None or after is None:
        return None
    read_before, read_after = before["right"] + before["wrong"], after["right"] + after["wrong"]
    if abs(read_after - read_before) < 0.05 or min(read_before, read_after) == 0:
        return None
    form = f"an answer could be read {percent(read_before)} of the time before and {percent(read_after)} after"
    skill = f"{percent(before['right'] / read_before)} and {percent(after['right'] / read_after)}"
    too = " too" if _gained(report) else ""
    return Finding("open", f"Form changed{too}: {form}. Of the answers that could be read, {skill} were right.")


def _harder(report: Mapping[str, Any]) -> Finding:
    harder = look(report, "harder")
    difference = look(harder, "difference")
    if not difference:
        return Finding("open", "One level harder was not measured.")
    where = f"One level harder (level {look(harder, 'level')}), never trained on"
    match direction(difference):
        case "up":
            better = "the gain carries over" if _gained(report) else "the model got better"
            return Finding("good", f"{where}, {better}: {spread(difference)}.")
        case "down":
            return Finding("bad", f"{where}, the model got worse: {spread(difference)}.")
    return Finding("open", f"{where}, no change can be told from none: {spread(difference)}.")


def _weakest(report: Mapping[str, Any]) -> list[Finding]:
    links = weak_links(report)
    if not links:
        return [Finding("weak", "Weakest link: none among those that this report checks.")]
    result = [Finding("weak", f"Weakest link: {links[0]}.")]
    if links[1:]:
        result.append(Finding("weak", f"Also weak: {'; '.join(links[1:])}."))
    return result
