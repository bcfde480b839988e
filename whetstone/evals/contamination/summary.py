"""An audit of a model in a few lines of text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from whetstone.evals.contamination.verdict import FIRST

# What the detectors are called in front of people.
NAMES = {
    "loss": "loss",
    "zlib": "loss / zlib size",
    "min_k": "Min-K%",
    "min_k_plus": "Min-K%++",
    "completion": "partial prompt",
    "order": "order of items",
    "twin_gap": "twin gap",
    "canary": "canary exposure",
}


def lines(found: Mapping[str, Any], folder: Path) -> list[str]:
    """The verdict first, then a line for each detector beside its own positive control."""
    copies = found["control_items"]["doses"]
    text = [
        f"{found['model']} on {found['n']} items of {found['task']} level {found['level']} (seed {found['seed']}), "
        f"{found['twins']} fresh twins",
        found["verdict"],
        "",
        f"share of leaked items found at 5 % false alarms, full training, after {' / '.join(map(str, copies))} copies:",
    ]
    verbatim = found["control"].get(FIRST, {})
    for each in found["detectors"]:
        doses = verbatim.get(each["detector"], {})
        shares = " / ".join(f"{100 * doses[str(dose)]['tpr']['mean']:.0f} %" for dose in copies if str(dose) in doses)
        adjusted = "" if each["adjusted"] is None else f", p {each['adjusted']:.2g} after Holm"
        text.append(f"  {NAMES[each['detector']]:<18}{shares:<20}{each['sentence']}{adjusted}")
    exact = found["completion"]
    gap = found["twin_gap"]
    text += [
        "",
        f"completed word for word from 60 %: items {_percent(exact['exact_items'])}, "
        f"twins {_percent(exact['exact_twins'])}",
        f"answered right: items {_percent(gap['items'])}, twins {_percent(gap['twins'])}; gap {points(gap['gap'])}",
    ]
    false = [NAMES[each["detector"]] for each in found["clean_sibling"] if each["word"] == "contaminated"]
    if found["clean_sibling"]:
        text.append(f"of a sibling that saw no item of its own: {', '.join(false) or 'no alarm'}")
    text += [f"{sibling}: {note}" for sibling, note in found["without_signal"].items()]
    return [*text, f"the page: {folder / 'audit.html'}"]


def points(gap: Mapping[str, float]) -> str:
    """A gap in points of a hundred, with its interval."""
    return f"{100 * gap['mean']:+.1f} points ({100 * gap['low']:+.1f} to {100 * gap['high']:+.1f})"


def _percent(share: Mapping[str, float]) -> str:
    return f"{100 * share['mean']:.1f} %"
