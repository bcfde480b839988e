"""The completions of one call, gathered from the engine's events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from whetstone.engine.branch import Listener
from whetstone.engine.protocol import Completion, Progress, Request, TopLogprobs


class Collector:
    """Gathers the completions of a call of `sample`."""

    def __init__(self, requests: Sequence[Request], progress: Progress | None) -> None:
        self._found: list[list[Completion | None]] = [[None] * len(request.seeds) for request in requests]
        self._progress = progress
        self._wanted = self.missing = sum(len(each) for each in self._found)

    def of(self, place: int) -> Listener:
        """What listens to request number `place`."""
        return _Member(self, place)

    def finished(self, place: int, member: int, completion: Completion) -> None:
        self._found[place][member] = completion
        self.missing -= 1
        if self._progress is not None and completion.finish != "cancelled":
            self._progress(self._wanted - self.missing, self._wanted)

    @property
    def completions(self) -> list[list[Completion]]:
        return [[each for each in found if each is not None] for found in self._found]


@dataclass
class _Member:
    collector: Collector
    place: int

    def token(self, member: int, token: int, logprob: float, top: TopLogprobs | None) -> bool:
        return False

    def finished(self, member: int, completion: Completion) -> None:
        self.collector.finished(self.place, member, completion)
