import errno
import json
import os
from pathlib import Path

import pytest

from whetstone.errors import WorkFailed
from whetstone.files import (
    atomic_folder,
    atomic_write_bytes,
    atomic_write_json,
    atomic_write_text,
    restore_folder,
)


def test_replaces_the_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "report.json"
    atomic_write_json(path, {"b": 1, "a": [0.1, "é"]})
    atomic_write_json(path, {"b": 2})
    assert json.loads(path.read_text()) == {"b": 2}
    assert [entry.name for entry in path.parent.iterdir()] == ["report.json"]


def test_file_mode_is_that_of_a_plain_file(tmp_path: Path) -> None:
    atomic_write_text(tmp_path / "ours", "x")
    (tmp_path / "plain").write_text("x")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_full_disk_is_one_line_and_keeps_the_earlier_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state.bin"
    atomic_write_bytes(path, b"old")

    def no_space(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(WorkFailed, match="disk is full") as failure:
        atomic_write_bytes(path, b"new")
    assert "untouched" in str(failure.value) and "\n" not in str(failure.value)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["state.bin"]


def test_the_real_full_disk(tmp_path: Path) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    from whetstone.files import disk_full_is_work_failed

    with (
        pytest.raises(WorkFailed, match="all is saved"),
        disk_full_is_work_failed(tmp_path, "all is saved"),
        open("/dev/full", "w") as file,
    ):
        file.write("x" * 100_000)


def test_other_errors_pass_unchanged(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError):
        atomic_write_text(tmp_path / "file" / "below", "x")


def test_nan_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        atomic_write_json(tmp_path / "report.json", {"mean": float("nan")})
    assert not (tmp_path / "report.json").exists()


def test_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    for content in ("first", "second"):
        with atomic_folder(path) as folder:
            (folder / "state").write_text(content)
        assert (path / "state").read_text() == content
    with pytest.raises(RuntimeError), atomic_folder(path) as folder:
        (folder / "state").write_text("third")
        raise RuntimeError("killed")
    assert (path / "state").read_text() == "second"
    assert [entry.name for entry in tmp_path.iterdir()] == ["checkpoint"]


@pytest.mark.parametrize("renames_before_the_crash", [0, 1])
def test_folder_survives_a_crash_between_the_renames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renames_before_the_crash: int
) -> None:
    path = tmp_path / "checkpoint"
    with atomic_folder(path) as folder:
        (folder / "state").write_text("old")
    child = os.fork()
    if child == 0:
        rename, count = os.rename, 0

        def rename_or_die(source: Path, target: Path) -> None:
            nonlocal count
            if count == renames_before_the_crash:
                os._exit(9)
            count += 1
            rename(source, target)

        os.rename = rename_or_die  # type: ignore[assignment]
        with atomic_folder(path) as folder:
            (folder / "state").write_text("new")
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 9
    restore_folder(path)
    assert (path / "state").read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["checkpoint"]
