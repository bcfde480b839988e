"""Tool calls written as a Python list: `[f(a=1, b="x"), g()]` (Llama 3.2 and 4; LFM2 puts it between marks).

Only literals are read, character by character, and passed on as JSON: nothing is evaluated. Strings, numbers, True,
False, None, lists, tuples (as lists) and dicts with string keys; keyword arguments only, as the names are needed.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable

from whetstone.engine.text.calls import ToolCallParser
from whetstone.engine.text.json_scan import DEEPEST, LONGEST_NUMBER
from whetstone.engine.text.marks import MarkFinder
from whetstone.engine.text.source import CallError, Source, Steps

Write = Callable[[str], object]
_WORD = re.compile(r"\w*")
_DOTTED = re.compile(r"[\w.]*")
_NUMBER_CHARS = re.compile(r"[-+.\w]*")
_INTEGER = re.compile(r"[-+]?(0[xX][0-9a-fA-F]+|0[oO][0-7]+|0[bB][01]+|0+|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?")
_UNDERSCORES = re.compile(r"(?<=[0-9a-fA-F])_(?=[0-9a-fA-F])")
_WORDS = {"True": "true", "False": "false", "None": "null", "true": "true", "false": "false", "null": "null"}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "a": "\a", "\n": ""}
_HEX = {"x": 2, "u": 4, "U": 8}
OCTAL = "01234567"
_CLOSER = {"[": "]", "(": ")", "{": "}"}


class PythonicParser(ToolCallParser):
    """`[f(a=1)]` as the whole message, or between LFM2's marks."""

    OPEN, CLOSE = "<|tool_call_start|>", "<|tool_call_end|>"

    def _run(self) -> Steps[None]:
        self._space.append((yield from self._source.spaces()))
        if (yield from self._source.peek()) == "[" and not (yield from self._attempt("", self._list(True), True)):
            yield from self._rest()
        finder = MarkFinder([self.OPEN, self.CLOSE])
        while mark := (yield from self._content_until(finder)):
            if mark == self.CLOSE:
                if not self._after_call:
                    self._content(mark)
            else:
                yield from self._attempt(mark, self._list(False))

    def _list(self, bare: bool) -> Steps[None]:
        source = self._source
        yield from source.spaces()
        yield from source.expect("[")
        while True:
            yield from source.spaces()
            yield from self._call(bare)
            yield from source.spaces()
            char = yield from source.take()
            if char == ",":
                yield from source.spaces()
                char = yield from source.need()
                if char != "]":
                    continue
                source.at += 1
            if char == "]":
                return
            raise CallError(f"',' or ']' is missing before {char!r}")

    def _call(self, bare: bool) -> Steps[None]:
        """One call. A bare one opens only when a keyword or the closing bracket has shown that it is one."""
        source = self._source
        name = yield from source.all_of(_DOTTED, 128)
        if not all(part.isidentifier() for part in name.split(".")):
            raise CallError(f"{name!r} is no name of a tool")
        yield from source.spaces()
        yield from source.expect("(")
        if bare and not self._known(name):
            raise CallError(f"there is no tool {name!r}")
        if not bare:
            self._begin(name)
        seen: set[str] = set()
        while True:
            yield from source.spaces()
            if (yield from source.need()) == ")":
                break
            keyword = yield from source.all_of(_WORD, 128)
            yield from source.spaces()
            if not keyword.isidentifier() or (yield from source.need()) != "=":
                raise CallError("an argument without its name")
            source.at += 1
            if keyword in seen:
                raise CallError(f"the argument {keyword!r} stands there twice")
            if not self._open:
                self._begin(name)
            self._arguments(("{" if not seen else ", ") + json.dumps(keyword, ensure_ascii=False) + ": ")
            seen.add(keyword)
            yield from source.spaces()
            yield from literal(source, self._arguments)
            yield from source.spaces()
            if (yield from source.need()) == ",":
                source.at += 1
            elif (yield from source.need()) != ")":
                raise CallError("',' or ')' is missing behind an argument")
        source.at += 1
        if not self._open:
            self._begin(name)
        self._arguments("}" if seen else "")
        self._end()


class _Frame:
    """An open bracket. A round one keeps what is inside, since only a comma tells a tuple from a value in brackets."""

    def __init__(self, kind: str, write: Write) -> None:
        self.kind, self.outer = kind, write
        self.kept: list[str] = []
        self.write: Write = self.kept.append if kind == "(" else write
        self.items = 0
        self.comma = False

    def close(self) -> None:
        if self.kind != "(":
            self.write(_CLOSER[self.kind])
        elif self.comma or not self.items:
            self.outer("[" + "".join(self.kept) + "]")
        else:
            self.outer("".join(self.kept))


def literal(source: Source, write: Write) -> Steps[None]:
    """Read one Python literal and pass it on as JSON; what follows it is left.

    Raises:
        CallError: something that is no literal, too deep, or cut off.
    """
    frames: list[_Frame] = []
    while True:
        write_here = frames[-1].write if frames else write
        char = yield from source.need()
        if char in _CLOSER:
            if len(frames) >= DEEPEST:
                raise CallError(f"more than {DEEPEST} brackets inside each other")
            source.at += 1
            frames.append(_Frame(char, write_here))
            if char != "(":
                write_here(char)
        else:
            yield from _scalar(source, write_here, char)
        if not (yield from _to_next_value(source, frames, opened=char in _CLOSER)):
            return


def _to_next_value(source: Source, frames: list[_Frame], opened: bool) -> Steps[bool]:
    """Close what closes here and read up to the next value. False when the outermost value is complete."""
    while frames:
        frame = frames[-1]
        yield from source.spaces()
        char = yield from source.need()
        if not opened:
            frame.items += 1
            if char == ",":
                source.at += 1
                frame.comma = True
                yield from source.spaces()
                char = yield from source.need()
            elif char != _CLOSER[frame.kind]:
                raise CallError(f"',' or {_CLOSER[frame.kind]!r} is missing before {char!r}")
        opened = False
        if char == _CLOSER[frame.kind]:
            source.at += 1
            frames.pop().close()
            continue
        if frame.items:
            frame.write(", ")
        if frame.kind == "{":
            if char not in "\"'":
                raise CallError("a key of a dict that is no string")
            yield from _string(source, frame.write)
            yield from source.spaces()
            yield from source.expect(":")
            frame.write(": ")
            yield from source.spaces()
        return True
    return False


def _scalar(source: Source, write: Write, char: str) -> Steps[None]:
    if char in "\"'":
        yield from _string(source, write)
    elif char in "-+.0123456789":
        write(number((yield from source.all_of(_NUMBER_CHARS, LONGEST_NUMBER))))
    else:
        word = yield from source.all_of(_WORD, 128)
        if word not in _WORDS:
            raise CallError(f"{word or char!r} is no literal")
        write(_WORDS[word])


def number(text: str) -> str:
    """A Python number as JSON writes it.

    Raises:
        CallError: no number, or one beyond the range of floats.
    """
    plain = _UNDERSCORES.sub("", text)
    if _INTEGER.fullmatch(plain):
        return str(int(plain, 0))
    if _FLOAT.fullmatch(plain) and math.isfinite(value := float(plain)):
        return repr(value)
    raise CallError(f"{text!r} is no number")


def _string(source: Source, write: Write) -> Steps[None]:
    """A string in either quotes, single or triple; the quote is still to be read. A line end inside is let pass."""
    quote = yield from source.take()
    end = quote
    if (yield from source.need()) == quote:
        source.at += 1
        if (yield from source.peek()) != quote:
            write('""')
            return
        source.at += 1
        end = quote * 3
    plain = re.compile(rf"[^{quote}\\]*")
    quotes = 0  # that may be the end of a triple-quoted string
    write('"')
    while True:
        inside = source.run(plain)
        char = "" if inside else (yield from source.need())
        if char == quote:
            source.at += 1
            quotes += 1
            if quotes < len(end):
                continue
            write('"')
            return
        if char == "\\":
            source.at += 1
            inside = yield from _escape(source)
        # half of a surrogate pair may not go out as a character of its own
        write(json.dumps(quote * quotes + inside, ensure_ascii=char == "\\")[1:-1])
        quotes = 0


def _escape(source: Source) -> Steps[str]:
    """What a backslash and the characters behind it say; Python keeps the backslash of an unknown escape."""
    char = yield from source.take()
    if char in _HEX:
        digits = ""
        for _ in range(_HEX[char]):
            digits += yield from source.take()
        if not re.fullmatch("[0-9a-fA-F]+", digits) or int(digits, 16) > 0x10FFFF:
            raise CallError(f"\\{char}{digits} is no character")
        return chr(int(digits, 16))
    if char in OCTAL:
        digits = char
        while len(digits) < 3 and (yield from source.need()) in OCTAL:
            digits += yield from source.take()
        return chr(int(digits, 8))
    if char == "N":
        raise CallError("\\N is not read")
    return char if char in "\\'\"" else _ESCAPES.get(char, "\\" + char)
