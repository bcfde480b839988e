"""`whet bench stats`: the sides do equal work, and what disagrees is not timed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench import stats
from whetstone.errors import WorkFailed

ROOT = Path(__file__).resolve().parents[2]


def test_the_rows_of_a_small_run() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "bench" / "stats.py"), "--json", "--problems", "400", "--seconds", "0"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["name"] for row in rows] == ["stats.everything", *(f"stats.{name}" for name in stats.PEERS)]
    assert rows[0]["ratio"] is None and rows[0]["unit"] == "s" and rows[0]["ours"] > 0
    assert all(row["ratio"] > 0 and "peer scipy" in row["versions"] for row in rows[1:])


def test_everything_is_there_and_repeats() -> None:
    given = stats.material(400)
    found = stats.everything(given)
    assert found == stats.everything(given)
    assert len(found["accuracies"]) == 8 and len(found["pairs"]) == len(found["holm"]) == 4
    assert {row["name"] for row in found["ranks"]} == {"before", "after"} and found["seeds"].seeds == 2


def test_unequal_work_gets_no_ratio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stats, "PEERS", {"wrong": lambda _given: (lambda: 1.0, lambda: 2.0, "scipy", 0.1)})
    with pytest.raises(WorkFailed, match=r"stats.wrong: ours gives 1.0 and scipy 2.0"):
        list(stats.measure(400, 0))
