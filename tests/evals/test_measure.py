"""Measurements as plain data, votes, and when a broken check is given up."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import cycle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tiny import tiny_tokenizer
from whetstone.engine.protocol import Completion, Finish, Progress, Request, SamplingParams
from whetstone.engine.rollout import FAILURES_AT_FIRST, HANGS_AT_FIRST, HANGS_AT_MOST, Judge, Questioner
from whetstone.errors import UsageError, WorkFailed
from whetstone.evals.measure import Measurement, Scores, compared, measure_greedy, measure_sampled, vote
from whetstone.evals.statistics import accuracy_interval, compare, pass_at_k_curve
from whetstone.tasks.task import DEFAULT_STYLES, Problem, Task, Verdict, behind_thoughts, judge, read_answer
from whetstone.tasks.user_file import UserTask

R, W, N = "right", "wrong", "no_answer"


class Echo(Task):
    """The right answer is the question; an answer that begins with ~ is none."""

    version = "1"

    def sample(self, seed: bytes, level: int) -> Problem:
        return Problem(seed.hex()[:2], {})

    def check(self, problem: Problem, text: str) -> Verdict:
        return Verdict.RIGHT if text == problem.question else Verdict.WRONG

    def final_answer(self, text: str) -> str | None:
        return None if text.startswith("~") else text.casefold()


class Script:
    """A sampler that says what it is told to, and keeps what it was asked."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts: Iterator[str] = cycle(texts)
        self.asked: list[tuple[Request, SamplingParams]] = []

    def sample(
        self, requests: Sequence[Request], params: SamplingParams, progress: Progress | None = None
    ) -> list[list[Completion]]:
        self.asked += [(request, params) for request in requests]
        return [[self.say(params) for _ in request.seeds] for request in requests]

    def say(self, params: SamplingParams) -> Completion:
        ids = tuple(tiny_tokenizer().encode(next(self.texts)))
        cut = len(ids) >= params.max_new_tokens
        ids = ids[: params.max_new_tokens] if cut else (*ids, *tiny_tokenizer().stop_ids)
        return Completion(ids, (0.0,) * len(ids), "length" if cut else "stop", 0)


def problems(*questions: str) -> list[Problem]:
    return [Problem(question, {}, "echo", 1, f"id-{question}") for question in questions]


def questioner(*texts: str, task: Task | None = None) -> Questioner:
    return Questioner(Script(texts), tiny_tokenizer(), task or Echo(), DEFAULT_STYLES["plain"])


def measurement(verdicts: list[list[str]], texts: list[list[str]] | None = None) -> Measurement:
    return Measurement(
        questions=[f"q{i}" for i in range(len(verdicts))],
        ids=[str(i) for i in range(len(verdicts))],
        verdicts=verdicts,
        texts=texts or [["a"] * len(each) for each in verdicts],
        tokens=[[2] * len(each) for each in verdicts],
        truncated=[[False] * len(each) for each in verdicts],
    )


def test_what_a_measurement_says() -> None:
    found = measurement([[R, W, R], [W, N, R], [N, N, N], [R, R, R]])
    assert found.first_right == [1, 0, 0, 1]
    assert found.counts == [(3, 2), (3, 1), (3, 0), (3, 3)]
    assert found.mix() == {"right": 6, "wrong": 2, "no_answer": 4, "error": 0, "timeout": 0}
    accuracy = found.accuracy()
    assert (accuracy.mean, accuracy.n) == (0.5, 4) and accuracy.low < 0.5 < accuracy.high
    assert [row["mean"] for row in found.pass_at([1, 3])] == [pytest.approx(0.5), pytest.approx(0.75)]
    assert found.tokens_per_answer() == 2 and found.truncated_share() == 0
    assert Measurement(**json.loads(json.dumps(found.to_dict()))) == found


def test_greedy_asks_once_and_sampled_asks_apart() -> None:
    asked = questioner("ab", "b", "abcdefgh")
    found = measure_greedy(asked, problems("ab", "b", "c"), 4)
    assert found.verdicts == [[R], [R], [W]]
    assert found.texts == [["ab"], ["b"], ["abcd"]] and found.questions == ["ab", "b", "c"]
    assert found.tokens == [[3], [2], [4]] and found.truncated == [[False], [False], [True]]
    assert isinstance(asked.sampler, Script) and {params.temperature for _, params in asked.sampler.asked} == {0.0}

    asked = questioner("x")
    measure_sampled(asked, problems("ab", "b"), 3, 4, key=b"k" * 32)
    assert isinstance(asked.sampler, Script)
    seeds = [seed for request, _ in asked.sampler.asked for seed in request.seeds]
    assert len(set(seeds)) == 6 and all(0 <= seed < 2**64 for seed in seeds)
    again = questioner("x")
    measure_sampled(again, problems("ab", "b"), 3, 4, key=b"k" * 32)
    assert isinstance(again.sampler, Script) and again.sampler.asked == asked.sampler.asked


answers = st.lists(st.sampled_from(["a", "A", "b", "c", "~", "~b"]), min_size=1, max_size=7)


@given(st.lists(answers, min_size=1, max_size=4), st.sampled_from("abc"))
def test_votes_against_brute_force(pools: list[list[str]], gold: str) -> None:
    """The winner has most votes; among equals it is the one that was given first."""
    task = Echo()
    verdicts = [[R if text.casefold() == gold else W for text in texts] for texts in pools]
    expected = []
    for texts in pools:
        given_ = [text.casefold() for text in texts if not text.startswith("~")]
        best = max(given_, key=lambda one: (given_.count(one), -given_.index(one)), default=None)
        expected.append(int(best == gold))
    assert vote(measurement(verdicts, pools), task).right == expected


def test_no_answer_does_not_vote_and_ties_go_to_the_first() -> None:
    def voted(*texts: str) -> list[int]:
        verdicts = [R if text == "a" else W for text in texts]
        return vote(measurement([verdicts], [list(texts)]), Echo()).right

    assert voted("~", "~", "~", "a") == [1]
    assert voted("~", "~") == [0]
    assert voted("a", "b", "b", "a") == [1] and voted("b", "a", "a", "b") == [0]


class Failing(Echo):
    """Its check does what the answer says."""

    def check(self, problem: Problem, text: str) -> Verdict:
        if text == "e":
            raise ValueError("cannot read e")
        return Verdict.TIMEOUT if text == "t" else Verdict.RIGHT


def judged_until_it_fails(texts: str) -> int:
    judge = Judge(Failing())
    for done, text in enumerate(texts, start=1):
        try:
            judge(Problem("?", {}), text)
        except WorkFailed as failure:
            assert f"answers, the last time so: {judge.task.last_error or 'no reason given'}; mend it" in str(failure)
            return done
    return 0


def test_a_broken_check_is_given_up_soon() -> None:
    assert judged_until_it_fails("t" * 99) == HANGS_AT_FIRST
    assert judged_until_it_fails("e" * 99) == FAILURES_AT_FIRST
    assert judged_until_it_fails("...." * 99 + "t" * 99) == 4 * 99 + HANGS_AT_MOST


def test_a_check_that_fails_now_and_then_is_not() -> None:
    assert judged_until_it_fails(".e" * 999) == 0, "half of the answers: the verdicts say so"
    assert judged_until_it_fails(".t" * (HANGS_AT_MOST - 1)) == 0
    assert judged_until_it_fails("eee....ttt....") == 0


def test_giving_up_says_why() -> None:
    with pytest.raises(WorkFailed, match=r"failed on 16 of 16 answers.*ValueError: cannot read e; mend it first"):
        measure_greedy(questioner("e", task=Failing()), problems(*"a" * 40), 4)


def test_a_users_check_that_hangs(tmp_path: Path) -> None:
    """The child process is killed each time, and started again only as often as it takes to be sure."""
    file = tmp_path / "mine.py"
    file.write_text(
        "import time\nimport whetstone as wh\nclass Hangs(wh.Task):\n"
        "    def sample(self, seed, level): return wh.Problem('?', {})\n"
        "    def check(self, problem, text): time.sleep(99)\n"
    )
    task = UserTask(file, "Hangs", check_seconds=0.05)
    with pytest.raises(WorkFailed, match=r"failed on 4 of 4 answers, .*mine.py: check: it took longer than 0.05 s"):
        measure_greedy(questioner("x", task=task), problems(*"a" * 40), 4)


class Voice:
    """A backend that takes messages and gives texts; some answers never come."""

    def __init__(self) -> None:
        self.asked: list[Request] = []

    def sample(
        self, requests: Sequence[Request], params: SamplingParams, progress: Progress | None = None
    ) -> list[list[Completion]]:
        self.asked += requests
        endings: list[Finish] = ["stop", "length", "refused", "timeout", "error"]
        return [[Completion((), (), finish, 0, text="a", token_count=3)] for finish in endings]


def test_without_a_tokenizer() -> None:
    voice = Voice()
    asked = Questioner(voice, None, Failing(), DEFAULT_STYLES["plain"], positions=1)
    found = measure_greedy(asked, problems(*"aeaae"), 4)
    assert found.verdicts == [[R], [R], [N], ["timeout"], [N]] and found.texts == [["a"]] * 5
    assert found.tokens == [[3]] * 5 and found.truncated == [[False], [True], [False], [False], [False]]
    assert all(request.prompt_ids == () for request in voice.asked)
    assert voice.asked[1].messages == ({"role": "user", "content": "e"},) and len(set(voice.asked)) == 2


def test_room_for_prompt_and_answer() -> None:
    asked = questioner("x")
    with pytest.raises(UsageError, match="max_new_tokens must be at least 1, not 0"):
        measure_greedy(asked, problems("a"), 0)
    assert isinstance(asked.sampler, Script) and asked.sampler.asked == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<think>a</think>b", "b"),
        ("\n<think>\n\n</think>b", "b"),
        ("a</think>b", "b"),  # its prompt opened the section
        ("<think>b", ""),
        ("<think>b</think>", ""),
        ("<think>a</think>b</think>", "b</think>"),
        ("<seed:think>a</seed:think>b", "b"),
        ("[THINK]a[/THINK]b", "b"),
        ("b", "b"),
    ],
)
def test_what_a_model_thinks_is_not_its_answer(text: str, said: str) -> None:
    assert behind_thoughts(text) == said
    assert read_answer(Echo(), text) == said
    assert judge(Echo(), Problem("b", {}), text) is (Verdict.RIGHT if said == "b" else Verdict.WRONG)


def test_scores_are_compared_only_on_the_same_problems() -> None:
    before, after = Scores(["a", "b", "c", "d"], [0, 0, 1, 1]), Scores(["a", "b", "c", "d"], [1, 0, 1, 0])
    assert compared(before, after) == compare([0, 0, 1, 1], [1, 0, 1, 0])
    first = Scores(["a", "b"], [0, 0])
    assert compared(first, after, part=True) == compare([0, 0], [1, 0])
    assert compared(before, after, part=True) == compared(before, after)
    for wrong, part in (
        (first, False),  # fewer, where all were meant
        (Scores(["b", "a"], [0, 0]), True),
        (Scores(["b", "c"], [0, 0]), True),  # some of them, but not the first
        (Scores(["a", "b", "c", "x"], [0, 0, 0, 0]), False),
        (Scores(["a", "b", "c", "d", "e"], [0, 0, 0, 0, 0]), True),
    ):
        with pytest.raises(WorkFailed, match="are not of the same problems"):
            compared(wrong, after, part=part)


def test_problems_that_share_their_luck_are_known_to_all_that_follows() -> None:
    given = [Problem(str(i), {}, "echo", 1, f"id-{i}", f"wording {i // 4}") for i in range(24)]
    texts = [str(i) if i % 8 < 4 else "wrong" for i in range(24)]
    found = measure_greedy(questioner(*texts), given, 8)
    assert found.clusters == [problem.cluster for problem in given]
    assert found.scores.clusters == vote(found, Echo()).clusters == found.clusters
    right = found.first_right
    assert sum(right) == 12
    assert found.accuracy() == accuracy_interval(right, found.clusters) != accuracy_interval(right)
    nothing = Scores(found.ids, [0] * 24)
    assert compared(nothing, found.scores) == compare([0] * 24, right, found.clusters)
    assert compared(found.scores, nothing)["test"] == "sign flips of 6 clusters"
    first = Scores(found.ids[:8], right[:8])
    assert compared(first, found.scores, part=True) == compare(right[:8], right[:8], found.clusters[:8])
    assert found.pass_at([1]) == pass_at_k_curve(found.counts, [1], clusters=found.clusters)
    assert Measurement(**json.loads(json.dumps(found.to_dict()))) == found
