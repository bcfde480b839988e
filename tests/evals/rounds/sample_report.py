"""Reports of rounds to draw pages of: a real one of two entrants, and variants with all that a round may hold.

`python tests/evals/rounds/sample_report.py DIR` writes the pages to look at after changing the layout.
"""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

Report = dict[str, Any]
KS = (1, 2, 4, 8)
HOSTILE = "</script><img src=x onerror=alert(1)>\x1b[2J\u202e{{ 7 * 7 }}&\"'\ud800"


def real_report() -> Report:
    """Two entrants, two strata, one greedy answer to each problem."""
    report: Report = json.loads((Path(__file__).parent / "report.json").read_text(encoding="utf-8"))
    return report


def _score(mean: float, half: float, n: int) -> Report:
    return {"mean": mean, "low": max(0.0, mean - half), "high": min(1.0, mean + half), "n": n}


def _row(right: int, wrong: int, none: int, broken: tuple[int, int], n: int, parts: list[Report]) -> Report:
    total = right + wrong + none + sum(broken)
    mean = right / total
    verdicts = {"right": right, "wrong": wrong, "no_answer": none, "error": broken[0], "timeout": broken[1]}
    curve = [1 - (1 - mean) ** k for k in KS]
    return {
        "accuracy": _score(mean, 0.046, n),
        "verdicts": verdicts,
        "extracted": 1 - none / total,
        "truncated": 0.0621,
        "tokens_per_answer": 23.456,
        "parts": [
            {"task": part["task"], "level": part["level"], "accuracy": _score(max(0.0, mean - 0.03 * place), 0.11, 50)}
            for place, part in enumerate(parts)
        ],
        "overlap": None,
        "declared": "no",
        "pass_at_k": [{"k": k, **_score(each, 0.04, n)} for k, each in zip(KS, curve, strict=True)],
        "pass_hat_k": [{"k": k, **_score(mean**k, 0.03, n)} for k in KS],
    }


def _pair(before: str, after: str, mean: float, half: float, p: float, verdict: str, n: int) -> Report:
    return {
        "before": before,
        "after": after,
        "mean": mean,
        "low": mean - half,
        "high": mean + half,
        "n": n,
        "p": p / 8,
        "test": "sign flips of 48 clusters",
        "p_mcnemar_exact": None,
        "discordant": [61, 17],
        "minimum_detectable": 0.0718,
        "verdict": verdict,
        "p_holm": p,
    }


def _reliability(shift: float) -> Report:
    bins = [
        {
            "low": low / 5,
            "high": (low + 1) / 5,
            "confidence": low / 5 + 0.1,
            "accuracy": _score(max(0.0, low / 5 + 0.1 - shift), 0.08, 120 + low),
        }
        for low in range(5)
    ]
    return {"bins": bins, "ece": {**_score(shift, 0.021, 600)}, "ece_if_calibrated": 0.0312}


def full_report() -> Report:
    """Five entrants (one hosted, one a control), four strata, eight answers each, decisions, overlap, reliability."""
    report = real_report()
    base, sharpened = report["entrants"]
    sharpened["base"] = "smollm2-135m"
    control = {**copy.deepcopy(sharpened), "name": "random-reward-twin-of-the-sharpened-one", "looks": 3}
    control |= {"control": "trained on rewards thrown by dice", "weights": "7a" * 32, "trained_problems": 1251}
    other = {**control, "name": "random-reward-twin-of-the-second-one", "weights": "8b" * 32}
    hosted = {**copy.deepcopy(base), "name": "hosted-xl", "model": "an endpoint", "hosted": True, "weights": ""}
    hosted |= {"backend": {"served": "xl-2026"}, "trained_on": {}, "looks": 12}
    report["entrants"] += [control, other, hosted]
    names = [entrant["name"] for entrant in report["entrants"]]
    report["decoding"] = {"samples": 8, "temperature": 0.7, "style": "steps"}
    worlds = [{"task": f"world-{name}", "level": 1, "n": 50, "sealed": True} for name in ("tides", "looms", "gates")]
    pages = [
        {"task": f"documents-{how}", "level": 2, "n": 74, "sealed": False, "style": "open"}
        for how in ("with", "without")
    ]
    strata = report["strata"]
    strata.append({"stratum": "C", "means": "sealed tasks: rules that no training recipe names. Says: transfers"})
    strata.append({"stratum": "D", "means": "documents of invented worlds. Says: reads, and does not recall"})
    shares = {"A": (410, 431, 402, 398, 455), "B": (13, 60, 22, 17, 301), "C": (88, 91, 80, 85, 240)}
    for stratum in strata:
        parts = stratum.setdefault("parts", worlds if stratum["stratum"] == "C" else pages)
        n = stratum["n"] = 150 - 2 * (stratum["stratum"] == "D")
        stratum |= {"clusters": 48, "dropped": 2 * (stratum["stratum"] == "D")}
        stratum.setdefault("baselines", copy.deepcopy(strata[0]["baselines"]))
        right = shares.get(stratum["stratum"], (120, 180, 130, 125, 360))
        stratum["entrants"] = {
            name: _row(2 * each, 700 - each, 290, (4, 3) if place == 2 else (0, 0), n, parts)
            for place, (name, each) in enumerate(zip(names, right, strict=True))
        }
        stratum["pairs"] = [
            _pair(names[0], name, mean, 0.084, p, verdict, n)
            for name, mean, p, verdict in zip(
                names[1:],
                (0.31, 0.19, 0.051, -0.23),
                (1e-9, 0.00231, 0.47, 0.0042),
                ("gain", "gain", "not distinguishable", "loss"),
                strict=True,
            )
        ]
    for name, seen in zip(names[1:4], (0, 37, 150), strict=True):
        told = {"seen": seen, "of": 150, "score_seen": 0.913, "score_clean": 0.447}
        told |= {"score_seen": None} if not seen else {"score_clean": None} if seen == 150 else {}
        strata[0]["entrants"][name]["overlap"] = told
    for name, shift in zip(names, (0.31, 0.07, 0.12, 0.11, 0.04), strict=True):
        strata[0]["entrants"][name]["reliability"] = _reliability(shift)
    report["decisions"] = [
        {"place": 17, "action": "drop", "reason": "the question has two answers", "text": ""},
        {"place": 18, "action": "accept", "reason": "a thousands separator is no error", "text": "The sum is 1,204."},
        {"place": 18, "action": "reject", "reason": "it names two numbers", "text": "It is 7.\n" * 60},
        {"place": 23, "action": "keep", "reason": "looked at again: unambiguous", "text": ""},
    ]
    report["history"] = {"rounds": 9, "voided": 2, "unfinished": 1, "retired_before": 4}
    report["without"] = ["late-one"]
    report["beacon"] = "drand round 4217733"
    report["verdict"] = [
        f"stratum {stratum['stratum']}: {pair['after']} against {pair['before']}: {pair['verdict']}"
        for stratum in strata
        for pair in stratum["pairs"]
    ]
    return report


def single_report() -> Report:
    """One entrant alone, no pair, nothing to say against it."""
    report = real_report()
    report["entrants"].pop()
    for stratum in report["strata"]:
        del stratum["entrants"]["sharpened"]
        stratum["pairs"] = []
    report |= {"verdict": [], "links": [], "weakest_link": "none was found", "title": "", "commit": None}
    return report


def _spoiled(value: Any, name: str = "") -> Any:
    """The same with hostile text in the place of every word that a stranger could have written."""
    if isinstance(value, dict):
        return {(HOSTILE + key if name == "entrants" else key): _spoiled(each, key) for key, each in value.items()}
    if isinstance(value, list):
        return [_spoiled(each) for each in value]
    return (
        HOSTILE + value if isinstance(value, str) and name not in ("kind", "verdict", "stratum", "declared") else value
    )


def hostile_report() -> Report:
    """Everything that can be said by others tries to be obeyed."""
    report: Report = _spoiled(full_report())
    return report


SAMPLES: dict[str, Callable[[], Report]] = {
    "real": real_report,
    "full": full_report,
    "single": single_report,
    "hostile": hostile_report,
}

if __name__ == "__main__":
    from whetstone.evals.rounds.page import render

    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    for name, make in SAMPLES.items():
        (out / f"{name}.html").write_text(render(make()), encoding="utf-8")
