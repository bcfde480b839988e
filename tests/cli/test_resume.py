"""A run that is killed, interrupted or out of disk goes on where it was, and ends with the same numbers."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cli.process import start, whet
from tests.tiny import digit_task, tiny_folder

OPTIONS = ("--steps", 8, "--problems", 24, "--prompts", 4, "--group-size", 4, "--learning-rate", "1e-3")
JOB = ("--model", "tiny", "--task", "digits", *OPTIONS)
LOGS = ("metrics.jsonl", "samples.jsonl", "twin/metrics.jsonl", "twin/samples.jsonl")


@pytest.fixture(autouse=True)
def own_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A report says how many runs looked at its problems: those of one test do not count for another."""
    monkeypatch.setenv("WHETSTONE_HISTORY", str(tmp_path / "history.sqlite"))


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("desk")
    tiny_folder(folder / "tiny")
    for out, options in (("whole", ()), ("whole-lora", ("--lora",))):
        history = {"WHETSTONE_HISTORY": str(folder / f"{out}.sqlite")}
        done = whet("sharpen", *JOB, *options, "--out", out, cwd=folder, env=history)
        assert done.code == 0, done.err
    return folder


def numbers(run: Path) -> dict[str, Any]:
    """report.json without what a clock decides."""
    report = json.loads((run / "report.json").read_text())
    for name in ("seconds", "speed", "created", "command"):
        del report[name]
    del report["cost"]["core_seconds"]
    return report


def assert_same(run: Path, whole: Path) -> None:
    for log in LOGS:
        assert (run / log).read_bytes() == (whole / log).read_bytes(), log
    assert numbers(run) == numbers(whole)
    for name in ("model.safetensors", "adapter_model.safetensors", "optimizer.safetensors"):
        file = run / "checkpoint" / name
        assert file.exists() == (whole / "checkpoint" / name).exists()
        assert not file.exists() or file.read_bytes() == (whole / "checkpoint" / name).read_bytes(), name
    left_over = [path for path in run.rglob(".*") if path.name != ".lock"]
    assert not left_over, "half-written files were swept up"


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


# Where in a run the process dies: by then this has just happened, and something else is under way.
MOMENTS: dict[str, Callable[[Path], bool]] = {
    "before the first stage": lambda run: (run / "config.toml").exists(),
    "in the stages before": lambda run: (run / "stages" / "before.json").exists(),
    "in training": lambda run: lines(run / "metrics.jsonl") >= 2,
    "in training, after a checkpoint": lambda run: lines(run / "metrics.jsonl") >= 6,
    "after training": lambda run: (run / "stages" / "after.json").exists(),
    "in the twin": lambda run: lines(run / "twin" / "metrics.jsonl") >= 3,
    "in the twin, after a checkpoint": lambda run: lines(run / "twin" / "metrics.jsonl") >= 7,
    "at the report": lambda run: (run / "stages" / "twin.json").exists(),
}


@pytest.mark.parametrize("lora", [False, True])
def test_killed_again_and_again(desk: Path, lora: bool) -> None:
    """kill -9 at a random moment of every part of the run."""
    run = desk / f"killed-{lora}"
    dice = random.Random(seed := time.time_ns())
    verb: tuple[object, ...] = ("sharpen", *JOB, *(["--lora"] if lora else []), "--out", run.name)
    for name, happened in list(MOMENTS.items())[:: 2 if lora else 1]:
        running = start(*verb, cwd=desk)
        running.until(lambda happened=happened: happened(run))  # type: ignore[misc]
        time.sleep(dice.uniform(0, 0.03))
        running.send(signal.SIGKILL)
        assert running.finish().code == -signal.SIGKILL, f"it ended before: {name}"
        verb = ("resume", run.name)
    done = whet("resume", run.name, cwd=desk)
    assert done.code == 0, (seed, done.err)
    assert_same(run, desk / ("whole-lora" if lora else "whole"))


def test_ctrl_c_saves_and_says_how_to_go_on(desk: Path) -> None:
    run = desk / "interrupted"
    for file in ("metrics.jsonl", "twin/metrics.jsonl"):
        running = start(*(("resume", run.name) if run.exists() else ("sharpen", *JOB, "--out", run.name)), cwd=desk)
        running.until(lambda file=file: lines(run / file) >= 2)  # type: ignore[misc]
        running.send(signal.SIGINT)
        stopped = running.finish()
        assert stopped.code == 130 and stopped.out == "", stopped
        assert "finishing this step, then saving; press Ctrl-C again to stop at once" in stopped.err
        assert stopped.err.endswith("stopped; `whet resume interrupted` goes on from what was saved\n")
        state = json.loads((run / file).with_name("checkpoint").joinpath("state.json").read_text())
        assert state["step"] == lines(run / file) < 8
    assert whet("resume", run.name, cwd=desk).code == 0
    assert_same(run, desk / "whole")


def test_ctrl_c_between_the_steps_and_twice(desk: Path) -> None:
    run = desk / "twice"
    running = start("sharpen", *JOB, "--out", run.name, cwd=desk)
    running.until(lambda: (run / "stages" / "before.json").exists())
    running.send(signal.SIGINT)
    stopped = running.finish()
    assert stopped.code == 130 and "Traceback" not in stopped.err
    assert stopped.err.endswith("stopped; `whet resume twice` goes on from what was saved\n")
    running = start("resume", run.name, cwd=desk)
    running.until(lambda: lines(run / "metrics.jsonl") >= 1)
    running.send(signal.SIGINT)
    running.until(lambda: "press Ctrl-C again" in running.messages)
    running.send(signal.SIGINT)
    # on a busy machine the first Ctrl-C can come after the last step, and the run be over before the second
    assert (running.finish().code == 130) != (run / "report.html").exists()
    assert whet("resume", run.name, cwd=desk).code == 0
    assert_same(run, desk / "whole")


def test_a_second_process_is_refused(desk: Path) -> None:
    run = desk / "shared"
    first = start("sharpen", *JOB, "--out", run.name, cwd=desk)
    first.until(lambda: (run / "config.toml").exists())
    try:
        first.send(signal.SIGSTOP)
        for verb in (("resume", run.name), ("sharpen", *JOB, "--out", run.name)):
            second = whet(*verb, cwd=desk)
            assert second.code == 2
            assert f"shared is in use by process {first.process.pid}: wait for it" in second.complaint
    finally:
        first.send(signal.SIGCONT)
    assert first.finish().code == 0
    assert_same(run, desk / "whole")


def test_the_same_command_again_goes_on(desk: Path) -> None:
    """`make run` twice."""
    command = ("sharpen", *JOB, "--out", "again", "--resume-if-started")
    run = desk / "again"
    running = start(*command, cwd=desk)
    running.until(lambda: lines(run / "metrics.jsonl") >= 1)
    running.send(signal.SIGKILL)
    running.finish()
    refused = whet(*command[:-1], cwd=desk)
    assert refused.code == 2 and "again holds an unfinished run: `whet resume again`" in refused.complaint
    done = whet(*command, cwd=desk)
    assert done.code == 0 and "going on with the run in again, as its config.toml says" in done.err
    assert_same(run, desk / "whole")
    finished = whet(*command, cwd=desk)
    assert finished.code == 0 and "again holds a finished run: open again/report.html" in finished.out
    assert json.loads(whet(*command, "--json", cwd=desk).out)["steps"] == 8
    refused = whet(*command[:-1], cwd=desk)
    assert refused.code == 2 and "again holds a finished run" in refused.complaint


def test_another_task_or_model_is_noticed(desk: Path) -> None:
    folder = desk / "changing"
    folder.mkdir()
    digit_task(folder)
    shutil.copytree(desk / "tiny", folder / "tiny")
    run, file = folder / "run", folder / "mytask.py"
    moments = iter([lambda: (run / "stages" / "before.json").exists(), lambda: lines(run / "metrics.jsonl") >= 1])
    verb: tuple[object, ...] = ("sharpen", *JOB, "--task", "mytask.py:Digits", "--out", "run")

    def begin_and_kill() -> None:
        running = start(*verb, cwd=folder)
        running.until(next(moments))
        running.send(signal.SIGKILL)
        running.finish()

    begin_and_kill()
    file.write_text(file.read_text().replace('"02468"', '"1357"'))
    verb = ("resume", "run")
    begin_and_kill()  # nothing was trained: measured again for the task as it is now
    assert json.loads((run / "provenance.json").read_text())["command"].startswith("whet sharpen ")
    file.write_text(file.read_text().replace('"1357"', '"13579"'))
    refused = whet(*verb, cwd=folder)
    assert refused.code == 2
    assert f"the task {file}:Digits changed since this run began" in refused.complaint
    file.write_text(file.read_text().replace('"13579"', '"1357"'))
    tiny_folder(folder / "tiny", seed=1)
    refused = whet(*verb, cwd=folder)
    assert refused.code == 2 and f"the model {folder}/tiny changed" in refused.complaint


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
@pytest.mark.parametrize("size", ["24k", "100k", "200k"])
def test_a_full_disk_is_one_line_and_loses_nothing(desk: Path, size: str) -> None:
    """In the stages before, in the logs, in a checkpoint."""
    folder = desk / f"disk-{size}"
    with small_disk(folder, size):
        full = whet("sharpen", *JOB, "--out", f"{folder.name}/run", cwd=desk)
        assert full.code == 1, full.err
        assert "the disk is full: " in full.complaint and "free some space" in full.complaint
        subprocess.run(["mount", "-o", "remount,size=20m", folder], check=True)
        if (folder / "run" / "config.toml").exists():
            done = whet("resume", f"{folder.name}/run", cwd=desk)
        else:
            done = whet("sharpen", *JOB, "--out", f"{folder.name}/run", cwd=desk)
        assert done.code == 0, done.err
        assert_same(folder / "run", desk / "whole")
