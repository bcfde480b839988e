"""Figures as inline SVG that follow the page's colours (light, dark, print).

Matplotlib draws with placeholder colours; `_to_inline` then swaps each for a CSS variable, drops fonts,
metadata and namespaces, and makes ids unique within the page. The same data give the same bytes.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter

from whetstone.evals.page.numbers import VERDICT_WORDS, VERDICTS, percent, signed

Row = Mapping[str, Any]

# Placeholder colours: any hex that occurs nowhere else; frame.css defines the variables.
INK, MUTED, GRID, CARD = "#010101", "#010102", "#010103", "#010104"
BASE, SHARP, TWIN, ACCENT = "#010201", "#010202", "#010203", "#010204"
VERDICT_COLOURS = dict(zip(VERDICTS, ("#010301", "#010302", "#010303", "#010304", "#010305"), strict=True))
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
SERIES = (BASE, SHARP, TWIN, ACCENT, VERDICT_COLOURS["error"], VERDICT_COLOURS["wrong"])
MARKERS = "soD^vP"  # with SERIES: lines can be told apart without colour

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


# -- figures that recur --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Dot:
    """A row of a dot plot: {mean, low, high} with the words beside it."""

    label: str
    score: Row
    colour: str
    words: str


def accuracy_dot(label: str, score: Any, colour: str) -> Dot:
    """An accuracy; a bare share (of a baseline that is known exactly) is a point without an interval."""
    full = score if isinstance(score, Mapping) else dict.fromkeys(("mean", "low", "high"), score)
    return Dot(label, full, colour, percent(full["mean"]))


def dots(name: str, rows: Sequence[Dot]) -> str:
    """Accuracies with their intervals, the first row at the top."""
    with drawing(name, height=0.55 + 0.31 * len(rows)) as (figure, out):
        axes = figure.subplots()
        dot_rows(axes, rows, 1.03)
        percent_axis(axes, horizontal=True)
    return out[0]


def differences(name: str, rows: Sequence[Dot]) -> str:
    """Differences with their intervals around a line at none, the first row at the top."""
    reach = max(0.05, *(abs(row.score[end]) for row in rows for end in ("low", "high")))
    with drawing(name, height=0.6 + 0.31 * len(rows)) as (figure, out):
        axes = figure.subplots()
        axes.axvline(0, color=MUTED, linewidth=1, linestyle=(0, (3, 2)), zorder=1)
        dot_rows(axes, rows, 1.08 * reach)
        axes.set_xlim(-1.05 * reach, 1.05 * reach)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda share, _: signed(share).removesuffix(".0")))
        axes.set_xlabel("points")
    return out[0]


def dot_rows(axes: Axes, rows: Sequence[Dot], words_at: float) -> None:
    """Rows of a dot plot, the first at the top, their words at `words_at` of the horizontal axis."""
    for place, row in enumerate(rows):
        y = len(rows) - 1 - place
        dot(axes, y, row.score, row.colour, label=None, flat=True)
        axes.text(words_at, y, row.words, va="center", ha="left", fontsize=8.5)
    axes.set_yticks(range(len(rows)), [row.label for row in reversed(rows)])
    axes.tick_params(axis="y", labelcolor=INK)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.grid(axis="x")
    axes.grid(False, axis="y")
    axes.spines["left"].set_visible(False)


def verdict_bars(name: str, mixes: Mapping[str, Mapping[str, float] | None]) -> str:
    """Stacked bars of the shares of the five verdicts, the first at the top; None is an empty row."""
    with drawing(name, height=0.9 + 0.6 * len(mixes) if len(mixes) > 2 else 2.7) as (figure, out):
        axes = figure.subplots()
        for place, mix in enumerate(mixes.values()):
            row, left = len(mixes) - 1 - place, 0.0
            for verdict, share in (mix or {}).items():
                # a thin line of the card's colour parts the pieces
                colour = VERDICT_COLOURS[verdict]
                axes.barh(row, share, left=left, height=0.56, color=colour, edgecolor=CARD, linewidth=1)
                if share >= 0.09:
                    words = percent(share, 0)
                    axes.text(left + share / 2, row, words, ha="center", va="center", color=CARD, weight="bold")
                left += share
        axes.set_yticks(range(len(mixes)), list(mixes)[::-1])
        axes.set_ylim(-0.5, len(mixes) - 0.5)
        axes.set_xlim(0, 1)
        axes.tick_params(axis="y", labelcolor=INK, labelsize=9)
        axes.grid(False)
        axes.spines[["left", "bottom"]].set_visible(False)
        axes.set_xticks([])
        seen = [verdict for verdict in VERDICTS if any(mix and mix[verdict] > 0 for mix in mixes.values())]
        figure.legend(
            [Patch(color=VERDICT_COLOURS[verdict]) for verdict in seen],
            [VERDICT_WORDS.get(verdict, verdict) for verdict in seen],
            loc="outside lower center",
            ncols=len(seen),
            handlelength=0.9,
            columnspacing=1.2,
        )
    return out[0]


def curves(name: str, lines: Mapping[str, Sequence[Row]], axis: str) -> str:
    """Rows {k, mean, low, high} per name, with 95 % bands; k on a log2 axis. axis: what k is, in words."""
    with drawing(name) as (figure, out):
        axes = figure.subplots()
        for place, (label, points) in enumerate(lines.items()):
            colour, marker = SERIES[place % len(SERIES)], MARKERS[place % len(MARKERS)]
            ks = [point["k"] for point in points]
            axes.fill_between(
                ks,
                [p["low"] for p in points],
                [p["high"] for p in points],
                color=colour,
                alpha=0.16,
                linewidth=0,
            )
            dash = "solid" if place < len(SERIES) else (0, (4, 2))
            means = [p["mean"] for p in points]
            axes.plot(ks, means, color=colour, marker=marker, markersize=4.5, label=label, linestyle=dash)
        ks = sorted({point["k"] for points in lines.values() for point in points})
        axes.set_xscale("log", base=2)
        axes.set_xticks(ks, [str(k) for k in ks])
        axes.minorticks_off()
        axes.set_xlabel(axis)
        percent_axis(axes)
        legend(axes)
    return out[0]


def calibration(name: str, title: str, told: Row) -> str:
    """A reliability diagram, square and small: for each bin the share right, with its interval, against the mean
    confidence. `told`: as `Reliability.to_dict` of `evals.statistics`."""
    with drawing(name, width=WIDTH / 2, height=WIDTH / 2) as (figure, out):
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (3, 2)), zorder=1)
        for each in told["bins"]:
            dot(axes, each["confidence"], each["accuracy"], ACCENT, label=None)
        axes.set_title(title, fontsize=8.5, color=INK, loc="left")
        percent_axis(axes, horizontal=True)
        percent_axis(axes)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_ticks([0, 0.5, 1])
        axes.set_xlabel("confidence")
        axes.set_ylabel("right")
    return out[0]


# -- pieces --------------------------------------------------------------------------------------------------


def short(text: str, length: int) -> str:
    """A label on one line: what cannot be printed is "?", what is too long ends in "…"."""
    plain = "".join(c if c.isprintable() else "?" for c in text)
    return plain if len(plain) <= length else plain[: length - 1] + "…"


def labels(names: Sequence[str], length: int = 24) -> dict[str, str]:
    """Names as labels of rows and lines: long ones lose their middle, and no two look alike."""
    found: dict[str, str] = {}
    for name in names:
        plain = short(name, max(len(name), 1)).lstrip("_") or "?"  # Matplotlib hides what begins with an underscore
        half = (length - 1) // 2
        label = plain if len(plain) <= length else f"{plain[:half]}…{plain[-half:]}"
        twins = sum(label == other.partition(" #")[0] for other in found.values())
        found[name] = f"{label} #{twins + 1}" if twins else label
    return found


def dot(axes: Axes, at: float, score: Row, colour: str, label: str | None, flat: bool = False) -> None:
    """A point with its interval at height (flat) or position `at`."""
    arms = [[max(0.0, score["mean"] - score["low"])], [max(0.0, score["high"] - score["mean"])]]
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


def percent_axis(axes: Axes, horizontal: bool = False) -> None:
    """From 0 to 100 %."""
    axis = axes.xaxis if horizontal else axes.yaxis
    (axes.set_xlim if horizontal else axes.set_ylim)(-0.015, 1.015)
    axis.set_ticks([0, 0.25, 0.5, 0.75, 1])
    axis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.0f} %"))


def legend(axes: Axes) -> None:
    """Above the figure, in two columns."""
    axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=2, borderaxespad=0.2, columnspacing=1.4)


@contextmanager
def drawing(name: str, width: float = WIDTH, height: float = HEIGHT) -> Iterator[tuple[Figure, list[str]]]:
    """Gives a figure to draw on and a list that holds its SVG after the block. `name`: part of its ids."""
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
