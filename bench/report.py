"""What a benchmark prints: one object per comparison, the same fields everywhere (DESIGN.md section 4)."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from whetstone.runs import machine, provenance


def row(
    name: str,
    ours: float,
    peer: float,
    peer_name: str,
    unit: str,
    *,
    higher_is_better: bool,
    peer_versions: Mapping[str, str] | None = None,
    **details: Any,
) -> dict[str, Any]:
    """One comparison as plain JSON. ratio > 1 means that we are ahead, whichever way the unit points.

    name: the work that both did, e.g. "generate.sampled.batch32". ours, peer: measured values in `unit`.
    details: further fields, e.g. what both spent where. Raises ValueError unless both values are positive.
    """
    if ours <= 0 or peer <= 0:
        raise ValueError(f"{name}: measured values must be positive, not {ours} and {peer}")
    ratio = ours / peer if higher_is_better else peer / ours
    versions = provenance.versions() | {
        f"peer {package}": version for package, version in (peer_versions or {}).items()
    }
    return {
        "name": name,
        "ours": _rounded(ours),
        "peer": _rounded(peer),
        "peer_name": peer_name,
        "ratio": _rounded(ratio),
        "unit": unit,
        "machine": str(machine.describe()),
        "versions": versions,
        **details,
    }


def print_rows(rows: Iterable[Mapping[str, Any]], as_json: bool) -> None:
    """Print each row as soon as it is there: a JSON object a line, or a line to read."""
    for found in rows:
        if as_json:
            print(json.dumps(found), flush=True)
        else:
            print(
                f"{found['name']}: {found['ratio']:.2f} x {found['peer_name']} "
                f"(ours {found['ours']:g}, theirs {found['peer']:g} {found['unit']}; {found['machine']})",
                flush=True,
            )


def _rounded(value: float) -> float:
    """Four significant digits: more would be noise."""
    return float(f"{value:.4g}")
