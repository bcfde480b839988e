"""One JSON value out of a stream (RFC 8259), passed on as it is read.

Strict but for one thing: a control character inside a string, which models do write, is passed on escaped. What is
passed on is therefore always valid JSON. No recursion, linear time, limits on depth and on the length of a number.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from whetstone.engine.text.source import CallError, Source, Steps

DEEPEST = 100  # brackets inside each other
LONGEST_NUMBER = 300  # characters; Python refuses integers of more than 4300 digits
Write = Callable[[str], object]

_PLAIN = re.compile(r'[^"\\\x00-\x1f]*')
_NUMBER_CHARS = re.compile(r"[-+.0-9eE]*")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_LETTERS = re.compile(r"[A-Za-z]*")
CLOSER = {"{": "}", "[": "]"}


def json_value(source: Source, write: Write) -> Steps[None]:
    """Read one value and pass its text on; what follows it is left.

    Raises:
        CallError: it is no JSON, is too deep, or ends too early.
    """
    open_brackets: list[str] = []
    while True:
        char = yield from source.need()
        if char in CLOSER:
            if len(open_brackets) >= DEEPEST:
                raise CallError(f"more than {DEEPEST} brackets inside each other")
            source.at += 1
            write(char)
            write((yield from source.spaces()))
            inner = yield from source.need()
            if inner != CLOSER[char]:
                open_brackets.append(char)
                if char == "{":
                    yield from _key(source, write)
                continue
            source.at += 1
            write(inner)
        else:
            yield from _scalar(source, write, char)
        if not (yield from _after_value(source, write, open_brackets)):
            return


def _after_value(source: Source, write: Write, open_brackets: list[str]) -> Steps[bool]:
    """Close what closes here. True when another value follows."""
    while open_brackets:
        write((yield from source.spaces()))
        char = yield from source.need()
        if char == CLOSER[open_brackets[-1]]:
            open_brackets.pop()
        elif char != ",":
            raise CallError(f"',' or {CLOSER[open_brackets[-1]]!r} is missing before {char!r}")
        source.at += 1
        write(char)
        if char == ",":
            write((yield from source.spaces()))
            if open_brackets[-1] == "{":
                yield from _key(source, write)
            return True
    return False


def _key(source: Source, write: Write) -> Steps[None]:
    """A member's name, its colon and the blanks around."""
    char = yield from source.need()
    if char != '"':
        raise CallError(f"a member's name in double quotes is missing before {char!r}")
    yield from _string(source, write)
    write((yield from source.spaces()))
    yield from source.expect(":")
    write(":")
    write((yield from source.spaces()))


def _scalar(source: Source, write: Write, char: str) -> Steps[None]:
    if char == '"':
        yield from _string(source, write)
    elif char in "-0123456789":
        number = yield from source.all_of(_NUMBER_CHARS, LONGEST_NUMBER)
        if not _NUMBER.fullmatch(number):
            raise CallError(f"{number!r} is no number")
        write(number)
    else:
        word = yield from source.all_of(_LETTERS, LONGEST_NUMBER)
        if word not in ("true", "false", "null"):
            raise CallError(f"no value begins with {word or char!r}")
        write(word)


def _string(source: Source, write: Write) -> Steps[None]:
    """A string; the quote is still to be read."""
    yield from source.expect('"')
    write('"')
    while True:
        write(source.run(_PLAIN))
        char = yield from source.need()
        if char == "\\":
            source.at += 1
            kind = yield from source.take()
            if kind == "u":
                digits = ""
                for _ in range(4):
                    digits += yield from source.take()
                if not re.fullmatch("[0-9a-fA-F]{4}", digits):
                    raise CallError(f"\\u{digits} is no character")
                write(f"\\u{digits}")
            elif kind in '"\\/bfnrt':
                write("\\" + kind)
            else:
                raise CallError(f"\\{kind} is no escape of JSON")
        elif char < " ":
            source.at += 1
            write(json.dumps(char)[1:-1])
        elif char == '"':
            source.at += 1
            write('"')
            return


def json_string(source: Source) -> Steps[str]:
    """Read a string and return what it says.

    Raises:
        CallError: no string stands here.
    """
    parts: list[str] = []
    yield from _string(source, parts.append)
    return str(json.loads("".join(parts)))


def scan_whole(text: str) -> str | None:
    """The same value as valid JSON when `text` is one JSON value within the limits (blanks around it), else None."""
    source = Source()
    source.push(text.strip(" \t\r\n"))
    source.ended = True
    parts: list[str] = []
    try:
        for _ in json_value(source, parts.append):
            raise AssertionError("a source that has ended does not wait")
    except CallError:
        return None
    return "".join(parts) if source.at == len(source.text) else None
