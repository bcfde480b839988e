"""Tool call formats whose arguments are JSON: Hermes (Qwen 2.5 and 3, SmolLM2 and 3), Llama 3, DeepSeek.

Shapes, from the models' published chat templates:

- Hermes: `<tool_call>{"name": "f", "arguments": {...}}</tool_call>`, once per call; SmolLM2 puts a list into one pair.
- Llama 3: the whole message is `{"name": "f", "parameters": {...}}`, with `<|python_tag|>` before it or not; several
  calls are parted by `;`.
- DeepSeek: `<｜tool▁calls▁begin｜>`, then per call `<｜tool▁call▁begin｜>`, the call, `<｜tool▁call▁end｜>`, and at
  the end `<｜tool▁calls▁end｜>`. A call is `f<｜tool▁sep｜>{...}` (V3.1), or `function<｜tool▁sep｜>f`, a line end and the JSON
  in a fenced block (V3, R1).
"""

from __future__ import annotations

import re

from whetstone.engine.text.calls import ToolCallParser
from whetstone.engine.text.json_scan import json_string, json_value, scan_whole
from whetstone.engine.text.marks import MarkFinder
from whetstone.engine.text.source import CallError, Steps

ARGUMENTS = ("arguments", "parameters")
CALL_KEYS = ("name", *ARGUMENTS, "type", "id")


class JsonCallParser(ToolCallParser):
    """Base of the formats that write a call as one JSON object."""

    def _object(self, bare: bool) -> Steps[None]:
        """A call as an object with "name" and "arguments" (or "parameters"), in any order, and passing on the latter.

        A bare object has no mark that says it is a call. It is one when it has a known name, arguments that are
        an object, and no member that a call does not have; until that is certain nothing is passed on.

        Raises:
            CallError: it is not a call.
        """
        source = self._source
        name: str | None = None
        early: list[str] = []  # arguments that came before the name
        seen: set[str] = set()
        yield from source.expect("{")
        while True:
            yield from source.spaces()
            if not seen and (yield from source.need()) == "}":
                source.at += 1
                break
            key = yield from json_string(source)
            if key in seen:
                raise CallError(f"{key[:100]!r} stands there twice")
            seen.add("arguments" if key in ARGUMENTS else key)
            if bare and key not in CALL_KEYS:
                raise CallError(f"{key[:100]!r} is no member of a call")
            yield from source.spaces()
            yield from source.expect(":")
            yield from source.spaces()
            if key == "name":
                name = yield from json_string(source)
                if bare and not self._known(name):
                    raise CallError(f"there is no tool {name[:100]!r}")
                if not bare or early:
                    self._open_with(name, early)
            elif key in ARGUMENTS:
                yield from self._argument_object(name, early, bare)
            else:
                yield from json_value(source, lambda _: None)
            yield from source.spaces()
            char = yield from source.take()
            if char == "}":
                break
            if char != ",":
                raise CallError(f"',' or '}}' is missing before {char!r}")
        if name is None:
            raise CallError("the name is missing")
        if not self._open:
            if self._any_name:
                raise CallError("the arguments are missing")
            self._begin(name)
        self._end()

    def _open_with(self, name: str, early: list[str]) -> None:
        self._begin(name)
        for text in early:
            self._arguments(text)

    def _argument_object(self, name: str | None, early: list[str], bare: bool) -> Steps[None]:
        """The value of "arguments": an object; an object written as a string, as some models do; or null for none."""
        source = self._source
        char = yield from source.need()
        if char == "{":
            if bare and name is not None:
                self._begin(name)
            yield from json_value(source, self._arguments if self._open else early.append)
            return
        if char == "n" and not bare:
            yield from json_value(source, lambda _: None)
            text: str | None = "{}"
        else:
            text = scan_whole((yield from json_string(source))) if char == '"' else None
        if text is None or not text.startswith("{"):
            raise CallError("the arguments are no JSON object")
        if bare and name is not None:
            self._begin(name)
        if self._open:
            self._arguments(text)
        else:
            early.append(text)


class HermesParser(JsonCallParser):
    """`<tool_call>{"name": ..., "arguments": {...}}</tool_call>`; the closing mark may be missing."""

    OPEN, CLOSE = "<tool_call>", "</tool_call>"

    def _run(self) -> Steps[None]:
        finder = MarkFinder([self.OPEN, self.CLOSE])
        while mark := (yield from self._content_until(finder)):
            if mark == self.CLOSE:
                if not self._after_call:
                    self._content(mark)
            else:
                yield from self._attempt(mark, self._calls_inside())

    def _calls_inside(self) -> Steps[None]:
        source = self._source
        yield from source.spaces()
        if (yield from source.need()) != "[":
            yield from self._object(bare=False)
            return
        source.at += 1
        while True:
            yield from source.spaces()
            yield from self._object(bare=False)
            yield from source.spaces()
            char = yield from source.take()
            if char == "]":
                return
            if char != ",":
                raise CallError(f"',' or ']' is missing before {char!r}")


class LlamaParser(JsonCallParser):
    """`{"name": ..., "parameters": {...}}` as the whole message, or behind `<|python_tag|>`; calls parted by `;`."""

    TAG = "<|python_tag|>"

    def _run(self) -> Steps[None]:
        self._space.append((yield from self._source.spaces()))
        if (yield from self._source.peek()) == "{" and not (yield from self._attempt("", self._series(True), True)):
            yield from self._rest()
        finder = MarkFinder([self.TAG])
        while mark := (yield from self._content_until(finder)):
            yield from self._attempt(mark, self._series(False))

    def _series(self, bare: bool) -> Steps[None]:
        """A call and those behind it; the separator before something that is no call is content."""
        source = self._source
        yield from source.spaces()
        yield from self._object(bare)
        while True:
            yield from source.spaces()
            if (yield from source.peek()) == ";":
                source.at += 1
                yield from source.spaces()
            if (yield from source.peek()) != "{":
                self._content(source.recorded())
                return
            yield from self._object(bare)


class DeepSeekParser(ToolCallParser):
    """Calls between DeepSeek's own tokens, in the shape of V3 or of V3.1."""

    ALL_OPEN, ALL_CLOSE = "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"
    OPEN, CLOSE = "<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>"
    SEPARATOR = "<｜tool▁sep｜>"
    _WORD = re.compile(r"[^<\s]*")

    def _run(self) -> Steps[None]:
        finder = MarkFinder([self.ALL_OPEN, self.ALL_CLOSE, self.OPEN, self.CLOSE])
        while mark := (yield from self._content_until(finder)):
            if mark in (self.ALL_CLOSE, self.CLOSE):
                if not self._after_call:
                    self._content(mark)
            else:
                yield from self._attempt(mark, self._call(mark == self.ALL_OPEN))

    def _call(self, first: bool) -> Steps[None]:
        source = self._source
        if first:
            yield from source.spaces()
            yield from source.expect(self.OPEN)
        yield from source.spaces()
        name = yield from source.all_of(self._WORD, 128)
        yield from source.spaces()
        yield from source.expect(self.SEPARATOR)
        yield from source.spaces()
        fenced = name == "function" and (yield from source.need()) != "{"
        if fenced:
            name = yield from source.all_of(self._WORD, 128)
            yield from source.spaces()
            yield from source.expect("```json")
            yield from source.spaces()
        if (yield from source.need()) != "{":
            raise CallError("the arguments are no JSON object")
        self._begin(name)
        yield from json_value(source, self._arguments)
        if fenced:
            yield from source.spaces()
            yield from source.expect("```")
        self._end()
