"""The figures of a sharpening report, made of those of `evals.page.figures`. A figure whose data is absent is None: the
page then says that it was not measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from whetstone.evals.controls import CONTROLS
from whetstone.evals.page.figures import (
    ACCENT,
    BASE,
    GRID,
    INK,
    MUTED,
    SHARP,
    TWIN,
    VERDICT_COLOURS,
    WIDTH,
    accuracy_dot,
    curves,
    dot,
    dots,
    drawing,
    legend,
    percent_axis,
    short,
    verdict_bars,
)
from whetstone.evals.page.numbers import look, percent, verdict_shares

Row = Mapping[str, Any]


def learning_curve(report: Row, metrics: Sequence[Row], twin: Sequence[Row]) -> str | None:
    """Share right per training step, the twin's on the same axes, and greedy scores before and after."""
    steps, shares = _series(metrics, "accuracy")
    if not steps:
        return None
    with drawing("learning") as (figure, out):
        axes = figure.subplots()
        _line(axes, steps, shares, SHARP, "training, true reward")
        twin_steps, twin_shares = _series(twin, "accuracy")
        if twin_steps:
            _line(axes, twin_steps, twin_shares, TWIN, "twin, random reward", dashed=True)
        for when, step, colour in (("before", 0, BASE), ("after", max(steps) + 1, SHARP)):
            score = look(report, f"{when}.greedy")
            if score:
                dot(axes, step, score, colour, label=f"greedy, {when} training")
        axes.set_xlabel("training steps done")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        percent_axis(axes)
        legend(axes)
    return out[0]


def pass_at_k(report: Row) -> str | None:
    """pass@k of the base and the sharpened model with 95 % bands; k on a log2 axis."""
    lines = {name: look(report, f"pass_at_k.{name}") or [] for name in ("base", "sharpened")}
    return curves("passk", lines, "k, tries per problem") if any(lines.values()) else None


def verdict_mix(report: Row) -> str | None:
    """Stacked bars of the five verdicts, before and after."""
    mixes = {when: verdict_shares(look(report, when)) for when in ("before", "after")}
    return verdict_bars("verdicts", mixes) if any(mixes.values()) else None


def answer_lengths(metrics: Sequence[Row]) -> str | None:
    """Mean tokens of right and of wrong answers at each training step."""
    lines = [("tokens_right", "right", "right answers"), ("tokens_wrong", "wrong", "all other answers")]
    if not any(_series(metrics, key)[0] for key, _, _ in lines):
        return None
    with drawing("lengths") as (figure, out):
        axes = figure.subplots()
        for key, verdict, label in lines:
            steps, values = _series(metrics, key)
            if steps:
                _line(axes, steps, values, VERDICT_COLOURS[verdict], label, dashed=verdict == "wrong")
        axes.set_ylim(bottom=0)
        axes.set_xlabel("training step")
        axes.set_ylabel("tokens per answer")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        legend(axes)
    return out[0]


def baselines(report: Row) -> str | None:
    """Dot plot with intervals: everything that was scored on the evaluation problems, best at the top."""
    rows = [accuracy_dot(*each) for each in _scores(report) if each[1] is not None]
    if len(rows) < 2:
        return None
    rows.sort(key=lambda row: float(row.score["mean"]), reverse=True)
    return dots("baselines", rows)


def harder(report: Row) -> str | None:
    """Before and after at the trained level and one level harder, joined by a line."""
    paths = ("before.greedy", "after.greedy", "harder.before", "harder.after")
    scores = [look(report, path) for path in paths]
    if not all(scores):
        return None
    levels = [look(report, path) for path in ("task.level", "harder.level")]
    trained, above = ("?" if level is None else level for level in levels)
    rows = [
        (f"level {above}\n(never seen)", *scores[2:]),
        (f"level {trained}\n(trained)", *scores[:2]),
    ]
    with drawing("harder") as (figure, out):
        axes = figure.subplots()
        for row, (_, before, after) in enumerate(rows):
            axes.plot([before["mean"], after["mean"]], [row, row], color=GRID, linewidth=2.5, zorder=1)
            for score, colour, label in ((before, BASE, "before"), (after, SHARP, "after")):
                dot(axes, row, score, colour, label=label if row == 0 else None, flat=True)
                axes.annotate(
                    percent(score["mean"]),
                    (score["mean"], row),
                    xytext=(0, 8 if colour == SHARP else -8),
                    textcoords="offset points",
                    ha="center",
                    va="bottom" if colour == SHARP else "top",
                    fontsize=8.5,
                )
        axes.set_yticks(range(2), [label for label, _, _ in rows])
        axes.tick_params(axis="y", labelcolor=INK)
        axes.set_ylim(-0.7, 1.6)
        axes.grid(axis="x")
        axes.grid(False, axis="y")
        axes.spines["left"].set_visible(False)
        percent_axis(axes, horizontal=True)
        legend(axes)
    return out[0]


def internals(metrics: Sequence[Row]) -> str | None:
    """Four small figures, one after the other: entropy, groups with signal, gradient norm, mismatch KL."""
    panels = [
        ("entropy", "entropy (nats per token)"),
        ("groups_with_signal", "groups with signal"),
        ("grad_norm", "gradient norm"),
        ("mismatch_kl", "sampler-trainer KL (nats)"),
    ]
    if not any(_series(metrics, key)[0] for key, _ in panels):
        return None
    drawn = []
    for key, title in panels:
        with drawing(key, width=WIDTH / 2, height=2.0) as (figure, out):
            axes = figure.subplots()
            steps, values = _series(metrics, key)
            axes.plot(steps, values, color=ACCENT, linewidth=1.4)
            axes.set_title(title, fontsize=8.5, color=MUTED, loc="left")
            axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
            axes.yaxis.set_major_locator(MaxNLocator(4))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
            axes.set_ylim(bottom=min(0.0, *values) if values else 0.0)
        drawn += out
    return "\n".join(drawn)


# -- pieces --------------------------------------------------------------------------------------------------


def _scores(report: Row) -> list[tuple[str, Any, str]]:
    shots, votes = look(report, "baselines.few_shot.shots"), look(report, "baselines.self_consistency.k")
    style = look(report, "baselines.best_prompt.style")
    prompt = f"base, best prompt ({short(str(style), 16)})" if style else "base, best prompt"
    form = " spelled out" if look(report, "baselines.few_shot.format") == "worked" else ""

    def at(path: str) -> str:
        temperature = look(report, path)
        return f", T = {temperature:g}" if isinstance(temperature, int | float) else ""

    return [
        ("sharpened", look(report, "after.greedy"), SHARP),
        (f"sharpened, sampled{at('after.temperature')}", look(report, "after.sampled"), SHARP),
        ("base", look(report, "before.greedy"), BASE),
        (f"base, sampled{at('before.temperature')}", look(report, "before.sampled"), BASE),
        (prompt, look(report, "baselines.best_prompt.greedy"), BASE),
        (f"base, {shots or 'few'}-shot{form}", look(report, "baselines.few_shot.greedy"), BASE),
        (
            f"base, vote of {votes or 'several'}{at('baselines.self_consistency.temperature')}",
            look(report, "baselines.self_consistency.accuracy"),
            BASE,
        ),
        *((c.title, look(report, f"controls.{c.name}_reward.greedy"), TWIN) for c in CONTROLS.values()),
        ("always the same answer", look(report, "baselines.majority_answer.accuracy"), MUTED),
        ("empty answer", look(report, "baselines.empty.accuracy"), MUTED),
    ]


def _series(rows: Sequence[Row], key: str) -> tuple[list[int], list[float]]:
    found = [(row["step"], row[key]) for row in rows if row.get(key) is not None and row[key] == row[key]]
    return [step for step, _ in found], [float(value) for _, value in found]


def _line(axes: Axes, steps: list[int], values: list[float], colour: str, label: str, dashed: bool = False) -> None:
    """A long noisy series is drawn faintly under its running mean; a short one as it is, with its points."""
    style = (0, (4, 2)) if dashed else "solid"
    if len(values) <= 40:
        axes.plot(steps, values, color=colour, label=label, linestyle=style, marker="o", markersize=2.8)
        return
    window = max(5, len(values) // 20)
    chunks = [values[max(0, i - window + 1) : i + 1] for i in range(len(values))]
    axes.plot(steps, values, color=colour, alpha=0.25, linewidth=0.9)
    means = [sum(chunk) / len(chunk) for chunk in chunks]
    axes.plot(steps, means, color=colour, label=f"{label} (mean of {window})", linestyle=style)
