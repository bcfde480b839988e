"""A stream parser written as a generator over a `Source`: what all of them have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod

from whetstone.engine.text.events import Event, joined
from whetstone.engine.text.source import Source, Steps


class GeneratorParser(ABC):
    """Subclasses write `_run`, which reads `self._source` and puts events into `self._out`."""

    def __init__(self) -> None:
        self._source = Source()
        self._out: list[Event] = []
        self._steps = self._run()

    def feed(self, text: str) -> list[Event]:
        """The events that became certain."""
        if text:
            self._source.push(text)
            next(self._steps, None)
        return self._drain()

    def finish(self) -> list[Event]:
        """No more text comes: the rest of the events."""
        self._source.ended = True
        for _ in self._steps:
            raise AssertionError("a source that has ended does not wait")
        self._ended()
        return self._drain()

    def _drain(self) -> list[Event]:
        out, self._out = joined(self._out), []
        return out

    def _ended(self) -> None:  # noqa: B027 (most have nothing to add)
        """All text has been read."""

    @abstractmethod
    def _run(self) -> Steps[None]:
        """Read the whole text, yielding where more of it is needed."""
