"""The figures of a scaling page: accuracy against what it costs, and two models at equal total compute."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from whetstone.evals.page.figures import (
    BASE,
    HEIGHT,
    INK,
    MARKERS,
    MUTED,
    SERIES,
    SHARP,
    drawing,
    labels,
    legend,
    percent_axis,
    verdict_bars,
)
from whetstone.evals.page.numbers import verdict_shares
from whetstone.evals.scaling.sentences import big, count

Row = Mapping[str, Any]

AXES = {
    "tokens": "tokens a question",
    "seconds": "seconds a question",
    "flops": "FLOPs a question",
    "usd": "USD a question",
}


def trade(name: str, measured: Row, cost: str) -> str | None:
    """Every method's accuracy against one cost, on a log axis; None where that cost is not known.

    Methods that are on this front somewhere have their colour (`hues`) and a 95 % band, the others are grey; the front
    itself is the thin dark staircase. Dashed: the oracle; dotted: controls; far dots: the guess.
    """
    rows = [row for row in measured["points"] if row["costs"].get(cost, {}).get("mean")]
    if not rows:
        return None
    methods = list(dict.fromkeys(row["method"] for row in rows))
    short = labels(methods, 30)
    coloured = {row["method"] for row in rows if cost in row["front"] or row["kind"] == "oracle"}
    guess = measured["guess"]
    named = (
        len(coloured)
        + (guess is not None)
        + any(row["kind"] == "control" for row in rows)
        + (len(coloured) < len(methods))
    )
    with drawing(name, height=HEIGHT + 0.19 * max(0, math.ceil(named / 2) - 2)) as (figure, out):
        axes = figure.subplots()
        own, greys = hues(measured), 0
        seen: set[str] = set()
        for method in methods:
            curve = sorted((r for r in rows if r["method"] == method), key=lambda r: float(r["costs"][cost]["mean"]))
            if curve[0]["kind"] != "method":
                dash = (0, (4, 2)) if curve[0]["kind"] == "oracle" else (0, (1, 1.5))
                name = "best-of-k, scores shuffled" if curve[0]["kind"] == "control" else short[method]
                _line(axes, curve, cost, "" if name in seen else name, MUTED, "", dash, False)
                seen.add(name)
            elif any(cost in row["front"] for row in curve):
                _line(axes, curve, cost, short[method], *own[method], "solid", True)
            else:
                _line(axes, curve, cost, "" if greys else "never on the front", BASE, "x", "solid", False)
                greys += 1
        _front(axes, [row for row in rows if cost in row["front"]], cost, INK)
        if guess is not None:
            height, far = guess["accuracy"]["mean"], (0, (1, 3))
            axes.axhline(height, color=MUTED, linewidth=0.8, linestyle=far, zorder=1, label="a guess without reading")
        _log_axis(axes, [row["costs"][cost]["mean"] for row in rows], AXES[cost])
        percent_axis(axes)
        legend(axes)
    return out[0]


def hues(measured: Row) -> dict[str, tuple[str, str]]:
    """Colour and marker of every method that is on some front, by whatever cost: the same in all figures."""
    rows = [row for row in measured["points"] if row["kind"] == "method" and row["front"]]
    methods = dict.fromkeys(row["method"] for row in rows)
    return {each: (SERIES[i % len(SERIES)], MARKERS[i % len(MARKERS)]) for i, each in enumerate(methods)}


def _line(
    axes: Axes, curve: Sequence[Row], cost: str, label: str, colour: str, marker: str, dash: Any, band: bool
) -> None:
    prices = [row["costs"][cost]["mean"] for row in curve]
    if band and len(curve) > 1:
        low, high = ([row["accuracy"][end] for row in curve] for end in ("low", "high"))
        axes.fill_between(prices, low, high, color=colour, alpha=0.13, linewidth=0)
    elif band:
        arms = [[max(0.0, curve[0]["accuracy"]["mean"] - curve[0]["accuracy"]["low"])]]
        arms.append([max(0.0, curve[0]["accuracy"]["high"] - curve[0]["accuracy"]["mean"])])
        axes.errorbar(prices, [curve[0]["accuracy"]["mean"]], yerr=arms, color=colour, fmt="none", elinewidth=1.2)
    means = [row["accuracy"]["mean"] for row in curve]
    wide = 1.6 if band else 1.1
    axes.plot(
        prices,
        means,
        color=colour,
        marker=marker,
        markersize=4.2,
        linewidth=wide,
        linestyle=dash,
        label=label or "_unnamed",
    )


def _front(axes: Axes, rows: Sequence[Row], cost: str, colour: str) -> None:
    ordered = sorted(rows, key=lambda row: float(row["costs"][cost]["mean"]))
    prices = [row["costs"][cost]["mean"] for row in ordered]
    means = [row["accuracy"]["mean"] for row in ordered]
    axes.step(prices, means, where="post", color=colour, linewidth=0.9, alpha=0.75, zorder=1.5)


def _log_axis(axes: Axes, values: Sequence[float], words: str) -> None:
    axes.set_xscale("log")
    low, high = min(values), max(values)
    axes.set_xlim(low / 1.18, high * 1.18)
    narrow = high / low < 30
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if narrow else (1,), numticks=9))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: big(value)))
    axes.set_xlabel(words)


def samples(name: str, measured: Row) -> str | None:
    """What the samples were, before anything was chosen among them."""
    mixes = {f"at temperature {each['temperature']:g}": verdict_shares(each) for each in measured["pools"]}
    return verdict_bars(name, mixes) if mixes else None


def bargain(name: str, compared: Row, base: Row, trained: Row, cost: str) -> str | None:
    """Both models' fronts against total compute a question: the trained one's without its training, and with its
    training spread over as many questions as make a difference."""
    found = compared["by"].get(cost)
    if found is None:
        return None
    volumes = told_volumes(found)
    fronts = {each["model"]: [row for row in each["points"] if cost in row["front"]] for each in (base, trained)}
    shifts = [0.0, *(found["one_off"] / volume for volume in volumes)]
    prices = [row["costs"][cost]["mean"] + shift for rows in fronts.values() for row in rows for shift in shifts]
    end = max(prices) * 1.18
    with drawing(name, height=HEIGHT + 0.2 * (len(volumes) > 1)) as (figure, out):
        axes = figure.subplots()
        _stairs(axes, fronts[base["model"]], cost, 0.0, end, BASE, "solid", "base, thinking longer")
        for place, shift in enumerate(shifts):
            dash = ("solid", (0, (5, 2)), (0, (2.5, 2)), (0, (1, 1.5)))[place]
            words = f"trained, for {count(volumes[place - 1])} questions" if place else "trained, training not counted"
            _stairs(axes, fronts[trained["model"]], cost, shift, end, SHARP, dash, words)
        _log_axis(axes, prices, f"{AXES[cost]}, its share of training included")
        percent_axis(axes)
        legend(axes)
    return out[0]


def told_volumes(found: Row) -> list[float]:
    """Numbers of questions around the one at which the answer turns."""
    turn = found["break_even"]["questions"] or found["measured_up_to"]
    if turn is None:
        return []
    middle = round(math.log10(max(turn, 10.0)))
    return [10.0 ** (middle + step) for step in (-1, 0, 1)]


def _stairs(
    axes: Axes, rows: Sequence[Row], cost: str, shift: float, end: float, colour: str, dash: Any, label: str
) -> None:
    """A front from where it begins to the right edge: who may spend more need not."""
    ordered = sorted(rows, key=lambda row: float(row["costs"][cost]["mean"]))
    prices = [row["costs"][cost]["mean"] + shift for row in ordered]
    means = [row["accuracy"]["mean"] for row in ordered]
    if not shift:
        arms = [[max(0.0, row["accuracy"]["mean"] - row["accuracy"]["low"]) for row in ordered]]
        arms.append([max(0.0, row["accuracy"]["high"] - row["accuracy"]["mean"]) for row in ordered])
        axes.errorbar(prices, means, yerr=arms, color=colour, fmt="o", markersize=4, elinewidth=1)
    stairs = [prices[0], *prices, end], [0.0, *means, means[-1]]
    axes.step(*stairs, where="post", color=colour, linestyle=dash, linewidth=1.4, label=label)
