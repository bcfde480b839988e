"""An assistant's message in the making: text in pieces to the deltas of a chat."""

from __future__ import annotations

import secrets
from typing import Any

from whetstone.engine.text.events import (
    CallArguments,
    CallBegin,
    CallEnd,
    Content,
    Event,
    Malformed,
    Reasoning,
    StreamParser,
)

Delta = dict[str, Any]


class Assistant:
    """Takes the text of one answer as it comes.

    A tool call becomes one delta when it is complete and its arguments are valid JSON, so that no client ever acts on
    half a call; what turns out to be none is content.

    Args:
        parser: of the model's format.
        most_calls: further calls are left out (parallel_tool_calls false); None for as many as come.
    """

    def __init__(self, parser: StreamParser, most_calls: int | None = None) -> None:
        self.calls = 0
        self.thinking = False  # whether the last text was reasoning
        self._parser = parser
        self._most_calls = most_calls
        self._name = ""
        self._arguments: list[str] = []

    def feed(self, text: str) -> list[Delta]:
        """The deltas that this text makes certain."""
        return self._deltas(self._parser.feed(text)) if text else []

    def finish(self) -> list[Delta]:
        """No more text comes: the rest."""
        return self._deltas(self._parser.finish())

    def _deltas(self, events: list[Event]) -> list[Delta]:
        return [delta for event in events if (delta := self._delta(event)) is not None]

    def _delta(self, event: Event) -> Delta | None:
        match event:
            case Reasoning(text):
                self.thinking = True
                return {"reasoning_content": text}
            case Content(text) | Malformed(text=text):
                self.thinking = False
                return {"content": text} if text else None
            case CallBegin(name=name):
                self._name, self._arguments, self.thinking = name, [], False
            case CallArguments(text=text):
                self._arguments.append(text)
            case CallEnd():
                return self._call()
        return None

    def _call(self) -> Delta | None:
        if self.calls == self._most_calls:
            return None
        index, self.calls = self.calls, self.calls + 1
        function = {"name": self._name, "arguments": "".join(self._arguments)}
        call = {"index": index, "id": f"call_{secrets.token_hex(12)}", "type": "function", "function": function}
        return {"tool_calls": [call]}


def joined(deltas: list[Delta]) -> list[Delta]:
    """Neighbouring deltas of one kind of text made one."""
    out: list[Delta] = []
    texts: list[str] = []
    for delta in deltas:
        (kind,) = delta
        same = bool(out) and kind in out[-1] and kind != "tool_calls"
        if not same:
            _close(out, texts)
            out.append(delta)
        if kind != "tool_calls":
            texts.append(delta[kind])
    _close(out, texts)
    return out


def _close(out: list[Delta], texts: list[str]) -> None:
    if len(texts) > 1:
        (kind,) = out[-1]
        out[-1] = {kind: "".join(texts)}
    texts.clear()
