import errno
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from whetstone import cli
from whetstone.errors import UsageError, WorkFailed


@pytest.fixture
def verb(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[BaseException], None]]:
    """Adds a verb `fail` that raises what it is given."""
    commands = list(cli.app.registered_commands)

    def add(error: BaseException) -> None:
        @cli.app.command()
        def fail() -> None:
            raise error

    monkeypatch.delenv("WHETSTONE_TRACEBACK", raising=False)
    yield add
    cli.app.registered_commands[:] = commands


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as exit_:
        cli.main(arguments)
    return exit_.value.code if isinstance(exit_.value.code, int) else 0


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (
            UsageError("no task 'sums':\n did you mean 'sum'?"),
            2,
            "whet: no task 'sums': did you mean 'sum'?\n",
        ),
        (WorkFailed("the loss is NaN"), 1, "whet: the loss is NaN\n"),
        (OSError(errno.ENOSPC, "No space left"), 1, "whet: the disk is full"),
        (KeyError("x"), 1, "whet: unexpected KeyError: 'x' (this is a defect"),
    ],
)
def test_failures_are_one_line_and_an_exit_code(
    verb: Callable[[BaseException], None],
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    code: int,
    line: str,
) -> None:
    verb(error)
    assert run("fail") == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(line) and captured.err.count("\n") == 1


def test_interrupt_is_130(verb: Callable[[BaseException], None]) -> None:
    verb(KeyboardInterrupt())
    assert run("fail") == 130


def test_traceback_on_request(verb: Callable[[BaseException], None], monkeypatch: pytest.MonkeyPatch) -> None:
    verb(WorkFailed("x"))
    monkeypatch.setenv("WHETSTONE_TRACEBACK", "1")
    with pytest.raises(WorkFailed):
        cli.main(["fail"])


def test_bad_usage_is_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("no-such-verb") == 2
    assert run("doctor", "--no-such-option") == 2
    assert "Traceback" not in capsys.readouterr().err


def test_every_verb_has_help_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    for command in cli.app.registered_commands:
        assert command.callback is not None
        name = command.name or command.callback.__name__
        assert run(name, "--help") == 0
        text = " ".join(capsys.readouterr().out.split())
        assert f"Example: whet {name}" in text, name


def test_help_does_not_import_torch_and_is_quick() -> None:
    code = (
        "import sys; from whetstone.cli import main\n"
        "try: main(['--help'])\n"
        "finally:\n"
        "    heavy = {'torch', 'numpy', 'scipy', 'matplotlib', 'tokenizers'} & set(sys.modules)\n"
        "    assert not heavy, heavy"
    )
    begin = time.perf_counter()
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - begin
    assert answer.returncode == 0, answer.stderr
    assert seconds < 0.5 or os.getloadavg()[0] > (os.cpu_count() or 1), f"{seconds:.2f} s"
