"""The scanners of JSON and of Python literals, against json and ast."""

from __future__ import annotations

import ast
import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.text.test_toolcalls import JSON
from whetstone.engine.text.json_scan import DEEPEST, scan_whole
from whetstone.engine.text.pythonic import literal
from whetstone.engine.text.source import CallError, Source

PIECES = ["{", "}", "[", "]", ",", ":", '"', '"a"', "'", "\\", "\\n", "\\u00e9", "u12", "0", "1", "-", ".", "e", "true"]
PIECES += ["null", "Nul", " ", "\n", "é", "\x02", "NaN"]


def loads(text: str) -> Any:
    def refuse(word: str) -> None:
        raise ValueError(word)

    return json.loads(text, strict=False, parse_constant=refuse)


def changed(written: st.SearchStrategy[str], pieces: list[str]) -> st.SearchStrategy[str]:
    def change(text: str, at: int, drop: int, piece: str) -> str:
        return text[:at] + piece + text[at + drop :]

    return st.builds(change, written, st.integers(0, 40), st.integers(0, 2), st.sampled_from(["", *pieces]))


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(PIECES), max_size=8).map("".join)
    | JSON.map(json.dumps)
    | JSON.map(lambda value: json.dumps(value, ensure_ascii=False, indent=1))
    | changed(JSON.map(json.dumps), PIECES)
)
def test_accepts_what_json_accepts(text: str) -> None:
    try:
        value = loads(text)
    except ValueError:
        assert scan_whole(text) is None
    else:
        scanned = scan_whole(text)
        assert scanned is not None and repr(json.loads(scanned)) == repr(value)


def test_depth_is_limited() -> None:
    assert scan_whole("[" * DEEPEST + "]" * DEEPEST) is not None
    assert scan_whole("[" * (DEEPEST + 1) + "]" * (DEEPEST + 1)) is None


def read(text: str) -> Any:
    source = Source()
    source.push(text)
    source.ended = True
    parts: list[str] = []
    assert list(literal(source, parts.append)) == []
    if source.at != len(text):
        raise CallError("something follows")
    return json.loads("".join(parts))


def plain(value: Any) -> Any:
    """As JSON would give it back. Raises TypeError for what has no place in JSON."""
    match value:
        case None | bool() | int():
            return value
        case str():
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
        case float() if math.isfinite(value):
            return value
        case list() | tuple():
            return [plain(item) for item in value]
        case dict() if all(isinstance(key, str) for key in value):
            return {plain(key): plain(item) for key, item in value.items()}
    raise TypeError(value)


PYTHON = st.recursive(
    JSON,
    lambda inner: st.tuples(inner) | st.tuples(inner, inner) | st.just(()) | st.lists(inner, max_size=3),
    max_leaves=6,
)
LITERALS = [
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    ", ",
    ":",
    "'",
    '"',
    "'''",
    '"""',
    "\\",
    "\\x41",
    "\\101",
    "\\u00e9",
    "\\'",
]
LITERALS += [
    "1",
    "-1",
    "+.5",
    "1.",
    "1_0",
    "0x1F",
    "1e3",
    "1j",
    "True",
    "None",
    " ",
    "a",
    "'a'",
    "\\q",
    "é",
    "\\U0001F600",
]


@settings(deadline=None)
@given(PYTHON)
def test_reads_what_repr_writes(value: Any) -> None:
    assert repr(read(repr(value))) == repr(plain(value))


@settings(deadline=None)
@given(st.lists(st.sampled_from(LITERALS), max_size=7).map("".join) | changed(PYTHON.map(repr), LITERALS))
@pytest.mark.filterwarnings("ignore::SyntaxWarning", "ignore::DeprecationWarning")
def test_never_reads_something_else_than_python_does(text: str) -> None:
    """Where both read the text they read the same. We let a line end stand in a string, and words of JSON."""
    try:
        ours = read(text)
    except CallError:
        return
    try:
        theirs = plain(ast.literal_eval(text))
    except (SyntaxError, ValueError):
        assert "\n" in text or "\r" in text or "\0" in text or "null" in text or "true" in text or "false" in text
        return
    assert repr(ours) == repr(theirs)
