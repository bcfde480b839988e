"""The sealed worlds: answers against solvers that read only the prompt, wordings, and what blind answers earn."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from zoneinfo import available_timezones

import pytest

from tests.tasks.world_readers import READERS
from whetstone.tasks.keys import COMMON_PARTITION, Stream
from whetstone.tasks.naming import Naming
from whetstone.tasks.registry import BUILTIN, load_task
from whetstone.tasks.task import Problem, Verdict
from whetstone.tasks.words import WordTask
from whetstone.tasks.worlds.world import World

WORLDS = [name for name, cls in BUILTIN.items() if issubclass(cls, World)]
EACH = 1000  # problems of every level


def world(name: str) -> World:
    task = load_task(name)
    assert isinstance(task, World)
    return task


def drawn(name: str, count: int, salt: bytes = b"") -> Iterator[Problem]:
    """`count` problems of every level."""
    task = world(name)
    for level, i in product(task.levels, range(count)):
        seed = random.Random(f"{name} {level} {i}".encode() + salt).randbytes(32)
        yield task.identified(task.sample(seed, level), level)


def test_there_is_a_reader_for_every_world_and_all_are_sealed() -> None:
    assert set(READERS) == set(WORLDS) and len(WORLDS) >= 8
    assert {name for name, cls in BUILTIN.items() if cls.stratum == "C"} == set(WORLDS)


@pytest.mark.parametrize("name", WORLDS)
def test_gold_is_what_a_reader_of_the_prompt_finds(name: str) -> None:
    task, reader = world(name), READERS[name]
    told: Counter[tuple[int, str]] = Counter()
    for problem in drawn(name, EACH):
        assert reader(problem.question) == task.answer(problem), problem
        told[problem.level, problem.cluster] += 1
    assert set(told) == set(product(task.levels, task.wordings)) and len(task.wordings) >= 3
    assert min(told.values()) > EACH / len(task.wordings) * 0.7


@pytest.mark.parametrize("name", WORLDS)
def test_every_wording_tells_one_problem(name: str) -> None:
    """The wording is no part of the facts: all wordings have one id, one answer, and state every fact."""
    task, reader = world(name), READERS[name]
    for problem in drawn(name, 25):
        texts = [task.told(problem.facts, wording) for wording in task.wordings]
        assert len(set(texts)) == len(texts) and problem.question in texts
        assert {reader(text) for text in texts} == {task.answer(problem)}
        for text in texts:
            assert task.identified(Problem(text, problem.facts), problem.level).id == problem.id
            for leaf in leaves(problem.facts):
                assert leaf in text, (leaf, text)


def leaves(value: object) -> list[str]:
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in leaves(item)]
    if isinstance(value, list):
        return [leaf for item in value for leaf in leaves(item)]
    return [str(value)]


@pytest.mark.parametrize("name", WORLDS)
def test_problems_survive_json_and_state_their_answer_nowhere_by_themselves(name: str) -> None:
    task = world(name)
    for problem in drawn(name, 100):
        assert json.loads(json.dumps(problem.facts)) == problem.facts
        answer, worked = task.answer(problem), task.worked(problem)
        assert task.check(problem, answer) is Verdict.RIGHT
        assert task.check(problem, worked) is Verdict.RIGHT and worked.endswith(f"Answer: {answer}")
        assert task.final_answer(answer) == task.final_answer(worked) == task.final_answer(f"The answer is {answer}.")
        for style in task.styles().values():
            assert task.check(problem, style.messages(task, problem)[-1]["content"]) is not Verdict.RIGHT
        assert len(answer) <= 60


@pytest.mark.parametrize("name", WORLDS)
def test_blind_answers_earn_little_and_problems_differ(name: str) -> None:
    task = world(name)
    for level in task.levels:
        stream = Stream(task, b"blind" * 7, "train", level, COMMON_PARTITION)
        problems = stream.take(1000, distinct=False)
        assert len({problem.id for problem in problems}) >= 990
        answers = Counter(task.answer(problem) for problem in problems)
        assert answers.most_common(1)[0][1] <= 250, (level, answers.most_common(3))
        # the best guess that has seen the wording, too
        for wording in task.wordings:
            told = Counter(task.answer(problem) for problem in problems if problem.cluster == wording)
            assert told.most_common(1)[0][1] <= 0.25 * told.total()


@pytest.mark.parametrize("name", WORLDS)
def test_no_place_of_the_prompt_is_the_usual_answer(name: str) -> None:
    """A word that always stands at the same place of the prompt is the answer in at most three problems of ten."""
    task = world(name)
    hits: Counter[tuple[int, int]] = Counter()
    for problem in drawn(name, 200, b"place"):
        shown = re.findall(r"\w+", problem.question)
        answer = task.answer(problem)
        hits.update((problem.level, place) for place in (*range(len(shown)), *range(-9, 0)) if shown[place] == answer)
    assert not hits or max(hits.values()) <= 0.3 * 200, hits.most_common(3)


@pytest.mark.parametrize("name", ["combining", "automaton", "kinship"])
def test_no_word_of_the_rules_is_more_frequent(name: str) -> None:
    """What is shown most often is no better a guess than anything else: all are results of equally many rules."""
    for problem in drawn(name, 50, b"often"):
        facts = problem.facts
        rules = facts.get("table") or facts.get("moves") or facts["bonds"]
        results = Counter(result for row in rules.values() for result in row.values())
        assert len(set(results.values())) == 1 and len(results) >= 5


@pytest.mark.parametrize("name", WORLDS)
def test_levels_rise(name: str) -> None:
    """A higher level has more to work out: more steps, or longer questions."""
    task = world(name)
    sizes = []
    for level in task.levels:
        problems = [problem for problem in drawn(name, 60, b"rise") if problem.level == level]
        sizes.append(sum(len(task.worked(problem)) + len(problem.question) for problem in problems) / len(problems))
    assert sizes == sorted(sizes)


def test_the_version_covers_the_pieces_of_names() -> None:
    """Names and the telling stand in classes under `Task`, so their source enters every seed."""
    for name in (*WORLDS, "fiction"):
        bases = type(load_task(name)).__mro__
        assert Naming in bases and bases.index(Naming) < [base.__name__ for base in bases].index("Task")


def test_invented_names_are_no_words_and_no_places() -> None:
    names = set(Naming.all_names())
    assert len(names) == 18 * 5 * 14 * 5 * 6 - 5
    places = {part.lower() for zone in available_timezones() for part in re.split("[/_]", zone)}
    gym = Path(pytest.importorskip("reasoning_gym").__file__).parent / "data" / "words3to10.txt"
    assert not names & {*places, *WordTask.vocabulary, *gym.read_text().lower().split()}
    for seed in range(200):
        drawn = Naming.invented(random.Random(seed), 14)
        assert len({name[:4] for name in drawn}) == 14 and set(drawn) <= names
