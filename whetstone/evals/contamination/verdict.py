"""What is said of a detector, and of a model: three words, none of which is "clean"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from whetstone.evals.contamination.calibration import ALPHA, Power, holm

CONTAMINATED, NO_EVIDENCE, NO_POWER = "contaminated", "no evidence", "no power here"
ENOUGH = 0.8  # of the power of a set's test, for a dose to be called one that would have been found


@dataclass(frozen=True)
class Finding:
    """One detector's p on the audited items, Holm's adjustment of it (None where the detector has no power and was not
    asked), and the word."""

    detector: str
    p: float
    adjusted: float | None
    word: str
    dose: int | None  # the dose at which `set_power` holds
    set_power: float | None

    def sentence(self) -> str:
        if self.word == NO_EVIDENCE:
            copies = "copy" if self.dose == 1 else "copies"
            return f"no evidence (power {self.set_power:.2f} at {self.dose} {copies})"
        return self.word

    def to_dict(self) -> dict[str, Any]:
        return {**self.__dict__, "sentence": self.sentence()}


def findings(p_values: Mapping[str, float], control: Mapping[str, Mapping[int, Power]]) -> list[Finding]:
    """One per detector. `control`: its power by dose on the verbatim sibling.

    Which detectors are asked is settled by the control alone, which knows nothing of the audited items; so Holm over
    those keeps the chance that a clean model is called contaminated at 5 %.
    """
    able = {name for name in p_values if any(each.shown for each in control.get(name, {}).values())}
    adjusted = holm({name: p for name, p in p_values.items() if name in able})
    found = []
    for name, p in p_values.items():
        if name not in able:
            found.append(Finding(name, p, None, NO_POWER, None, None))
            continue
        dose, set_power = _speaks_for(control[name])
        word = CONTAMINATED if adjusted[name] <= ALPHA else NO_EVIDENCE
        found.append(Finding(name, p, adjusted[name], word, dose, set_power))
    return found


def _speaks_for(doses: Mapping[int, Power]) -> tuple[int, float]:
    """The smallest dose with power that would have been found four times in five; else the largest that has any."""
    shown = [(dose, each.set_power) for dose, each in sorted(doses.items()) if each.shown]
    return next((pair for pair in shown if pair[1] >= ENOUGH), shown[-1])


def overall(found: list[Finding]) -> str:
    """The verdict line of the audit."""
    guilty = [each for each in found if each.word == CONTAMINATED]
    if guilty:
        first = min(guilty, key=lambda each: each.adjusted or 0.0)
        return f"contaminated: {', '.join(each.detector for each in guilty)} (Holm-adjusted p {first.adjusted:.2g})"
    silent = [each for each in found if each.word == NO_EVIDENCE and each.dose is not None]
    if not silent:
        return "no power here: no detector finds even items that were trained on, so this audit says nothing"
    best = min(silent, key=lambda each: (each.dose or 0, -(each.set_power or 0.0)))
    return f"no evidence: the most sensitive detector, {best.detector}, has {best.sentence()[13:-1]}"
