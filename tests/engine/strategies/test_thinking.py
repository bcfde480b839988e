"""Budgets of thinking: never exceeded, whatever the model writes; ids stay what they were; rare paths by a script."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.strategies.asking import sums
from tests.engine.strategies.scripted import Recorder, recorded, scripted
from whetstone.engine.backends import Backend
from whetstone.engine.protocol import Completion
from whetstone.engine.samples import Pool
from whetstone.engine.strategies.chain import PIECE, Writer
from whetstone.engine.strategies.names import strategy_of
from whetstone.engine.strategies.run import Outcome, run
from whetstone.engine.strategies.strategy import Question, Wording
from whetstone.engine.strategies.thinking import Ending, Thinking, own_marks
from whetstone.errors import UsageError

MODELS = {(seed, thinks): recorded(seed, thinks) for seed in range(3) for thinks in (False, True)}


def ask(backend: Backend, strategy: Any, *questions: Question) -> list[Outcome]:
    return run(strategy, questions, backend, Pool(backend.sampler, "tiny"))


def sum_with_room(answer: int) -> Question:
    question = sums(1)[0]
    assert question.steps is not None
    return replace(question, steps=Wording(question.steps.messages, 999, answer), room=answer)


def require_law_2(recorder: Recorder, prompt: tuple[int, ...]) -> None:
    """Each request goes on behind ids that stood there before, cut or continued; nothing is encoded anew."""
    known = {prompt}
    for request, _, group in recorder.calls:
        assert any(request.prompt_ids[: len(ids)] == ids for ids in known)
        for completion in group:
            kept = completion.ids[:-1] if completion.finish == "stop" else completion.ids
            known |= {request.prompt_ids + kept[:end] for end in range(len(kept) + 1)}


@settings(max_examples=40, deadline=None)
@given(
    model=st.sampled_from(sorted(MODELS)),
    budget=st.integers(24, 150),
    least=st.integers(0, 160),
    waits=st.integers(0, 3),
    room=st.integers(1, 20),
    samples=st.integers(1, 3),
    hot=st.sampled_from([0.0, 0.7, 1.5]),
    text=st.sampled_from(["12", "7 + 5?", "wait"]),
)
def test_the_budget_is_never_exceeded(
    model: tuple[int, bool], budget: int, least: int, waits: int, room: int, samples: int, hot: float, text: str
) -> None:
    backend, recorder = MODELS[model]
    recorder.calls.clear()
    asked = ({"role": "user", "content": text},)
    question = replace(
        sum_with_room(room), prompts=(asked,), steps=Wording(asked, 999, room), seed=lambda member: 17 * budget + member
    )
    outcome = ask(backend, Thinking("think", budget, least, waits, hot, samples), question)[0]
    assert backend.tokenizer is not None
    prompt = tuple(backend.tokenizer.chat_ids(list(asked)))
    ending = Ending.of(backend.tokenizer, backend.tokenizer.render(list(asked)))
    require_law_2(recorder, prompt)
    for each in outcome.choice.of:
        writer = Writer(backend, each.request, 0, 0.0, list(each.completion.ids))
        split = ending.split(writer, backend.tokenizer)
        if split is None:  # it ended by itself, in words that are an answer
            assert each.completion.finish == "stop" and len(each.completion.ids) <= budget
        else:
            assert split.through <= budget
            # behind a mark of the model's own two blanks are put in, which are no part of the answer
            assert len(each.completion.ids) - split.through <= room + (0 if ending.within else 2)
    # everything that was ever written, taken back or not, and all that was put in
    kept = sum(len(each.completion.ids) for each in outcome.choice.of)
    assert recorder.written == outcome.spent.written_tokens <= samples * (budget + room)
    assert kept <= samples * (budget + room)


@pytest.mark.parametrize("thinks", [False, True])
def test_longer_budgets_begin_with_the_pieces_of_shorter_ones(thinks: bool) -> None:
    backend, _ = recorded(1, thinks)
    question = sum_with_room(4)
    long, short = (
        ask(backend, Thinking("think", budget, temperature=1.0), question)[0].choice.of[0].completion
        for budget in (5 * PIECE, 2 * PIECE + 30)
    )
    shared = next(
        (place for place, (a, b) in enumerate(zip(long.ids, short.ids, strict=False)) if a != b), len(short.ids)
    )
    assert shared >= min(2 * PIECE, len(long.ids) - 1)


def test_the_end_is_forced_and_the_answer_read_behind_it() -> None:
    backend, script = scripted("x" * 200, "12|")
    choice = ask(backend, strategy_of("think-40"), sum_with_room(6))[0].choice
    assert choice.answer == "12" and choice.text == "Final Answer: 12"
    close = len("\nFinal Answer:")
    assert choice.notes["thinking_tokens"] == 40 and choice.notes["forced_tokens"] == close
    assert choice.notes["thinking"] == "x" * (40 - close) + "\n"
    completion = choice.of[0].completion
    assert completion.finish == "stop" and len(completion.ids) == len(completion.logprobs) == 40 + 3
    assert [completion.logprobs[place] for place in (0, 39, 40, 42)] == [-0.5, 0.0, -0.5, -0.5]
    assert script.asked[0].room == 40 - close and script.asked[1].room == 6


def test_a_model_that_closes_its_thinking_is_left_alone() -> None:
    backend, script = scripted("7 and 5 so Answer: 12|")
    choice = ask(backend, strategy_of("think-60"), sum_with_room(6))[0].choice
    assert choice.text == "Answer: 12" and choice.notes["forced_tokens"] == 0 and len(script.asked) == 1
    assert choice.notes["thinking"] == "7 and 5 so "


def test_who_answers_without_a_mark_has_answered() -> None:
    backend, script = scripted("7 and 5 is 12.|")
    choice = ask(backend, strategy_of("think-60"), sum_with_room(6))[0].choice
    assert choice.answer == "12" and len(script.asked) == 1
    backend, script = scripted("I do not know|", "12|")
    choice = ask(backend, strategy_of("think-60"), sum_with_room(6))[0].choice
    assert choice.answer == "12" and choice.text == "Final Answer: 12" and len(script.asked) == 2


def test_the_answer_is_cut_at_its_room_wherever_it_was_written() -> None:
    backend, _ = scripted("so Answer: 1234567890")
    choice = ask(backend, strategy_of("think-60"), sum_with_room(5))[0].choice
    assert choice.text == "Answer: 1234" and choice.of[0].completion.finish == "length"


def test_what_follows_an_empty_line_is_no_part_of_the_answer() -> None:
    backend, _ = scripted("so Answer: 12\n\nThe answer is 99.|")
    assert ask(backend, strategy_of("think-60"), sum_with_room(30))[0].choice.answer == "12"
    backend, _ = scripted("so Answer:\n\n12|")
    assert ask(backend, strategy_of("think-60"), sum_with_room(30))[0].choice.answer == "12"


def test_wait_makes_it_go_on_so_often_and_takes_the_mark_back() -> None:
    backend, script = scripted("a Answer: 1|", " b Answer: 2|", " c Answer: 3|")
    outcome = ask(backend, strategy_of("wait-2:max=100"), sum_with_room(6))[0]
    assert outcome.choice.answer == "3" and outcome.choice.notes["thinking"] == "a \nWait b \nWait c "
    assert len(script.asked) == 3
    assert outcome.spent.written_tokens == len("a Answer: 1|") + 2 * len(" b Answer: 2|")


def test_least_thinking_goes_on_while_the_budget_lasts() -> None:
    backend, script = scripted("a Answer: 1|", " b Answer: 2|", " c Answer: 3|")
    choice = ask(backend, strategy_of("think-100:min=12"), sum_with_room(6))[0].choice
    assert choice.answer == "3" and choice.notes["thinking"] == "a \nWait b \nWait c "
    # 12 were written and 14 are set aside for the mark: 5 for "Wait" leave nothing to write behind it
    backend, script = scripted("a Answer: 1|")
    choice = ask(backend, strategy_of("think-31:min=12"), sum_with_room(6))[0].choice
    assert choice.answer == "1" and len(script.asked) == 1


def test_marks_of_the_model_s_own() -> None:
    backend, script = scripted("7 + 5 </think>\n\n12|", thinks=True)
    assert backend.tokenizer is not None and own_marks(backend.tokenizer) is not None
    choice = ask(backend, strategy_of("think-60"), sum_with_room(6))[0].choice
    assert choice.text == "12" and choice.answer == "12"
    assert choice.notes["thinking"] == "<think>\n7 + 5 "
    opened = backend.tokenizer.encode("<think>\n")
    assert list(script.asked[0].prompt_ids[-len(opened) :]) == opened and len(opened) == 2
    assert choice.notes["forced_tokens"] == 2
    backend, script = scripted("x" * 100, "12|", thinks=True)
    choice = ask(backend, strategy_of("think-20"), sum_with_room(6))[0].choice
    assert choice.answer == "12" and choice.notes["thinking_tokens"] == 18  # of "\n</think>\n\n" two blanks come behind


def test_an_answer_that_never_comes_is_none() -> None:
    class Broken:
        def sample(self, requests: Any, params: Any, progress: Any = None) -> list[list[Completion]]:
            return [[Completion((), (), "error", 0) for _ in request.seeds] for request in requests]

    whole, _ = scripted()
    outcome = ask(replace(whole, sampler=Broken()), strategy_of("think-60"), sum_with_room(6))[0]
    assert outcome.choice.answer is None and outcome.choice.text == "" and outcome.spent.failed == 1


def test_what_cannot_be_done_is_said() -> None:
    backend, _ = scripted()
    question = sum_with_room(6)
    with pytest.raises(UsageError, match="takes messages only"):
        ask(replace(backend, tokenizer=None), strategy_of("think-60"), question)
    with pytest.raises(UsageError, match="allow more"):
        ask(backend, strategy_of("think-5"), question)
    with pytest.raises(UsageError, match="allow fewer"):
        ask(replace(backend, positions=200), strategy_of("think-180"), question)
