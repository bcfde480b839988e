"""Ctrl-C that lets a step finish."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def first_ctrl_c(say: Callable[[str], None]) -> Iterator[Callable[[], bool]]:
    """Within the block the first Ctrl-C lets the step finish; the second one ends the process as usual.

    Yields a function that tells whether it was asked to stop. `say` is told so at the first one. Does nothing outside
    the main thread, where no signal arrives.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return
    usual = signal.getsignal(signal.SIGINT)

    def handler(number: int, frame: Any) -> None:
        asked.set()
        say("finishing this step, then saving; press Ctrl-C again to stop at once")
        signal.signal(signal.SIGINT, usual)

    signal.signal(signal.SIGINT, handler)
    try:
        yield asked.is_set
    finally:
        signal.signal(signal.SIGINT, usual)
