"""Fictional worlds: documents that say what the facts say, questions that only they answer, four to a document."""

from __future__ import annotations

import random
import re
from collections import Counter
from itertools import groupby, product

import pytest

from tests.tasks import fiction_reader
from whetstone.tasks.fiction.reading import Fiction
from whetstone.tasks.keys import COMMON_PARTITION, SPLITS, Stream
from whetstone.tasks.task import Problem, Verdict

TASK = Fiction()
EACH = 1000


def drawn(count: int, salt: str = "") -> list[Problem]:
    """`count` problems of every level."""
    problems = []
    for level, i in product(TASK.levels, range(count)):
        seed = random.Random(f"{salt} {level} {i}").randbytes(32)
        problems.append(TASK.identified(TASK.sample(seed, level), level))
    return problems


def parts(problem: Problem) -> tuple[str, str]:
    document, question = problem.question.split("\n\n")
    return document, question


def test_documents_say_what_the_facts_say() -> None:
    for problem in drawn(EACH):
        facts = {name: value for name, value in problem.facts.items() if name != "ask"}
        assert fiction_reader.read(parts(problem)[0]) == facts


def test_gold_is_what_a_reader_of_the_text_finds() -> None:
    kinds: Counter[tuple[int, str]] = Counter()
    wordings: set[str] = set()
    for problem in drawn(EACH):
        document, question = parts(problem)
        assert fiction_reader.reply(document, question) == TASK.answer(problem), problem
        kinds[problem.level, next(iter(problem.facts["ask"]))] += 1
        wordings.add(re.sub(r"\b[A-Z][a-z]{5,7}\b( [a-z]+)?", "N", question))
    expected = [(level, kind) for level in TASK.levels for kind in TASK.facts_needed[TASK.needed[level - 1]]]
    assert set(kinds) == set(expected) and min(kinds.values()) > EACH / 20
    assert len(wordings) >= 2 * len(TASK.questions)


def test_documents_have_80_to_250_words_and_give_readers_of_answers_nothing_to_find() -> None:
    for problem in drawn(300, "length"):
        document, question = parts(problem)
        assert 80 <= len(document.split()) <= 250
        assert not re.search(r"\b(?:is|are|equals|answer)\b|[:=]", document, re.IGNORECASE)
        for text in (problem.question, question, document):
            assert TASK.check(problem, text) in (Verdict.WRONG, Verdict.NO_ANSWER)


def test_the_answer_stands_in_the_document_or_follows_from_several_facts() -> None:
    for problem in drawn(300, "span"):
        document, question = parts(problem)
        answer = TASK.answer(problem)
        if TASK.needed[problem.level - 1] == 1:
            assert re.search(rf"\b{answer}\b", document)
        assert not re.search(rf"\b{answer}\b", question)
        assert TASK.check(problem, answer) is TASK.check(problem, f"The answer is {answer}.") is Verdict.RIGHT
        assert TASK.check(problem, TASK.worked(problem)) is Verdict.RIGHT
        assert TASK.final_answer(answer) == TASK.final_answer(TASK.worked(problem))


def test_names_of_one_world_differ() -> None:
    for problem in drawn(200, "names"):
        houses, people = problem.facts["houses"], problem.facts["people"]
        towns = [about["town"] for about in (*houses.values(), *people.values())]
        months = {house["opened"].split()[1] for house in houses.values()}
        names = [*houses, *people, *towns, *months]
        assert len(names) == len(set(names))
        assert all(20 <= TASK.year(h["opened"]) - people[h["founder"]]["born"] <= 60 for h in houses.values())
        assert {person["admired"] for person in people.values()} == set(people)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("level", Fiction.levels)
def test_four_problems_in_a_row_share_a_document_and_differ(split: str, level: int) -> None:
    problems = [Stream(TASK, b"four", split, level).problem(i) for i in range(200)]
    groups = [list(group) for _, group in groupby(problems, key=lambda problem: problem.cluster)]
    assert [len(group) for group in groups] == [4] * 50
    assert len({problem.cluster for problem in problems}) == 50
    for group in groups:
        assert len({parts(problem)[0] for problem in group}) == 1
        assert len({next(iter(problem.facts["ask"])) for problem in group}) == 4, "four kinds of questions"
    assert len({problem.id for problem in problems}) == 200


def test_documents_keep_to_their_split() -> None:
    clusters = {split: {Stream(TASK, b"same key", split, 1).problem(i).cluster for i in range(400)} for split in SPLITS}
    assert sum(map(len, clusters.values())) == len(set().union(*clusters.values())) == 300
    for split in SPLITS:
        problem = Stream(TASK, b"same key", split, 1).problem(3)
        assert COMMON_PARTITION.bucket(TASK.source(problem)) in SPLITS[split]


def test_documents_of_levels_and_keys_differ() -> None:
    clusters = [Stream(TASK, key, "eval", level).problem(0).cluster for key in (b"a", b"b") for level in TASK.levels]
    assert len(set(clusters)) == 8


def test_blind_answers_earn_nothing() -> None:
    for level in TASK.levels:
        problems = Stream(TASK, b"blind" * 7, "train", level).take(1000, distinct=False)
        answers = Counter(TASK.answer(problem) for problem in problems)
        assert answers.most_common(1)[0][1] <= 30
        assert len({problem.id for problem in problems}) >= 990


def test_the_closed_style_asks_the_same_without_the_document() -> None:
    style, whole = TASK.styles()["closed"], TASK.styles()["only"]
    assert style.withholds and not whole.withholds
    for problem in drawn(20, "closed"):
        (shown,) = style.messages(TASK, problem)
        document, question = parts(problem)
        assert shown["content"] == f"{question} {TASK.instruction}"
        assert whole.messages(TASK, problem)[0]["content"] == f"{document}\n\n{question} {TASK.instruction}"
        asked = {name for names in problem.facts["ask"].values() for name in names}
        assert set(re.findall(r"[A-Z][a-z]{5,7}", question)) & set(re.findall(r"\w+", document)) == asked


def test_an_example_in_the_closed_style_withholds_its_document_too() -> None:
    problem, example = drawn(2, "example")[:2]
    turns = TASK.styles()["closed"].messages(TASK, problem, [(example, TASK.answer(example))])
    assert [turn["content"] for turn in turns[:2]] == [
        f"{parts(example)[1]} {TASK.instruction}",
        TASK.answer(example),
    ]
