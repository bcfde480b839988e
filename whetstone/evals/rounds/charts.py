"""The figures of a round's page: differences of all pairs, and what each stratum shows. None where there is nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from whetstone.evals.page.figures import (
    BASE,
    GRID,
    INK,
    MUTED,
    SHARP,
    TWIN,
    VERDICT_COLOURS,
    Dot,
    accuracy_dot,
    calibration,
    curves,
    differences,
    dots,
    drawing,
    labels,
    percent_axis,
    verdict_bars,
)
from whetstone.evals.page.numbers import VERDICT_WORDS, percent, signed, verdict_shares

Row = Mapping[str, Any]
WORDS_COLOURS = {"gain": VERDICT_COLOURS["right"], "loss": VERDICT_COLOURS["wrong"]}


def forest(report: Row) -> str | None:
    """Every declared pair of every stratum: the difference with its interval around a line at none."""
    alone = common_before(report) is not None
    short = labels([entrant["name"] for entrant in report["entrants"]], 24 if alone else 13)
    rows = [
        Dot(
            f"{stratum['stratum']}: {short[pair['after']]}{'' if alone else ' − ' + short[pair['before']]}",
            pair,
            WORDS_COLOURS.get(pair["verdict"], BASE),
            f"{signed(pair['mean'])} {pair['verdict'] if pair['verdict'] in WORDS_COLOURS else 'unclear'}",
        )
        for stratum in report["strata"]
        for pair in stratum["pairs"]
    ]
    return differences("forest", rows) if rows else None


def common_before(report: Row) -> str | None:
    """Whom all pairs compare with, where that is one entrant."""
    names = {pair["before"] for stratum in report["strata"] for pair in stratum["pairs"]}
    return names.pop() if len(names) == 1 else None


def accuracies(name: str, stratum: Row, controls: Mapping[str, str]) -> str:
    """Entrants as they entered, then baselines. controls: what each entrant is a control for, "" for none."""
    short = labels(list(stratum["entrants"]), 20)
    rows = [
        accuracy_dot(
            f"{short[entrant]} (control)" if controls.get(entrant) else short[entrant],
            row["accuracy"],
            TWIN if controls.get(entrant) else SHARP,
        )
        for entrant, row in stratum["entrants"].items()
    ]
    return dots(name, rows + [accuracy_dot(words, score, MUTED) for words, score in stratum["baselines"].items()])


def verdict_mix(name: str, stratum: Row) -> str:
    """Stacked bars of the five verdicts, one for each entrant."""
    short = labels(list(stratum["entrants"]))
    return verdict_bars(name, {short[entrant]: verdict_shares(row) for entrant, row in stratum["entrants"].items()})


def tries(name: str, stratum: Row, kind: str) -> str | None:
    """`kind` "pass_at_k" or "pass_hat_k" of all entrants; None for one answer per problem."""
    short = labels(list(stratum["entrants"]))
    lines = {short[entrant]: row[kind] for entrant, row in stratum["entrants"].items() if row.get(kind)}
    return curves(name, lines, "k, answers per problem") if lines else None


def overlap(name: str, stratum: Row) -> str | None:
    """Score on problems that stand in the entrant's ledger of training (diamond) and on all others (dot)."""
    short = labels(list(stratum["entrants"]))
    rows = [(short[entrant], row["overlap"]) for entrant, row in stratum["entrants"].items() if row["overlap"]]
    if not rows:
        return None
    with drawing(name, height=0.75 + 0.42 * len(rows)) as (figure, out):
        axes = figure.subplots()
        for place, (_, told) in enumerate(rows):
            y, seen, clean = len(rows) - 1 - place, told["score_seen"], told["score_clean"]
            if seen is not None and clean is not None:
                axes.plot([clean, seen], [y, y], color=GRID, linewidth=2.5, zorder=1)
            if clean is not None:
                axes.plot([clean], [y], "o", color=SHARP, markersize=6, zorder=3)
            if seen is not None:
                axes.plot([seen], [y], "D", color=VERDICT_COLOURS["wrong"], markersize=6, zorder=3)
            axes.text(1.03, y, f"{told['seen']} of {told['of']} seen", va="center", ha="left", fontsize=8.5)
        axes.set_yticks(range(len(rows)), [label for label, _ in reversed(rows)])
        axes.tick_params(axis="y", labelcolor=INK)
        axes.set_ylim(-0.7, len(rows) - 0.3)
        axes.grid(axis="x")
        axes.grid(False, axis="y")
        axes.spines["left"].set_visible(False)
        percent_axis(axes, horizontal=True)
    return out[0]


def reliabilities(name: str, stratum: Row) -> str | None:
    """A small diagram for each entrant whose answers came with log-probabilities."""
    short = labels(list(stratum["entrants"]), 22)
    told = {entrant: row["reliability"] for entrant, row in stratum["entrants"].items() if row.get("reliability")}
    drawn = [calibration(f"{name}-{place}", short[entrant], each) for place, (entrant, each) in enumerate(told.items())]
    return "\n".join(drawn) or None


def mix_in_words(stratum: Row) -> str:
    """What the bars of verdicts show, for those who do not see them."""
    parts = []
    for entrant, row in stratum["entrants"].items():
        shares = verdict_shares(row) or {}
        words = (f"{VERDICT_WORDS.get(kind, kind)} {percent(share, 0)}" for kind, share in shares.items() if share)
        parts.append(f"{entrant}: {', '.join(words)}")
    return "; ".join(parts)
