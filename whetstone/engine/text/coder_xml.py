"""Qwen3-Coder's tool calls: tags that look like XML, one per parameter.

    <tool_call>
    <function=name>
    <parameter=key>
    value
    </parameter>
    </function>
    </tool_call>

A value is written as it is, with no escapes: a string as its characters, anything else as JSON. One line end behind the
opening tag and one before the closing tag belong to the format. The type comes from the tool's schema; without one it
is a string. `<tool_call>` is often left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from whetstone.engine.text.calls import ToolCallParser
from whetstone.engine.text.json_scan import scan_whole
from whetstone.engine.text.marks import MarkFinder
from whetstone.engine.text.source import CallError, Steps

_WORD = re.compile(r"[^<>\s]*")
_PYTHON_WORDS = {"True": "true", "False": "false", "None": "null"}


def json_types(schema: Any, depth: int = 0) -> frozenset[str]:
    """The JSON types a schema names, through anyOf, oneOf and enum; none when it names none."""
    if not isinstance(schema, Mapping) or depth > 8:
        return frozenset()
    types: set[str] = set()
    named = schema.get("type")
    types.update([named] if isinstance(named, str) else [one for one in named or () if isinstance(one, str)])
    for key in ("anyOf", "oneOf"):
        for one in schema.get(key) or ():
            types |= json_types(one, depth + 1)
    if not types and isinstance(schema.get("enum"), list):
        types.update("string" if isinstance(value, str) else "other" for value in schema["enum"])
    return frozenset(types)


class CoderXmlParser(ToolCallParser):
    """`<tool_call><function=name><parameter=key>value</parameter></function></tool_call>`."""

    OPEN, CLOSE = "<tool_call>", "</tool_call>"
    FUNCTION, FUNCTION_END = "<function=", "</function>"
    PARAMETER, PARAMETER_END = "<parameter=", "</parameter>"

    def _run(self) -> Steps[None]:
        finder = MarkFinder([self.OPEN, self.CLOSE, self.FUNCTION])
        while mark := (yield from self._content_until(finder)):
            if mark == self.CLOSE:
                if not self._after_call:
                    self._content(mark)
            else:
                yield from self._attempt(mark, self._call(mark), quiet=mark == self.FUNCTION)

    def _call(self, mark: str) -> Steps[None]:
        source = self._source
        if mark == self.OPEN:
            yield from source.spaces()
            yield from source.expect(self.FUNCTION)
        name = yield from source.all_of(_WORD, 128)
        yield from source.expect(">")
        if mark == self.FUNCTION and not self._known(name):
            raise CallError(f"there is no tool {name!r}")
        self._begin(name)
        properties = self._schemas.get(name, {}).get("properties")
        types = properties if isinstance(properties, Mapping) else {}
        seen: set[str] = set()
        while True:
            yield from source.spaces()
            yield from source.expect("<")
            if (yield from source.need()) == "/":
                yield from source.expect(self.FUNCTION_END[1:])
                break
            yield from source.expect(self.PARAMETER[1:])
            key = yield from source.all_of(_WORD, 128)
            yield from source.expect(">")
            if key in seen:
                raise CallError(f"the parameter {key!r} stands there twice")
            self._arguments(("{" if not seen else ", ") + json.dumps(key, ensure_ascii=False) + ": ")
            seen.add(key)
            yield from self._value(json_types(types.get(key)))
        self._arguments("}" if seen else "")
        self._end()

    def _value(self, types: frozenset[str]) -> Steps[None]:
        """A value and its closing tag. A string is passed on as it comes; for another type all of it is needed."""
        source = self._source
        if (yield from source.need()) == "\n":
            source.at += 1
        stream = not types or (("string" in types) and ("null" not in types))
        finder = MarkFinder(["\n" + self.PARAMETER_END, self.PARAMETER_END])
        parts: list[str] = []
        if stream:
            self._arguments('"')
        mark = ""
        while not mark:
            yield from source.need()
            plain, mark = yield from source.until(finder)
            if stream:
                self._arguments(json.dumps(plain, ensure_ascii=False)[1:-1])
            else:
                parts.append(plain)
        self._arguments('"' if stream else typed("".join(parts), types))


def typed(text: str, types: frozenset[str]) -> str:
    """A value that may be of another type than string, as JSON: what does not parse is a string."""
    if "string" in types:
        return "null" if text == "null" else json.dumps(text, ensure_ascii=False)
    value = scan_whole(_PYTHON_WORDS.get(text.strip(), text))
    return value if value is not None else json.dumps(text, ensure_ascii=False)
