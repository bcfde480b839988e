"""False alarms of the audit over many keys, on a model that saw none of the items. See README.md beside this file."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from whetstone.evals.contamination.calibration import ALPHA, holm
from whetstone.evals.contamination.items import suspects
from whetstone.evals.contamination.measure import measured
from whetstone.evals.contamination.report import p_value, present
from whetstone.evals.statistics import wilson
from whetstone.models.loading import Loaded, load
from whetstone.runs.progress import Progress
from whetstone.runs.stages import Stages
from whetstone.tasks.registry import load_task

TASK, LEVEL = "addition", 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--keys", type=int, default=200)
    parser.add_argument("--n", type=int, default=15)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--tiny", action="store_true", help="a random model of 20 thousand parameters")
    options = parser.parse_args()
    stages = Stages(options.out)
    loaded = _tiny() if options.tiny else load(options.model)
    rows = []
    with Progress() as progress, progress.stage("keys", options.keys) as stage:
        for key in range(options.keys):
            rows.append(stages.once(f"key-{key}", lambda k=key: {"p": p_values(loaded, k, options.n)}))
            stage.advance(note=f"{sum(map(alarms, rows))} alarms")
    print(json.dumps(summary(rows), indent=2))


def p_values(loaded: Loaded, key: int, n: int) -> dict[str, float]:
    """Of every detector, for the items of one key."""
    task = load_task(TASK)
    items, twins = suspects(task, LEVEL, f"clean {key}", n, n, n // 3)
    seen = measured(loaded, task, items, "only")
    fresh = measured(loaded, task, twins, "only", ordered=False)
    return {name: p_value(seen, fresh, name) for name in present(seen, fresh)}


def alarms(row: dict[str, dict[str, float]]) -> bool:
    return min(holm(row["p"]).values()) <= ALPHA


def summary(rows: list[dict[str, dict[str, float]]]) -> dict[str, object]:
    names = list(rows[0]["p"])
    return {
        "keys": len(rows),
        "audits_with_an_alarm": wilson(sum(map(alarms, rows)), len(rows)).to_dict(),
        "p_at_most_0.05": {
            name: wilson(sum(row["p"][name] <= ALPHA for row in rows), len(rows)).to_dict() for name in names
        },
    }


def _tiny() -> Loaded:
    from tests.tiny import tiny_folder

    with tempfile.TemporaryDirectory() as folder:
        return load(str(tiny_folder(Path(folder) / "model")))


if __name__ == "__main__":
    main()
