"""The calculator in the loop: exact, bounded, silent about what is no plain sum; and ids that stay what they were."""

from __future__ import annotations

import time
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.engine.strategies.asking import sums
from tests.engine.strategies.scripted import recorded, scripted
from tests.engine.strategies.test_thinking import ask, require_law_2
from whetstone.engine.strategies.calculator import equality_signs, worked_out
from whetstone.engine.strategies.names import strategy_of
from whetstone.engine.strategies.strategy import Wording
from whetstone.errors import UsageError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("28 + 21 =", "49"),
        ("So we get 28+21 = ", "49"),
        ("First: 3 * (4 + 5) - 2 =", "25"),
        ("1,000 + 2 =", "1002"),
        ("3 × 4 =", "12"),
        ("12 x 5 =", "60"),
        ("3 \\times 4 =", "12"),
        ("\\(28 + 21 =", "49"),
        ("$28 + 21 =", "49"),
        ("$3 + $4 =", "7"),
        ("7 − 9 =", "-2"),
        ("-3 + 4 =", "1"),
        ("2^10 =", "1024"),
        ("10 / 4 =", "2.5"),
        ("0.1 + 0.2 =", "0.3"),
        ("-1 / 8 =", "-0.125"),
        ("1/3 + 1/4 =", "7/12"),
        ("1. 28 + 21 =", "49"),
        ("1) 28 + 21 =", "49"),
        ("In 2023, 5 + 3 =", "8"),
        ("28 + 21 = 40 + 9 =", "49"),
        ("(28 + 21 =", "49"),
        ("x = 5 + 3 =", "8"),
        ("28\n+ 21 =", None),  # nobody knows where it begins
        ("x + 3 + 4 =", None),
        ("2x + 3 + 4 =", None),
        ("x - 3 + 4 =", None),
        ("x -3 + 4 =", None),
        ("f(3 + 4) =", None),
        ("5 * (3 + 4 =", None),
        ("50% * 3 + 1 =", None),
        ("10 / 3 =", None),  # it has no other form
        ("49 =", None),
        ("1 / 0 =", None),
        ("1/2(3) =", None),
        ("28 + 21 ==", None),
        ("28 + 21 <=", None),
        ("28 + 21", None),
        ("9**9**9 =", None),
        ("9^9999 * 9^9999 =", None),
        ("__import__('os') + 1 =", None),
        ("=", None),
        ("", None),
    ],
)
def test_what_belongs_behind_an_equality(text: str, value: str | None) -> None:
    assert worked_out(text) == value


@given(st.integers(0, 10**9), st.sampled_from("+-*/"), st.integers(1, 10**6), st.sampled_from(["", " "]))
def test_two_numbers_are_put_together_exactly(a: int, sign: str, b: int, blank: str) -> None:
    exact = {"+": Fraction(a + b), "-": Fraction(a - b), "*": Fraction(a * b), "/": Fraction(a, b)}[sign]
    found = worked_out(f"Therefore {a}{blank}{sign}{blank}{b}{blank}=")
    if found is None:
        assert sign == "/" and exact.denominator > 1 and f"{a}/{b}" == str(exact)
    else:
        assert Fraction(found) == exact


@given(st.text("0123456789+-*/^(). ,=x$\n\\", max_size=300), st.text(max_size=20))
def test_nothing_that_a_model_writes_breaks_it(sum_like: str, anything: str) -> None:
    for text in (sum_like + "=", anything + "=", sum_like + anything + " ="):
        value = worked_out(text)
        assert value is None or len(value) <= 64


def test_no_sum_takes_long() -> None:
    """A second at most for what took minutes if powers were worked out; not a measurement."""
    began = time.process_time()
    for text in ("9^9^9^9 =", "(" * 150 + "1 + 1 =", "9*" * 99 + "9 =", "1-" * 5000 + "1 =", "9999^9999 =" * 3):
        worked_out(text)
    assert time.process_time() - began < 10


def test_the_tokens_at_which_to_look() -> None:
    backend, _ = scripted()
    assert backend.tokenizer is not None
    assert equality_signs(backend.tokenizer) == {backend.tokenizer.encode("=")[0]}


def test_sums_are_worked_out_and_the_model_goes_on() -> None:
    backend, script = scripted("We have 28 + 21 = 50", ", times 2: 49 * 2 = 11", ". Answer: 98|")
    outcome = ask(backend, strategy_of("calculator-4"), sums(1)[0])[0]
    assert outcome.choice.text == "We have 28 + 21 = 49, times 2: 49 * 2 = 98. Answer: 98"
    assert outcome.choice.answer == "98" and outcome.choice.notes["forced_tokens"] == 6
    completion = outcome.choice.of[0].completion
    assert len(completion.logprobs) == len(completion.ids)
    assert backend.tokenizer is not None and backend.tokenizer.decode(completion.ids[:-1]) == outcome.choice.text
    assert [len(each.prompt_ids) - len(script.asked[0].prompt_ids) for each in script.asked] == [0, 20, 42]


def test_no_more_uses_than_allowed_and_no_endless_looking() -> None:
    backend, _ = scripted("1 + 1 =", ", 2 + 2 =", ", 3 + 3 = 7|")
    assert ask(backend, strategy_of("calculator-2"), sums(1)[0])[0].choice.text == "1 + 1 = 2, 2 + 2 = 4, 3 + 3 = 7"
    backend, _ = scripted("a =", " b =", " c =", " d =", " e = 5 + 5 = 10 |")
    assert ask(backend, strategy_of("calculator-1"), sums(1)[0])[0].choice.text == "a = b = c = d = e = 5 + 5 = 10 "


def test_thinking_is_no_part_of_the_answer() -> None:
    backend, _ = scripted("<think>7 + 5 =", "</think>12|", thinks=True)
    choice = ask(backend, strategy_of("calculator-1"), sums(1)[0])[0].choice
    assert choice.text == "12" and choice.answer == "12"


def test_the_room_is_kept_and_ids_stay() -> None:
    looked = 0
    for seed in range(6):
        backend, recorder = recorded(seed)
        assert backend.tokenizer is not None
        asked = ({"role": "user", "content": "1 + 1 = 2 + 3 = 5"},)
        question = replace(
            sums(1)[0], steps=Wording(asked, 150, 8), seed=[*range(99 * seed, 99 * seed + 3)].__getitem__
        )
        outcome = ask(backend, strategy_of("calculator-3:samples=3,t=1.5"), question)[0]
        require_law_2(recorder, tuple(backend.tokenizer.chat_ids(list(asked))))
        assert all(len(each.completion.ids) <= 150 for each in outcome.choice.of)
        looked += sum("=" in each.text for each in outcome.choice.of)
    assert looked, "it stopped at a sign and went on"


def test_it_needs_ids() -> None:
    backend, _ = scripted()
    with pytest.raises(UsageError, match="takes messages only"):
        ask(replace(backend, tokenizer=None), strategy_of("calculator-2"), sums(1)[0])
