"""The thinking section, against a search of the whole text."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.text.streams import events_of, letters, split
from whetstone.engine.text.events import Content, Event, Reasoning
from whetstone.engine.text.reasoning import ReasoningParser, ThinkingMarks, thinking_marks

TEXTS = st.lists(st.sampled_from(["<think>", "</think>", "<thi", "</", "<", " ", "\n", "a", "b c", "é"]), max_size=10)


def expected(text: str, inside: bool) -> list[Event]:
    start = text.lstrip()
    opened = start.startswith("<think>")
    if not opened and not inside:
        return [Content(text)] if text else []
    thought, _, answer = start.removeprefix("<think>").partition("</think>")
    parts = [Reasoning(thought.strip()), Content(answer.lstrip())]
    return [part for part in parts if part.text]


@settings(deadline=None)
@given(TEXTS.map("".join), st.booleans(), st.lists(st.integers(0, 40), max_size=10))
def test_any_split(text: str, inside: bool, cuts: list[int]) -> None:
    want = expected(text, inside)
    assert events_of(ReasoningParser(inside=inside), split(text, cuts)) == want
    assert events_of(ReasoningParser(inside=inside), letters(text)) == want


def test_thoughts_arrive_while_they_are_written() -> None:
    reader = ReasoningParser(inside=True)
    assert reader.feed("\nFirst, ") == [Reasoning("First,")]
    assert reader.feed("add. ") == [Reasoning(" add.")]
    assert reader.feed("</thi") == [] and reader.feed("nk>\n\n4") == [Content("4")]


def test_a_megabyte_of_near_marks() -> None:
    text = "<think>" + "</think" * 150_000
    assert events_of(ReasoningParser(), letters(text, 1000)) == [Reasoning(text.removeprefix("<think>"))]
    blanks = "<think>" + " " * 1_000_000
    assert events_of(ReasoningParser(), letters(blanks, 1000)) == []


@pytest.mark.parametrize(
    "prompt, inside",
    [
        ("<|im_start|>assistant\n<think>\n", True),
        ("<|im_start|>assistant\n<think>\n\n</think>\n\n", False),
        ("", False),
    ],
)
def test_whether_the_prompt_has_opened_it(prompt: str, inside: bool) -> None:
    assert ThinkingMarks().opened_by(prompt) is inside


def test_marks_are_read_off_the_template() -> None:
    assert thinking_marks("{{ content.split('</think>') }}") == ThinkingMarks()
    assert thinking_marks("[THINK]...[/THINK]") == ThinkingMarks("[THINK]", "[/THINK]")
    assert thinking_marks("{{ content }}") is None
