"""Streams are pure functions of their key; splits never share a problem; the ledger measures it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whetstone.errors import UsageError
from whetstone.tasks.arithmetic import Addition
from whetstone.tasks.baselines import majority_answer
from whetstone.tasks.keys import SPLITS, Key, Partition, Stream, commitment, problem_seed
from whetstone.tasks.ledger import Ledger
from whetstone.tasks.registry import BUILTIN, load_task
from whetstone.tasks.task import Problem, Verdict

PARTITION = Partition(Key.derive(b"secret", "partition"))


def test_splits_divide_the_ten_buckets() -> None:
    assert sorted(bucket for buckets in SPLITS.values() for bucket in buckets) == list(range(10))


@given(st.tuples(st.text(), st.text(), st.text()), st.tuples(st.text(), st.text(), st.text()), st.integers(0, 99))
def test_seeds_differ_when_any_field_does(a: tuple[str, str, str], b: tuple[str, str, str], i: int) -> None:
    assert (problem_seed(b"k", *a, i) == problem_seed(b"k", *b, i)) == (a == b)
    assert problem_seed(b"k", *a, i) != problem_seed(b"k", *a, i + 1)
    assert problem_seed(b"k", *a, i) != problem_seed(b"other", *a, i)


@pytest.mark.parametrize("name", BUILTIN)
def test_problems_are_pure_functions_of_key_split_and_number(name: str) -> None:
    task = load_task(name)
    for level in task.levels:
        first, second = (Stream(load_task(name), b"k", "train", level, PARTITION) for _ in range(2))
        drawn = [first.problem(i) for i in range(5)]
        assert drawn == [second.problem(i) for i in reversed(range(5))][::-1]
        assert drawn != [Stream(task, b"other", "train", level, PARTITION).problem(i) for i in range(5)]
        assert all((problem.task, problem.level) == (name, level) and problem.id for problem in drawn)


@pytest.mark.parametrize("name", BUILTIN)
def test_five_hundred_distinct_eval_problems_that_training_never_draws(name: str) -> None:
    task = load_task(name)
    evaluated = Stream(task, b"eval", "eval", task.default_level, PARTITION).take(500, distinct=True)
    assert len({problem.id for problem in evaluated}) == 500
    ledger = Ledger()
    # Even with the very same key, the split alone keeps the two apart.
    for key in (b"eval", b"train"):
        ledger.add(*Stream(task, key, "train", task.default_level, PARTITION).take(500))
    assert ledger.overlap(evaluated) == 0


@pytest.mark.parametrize("name", BUILTIN)
def test_no_problem_carries_its_answer(name: str) -> None:
    """Every fact can be read off the question, so the facts tell nothing more than the question does."""
    task = load_task(name)

    def leaves(value: object) -> list[str]:
        if isinstance(value, dict):
            return [leaf for item in value.values() for leaf in leaves(item)]
        if isinstance(value, list):
            return [leaf for item in value for leaf in leaves(item)]
        return [str(value)]

    for problem in Stream(task, b"k", "train", task.default_level, PARTITION).take(50):
        assert json.loads(json.dumps(problem.facts)) == problem.facts
        assert all(leaf in problem.question for leaf in leaves(problem.facts))
        answer = task.answer(problem)
        assert answer is not None and task.check(problem, answer) is Verdict.RIGHT


@given(st.integers(2, 256), st.integers(0, 3000))
@settings(max_examples=30)
def test_siblings_share_the_first_half_of_their_seeds(siblings: int, first: int) -> None:
    class Seen(Addition):
        def sample(self, seed: bytes, level: int) -> Problem:
            return Problem("q", {"seed": seed.hex()})

        def canonical_facts(self, facts: Any) -> Any:
            return facts

        def source(self, problem: Problem) -> bytes:
            return bytes.fromhex(problem.facts["seed"])[:16]

    task = Seen()
    task.siblings = siblings
    stream = Stream(task, b"k", "eval", 2, PARTITION)
    seeds = [bytes.fromhex(stream.problem(i).facts["seed"]) for i in range(first, first + 12)]
    assert [seed[-1] for seed in seeds] == [i % siblings for i in range(first, first + 12)]
    groups = [i // siblings for i in range(first, first + 12)]
    pairs = {(group, seed[:16]) for group, seed in zip(groups, seeds, strict=True)}
    assert len(pairs) == len(set(groups)) == len({seed[:16] for seed in seeds})
    assert len({seed[16:31] for seed in seeds}) == 12 and {len(seed) for seed in seeds} == {32}


def test_problems_of_the_first_tasks_stay_what_they_were() -> None:
    """Published figures hang on them: these were drawn before siblings were thought of."""
    drawn = [Stream(load_task(name), b"k" * 32, "eval", 2).problem(7).question for name in ("chain", "largest")]
    assert drawn == ["What is 13 + 18 - 20 + 12?", "What is the largest of 547, 749, 202, 654?"]


def test_order_of_operands_does_not_make_a_new_problem() -> None:
    task = load_task("addition")
    one, other = (Problem("", {"a": a, "b": b}) for a, b in ((28, 21), (21, 28)))
    assert task.identified(one, 2).id == task.identified(other, 2).id
    third = Problem("", {"a": 28, "b": 22})
    assert task.identified(third, 2).id != task.identified(one, 2).id


def test_addition_asks_as_documented() -> None:
    problem = Stream(load_task("addition"), b"k", "train", 2, PARTITION).problem(0)
    a, b = problem.facts["a"], problem.facts["b"]
    assert problem.question == f"What is {a} + {b}?" and all(10 <= n <= 99 for n in (a, b))


def test_a_small_space_says_how_many_it_has() -> None:
    stream = Stream(load_task("addition"), b"k", "eval", 1, PARTITION)
    with pytest.raises(UsageError, match=r"has only about \d+ different eval problems at level 1, 500 were asked"):
        stream.take(500, distinct=True)
    assert len(stream.take(500, distinct=False)) == 500


def test_bad_arguments() -> None:
    with pytest.raises(UsageError, match="unknown split"):
        Stream(load_task("addition"), b"k", "test", 2, PARTITION)
    with pytest.raises(UsageError, match="no level 99"):
        Stream(load_task("addition"), b"k", "eval", 99, PARTITION)


@given(st.binary(), st.binary(), st.text(), st.text())
@settings(max_examples=50)
def test_derived_keys_and_commitments(secret: bytes, other: bytes, name: str, other_name: str) -> None:
    same = Key.derive(secret, name) == Key.derive(other, other_name)
    # HMAC pads a short key with zero bytes, so secrets that differ only by those are one secret.
    assert same == (secret.ljust(64, b"\0") == other.ljust(64, b"\0") and name == other_name) or len(secret) > 64
    assert len(commitment(secret)) == 64 and (commitment(secret) == commitment(other)) == (secret == other)


def test_ledger_round_trip_and_damage(tmp_path: Path) -> None:
    problems = Stream(load_task("chain"), b"k", "train", 2, PARTITION).take(20)
    ledger = Ledger()
    ledger.add(*problems, *problems)
    path = tmp_path / "ledger.json"
    ledger.save(path)
    again = Ledger.load(path)
    assert len(again) == len({problem.id for problem in problems}) and again.root() == ledger.root()
    assert again.overlap(problems) == 20 and problems[0] in again
    assert list(tmp_path.iterdir()) == [path]
    path.write_text(path.read_text().replace(problems[0].id, "0" * 32))
    with pytest.raises(UsageError, match="root hash"):
        Ledger.load(path)
    path.write_text("{")
    with pytest.raises(UsageError, match="cannot read the ledger"):
        Ledger.load(path)
    with pytest.raises(ValueError, match="without an id"):
        ledger.add(Problem("q", {}))


@pytest.mark.parametrize("name", BUILTIN)
def test_baselines(name: str) -> None:
    task = load_task(name)
    problems = Stream(task, b"k", "eval", task.default_level, PARTITION).take(50, distinct=False)
    text = majority_answer(task, task.default_level, b"k", 100)
    assert text and sum(task.check(problem, text) is Verdict.RIGHT for problem in problems) < 0.6 * len(problems)
    assert not any(task.check(problem, "") is Verdict.RIGHT for problem in problems)


def test_the_majority_answer_is_the_most_frequent_one() -> None:
    class Usual(Addition):
        def answer(self, problem: Problem) -> str | None:
            return ("often", "seldom")[problem.facts["a"] % 5 == 0]

    class Silent(Addition):
        def answer(self, problem: Problem) -> str | None:
            return None

    assert majority_answer(Usual(), 2, b"k", 100) == "often"
    assert majority_answer(Silent(), 2, b"k", 100) is None


@pytest.mark.parametrize("name", BUILTIN)
def test_spelled_out_answers_are_right(name: str) -> None:
    task = load_task(name)
    for level in task.levels:
        for problem in Stream(task, b"worked", "train", level, PARTITION).take(60, distinct=False):
            worked = task.worked(problem)
            if worked is not None:
                assert task.check(problem, worked) is Verdict.RIGHT, (problem, worked)
                assert worked != task.answer(problem)


@pytest.mark.parametrize(
    ("name", "facts", "worked"),
    [
        ("addition", {"a": 28, "b": 21}, "28 + 21 = 49"),
        ("chain", {"terms": [3, 4, 5, 2], "operators": ["+", "*", "-"]}, "4 * 5 = 20, 3 + 20 = 23, 23 - 2 = 21"),
        ("fractions", {"left": "1/2", "right": "1/6"}, "1/2 + 1/6 = 3/6 + 1/6 = 4/6 = 2/3"),
        ("fractions", {"left": "3/7", "right": "6/7"}, "3/7 + 6/7 = 9/7"),
        ("gcd", {"a": 18, "b": 48}, "48 mod 18 = 12, 18 mod 12 = 6, 12 mod 6 = 0, so the greatest common divisor is 6"),
        ("letters", {"text": "banana", "letter": "a"}, "b a n a n a: the count is 3"),
        ("countdown", {"numbers": [2, 3, 4], "target": 24}, "(3 * 2) * 4 = 24"),
    ],
)
def test_how_an_answer_is_spelled_out(name: str, facts: dict[str, Any], worked: str) -> None:
    task = load_task(name)
    found = task.worked(Problem("?", facts))
    if name == "countdown":
        assert found is not None and found.endswith(" = 24")
    else:
        assert found == worked
