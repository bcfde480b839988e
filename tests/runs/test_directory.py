import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from whetstone.errors import UsageError
from whetstone.files import atomic_folder
from whetstone.runs.directory import RunDirectory, RunState, run_state


def test_create_then_open(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "first"
    assert run_state(path) is RunState.ABSENT
    with RunDirectory.create(path) as run:
        run.config.write_text("")
        assert run.state is RunState.STARTED
    with RunDirectory.open(path) as run:
        run.report_json.write_text("{}")
        run.report_html.write_text("")
        assert run.state is RunState.FINISHED


def test_a_second_process_is_told_who_holds_the_directory(tmp_path: Path) -> None:
    with RunDirectory.create(tmp_path / "run") as run:
        with pytest.raises(UsageError, match=f"in use by process {os.getpid()}"):
            RunDirectory.create(tmp_path / "run")
        run.config.write_text("")
        with pytest.raises(UsageError, match="in use"):
            RunDirectory.create(tmp_path / "run")
        with pytest.raises(UsageError, match="in use"):
            RunDirectory.open(tmp_path / "run")
        RunDirectory.open(tmp_path / "run", writing=False).close()
    RunDirectory.open(tmp_path / "run").close()


def test_a_killed_process_leaves_no_lock_even_if_its_child_lives(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, time\nfrom pathlib import Path\n"
        "from whetstone.runs.directory import RunDirectory\n"
        "run = RunDirectory.create(Path(sys.argv[1])); run.config.write_text('')\n"
        "child = subprocess.Popen(['sleep', '30'], stdout=subprocess.DEVNULL)\n"
        "print(child.pid, flush=True); time.sleep(30)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "run")], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        try:
            with pytest.raises(UsageError, match="in use"):
                RunDirectory.open(tmp_path / "run")
            process.kill()
            process.wait()
            RunDirectory.open(tmp_path / "run").close()
        finally:
            os.kill(child, signal.SIGKILL)


def test_each_kind_of_occupied_directory_has_its_own_advice(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="is a file"):
        RunDirectory.create(tmp_path / "file")
    with pytest.raises(UsageError, match=r"cannot make|is a file"):
        RunDirectory.create(tmp_path / "file" / "below")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_text("")
    with pytest.raises(UsageError, match="not a run of ours"):
        RunDirectory.create(tmp_path / "photos")
    with pytest.raises(UsageError, match=r"no config\.toml"):
        RunDirectory.open(tmp_path / "photos")
    assert sorted(entry.name for entry in (tmp_path / "photos").iterdir()) == ["cat.jpg"]
    with pytest.raises(UsageError, match="whet sharpen --out"):
        RunDirectory.open(tmp_path / "nothing")
    with RunDirectory.create(tmp_path / "run") as run:
        run.config.write_text("")
    with pytest.raises(UsageError, match="whet resume"):
        RunDirectory.create(tmp_path / "run")


def test_a_run_that_died_before_its_first_file_can_be_started_again(tmp_path: Path) -> None:
    RunDirectory.create(tmp_path / "run").close()
    (tmp_path / "run" / ".config.toml.x1.part").write_text("")
    RunDirectory.create(tmp_path / "run").close()


def test_open_puts_back_a_checkpoint_that_a_crash_left_aside(tmp_path: Path) -> None:
    with RunDirectory.create(tmp_path / "run") as run:
        run.config.write_text("")
        with atomic_folder(run.checkpoint) as folder:
            (folder / "state").write_text("1")
        run.checkpoint.rename(run.path / ".checkpoint.old")
    with RunDirectory.open(tmp_path / "run") as run:
        assert (run.checkpoint / "state").read_text() == "1"
