"""What is said of a detector, and of a model: three words, none of which is "clean"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from whetstone.evals.contamination.calibration import ALPHA, Power, holm

CONTAMINATED, NO_EVIDENCE, NO_POWER = "contaminated", "no evidence", "no power here"
FIRST = "full-verbatim"  # the sibling that speaks for a detector wherever it shows power on it
OF_SETS = frozenset({"twin_gap"})  # detectors whose score of an item is right or wrong
ENOUGH = 0.8  # of the power of a set's test, for a dose to be called one that would have been found


Control = Mapping[str, Mapping[str, Mapping[int, Power]]]  # by contaminated sibling, detector, dose


@dataclass(frozen=True)
class Finding:
    """One detector's p on the audited items, Holm's adjustment of it (None where the detector has no power and was not
    asked), and the word. `set_power` is that of the set's test at `dose`, on `sibling`."""

    detector: str
    p: float
    adjusted: float | None
    word: str
    sibling: str | None = None
    dose: int | None = None
    set_power: float | None = None

    @property
    def power(self) -> str:
        """What would have been found: "power 0.95 at 4 copies"."""
        copies = "copy" if self.dose == 1 else "copies"
        where = "" if self.sibling == FIRST else f", {self.sibling}"
        return f"power {self.set_power:.2f} at {self.dose} {copies}{where}"

    def sentence(self) -> str:
        return f"{NO_EVIDENCE} ({self.power})" if self.word == NO_EVIDENCE else self.word

    def to_dict(self) -> dict[str, Any]:
        return {**self.__dict__, "sentence": self.sentence()}


def findings(p_values: Mapping[str, float], control: Control) -> list[Finding]:
    """One per detector.

    Which detectors are asked is settled by the control alone, which knows nothing of the audited items; so Holm over
    those keeps the chance that a clean model is called contaminated at 5 %.
    """
    best = {name: _speaks_for(name, control) for name in p_values}
    adjusted = holm({name: p for name, p in p_values.items() if best[name] is not None})
    found = []
    for name, p in p_values.items():
        speaks = best[name]
        if speaks is None:
            found.append(Finding(name, p, None, NO_POWER))
        else:
            word = CONTAMINATED if adjusted[name] <= ALPHA else NO_EVIDENCE
            found.append(Finding(name, p, adjusted[name], word, *speaks))
    return found


def _speaks_for(detector: str, control: Control) -> tuple[str, int, float] | None:
    """The first sibling on which the detector shows power, at the smallest dose that its set's test would have found
    four times in five (else the largest that shows any); None where it shows none.

    Power is shown for single items (`Power.shown`) at any dose. A score that is only right or wrong has no threshold at
    5 % false alarms, but can tell one set from another: for those it is shown for sets, at the largest dose.
    """
    for sibling in sorted(control, key=lambda name: name != FIRST):
        doses = control[sibling].get(detector, {})
        shown = [(dose, each.set_power) for dose, each in sorted(doses.items()) if each.shown]
        if detector in OF_SETS and doses and doses[max(doses)].shown_for_sets and not shown:
            shown = [(max(doses), doses[max(doses)].set_power)]
        if shown:
            return sibling, *next((pair for pair in shown if pair[1] >= ENOUGH), shown[-1])
    return None


def overall(found: list[Finding]) -> str:
    """The verdict line of the audit."""
    guilty = [each for each in found if each.word == CONTAMINATED]
    if guilty:
        first = min(guilty, key=lambda each: each.adjusted or 0.0)
        return f"contaminated: {', '.join(each.detector for each in guilty)} (Holm-adjusted p {first.adjusted:.2g})"
    silent = [each for each in found if each.word == NO_EVIDENCE]
    if not silent:
        return "no power here: no detector finds even items that were trained on, so this audit says nothing"
    best = min(silent, key=lambda each: (each.sibling != FIRST, each.dose or 0, -(each.set_power or 0.0)))
    return f"no evidence: the most sensitive detector, {best.detector}, has {best.power}"
