"""The real model, once: `kill -9` in training, and the rest comes out byte for byte as without."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.cli.process import start, whet

OPTIONS = ("--steps", 7, "--problems", 8, "--prompts", 2, "--group-size", 4, "--learning-rate", "1e-5")


@pytest.mark.slow
@pytest.mark.real
def test_killed_in_training_on_the_default_model(tmp_path: Path) -> None:
    whole = whet("sharpen", *OPTIONS, "--no-twin", "--out", "whole", cwd=tmp_path, seconds=1800)
    assert whole.code == 0, whole.err
    verb: tuple[object, ...] = ("sharpen", *OPTIONS, "--no-twin", "--out", "killed")
    log = tmp_path / "killed" / "metrics.jsonl"
    for rows in (3, 6):  # before the first checkpoint, and after it
        running = start(*verb, cwd=tmp_path)
        running.until(lambda rows=rows: log.exists() and log.read_bytes().count(b"\n") >= rows, seconds=1800)  # type: ignore[misc]
        running.send(signal.SIGKILL)
        assert running.finish().code == -signal.SIGKILL
        verb = ("resume", "killed")
    resumed = whet("resume", "killed", cwd=tmp_path, seconds=1800)
    assert resumed.code == 0, resumed.err
    for name in ("metrics.jsonl", "samples.jsonl", "checkpoint/model.safetensors", "checkpoint/optimizer.safetensors"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
