"""What a run was asked to do: through config.toml and back, and every wrong value in one line."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest

from whetstone.cli.sharpen import Sharpen
from whetstone.errors import UsageError
from whetstone.sharpen.settings import DEFAULT_MINUTES, WITHOUT_FLAG, Settings


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"minutes": 0.25},
        {"steps": 6},
        {"steps": 6, "minutes": None},
        {"steps": 3, "learning_rate": 1e30, "method": "lora", "lora_rank": 4, "twin": False, "level": 0},
        {"model": 'a "quoted" \\ path\nwith a break', "task": "ü-😀.py:Ä", "device": "cuda:1", "seed": 2**63 - 1},
    ],
)
def test_config_round_trip(tmp_path: Path, options: dict[str, Any]) -> None:
    settings = Settings.checked(**options)
    settings.save(tmp_path / "config.toml")
    assert Settings.load(tmp_path / "config.toml") == settings


def test_one_length_of_the_run() -> None:
    assert Settings.checked().minutes == DEFAULT_MINUTES
    assert Settings.checked(steps=6).minutes is None
    assert Settings.checked(minutes=3).steps is None
    with pytest.raises(UsageError, match=r"^give minutes or steps, not both$"):
        Settings.checked(minutes=3, steps=6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps should be greater than or equal to 1, not 0"),
        ({"steps": 2.5}, "steps should be a valid integer, got a number with a fractional part, not 2.5"),
        ({"minutes": -1}, "minutes should be greater than 0, not -1"),
        ({"minutes": float("inf")}, "minutes should be a finite number, not inf"),
        ({"minutes": float("nan")}, "minutes should be a finite number, not nan"),
        ({"learning_rate": -1e-5}, "learning_rate should be greater than 0, not -1e-05"),
        ({"group_size": 1}, "group_size should be greater than or equal to 2, not 1"),
        ({"problems": 3}, "problems should be greater than or equal to 8, not 3"),
        ({"seed": -1}, "seed should be greater than or equal to 0, not -1"),
        ({"device": "tpu"}, "unknown device 'tpu'; choose cpu or cuda"),
        ({"method": "qlora"}, "method should be 'full' or 'lora', not 'qlora'"),
        ({"objective": "grpo"}, "unknown objective 'grpo'; choose one of trust_region, ppo_clip, reinforce"),
        ({"stpes": 3}, "there is no setting 'stpes'"),
    ],
)
def test_a_wrong_value_is_one_clear_line(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as raised:
        Settings.checked(**options)
    assert str(raised.value) == message


def test_a_broken_config_names_its_file(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    for content in (b"steps = ", b"steps = -1", b"colour = 1", b"\xff"):
        path.write_bytes(content)
        with pytest.raises(UsageError, match=str(path)):
            Settings.load(path)
    path.unlink()
    with pytest.raises(UsageError, match="cannot be read"):
        Settings.load(path)


def test_the_command_line_has_the_same_defaults() -> None:
    parameters = inspect.signature(Sharpen).parameters
    fields = Settings.model_fields
    for name in fields.keys() - WITHOUT_FLAG - {"method", "controls"}:
        assert parameters[name].default == fields[name].default, name
    assert parameters["full"].default is (fields["method"].default == "full")


def test_paths_are_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("tiny", "sub"):
        (tmp_path / folder).mkdir()
    (tmp_path / "sub" / "mytask.py").touch()
    monkeypatch.chdir(tmp_path)
    settings = Settings.checked(model="tiny", task="sub/mytask.py:Mine", steps=1).anchored()
    assert settings.model == str(tmp_path / "tiny")
    assert settings.task == f"{tmp_path}/sub/mytask.py:Mine"
    for model in ("smollm2-135m", "hf:a/b", ""):
        named = Settings.checked(model=model, task="nofile.py:Mine", steps=1)
        assert named.anchored() == named


def test_the_command_asks_for_the_same() -> None:
    settings = Settings.checked(
        steps=6, method="lora", twin=False, learning_rate=3e-3, model="a model", controls=("format", "inverted")
    )
    assert settings.command(Path("runs/x")) == (
        "whet sharpen --model 'a model' --lora --steps 6 --learning-rate 0.003 --no-twin "
        "--control format --control inverted --out runs/x"
    )
    python = Settings.checked(steps=6, pool_samples=4).command(Path("x"))
    assert python == "whetstone.sharpen('x', steps=6, pool_samples=4)"
