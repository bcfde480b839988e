"""The readers of answers: total, linear, exact."""

from __future__ import annotations

import time
from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from whetstone.tasks.answers import (
    final_words,
    judge_fraction,
    judge_integer,
    judge_integers,
    judge_text,
    judge_words,
    read_general,
)
from whetstone.tasks.segments import MAX_TEXT
from whetstone.tasks.task import Verdict

RIGHT, WRONG, NO_ANSWER = Verdict.RIGHT, Verdict.WRONG, Verdict.NO_ANSWER

JUDGES: list[Callable[[str], Verdict]] = [
    lambda text: judge_integer(text, 49),
    lambda text: judge_fraction(text, Fraction(3, 4)),
    lambda text: judge_integers(text, [1, 2, 3]),
    lambda text: judge_words(text, ["red", "blue"]),
    lambda text: judge_text(text, "red blue"),
]
# Pieces that the patterns look for, so that random texts reach every branch.
TOKENS = [
    "49", "3/4", "[1,2,3]", "1,", "2", "and", "or", "is", "are", "=", "==", "equals", "answer", "Answer:",
    "\\boxed{", "}", "<answer>", "</answer>", ".", ",", "\n", "-", "−", "+", "*", "/", "(", ")", "[", "]",
    "not", "1e5", "x1", "٣", "½", "\\frac{3}{4}", "**", "$", "the", "!", "?", ":", ";", "%", "^", "007",
    "9999999999", " ", "_", "~",
]  # fmt: skip
PIECES = st.sampled_from(TOKENS)
HOSTILE = st.one_of(st.text(), st.lists(PIECES, max_size=60).map("".join), st.lists(PIECES, max_size=60).map(" ".join))

PHRASINGS = [
    "{}", " {} \n", "{}.", "**{}**", "${}$", "$${}$$", "\\({}\\)", "`{}`", '"{}"', "({})", "{}!",
    "Answer: {}", "answer: {}", "**Answer:** {}", "**Answer: {}**", "Final answer: {}.", "ANSWER = {}",
    "Answer:\n{}", "The answer is {}", "The answer is {}.", "The answer is: {}.",
    "The correct answer is **{}**.", "the answer is {}\n", "The final answer is $\\boxed{{{}}}$.",
    "\\boxed{{{}}}", "$\\boxed{{ {} }}$", "<answer>{}</answer>", "<ANSWER> {} </ANSWER>",
    "Answer: \\boxed{{{}}}", "<b>{}</b>", "The result is {}.", "It is {}.", "It equals {}", "= {}", "x = {}",
    "Result: {}", "Sure! The answer is {}.", "Okay, so the answer to the question is {}.",
    "{} is the answer.", "The answer is {}. I hope this helps!",
]  # fmt: skip


@given(HOSTILE)
@settings(deadline=None, max_examples=400)
@example("\ud800")
@example("İ<answer>49</answer>")
def test_never_raises(text: str) -> None:
    for judge in JUDGES:
        assert judge(text) in (RIGHT, WRONG, NO_ANSWER)


@given(st.lists(PIECES, min_size=1, max_size=4))
@settings(deadline=None, max_examples=60)
def test_time_is_linear(pieces: list[str]) -> None:
    """The longest text made of any repeated piece is read in well under a second."""
    unit = "".join(pieces)
    text = (unit * (MAX_TEXT // len(unit)))[:MAX_TEXT]
    started = time.process_time()
    for judge in JUDGES:
        judge(text)
    assert time.process_time() - started < 2.5


def test_longer_than_the_cap_is_no_answer() -> None:
    for judge in JUDGES:
        assert judge("49".ljust(MAX_TEXT + 1)) is NO_ANSWER


@pytest.mark.parametrize("phrasing", PHRASINGS)
@given(gold=st.one_of(st.integers(-20, 20), st.integers(-(10**12), 10**12)), off=st.sampled_from([-10, -1, 1, 2]))
@settings(deadline=None, max_examples=25)
def test_integer_phrasings(phrasing: str, gold: int, off: int) -> None:
    assert judge_integer(phrasing.format(gold), gold) is RIGHT
    assert judge_integer(phrasing.format(f"{gold:,}"), gold) is RIGHT
    assert judge_integer(phrasing.format(gold + off), gold) is WRONG


@pytest.mark.parametrize("phrasing", PHRASINGS)
@given(gold=st.fractions(max_denominator=999))
@settings(deadline=None, max_examples=15)
def test_fraction_phrasings(phrasing: str, gold: Fraction) -> None:
    assert judge_fraction(phrasing.format(gold), gold) is RIGHT
    latex = f"\\frac{{{gold.numerator}}}{{{gold.denominator}}}"
    assert judge_fraction(phrasing.format(latex), gold) is RIGHT
    assert judge_fraction(phrasing.format(gold + 1), gold) is WRONG


@pytest.mark.parametrize("phrasing", PHRASINGS)
@given(gold=st.lists(st.integers(-99, 999), min_size=2, max_size=9))
@settings(deadline=None, max_examples=10)
def test_list_phrasings(phrasing: str, gold: list[int]) -> None:
    plain, tight = ", ".join(map(str, gold)), ",".join(map(str, gold))
    wrong = [*gold[:-1], gold[-1] + 1]
    for shown in (plain, tight, f"[{plain}]", f"[{tight}]"):
        assert judge_integers(phrasing.format(shown), gold) is RIGHT
    assert judge_integers(phrasing.format(", ".join(map(str, wrong))), gold) is WRONG
    assert judge_integers(phrasing.format(str(wrong)), gold) is WRONG


WORD_PHRASINGS = [
    "{}",
    "{}.",
    "Answer: {}",
    "The answer is {}.",
    "<answer>{}</answer>",
    "Sure! Here you go: {}",
    '"{}"',
    "**{}**",
]


@pytest.mark.parametrize("phrasing", WORD_PHRASINGS)
def test_word_phrasings(phrasing: str) -> None:
    gold = ["stone", "river", "apple"]
    for shown in ("stone river apple", "Stone, River, Apple", "stone, river, apple", "stone\n river\n apple"):
        if "\n" in shown and "nswer" in phrasing and "<" not in phrasing:
            continue  # an answer that is only marked at its start ends with its line
        assert judge_words(phrasing.format(shown), gold) is RIGHT
    for shown in ("apple river stone", "stone river", "stone river apple apple", "stone riverapple"):
        assert judge_words(phrasing.format(shown), gold) is WRONG


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("28 + 21 = 49", RIGHT),
        ("28+21=49.", RIGHT),
        ("28 + 21 = 49, which is an odd number.", RIGHT),
        ("28 + 21 = 20 + 29 = 49", RIGHT),
        ("20 + 20 = 40, 8 + 1 = 9, 40 + 9 = 49", RIGHT),
        ("The sum of 28 and 21 is 49.", RIGHT),
        ("The answer is 28 + 21 = 49.", RIGHT),
        ("What is 28 + 21? 28 + 21 = 49", RIGHT),
        ("49.0", RIGHT),
        ("+49", RIGHT),
        ("49\n49", RIGHT),
        ("−49", WRONG),
        ("-49", WRONG),
        ("49.5", WRONG),
        (".49", WRONG),
        ("28 + 21 = 48", WRONG),
        ("2", WRONG),
        ("28 + 21", NO_ANSWER),
        ("49 = 28 + 21", NO_ANSWER),
        ("41, 49", NO_ANSWER),
        ("41,49", NO_ANSWER),
        ("4 9", NO_ANSWER),
        ("49, 49", NO_ANSWER),
        ("49 * 49", NO_ANSWER),
        ("(49)(49)", NO_ANSWER),
        ("98/2", NO_ANSWER),
        ("\\frac{49}{1}", NO_ANSWER),
        ("\\sqrt{49}", NO_ANSWER),
        ("abs(49)", NO_ANSWER),
        ("4.9e1", NO_ANSWER),
        ("49e0", NO_ANSWER),
        ("49%", NO_ANSWER),
        ("49^2", NO_ANSWER),
        ("49²", NO_ANSWER),
        ("49k", NO_ANSWER),
        ("49-ish", NO_ANSWER),
        ("49+", NO_ANSWER),
        ("--49", NO_ANSWER),
        ("> 49", NO_ANSWER),
        ("!= 49", NO_ANSWER),
        ("~49", NO_ANSWER),
        ("not 49", NO_ANSWER),
        ("The answer isn't 49", NO_ANSWER),
        ("approximately 49", NO_ANSWER),
        ("more than 49", NO_ANSWER),
        ("49 thousand", NO_ANSWER),
        ("0x31", NO_ANSWER),
        ("４９", NO_ANSWER),
        ("4９", NO_ANSWER),
        ("49½", NO_ANSWER),
        ("4.9.0", NO_ANSWER),
        ("1" * 401, NO_ANSWER),
        ("28 + 21 = 48, 28 + 21 = 49", NO_ANSWER),
        ("28 + 21 = 48 = 49", NO_ANSWER),
        ("a = 48 or b = 49", NO_ANSWER),
        ("It is 48. It is 49.", NO_ANSWER),
        ("The answer is 49. Or 50.", NO_ANSWER),
        ("<answer>49", RIGHT),
        ("\\boxed{49", RIGHT),
        ("\\boxed{\\boxed{49}}", RIGHT),
        ("Answer: X. Answer: 49", RIGHT),
    ],
)
def test_integer_cases(text: str, verdict: Verdict) -> None:
    assert judge_integer(text, 49) is verdict


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("6/8", RIGHT),
        ("0.75", RIGHT),
        ("1/2 + 1/4 = 3/4", RIGHT),
        ("1/4 + 1/2", NO_ANSWER),
        ("3/4/1", NO_ANSWER),
        ("3/0", NO_ANSWER),
        ("3/4 or 1/2", NO_ANSWER),
        ("3", WRONG),
        ("-3/4", WRONG),
        ("3/-4", WRONG),
        ("0.7500001", WRONG),
    ],
)
def test_fraction_cases(text: str, verdict: Verdict) -> None:
    got = judge_fraction(text, Fraction(3, 4))
    assert got is verdict or (verdict is WRONG and got is NO_ANSWER and text == "3/-4")


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("1, 2, and 3", RIGHT),
        ("The sorted list of [3, 1, 2] is [1, 2, 3].", RIGHT),
        ("[1, 2, 3,]", RIGHT),
        ("[3, 1, 2]", WRONG),
        ("[1, 2, 3, 3]", WRONG),
        ("1, 2", WRONG),
        ("3, 1, 2 sorted: 1, 2, 3", NO_ANSWER),
        ("[1, 2, 3] [3, 2, 1]", NO_ANSWER),
        ("It is [3, 2, 1]. It is [1, 2, 3].", NO_ANSWER),
        ("[1, 2, x3]", NO_ANSWER),
        ("[[1, 2], [3]]", NO_ANSWER),
        ("1 2 3", NO_ANSWER),
        ("123", NO_ANSWER),
        ("1.2.3", NO_ANSWER),
    ],
)
def test_list_cases(text: str, verdict: Verdict) -> None:
    assert judge_integers(text, [1, 2, 3]) is verdict


def test_text() -> None:
    assert judge_text(" Paris. ", "paris") is RIGHT
    assert judge_text("The answer is Paris.", "Paris") is RIGHT
    assert judge_text("Paris or London", "Paris") is WRONG
    assert judge_text("Answer: Paris\nAnswer: London", "Paris") is NO_ANSWER
    assert judge_text("", "Paris") is NO_ANSWER


@pytest.mark.parametrize("text", ["Mipnag", "mipnag.", "Answer: Mipnag", "The answer is **mipnag**.", "It is mipnag"])
def test_votes_for_words_agree_where_the_judge_agrees(text: str) -> None:
    assert judge_words(text, ["mipnag"]) is RIGHT and final_words(text) == final_words("mipnag")


@given(HOSTILE)
@settings(deadline=None, max_examples=200)
def test_what_words_a_text_says_is_what_the_judge_reads(text: str) -> None:
    said = final_words(text)
    verdict = judge_words(text, ["mipnag", "zupdok", "velvim", "dafnob"])  # four words: as many are read as in a vote
    assert (said is None) == (verdict is NO_ANSWER)


def test_two_words_are_no_vote() -> None:
    assert final_words("Answer: mipnag\nAnswer: zupdok") is None and final_words("") is None
    assert final_words("Answer: mipnag zupdok") == final_words("mipnag, zupdok") != final_words("zupdok mipnag")
    assert final_words(" ".join(["mipnag"] * 25)) is None


# Each of these once passed for "2": the number is only a part of what is said.
PARTS = [
    "\\sin(\\pi/2)", "\\pi/2", "2\\pi", "2 pi", "\\frac{\\pi}{2}", "\\frac{x}{2}", "2 + x", "x + 2", "x/2", "2/x",
    "2 * x", "2*x", "x*2", "x * 2", "2 × x", "2 \\cdot \\pi", "log 2", "\\log 2", "\\ln 2", "2\\%", "2 tens",
    "2 hundreds",
    "2 thirds", "2 - x", "x - 2", "about 2", "around 2", "nearly 2", "almost 2", "over 2", "2 or so", "2 or more",
    "anything but 2", "everything except 2", "instead of 2", "2 is false", "false: 2", "- 2", "= - 2", "$2\\sqrt{x}$",
    "\\pm 2", "\\neq 2", "\\approx 2", "2 + \\pi", "(2 + x)", "2(x)", "2(x+1)",
]  # fmt: skip


@pytest.mark.parametrize("text", PARTS)
def test_a_number_that_is_a_part_of_something_is_no_answer(text: str) -> None:
    for said in (text, f"The answer is {text}.", f"\\boxed{{{text}}}", f"x = {text}"):
        assert judge_integer(said, 2) is not RIGHT, said
        assert judge_fraction(said, Fraction(2)) is not RIGHT, said


@pytest.mark.parametrize(
    "text",
    ["*2*", "**2**", "is *2* apples", "**2** apples", "2 - which is even", "2 - a prime", "2 apples/oranges", "2 km/h",
     "A + B = 2", "x + 1 = 2", "\\text{total} = 2", "2 \\text{ apples}", "\\left(2\\right)", "\\quad 2", "$2$ dollars",
     "The tenth number is 2", "2 times"],
)  # fmt: skip
def test_a_number_beside_harmless_signs_is_read(text: str) -> None:
    assert judge_integer(text, 2) is RIGHT


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("The answer is 42.", "42"),
        (r"so \boxed{3/4}, not 7", "3/4"),
        ("Answer: 1\nno, Answer: 2", "2"),
        ("12, 13 or 14", "14"),
        ("I got 1,234.50", "2469/2"),
        ("  Paris. ", "paris"),
        ("**Answer:** B", "b"),
        ("The answer is not 49", "not 49"),
        ("...", None),
        ("", None),
    ],
)
def test_votes_without_a_task(text: str, read: str | None) -> None:
    assert read_general(text) == read


@given(st.text(max_size=200))
def test_votes_take_any_text(text: str) -> None:
    found = read_general(text)
    assert found is None or found == read_general(text)
    assert found is not None or not any(character.isascii() and character.isalnum() for character in text)


@pytest.mark.parametrize("unit", ["answer ", "1/", "\\boxed{", "1.1.", "answer: ", "<answer>", "-"])
def test_a_long_hostile_text_is_read_too(unit: str) -> None:
    read_general(unit * (200_000 // len(unit)))


@pytest.mark.parametrize(
    "text",
    ["≃49", "\\sim 49", "\\geq 49", "49 < x", "49 per cent", "close to 49", "49 doubled", "two times 49", "49 plus one",
     "the square of 49", "49 (base 8)", "49 or thereabouts", "49 π", "-(-49)", "<s>49</s>", "~~49~~", "\u202e49\u202c",
     "Answer: 49. Just kidding, 50.", "Answer: 49. Correction: 50."],
)  # fmt: skip
def test_what_makes_another_number_of_it(text: str) -> None:
    assert judge_integer(text, 49) is NO_ANSWER


def test_a_sign_before_brackets_or_inside_bars_is_not_the_number() -> None:
    for text, gold in (("-(7)", 7), ("-(-7)", -7), ("|-7|", -7), ("|−7|", -7)):
        assert judge_integer(text, gold) is NO_ANSWER
    assert judge_integer("| -7 |", -7) is RIGHT  # a table
    assert judge_integer("(-7)", -7) is RIGHT


def test_thousands_as_latex_and_typesetters_write_them() -> None:
    for text in ("1{,}234", "$1{,}234$", "\\boxed{1{,}234}", "1\u202f234", "1\u2009234"):
        assert judge_integer(text, 1234) is RIGHT
    assert judge_integer("12{,}34", 1234) is NO_ANSWER


@pytest.mark.parametrize(
    "text", ["-[1, 2, 3]", "[1, 2, 3]*2", "sorted([1, 2, 3])", "[1, 2, 3] + [4]", "the reverse of 1, 2, 3"]
)
def test_a_list_in_an_expression_is_not_the_list(text: str) -> None:
    assert judge_integers(text, [1, 2, 3]) is NO_ANSWER


def test_words_in_latex_and_denials_before_a_colon() -> None:
    for text in ("\\text{Paris}", "\\boxed{\\text{Paris}}", "\\textbf{Paris}", "$\\mathrm{Paris}$"):
        assert judge_text(text, "Paris") is RIGHT and judge_words(text, ["Paris"]) is RIGHT
    for text in (
        "Anything but: Paris",
        "Wrong: Paris",
        "What it is not: Paris",
        "<s>Paris</s>",
        "The opposite of: Paris",
    ):
        assert judge_text(text, "Paris") is not RIGHT and judge_words(text, ["Paris"]) is not RIGHT
