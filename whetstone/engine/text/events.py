"""What a message is made of, as it arrives: the events of the parsers in this folder."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Content:
    """Text of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Reasoning:
    """Text of the thinking section."""

    text: str


@dataclass(frozen=True, slots=True)
class CallBegin:
    """A tool call opens; `index` counts the calls of the message from 0."""

    index: int
    name: str


@dataclass(frozen=True, slots=True)
class CallArguments:
    """The next part of the call's arguments: joined, the parts are the text of one JSON object."""

    index: int
    text: str


@dataclass(frozen=True, slots=True)
class CallEnd:
    """The call is complete and its arguments are a valid JSON object."""

    index: int


@dataclass(frozen=True, slots=True)
class Malformed:
    """What began as a call is none: `text` is all of it, to be shown as content; `index` is that of the call that
    had been opened and must be discarded, None where none had; `reason` says what is wrong, for the model to read."""

    index: int | None
    text: str
    reason: str


Event = Content | Reasoning | CallBegin | CallArguments | CallEnd | Malformed


class StreamParser(Protocol):
    """Text in pieces to events. Any split of a text gives the same events once neighbouring parts are joined."""

    def feed(self, text: str) -> list[Event]:
        """The events that became certain."""
        ...

    def finish(self) -> list[Event]:
        """No more text comes: the rest of the events."""
        ...


def joined(events: Iterable[Event]) -> list[Event]:
    """The events with neighbouring parts of the same text made one."""
    out: list[Event] = []
    texts: list[str] = []  # of the last event, so that joining many parts stays linear

    def close() -> None:
        last = out[-1] if out else None
        if isinstance(last, Content | Reasoning | CallArguments) and len(texts) > 1:
            out[-1] = replace(last, text="".join(texts))

    for event in events:
        if not isinstance(event, Content | Reasoning | CallArguments):
            close()
            out.append(event)
            texts = []
            continue
        if not event.text:
            continue
        last = out[-1] if out else None
        same = type(last) is type(event) and getattr(last, "index", None) == getattr(event, "index", None)
        if not same:
            close()
            out.append(event)
            texts = []
        texts.append(event.text)
    close()
    return out
