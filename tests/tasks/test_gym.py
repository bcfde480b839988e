"""The generators of reasoning-gym under our keys and forms."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from whetstone.errors import UsageError
from whetstone.tasks import forms
from whetstone.tasks.adversarial import Hostile, bank
from whetstone.tasks.arithmetic import Addition
from whetstone.tasks.gym.child import Host
from whetstone.tasks.gym.table import REFUSED, SUPPORTED, listing
from whetstone.tasks.gym.task import GymTask
from whetstone.tasks.keys import Key, Stream
from whetstone.tasks.registry import load_task
from whetstone.tasks.task import Problem, Verdict, behind_thoughts

reasoning_gym = pytest.importorskip("reasoning_gym")

KEY = Key.derive(b"7", "test")
R, W, N = Verdict.RIGHT, Verdict.WRONG, Verdict.NO_ANSWER


@cache
def host(name: str) -> Host:
    made = Host(name)
    made.load()
    return made


def seeds(count: int, start: int = 0) -> list[str]:
    return [f"{start + i:064x}" for i in range(count)]


def judged(name: str, made: dict[str, Any], text: str) -> Verdict:
    said = behind_thoughts(text)  # as every judge is given it
    return SUPPORTED[name].judge(forms.without_echo(said, made["question"]), made["gold"], made["details"])


class Stated(Addition):
    """Only says what is right: the bank's wrong answers are made from it."""

    def __init__(self, gold: str) -> None:
        self.gold_text = gold

    def answer(self, problem: Problem) -> str:
        return self.gold_text


def test_every_generator_is_in_one_of_the_tables() -> None:
    names = set(reasoning_gym.factory.DATASETS) - {"composite"}
    assert set(SUPPORTED) | set(REFUSED) == names and len(names) == 105
    assert not set(SUPPORTED) & set(REFUSED)
    assert all(f"gym:{name} " in listing() for name in names)


@pytest.mark.parametrize("name", SUPPORTED)
def test_a_problem_is_a_function_of_its_seed(name: str) -> None:
    """Made again by another process in another order it is the same; its gold answer is right and its twin's is not."""
    ours = host(name)
    other = Host(name)
    other.load()
    level = ours.describe()["levels"][0]
    made = {seed: ours.make(seed, level) for seed in seeds(6)}
    assert {seed: other.make(seed, level) for seed in reversed(seeds(6))} == {**made}
    assert len({each["question"] for each in made.values()}) > 1
    for each in made.values():
        assert judged(name, each, each["gold"]) is R
        assert judged(name, each, "") is N and judged(name, each, each["gold"] + " or perhaps 17 of them") is not R


@pytest.mark.parametrize("name", sorted(set(SUPPORTED) - {"zebra_puzzles", "game_of_life", "bf", "sudoku", "rearc"}))
def test_the_last_step_of_a_curriculum_works(name: str) -> None:
    levels = host(name).describe()["levels"]
    made = host(name).make(seeds(1, start=99)[0], levels[-1])
    assert judged(name, made, made["gold"]) is R


# one generator for each judge, and those whose questions alone once were right answers
HOSTILE = {generator.judge: name for name, generator in reversed(SUPPORTED.items())}.values()


def assert_not_fooled(name: str, seed: str) -> None:
    level = host(name).describe()["levels"][0]
    made, *others = [host(name).make(each, level) for each in (seed, *seeds(7, start=41))]
    wrong = [Hostile("wrong", each["gold"]) for each in others if judged(name, made, each["gold"]) is W][:3]
    problem = Problem(made["question"], {"about": made["about"]}, f"gym:{name}", level, "5e" * 16)
    for text in (hostile.text for hostile in (*wrong, *bank(Stated(made["gold"]), problem))):
        assert judged(name, made, text) is not R, text[:200]


@pytest.mark.parametrize("name", sorted({*HOSTILE, "rectangle_count", "string_insertion", "mahjong_puzzle"}))
def test_no_answer_of_the_bank_is_right(name: str) -> None:
    assert_not_fooled(name, seeds(1, start=40)[0])


@pytest.mark.slow
@pytest.mark.parametrize("name", SUPPORTED)
def test_no_answer_of_the_bank_is_right_anywhere(name: str) -> None:
    for seed in seeds(5, start=60):
        assert_not_fooled(name, seed)


JUDGED = [
    (forms.number, "3/4", {}, {"0.75": R, "6/8": R, "0.7500001": W, "3/4 or 1/2": N}),
    (forms.number, "-0.5", {}, {"-1/2": R, "0.5": W}),
    (forms.reduced, "$\\frac{85}{107}$", {}, {"85/107": R, "\\boxed{\\frac{85}{107}}": R, "170/214": W, "85": N}),
    (forms.reduced, "85/107", {}, {"3315/4173 = 85/107": R, "-85/107": W, "Answer: 85 / 107.": R, "85/107, 1/2": N}),
    (forms.reduced, "11/16", {}, {">= 11/16": N, "x = 11/16": R, "x != 11/16": N, "1/2 = 22/32 = 11/16": N}),
    (forms.words, "2181", {}, {
        "-2181": N, "> 2181": N, "1:2181": N, "2181": R, "= 2181": R, "<answer>2181</answer>": R, "Answer:2181": R,
        "The answer is 2181.": R, "2182": W}),
    (forms.words, "00:00:42", {}, {"00:00:42": R, "It is 00:00:42.": R, "-00:00:42": N, "00:00:43": W}),
    (forms.hexadecimal, "-0x1F", {}, {"-0x1f": R, "0x1f": W, "-31": N, "Answer: -0x01f": R, "-0x1f + 0x0": N}),
    (forms.factors, "2 × 2 × 67", {}, {"2 * 67 * 2": R, "268 = 2 x 2 x 67": R, "4 × 67": W, "2^2 × 67": N, "2 67": N}),
    (forms.numbers, "['-1.5', '3']", {}, {"[-1.5, 3]": R, '["-1.50", "3.0"]': R, "[3, -1.5]": W, "-1.5, 3": N}),
    (forms.numbers, "[8]", {}, {"[8]": R, "Answer: [8]": R, "[8] [9]": N, "[]": W, "[a]": N}),
    (forms.numbers, "[9, 8]", {}, {
        "[9, 8], 8]": N, "[9, 8], 8": N, "[9, 8]s": N, "[9, 8][9, 8]": N, "[9, 8] + 1": N, "-[9, 8]": N, "f([9, 8])": N,
        "2*[9, 8]": N, "2 * ([9, 8])": N, "([9, 8]) / 2": N,
        "7, [9, 8]": N, "[9, 8] is false.": N, "It cannot be [9, 8]": N, "\\neq [9, 8]": N, "[[9, 8]": N,
        "So, the list is [9, 8], because 9 > 8": R, "**[9, 8]** is the answer": R, "\\[ [9, 8] \\]": R, "([9, 8])": R,
        "sorted = [9, 8].": R, "$[9, 8]$": R}),
    (forms.numbers, "[]", {}, {"[]": R, "[ ]": R, "[1]": W, "none": N}),
    (forms.nested, "[[0,1],[1,0]]", {}, {"[[0, 1],\n [1, 0]]": R, "[[0,1],[1,1]]": W, "[0,1],[1,0]": N}),
    (forms.groups, '[["ab","ba"],["c"]]', {}, {'[["c"], ["ba", "ab"]]': R, '[["ab"],["ba"],["c"]]': W, "[[ab]]": N}),
    (forms.grid, "1 2\n3 4", {}, {"1 2\n3 4": R, "Here:\n\n1 2\n3 4\n": R, "1 2 3 4": W, "1 2\n3 4\n\n1 2\n3 5": N}),
    (forms.grid, "1 2 3", {}, {"Answer: 1 2 3": R, "[1, 2, 3]": R, "1 2": W, "So 1 2 3": N}),
    (forms.tokens, "A# #B", {}, {"A# #B": R, "#A #B": W, "A B": N, "A#": W, "Answer: A# #B": R, "A# #B\n\n#B": N}),
    (forms.grid, "1 2\n3 4", {}, {
        "The wrong answer is:\n1 2\n3 4": N, "1 2\n3 4\nThis is not right.": N, "1 2\n3 4\n- 1 2": N,
        "1 2\n3 4\nor 1 2": N,
        "Answer: 1 2\n3 4\n\nActually, the answer is 1 2\n3 5": N, "\\boxed{1 3\n3 4 \\text{ or } 1 2\n3 4}": N,
        "We turn 1 3 into 1 2, not into 3 3.\n\nAnswer:\n1 2\n3 4": R, "Row 2 is not changed.\nSo:\n1 2\n3 4": R,
        "Here is the 2 by 2 grid:\n1 2\n3 4\nI hope this helps!": R, "```\n1 2\n3 4\n```": R}),
    (forms.tokens, "B# B#", {}, {"Answer: B# B#\n\nActually, the answer is B#.": N, "Drop A#.\nAnswer: B# B#": R}),
    (forms.tokens, "#A", {}, {"A#": W, "#A": R, "A": N}),
    (forms.palindrome, "abba", {}, {"baab": R, "abba": R, "aabb": W, "ab ba": N, "abbba": W}),
    (forms.roles, "Ann is a knight, and Bob is a knave.", {}, {
        "Bob is a knave and Ann is a knight": R, "Ann is a knave, and Bob is a knave": W, "Ann is a knight": W,
        "Ann is a knight, Ann is a knave, and Bob is a knave": N, "If Ann is a knight, Bob is a knave": N}),
    (forms.expression, "4*6", {"numbers": [6, 4], "target": 24}, {"6 * 4": R, "6 + 4": W, "24": N, "6*4*1": W}),
    (forms.expression, "1", {"numbers": [1, 2, 3, 4]}, {"1*2*3*4": R, "4*(1+2+3)": R, "2*3*4": W}),
    (forms.queens, "", {"puzzle": [list("_Q__"), list("____"), list("____"), list("____")]}, {
        "_ Q _ _\n_ _ _ Q\nQ _ _ _\n_ _ Q _": R, "_ _ Q _\nQ _ _ _\n_ _ _ Q\n_ Q _ _": W, "_ Q": W, "Q2": N}),
    (forms.sudoku, "", {"puzzle": [[1, 0, 0, 4], [2, 4, 3, 0], [3, 0, 0, 2], [0, 2, 0, 0]]}, {
        "1 3 2 4\n2 4 3 1\n3 1 4 2\n4 2 1 3": R, "3 1 2 4\n2 4 3 1\n1 3 4 2\n4 2 1 3": W, "1 3 2 4": W, "none": N}),
    (forms.pattern, "❌✅\n✅❌", {}, {"❌✅\n✅❌": R, "Answer: ❌✅\n✅❌": R, "✅✅\n✅❌": W, "": N}),
    (forms.sentence, "It was late. He left.", {}, {"it was late. He left": R, "Answer: It was late. He left.": R,
        "Answer: It was late.": W, "Answer: It was late. He left. left.": W, "It was late.": W,
        "<answer>It was late. He left.</answer>": R, "Answer: It was late. He left.\nAnswer: He left.": N}),
    (forms.sentence, "The sky is blue", {}, {
        "The sky is blue.": R, "<answer>the sky is blue</answer>": R, "The sky is not blue": W, "blue": W,
        "The answer is the sky is blue": R, "The wrong answer is: the sky is blue": W}),
    (forms.numbers, "[1, 2]", {}, {"The list is *[1, 2]*": R, "- [1, 2]": R, "<s>[1, 2]</s>": N, "~~[1, 2]~~": N,
        "the reverse of [1, 2]": N, "-[1, 2]": N, "[1, 2]*2": N, "[1, 2] * 2": N}),
    (forms.nested, "[[1, 2], [3, 4]]", {}, {"[[1, 2], [3, 4]]": R, "[[1, 2], [3, 4]].T": N}),
    (forms.groups, '[["ab"], ["c"]]', {}, {'<del>[["ab"], ["c"]]</del>': N}),
    (forms.grid, "1 2\n3 4", {}, {"1 2\n3 4": R, "<s>\n1 2\n3 4\n</s>": N, "~~\n1 2\n3 4\n~~": N}),
    (forms.integer_or_words, "Monday", {}, {"It is Monday.": R, "Tuesday": W}),
    (forms.integer_or_words, "-4", {}, {"-4": R, "4": W}),
]  # fmt: skip


@pytest.mark.parametrize(("judge", "gold", "details", "texts"), JUDGED)
def test_judges(judge: forms.FormJudge, gold: str, details: dict[str, Any], texts: dict[str, Verdict]) -> None:
    assert {text: judge(text, gold, details) for text in texts} == texts


def test_as_a_task() -> None:
    task = load_task("gym:gcd")
    assert isinstance(task, GymTask) and task.levels == (1, 2, 3, 4) and task.name == "gym:gcd"
    train = Stream(task, KEY, "train", 1).take(60, distinct=True)
    asked = Stream(task, KEY, "eval", 1).take(60, distinct=True)
    assert not {problem.id for problem in train} & {problem.id for problem in asked}
    first = asked[0]
    assert set(first.facts) == {"seed", "level", "about"}, "the gold answer does not travel"
    gold = task.answer(first)
    fresh = GymTask("gcd")  # has to make it again from its seed
    assert gold is not None and fresh.check(first, gold) is R and fresh.check(first, str(int(gold) + 1)) is W
    assert fresh.version == task.version and len(task.version) == 12
    mirrored = task.canonical(Problem("", {"about": first.facts["about"]}))
    assert mirrored == task.canonical(Problem("other words", {"about": first.facts["about"], "seed": "", "level": 2}))
    for made in (task, fresh):
        made.close()


@pytest.mark.parametrize("name", ["isomorphic_strings", "ransom_note"])
def test_the_order_of_sets_does_not_matter(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both go through sets of letters, which Python orders by a number that is another in every process."""
    made = []
    for seed in ("1", "2"):
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        task = GymTask(name)
        made.append([task.sample(bytes.fromhex(each), 1) for each in seeds(20)])
        task.close()
    assert made[0] == made[1]


def test_order_of_operands_does_not_make_a_new_problem() -> None:
    made = [host("gcd").make(seed, 1) for seed in seeds(200)]
    assert all(each["about"] == [sorted(each["about"][0], key=str)] for each in made)


def test_a_space_that_is_too_small_says_so() -> None:
    task = GymTask("count_bits")
    with pytest.raises(UsageError, match=r"'gym:count_bits' has only about \d+ different eval problems at level 1"):
        Stream(task, KEY, "eval", 1).take(2000, distinct=True)
    task.close()


def test_what_is_refused() -> None:
    for name, reason in REFUSED.items():
        with pytest.raises(UsageError, match=f"gym:{name} is refused, because no exact judgement is known: ") as error:
            load_task(f"gym:{name}")
        assert str(error.value).endswith(reason)
    with pytest.raises(UsageError, match=r"no generator 'chan_sum'; did you mean gym:chain_sum\? `--task gym:\?`"):
        load_task("gym:chan_sum")


def test_a_generator_that_hangs_is_stopped() -> None:
    task = GymTask("chain_sum", sample_seconds=10.0)
    task._seconds = 1e-9
    with pytest.raises(UsageError, match="gym:chain_sum: making a problem of level 1: it took longer than 1e-09 s"):
        task.sample(bytes(32), 1)
    task._seconds = 10.0
    assert task.sample(bytes(32), 1) == task.sample(bytes(32), 1), "the next call starts another process"
    task.close()


def test_a_generator_that_keeps_raising_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Host("chain_sum")
    broken.load()
    monkeypatch.setattr(broken, "_drawn", lambda seed, level: {"answer": "", "metadata": {}, "question": "?"})
    with pytest.raises(
        UsageError, match="gym:chain_sum made no problem of level 1 in 50 tries; the last one: ValueErr"
    ):
        broken.make(seeds(1)[0], 1)
