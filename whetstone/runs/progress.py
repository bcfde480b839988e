"""Progress of long work: stage, step, time left; a live line on a terminal, sparse plain lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Self, TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text

from whetstone.text import printable

PLAIN_INTERVAL = 10.0  # seconds between two plain lines of one stage


class Stage:
    """One named stretch of `total` steps. Made by `Progress.stage`."""

    def __init__(self, progress: "Progress", name: str, total: int, done: int) -> None:
        self.name = name
        self.total = total
        self.done = done
        self.note = ""
        self._at_start = done
        self._begin = self._last = progress.clock()
        self._progress = progress

    def advance(self, steps: int = 1, note: str | None = None) -> None:
        """`steps` more are done. note: a few words to show beside the count, e.g. "reward 0.45"."""
        self.done += steps
        self._last = self._progress.clock()
        if note is not None:
            self.note = note
        self._progress.show()

    def seconds(self) -> float:
        """Seconds since the stage began."""
        return self._progress.clock() - self._begin

    def seconds_left(self, expected: float | None) -> float | None:
        """Remaining seconds: by this stage's own pace; before its first step from `expected` (the whole)."""
        if self.done > self._at_start:
            pace = (self._last - self._begin) / (self.done - self._at_start)
            return max(0.0, pace * (self.total - self.done) - (self._progress.clock() - self._last))
        return None if expected is None else max(0.0, expected - self.seconds())


class Progress:
    """Shows stages on stderr, one after the other.

    expected: seconds each stage will take, as far as known; with it the time left counts the stages to come
    as well. Standard output stays free for results.
    """

    def __init__(
        self,
        expected: Mapping[str, float] | None = None,
        *,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.clock = clock
        self._expected = dict(expected or {})
        self._console = Console(file=stream or sys.stderr, highlight=False)
        self._live: Live | None = None
        self._stage: Stage | None = None
        self._begun: set[str] = set()
        self._last_plain = float("-inf")

    def expect(self, expected: Mapping[str, float]) -> None:
        """Replace the expected seconds, once a first measurement gives better ones."""
        self._expected = dict(expected)

    @contextmanager
    def stage(self, name: str, total: int, done: int = 0) -> Iterator[Stage]:
        """Enter a stage of `total` steps, `done` of which were done by an earlier process."""
        self._stage = Stage(self, name, total, done)
        self._begun.add(name)
        self._last_plain = float("-inf")
        self.show()
        try:
            yield self._stage
            self._say(
                f"{name}: {self._stage.done}/{self._stage.total} in {duration(self._stage.seconds())}{self._note()}"
            )
        finally:
            self._stage = None

    def message(self, text: str) -> None:
        """One line that stays."""
        self._say(text)

    def show(self) -> None:
        """Show where the current stage is. Cheap enough for every step."""
        if self._stage is None:
            return
        if self._live is not None:
            self._live.refresh()
        elif not self._console.is_terminal and self.clock() - self._last_plain >= PLAIN_INTERVAL:
            self._last_plain = self.clock()
            self._say(self.line())

    def line(self) -> str:
        """`train 7/30 · reward 0.45 · 3 min 20 s left`."""
        stage = self._stage
        if stage is None:
            return ""
        left = self.seconds_left()
        time_left = "" if left is None else f" · {duration(left)} left"
        return f"{stage.name} {stage.done}/{stage.total}{self._note()}{time_left}"

    def seconds_left(self) -> float | None:
        """Seconds until the last expected stage ends; None while nothing is known about the current one."""
        if self._stage is None:
            return None
        left = self._stage.seconds_left(self._expected.get(self._stage.name))
        if left is None:
            return None
        return left + sum(seconds for name, seconds in self._expected.items() if name not in self._begun)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            # The line is made anew at every refresh, so that the time left runs down between steps.
            self._live = Live(
                get_renderable=lambda: Text(printable(self.line()), no_wrap=True, overflow="ellipsis"),
                console=self._console,
                refresh_per_second=2,
                transient=True,
            )
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _note(self) -> str:
        return f" · {self._stage.note}" if self._stage and self._stage.note else ""

    def _say(self, text: str) -> None:
        # Text: brackets in a model's answer must not be read as markup; soft_wrap keeps one line one line.
        self._console.print(Text(printable(text)), soft_wrap=True)


def duration(seconds: float) -> str:
    """`8 s`, `3 min 20 s`, `2 h 05 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
