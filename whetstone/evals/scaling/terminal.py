"""The result as a terminal shows it: a table for each measurement, and the sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from whetstone.evals.scaling.sentences import big
from whetstone.text import printable

Row = Mapping[str, Any]


def lines(result: Row) -> list[str]:
    """Plain lines; strangers' text is made safe to show."""
    found: list[str] = []
    for measured in result["measurements"]:
        level = "" if measured["level"] is None else f" level {measured['level']}"
        found += ["", f"{measured['model']} on {measured['task']}{level}, {measured['n']} problems"]
        found += _table(measured)
        found += [f"threshold: {each['says']}" for each in measured["calibrations"]]
        found += [f"left out: {each['method']} ({each['why']})" for each in measured["left_out"]]
        told = [each for each in result["sentences"] if each["kind"] != "train or think"]
        keys = ("model", "task", "level")
        found += [each["text"] for each in told if all(each[key] == measured[key] for key in keys)]
    for each in result["sentences"]:
        if each["kind"] == "train or think":
            found += ["", f"Train or think longer? {each['task']} level {each['level']}: {each['text']}"]
    if result["seed_note"]:
        found += ["", f"note: {result['seed_note']}"]
    return [printable(line) for line in found[1:]]


def _table(measured: Row) -> list[str]:
    priced = any("usd" in row["costs"] for row in measured["points"])
    known = any("flops" in row["costs"] for row in measured["points"])
    head = [
        "",
        "right",
        "95 % interval",
        "tokens",
        "seconds",
        *(["FLOPs"] if known else []),
        *(["USD"] if priced else []),
    ]
    rows = [[*head, "against greedy"]]
    for row in measured["points"]:
        accuracy, costs = row["accuracy"], row["costs"]
        mark = {"oracle": " (oracle)", "control": " (control)"}.get(
            row["kind"], " *" if "tokens" in row["front"] else ""
        )
        cells = [row["name"] + mark, f"{100 * accuracy['mean']:.1f} %"]
        cells += [f"{100 * accuracy['low']:.1f} to {100 * accuracy['high']:.1f}"]
        cells += [f"{costs['tokens']['mean']:.0f}", f"{costs['seconds']['mean']:.3f}"]
        cells += [big(costs["flops"]["mean"]) if "flops" in costs else "?"] if known else []
        cells += [big(costs["usd"]["mean"]) if "usd" in costs else "?"] if priced else []
        versus = row["versus_greedy"]
        said = "" if versus is None else f"{100 * versus['mean']:+.1f} ({versus['verdict']})"
        failed = sum(row["failures"].values())
        rows.append([*cells, said + (f", {failed:.2f} failed a question" if failed else "")])
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if place in (0, len(row) - 1) else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ] + ["* on the front: nothing is as good for fewer tokens"]
