"""A leaderboard over revealed rounds: ranks with their intervals, for each stratum of each round apart.

That two rounds are equally hard is assumed by whoever compares them; here it is checked where the same weights entered
both. Rounds that were voided, never revealed or left off the board are counted, for choosing among rounds flatters too.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from whetstone.errors import UsageError, WorkFailed
from whetstone.evals.history import History
from whetstone.evals.rounds import scoring
from whetstone.evals.rounds.judging import decisions, rulings
from whetstone.evals.rounds.round import Round
from whetstone.evals.rounds.verifying import verify
from whetstone.evals.statistics.pairs import unpaired_difference
from whetstone.evals.statistics.ranks import rank_intervals
from whetstone.files import atomic_write_text

NOT_HERE = "weights are no part of a board's check"


@dataclass(frozen=True)
class Graded:
    """One stratum of one round: for each entrant the scores of the same items, and what these share their luck with."""

    scores: dict[str, list[float]]
    clusters: list[str]


def leaderboard(folders: Sequence[Path], out: Path) -> dict[str, Any]:
    """Check the rounds in `folders`, rank their entrants, write the page to `out`; returns what it says.

    Returns {kind, rounds: [{round, title, created, head, decoding, unchecked, past, strata: [{stratum, means, n, parts,
    rows: [{name, weights, control, hosted, mean, low, high, n, rank, rank_low, rank_high}], first}]}], entrants:
    [{name, weights, hosted, places}], difficulty, history, links}; rounds are in the order in which they were begun.
    Entrants of several rounds are one where their weights' hash is one; a hosted model is only ever itself.

    Raises UsageError for a folder without a revealed round, a round given twice or a page that cannot be written,
    WorkFailed for a round that does not hold what its log binds.
    """
    from whetstone.evals.rounds.board_page import render

    opened = [_opened(folder) for folder in folders]
    if twice := [identity for identity, count in Counter(round_.manifest.id for round_ in opened).items() if count > 1]:
        raise UsageError(f"the round {twice[0]} was given twice")
    opened.sort(key=lambda round_: (round_.manifest.created, round_.manifest.id))
    rounds = [_told(round_) for round_ in opened]
    board: dict[str, Any] = {
        "kind": "board",
        "rounds": rounds,
        "entrants": _entrants(rounds),
        "difficulty": _difficulty(rounds),
        "history": _history(rounds),
    }
    board["links"] = _links(board)
    try:
        atomic_write_text(out, render(board))
    except OSError as error:
        raise UsageError(f"the board cannot be written to {out} ({error.strerror}): choose another --out") from error
    return board


def _opened(folder: Path) -> Round:
    round_ = Round(folder)
    if round_.state != "revealed":
        raise UsageError(f"the round in {folder} is {round_.state}: on a board stand revealed rounds")
    if not (folder / "report.json").is_file():
        raise UsageError(f"the round in {folder} has no report yet: `whet round report {folder}`")
    return round_


def _told(round_: Round) -> dict[str, Any]:
    elsewhere = {entrant.name: NOT_HERE for entrant in round_.entrants}
    found = verify(round_.path, models=elsewhere)
    if not found.holds:
        raise WorkFailed(f"the round in {round_.path} does not hold: {found.failed[0]}; see `whet round verify`")
    report = json.loads((round_.path / "report.json").read_text(encoding="utf-8"))
    about = {entrant["name"]: entrant for entrant in report["entrants"]}
    graded = grade(round_)
    return {
        "round": report["round"],
        "title": report["title"],
        "created": report["created"],
        "head": round_.head,
        "decoding": report["decoding"],
        "unchecked": [text for text in found.open if NOT_HERE not in text],
        "past": report["history"],
        "strata": [_stratum(stratum, graded[stratum["stratum"]], about) for stratum in report["strata"]],
    }


def grade(round_: Round) -> dict[str, Graded]:
    """The scores of a revealed round by stratum, after all decisions; strata without any problem left out."""
    parts, tasks, everything = round_.parts(), round_.tasks(), round_.items()
    ruled = rulings(decisions(round_.log), everything, tasks)
    sheets = [
        scoring.sheet_of(round_, entrant, everything, tasks, ruled) for entrant in scoring.judged_entrants(round_)
    ]
    found = {}
    for name in dict.fromkeys(part.stratum for part in parts):
        items = [item for item in everything if parts[item.part].stratum == name and item.place not in ruled.dropped]
        if items:
            scores = {sheet.entrant.name: [sheet.score(item) for item in items] for sheet in sheets}
            found[name] = Graded(scores, scoring.clusters_of(items))
    return found


def _stratum(stratum: Mapping[str, Any], graded: Graded, about: Mapping[str, Any]) -> dict[str, Any]:
    rows = [
        {name: about[row["name"]][name] for name in ("name", "weights", "control", "hosted")} | row
        for row in rank_intervals(graded.scores, graded.clusters)
    ]
    kept = ("stratum", "means", "n", "parts")
    first = [row["name"] for row in rows if row["rank_low"] == 1]
    return {name: stratum[name] for name in kept} | {"rows": rows, "first": first}


def _entrants(rounds: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each set of weights once, with its places; called by the last name that it went by."""
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for round_ in rounds:
        for stratum in round_["strata"]:
            for row in stratum["rows"]:
                key = (row["weights"],) if row["weights"] else (round_["round"], row["name"])
                told = found.setdefault(key, {"weights": row["weights"], "hosted": row["hosted"], "places": []})
                told["name"] = row["name"]
                kept = ("name", "control", "mean", "low", "high", "n", "rank", "rank_low", "rank_high")
                where = {"round": round_["round"], "stratum": stratum["stratum"]}
                told["places"].append(where | {name: row[name] for name in kept})
    return list(found.values())


# -- are the rounds equally hard? ----------------------------------------------------------------------------


def _difficulty(rounds: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The same weights in the same stratum of two rounds: the later accuracy minus the earlier one, on other problems.

    `comparable` is false, and there is no difference, where the two asked other things or in another way.
    """
    found = []
    for earlier, later in combinations(rounds, 2):
        strata = {stratum["stratum"]: stratum for stratum in later["strata"]}
        for before in earlier["strata"]:
            after = strata.get(before["stratum"])
            if after is None:
                continue
            alike = _asked(earlier, before) == _asked(later, after)
            rows = {row["weights"]: row for row in after["rows"] if row["weights"]}
            for row in before["rows"]:
                if row["weights"] in rows:
                    where = {"stratum": before["stratum"], "earlier": earlier["round"], "later": later["round"]}
                    who = {"name": rows[row["weights"]]["name"], "weights": row["weights"], "comparable": alike}
                    found.append(where | who | (_change(row, rows[row["weights"]]) if alike else {}))
    return found


def _asked(round_: Mapping[str, Any], stratum: Mapping[str, Any]) -> tuple[Any, ...]:
    """What must be equal for two rounds to be equally hard: tasks, levels, their shares, and how it is asked."""
    total = sum(part["n"] for part in stratum["parts"])
    parts = ((p["task"], p["level"], p.get("style"), round(p["n"] / total, 2)) for p in stratum["parts"])
    return (sorted(map(str, parts)), *round_["decoding"].values())


def _change(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    told = unpaired_difference(after, before).to_dict()
    return told | {"verdict": "differs" if told["low"] > 0 or told["high"] < 0 else "no difference shown"}


# -- what is not on the board --------------------------------------------------------------------------------


def _history(rounds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What this machine's history knows of rounds: how many there were, and those that are not on this board."""
    here, known = {round_["round"] for round_ in rounds}, History.open().rounds()
    states = Counter(each["state"] for each in known)
    others = [each for each in known if each["id"] not in here]
    return {
        "rounds": len(known),
        "voided": states["void"],
        "unfinished": states["open"],
        "left_out": sum(each["state"] == "revealed" for each in others),
        "others": [{name: each[name] for name in ("id", "title", "created", "state", "reason")} for each in others],
    }


# -- in words ------------------------------------------------------------------------------------------------


def _links(board: Mapping[str, Any]) -> list[str]:
    """What a sceptic would pull at, weakest first."""
    past, rounds = board["history"], board["rounds"]
    found = []
    if n := past["left_out"]:
        found.append(f"{n} revealed {'round' if n == 1 else 'rounds'} of this machine {_were(n)} left off this board")
    if past["voided"] or past["unfinished"]:
        n = past["voided"]
        ended = f"{n} {'round' if n == 1 else 'rounds'} {_were(n)} voided and {past['unfinished']} begun"
        found.append(f"on this machine {ended} but never revealed")
    found += [f"round {number}: {text}" for number, each in enumerate(rounds, 1) for text in each["unchecked"]]
    if len(rounds) > 1:
        found += _hardness(board["difficulty"])
    for number, round_ in enumerate(rounds, 1):
        for stratum in round_["strata"]:
            if len(stratum["first"]) > 1:
                where = f"round {number}, stratum {stratum['stratum']}"
                found.append(f"{where}: who is first is not decided between {', '.join(stratum['first'])}")
    if hosted := sorted({each["name"] for each in board["entrants"] if each["hosted"]}):
        found.append(f"hosted, so nobody can prove which weights answered: {', '.join(hosted)}")
    found.append("a rank is among those who entered: it says nothing about those who did not")
    return found


def _hardness(checks: Sequence[Mapping[str, Any]]) -> list[str]:
    compared = [check for check in checks if check["comparable"]]
    if not compared:
        return ["that the rounds are equally hard is assumed, not shown: no weights answered two of them alike"]
    apart = [check for check in compared if check["verdict"] == "differs"]
    if not apart:
        return []
    return [
        f"the rounds are not equally hard for the same weights: in {len(apart)} of {len(compared)} checks they"
        " differ (in one of 20 they would by luck)"
    ]


def _were(n: int) -> str:
    return "was" if n == 1 else "were"
