import json
from pathlib import Path
from typing import Any

import pytest

from whetstone import cli
from whetstone.cli import doctor
from whetstone.engine.native import reason


def findings(**changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "versions": {"python": "3.11.7"},
        "hardware": {"cpu": "CPU", "cores": 2, "memory": 16.0, "gpu": None, "gpu_memory": None},
        "threads": 2,
        "speed": {"matmul_gflops": 100.0, "bandwidth_gb_s": 20.0},
        "gpu_speed": None,
        "no_kernel": None,
        "disk_free": 50.0,
        "cache": "/cache",
        "weights": ["smollm2-135m"],
    }
    return found | changes


def test_json_is_json(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHETSTONE_CACHE", str(tmp_path / "cache"))
    with pytest.raises(SystemExit) as exit_:
        cli.main(["doctor", "--json"])
    assert exit_.value.code in (0, None)
    found = json.loads(capsys.readouterr().out)
    assert found["speed"]["matmul_gflops"] > 0
    assert found["weights"] == [] and found["cache"] == str(tmp_path / "cache")
    assert found["next"][-1].startswith("ready")
    assert found["no_kernel"] == reason()


def test_all_well_says_how_to_start() -> None:
    assert doctor.advice(findings()) == ["ready: whet sharpen --out runs/first"]


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"disk_free": 1.0}, "WHETSTONE_CACHE"),
        ({"threads": 1}, "OMP_NUM_THREADS"),
        ({"weights": []}, "fetches"),
        ({"hardware": findings()["hardware"] | {"memory": 3.0}}, "--lora"),
    ],
)
def test_what_is_missing_comes_first(changes: dict[str, Any], word: str) -> None:
    advice = doctor.advice(findings(**changes))
    assert len(advice) == 2 and word in advice[0]


def test_the_table_shows_a_gpu() -> None:
    hardware = findings()["hardware"] | {"gpu": "H200", "gpu_memory": 139.8}
    found = findings(hardware=hardware, gpu_speed={"matmul_gflops": 50000, "bandwidth_gb_s": 4000})
    assert dict(doctor.lines(found))["GPU"] == "H200, 140 GiB; 50000 GFLOP/s, 4000 GB/s"
    assert dict(doctor.lines(findings()))["GPU"] == "none"
