"""An answer as it streams: server-sent events to pieces of text, and at the end to the response that they add up to."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from whetstone.engine.remote.credentials import ApiKey, Veil
from whetstone.engine.remote.wire import SURROGATES, Malformed, choices, complaint, content_text

Heard = Callable[[str], None]
LONGEST_EVENT = 1 << 20  # characters of one line; an honest one has a few hundred


class Stream:
    """Takes bytes as they come and tells `heard` the text in them, without the key. Only the first choice is read."""

    def __init__(self, heard: Heard, key: ApiKey | None) -> None:
        self.began = False  # whether any text was told
        self._heard, self._veil, self._key = heard, Veil(key), key
        self._rest = b""
        self._texts: list[str] = []
        self._refusal: list[str] = []
        self._finish: object = None
        self._usage: object = None
        self._error: object = None
        self._done = False

    def feed(self, chunk: bytes) -> None:
        """Raises Malformed for a line without end."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            self._line(line)
        if len(self._rest) > LONGEST_EVENT:
            raise Malformed("a stream with an event that does not end")

    def response(self) -> dict[str, Any]:
        """What a server that does not stream would have sent. Raises Malformed for a stream that was cut off."""
        self._line(self._rest)
        if self._error is not None:
            raise Malformed(
                f"an error: {self._hidden(complaint({'error': self._error}).text) or 'it does not say which'}"
            )
        if self._finish is None and not self._done:
            raise Malformed("a stream that ended in the middle of an answer")
        self._tell(self._veil.finish())
        message = {
            "role": "assistant",
            "content": "".join(self._texts),
            "refusal": self._hidden("".join(self._refusal)),
        }
        return {"choices": [{"message": message, "finish_reason": self._finish}], "usage": self._usage}

    def whole(self, response: object) -> None:
        """The server did not stream: tell the text of its answer."""
        try:
            self._tell(choices(response, 1)[0].text)
        except Malformed:
            return  # whoever reads the response says so

    def _line(self, line: bytes) -> None:
        name, _, data = line.partition(b":")
        if name != b"data":
            return  # a comment, an event's name, the empty line behind it
        data = data.strip()
        if data == b"[DONE]":
            self._done = True
            return
        try:
            event = json.loads(data)
        except (ValueError, RecursionError):
            raise Malformed("a stream with an event that is no JSON") from None
        if isinstance(event, Mapping):
            self._read(event)

    def _read(self, event: Mapping[str, Any]) -> None:
        self._usage = event.get("usage") or self._usage
        self._error = event.get("error") or self._error
        choices = event.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        if not isinstance(choice, Mapping) or choice.get("index", 0) != 0:
            return
        delta = choice.get("delta")
        text = content_text(delta.get("content") if isinstance(delta, Mapping) else choice.get("text"))
        self._tell(self._veil.feed(SURROGATES.sub("\ufffd", text)))
        if isinstance(delta, Mapping) and isinstance(refusal := delta.get("refusal"), str):
            self._refusal.append(SURROGATES.sub("\ufffd", refusal))
        self._finish = choice.get("finish_reason") or self._finish

    def _hidden(self, text: str) -> str:
        return text if self._key is None else self._key.hide(text)

    def _tell(self, text: str) -> None:
        if text:
            self.began = True
            self._texts.append(text)
            self._heard(text)
