import io

import pytest
from rich.console import Console

from whetstone.runs.progress import PLAIN_INTERVAL, Progress, duration


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def make(expected: dict[str, float] | None = None) -> tuple[Progress, Clock, io.StringIO]:
    clock, stream = Clock(), io.StringIO()
    return Progress(expected, stream=stream, clock=clock), clock, stream


def test_without_a_terminal_lines_are_sparse() -> None:
    progress, clock, stream = make()
    with progress, progress.stage("train", 100) as stage:
        for _ in range(100):
            clock.now += 1.0
            stage.advance(note="reward [0.45]")
    lines = stream.getvalue().splitlines()
    assert lines[0] == "train 0/100"
    assert lines[1] == "train 10/100 · reward [0.45] · 1 min 30 s left"
    assert lines[-1] == "train: 100/100 in 1 min 40 s · reward [0.45]"
    assert len(lines) == 2 + 100 / PLAIN_INTERVAL


def test_a_long_line_stays_one_line() -> None:
    progress, _, stream = make()
    with progress:
        progress.message("x" * 500)
    assert stream.getvalue() == "x" * 500 + "\n"


def test_time_left_counts_the_stages_to_come() -> None:
    progress, clock, _ = make({"before": 100.0, "train": 300.0, "after": 100.0})
    with progress:
        with progress.stage("before", 10) as stage:
            assert progress.seconds_left() == 500.0
            clock.now += 20.0
            stage.advance(1)  # slower than expected: 20 s a step
            assert progress.seconds_left() == 180.0 + 400.0
            clock.now += 5.0
            assert progress.seconds_left() == 175.0 + 400.0
        with progress.stage("train", 30, done=20) as stage:
            clock.now += 10.0
            stage.advance(5)
            assert progress.seconds_left() == 10.0 + 100.0
    assert progress.seconds_left() is None


def test_an_interrupted_stage_claims_nothing() -> None:
    progress, _, stream = make()
    with pytest.raises(KeyboardInterrupt), progress, progress.stage("train", 3):
        raise KeyboardInterrupt
    assert " in " not in stream.getvalue()


def test_on_a_terminal_the_line_is_live_and_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    progress, clock, stream = make()
    progress._console = Console(file=stream, force_terminal=True, width=60)
    with progress, progress.stage("train", 2) as stage:
        clock.now += 3.0
        stage.advance()
        stage.advance()
    assert "train 1/2 · 3 s left" in stream.getvalue()
    assert "train: 2/2 in 3 s" in stream.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0 s"), (59.6, "1 min 00 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")]
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize("terminal", [False, True])
def test_what_a_terminal_would_obey_never_reaches_it(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("TERM", "xterm")
    progress, _, stream = make()
    with progress, progress.stage("wild\x1b]0;title\x07", 1) as stage:
        stage.advance(note="\x9b2J\u202eten")
        progress.message("failed: \x1b[2Jgone")
    said = stream.getvalue()
    assert "\\x1b]0;title\\x07" in said and "\\x9b2J\\u202eten" in said and "failed: \\x1b[2Jgone" in said
    for hostile in ("\x1b]0", "\x07", "\x9b", "\u202e", "\x1b[2J"):
        assert hostile not in said
