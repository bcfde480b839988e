"""The figures of a report, as inline SVG that follows the page's colours (light, dark, print).

Matplotlib draws with placeholder colours; `_to_inline` then swaps each for a CSS variable, drops fonts,
metadata and namespaces, and makes ids unique within the page. The same report gives the same bytes. A figure
whose data is absent is None: the page then says that it was not measured.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from whetstone.evals.controls import CONTROLS
from whetstone.sharpen.verdict import VERDICTS, look, percent, verdict_shares

Row = Mapping[str, Any]

# Placeholder colours: any hex that occurs nowhere else; page.css defines the variables.
INK, MUTED, GRID, CARD = "#010101", "#010102", "#010103", "#010104"
BASE, SHARP, TWIN, ACCENT = "#010201", "#010202", "#010203", "#010204"
VERDICT_COLOURS = dict(zip(VERDICTS, ("#010301", "#010302", "#010303", "#010304", "#010305"), strict=True))
VERDICT_WORDS = {"no_answer": "no answer"}
_VARIABLES = {
    INK: "ink",
    MUTED: "muted",
    GRID: "grid",
    CARD: "card",
    BASE: "base",
    SHARP: "sharp",
    TWIN: "twin",
}
_VARIABLES |= {ACCENT: "accent"} | {colour: f"v-{name}" for name, colour in VERDICT_COLOURS.items()}

WIDTH, HEIGHT = (
    5.0,
    3.15,
)  # inches; 360 x 227 in the SVG's own units, so that its text is legible on a telephone
_STYLE: Any = {  # keys of matplotlib's rcParams
    "svg.fonttype": "none",
    "text.parse_math": False,  # labels hold users' words; a dollar sign is a dollar sign
    "font.size": 9,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 8.5,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "legend.handlelength": 1.6,
}


def learning_curve(report: Row, metrics: Sequence[Row], twin: Sequence[Row]) -> str | None:
    """Share right per training step, the twin's on the same axes, and greedy scores before and after."""
    steps, shares = _series(metrics, "accuracy")
    if not steps:
        return None
    with _figure("learning") as (figure, out):
        axes = figure.subplots()
        _line(axes, steps, shares, SHARP, "training, true reward")
        twin_steps, twin_shares = _series(twin, "accuracy")
        if twin_steps:
            _line(axes, twin_steps, twin_shares, TWIN, "twin, random reward", dashed=True)
        for when, step, colour in (("before", 0, BASE), ("after", max(steps) + 1, SHARP)):
            score = look(report, f"{when}.greedy")
            if score:
                _dot(axes, step, score, colour, label=f"greedy, {when} training")
        axes.set_xlabel("training steps done")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        _percent_axis(axes)
        _legend(axes)
    return out[0]


def pass_at_k(report: Row) -> str | None:
    """pass@k of the base and the sharpened model with 95 % bands; k on a log2 axis."""
    curves = {name: look(report, f"pass_at_k.{name}") or [] for name in ("base", "sharpened")}
    if not any(curves.values()):
        return None
    with _figure("passk") as (figure, out):
        axes = figure.subplots()
        for (name, points), colour, marker in zip(curves.items(), (BASE, SHARP), "so", strict=True):
            ks = [point["k"] for point in points]
            axes.fill_between(
                ks,
                [p["low"] for p in points],
                [p["high"] for p in points],
                color=colour,
                alpha=0.16,
                linewidth=0,
            )
            axes.plot(ks, [p["mean"] for p in points], color=colour, marker=marker, markersize=4.5, label=name)
        ks = sorted({point["k"] for points in curves.values() for point in points})
        axes.set_xscale("log", base=2)
        axes.set_xticks(ks, [str(k) for k in ks])
        axes.minorticks_off()
        axes.set_xlabel("k, tries per problem")
        _percent_axis(axes)
        _legend(axes)
    return out[0]


def verdict_mix(report: Row) -> str | None:
    """Stacked bars of the five verdicts, before and after."""
    mixes = {when: verdict_shares(look(report, when)) for when in ("after", "before")}
    if not any(mixes.values()):
        return None
    with _figure("verdicts", height=2.7) as (figure, out):
        axes = figure.subplots()
        for row, mix in enumerate(mixes.values()):
            left = 0.0
            for name, share in (mix or {}).items():
                # a thin line of the card's colour parts the pieces
                colour = VERDICT_COLOURS[name]
                axes.barh(row, share, left=left, height=0.56, color=colour, edgecolor=CARD, linewidth=1)
                if share >= 0.09:
                    words = percent(share, 0)
                    axes.text(left + share / 2, row, words, ha="center", va="center", color=CARD, weight="bold")
                left += share
        axes.set_yticks(range(len(mixes)), list(mixes))
        axes.set_ylim(-0.5, 1.5)
        axes.set_xlim(0, 1)
        axes.tick_params(axis="y", labelcolor=INK, labelsize=9)
        axes.grid(False)
        axes.spines[["left", "bottom"]].set_visible(False)
        axes.set_xticks([])
        seen = [name for name in VERDICTS if any(mix and mix[name] > 0 for mix in mixes.values())]
        handles = [Patch(color=VERDICT_COLOURS[name]) for name in seen]
        words_seen = [VERDICT_WORDS.get(name, name) for name in seen]
        figure.legend(
            handles,
            words_seen,
            loc="outside lower center",
            ncols=len(seen),
            handlelength=0.9,
            columnspacing=1.2,
        )
    return out[0]


def answer_lengths(metrics: Sequence[Row]) -> str | None:
    """Mean tokens of right and of wrong answers at each training step."""
    lines = [("tokens_right", "right", "right answers"), ("tokens_wrong", "wrong", "all other answers")]
    if not any(_series(metrics, key)[0] for key, _, _ in lines):
        return None
    with _figure("lengths") as (figure, out):
        axes = figure.subplots()
        for key, verdict, label in lines:
            steps, values = _series(metrics, key)
            if steps:
                _line(axes, steps, values, VERDICT_COLOURS[verdict], label, dashed=verdict == "wrong")
        axes.set_ylim(bottom=0)
        axes.set_xlabel("training step")
        axes.set_ylabel("tokens per answer")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        _legend(axes)
    return out[0]


def baselines(report: Row) -> str | None:
    """Dot plot with intervals: everything that was scored on the evaluation problems, best at the top."""
    rows = [
        # a bare share (of a baseline that is known exactly) is a point without an interval
        (
            label,
            score if isinstance(score, Mapping) else dict.fromkeys(("mean", "low", "high"), score),
            colour,
        )
        for label, score, colour in _scores(report)
        if score is not None
    ]
    if len(rows) < 2:
        return None
    rows.sort(key=lambda row: float(row[1]["mean"]))
    with _figure("baselines", height=0.55 + 0.31 * len(rows)) as (figure, out):
        axes = figure.subplots()
        for y, (_, score, colour) in enumerate(rows):
            _dot(axes, y, score, colour, label=None, flat=True)
            axes.text(1.03, y, percent(score["mean"]), va="center", ha="left", fontsize=8.5)
        axes.set_yticks(range(len(rows)), [label for label, _, _ in rows])
        axes.tick_params(axis="y", labelcolor=INK)
        axes.set_ylim(-0.6, len(rows) - 0.4)
        axes.grid(axis="x")
        axes.grid(False, axis="y")
        axes.spines["left"].set_visible(False)
        _percent_axis(axes, horizontal=True)
    return out[0]


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
    with _figure("harder") as (figure, out):
        axes = figure.subplots()
        for row, (_, before, after) in enumerate(rows):
            axes.plot([before["mean"], after["mean"]], [row, row], color=GRID, linewidth=2.5, zorder=1)
            for score, colour, label in ((before, BASE, "before"), (after, SHARP, "after")):
                _dot(axes, row, score, colour, label=label if row == 0 else None, flat=True)
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
        _percent_axis(axes, horizontal=True)
        _legend(axes)
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
        with _figure(key, width=WIDTH / 2, height=2.0) as (figure, out):
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
    prompt = f"base, best prompt ({_short(str(style), 16)})" if style else "base, best prompt"
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


def _short(text: str, length: int) -> str:
    plain = "".join(c if c.isprintable() else "?" for c in text)
    return plain if len(plain) <= length else plain[: length - 1] + "…"


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


def _dot(axes: Axes, at: float, score: Row, colour: str, label: str | None, flat: bool = False) -> None:
    """A point with its interval at height (flat) or position `at`."""
    arms = [[score["mean"] - score["low"]], [score["high"] - score["mean"]]]
    common: dict[str, Any] = {
        "color": colour,
        "fmt": "D" if not flat else "o",
        "markersize": 5,
        "elinewidth": 1.6,
    }
    common |= {"label": label, "zorder": 3, "markeredgewidth": 0}
    if flat:
        axes.errorbar([score["mean"]], [at], xerr=arms, **common)
    else:
        axes.errorbar([at], [score["mean"]], yerr=arms, **common)


def _percent_axis(axes: Axes, horizontal: bool = False) -> None:
    axis = axes.xaxis if horizontal else axes.yaxis
    (axes.set_xlim if horizontal else axes.set_ylim)(-0.015, 1.015)
    axis.set_ticks([0, 0.25, 0.5, 0.75, 1])
    axis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.0f} %"))


def _legend(axes: Axes) -> None:
    axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=2, borderaxespad=0.2, columnspacing=1.4)


@contextmanager
def _figure(name: str, width: float = WIDTH, height: float = HEIGHT) -> Iterator[tuple[Figure, list[str]]]:
    """Gives a figure to draw on and a list that holds its SVG after the block."""
    out: list[str] = []
    with mpl.rc_context(_STYLE | {"svg.hashsalt": name}), warnings.catch_warnings():
        # the browser's fonts draw the text; that Matplotlib's own lacks a user's letters does not matter
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure = Figure(figsize=(width, height), layout="constrained")
        figure.patch.set_visible(False)
        yield figure, out
        for axes in figure.axes:
            axes.patch.set_visible(False)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
        out.append(_to_inline(buffer.getvalue(), name))


def _to_inline(svg: str, name: str) -> str:
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<style\b.*?</style>", "", svg, flags=re.DOTALL)  # its `*` rule would reach the whole page
    svg = (
        re.sub(r'\s(?:xmlns(?::\w+)?|version|width|height)="[^"]*"', "", svg.split(">", 1)[0])
        + ">"
        + svg.split(">", 1)[1]
    )
    svg = re.sub(r"font-family: [^;\"]*(?:;\s*)?", "", svg)
    svg = svg.replace("xlink:href=", "href=")
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'\bhref="#', f'href="#{name}-', svg)
    svg = svg.replace("url(#", f"url(#{name}-")
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, f"var(--{variable})")
    return re.sub(r"\n\s*", "\n", svg).strip()
