"""The page of a leaderboard, made of what `board.leaderboard` returns and of nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.ticker import MaxNLocator

from whetstone.evals.page.figures import (
    BASE,
    SHARP,
    TWIN,
    VERDICT_COLOURS,
    Dot,
    accuracy_dot,
    differences,
    dot_rows,
    dots,
    drawing,
    labels,
)
from whetstone.evals.page.frame import Facts, figure, fill
from whetstone.evals.page.numbers import accuracy, percent, signed, tied

Row = Mapping[str, Any]
ENTRIES = "Each entrant's rank among those of the same stratum of the same round, and how often it was right."
STATES = {"void": "voided", "open": "begun, not revealed", "revealed": "revealed, not on this board"}


def render(board: Row) -> str:
    """The page as text, UTF-8 safe. Equal boards give equal bytes."""
    rounds = board["rounds"]
    return fill(
        "evals/rounds/board.html.j2",
        "evals/rounds/page.css",
        title="Leaderboard over sealed rounds",
        created=None,
        lines=[line for number, round_ in enumerate(rounds, 1) for line in _firsts(number, round_)],
        weakest=tied(board["links"][0]),
        links=[tied(link) for link in board["links"]],
        chips=[f"{len(rounds)} rounds", f"{len(board['entrants'])} entrants", "nothing is averaged"],
        places=_places(board),
        rounds=[_round(number, round_) for number, round_ in enumerate(rounds, 1)],
        difficulty=_difficulty(board),
        history=_history(board["history"]),
        others=_others(board["history"]),
    )


def _firsts(number: int, round_: Row) -> list[dict[str, str]]:
    """Who is first in each stratum, as far as that is decided."""
    lines = []
    for stratum in round_["strata"]:
        first, rows = stratum["first"], stratum["rows"]
        where = f"Round {number}, stratum {stratum['stratum']}"
        if len(rows) == 1:
            lines.append({"kind": "open", "text": f"{where}: {rows[0]['name']} alone entered."})
        elif len(first) == 1:
            lines.append({"kind": "good", "text": f"{where}: {first[0]} is first of {len(rows)}."})
        else:
            text = f"{where}: who is first of {len(rows)} is not decided: it may be {', '.join(first)}."
            lines.append({"kind": "open", "text": text})
    return lines


def _places(board: Row) -> dict[str, Any]:
    """Entrants down, strata of rounds across."""
    numbers = {round_["round"]: number for number, round_ in enumerate(board["rounds"], 1)}
    columns = [(round_["round"], stratum["stratum"]) for round_ in board["rounds"] for stratum in round_["strata"]]
    rows = []
    for entrant in board["entrants"]:
        names = dict.fromkeys(place["name"] for place in entrant["places"])
        cells = [
            "; ".join(
                f"{_rank(place)} · {percent(place['mean'])}"
                for place in entrant["places"]
                if (place["round"], place["stratum"]) == column
            )
            for column in columns
        ]
        rows.append([" = ".join(names), entrant["weights"][:12] or "hosted", *cells])
    head = ["", "weights", *(f"round {numbers[round_]}, {stratum}" for round_, stratum in columns)]
    return {"title": "Places", "note": ENTRIES, "head": head, "rows": rows, "words": ()}


def _rank(row: Row) -> str:
    """Rank and its interval: "1 (1 to 3)"."""
    return f"{row['rank']} ({row['rank_low']} to {row['rank_high']})"


# -- a round -------------------------------------------------------------------------------------------------


def _round(number: int, round_: Row) -> dict[str, Any]:
    decoding = round_["decoding"]
    warmth = decoding["temperature"]
    facts = [
        ("round", round_["round"]),
        ("begun", round_["created"]),
        ("last hash of its log", round_["head"]),
        ("answers", f"{decoding['samples']} to each problem, {f'at temperature {warmth:g}' if warmth else 'greedy'}"),
        ("checked here", "everything but the weights" + "".join(f"; {text}" for text in round_["unchecked"])),
        ("rounds voided when it was judged", str(round_["past"]["voided"])),
        ("begun and not revealed then", str(round_["past"]["unfinished"])),
    ]
    return {
        "title": f"Round {number}: {round_['title'] or 'without a title'}",
        "facts": facts,
        "strata": [_stratum(f"r{number}-{place}", stratum) for place, stratum in enumerate(round_["strata"])],
    }


def _stratum(name: str, stratum: Row) -> dict[str, Any]:
    rows = stratum["rows"]
    short = labels([row["name"] for row in rows], 20)
    told = "; ".join(f"{row['name']} {accuracy(row)}, rank {_rank(row)}" for row in rows)
    accuracies = [
        accuracy_dot(
            f"{short[row['name']]} (control)" if row["control"] else short[row["name"]],
            row,
            TWIN if row["control"] else SHARP,
        )
        for row in rows
    ]
    head = ["", "rank", "95 % interval", "right", "95 % interval", "n", "a control for"]
    table = [
        [
            row["name"],
            str(row["rank"]),
            f"{row['rank_low']} to {row['rank_high']}",
            percent(row["mean"]),
            f"{percent(row['low'])} to {percent(row['high'])}",
            str(row["n"]),
            row["control"],
        ]
        for row in rows
    ]
    asked = "; ".join(f"{part['task']} level {part['level']}: {part['n']}" for part in stratum["parts"])
    return {
        "title": f"Stratum {stratum['stratum']}: {str(stratum['means']).partition(': ')[0]}",
        "figures": [
            figure("ranks", "Rank", _ranks(f"{name}-ranks", rows, short), "1 is best. Bars: 95 % intervals.", "",
                   alt=f"Ranks with intervals: {told}"),
            figure("accuracy", "How often right", dots(f"{name}-dots", accuracies), "Bars: 95 % intervals.", "",
                   alt=f"Accuracies with intervals: {told}"),
        ],
        "table": {"title": "Ranks", "note": f"Asked: {asked}.", "head": head, "rows": table, "words": (6,)},
    }  # fmt: skip


def _ranks(name: str, rows: list[Row], short: Mapping[str, str]) -> str:
    """Ranks with their intervals, the best at the top."""
    drawn = [
        Dot(
            short[row["name"]],
            {"mean": row["rank"], "low": row["rank_low"], "high": row["rank_high"]},
            TWIN if row["control"] else SHARP,
            _rank(row),
        )
        for row in rows
    ]
    last = len(rows)
    with drawing(name, height=0.6 + 0.31 * last) as (picture, out):
        axes = picture.subplots()
        dot_rows(axes, drawn, last + 0.35 + 0.03 * last)
        axes.set_xlim(0.8, last + 0.2)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    return out[0]


# -- are they equally hard, and what is not here -------------------------------------------------------------


def _difficulty(board: Row) -> dict[str, Any]:
    numbers = {round_["round"]: number for number, round_ in enumerate(board["rounds"], 1)}
    checks = board["difficulty"]
    shown = [check for check in checks if check["comparable"]]
    rows = []
    for check in checks:
        which = f"round {numbers[check['later']]} against {numbers[check['earlier']]}"
        cells = ["", "", "asked other things, or in another way"]
        if check["comparable"]:
            cells = [signed(check["mean"]), f"{signed(check['low'])} to {signed(check['high'])}", check["verdict"]]
        rows.append([f"{check['name']}, stratum {check['stratum']}, {which}", *cells])
    head = ["", "difference", "95 % interval", ""]
    note = "The same weights on the problems of two rounds, in points: what is not luck is the rounds' own difficulty."
    return {
        "figure": _forest(shown, numbers) if shown else None,
        "table": {"title": "The same weights in two rounds", "note": note, "head": head, "rows": rows, "words": (3,)},
        "one": len(board["rounds"]) == 1,
    }


def _forest(checks: list[Row], numbers: Mapping[str, int]) -> dict[str, Any]:
    short = labels(list(dict.fromkeys(check["name"] for check in checks)), 18)
    rows = [
        Dot(
            f"{check['stratum']}: {short[check['name']]}, {numbers[check['later']]} − {numbers[check['earlier']]}",
            check,
            VERDICT_COLOURS["wrong"] if check["verdict"] == "differs" else BASE,
            f"{signed(check['mean'])}{' differs' if check['verdict'] == 'differs' else ''}",
        )
        for check in checks
    ]
    alt = "; ".join(f"{row.label} {row.words} points" for row in rows)
    caption = "Accuracy in the later round minus that in the earlier one. Bars: 95 % intervals."
    return figure("forest", "Later minus earlier", differences("difficulty", rows), caption, "", alt=alt)


def _history(past: Row) -> Facts:
    return [
        ("rounds on this machine", str(past["rounds"])),
        ("of these voided", str(past["voided"])),
        ("begun, and not revealed", str(past["unfinished"])),
        ("revealed, and not on this board", str(past["left_out"])),
    ]


def _others(past: Row) -> dict[str, Any]:
    rows = [
        [
            each["title"] or each["id"],
            each["id"],
            each["created"],
            STATES.get(each["state"], each["state"]),
            each["reason"],
        ]
        for each in past["others"]
    ]
    head = ["", "round", "begun", "what became of it", "reason"]
    return {"title": "Rounds that are not here", "note": "", "head": head, "rows": rows, "words": (3, 4)}
