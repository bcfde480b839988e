"""What a client gets of a message with reasoning and calls, however the text was split."""

from __future__ import annotations

import itertools
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from whetstone.engine.text.reasoning import ThinkingMarks
from whetstone.engine.text.toolcalls import FORMATS, MessageParser
from whetstone.serving.message import Assistant, joined

TOOLS = [{"type": "function", "function": {"name": "add", "parameters": {}}}]
TEXT = (
    "<think>\nfirst I add\n</think>\n\nLet me see.\n"
    '<tool_call>\n{"name": "add", "arguments": {"a": 1, "b": "</x>"}}\n</tool_call>\n'
    '<tool_call>\n{"name": "add", "arguments": {"a": 2}}\n</tool_call>'
)


def read(text: str, cuts: list[int], most: int | None = None) -> list[dict[str, Any]]:
    assistant = Assistant(MessageParser(FORMATS["hermes"], TOOLS, ThinkingMarks()), most)
    places = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    deltas = [delta for a, b in itertools.pairwise(places) for delta in assistant.feed(text[a:b])]
    deltas = joined(deltas + assistant.finish())
    for delta in deltas:
        for call in delta.get("tool_calls", ()):
            assert call.pop("id").startswith("call_")
    return deltas


def call(index: int, arguments: str) -> dict[str, Any]:
    return {"tool_calls": [{"index": index, "type": "function", "function": {"name": "add", "arguments": arguments}}]}


@given(st.lists(st.integers(0, 1000), max_size=30))
def test_any_split_gives_the_same_deltas(cuts: list[int]) -> None:
    assert read(TEXT, cuts) == [
        {"reasoning_content": "first I add"},
        {"content": "Let me see."},
        call(0, '{"a": 1, "b": "</x>"}'),
        call(1, '{"a": 2}'),
    ]


def test_one_call_where_no_more_are_wanted() -> None:
    assert [delta for delta in read(TEXT, [], most=1) if "tool_calls" in delta] == [call(0, '{"a": 1, "b": "</x>"}')]


@given(st.integers(0, len(TEXT)))
def test_a_text_that_is_cut_gives_whole_calls_only(end: int) -> None:
    for delta in read(TEXT[:end], list(range(end))):
        for each in delta.get("tool_calls", ()):
            json.loads(each["function"]["arguments"])
