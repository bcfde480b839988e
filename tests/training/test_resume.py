"""Resume is exact: killed at any moment, a run ends with the bytes that it would have had."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.tiny import tiny_folder
from tests.training.small import STEPS, resumable_run, train_in_child
from whetstone.errors import UsageError, WorkFailed

FILES = ("metrics.jsonl", "samples.jsonl")


@pytest.fixture(scope="module", params=[False, True], ids=["full", "lora"])
def lora(request: pytest.FixtureRequest) -> bool:
    return request.param


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("base") / "model", seed=6)


@pytest.fixture(scope="module")
def uninterrupted(lora: bool, model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("uninterrupted")
    train_in_child(folder, model_folder, lora)
    assert (folder / "metrics.jsonl").read_bytes().count(b"\n") == STEPS
    return folder


def assert_same_run(folder: Path, uninterrupted: Path) -> None:
    """The logs, and every file of the last checkpoint: weights, optimizer, ledger, position."""
    for name in FILES:
        assert (folder / name).read_bytes() == (uninterrupted / name).read_bytes(), name
    ours, theirs = ({f.name: f.read_bytes() for f in (f / "checkpoint").iterdir()} for f in (folder, uninterrupted))
    assert {"model.safetensors", "adapter_model.safetensors"} & set(theirs)
    for name in theirs | ours:
        if name != "state.json":  # holds the size of timing.jsonl
            assert ours[name] == theirs[name], name
    steps = [json.loads(line)["step"] for line in (folder / "timing.jsonl").read_text().splitlines()]
    assert steps == list(range(1, STEPS + 1))


def start(*arguments: object) -> Any:
    """A process of its own, forked from one that has torch loaded and nothing else done."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.training.small", "torch._dynamo"])  # the latter by the first optimizer
    process = context.Process(target=train_in_child, args=arguments)
    process.start()
    return process


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_killed_at_three_random_moments(lora: bool, model_folder: Path, uninterrupted: Path, tmp_path: Path) -> None:
    chance, killed = random.Random(), []
    for earliest in (2, 6, 10):
        process = start(tmp_path, model_folder, lora)
        wanted, patience = earliest + chance.randrange(4), time.monotonic() + 60
        while process.is_alive() and lines(tmp_path / "metrics.jsonl") < wanted and time.monotonic() < patience:
            time.sleep(0.001)
        time.sleep(chance.random() * 0.03)
        process.kill()
        process.join()
        killed.append((process.exitcode, lines(tmp_path / "metrics.jsonl")))
    assert killed[0][0] == -signal.SIGKILL, killed  # later ones may come too late on a busy machine
    resumable_run(tmp_path, model_folder, lora).train(lambda row: None)
    assert_same_run(tmp_path, uninterrupted)


def test_dead_before_any_change_to_the_disk(
    lora: bool, model_folder: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    """A chain of processes, each of which dies one way or another: in the logs, in the checkpoint, between renames."""
    chance = random.Random(f"deaths {lora}")
    for _ in range(7):
        process = start(tmp_path, model_folder, lora, chance.randrange(1, 45))
        process.join()
        assert process.exitcode == -signal.SIGKILL
    assert lines(tmp_path / "metrics.jsonl") < STEPS
    with open(tmp_path / "metrics.jsonl", "ab") as file:
        file.write(b'{"step": 17, "accu')  # and a line of which the disk got half
    resumable_run(tmp_path, model_folder, lora).train(lambda row: None)
    assert_same_run(tmp_path, uninterrupted)


def test_stopped_and_resumed(lora: bool, model_folder: Path, uninterrupted: Path, tmp_path: Path) -> None:
    """Ctrl-C saves at once: nothing is played again."""
    for until in (4, 5, 11):
        taken: list[int] = []
        run = resumable_run(tmp_path, model_folder, lora)
        run.train(lambda row, taken=taken: taken.append(row["step"]), stop=lambda taken=taken, u=until: taken[-1] >= u)
        assert lines(tmp_path / "metrics.jsonl") == until
    run = resumable_run(tmp_path, model_folder, lora)
    assert run.trainer.steps == run.engine.weight_version == 11
    run.train(lambda row: None, until=15)
    assert run.trainer.steps == 15
    run.train(lambda row: None)
    assert_same_run(tmp_path, uninterrupted)
    finished = resumable_run(tmp_path, model_folder, lora)
    finished.train(lambda row: pytest.fail("a finished run has no step left"))
    assert_same_run(tmp_path, uninterrupted)


def test_a_death_between_the_two_renames_of_a_checkpoint_loses_no_step(model_folder: Path, tmp_path: Path) -> None:
    run = resumable_run(tmp_path, model_folder, False)
    run.train(lambda row: None, until=6)
    os.rename(tmp_path / "checkpoint", tmp_path / ".checkpoint.old")
    assert resumable_run(tmp_path, model_folder, False).trainer.steps == 6


def test_without_a_checkpoint_resume_starts_over(model_folder: Path, tmp_path: Path) -> None:
    run = resumable_run(tmp_path, model_folder, False)
    run.step()
    first = (tmp_path / "metrics.jsonl").read_bytes()
    again = resumable_run(tmp_path, model_folder, False)
    assert again.trainer.steps == 0 and (tmp_path / "metrics.jsonl").read_bytes() == b""
    again.step()
    assert (tmp_path / "metrics.jsonl").read_bytes() == first


@pytest.mark.parametrize("damage", ["state.json", "optimizer.safetensors", "ledger.json", "model.safetensors"])
def test_a_damaged_checkpoint_is_one_clear_line(damage: str, model_folder: Path, tmp_path: Path) -> None:
    run = resumable_run(tmp_path, model_folder, False)
    run.train(lambda row: None, until=1)
    file = tmp_path / "checkpoint" / damage
    file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(UsageError) as failure:
        resumable_run(tmp_path, model_folder, False)
    assert "checkpoint" in str(failure.value) and "\n" not in str(failure.value)


def test_lost_log_rows_are_noticed(model_folder: Path, tmp_path: Path) -> None:
    run = resumable_run(tmp_path, model_folder, False)
    run.train(lambda row: None, until=3)
    (tmp_path / "metrics.jsonl").write_bytes(b"")
    with pytest.raises(WorkFailed, match=r"metrics\.jsonl holds 0 bytes"):
        resumable_run(tmp_path, model_folder, False)
