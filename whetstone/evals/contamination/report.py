"""From stored scores to the report of an audit: plain JSON, every figure beside what would have been found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

from whetstone.evals.contamination import calibration
from whetstone.evals.contamination.calibration import Power
from whetstone.evals.contamination.detectors import exchangeability, twin_gap
from whetstone.evals.contamination.detectors.exchangeability import SHARD
from whetstone.evals.contamination.measure import DETECTORS, Scores
from whetstone.evals.contamination.siblings import DOSES
from whetstone.evals.contamination.verdict import Control, Finding, findings, overall
from whetstone.evals.statistics import wilson

CLEAN = "full-clean"


def units(scores: Scores, detector: str) -> list[float]:
    """One value per item, shard or canary; higher is more like something trained on. "twin_gap" is less the references'
    where `scores` hold any."""
    if detector == "order":
        return [exchangeability.score(each) for each in scores["order"]]
    if detector == "twin_gap":
        references: Sequence[Sequence[int]] = scores.get("references", [])
        return [
            twin_gap.score(right, [each[place] for each in references])
            for place, right in enumerate(scores["twin_gap"])
        ]
    return [float(each) for each in scores[detector]]


def p_value(items: Scores, twins: Scores, detector: str) -> float:
    """The set's test: of the published order by itself, of everything else against the twins."""
    if detector == "order":
        return exchangeability.permutation_p(items["order"])
    return calibration.permutation_p(units(items, detector), units(twins, detector))


def present(items: Scores, twins: Scores) -> list[str]:
    """Detectors that have something to say on these scores (without planted canaries, theirs has not)."""
    return [name for name in DETECTORS if items.get(name) and (twins.get(name) or name == "order")]


def control_power(found: Mapping[str, Scores], detector: str, items: int, twins: int) -> dict[int, Power]:
    """By dose, for a set of as many units as the audited one has."""
    fresh = units(found["fresh"], detector)
    powers = {}
    for dose in DOSES:
        members = units(found[str(dose)], detector)
        if members and fresh:
            powers[dose] = (
                calibration.order_power(members, fresh, items)
                if detector == "order"
                else calibration.power(members, fresh, items, twins)
            )
    return powers


def false_alarm_check(found: Mapping[str, Scores], control: Control) -> list[dict[str, Any]]:
    """What the audit says of the clean sibling, which never saw the items that its namesakes were leaked."""
    merged: Scores = {}
    for dose in DOSES:
        for name, values in found[str(dose)].items():
            merged[name] = merged.get(name, []) + values
    # references are lists over models of lists over items: join along the items
    if any("references" in found[str(dose)] for dose in DOSES):
        columns = [found[str(dose)]["references"] for dose in DOSES]
        merged["references"] = [list(chain(*each)) for each in zip(*columns, strict=True)]
    p_values = {name: p_value(merged, found["fresh"], name) for name in present(merged, found["fresh"])}
    return [each.to_dict() for each in findings(p_values, control)]


def build(facts: Mapping[str, Any], items: Scores, twins: Scores, controls: Mapping[str, Any]) -> dict[str, Any]:
    """`controls`: by the sibling's name {"scores": {dose or "fresh": Scores}, "note": str}. The report as JSON."""
    names = present(items, twins)
    table = {
        sibling: {
            name: control_power(each["scores"], name, *_size(name, items, twins))
            for name in DETECTORS
            if each["scores"]["fresh"].get(name)
        }
        for sibling, each in controls.items()
        if not each["note"]
    }
    leaked = {sibling: row for sibling, row in table.items() if sibling != CLEAN}
    found = findings({name: p_value(items, twins, name) for name in names}, leaked)
    return {
        **facts,
        "verdict": overall(found),
        "detectors": [_detector(each, items, twins) for each in found],
        "completion": {
            "exact_items": wilson(sum(items["exact"]), len(items["exact"])).to_dict(),
            "exact_twins": wilson(sum(twins["exact"]), len(twins["exact"])).to_dict(),
        },
        "twin_gap": _gap(items, twins),
        "order": {
            "p_permutation": exchangeability.permutation_p(items["order"]),
            "p_sharded_t": exchangeability.sharded_t_p(items["order"]),
            "shards": len(items["order"]),
        },
        "control": {
            sibling: {name: {str(dose): each.to_dict() for dose, each in doses.items()} for name, doses in row.items()}
            for sibling, row in table.items()
        },
        "exposure_bits": _exposures(controls),
        "without_signal": {sibling: each["note"] for sibling, each in controls.items() if each["note"]},
        "clean_sibling": false_alarm_check(controls[CLEAN]["scores"], leaked) if CLEAN in controls else [],
    }


def _size(detector: str, items: Scores, twins: Scores) -> tuple[int, int]:
    """How many units a set's test compares: items, or shards and canaries, of which there is one to every three
    items."""
    n, fresh = len(items["loss"]), len(twins["loss"])
    return (n // SHARD, fresh // SHARD) if detector in ("order", "canary") else (n, fresh)


def _detector(found: Finding, items: Scores, twins: Scores) -> dict[str, Any]:
    left, right = units(items, found.detector), units(twins, found.detector)
    means = {"items": float(np.mean(left)), "twins": float(np.mean(right)) if right else None}
    return {**found.to_dict(), "mean": means}


def _gap(items: Scores, twins: Scores) -> dict[str, Any]:
    return {
        "items": wilson(sum(items["twin_gap"]), len(items["twin_gap"])).to_dict(),
        "twins": wilson(sum(twins["twin_gap"]), len(twins["twin_gap"])).to_dict(),
        "gap": twin_gap.gap(units(items, "twin_gap"), units(twins, "twin_gap")).to_dict(),
        "references": len(items.get("references", [])),
    }


def _exposures(controls: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Mean exposure of the planted canaries by sibling and dose, in bits; dose 0 are those that nobody planted."""
    found: dict[str, dict[str, float]] = {}
    for sibling, each in controls.items():
        scores = each["scores"]
        if each["note"] or sibling.endswith(("reworded", "clean")) or not scores.get("fresh", {}).get("canary"):
            continue
        found[sibling] = {
            "0" if dose == "fresh" else dose: float(np.mean(scores[dose]["bits"]))
            for dose in ("fresh", *map(str, DOSES))
        }
    return found
