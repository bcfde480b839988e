import hashlib
import json
import subprocess
from pathlib import Path

import pytest

from whetstone.runs import machine, provenance


def test_collect_is_plain_json_and_complete() -> None:
    facts = json.loads(json.dumps(provenance.collect()))
    assert {"command", "versions", "commit", "system", "hardware", "machine", "threads"} <= set(facts)
    assert {"python", "torch", "whetstone-lab"} <= set(facts["versions"])
    assert facts["hardware"]["cores"] >= 1 and facts["hardware"]["memory"] > 0.1


def test_command_line_can_be_pasted_into_a_shell() -> None:
    line = provenance.command_line(["/x/.venv/bin/whet", "sharpen", "--out", "my runs/a"])
    assert line == "whet sharpen --out 'my runs/a'"
    assert provenance.command_line(["train.py", "3"]) == "train.py 3"


def test_sha256_of_file_and_folder(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_bytes(b"abc")
    assert provenance.sha256_file(tmp_path / "a" / "x") == hashlib.sha256(b"abc").hexdigest()
    first = provenance.sha256_folder(tmp_path)
    (tmp_path / ".lock").write_text("1")
    assert provenance.sha256_folder(tmp_path) == first
    (tmp_path / "a" / "x").rename(tmp_path / "a" / "y")
    assert provenance.sha256_folder(tmp_path) != first
    with pytest.raises(FileNotFoundError):
        provenance.sha256_folder(tmp_path / "nothing")


def test_commit_of_a_clone_says_when_files_were_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*arguments: str) -> None:
        subprocess.run(["git", *arguments], cwd=tmp_path, check=True, capture_output=True)

    (tmp_path / "file").write_text("1")
    monkeypatch.setattr(provenance, "clone_root", lambda: tmp_path)
    assert provenance.git_commit() is None
    git("init")
    git("add", "file")
    git("-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-m", "m")
    clean = provenance.git_commit()
    assert clean is not None and len(clean) == 40
    (tmp_path / "file").write_text("2")
    assert provenance.git_commit() == f"{clean}+changes"


def test_one_line_about_the_machine() -> None:
    assert str(machine.Machine("CPU", 1, 7.9, None, None)) == "CPU, 1 core, 8 GiB"
    assert str(machine.Machine("CPU", 2, 7.9, "GPU", 140.0)) == "CPU, 2 cores, 8 GiB; GPU, 140 GiB"


def test_measured_speed_is_positive() -> None:
    speed = machine.measure(seconds=0.05)
    assert speed.matmul > 0.1 and speed.bandwidth > 0.1


def test_free_disk_of_a_folder_that_is_yet_to_be_made(tmp_path: Path) -> None:
    assert machine.free_disk_bytes(tmp_path / "a" / "b") > 0
