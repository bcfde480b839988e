"""Feeding a parser in pieces, and what its events say."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from whetstone.engine.text.events import (
    CallArguments,
    CallBegin,
    CallEnd,
    Content,
    Event,
    Malformed,
    StreamParser,
    joined,
)


def split(text: str, cuts: Iterable[int]) -> list[str]:
    """`text` in pieces, some of them empty."""
    places = sorted(min(cut, len(text)) for cut in cuts)
    return [text[i:j] for i, j in zip([0, *places], [*places, len(text)], strict=True)]


def events_of(parser: StreamParser, pieces: Iterable[str]) -> list[Event]:
    return joined([*(event for piece in pieces for event in parser.feed(piece)), *parser.finish()])


def letters(text: str, size: int = 1) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def calls_of(events: Sequence[Event]) -> list[tuple[str, Any]]:
    """The complete calls, after a check that every event stands where it may."""
    calls: list[tuple[str, Any]] = []
    name, arguments = None, ""
    for event in events:
        match event:
            case CallBegin(index, begun):
                assert name is None and index == len(calls)
                name, arguments = begun, ""
            case CallArguments(index, text):
                assert name is not None and index == len(calls)
                arguments += text
            case CallEnd(index):
                assert name is not None and index == len(calls)
                value = json.loads(arguments)
                assert isinstance(value, dict)
                calls.append((name, value))
                name = None
            case Malformed(index, _, _):
                assert index == (None if name is None else len(calls))
                name = None
            case Content(_):
                assert name is None
    assert name is None
    return calls


def shown(events: Sequence[Event]) -> str:
    """The text that is no call."""
    return "".join(event.text for event in events if isinstance(event, Content | Malformed))
