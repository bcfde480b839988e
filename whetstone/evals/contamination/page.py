"""audit.html: one self-contained page made from the report of an audit. Every value is escaped; no scripts."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined

from whetstone.evals.contamination.measure import DETECTORS
from whetstone.evals.contamination.report import CLEAN
from whetstone.evals.contamination.summary import NAMES, points
from whetstone.evals.contamination.verdict import CONTAMINATED, FIRST, NO_POWER
from whetstone.text import plain

_LEFT, _RIGHT, _ROW = 190, 700, 18


def render(found: Mapping[str, Any]) -> str:
    """The page as text. Equal reports give equal bytes."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, finalize=_finalize)
    here = resources.files("whetstone.evals.contamination")
    template = environment.from_string(here.joinpath("page.html.j2").read_text(encoding="utf-8"))
    doses = found["control_items"]["doses"]
    verbatim = found["control"].get(FIRST, {})
    names = [name for name in DETECTORS if any(name in row for row in found["control"].values())]
    return template.render(
        title=f"Audit of {found['model']} on {found['task']}, level {found['level']}, seed {found['seed']}",
        verdict=found["verdict"],
        kind="contaminated" if found["verdict"].startswith(CONTAMINATED) else "",
        doses=doses,
        detectors=[_detector(each, verbatim.get(each["detector"], {}), doses) for each in found["detectors"]],
        chart=_chart(verbatim, doses),
        columns=[NAMES[name] for name in names],
        siblings=_siblings(found["control"], names, doses),
        without_signal=list(found["without_signal"].items()),
        facts=_facts(found),
        example=found["example"],
    )


def _finalize(value: Any) -> Any:
    return plain(value) if isinstance(value, str) and type(value) is str else value


def _detector(each: Mapping[str, Any], doses: Mapping[str, Any], wanted: list[int]) -> dict[str, Any]:
    return {
        "name": NAMES[each["detector"]],
        "sentence": each["sentence"],
        "kind": {CONTAMINATED: "contaminated", NO_POWER: "none"}.get(each["word"], ""),
        "p": f"{each['p']:.2g}",
        "adjusted": "not asked" if each["adjusted"] is None else f"{each['adjusted']:.2g}",
        "shares": [_share(doses.get(str(dose))) for dose in wanted],
    }


def _share(power: Mapping[str, Any] | None) -> dict[str, str]:
    if power is None:
        return {"text": "–", "band": "", "depth": "0"}
    tpr = power["tpr"]
    text, band = f"{100 * tpr['mean']:.0f} %", f"{100 * tpr['low']:.0f} to {100 * tpr['high']:.0f}"
    return {"text": text, "band": band, "depth": f"{0.55 * tpr['mean'] if power['shown'] else 0:.2f}"}


def _chart(verbatim: Mapping[str, Mapping[str, Any]], doses: list[int]) -> dict[str, Any]:
    """A point with its interval for each detector and dose, in the units of the SVG."""

    def x(share: float) -> float:
        return round(_LEFT + share * (_RIGHT - _LEFT), 1)

    rows: list[dict[str, Any]] = []
    for name in (each for each in DETECTORS if each in verbatim):
        for dose in (each for each in doses if str(each) in verbatim[name]):
            tpr = verbatim[name][str(dose)]["tpr"]
            text = f"{NAMES[name]}, {dose} x"
            rows.append({"text": text, "low": x(tpr["low"]), "high": x(tpr["high"]), "at": x(tpr["mean"])})
    for place, row in enumerate(rows):
        row["y"] = 22 + place * _ROW
    ticks = [{"x": x(share), "text": f"{100 * share:.0f} %"} for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
    height = 44 + len(rows) * _ROW
    return {
        "width": _RIGHT + 30,
        "height": height,
        "left": _LEFT,
        "right": _RIGHT,
        "level": x(0.05),
        "rows": rows,
        "ticks": ticks,
    }


def _siblings(control: Mapping[str, Any], names: list[str], doses: list[int]) -> list[dict[str, Any]]:
    return [
        {
            "sibling": sibling,
            "dose": dose,
            "shares": [_share(row.get(name, {}).get(str(dose))) for name in names],
        }
        for sibling, row in control.items()
        if sibling != CLEAN
        for dose in doses
    ]


def _facts(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    exact, gap, order = found["completion"], found["twin_gap"], found["order"]

    def share(each: Mapping[str, float]) -> str:
        return f"{100 * each['mean']:.1f} % ({100 * each['low']:.1f} to {100 * each['high']:.1f})"

    facts = [
        ("items, fresh twins", f"{found['n']}, {found['twins']}"),
        (
            "completed word for word from 60 %",
            f"items {share(exact['exact_items'])}, twins {share(exact['exact_twins'])}",
        ),
        ("answered right", f"items {share(gap['items'])}, twins {share(gap['twins'])}"),
        ("twin gap", f"{points(gap['gap'])}, {gap['references']} reference models"),
        (
            "order of items",
            f"p {order['p_permutation']:.2g} by permutation, {order['p_sharded_t']:.2g} by the sharded t test, "
            f"{order['shards']} shards",
        ),
    ]
    for sibling, bits in found["exposure_bits"].items():
        by_dose = ", ".join(f"{value:.1f} at {dose} copies" for dose, value in bits.items())
        facts.append((f"canaries' exposure, {sibling}", f"{by_dose} (bits; 5 is the most)"))
    if found["clean_sibling"]:
        alarms = [NAMES[each["detector"]] for each in found["clean_sibling"] if each["word"] == CONTAMINATED]
        facts.append(("a sibling that saw none of its items", ", ".join(alarms) or "no alarm"))
    return facts
