"""What the parsers of all tool call formats share: content around the calls, opening and closing them, giving up."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from whetstone.engine.text.events import CallArguments, CallBegin, CallEnd, Content, Malformed
from whetstone.engine.text.marks import MarkFinder
from whetstone.engine.text.parser import GeneratorParser
from whetstone.engine.text.source import SPACE, CallError, Steps

Tools = Sequence[Mapping[str, Any]]  # OpenAI's form: {"type": "function", "function": {"name", "parameters"}}
_NAME = re.compile(r"[\w.\-:/]{1,128}")


def tool_schemas(tools: Tools | None) -> dict[str, Mapping[str, Any]]:
    """The JSON schema of each tool's arguments, by name; a tool may be written with or without its "function" shell."""
    schemas: dict[str, Mapping[str, Any]] = {}
    for tool in tools or ():
        inner = tool.get("function", tool)
        if isinstance(inner, Mapping) and isinstance(inner.get("name"), str):
            parameters = inner.get("parameters")
            schemas[inner["name"]] = parameters if isinstance(parameters, Mapping) else {}
    return schemas


class ToolCallParser(GeneratorParser):
    """Base of the formats: a subclass writes `_run`, a generator over `self._source`.

    Blanks between content and a call, and between calls, belong to the format and are dropped. After a malformed call
    the rest of the message is content: text quoted inside a broken call must not be able to pose as a call.

    Args:
        tools: the tools offered. A format whose calls have no mark of their own takes only their names for calls;
            None takes any name.
    """

    def __init__(self, tools: Tools | None = None) -> None:
        super().__init__()
        self._schemas = tool_schemas(tools)
        self._any_name = tools is None
        self._calls = 0
        self._open = False
        self._empty = True  # no arguments passed on yet for the open call
        self._space: list[str] = []  # blanks that are content only if no call follows
        self._after_call = False  # only blanks since the last call
        self._broken = False  # a malformed call was met

    def _ended(self) -> None:
        if not self._after_call:
            self._out.extend(Content(blank) for blank in self._space)
        self._space = []

    def _content(self, text: str) -> None:
        """Pass content on; blanks at its end wait for what follows."""
        if not text:
            return
        if self._after_call:
            text = text.lstrip(SPACE)
            self._after_call = not text
        kept = text.rstrip(SPACE)
        if kept:
            self._out.extend(Content(blank) for blank in self._space)
            self._out.append(Content(kept))
            self._space = []
        if len(kept) < len(text):
            self._space.append(text[len(kept) :])

    def _content_until(self, finder: MarkFinder) -> Steps[str]:
        """Pass content on up to the next mark and return that; "" at the end of the text. Marks behind a malformed
        call are content."""
        if self._broken:
            yield from self._rest()
        while True:
            plain, mark = yield from self._source.until(finder)
            self._content(plain)
            if mark or (self._source.ended and self._source.at >= len(self._source.text)):
                return mark

    def _rest(self) -> Steps[None]:
        """All that follows is content."""
        while (yield from self._source.more()):
            self._content(self._source.text[self._source.at :])
            self._source.at = len(self._source.text)

    def _attempt(self, mark: str, body: Steps[None], quiet: bool = False) -> Steps[bool]:
        """Read a call whose mark has been read. False when it is none, which has been reported.

        With `quiet`, text that fails before a call was opened was never meant as one: it is plain content.
        """
        source = self._source
        source.record("".join(self._space) + mark)
        try:
            yield from body
        except CallError as failure:
            text = source.recorded()
            self._space, self._after_call = [], False
            index = self._calls if self._open else None
            source.release()
            if index is None and quiet:
                self._content(text)
            else:
                self._out.append(Malformed(index, text, str(failure)))
                self._broken = True
            self._open = False
            return False
        source.release()
        return True

    def _known(self, name: str) -> bool:
        return self._any_name or name in self._schemas

    def _begin(self, name: str) -> None:
        """A call opens.

        Raises:
            CallError: no tool could have that name.
        """
        if not _NAME.fullmatch(name):
            raise CallError(f"{name[:100]!r} is no name of a tool")
        self._space = []
        self._open, self._empty = True, True
        self._out.append(CallBegin(self._calls, name))

    def _arguments(self, text: str) -> None:
        """The next part of the open call's arguments."""
        if text:
            self._empty = False
            self._out.append(CallArguments(self._calls, text))

    def _end(self) -> None:
        """The open call is complete."""
        if self._empty:
            self._arguments("{}")
        self._out.append(CallEnd(self._calls))
        self._calls += 1
        self._open, self._after_call = False, True
        self._source.record()
