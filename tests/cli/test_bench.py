from pathlib import Path

import pytest

from whetstone import cli
from whetstone.cli import bench


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as exit_:
        cli.main(["bench", *arguments])
    return exit_.value.code if isinstance(exit_.value.code, int) else 0


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "report.py").write_text("")
    (tmp_path / "bench" / "echo.py").write_text("import sys; print(sys.argv[1:], flush=True)")
    (tmp_path / "bench" / "broken.py").write_text("raise SystemExit(3)")
    monkeypatch.setattr(bench, "clone_root", lambda: tmp_path)
    return tmp_path


def test_the_script_gets_the_options(clone: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("echo", "--json", "--steps", "2") == 0
    assert capfd.readouterr().out == "['--json', '--steps', '2']\n"


def test_an_unknown_name_lists_those_there_are(clone: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("report") == 2
    assert capfd.readouterr().err == "whet: no benchmark 'report': there are broken, echo\n"


def test_a_failing_script_is_work_failed(clone: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("broken") == 1
    assert "exit code 3" in capfd.readouterr().err


def test_outside_a_clone(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(bench, "clone_root", lambda: None)
    assert run("rlvr") == 2
    assert "clone it" in capfd.readouterr().err
