"""From the engines' thread into the event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass

from whetstone.engine.protocol import Finish, TopLogprobs
from whetstone.serving.errors import ApiError


@dataclass(frozen=True, slots=True)
class Token:
    """One sampled token, and the text that became certain with it. `end_mark`: it is a stop id, not text."""

    member: int
    id: int
    logprob: float
    top: TopLogprobs | None
    text: str
    end_mark: bool


@dataclass(frozen=True, slots=True)
class Ended:
    """A sequence is over; `text` is what had been held back."""

    member: int
    text: str
    finish: Finish
    weight_version: int


@dataclass(frozen=True, slots=True)
class Failed:
    """The work ended without an answer, and why."""

    member: int
    error: ApiError


Item = Token | Ended | Failed


class Bridge:
    """Carries items of all requests into one event loop, with one wake-up for all that came since the last."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._items: deque[tuple[Feed, Item]] = deque()
        self._called = False

    def put(self, feed: Feed, item: Item) -> None:
        """From the engines' thread."""
        self._items.append((feed, item))
        if not self._called:
            self._called = True
            self._loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        self._called = False  # before reading: who appends after the last look calls again
        while self._items:
            feed, item = self._items.popleft()
            feed.receive(item)


class Feed:
    """What the `members` sequences of one HTTP request have said and nobody has read yet."""

    def __init__(self, members: int) -> None:
        self._left = members
        self._items: list[Item] = []
        self._news = asyncio.Event()

    @property
    def over(self) -> bool:
        """Whether every sequence has ended and been read."""
        return not self._left

    def receive(self, item: Item) -> None:
        """In the event loop."""
        self._items.append(item)
        self._news.set()

    async def batches(self, idle: float | None = None) -> AsyncIterator[list[Item]]:
        """All that has come since the last batch, until every sequence has ended; an empty batch whenever nothing has
        come for `idle` seconds."""
        while self._left:
            if not self._news.is_set():
                with suppress(TimeoutError):
                    async with asyncio.timeout(idle):  # not wait_for, which makes a task of its own for every token
                        await self._news.wait()
            self._news.clear()
            items, self._items = self._items, []
            self._left -= sum(not isinstance(item, Token) for item in items)
            yield items
