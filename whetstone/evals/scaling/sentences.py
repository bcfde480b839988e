"""The result in words: one sentence or two for each model on each task, and the answer to "train or think longer?"."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from whetstone.evals.page.numbers import percent, signed

Row = Mapping[str, Any]

UNITS = {"flops": "FLOPs", "seconds": "seconds", "usd": "USD", "tokens": "tokens"}


def sentences(result: Row) -> list[dict[str, Any]]:
    """{kind, task, level, model, short, text} of each: kind "thinking", "wanted" or "train or think"; `short` is how
    `text` begins, for a list of many."""
    found = []
    for each in result["measurements"]:
        about = {name: each[name] for name in ("task", "level", "model")}
        told = thinking(each)
        found.append({"kind": "thinking", **about, "short": told, "text": told})
        if each["cheapest"] is not None:
            told = wanted(each)
            found.append({"kind": "wanted", **about, "short": told, "text": told})
    for each in result["train_or_think"]:
        about = {"task": each["task"], "level": each["level"], "model": each["trained"]}
        short, more = answer(each)
        found.append({"kind": "train or think", **about, "short": short, "text": f"{short} {more}".strip()})
    return found


def thinking(measured: Row) -> str:
    """What thinking longer buys this model on this task."""
    rows = [row for row in measured["points"] if row["kind"] == "method"]
    greedy = next((row for row in rows if row["method"] == "greedy"), None)
    best = max(rows, key=lambda row: row["accuracy"]["mean"], default=None)
    if best is None:
        return "No method was measured."
    oracle = max((row["accuracy"]["mean"] for row in measured["points"] if row["kind"] == "oracle"), default=None)
    ceiling = ""
    if oracle is not None and oracle > best["accuracy"]["mean"]:
        ceiling = f" Some sample is right in {percent(oracle)}: what a perfect choice would earn."
    if greedy is None:
        return f"The best setting is {best['name']} with {percent(best['accuracy']['mean'])}.{ceiling}"
    gains = [row for row in rows if (row["versus_greedy"] or {}).get("verdict") == "gain"]
    start = f"One greedy answer is right in {percent(greedy['accuracy']['mean'])}."
    if not gains:
        if best is greedy:
            return f"{start} Nothing that was measured does better.{ceiling}"
        difference = points_between(best["versus_greedy"])
        return f"{start} Nothing is distinguishably better; {best['name']}, the best, differs by {difference}.{ceiling}"
    top = max(gains, key=lambda row: row["accuracy"]["mean"])
    least = min(gains, key=lambda row: row["costs"]["tokens"]["mean"])
    told = f"{top['name']} gains {_gain(top, greedy)}"
    if least is not top:
        told += f"; the cheapest that is distinguishably better is {least['name']}, {_gain(least, greedy)}"
    return f"{start} {told}.{ceiling}"


def _gain(row: Row, greedy: Row) -> str:
    ratio = row["costs"]["tokens"]["mean"] / greedy["costs"]["tokens"]["mean"]
    return f"{points_between(row['versus_greedy'])} for {ratio:.1f} times the tokens"


def points_between(difference: Row) -> str:
    """`+4.5 points (+1.2 to +7.9)`."""
    mean, low, high = (signed(difference[name]) for name in ("mean", "low", "high"))
    return f"{mean} points ({low} to {high})"


def wanted(measured: Row) -> str:
    """The cheapest setting that reaches the wanted accuracy: chosen on one half of the problems, told on the other."""
    found = measured["cheapest"]
    want = percent(found["want"], 0)
    if found["name"] is None:
        best = found["best"]
        near = "" if best is None else f"; {best['name']} comes nearest with {percent(best['accuracy'])}"
        return f"No measured setting reaches {want} on the half of the problems on which one is chosen{near}."
    accuracy = found["accuracy"]
    begin = {
        "reached": f"The cheapest setting that reaches {want} is {found['name']}",
        "missed": f"Nothing is shown to reach {want}: the cheapest that seemed to is {found['name']}",
        "not distinguishable": f"The cheapest setting that seems to reach {want} is {found['name']}",
    }[found["verdict"]]
    end = {
        "reached": "",
        "missed": ", which misses what was wanted",
        "not distinguishable": f", which may be {want} or not",
    }[found["verdict"]]
    return (
        f"{begin}, {big(found['per_question'])} {UNITS[found['cost']]} a question: chosen on one half of the problems "
        f"({percent(found['chosen_at'])} there), on the other half it is right in {percent(accuracy['mean'])} "
        f"({percent(accuracy['low'])} to {percent(accuracy['high'])}){end}."
    )


# -- train or think ------------------------------------------------------------------------------------------


def answer(compared: Row) -> tuple[str, str]:
    """Train or think longer? In FLOPs, or in whatever is known; the answer, and what is behind it."""
    by = compared["by"]
    found = next((by[cost] for cost in ("flops", "seconds", "usd") if by.get(cost)), None)
    if found is None:
        return "What training or answering cost is not known, so the two cannot be held against each other.", ""
    start = found["trained_gain"]
    gain, target = start["trained_better_by"], found["target"]
    where = "" if compared["trained_on"] else " (it was trained on something else)"
    if gain["verdict"] == "not distinguishable":
        told = (
            f"Not distinguishable: the trained model's {target['name']} differs from the base's {start['name']} by "
            f"{points_between(gain)}{where}, so its first answers show nothing that training bought."
        )
        return told + _at_their_best(found), ""
    if gain["verdict"] == "loss":
        told = f"Think: training made the first answer worse here, by {points_between(gain)}{where}."
        return told + _at_their_best(found), ""
    short, more = _bargain(found, target, where)
    return short, f"{more} {_equal(found)}".strip()


def _at_their_best(found: Row) -> str:
    """What else may be said where the first answers do not speak for training: both models at their best."""
    base, trained = found["best_base"], found["best_trained"]
    if trained["better_by"]["verdict"] != "gain":
        return ""
    return (
        f" But at their best, chosen on these problems, the trained model is ahead: {trained['name']} "
        f"{percent(trained['accuracy'])}, the base's {base['name']} {percent(base['accuracy'])} "
        f"({points_between(trained['better_by'])})."
    )


def _bargain(found: Row, target: Row, where: str) -> tuple[str, str]:
    unit, even = UNITS[found["cost"]], found["break_even"]
    cost = (
        f"Training cost {big(found['one_off'])} {unit}, as much as {count(found['one_off'] / target['per_question'])}"
    )
    cost += f" answers of the trained model ({percent(target['accuracy'])} with {target['name']}{where})."
    reached = found["reached_by"]
    if reached is None:
        best = found["best_base"]
        told = (
            f"Train: no measured setting of the base comes that far; its best, {best['name']}, stays "
            f"{percent(best['accuracy'])}, and training is better by {points_between(best['trained_better_by'])}."
        )
        if best["trained_better_by"]["verdict"] == "not distinguishable":
            told = (
                f"Not distinguishable: the base's best, {best['name']}, reaches {percent(best['accuracy'])}, and the "
                f"difference to the trained model, {points_between(best['trained_better_by'])}, may be none."
            )
        return told, cost + _measured_up_to(found)
    same = f"the base is as good with {reached['name']} ({percent(reached['accuracy'])})"
    if even["questions"] is None:
        return f"Think: {same} for no more {unit} a question, so training is never earned back.", cost
    low, high = (even[end] for end in ("low", "high"))
    # no number: below, that the base never gets there in that draw; above, that training is never earned back
    band = f" (95 %: {'0' if low is None else count(low)} to {'never' if high is None else count(high)})"
    told = (
        f"Think for fewer than {count(even['questions'])} questions{band}, train for more: {same}, "
        f"at {big(reached['per_question'])} {unit} a question against {big(target['per_question'])}."
    )
    return told, cost


def _measured_up_to(found: Row) -> str:
    most = found["measured_up_to"]
    if most is None:
        return " The base was not measured at as much compute a question, so larger budgets may tell otherwise."
    return (
        f" Below {count(most)} questions the base could spend more on each than was measured here; from there on the "
        "comparison is whole."
    )


def _equal(found: Row) -> str:
    """From which number of questions on the trained model is distinguishably better at equal total compute."""
    rows = [row for row in found["equal_compute"] if row["trained_better_by"] is not None and not row["beyond"]]
    train = [row["questions"] for row in rows if row["trained_better_by"]["verdict"] == "gain"]
    think = [row["questions"] for row in rows if row["trained_better_by"]["verdict"] == "loss"]
    told = []
    if think:
        told.append(f"the base is distinguishably better up to {count(max(think))} questions")
    if train:
        told.append(f"the trained model is distinguishably better from {count(min(train))} questions on")
    return f"At equal total {UNITS[found['cost']]}, {' and '.join(told)}." if told else ""


def big(value: float) -> str:
    """`132`, `4,310`, `7.9·10¹³`: three digits that matter."""
    if value == 0:
        return "0"
    if 0.01 <= abs(value) < 1e6:
        whole = round(value, 2 - math.floor(math.log10(abs(value))))
        return f"{whole:,.0f}" if abs(whole) >= 100 else f"{whole:.3g}"
    power = math.floor(math.log10(abs(value)))
    return f"{value / 10**power:.1f}·10{str(power).translate(str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'))}"


def count(value: float) -> str:
    """A number of questions: two digits that matter."""
    if value < 1:
        return "1"
    if value >= 1e6:
        return f"{float(f'{value / 1e6:.2g}'):,g} million"
    digits = 1 - math.floor(math.log10(value))
    return f"{round(value, min(0, digits)):,.0f}"
