"""What a benchmark prints: one object per comparison, the same fields everywhere (DESIGN.md section 4)."""

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from whetstone.errors import UsageError, WorkFailed
from whetstone.models.decoder import Decoder, Linear
from whetstone.runs import machine, provenance


def row(
    name: str,
    ours: float,
    peer: float | None,
    peer_name: str,
    unit: str,
    *,
    higher_is_better: bool,
    peer_versions: Mapping[str, str] | None = None,
    **details: Any,
) -> dict[str, Any]:
    """One comparison as plain JSON. ratio > 1 means that we are ahead, whichever way the unit points.

    name: the work that both did, e.g. "generate.sampled.batch32". ours, peer: measured values in `unit`; a peer that
    is not there is None, and so is the ratio. details: further fields, e.g. what both spent where; `note` is also
    shown to people. Raises ValueError unless the values are positive.
    """
    if ours <= 0 or (peer is not None and peer <= 0):
        raise ValueError(f"{name}: measured values must be positive, not {ours} and {peer}")
    ratio = None if peer is None else ours / peer if higher_is_better else peer / ours
    versions = provenance.versions() | {
        f"peer {package}": version for package, version in (peer_versions or {}).items()
    }
    found = {
        "name": name,
        "ours": ours,
        "peer": peer,
        "peer_name": peer_name,
        "ratio": ratio,
        "unit": unit,
        "machine": str(machine.describe()),
        "versions": versions,
        **details,
    }
    return {key: rounded(value) for key, value in found.items()}


def print_rows(rows: Iterable[Mapping[str, Any]], as_json: bool) -> None:
    """Print each row as soon as it is there: a JSON object a line, or a line to read and its note."""
    for found in rows:
        if as_json:
            print(json.dumps(found), flush=True)
            continue
        if found["ratio"] is None:
            ahead, theirs = f"{found['peer_name']} not measured", ""
        else:
            ahead, theirs = f"{found['ratio']:.2f} x {found['peer_name']}", f", theirs {found['peer']:g}"
        print(f"{found['name']}: {ahead} (ours {found['ours']:g}{theirs} {found['unit']}; {found['machine']})")
        if "note" in found:
            print(f"    {found['note']}")
        sys.stdout.flush()


def products(model: Decoder, layer_tokens: float, head_rows: float) -> float:
    """GFLOP in the matrix products of a forward pass: tokens through the layers, rows through the vocabulary.

    Attention scores are left out: about 2 % at the lengths measured here.
    """
    layers = sum(module.weight.numel() for module in model.layers.modules() if isinstance(module, Linear))
    return 2 * (layers * layer_tokens + model.head_weight_VD.numel() * head_rows) / 1e9


def rounded(value: Any) -> Any:
    """Floats to four significant digits, at every depth: more would be noise."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, Mapping):
        return {key: rounded(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(each) for each in value]
    return value


def say(line: str) -> None:
    """Progress for the person who waits: on stderr, out of the way of the results."""
    print(line, file=sys.stderr, flush=True)


def main(work: Callable[[], None]) -> None:
    """Run a benchmark's work; a failure is one line, with the exit codes of `whet`."""
    try:
        work()
    except (UsageError, WorkFailed) as error:
        say(f"bench: {error}")
        sys.exit(2 if isinstance(error, UsageError) else 1)
