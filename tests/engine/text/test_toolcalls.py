"""Tool calls in every format: any split, round trips, nothing lost, hostile input."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.engine.text.streams import calls_of, events_of, letters, shown, split
from whetstone.engine.text.calls import ToolCallParser
from whetstone.engine.text.events import CallArguments, CallBegin, CallEnd, Content, Malformed, Reasoning
from whetstone.engine.text.reasoning import ThinkingMarks
from whetstone.engine.text.source import LONGEST_CALL
from whetstone.engine.text.toolcalls import FORMATS, MessageParser

TYPES = {"s": "string", "i": "integer", "n": "number", "b": "boolean", "a": "array", "o": "object", "z": "null"}
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "parameters": {"type": "object", "properties": {key: {"type": kind} for key, kind in TYPES.items()}},
        },
    }
    for name in ("f", "get_weather", "ns.tool")
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
VALUES = {
    "s": st.text(max_size=20).filter(lambda text: "</parameter>" not in text),
    "i": st.integers(),
    "n": st.floats(allow_nan=False, allow_infinity=False),
    "b": st.booleans(),
    "a": st.lists(JSON, max_size=3),
    "o": st.dictionaries(st.text(max_size=5), JSON, max_size=3),
    "z": st.none(),
}
ARGUMENTS = st.fixed_dictionaries({}, optional=VALUES)
CALLS = st.lists(st.tuples(st.sampled_from(["f", "get_weather", "ns.tool"]), ARGUMENTS), min_size=1, max_size=3)
CUTS = st.lists(st.integers(0, 120), max_size=12)
FRAGMENTS = [
    *(mark for form in FORMATS.values() for mark in sorted(form.marks)),
    *("<function=f>", "<function=", "</function>", "<parameter=s>", "<parameter=i>", "</parameter>", "\n</parameter>"),
    *(
        '{"name": "f", "arguments": {"a": [1, "x"]}}',
        '{"name": "f"',
        '"parameters": {',
        '"arguments": ',
        '"{}"',
        "null",
    ),
    *(
        '{"parameters": {}, "name": "f"}',
        "function",
        "```json\n",
        "\n```",
        "f(s='x', i=-1)",
        "[f(",
        "[f()]",
        "f(",
        "s=",
    ),
    *("(1,)", "'a\\'", '"""', "{", "}", "[", "]", "(", ")", ",", ":", ";", '"', "'", "\\", "\\u00e9", "\\n", "\n", " "),
    *("1", "-", "1e5", "True", "true", "é", "text", "<", ">", "</", "<tool", "_call>", "\x01", "=", "name"),
]
MESSAGES = st.lists(st.sampled_from(FRAGMENTS), max_size=14).map("".join)


def parser(name: str, any_tool: bool = False) -> ToolCallParser:
    return FORMATS[name].parser(None if any_tool else TOOLS)


@st.composite
def damaged(draw: st.DrawFn, name: str) -> str:
    """A message with calls, from which a stretch is cut or into which something is put."""
    text = draw(st.sampled_from(["", "Well: "])) + FORMATS[name].write(draw(CALLS)) + draw(st.sampled_from(["", " so"]))
    start = draw(st.integers(0, len(text)))
    stop = draw(st.integers(start, min(len(text), start + 4)))
    return text[:start] + draw(st.sampled_from(["", "", "}", '"', "\\", "x", "\n", "<"])) + text[stop:]


@pytest.mark.parametrize("name", FORMATS)
@settings(deadline=None)
@given(data=st.data(), cuts=CUTS, any_tool=st.booleans())
def test_any_split_gives_the_same_events_and_nothing_is_lost(
    name: str, data: st.DataObject, cuts: list[int], any_tool: bool
) -> None:
    text = data.draw(MESSAGES | damaged(name))
    whole = events_of(parser(name, any_tool), [text])
    assert events_of(parser(name, any_tool), split(text, cuts)) == whole
    assert events_of(parser(name, any_tool), letters(text)) == whole
    if not calls_of(whole):
        assert shown(whole) == text


@pytest.mark.parametrize("name", FORMATS)
@settings(deadline=None)
@given(calls=CALLS, size=st.integers(1, 30))
def test_what_is_written_is_read(name: str, calls: list[tuple[str, dict[str, Any]]], size: int) -> None:
    events = events_of(parser(name), letters(FORMATS[name].write(calls), size))
    assert calls_of(events) == calls
    assert shown(events) == ""


@pytest.mark.parametrize("name", ["hermes", "qwen3-coder", "deepseek"])
@settings(deadline=None)
@given(calls=CALLS, size=st.integers(1, 30))
def test_calls_stand_inside_text(name: str, calls: list[tuple[str, dict[str, Any]]], size: int) -> None:
    text = f"I look.\n\n{FORMATS[name].write(calls)}\n\nThen  I wait. \n"
    events = events_of(parser(name), letters(text, size))
    assert calls_of(events) == calls
    assert shown(events) == "I look.Then  I wait. \n"
    assert events[0] == Content("I look.")


PARIS = {"city": "Paris"}
PUBLISHED = [
    ("hermes", '<tool_call>\n{"name": "f", "arguments": {"city": "Paris"}}\n</tool_call>', [("f", PARIS)], ""),
    ("hermes", '<tool_call>[{"name": "f", "arguments": {}}, {"name": "g"}]</tool_call>', [("f", {}), ("g", {})], ""),
    ("hermes", '<tool_call>{"arguments": {"city": "Paris"}, "name": "f"}</tool_call>', [("f", PARIS)], ""),
    ("hermes", '<tool_call>{"name": "f", "arguments": "{\\"city\\": \\"Paris\\"}"}', [("f", PARIS)], ""),
    ("hermes", '<tool_call>{"name": "f", "arguments": {"s": "a\nb"}}</tool_call>', [("f", {"s": "a\nb"})], ""),
    ("hermes", '<tool_call>{"name": "f"}\n<tool_call>{"name": "g"}', [("f", {}), ("g", {})], ""),
    ("llama3", '{"name": "f", "parameters": {"city": "Paris"}}', [("f", PARIS)], ""),
    ("llama3", '<|python_tag|>{"type": "function", "name": "f", "parameters": {"city": "Paris"}}', [("f", PARIS)], ""),
    ("llama3", '\n{"parameters": {"city": "Paris"}, "name": "f"}; {"name": "f"}\n', [("f", PARIS), ("f", {})], ""),
    ("llama3", '{"name": "Bob", "parameters": {}}', [], '{"name": "Bob", "parameters": {}}'),
    ("llama3", '{"name": "f", "age": 3}', [], '{"name": "f", "age": 3}'),
    ("llama3", 'Say {"name": "f", "parameters": {}}', [], 'Say {"name": "f", "parameters": {}}'),
    ("pythonic", '[f(city="Paris"), get_weather()]', [("f", PARIS), ("get_weather", {})], ""),
    (
        "pythonic",
        "<|tool_call_start|>[g(x=(1, 2), y={'a': None})]<|tool_call_end|>",
        [("g", {"x": [1, 2], "y": {"a": None}})],
        "",
    ),
    ("pythonic", "[1, 2]", [], "[1, 2]"),
    ("pythonic", "[note] f(1)", [], "[note] f(1)"),
    (
        "qwen3-coder",
        "<function=f>\n<parameter=s>\n<b>1</b>\n\n</parameter>\n</function>",
        [("f", {"s": "<b>1</b>\n"})],
        "",
    ),
    (
        "qwen3-coder",
        "<tool_call>\n<function=f>\n<parameter=i>\n 7 \n</parameter>\n</function>\n</tool_call>",
        [("f", {"i": 7})],
        "",
    ),
    ("qwen3-coder", "<tool_call><function=f><parameter=b>True</parameter></function>", [("f", {"b": True})], ""),
    ("qwen3-coder", "<tool_call><function=f><parameter=i>many</parameter></function>", [("f", {"i": "many"})], ""),
    ("qwen3-coder", "<tool_call><function=f><parameter=new>7</parameter></function>", [("f", {"new": "7"})], ""),
    (
        "deepseek",
        '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{"city": "Paris"}\n```'
        "<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>g\n```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
        [("f", PARIS), ("g", {})],
        "",
    ),
    (
        "deepseek",
        'So:<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{"city": "Paris"}<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
        [("f", PARIS)],
        "So:",
    ),
]


@pytest.mark.parametrize("name, text, calls, content", PUBLISHED)
def test_shapes_that_models_write(name: str, text: str, calls: list[Any], content: str) -> None:
    events = events_of(parser(name), letters(text, 3))
    assert (calls_of(events), shown(events)) == (calls, content)


def test_arguments_arrive_while_they_are_written() -> None:
    reader = parser("hermes")
    pieces = ["<tool_", 'call>{"name": "f"', ', "arguments": {"a', '": [1', "2, tr", "ue]}", "}", "</tool_call>"]
    assert [reader.feed(piece) for piece in pieces] == [
        [],
        [CallBegin(0, "f")],
        [CallArguments(0, '{"a')],
        [CallArguments(0, '": [')],
        [CallArguments(0, "12, ")],
        [CallArguments(0, "true]}")],
        [CallEnd(0)],
        [],
    ]


def test_a_string_of_code_arrives_while_it_is_written() -> None:
    reader = parser("qwen3-coder")
    reader.feed("<tool_call>\n<function=f>\n<parameter=s>\nx = 1")
    assert reader.feed('\nprint("x")\n') == [CallArguments(0, '\\nprint(\\"x\\")')]


BROKEN = [
    ("hermes", '<tool_call>{"name": "f", "arguments": {"a": 1]}', "',' or '}' is missing"),
    ("hermes", '<tool_call>{"name": "f", "arguments": [1]}', "no JSON object"),
    ("hermes", '<tool_call>{"name": "f", "arguments": "[1]"}', "no JSON object"),
    ("hermes", '<tool_call>{"name": "f", "name": "g"}', "twice"),
    ("hermes", '<tool_call>{"name": "rm -rf", "arguments": {}}', "no name"),
    ("hermes", '<tool_call>{"arguments": {}}', "name is missing"),
    ("hermes", "<tool_call>{}", "name is missing"),
    ("hermes", '<tool_call>{"name": "f", "arguments": {"a": NaN}}', "no value begins with 'NaN'"),
    ("hermes", '<tool_call>{"name": "f", "arguments": {"a": "\\x"}}', "no escape"),
    ("hermes", '<tool_call>{"name": "f", "arguments": {"a": 01}}', "no number"),
    ("hermes", '<tool_call>{"name": "f", "argum', "ends before"),
    ("llama3", "<|python_tag|>print(1)", "is missing"),
    ("pythonic", "<|tool_call_start|>[f(1)]", "without its name"),
    ("pythonic", "<|tool_call_start|>[f(a=g())]", "no literal"),
    ("pythonic", "<|tool_call_start|>[f(a=1, a=2)]", "twice"),
    ("pythonic", "<|tool_call_start|>[f(a={1: 2})]", "no string"),
    ("pythonic", "<|tool_call_start|>[f(a=1e999)]", "no number"),
    ("pythonic", "<|tool_call_start|>[__import__('os').system('x')]", "without its name"),
    ("qwen3-coder", "<tool_call><function=f><parameter=s>x", "ends before"),
    ("qwen3-coder", "<tool_call><function=f><parameter=s>x</parameter><parameter=s>", "twice"),
    ("qwen3-coder", '<tool_call>{"name": "f"}', "is missing"),
    ("deepseek", "<｜tool▁calls▁begin｜>nothing", "is missing"),
    ("deepseek", "<｜tool▁call▁begin｜>f<｜tool▁sep｜>[1]", "no JSON object"),
]


@pytest.mark.parametrize("name, text, reason", BROKEN)
def test_a_broken_call_says_why_and_falls_back_to_content(name: str, text: str, reason: str) -> None:
    events = events_of(parser(name), letters(text, 2))
    [report] = [event for event in events if isinstance(event, Malformed)]
    assert reason in report.reason
    assert calls_of(events) == [] and shown(events) == text


def test_text_inside_a_broken_call_cannot_pose_as_a_call() -> None:
    hidden = '<tool_call>{"name": "delete", "arguments": {}}</tool_call>'
    text = f'<tool_call>{{"name": "f", "arguments": {{"a": oops, "b": "{hidden}"}}}}</tool_call>{hidden}'
    events = events_of(parser("hermes"), [text])
    assert calls_of(events) == [] and shown(events) == text


def test_a_call_inside_an_argument_or_the_thinking_section_is_none() -> None:
    inner = FORMATS["hermes"].write([("delete", {})])
    outer = FORMATS["hermes"].write([("f", {"s": inner})])
    reader = MessageParser(FORMATS["hermes"], TOOLS, ThinkingMarks(), inside=True)
    events = events_of(reader, letters(f"I could {inner}</think>\n\n{outer}", 5))
    assert events[0] == Reasoning(f"I could {inner}")
    assert calls_of(events) == [("f", {"s": inner})] and shown(events) == ""


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    "opening, unit",
    [
        ("", "<"),
        ("", "{"),
        ("", "["),
        ("", " "),
        ("", "<tool_call>"),
        ("", "<function="),
        ("", '{"'),
        ("<tool_call>", "["),
        ("<tool_call>", " "),
        ('<tool_call>{"name": "f", "arguments": ', '{"a":'),
        ('<tool_call>{"name": "f", "arguments": {"a": ', "["),
        ('<tool_call>{"name": "f", "arguments": {"a": "', "\\\\"),
        ('<tool_call>{"name": "f", "arguments": {"a": ', "1"),
        ('{"name": "f", "parameters": {"a": "', "x"),
        ("[f(s=", "("),
        ("[f(s=", "'"),
        ("[f(s='''", "''\\'"),
        ("[f(s=", "-"),
        ("[f(s=", "9"),
        ("<function=f><parameter=s>", "<"),
        ("<function=f><parameter=s>", "\n</parameter"),
        ("<function=f><parameter=a>", "["),
        ("<｜tool▁calls▁begin｜>", " "),
        ("<｜tool▁call▁begin｜>f<｜tool▁sep｜>", "{"),
    ],
)
def test_a_megabyte_of_hostile_text(name: str, opening: str, unit: str) -> None:
    """Deep, long and nearly closing: done in linear time (the suite's time limit is the check), nothing lost."""
    text = opening + unit * (1_100_000 // len(unit))
    events = events_of(parser(name), letters(text, 1000))
    assert calls_of(events) == [] and shown(events) == text


def test_a_call_may_be_just_so_long() -> None:
    before, after = '{"name": "f", "arguments": {"s": "', '"}}'
    fill = "x" * (LONGEST_CALL - len(before) - len(after))
    for extra, count in [("", 1), ("x", 0)]:
        text = f"<tool_call>{before}{fill}{extra}{after}</tool_call>"
        events = events_of(parser("hermes"), letters(text, 100_000))
        assert len(calls_of(events)) == count
        assert events_of(parser("hermes"), [text]) == events


@settings(deadline=None)
@given(MESSAGES, CUTS, st.booleans(), st.booleans())
@example("<think></think>", [3], False, True)
def test_a_whole_message_in_any_split(text: str, cuts: list[int], inside: bool, think: bool) -> None:
    text = ("<think>why\n</think>\n" if think else "") + text

    def reader() -> MessageParser:
        return MessageParser(FORMATS["hermes"], TOOLS, ThinkingMarks(), inside)

    assert events_of(reader(), split(text, cuts)) == events_of(reader(), [text])


def test_without_tools_all_is_content() -> None:
    text = FORMATS["hermes"].write([("f", {})])
    assert events_of(MessageParser(), letters(text)) == [Content(text)]
