"""A stage is done once, whatever happens to the process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from whetstone.runs.stages import Stages


def test_a_stage_is_computed_once(tmp_path: Path) -> None:
    calls: list[str] = []

    def compute() -> dict[str, Any]:
        calls.append("computed")
        return {"score": 0.1 + 0.2, "text": "ü"}

    first = Stages(tmp_path / "stages")
    assert not first.done("before")
    result = first.once("before", compute)
    assert first.once("before", compute) == result
    assert first.earlier == 0.0

    second = Stages(tmp_path / "stages")
    assert second.done("before")
    assert second.once("before", compute) == second.once("before", compute) == result
    assert calls == ["computed"]
    assert second.seconds == first.seconds
    assert second.earlier == second.seconds["before"], "what another process spent counts once"


def test_a_stage_that_fails_leaves_nothing(tmp_path: Path) -> None:
    stages = Stages(tmp_path / "stages")

    def fail() -> dict[str, Any]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stages.once("before", fail)
    with pytest.raises(ValueError, match="Out of range float"):
        stages.once("before", lambda: {"score": float("nan")})
    assert not stages.done("before") and stages.seconds.keys() <= {"before"}
    assert not (tmp_path / "stages").exists() or not list((tmp_path / "stages").iterdir())


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / "stages"
    Stages(folder).once("before", dict)
    (folder / ".after.json.x1.part").write_text('{"seconds": 1, "resu')
    assert not Stages(folder).done("after")
    assert [path.name for path in folder.iterdir()] == ["before.json"]


def test_stages_can_be_forgotten(tmp_path: Path) -> None:
    stages = Stages(tmp_path)
    stages.once("before", dict)
    stages.forget()
    assert not stages.done("before") and stages.seconds == {}
