"""route.html: the cost-quality curve of a route, its controls, and the sentence that they allow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from whetstone.evals.page.figures import (
    ACCENT,
    BASE,
    INK,
    MUTED,
    SHARP,
    TWIN,
    VERDICT_COLOURS,
    dot,
    drawing,
    legend,
    percent_axis,
)
from whetstone.evals.page.frame import Facts, figure, fill
from whetstone.evals.page.numbers import accuracy, percent, probability, signed, tied

Row = Mapping[str, Any]
UNITS = {"tokens": "tokens", "flops": "FLOPs", "seconds": "seconds", "usd": "USD"}
SMALL = 300  # problems below which intervals are wide enough to be named as a weakness


def render(told: Row) -> str:
    """The page as text, UTF-8 safe; equal routes give equal bytes. `told`: as `Policy.to_dict` with all facts."""
    facts = told["facts"]
    what = facts["task"] if facts["level"] is None else f"{facts['task']}, level {facts['level']}"
    test, unit = facts["test"], UNITS[facts["unit"]]
    return fill(
        "evals/routing/page.html.j2",
        None,
        title=f"A route over {len(told['options'])} options at {what}",
        created=facts["created"],
        headline=tied(
            f"The route ({rule_in_words(told)}) answers {percent(test['accuracy']['mean'])} of "
            f"{test['accuracy']['n']} problems right (95 % interval {percent(test['accuracy']['low'])} to "
            f"{percent(test['accuracy']['high'])}) for {number(test['cost']['mean'])} {unit} each."
        ),
        sentence=tied(facts["sentence"]),
        links=[tied(link) for link in links(told)],
        chips=[told["rule"]["kind"], f"prompt style “{facts['style']}”", f"cost in {unit}"],
        figures=[_curve(told)],
        rows=_rows(told),
        unit=unit,
        against=_against(facts["versus_singles"]),
        equal=_equal(facts["equal_cost"]),
        provenance=_provenance(told),
        command=facts["command"] or "",
    )


def number(value: float) -> str:
    """A cost with three digits that matter."""
    if value == 0:
        return "0"
    if 0.001 <= abs(value) < 10_000:
        return f"{value:.3g}"
    if abs(value) < 1e6 and value == round(value):
        return f"{value:,.0f}"
    mantissa, _, exponent = f"{value:.2e}".partition("e")
    return f"{mantissa}·10^{int(exponent)}"


def rule_in_words(told: Row) -> str:
    """ "smollm2-135m@greedy, unless its confidence is below 0.61; then …"."""
    names = [f"{option['model']}@{option['strategy']}" for option in told["options"]]
    rule = told["rule"]
    if rule["kind"] == "classifier":
        reads = {"ngrams": "words", "hidden": "hidden states"}[rule["features"]["kind"]]
        return f"a classifier of the question's {reads} over {', '.join(names)}"
    chain = [names[place] for place in rule["order"]]
    if len(chain) == 1:
        return f"{chain[0]} alone, as no chain was better on the validation problems"
    steps = [f"{name} if it is sure by {bar:.2f}" for name, bar in zip(chain, rule["thresholds"], strict=False)]
    return f"{', else '.join([*steps, chain[-1]])}"


def links(told: Row) -> list[str]:
    """What to hold against it, weakest first; never empty."""
    facts = told["facts"]
    found = []
    if told["rule"]["kind"] == "cascade" and len(told["rule"]["order"]) == 1:
        found.append("the route is one option alone: routing gained nothing on the problems that it was chosen on")
    gap = facts["validation"]["accuracy"] - facts["test"]["accuracy"]["mean"]
    if gap > 0.02:
        found.append(
            f"on the problems that it was calibrated on it had {percent(facts['validation']['accuracy'])}: "
            f"{100 * gap:.1f} points of that did not hold on new ones"
        )
    better = [row for row in facts["equal_cost"] if row["difference"]["high"] < 0]
    if better:
        found.append(f"{better[0]['option']}, which costs as much, is better: routing is not worth it here")
    if (area := facts["area_over_diagonal"]) is not None and area <= 0:
        found.append(
            "choosing an option by chance does as well at equal cost: the area over the diagonal is not above 0"
        )
    if facts["seed_note"]:
        found.append(facts["seed_note"])
    if facts["test"]["accuracy"]["n"] < SMALL:
        found.append(f"{facts['test']['accuracy']['n']} problems only: intervals are wide")
    return [*found, "questions of another kind than these were not asked: there confidence may mean something else"]


def _curve(told: Row) -> dict[str, Any]:
    facts = told["facts"]
    unit = UNITS[facts["unit"]]
    with drawing("route", width=7.2, height=4.2) as (made, out):
        axes = made.subplots()
        diagonal = facts["diagonal"]
        axes.plot(*zip(*diagonal, strict=True), color=MUTED, linestyle=(0, (3, 2)), linewidth=1.2, label="by chance")
        for colour, (kind, points) in zip((SHARP, ACCENT, TWIN), facts["curves"].items(), strict=False):
            costs = [point["cost"]["mean"] for point in points]
            means = [point["accuracy"]["mean"] for point in points]
            marks = {"marker": "o", "markersize": 3, "linewidth": 1.2}
            axes.plot(costs, means, color=colour, label=kind, **marks)  # type: ignore[arg-type]
        spot: Counter[tuple[str, int]] = Counter()  # options that lie on each other have their numbers side by side
        for place, row in enumerate(facts["singles"]):
            dot(axes, row["cost"]["mean"], row["accuracy"], BASE, label=None)
            at = f"{row['cost']['mean']:.1e}", round(12 * row["accuracy"]["mean"])
            beside: dict[str, Any] = {"xytext": (5 + 11 * spot[at], 4), "textcoords": "offset points", "fontsize": 9}
            axes.annotate(str(place + 1), (row["cost"]["mean"], row["accuracy"]["mean"]), weight="bold", **beside)
            spot[at] += 1
        for order, row in enumerate(facts["equal_cost"]):
            label = None if order else "votes at its cost"
            dot(axes, row["cost"]["mean"], row["accuracy"], VERDICT_COLOURS["wrong"], label=label)
        dot(axes, facts["test"]["cost"]["mean"], facts["test"]["accuracy"], INK, label="this route")
        if all(row["cost"]["mean"] > 0 for row in facts["singles"]):
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
            axes.xaxis.set_minor_locator(NullLocator())
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
        axes.set_xlabel(f"{unit} for a question")
        percent_axis(axes)
        legend(axes)
    caption = (
        "Test problems. Curves: every route of the front that was found on the validation problems. Grey diamonds: "
        "single options, numbered as in the table. Votes: one model with as many samples as the route's cost buys. "
        "Dashed: options mixed by chance. Bars: 95 % intervals."
    )
    table = [["", f"{unit} for a question", "right"]]
    numbered = enumerate(facts["singles"], 1)
    table += [[f"{i}. {r['option']}", number(r["cost"]["mean"]), accuracy(r["accuracy"])] for i, r in numbered]
    table += [["this route", number(facts["test"]["cost"]["mean"]), accuracy(facts["test"]["accuracy"])]]
    return figure("route", "Quality against cost", out[0], caption, "", wide=True, table=table)


def _rows(told: Row) -> list[list[str]]:
    """Every option, the controls and the route: name, right, cost, share of questions that it answered."""
    facts = told["facts"]
    shares = facts["test"]["answered"]
    rows = [
        [f"{place}. {row['option']}", accuracy(row["accuracy"]), number(row["cost"]["mean"]), percent(share, 0)]
        for place, (row, share) in enumerate(zip(facts["singles"], shares, strict=True), 1)
    ]
    rows += [
        [f"{row['option']} (the route's cost)", accuracy(row["accuracy"]), number(row["cost"]["mean"]), ""]
        for row in facts["equal_cost"]
    ]
    test = facts["test"]
    return [*rows, ["this route", accuracy(test["accuracy"]), number(test["cost"]["mean"]), "100 %"]]


def _against(rows: Sequence[Row]) -> list[list[str]]:
    return [
        [
            row["option"],
            f"{percent(row['accuracy'])} for {number(row['cost'])}",
            f"{percent(row['route_accuracy'])} for {number(row['route_cost'])}",
            _points(row["difference"]),
            probability(row["p_holm"]),
        ]
        for row in rows
    ]


def _equal(rows: Sequence[Row]) -> list[list[str]]:
    return [
        [
            row["option"],
            f"{percent(row['accuracy']['mean'])} for {number(row['cost']['mean'])}",
            _points(row["difference"]),
            probability(row["difference"]["p"]),
        ]
        for row in rows
    ]


def _points(difference: Row) -> str:
    return f"{signed(difference['mean'])} ({signed(difference['low'])} to {signed(difference['high'])})"


def _provenance(told: Row) -> Facts:
    facts = told["facts"]
    area = facts["area_over_diagonal"]
    rows: list[tuple[str, Any]] = [
        ("rule", rule_in_words(told)),
        ("area over the diagonal, in points", None if area is None else signed(area)),
        *((f"weights of {option['model']}", option["weights"]) for option in told["options"]),
        ("task version", facts["task_version"]),
        ("problems to learn from, calibrate on, measure on", ", ".join(map(str, facts["problems"].values()))),
        ("seed", facts["seed"]),
        ("commitment of the problems' key", facts["key"]),
        *((f"price of {line['model']}", ", ".join(f"{k} {v}" for k, v in line.items())) for line in facts["prices"]),
        ("machine", facts["machine"]),
    ]
    return [(name, str(value)) for name, value in dict(rows).items() if value is not None]
