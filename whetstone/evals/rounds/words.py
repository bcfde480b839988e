"""What a report says in words: the gains, and every link of the chain that a sceptic would pull at."""

from __future__ import annotations

from typing import Any

from whetstone.evals.page.numbers import probability, signed

SMALL = 100  # problems below which an interval is wide whatever happens


def links(report: dict[str, Any]) -> list[str]:
    """The weak links, weakest first. Nobody's round has none."""
    found: list[tuple[int, str]] = []
    entrants, strata = report["entrants"], report["strata"]
    for entrant in entrants:
        name = entrant["name"]
        if entrant["hosted"]:
            found.append((0, f"{name} is hosted: nobody can prove which weights answered, or that no human helped"))
        if entrant["trained_on"] is None:
            found.append((4, f"{name} does not declare what it was trained on: what A and B mean for it is unknown"))
        if entrant["looks"]:
            found.append(
                (3, f"{name} was measured {entrant['looks']} times at these tasks on this machine before it entered")
            )
        for stratum in strata:
            row = stratum["entrants"][name]
            if stratum["stratum"] == "B" and row["declared"] == "trained":
                found.append((2, f"{name} was trained on a level of stratum B: for it, B is no harder than A"))
            if (overlap := row["overlap"]) and overlap["seen"]:
                where = f"{overlap['seen']} of {overlap['of']} problems of stratum {stratum['stratum']}"
                found.append((1, f"{name} was trained on {where}"))
    if report["beacon"]:
        found.append((5, "the beacon is what the organiser typed: look whether it became known after the last entry"))
    else:
        found.append(
            (
                5,
                "no public beacon entered the key: an organiser who enters last could have tried several draws",
            )
        )
    if report["history"]["voided"] or report["history"]["unfinished"]:
        past = report["history"]
        found.append((3, f"{past['voided']} rounds were voided and {past['unfinished']} begun but not revealed here"))
    if report["history"]["retired_before"]:
        found.append((3, f"{report['history']['retired_before']} problems were in an earlier round and known since"))
    if report["without"]:
        found.append((3, f"entered, but gave no answers: {', '.join(report['without'])}"))
    for stratum in strata:
        if stratum["stratum"] == "C" and not any(part["sealed"] for part in stratum["parts"]):
            found.append(
                (
                    7,
                    "the worlds of stratum C come with Whetstone: their rules are drawn from the key, their kind is "
                    "public",
                )
            )
    if small := [f"{stratum['stratum']} {stratum['n']}" for stratum in strata if stratum["n"] < SMALL]:
        found.append((6, f"few problems, so the intervals are wide: stratum {', '.join(small)}"))
    found.append(
        (8, "each entrant is one set of weights: how much another training seed would change is not measured here")
    )
    return [text for _, text in sorted(found, key=lambda each: each[0])]


def verdict_lines(report: dict[str, Any]) -> list[str]:
    """One sentence per pair and stratum."""
    controls = {entrant["name"]: entrant["control"] for entrant in report["entrants"]}
    lines = []
    for stratum in report["strata"]:
        for pair in stratum["pairs"]:
            change, low, high = (signed(pair[name]) for name in ("mean", "low", "high"))
            said = {"gain": "gain", "loss": "no gain, a loss"}.get(pair["verdict"], "no gain, not distinguishable")
            note = f" ({controls[pair['after']]})" if controls[pair["after"]] else ""
            lines.append(
                f"Stratum {stratum['stratum']}: {said}. {pair['after']}{note} against {pair['before']}: "
                f"{change} points ({low} to {high}; {probability(pair['p_holm'])} after Holm; "
                f"{stratum['n']} problems, {100 * pair['minimum_detectable']:.1f} points would have been seen)"
            )
    for name, change in report["reading"].items():
        if change is not None:
            mean, low, high = (signed(change[key]) for key in ("mean", "low", "high"))
            said = {
                "gain": "is right more often with the document",
                "loss": "is right less often with the document",
                "not distinguishable": "cannot be told to be right more often with the document",
            }[change["verdict"]]
            lines.append(f"Reading (D less E): {name} {said}: {mean} points ({low} to {high}).")
    return lines


def table(report: dict[str, Any]) -> list[str]:
    """The report for a terminal: accuracies, then the sentences, then the weakest link."""
    lines = []
    for stratum in report["strata"]:
        lines.append(f"stratum {stratum['stratum']} ({stratum['n']} problems; {stratum['means']})")
        width = max(len(name) for name in (*stratum["entrants"], *stratum["baselines"]))
        rows = {name: row["accuracy"] for name, row in stratum["entrants"].items()} | stratum["baselines"]
        for name, accuracy in rows.items():
            mean, low, high = (100 * accuracy[key] for key in ("mean", "low", "high"))
            lines.append(f"  {name:{width}}  {mean:5.1f} % right ({low:.1f} to {high:.1f})")
    return [*lines, *report["verdict"], f"weakest link: {report['weakest_link']}"]
